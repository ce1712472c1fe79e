--- Intune: every device leaves management, in one request.
local intune = require "msgraph.offboard.intune"

local function names_of(devices)
  local names = {}
  for i, device in ipairs(devices) do names[i] = device.deviceName or device.id end
  table.sort(names)
  return table.concat(names, ", ")
end

local retire_all = {
  id = "devices.retire_all", version = 1, effect = "command", danger = "destructive", settle = 60,
  about = "takes every device of the user out of management (removeAllDevicesFromManagement)",
  reads = { "managed_devices" },
  calls = { "POST /users/{id}/removeAllDevicesFromManagement" },
  hand_off = { approval_required = intune.APPROVAL },
}

function retire_all.plan(ctx)
  local staying, leaving = {}, 0
  for _, device in ipairs(ctx:read "managed_devices") do
    if intune.LEAVING[device.managementState] then leaving = leaving + 1 else staying[#staying + 1] = device end
  end
  if #staying == 0 then
    return ctx:unchanged(leaving == 0 and "no managed devices" or ("%d devices are leaving already"):format(leaving))
  end
  ctx:op {
    target = ctx.user.id, name = ctx.user.userPrincipalName,
    request = { method = "POST", path = ctx.path .. "/removeAllDevicesFromManagement" },
    label = ("Retire %d %s: %s"):format(#staying, #staying == 1 and "device" or "devices", names_of(staying)),
    no_inverse = "devices have to be enrolled again",
  }
end

-- Done when every device that is still there is leaving; undone only when none is.
function retire_all.probe(g, op, since)
  local devices = g.list("/users/%s/managedDevices", op.subject_id, intune.STATE)
  if #devices == 0 then return "yes" end
  local seen = {}
  for _, device in ipairs(devices) do seen[intune.has_left(g, device, since, "retire")] = true end
  if seen.pending then return seen.no and "unknown" or "pending" end
  return seen.unknown and "unknown" or "no"
end

return { retire_all }
