-- lua/msgraph/offboard/actions/devices.lua
--- Intune: devices leave management, all at once or those that are chosen.
--
-- 204 means accepted: a device retires when it next checks in. So these are commands: sent again only when a read
-- shows no trace of them.

-- managementState of a device that is leaving.
local LEAVING = { retirePending = true, retireIssued = true, wipePending = true, wipeIssued = true,
  deletePending = true }
local FAILED = { retireFailed = true, wipeFailed = true }

local MAA <const> = "Intune wants a second administrator to approve this (Multi Admin Approval): approve it in the "
  .. "Intune admin center, or exclude this app there, then resume"

local function names_of(devices)
  local names = {}
  for i, device in ipairs(devices) do names[i] = device.deviceName or device.id end
  table.sort(names)
  return table.concat(names, ", ")
end

local SKEW <const> = 120 -- seconds by which Intune's clock may be behind ours

-- Whether a device has been asked to retire since: one that can not retire is managed as before, but keeps a trace.
local function has_trace(g, device, since)
  for _, result in ipairs(device.deviceActionResults or {}) do
    if result.actionName == "retire" and g.is_since(result.startDateTime, since - SKEW) ~= "no" then return true end
  end
  return false
end

local STATE <const> = { select = { "id", "managementState", "deviceActionResults" } }

local function state_now(g, device, since)
  if not device or LEAVING[device.managementState] then return device and "pending" or "yes" end
  return (FAILED[device.managementState] or has_trace(g, device, since)) and "unknown" or "no"
end

-- ---- all ----------------------------------------------------------------------------------------

local retire_all = {
  id = "devices.retire_all", version = 1, effect = "command", danger = "destructive", settle = 60,
  about = "takes every device of the user out of management (removeAllDevicesFromManagement)",
  reads = { "managed_devices" },
  calls = { "POST /users/{id}/removeAllDevicesFromManagement" },
  hand_off = { approval_required = MAA },
}

function retire_all.plan(ctx)
  local staying, leaving = {}, 0
  for _, device in ipairs(ctx:read "managed_devices") do
    if LEAVING[device.managementState] then leaving = leaving + 1 else staying[#staying + 1] = device end
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
  local devices = g.list("/users/%s/managedDevices", op.subject_id, STATE)
  if #devices == 0 then return "yes" end
  local seen = {}
  for _, device in ipairs(devices) do seen[state_now(g, device, since)] = true end
  if seen.pending then return seen.no and "unknown" or "pending" end
  return seen.unknown and "unknown" or "no"
end

-- ---- chosen ones --------------------------------------------------------------------------------

local retire = {
  id = "intune.retire", version = 1, effect = "command", danger = "destructive", settle = 60,
  about = "retires the devices that `where` chooses, one by one",
  reads = { "managed_devices" },
  calls = { "POST /deviceManagement/managedDevices/{id}/retire" },
  options = {
    where = { type = "function", about = "function(device, params, user): whether this one; default: all. A device has "
      .. "id, name, platform, ownership (\"personal\", \"company\"), model, serial, state" },
  },
  already = { not_found = true },
  hand_off = { approval_required = MAA },
}

local function shown(device)
  return {
    id = device.id, name = device.deviceName, platform = device.operatingSystem, model = device.model,
    ownership = device.managedDeviceOwnerType, serial = device.serialNumber, state = device.managementState,
  }
end

local function retire_one(ctx, device)
  local path = ctx.reader.path("/deviceManagement/managedDevices/%s", device.id)
  ctx:op {
    target = device.id, name = device.deviceName, request = { method = "POST", path = path .. "/retire" },
    label = ("Retire %s (%s)"):format(device.deviceName, device.operatingSystem),
    guard = { path = path .. "?$select=id,userId,enrolledDateTime", -- enrolled again, it is somebody else's
      expect = { userId = device.userId, enrolledDateTime = device.enrolledDateTime } },
    no_inverse = "the device has to be enrolled again",
  }
end

function retire.plan(ctx, opts)
  local any = false
  for _, device in ipairs(ctx:read "managed_devices") do
    any = true
    if LEAVING[device.managementState] then
      ctx:unchanged(device.deviceName .. " is leaving already", device.id)
    elseif opts.where and not ctx:call(opts.where, shown(device), ctx.params, ctx:user_copy()) then
      ctx:skip(device.deviceName .. " is not chosen by `where`", device.id)
    else
      retire_one(ctx, device)
    end
  end
  if not any then ctx:unchanged("no managed devices") end
end

function retire.probe(g, op, since)
  return state_now(g, g.get("/deviceManagement/managedDevices/%s", op.target_id, STATE), since)
end

return { retire_all, retire }
