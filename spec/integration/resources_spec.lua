--- Every call of the resources against the simulated tenant: with the permission it names and no other, once and
--- again; without that permission; and what stands in the way of each.
local calls = require "msgraph.calls"
local graph = require "msgraph"
local permissions = require "msgraph.permissions"
local repeatable = require "msgraph.repeatable"
local sim = require "msgraph.sim"

local KINDS = {}
for kind, rows in pairs(calls) do
  if rows.root then KINDS[#KINDS + 1] = kind end
end
table.sort(KINDS)

-- Calls `visit` with each call once.
local function each_call(visit)
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

-- The path as the index has it; of one collection of authentication methods, where there are several.
local function path_of(kind, call)
  if type(call[2]) == "function" then return "/users/{id}/authentication/microsoftAuthenticatorMethods/{method}" end
  return call[2]:find("^%^") and call[2]:sub(2) or calls[kind].root .. call[2]
end

-- ---- scenes -------------------------------------------------------------------------------------

local APP = nil -- filled where the tenant is known
local ROLE = "62e90394-69f5-4237-9190-012177145e10"
local INTUNE_ADMIN, USER_ADMIN = "3a2c62db-5318-420d-8d74-23affee5d9d5", "fe930be7-5e62-47db-91af-98c3a49a38b1"
local EMS = "efccb6f7-5641-4e0e-bd10-b4976e1bf68e"
local WINDOW = { query = { startDateTime = "2026-01-01T00:00:00Z", endDateTime = "2027-01-01T00:00:00Z" } }

local function named(list, name, value)
  for _, item in ipairs(list) do
    if item[name] == value then return item end
  end
  error(("nothing with %s = %s"):format(name, tostring(value)))
end

local function group_id(s, name)
  return named(assert(s.ada:groups()), "displayName", name).id
end

-- Whom a call is about, and what it is given: functions of the scene. `s.ada` and `s.grace` are handles of a client
-- that may do everything, `s.admin` is that client.
local ABOUT, ARGS = {}, { user = {}, tenant = {} }

for kind, about in pairs {
  group = function(s) return group_id(s, "VPN") end,
  application = function() return APP end, service_principal = function() return APP end,
  directory_role = function(s)
    return named(assert(s.admin:tenant():directory_roles()), "roleTemplateId", ROLE).id
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
ARGS.user.add_to_group = function(s) return (named(s.tenant:groups(), "displayName", "Blocked").id) end
ARGS.user.remove_from_group = function(s) return group_id(s, "VPN") end
ARGS.user.remove_role_assignment = function(s) return assert(s.grace:role_assignments())[1].id end
ARGS.user.remove_active_role = function() return { roleDefinitionId = USER_ADMIN, justification = "leaver" } end
ARGS.user.remove_eligible_role = function() return { roleDefinitionId = INTUNE_ADMIN } end
ARGS.user.remove_app_role_assignment = function(s)
  return named(assert(s.ada:app_role_assignments()), "principalType", "User").id
end
ARGS.user.remove_oauth_grant = function(s) return assert(s.ada:oauth_grants())[1].id end
ARGS.user.delete_authentication_method = function(s)
  return named(assert(s.ada:authentication_methods()), "@odata.type",
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
ARGS.user.calendar_view = function() return WINDOW end
ARGS.user.cancel_event = function(s)
  return named(assert(s.ada:calendar_view(WINDOW)), "isOrganizer", true).id, { comment = "left" }
end
ARGS.user.decline_event = function(s) return named(assert(s.ada:calendar_view(WINDOW)), "isOrganizer", false).id end
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
  return named(assert(s.admin:team(group_id(s, "Project Apollo")):members()), "userId", s.ada.id).id
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

local ROLES = { "Global Administrator" }

local function connect(tenant, token)
  return assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file, auth = graph.auth.token(token) })
end

local function scene()
  local tenant = assert(sim.start { users = 12, seed = 1 })
  local admin = connect(tenant, tenant:token { kind = "delegated", roles = ROLES, scopes = EVERYTHING })
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

-- A client with no more than is needed: an application where that will do, or else an administrator.
local function client_with(s, call, least)
  if call.permissions then return connect(s.tenant, s.tenant:token { scopes = call.permissions }) end
  if least.application then return connect(s.tenant, s.tenant:token { scopes = { least.application } }) end
  return connect(s.tenant, s.tenant:token { kind = "delegated", roles = ROLES, scopes = { least.delegated } })
end

local function subject(s, kind, name)
  return ABOUT_GRACE[name] and s.grace.id or ABOUT[kind](s)
end

local function arguments(s, kind, name)
  local make = ARGS[kind][name]
  if not make then return { n = 0 } end
  return table.pack(make(s))
end

local function actions(tenant)
  local n = 0
  for _, entry in ipairs(tenant:requests()) do n = n + #entry.actions end
  return n
end

-- What a second sending must bring, by the word in the table.
local AGAIN = {
  same = function(ok, err) assert.is_truthy(ok, tostring(err)) end,
  acts = function(ok, err, done) assert.is_truthy(ok, tostring(err)); assert.equal(2, done) end,
}
AGAIN.doubles = AGAIN.acts
for name, about in pairs(calls.AGAIN) do
  AGAIN[name] = AGAIN[name] or function(ok, err, done)
    assert.is_nil(ok)
    assert.is_true(err.already_done, tostring(err))
    assert.is_function(about[2])
    assert.equal(1, done)
  end
end

each_call(function(kind, name, call)
  describe(("%s:%s"):format(kind, name), function()
    local needs = permissions.find(call[1], path_of(kind, call))

    it("has a permission in the index", function() assert.is_truthy(needs) end)

    it("says what it is and does", function()
      assert.is_true(#call.about > 0)
      assert.equal(call[1] == "GET", call.effect == "read")
      assert.equal(call.effect ~= "read", calls.AGAIN[call.again] ~= nil)
      assert.equal(call.effect == "once", call.again == "doubles")
    end)

    it("is not taken for repeatable where it is not", function()
      if call[1] == "POST" and repeatable.is("POST", path_of(kind, call)) then assert.equal("converge", call.effect) end
    end)

    it("works with that permission, and does again what the table says", function()
      local s <close> = scene()
      local id, args = subject(s, kind, name), arguments(s, kind, name)
      local client <close> = client_with(s, call, needs.least)
      local thing = client[kind](client, id)
      local before = actions(s.tenant)
      local ok, err = thing[name](thing, table.unpack(args, 1, args.n))
      assert.is_truthy(ok, tostring(err))
      if call.list or call.pick then assert.is_nil(getmetatable(ok)) end
      if call.effect == "read" then return assert.equal(before, actions(s.tenant)) end
      assert.equal(before + 1, actions(s.tenant))
      ok, err = thing[name](thing, table.unpack(args, 1, args.n))
      AGAIN[call.again](ok, err, actions(s.tenant) - before)
    end)

    it("is refused without it, and the refusal names it", function()
      local s <close> = scene()
      local id, args = subject(s, kind, name), arguments(s, kind, name)
      local client <close> = connect(s.tenant, s.tenant:token { scopes = { "Sites.Selected" } })
      local thing, before = client[kind](client, id), actions(s.tenant)
      local ok, err = thing[name](thing, table.unpack(args, 1, args.n))
      assert.is_nil(ok)
      assert.equal("forbidden", err.kind, tostring(err))
      local least = err.permissions.least.application or err.permissions.least.delegated
      assert.is_truthy(least == needs.least.application or least == needs.least.delegated
        or err.reason == "scope_missing", tostring(err))
      assert.equal(before, actions(s.tenant))
    end)
  end)
end)

-- ---- what stands in the way ---------------------------------------------------------------------

local function group_of(s, name)
  return named(s.tenant:groups(), "displayName", name).id
end

describe("the end of a membership", function()
  it("is not the end of the member", function()
    local s <close> = scene()
    local vpn = group_of(s, "VPN")
    assert.is_true(s.admin:group(vpn):remove_member(s.ada.id))
    assert.is_truthy(s.ada:get())
    assert.equal("DELETE", s.tenant:requests({ method = "DELETE" })[1].method)
    assert.matches("/members/" .. s.ada.id .. "/$ref", s.tenant:requests({ method = "DELETE" })[1].path, 1, true)
  end)

  it("is refused without /$ref, before anything is sent", function()
    local s <close> = scene()
    local path = ("/groups/%s/members/%s"):format(group_of(s, "VPN"), s.ada.id)
    local before = #s.tenant:requests()
    for _, send in ipairs {
      function() s.admin:delete(path) end, function() s.admin:delete(path, { deadline = 5 }) end,
      function() s.admin:request { method = "delete", path = path } end,
      function() s.admin:post("/$batch", { requests = { { id = "1", method = "DELETE", url = path } } }) end,
    } do
      local ok, message = pcall(send)
      assert.is_false(ok)
      assert.matches("resources_spec.lua:%d+: %a+: '/groups/.*no /$ref at its end", message)
    end
    assert.equal(before, #s.tenant:requests())
  end)

  it("is the end of the user where that is said", function()
    local s <close> = scene()
    local path = ("/groups/%s/members/%s"):format(group_of(s, "VPN"), s.ada.id)
    assert.is_true(s.admin:delete(path, { delete_object_itself = true }))
    local _, err = s.ada:get()
    assert.equal("not_found", err.kind)
    assert.same({ "delete_user " .. s.ada.id }, s.tenant:requests({ method = "DELETE" })[1].actions)
    assert.is_truthy(s.admin:deleted(s.ada.id):restore())
    assert.is_truthy(s.ada:get())
  end)
end)

describe("a refusal", function()
  local CASES = {
    { "inherited_license", function(s)
      local inherited
      for _, state in ipairs(assert(s.ada:licenses())) do
        if state.assignedByGroup ~= graph.null then inherited = state.skuId end
      end
      return s.ada:remove_licenses { inherited }
    end },
    { "mail_enabled_group", function(s) return s.ada:remove_from_group(group_of(s, "Finance")) end },
    { "synced_object", function(s) return s.ada:remove_from_group(group_of(s, "Corp File Servers")) end },
    { "synced_object", function(s) return s.admin:user("kaethe.mueller@contoso.com"):disable() end },
    { "last_owner", function(s) return s.admin:group(group_of(s, "Project Apollo")):remove_owner(s.ada.id) end },
    { "default_method", function(s)
      return s.ada:delete_authentication_method(named(assert(s.ada:authentication_methods()), "@odata.type",
        "#microsoft.graph.phoneAuthenticationMethod"))
    end },
    { "not_organizer", function(s)
      return s.ada:cancel_event(named(assert(s.ada:calendar_view(WINDOW)), "isOrganizer", false).id)
    end },
    { "no_mailbox", function(s)
      return s.admin:user(s.tenant:users({ guest = true })[1].id):delete_inbox_rule("x")
    end },
    { "role_not_assigned", function(s) return s.ada:remove_eligible_role { roleDefinitionId = INTUNE_ADMIN } end },
    { nil, function(s) return s.ada:remove_from_group(group_of(s, "Everyone in Berlin")) end },
  }

  for _, case in ipairs(CASES) do
    it("has its reason: " .. tostring(case[1]), function()
      local s <close> = scene()
      local ok, err = case[2](s)
      assert.is_nil(ok)
      assert.equal(case[1], err.reason)
      assert.equal(case[1] == "role_not_assigned" or nil, err.already_done)
      assert.equal(0, actions(s.tenant))
    end)
  end

  it("comes from a role that is not above the target's", function()
    local s <close> = scene()
    local token = s.tenant:token { scopes = { "User.ReadWrite.All", "User.DeleteRestore.All" } }
    local client <close> = connect(s.tenant, token)
    for _, name in ipairs { "disable", "delete" } do
      local thing = client:user(s.grace.id)
      local ok, err = thing[name](thing)
      assert.is_nil(ok)
      assert.equal("forbidden", err.kind)
    end
    assert.is_true(client:user(s.ada.id):disable())
    local held = s.tenant:token { scopes = { "User.ReadWrite.All" }, roles = ROLES }
    local above <close> = connect(s.tenant, held)
    assert.is_true(above:user(s.grace.id):disable())
  end)

  it("has a permission that is less than all: disabling alone", function()
    local s <close> = scene()
    local client <close> = connect(s.tenant,
      s.tenant:token { scopes = { "User.EnableDisableAccount.All", "User.Read.All" } })
    local ada = client:user(s.ada.id)
    assert.is_true(ada:disable())
    assert.is_false(assert(ada:get { select = "accountEnabled" }).accountEnabled)
    assert.equal("forbidden", select(2, ada:update { department = "x" }).kind)
  end)
end)

describe("a thing", function()
  local s
  setup(function() s = scene() end)
  teardown(function()
    s.admin:close()
    s.tenant:stop()
  end)

  it("is told by its kind and id", function()
    assert.equal("msgraph.user(ada@contoso.com)", tostring(s.admin:user("ada@contoso.com")))
    assert.equal("msgraph.tenant()", tostring(s.admin:tenant()))
  end)

  it("may be an Entra device named by Intune's id of it", function()
    local device = assert(s.ada:managed_devices())[1]
    local entra = assert(s.admin:device({ deviceId = device.azureADDeviceId }):get())
    assert.equal(device.azureADDeviceId, entra.deviceId)
    assert.not_equal(device.azureADDeviceId, entra.id)
  end)

  it("may be the signed-in user, if that is said", function()
    assert.equal("grace@contoso.com", assert(s.admin:user("me", { allow_me = true }):get()).userPrincipalName)
  end)

  it("reads with the options of any read", function()
    assert.same({ "@odata.context", "id" }, (function()
      local names = {}
      for name in pairs(assert(s.ada:get { select = "id" })) do names[#names + 1] = name end
      table.sort(names)
      return names
    end)())
    assert.equal(2, #assert(s.ada:groups { limit = 2 }))
  end)

  it("builds a request without sending it", function()
    local before = #s.tenant:requests()
    assert.same({ method = "PATCH", path = "/users/ada%40contoso.com", body = { accountEnabled = false } },
      s.admin:user("ada@contoso.com"):request("disable"))
    assert.same({ method = "DELETE", path = "/groups/g/members/" .. s.ada.id .. "/$ref" },
      s.ada:request("remove_from_group", "g"))
    assert.same({ method = "GET", path = "/roleManagement/directory/roleAssignments",
      filter = "principalId eq '" .. s.ada.id .. "'" }, s.ada:request "role_assignments")
    assert.equal(s.tenant.endpoint .. "/v1.0/directoryObjects/x",
      s.ada:request("set_manager", "x").body["@odata.id"])
    assert.equal(before, #s.tenant:requests())
    assert.equal(200, assert(s.admin:request(s.ada:request "licenses")).status)
  end)

  it("builds requests that travel in a batch", function()
    local results, errors = s.admin:batch { s.ada:request "licenses",
      s.ada:request("update", { department = "Alumni" }),
      s.ada:request("remove_from_group", group_of(s, "Finance")), s.ada:request "manager" }
    assert.equal(s.ada.id, assert(results[1].body).id)
    assert.equal("mail_enabled_group", errors[3].reason)
    assert.equal("grace@contoso.com", results[4].body.userPrincipalName)
    local poor <close> = connect(s.tenant, s.tenant:token { scopes = { "Sites.Selected" } })
    errors = select(2, poor:batch { s.ada:request "disable", s.ada:request "manager" })
    assert.equal("User.ReadWrite.All", errors[1].permissions.least.application)
    assert.equal("User.Read.All", errors[2].permissions.least.delegated)
  end)

  it("goes with others in a batch where its task is told so", function()
    local before = #s.tenant:requests()
    local groups, errors = graph.map({ "VPN", "Engineering", "Finance" }, { batch = true }, function(name)
      return s.ada:remove_from_group(group_of(s, name))
    end)
    assert.same({ true, true, n = 3 }, groups)
    assert.equal("mail_enabled_group", errors[3].reason)
    assert.equal(before + 4, #s.tenant:requests())
  end)

  for what, case in pairs {
    ["an empty id"] = { function() s.admin:user("") end, "user: id" },
    ["a number for an id"] = { function() s.admin:group(5) end, "group: id must be a string, got number" },
    ["two dots"] = { function() s.admin:device("..") end, "device: id" },
    ["me"] = { function() s.admin:user(" Me") end, "allow_me" },
    ["me where there is none"] = { function() s.admin:group("g", { allow_me = true }) end, "option 'allow_me'" },
    ["a missing argument"] = { function() s.ada:remove_from_group() end, "remove_from_group: group must be a string" },
    ["an argument too many"] = { function() s.ada:disable("really") end, "disable: 0 arguments at most, got 1" },
    ["an empty segment"] = { function() s.ada:delete_event("") end, "delete_event: event" },
    ["a principal name where an id is needed"] = { function() s.admin:user("ada@contoso.com"):role_assignments() end,
      "role_assignments: the object id is needed" },
    ["me where an id is needed"] = { function() s.admin:user("me", { allow_me = true }):add_to_group("g") end,
      "add_to_group: the object id is needed" },
    ["a misspelt field"] = { function() s.ada:set_password { pasword = "x" } end, "did you mean 'password'" },
    ["a missing field"] = { function() s.ada:set_password {} end, "set_password: 'password' is missing" },
    ["no list"] = { function() s.ada:remove_licenses("x") end, "remove_licenses: a list is expected, got string" },
    ["an empty list"] = { function() s.ada:remove_licenses {} end, "a list with something in it" },
    ["a list with names"] = { function() s.ada:remove_licenses { "a", x = 1 } end, "a list with something in it" },
    ["a blank text"] = { function() s.ada:wipe_app_data(" ") end, "wipe_app_data: the text is blank" },
    ["an option that is the method's own"] = { function() s.ada:role_assignments { filter = "x eq 'y'" } end,
      "role_assignments: option 'filter' is the method's own" },
    ["options that are none"] = { function() s.ada:get("id") end, "get: options must be a table" },
    ["no method"] = { function() s.ada:delete_authentication_method("x") end, "authentication_methods%(%)" },
    ["the password"] = { function()
      s.ada:delete_authentication_method { ["@odata.type"] = "#microsoft.graph.passwordAuthenticationMethod", id = "x" }
    end, "set_password replaces it" },
    ["a request of no method"] = { function() s.ada:request("fly") end, "a user has no method 'fly'" },
  } do
    it("raises where the caller stands for " .. what, function()
      local before = #s.tenant:requests()
      local ok, message = pcall(case[1])
      assert.is_false(ok)
      assert.matches("resources_spec.lua:%d+: ", message)
      assert.matches(case[2], message)
      assert.equal(before, #s.tenant:requests())
    end)
  end
end)
