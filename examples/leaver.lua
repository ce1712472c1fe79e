-- The whole of a leaver: stop access, take the devices, hand over, and then take back what costs.
--
--   msgraph plan examples/leaver.lua --users leavers.csv --param ticket=INC4711 -o friday.plan
--   msgraph show friday.plan
local ob <const> = require "msgraph.offboard"
local a <const> = ob.actions

local wf <const> = ob.workflow {
  name = "leaver",
  version = 1,
  params = {
    ticket = { type = "string", required = true, match = "^INC%d+$", about = "the ticket that asks for it" },
    delegate = { type = "user", default = ob.manager, about = "who takes over groups and the mailbox" },
    byod = { type = "enum", values = { "retire", "leave" }, default = "retire",
      about = "what becomes of their own devices" },
  },
  subjects = ob.csv { key = "userPrincipalName" },
  protect = { ob.self, ob.role_holders },
  limits = {
    subjects = 500,
    irreversible = 0,
    waves = { 1, 10, "25%", "100%" },
    halt = { failed = "3%", needs_human = "50%", first_wave_failed = 1 },
  },
}

wf:stage("contain", {
  a.account.disable,
  a.password.randomize,
  a.sessions.revoke,
  a.auth_methods.remove_all,
  a.roles.remove_all,
  a.entra_devices.disable,
})

wf:stage("devices", {
  a.intune.retire {
    where = function(device, params) return device.ownership == "company" or params.byod == "retire" end,
  },
})

-- A mailbox without a licence is deleted after a time: what is to stay of it comes before licences go.
wf:stage("handover", { on_error = "skip-subject" }, {
  a.mailbox.remove_rules,
  a.mailbox.auto_reply { text = "{{displayName}} no longer works here. Please write to {{delegate.mail}}." },
  a.onedrive.grant { to = ob.param "delegate" },
  a.handoff.exchange { "convert-to-shared", "hide-from-gal", grant_full_access = ob.param "delegate" },
})

wf:stage("reclaim", {
  a.groups.leave_all { transfer_sole_ownership_to = ob.param "delegate" },
  a.app_roles.remove_all,
  a.grants.remove_all,
  a.licenses.remove_all,
})

return wf
