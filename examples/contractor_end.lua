-- The end of contracts, and of guests: everybody in a group. Nobody takes over a mailbox; groups, apps and licences go.
--
--   msgraph plan examples/contractor_end.lua --param company="Example Ltd" -o contractors.plan
local ob <const> = require "msgraph.offboard"
local a <const> = ob.actions

local wf <const> = ob.workflow {
  name = "contractor-end",
  version = 1,
  params = { company = { type = "string", required = true,
    about = "written into the account, for those who find it later" } },
  subjects = ob.group "Contracts ended",
  protect = { ob.self, ob.role_holders },
  limits = { subjects = 100, waves = { 1, "100%" }, halt = { failed = 3 } },
}

wf:stage("contain", { a.account.disable, a.sessions.revoke })
wf:stage("devices", { a.devices.retire_all })
wf:stage("reclaim", {
  a.groups.leave_all { transfer_sole_ownership_to = ob.manager },
  a.app_roles.remove_all,
  a.grants.remove_all,
  a.licenses.remove_all,
})

wf:step("mark-the-account", {
  after = "contain",
  effect = "converge",
  danger = "safe",
  permissions = { "User.ReadWrite.All" },
  plan = function(g, user, params)
    local mark = "ended: " .. params.company
    local now = g.get("/users/%s", user.id, { select = { "jobTitle" } })
    if now.jobTitle == mark then return ob.unchanged "marked already" end
    return ob.patch { "/users/%s", user.id, body = { jobTitle = mark }, before = now, label = "Mark the account" }
  end,
  probe = function(g, op)
    local now = g.get("/users/%s", op.target_id, { select = { "jobTitle" } })
    return now and now.jobTitle and now.jobTitle:find "^ended: " and "yes" or "no"
  end,
})

return wf
