-- spec/support/scenes.lua
--- Every call of the resources (msgraph.calls), each in a scene of a simulated tenant where it can be made.
local calls = require "msgraph.calls"
local graph = require "msgraph"
local sim = require "msgraph.sim"

local M = {}

local KINDS = {}
for kind, rows in pairs(calls) do
  if rows.root then KINDS[#KINDS + 1] = kind end
end
table.sort(KINDS)

--- Calls `visit` with each call once.
---@param visit fun(kind: string, name: string, call: msgraph.Call)
function M.each(visit)
  for _, kind in ipairs(KINDS) do
    local names, by_name = {}, {}
    for topic, list in pairs(calls[kind]) do
      if type(list) == "table" and topic ~= "root" then
        for name, call in pairs(list) do names[#names + 1], by_name[name] = name, call end
      end
    end
    table.sort(names)
    for _, name in ipairs(names) do visit(kind, name, by_name[name]) end
  end
end

--- The path as the index of permissions has it; of one collection of authentication methods, where there are several.
function M.path_of(kind, call)
  if type(call[2]) == "function" then return "/users/{id}/authentication/microsoftAuthenticatorMethods/{method}" end
  return call[2]:find("^%^") and call[2]:sub(2) or calls[kind].root .. call[2]
end

-- ---- scenes -------------------------------------------------------------------------------------

local APP = nil -- filled where the tenant is known
local ROLE = "62e90394-69f5-4237-9190-012177145e10"
local USER_ADMIN = "fe930be7-5e62-47db-91af-98c3a49a38b1"
local EMS = "efccb6f7-5641-4e0e-bd10-b4976e1bf68e"

--- The role Ada may activate.
M.INTUNE_ADMIN = "3a2c62db-5318-420d-8d74-23affee5d9d5"

--- Options of calendar_view.
M.WINDOW = { query = { startDateTime = "2026-01-01T00:00:00Z", endDateTime = "2027-01-01T00:00:00Z" } }

--- The one of a list with this field.
function M.named(list, name, value)
  for _, item in ipairs(list) do
    if item[name] == value then return item end
  end
  error(("nothing with %s = %s"):format(name, tostring(value)))
end

local function group_id(s, name)
  return M.named(assert(s.ada:groups()), "displayName", name).id
end

-- Whom a call is about, and what it is given: functions of the scene. `s.ada` and `s.grace` are handles of a client
-- that may do everything, `s.admin` is that client.
local ABOUT, ARGS = {}, { user = {}, tenant = {} }

for kind, about in pairs {
  group = function(s) return group_id(s, "VPN") end,
  application = function() return APP end, service_principal = function() return APP end,
  directory_role = function(s)
    return M.named(assert(s.admin:tenant():directory_roles()), "roleTemplateId", ROLE).id
  end,
  device = function(s) return assert(s.ada:registered_devices())[1].id end,
  managed_device = function(s) return assert(s.ada:managed_devices())[2].id end, -- which can be wiped
  deleted = function(s)
    assert(s.ada:delete())
    return s.ada.id
  end,
  team = function(s) return group_id(s, "Project Apollo") end,
  drive = function(s) return assert(s.ada:drive()).id end,
  user = function(s) return s.ada.id end, tenant = function() return nil end,
} do
  ABOUT[kind], ARGS[kind] = about, ARGS[kind] or {}
end

local function pavel(s) return s.tenant:users({ displayName = "Pavel Novák" })[1].id end

ARGS.user.update = function() return { department = "Alumni" } end
ARGS.user.set_password = function() return { password = "correct horse battery" } end
ARGS.user.set_manager = pavel
ARGS.user.assign_licenses = function() return { { skuId = EMS } } end
ARGS.user.remove_licenses = function() return { EMS } end
ARGS.user.add_to_group = function(s) return (M.named(s.tenant:groups(), "displayName", "Blocked").id) end
ARGS.user.remove_from_group = function(s) return group_id(s, "VPN") end
ARGS.user.remove_role_assignment = function(s) return assert(s.grace:role_assignments())[1].id end
ARGS.user.remove_active_role = function() return { roleDefinitionId = USER_ADMIN, justification = "leaver" } end
ARGS.user.remove_eligible_role = function() return { roleDefinitionId = M.INTUNE_ADMIN } end
ARGS.user.remove_app_role_assignment = function(s)
  return M.named(assert(s.ada:app_role_assignments()), "principalType", "User").id
end
ARGS.user.remove_oauth_grant = function(s) return assert(s.ada:oauth_grants())[1].id end
ARGS.user.delete_authentication_method = function(s)
  return M.named(assert(s.ada:authentication_methods()), "@odata.type",
    "#microsoft.graph.microsoftAuthenticatorAuthenticationMethod")
end
ARGS.user.wipe_app_data = function(s) return assert(s.ada:app_registrations())[1].deviceTag end
ARGS.user.set_auto_reply = function() return { status = "alwaysEnabled", internalReplyMessage = "gone" } end
ARGS.user.create_inbox_rule = function()
  return { displayName = "To Grace", sequence = 1, isEnabled = true, actions = { stopProcessingRules = true } }
end
ARGS.user.delete_inbox_rule = function(s) return assert(s.ada:inbox_rules())[1].id end
ARGS.user.send_mail = function()
  return { message = { subject = "x", toRecipients = graph.array() }, saveToSentItems = false }
end
ARGS.user.calendar_view = function() return M.WINDOW end
ARGS.user.cancel_event = function(s)
  return M.named(assert(s.ada:calendar_view(M.WINDOW)), "isOrganizer", true).id, { comment = "left" }
end
ARGS.user.decline_event = function(s) return M.named(assert(s.ada:calendar_view(M.WINDOW)), "isOrganizer", false).id end
ARGS.user.delete_event = ARGS.user.decline_event
ARGS.user.add_calendar_permission = function()
  return { emailAddress = { address = "grace@contoso.com" }, role = "read", isInsideOrganization = true }
end
ARGS.user.remove_calendar_permission = function(s)
  return assert(s.ada:add_calendar_permission(ARGS.user.add_calendar_permission())).id
end
ARGS.group.add_member, ARGS.group.add_owner = pavel, pavel
ARGS.group.remove_member = function(s) return s.ada.id end
ARGS.group.remove_owner = function(s)
  assert(s.admin:group(group_id(s, "VPN")):add_owner(s.ada.id))
  return s.ada.id
end
ARGS.application.add_owner, ARGS.service_principal.add_owner = pavel, pavel
ARGS.application.remove_owner = function(s) return s.ada.id end
ARGS.service_principal.remove_owner = ARGS.application.remove_owner
ARGS.directory_role.remove_member = function(s) return s.grace.id end
ARGS.device.remove_registered_owner = function(s) return s.ada.id end
ARGS.device.remove_registered_user = ARGS.device.remove_registered_owner
ARGS.managed_device.delete_shared_user = function() return "ada@contoso.com" end
ARGS.team.remove_member = function(s)
  return M.named(assert(s.admin:team(group_id(s, "Project Apollo")):members()), "userId", s.ada.id).id
end
local INVITATION = { recipients = { { email = "grace@contoso.com" } }, roles = { "write" } }
ARGS.drive.permissions = function() return "root" end
ARGS.drive.invite = function() return "root", INVITATION end
ARGS.drive.remove_permission = function(s)
  return "root", assert(s.admin:drive(ABOUT.drive(s)):invite("root", INVITATION)).value[1].id
end
ARGS.drive.copy = function() return "root", { parentReference = { driveId = "d", id = "i" } } end
ARGS.tenant.confirm_compromised = function(s) return { s.ada.id } end

-- Those that are about somebody else than Ada: administrators have roles.
local ABOUT_GRACE = { role_assignments = true, remove_role_assignment = true, active_roles = true,
  remove_active_role = true, eligible_roles = true, remove_eligible_role = true }

-- ---- the tenant ---------------------------------------------------------------------------------

local EVERYTHING = {}
for _, row in ipairs(require("msgraph.permissions.index").names) do EVERYTHING[#EVERYTHING + 1] = row[1] end

M.ROLES = { "Global Administrator" }

function M.connect(tenant, token)
  return assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file, auth = graph.auth.token(token) })
end

--- A tenant, a client that may do everything, and two people.
---@return table s closes both
function M.scene()
  local tenant = assert(sim.start { users = 12, seed = 1 })
  local admin = M.connect(tenant, tenant:token { kind = "delegated", roles = M.ROLES, scopes = EVERYTHING })
  APP = tenant:users()[1] and tenant:application_id()
  return setmetatable({
    tenant = tenant, admin = admin,
    ada = admin:user(tenant:users({ displayName = "Ada Lovelace" })[1].id),
    grace = admin:user(tenant:users({ displayName = "Grace Hopper" })[1].id),
  }, { __close = function(self)
    self.admin:close()
    self.tenant:stop()
  end })
end

--- A client with no more than is needed: an application where that will do, or else an administrator.
function M.client_with(s, call, least)
  if call.permissions then return M.connect(s.tenant, s.tenant:token { scopes = call.permissions }) end
  if least.application then return M.connect(s.tenant, s.tenant:token { scopes = { least.application } }) end
  return M.connect(s.tenant, s.tenant:token { kind = "delegated", roles = M.ROLES, scopes = { least.delegated } })
end

--- Whom a call is about: the id, or nil.
function M.subject(s, kind, name)
  return ABOUT_GRACE[name] and s.grace.id or ABOUT[kind](s)
end

--- What it is given, packed.
function M.arguments(s, kind, name)
  local make = ARGS[kind][name]
  if not make then return { n = 0 } end
  return table.pack(make(s))
end

--- How much was done in a tenant, by its own log.
function M.actions(tenant)
  local n = 0
  for _, entry in ipairs(tenant:requests()) do n = n + #entry.actions end
  return n
end

return M
