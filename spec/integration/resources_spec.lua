--- Every call of the resources against the simulated tenant: with the permission it names and no other, once and
--- again; without that permission; and what stands in the way of each.
local calls = require "msgraph.calls"
local graph = require "msgraph"
local permissions = require "msgraph.permissions"
local repeatable = require "msgraph.repeatable"
local scenes = require "spec.support.scenes"

local actions, arguments, connect, named = scenes.actions, scenes.arguments, scenes.connect, scenes.named
local path_of, scene, subject = scenes.path_of, scenes.scene, scenes.subject
local ROLES, WINDOW = scenes.ROLES, scenes.WINDOW

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

scenes.each(function(kind, name, call)
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
      local client <close> = scenes.client_with(s, call, needs.least)
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

  it("is not deleted by a method in a header", function()
    local s <close> = scene()
    local path = ("/groups/%s/members/%s"):format(group_of(s, "VPN"), s.ada.id)
    for _, name in ipairs { "X-HTTP-Method", "x-http-method-override" } do
      local ok, message = pcall(function() s.admin:post(path, nil, { headers = { [name] = "DELETE" } }) end)
      assert.is_false(ok)
      assert.matches("resources_spec.lua:%d+: post: header 'x%-http%-method[^']*': call the method itself", message)
    end
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
    { "role_not_assigned", function(s)
      return s.ada:remove_eligible_role { roleDefinitionId = scenes.INTUNE_ADMIN }
    end },
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
