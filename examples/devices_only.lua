-- All devices of a list of people leave management; nothing else is touched.
--
--   msgraph plan examples/devices_only.lua --users leavers.csv -o devices.plan
local ob <const> = require "msgraph.offboard"

local wf <const> = ob.workflow {
  name = "devices-only",
  version = 1,
  subjects = ob.csv {},
  protect = { ob.self },
  limits = { waves = { 1, "10%", "100%" }, halt = { failed = "5%", first_wave_failed = 1 } },
}

wf:stage("devices", { ob.actions.devices.retire_all })

return wf
