-- The kill switch, for one account that is in wrong hands or a person who must be out now.
--
--   msgraph plan examples/contain.lua --user ada@contoso.com -o now.plan
local ob <const> = require "msgraph.offboard"
local a <const> = ob.actions

local wf <const> = ob.workflow {
  name = "contain",
  version = 1,
  protect = { ob.self },
  limits = { subjects = 5, destructive = 50, expires = "1h" },
}

wf:stage("contain", {
  a.account.disable,
  a.password.randomize,
  a.sessions.revoke,
  a.auth_methods.remove_all,
  a.entra_devices.disable,
})

return wf
