-- lua/msgraph/offboard/actions/entra_devices.lua
--- Device objects of the directory: what a device signs in as.
local shared = require "msgraph.offboard.devices"

local disable = {
  id = "entra_devices.disable", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "disables the device objects that the user owns or has registered",
  reads = { "registered_devices", "owned_devices" },
  calls = { "PATCH /devices/{id}" },
  already = { not_found = true },
}

function disable.plan(ctx)
  local devices = shared.of_directory(ctx)
  if #devices == 0 then return ctx:unchanged("no devices in the directory") end
  for _, device in ipairs(devices) do
    local thing = ctx.client:device(device.id)
    if device.accountEnabled == false then
      ctx:unchanged(("%s is disabled already"):format(device.displayName), device.id)
    else
      ctx:op { target = device.id, name = device.displayName, request = thing:request("disable"),
        inverse = thing:request("enable"), label = ("Disable the device %s"):format(device.displayName) }
    end
  end
end

function disable.probe(g, op)
  local device = g.get("/devices/%s", op.target_id, { select = { "id", "accountEnabled" } })
  return (not device or device.accountEnabled == false) and "yes" or "no"
end

function disable.back(g, op)
  local device = g.get("/devices/%s", op.target_id, { select = { "id", "accountEnabled" } })
  if not device then return "gone" end
  return device.accountEnabled and "yes" or "no"
end

return { disable }
