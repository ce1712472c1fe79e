--- A workflow with every class of effect in it, and what the tenant's own log says was done: for specs of applying.
local ob = require "msgraph.offboard"

local M = {}

--- Converge, command and once: what may be repeated, what may not, and what nobody can look at.
function M.workflow()
  local a = ob.actions
  local wf = ob.workflow { name = "torture", version = 1, protect = {}, limits = { waves = { 2, "100%" } } }
  wf:stage("contain", { a.account.disable, a.password.randomize, a.sessions.revoke, a.auth_methods.remove_all })
  wf:stage("devices", { a.intune.retire {} })
  wf:step("farewell", { after = "devices", effect = "once", danger = "disruptive",
    plan = function(_, user)
      return ob.post { "/users/%s/sendMail", user.id, body = { message = { subject = "Farewell",
        body = { contentType = "Text", content = "You have left." },
        toRecipients = { { emailAddress = { address = "grace@contoso.com" } } } } } }
    end,
    probe = function() return "unknown" end })
  wf:stage("reclaim", { after = "farewell" }, { a.groups.leave_all { transfer_sole_ownership_to = "grace@contoso.com" },
    a.licenses.remove_all })
  return wf
end

--- The first people of a tenant, without Grace, who takes over, and guests, who have no mail.
---@param filter? table more that they must be: { synced = false }
function M.people(tenant, count, filter)
  local names, all = {}, { guest = false, licensed = true }
  for name, value in pairs(filter or {}) do all[name] = value end
  for _, user in ipairs(tenant:users(all)) do
    if #names < count and user.userPrincipalName ~= "grace@contoso.com" then
      names[#names + 1] = user.userPrincipalName
    end
  end
  return names
end

--- How often the tenant carried out each thing that must not be done twice, by what it did.
---@return table<string, integer>
function M.acts(tenant)
  local counts = {}
  for _, entry in ipairs(tenant:requests { method = "POST" }) do
    for _, action in ipairs(entry.actions) do
      local what = action:match "^retire %S+$" or action:match "^send_mail %S+$"
      if what then counts[what] = (counts[what] or 0) + 1 end
    end
  end
  return counts
end

return M
