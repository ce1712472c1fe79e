-- spec/unit/sim_tenant_spec.lua
local cjson = require "cjson"
local clock = require "msgraph.sim.clock"
local tenants = require "msgraph.sim.tenant"

local HOUR, DAY = 3600, 24 * 3600
local PRIVILEGED = "DeviceManagementManagedDevices.PrivilegedOperations.All"
local READ_DEVICES = "DeviceManagementManagedDevices.Read.All"
local ACTION = "/removeAllDevicesFromManagement"

--- A tenant whose clock only moves when told, and somebody who asks it.
local function new(opts)
  local tenant = tenants.new(opts or {}, function() return 0 end)
  local token = tenant:token()
  local self = { tenant = tenant, token = token }

  function self.ask(method, target, headers, body)
    local all = { host = "graph.test:8443", authorization = "Bearer " .. token }
    if method ~= "GET" then all["content-length"] = "0" end
    for name, value in pairs(headers or {}) do all[name] = value or nil end
    local answer = tenant:answer { method = method, target = target, headers = all, body = body or "" }
    local ok, decoded = pcall(cjson.decode, answer.body)
    return answer, ok and decoded or nil
  end

  function self.get(target, headers) return self.ask("GET", target, headers) end
  function self.post(target, headers) return self.ask("POST", target, headers) end

  --- managementState and actionState of a user's devices, by kind.
  function self.states(upn)
    local out, user = {}, tenant:users { userPrincipalName = upn }[1]
    for _, device in ipairs(tenant:devices { userId = user.id }) do
      out[device.kind] = device.managementState .. " " .. (device.actionState or "-")
    end
    return out
  end

  return self
end

--- The JSON document Intune puts into a message.
local function inner(decoded)
  return cjson.decode(decoded.error.message)
end

local function user_path(upn)
  return "/v1.0/users/" .. upn:gsub("[^%w@.%-_']", function(c) return ("%%%02X"):format(c:byte()) end)
end

describe("the people of a tenant", function()
  it("always have Ada among them, with five devices of different platforms", function()
    for seed = 1, 5 do
      local s = new { users = 1, seed = seed }
      local ada = s.tenant:users()[1]
      assert.equal("ada@contoso.com", ada.userPrincipalName)
      assert.equal("Ada Lovelace", ada.displayName)
      assert.is_true(ada.licensed)
      local systems = {}
      for _, device in ipairs(s.tenant:devices { userId = ada.id }) do systems[device.operatingSystem] = true end
      assert.same({ iOS = true, iPadOS = true, macOS = true, Windows = true, AndroidForWork = true }, systems)
    end
  end)

  it("are of every kind an offboarding meets", function()
    local tenant = new { users = 300 }.tenant
    for _, filter in ipairs { { licensed = true }, { licensed = false, guest = false }, { guest = true },
      { synced = true }, { admin = true }, { accountEnabled = false } } do
      assert.is_true(#tenant:users(filter) > 0)
    end
    local kinds, sleepers = {}, 0
    for _, device in ipairs(tenant:devices()) do
      kinds[device.kind] = true
      if not device.check_in_interval then sleepers = sleepers + 1 end
    end
    local n = 0
    for _ in pairs(kinds) do n = n + 1 end
    assert.equal(10, n)
    assert.is_true(sleepers > 0)
  end)

  it("have names of their own that can be looked up", function()
    local s = new { users = 400 }
    local seen = {}
    for _, user in ipairs(s.tenant:users()) do
      assert.is_nil(seen[user.userPrincipalName:lower()])
      seen[user.userPrincipalName:lower()] = true
      assert.equal(user.id, s.tenant.store:find_user(user.userPrincipalName:upper()).id)
      assert.equal(user.guest, user.userPrincipalName:find("#EXT#@contoso.onmicrosoft.com", 1, true) ~= nil)
    end
  end)

  it("hold devices only with a licence", function()
    for _, user in ipairs(new { users = 300 }.tenant:users()) do
      if not user.licensed then assert.equal(0, user.devices) end
      assert.is_true(user.devices <= 5)
    end
  end)

  it("show the licence in assignedPlans", function()
    local s = new()
    for upn, count in pairs { ["ada@contoso.com"] = 2, ["pavel.novak@contoso.com"] = 1 } do
      local _, user = s.get(user_path(upn) .. "?$select=assignedPlans,assignedLicenses")
      assert.equal(count, #user.assignedPlans)
      assert.equal(count, #user.assignedLicenses) -- Ada has one of them through a group
    end
  end)

  it("are the same for the same seed, to the byte, and others for another", function()
    local function bytes(seed)
      local s = new { seed = seed }
      return s.get("/v1.0/users?$top=50").body .. s.get("/v1.0/deviceManagement/managedDevices").body .. s.token
    end
    assert.equal(bytes(3), bytes(3))
    assert.not_equal(bytes(3), bytes(4))
  end)

  it("may be a billion: nothing is made before it is asked for", function()
    local s = new { users = 1000000000 }
    local _, page = s.get("/v1.0/users?$top=2&$filter=startswith(displayName,'A')")
    assert.equal(2, #page.value)
    local last = s.tenant.store:user(1000000000)
    assert.equal(200, s.get("/v1.0/users/" .. last.id).status)
  end)
end)

describe("a retire", function()
  it("takes every device of Ada away at its next check-in, one after the other", function()
    local s = new()
    assert.equal(204, s.post("/v1.0/users/ada@contoso.com" .. ACTION).status)
    local before = 5
    for _, state in pairs(s.states "ada@contoso.com") do assert.equal("retirePending pending", state) end
    local counts, issued = {}, 0
    for _ = 1, 100 do -- every ten seconds; the last device checks in after 14 minutes at most
      s.tenant:advance(10)
      local n = 0
      for _, state in pairs(s.states "ada@contoso.com") do
        n = n + 1
        if state == "retireIssued active" then issued = issued + 1 end
      end
      assert.is_true(n <= before)
      before, counts[n] = n, true
    end
    assert.equal(0, before)
    assert.is_true(issued > 0)
    assert.is_true(counts[1] and counts[3])
  end)

  it("is refused by Android devices that only know wipe", function()
    local s = new()
    s.post("/v1.0/users/kaethe.mueller@contoso.com" .. ACTION)
    assert.same({
      android_fully_managed = "managed notSupported", android_dedicated = "managed notSupported",
      android_administrator = "retirePending pending",
    }, s.states "kaethe.mueller@contoso.com")
    s.tenant:advance(HOUR)
    assert.is_nil(s.states("kaethe.mueller@contoso.com").android_administrator)
  end)

  it("fails, waits long or waits for ever, depending on the device", function()
    local s = new()
    local upn = "ayse.yilmaz@contoso.com"
    s.post("/v1.0/users/" .. upn .. ACTION)
    s.tenant:advance(HOUR)
    assert.equal("retireFailed failed", s.states(upn).windows_joined)
    s.tenant:advance(7 * DAY)
    assert.is_nil(s.states(upn).macos)
    s.tenant:advance(1000 * DAY)
    assert.same({ ios = "retirePending pending", windows_joined = "retireFailed failed" }, s.states(upn))
  end)

  it("asked for twice changes nothing while it is pending, and is logged twice", function()
    local s = new { users = 2 }
    local path = "/v1.0/users/grace@contoso.com"
    s.post(path .. ACTION)
    local function result()
      local _, page = s.get(path .. "/managedDevices?$select=deviceActionResults")
      return page.value[1].deviceActionResults[1].startDateTime
    end
    local first = result()
    s.tenant:advance(1)
    s.post(path .. ACTION)
    assert.equal(first, result())
    local device = s.tenant:devices { userPrincipalName = "grace@contoso.com" }[1]
    for _, entry in ipairs(s.tenant:requests { method = "POST" }) do
      assert.same({ "retire " .. device.id }, entry.actions)
    end
    assert.equal(2, #s.tenant:requests { method = "POST" })
  end)

  it("of one device leaves the others alone; a deleted one is gone at once", function()
    local s = new()
    local devices = s.tenant:devices { userPrincipalName = "ada@contoso.com" }
    local path = "/v1.0/deviceManagement/managedDevices/"
    assert.equal(204, s.post(path .. devices[1].id .. "/retire").status)
    assert.equal(1, #s.tenant:devices { userPrincipalName = "ada@contoso.com", managementState = "retirePending" })
    s.token = s.tenant:token { scopes = { "DeviceManagementManagedDevices.ReadWrite.All" } }
    local bearer = { authorization = "Bearer " .. s.token }
    assert.equal(204, s.ask("DELETE", path .. devices[2].id, bearer).status)
    assert.equal(4, #s.tenant:devices { userPrincipalName = "ada@contoso.com" })
    assert.equal(404, s.get(path .. devices[2].id, bearer).status)
    assert.equal(404, s.ask("DELETE", path .. devices[2].id, bearer).status)
  end)

  it("of a user without devices is a success that does nothing", function()
    local s = new()
    assert.equal(204, s.post("/v1.0/users/pavel.novak@contoso.com" .. ACTION).status)
    assert.same({}, s.tenant:requests()[1].actions)
  end)
end)

describe("access to a tenant", function()
  for _, case in ipairs {
    { "no header", false, "Access token is empty." },
    { "another scheme", "Basic YTpi", "Access token is empty." },
    { "an empty bearer", "Bearer ", "Access token is empty." },
    { "a word", "Bearer word", "IDX14100" },
    { "a token of somebody else", "Bearer eyJ0.eyJh.c2ln", "Invalid signature" },
  } do
    it("needs a token: " .. case[1], function()
      local s = new()
      local answer, decoded = s.post("/v1.0/users/ada@contoso.com" .. ACTION, { authorization = case[2] })
      assert.equal(401, answer.status)
      assert.equal("InvalidAuthenticationToken", decoded.error.code)
      assert.truthy(decoded.error.message:find(case[3], 1, true))
      assert.truthy(answer.headers["WWW-Authenticate"]:find("^Bearer "))
      assert.same({}, s.tenant:requests()[1].actions)
    end)
  end

  it("ends when the token does", function()
    local s = new()
    s.tenant:advance(3599)
    assert.equal(200, s.get("/v1.0/users").status)
    s.tenant:advance(1)
    local answer, decoded = s.get("/v1.0/users")
    assert.equal(401, answer.status)
    assert.equal("Lifetime validation failed, the token is expired.", decoded.error.message)
  end)

  it("needs the permission, and Intune says which in a JSON document inside a string", function()
    local s = new()
    local answer, decoded = s.post("/v1.0/users/ada@contoso.com" .. ACTION,
      { authorization = "Bearer " .. s.tenant:token { scopes = { "User.Read.All", READ_DEVICES } } })
    assert.equal(403, answer.status)
    assert.equal("Forbidden", decoded.error.code)
    local document = inner(decoded)
    assert.equal(3, document._version)
    assert.truthy(document.Message:find("must have one of the following scopes: " .. PRIVILEGED, 1, true))
    assert.truthy(document.Message:find(decoded.error.innerError["request-id"], 1, true))
  end)

  it("needs the permission, and the directory says no more than that", function()
    local s = new()
    local answer, decoded = s.get("/v1.0/users",
      { authorization = "Bearer " .. s.tenant:token { scopes = { PRIVILEGED } } })
    assert.equal(403, answer.status)
    assert.equal("Authorization_RequestDenied", decoded.error.code)
  end)

  for _, case in ipairs {
    { {}, 403 }, { { "User Administrator" }, 403 }, { { "Read Only Operator" }, 403 },
    { { "Intune Administrator" }, 204 }, { { "Help Desk Operator" }, 204 }, { { "Global Administrator" }, 204 },
  } do
    it("for a signed-in user with roles {" .. table.concat(case[1], ",") .. "} is " .. case[2], function()
      local s = new()
      local answer, decoded = s.post("/v1.0/users/ada@contoso.com" .. ACTION,
        { authorization = "Bearer " .. s.tenant:token { kind = "delegated", roles = case[1] } })
      assert.equal(case[2], answer.status)
      if case[2] == 403 then
        assert.equal("UnknownError", decoded.error.code)
        assert.equal("Forbidden", inner(decoded).ErrorCode)
        assert.equal(3, cjson.decode(inner(decoded).Message)._version)
      end
    end)
  end

  it("to Intune needs a tenant with a licence", function()
    local s = new { intune = false }
    local answer, decoded = s.post("/v1.0/users/ada@contoso.com" .. ACTION)
    assert.equal(400, answer.status)
    assert.equal("Request not applicable to target tenant.", decoded.error.message)
    assert.equal(200, s.get("/v1.0/users").status)
  end)

  it("with User.Read alone shows oneself and nobody else", function()
    local s = new()
    local bearer = { authorization = "Bearer "
      .. s.tenant:token { kind = "delegated", user = "ada@contoso.com", scopes = { "User.Read" } } }
    local answer, me = s.get("/v1.0/me", bearer)
    assert.equal(200, answer.status)
    assert.equal("Ada Lovelace", me.displayName)
    assert.equal(403, s.get("/v1.0/users/grace@contoso.com", bearer).status)
  end)

  it("is checked in order: token, path, permission, licence, role, user", function()
    local s = new { intune = false }
    local function bearer(opts) return { authorization = "Bearer " .. s.tenant:token(opts) } end
    local nobody = "/v1.0/users/nobody@contoso.com" .. ACTION
    assert.equal(401, s.post("/v1.0/nothing", { authorization = false }).status)
    assert.equal(400, s.post("/v1.0/nothing", bearer { scopes = {} }).status)
    assert.equal(403, s.post(nobody, bearer { scopes = {} }).status)
    assert.equal(400, s.post(nobody, bearer { kind = "delegated" }).status)
    s = new()
    assert.equal(403, s.post(nobody, bearer { kind = "delegated" }).status)
    assert.equal(404, s.post(nobody).status)
  end)
end)

describe("tokens", function()
  it("look real and come from the seed", function()
    local a, b = new { seed = 1 }, new { seed = 1 }
    assert.equal(a.token, b.token)
    assert.not_equal(a.token, a.tenant:token())
    assert.truthy(a.token:match("^eyJ[%w%-_]+%.[%w%-_]+%.[%w%-_]+$"))
    assert.is_true(#a.token > 1400 and #a.token < 2000)
  end)

  for _, case in ipairs {
    { { scopes = { "DeviceManagementManagedDevices.PriviligedOperation.All" } }, "AADSTS70011" },
    { { kind = "device" }, "kind is" }, { { scope = {} }, "unknown option 'scope'" },
    { { user = "ada@contoso.com" }, "belongs to a delegated token" },
    { { kind = "delegated", user = "nobody@contoso.com" }, "no such user" },
  } do
    it("are not issued for nonsense: " .. case[2], function()
      assert.error_matches(function() new().tenant:token(case[1]) end, case[2])
    end)
  end
end)

describe("a path", function()
  for _, case in ipairs {
    { "POST", "/v1.0/users/ADA@Contoso.com" .. ACTION, 204 },
    { "POST", "/beta/users/ada@contoso.com" .. ACTION, 204 },
    { "POST", "/v1.0/users/ada@contoso.com/microsoft.graph.removeAllDevicesFromManagement", 204 },
    { "POST", "/v1.0/Users/ada%40contoso.com/removealldevicesfrommanagement", 204 },
    { "POST", "/v1.0/deviceManagement/detectedApps/a/managedDevices/b/users/ada@contoso.com" .. ACTION, 204 },
    { "POST", "/v1.0/users/conan.o'brien@contoso.com" .. ACTION, 204 },
    { "POST", "/v1.0/users/conan.o%27brien@contoso.com" .. ACTION, 204 },
    { "POST", "/v1.0/users/lin_example.com%23EXT%23@contoso.onmicrosoft.com" .. ACTION, 204 },
    { "POST", "/v1.0/users/lin_example.com" .. "#EXT#@contoso.onmicrosoft.com" .. ACTION, 405 },
    { "POST", "/v1.0/users/a%2Fb" .. ACTION, 404 },
    { "POST", "/v1.0/users/a/b" .. ACTION, 400 },
    { "POST", "/v1.0/users/ada+x@contoso.com" .. ACTION, 404 },
    { "POST", "/v1.0/users/%zz" .. ACTION, 400 },
    { "POST", "/v1.0/users/%4" .. ACTION, 400 },
    { "POST", "/v1.0/users/" .. ACTION, 400 },
    { "POST", "/v1.0/me" .. ACTION, 400 },
    { "GET", "/v1.0/users/ada@contoso.com" .. ACTION, 405 },
    { "POST", "/v1.0/users", 405 },
    { "GET", "/v1.0/sites", 400 },
    { "GET", "/v2.0/users", 400 },
    { "GET", "/", 400 },
    { "GET", "/v1.0/users/", 200 },
    { "DELETE", "/v1.0/users/ada@contoso.com/managedDevices/x", 403 },
    { "GET", "/v1.0/deviceManagement/managedDevices/no-guid", 400 },
    { "GET", "/v1.0/deviceManagement/managedDevices/00000000-0000-4000-8000-000000000000", 404 },
  } do
    it(case[1] .. " " .. case[2] .. " is " .. case[3], function()
      local answer, decoded = new().ask(case[1], case[2])
      assert.equal(case[3], answer.status)
      if case[3] >= 400 then assert.is_string(decoded.error.code) end
    end)
  end

  it("names the user as decoded in the 404", function()
    local _, decoded = new().post("/v1.0/users/a%2Fb%20c+d" .. ACTION)
    assert.equal("Request_ResourceNotFound", decoded.error.code)
    assert.truthy(decoded.error.message:find("'a/b c+d'", 1, true))
  end)

  it("through /me is the signed-in user's own", function()
    local s = new()
    local bearer = { authorization = "Bearer "
      .. s.tenant:token { kind = "delegated", user = "ada@contoso.com", roles = { "Intune Administrator" } } }
    assert.equal(204, s.post("/v1.0/me" .. ACTION, bearer).status)
    assert.equal(5, #s.tenant:requests()[1].actions)
    assert.equal("ada@contoso.com", s.tenant:requests()[1].caller)
  end)

  it("to delete a user's device is in the OpenAPI and not in the service", function()
    local s = new()
    local answer, decoded = s.ask("DELETE", "/v1.0/users/ada@contoso.com/managedDevices/x", { authorization = "Bearer "
      .. s.tenant:token { scopes = { "DeviceManagementManagedDevices.ReadWrite.All" } } })
    assert.equal(404, answer.status)
    assert.truthy(decoded.error.message:find("No OData route exists that match template", 1, true))
  end)

  it("needs a length for a POST, and takes no more than the server read", function()
    local s = new()
    local path = "/v1.0/users/ada@contoso.com" .. ACTION
    assert.equal(411, s.post(path, { ["content-length"] = false }).status)
    assert.equal(204, s.post(path, { ["content-length"] = false, ["transfer-encoding"] = "chunked" }).status)
    local answer = s.tenant:answer { method = "POST", target = path,
      headers = { authorization = "Bearer " .. s.token, ["content-length"] = "9999999" } }
    assert.equal(413, answer.status)
  end)
end)

describe("a listing", function()
  local function all(s, target)
    local items, pages = {}, 0
    while target do
      local answer, page = s.get(target)
      assert.equal(200, answer.status)
      pages = pages + 1
      for _, item in ipairs(page.value) do items[#items + 1] = item end
      target = page["@odata.nextLink"] and page["@odata.nextLink"]:match("^https://graph%.test:8443(/.*)$")
    end
    return items, pages
  end

  it("comes in pages that together hold everybody once", function()
    local s = new { users = 50 }
    local items, pages = all(s, "/v1.0/users?$top=7&$select=id")
    assert.equal(8, pages)
    local users = s.tenant:users()
    assert.equal(#users, #items)
    for i, item in ipairs(items) do assert.equal(users[i].id, item.id) end
  end)

  it("has 100 users a page, and no link after the last", function()
    local s = new { users = 200 }
    local _, pages = all(s, "/v1.0/users")
    assert.equal(2, pages)
  end)

  it("of devices is that of every user", function()
    local s = new { users = 60 }
    local items = all(s, "/v1.0/deviceManagement/managedDevices?$top=11&$select=id")
    local devices = s.tenant:devices()
    assert.equal(#devices, #items)
    for i, item in ipairs(items) do assert.equal(devices[i].id, item.id) end
  end)

  it("of one user's devices is the same by path and by filter", function()
    local s = new()
    local id = s.tenant:users()[1].id
    local by_path = all(s, "/v1.0/users/" .. id .. "/managedDevices?$select=id&$top=2")
    local by_filter = all(s, "/v1.0/deviceManagement/managedDevices?$select=id&$filter=userId%20eq%20'" .. id .. "'")
    local by_upn = all(s, "/v1.0/deviceManagement/managedDevices?$select=id"
      .. "&$filter=userPrincipalName+eq+'Ada@contoso.com'")
    assert.equal(5, #by_path)
    assert.same(by_path, by_filter)
    assert.same(by_path, by_upn)
  end)

  it("with a filter that matches little has short and empty pages", function()
    local s = new { users = 5000 }
    local _, pages = all(s, "/v1.0/users?$filter=mail%20eq%20'nobody@contoso.com'")
    assert.equal(3, pages)
  end)

  it("counts on its first page, for users only with ConsistencyLevel", function()
    local s = new { users = 30 }
    local _, page = s.get("/v1.0/users?$count=true&$top=20")
    assert.is_nil(page["@odata.count"])
    _, page = s.get("/v1.0/users?$count=true&$top=20", { consistencylevel = "eventual" })
    assert.equal(30, page["@odata.count"])
    _, page = s.get(page["@odata.nextLink"]:match("^https://[^/]*(.*)$"), { consistencylevel = "eventual" })
    assert.is_nil(page["@odata.count"])
    assert.equal(10, #page.value)
    _, page = s.get("/v1.0/users/ada@contoso.com/managedDevices?$count=true")
    assert.equal(5, page["@odata.count"])
  end)

  it("shows the default properties, or those selected, unmodelled ones as null", function()
    local s = new()
    local _, page = s.get("/v1.0/users?$top=1")
    assert.is_nil(page.value[1].accountEnabled)
    assert.equal("Ada", page.value[1].givenName)
    local answer = s.get("/v1.0/users?$top=1&$select=accountEnabled,employeeId,onPremisesSyncEnabled")
    assert.truthy(answer.body:find(
      '"value":[{"accountEnabled":true,"employeeId":null,"onPremisesSyncEnabled":null}]', 1, true))
    _, page = s.get("/v1.0/users/ada@contoso.com?$select=id")
    assert.truthy(page["@odata.context"]:find("/v1.0/$metadata#users(id)/$entity", 1, true))
  end)

  for _, case in ipairs {
    { "accountEnabled%20eq%20false", 1 }, { "accountEnabled+eq+false+and+displayName+eq+'x'", 0 },
    { "startswith(displayName,'ada')", 1 }, { "startswith(displayName,%27Conan%20O%27%27B%27)", 1 },
    { "userPrincipalName%20eq%20'conan.o''brien@contoso.com'", 1 }, { "userType%20eq%20'Guest'", 1 },
    { "onPremisesSyncEnabled%20eq%20true", 1 }, { "userPrincipalName%20eq%20'nobody@contoso.com'", 0 },
    { "mail eq null", 0 }, { " accountEnabled  eq  true ", 6 },
  } do
    it("filtered by " .. case[1], function()
      local _, page = new { users = 7 }.get("/v1.0/users?$select=id&$filter=" .. case[1])
      assert.equal(case[2], #page.value)
    end)
  end

  for _, case in ipairs {
    { "users?$filter=department%20eq%20'IT'", "Request_UnsupportedQuery" },
    { "users?$filter=displayName%20gt%20'A'", "Request_UnsupportedQuery" },
    { "users?$filter=startswith(mail,'a')", "Request_UnsupportedQuery" },
    { "users?$filter=accountEnabled", "BadRequest" }, { "users?$filter=", "BadRequest" },
    { "users?$filter=displayName%20eq%20'A", "BadRequest" },
    { "users?$filter=displayName%20eq%20'A'%20or%20displayName%20eq%20'B'", "BadRequest" },
    { "users?$filter=displayName%20eq%20A", "BadRequest" }, { "users?$filter=%C3%A4", "BadRequest" },
    { "users?$select=nothing", "BadRequest" }, { "users?$top=0", "Request_UnsupportedQuery" },
    { "users?$top=1000", "Request_UnsupportedQuery" }, { "users?$top=x", "Request_UnsupportedQuery" },
    { "users?$top=99999999999999999999", "Request_UnsupportedQuery" },
    { "users?$skiptoken=made-up", "Request_UnsupportedQuery" }, { "users?$expand=manager", "Request_UnsupportedQuery" },
    { "users/ada@contoso.com?$top=1", "Request_UnsupportedQuery" },
    { "deviceManagement/managedDevices?$filter=model%20eq%20'x'", "BadRequest" },
  } do
    it("refuses " .. case[1], function()
      local answer, decoded = new().get("/v1.0/" .. case[1])
      assert.equal(400, answer.status)
      assert.equal(case[2], decoded.error.code)
    end)
  end

  it("of devices lowers a page size that is too large", function()
    assert.equal(200, new().get("/v1.0/deviceManagement/managedDevices?$top=5000").status)
  end)
end)

describe("every answer", function()
  it("carries ids, the tenant's date and a diagnostic", function()
    local s = new()
    for _, target in ipairs { "/v1.0/users", "/v1.0/users/nobody", "/nothing" } do
      local answer, decoded = s.get(target, { ["client-request-id"] = "my-own-id" })
      assert.equal("my-own-id", answer.headers["client-request-id"])
      assert.equal("Fri, 04 Sep 2026 08:00:00 GMT", answer.headers["Date"])
      assert.truthy(answer.headers["x-ms-ags-diagnostic"]:find("ServerInfo", 1, true))
      assert.truthy(answer.headers["Content-Type"]:find("^application/json"))
      if decoded.error then
        assert.equal(answer.headers["request-id"], decoded.error.innerError["request-id"])
        assert.equal("my-own-id", decoded.error.innerError["client-request-id"])
        assert.equal("2026-09-04T08:00:00", decoded.error.innerError.date)
      end
    end
  end)

  it("is told to the log, without a token", function()
    local s = new()
    s.post("/v1.0/users/ada@contoso.com" .. ACTION .. "?x=" .. s.token, { ["client-request-id"] = "my-own-id" })
    s.get("/v1.0/users/" .. s.token)
    local log = s.tenant:requests()
    assert.equal(2, #log)
    local first = log[1]
    assert.equal(1, first.n)
    assert.equal("POST", first.method)
    assert.equal(204, first.status)
    assert.equal("my-own-id", first.client_request_id)
    assert.equal(s.tenant:users()[1].id, first.user)
    assert.equal("application", first.caller)
    assert.equal(5, #first.actions)
    local text = require("msgraph.sim.host").encode(log)
    assert.is_nil(text:find(s.token:sub(1, 40), 1, true))
    assert.is_nil(text:lower():find("authorization", 1, true))
    assert.same({ log[2] }, s.tenant:requests { status = 404 })
  end)
end)

describe("the tenant's clock", function()
  it("passes at its speed and jumps when told", function()
    local real = 100
    local tenant = tenants.new({ speed = 60 }, function() return real end)
    real = 110
    assert.equal(clock.START + 600, tenant:now())
    tenant:advance(5)
    assert.equal("Fri, 04 Sep 2026 08:10:35 GMT", tenant:date(30))
    assert.equal("2026-09-04T08:10:05Z", clock.iso(tenant:now()))
  end)
end)

describe("a fault", function()
  local POST = "/v1.0/users/ada@contoso.com" .. ACTION

  it("happens to the requests it names, as often as told, after as many as told", function()
    local s = new()
    s.tenant:fault { kind = "status", method = "GET", path = "^/v1%.0/users$", status = 503, times = 2, after = 1 }
    local seen = {}
    for i = 1, 5 do seen[i] = s.get("/v1.0/users?$top=1").status end
    assert.same({ 200, 503, 503, 200, 200 }, seen)
    assert.equal(204, s.post(POST).status)
  end)

  it("with a status keeps the request from acting", function()
    local s = new()
    s.tenant:fault { kind = "status", retry_after = "2.128" }
    local answer, decoded = s.post(POST)
    assert.equal(429, answer.status)
    assert.equal("2.128", answer.headers["Retry-After"])
    assert.equal("TooManyRequests", decoded.error.code)
    assert.same({}, s.tenant:requests()[1].actions)
    assert.equal("status", s.tenant:requests()[1].fault)
  end)

  for _, case in ipairs {
    { "5", 5 }, { "5", 5.0 }, { "2.5", 2.5 }, { "Fri, 04 Sep 2026 08:00:30 GMT", "Fri, 04 Sep 2026 08:00:30 GMT" },
  } do
    it(("sends Retry-After: %s for %q"):format(case[1], case[2]), function()
      local s = new()
      s.tenant:fault { kind = "status", status = 503, retry_after = case[2] }
      assert.equal(case[1], s.get("/v1.0/users").headers["Retry-After"])
    end)
  end

  for _, case in ipairs { { "reset_before", 0 }, { "reset_after", 5 } } do
    it("as " .. case[1] .. " acts on " .. case[2] .. " devices", function()
      local s = new()
      s.tenant:fault { kind = case[1] }
      local answer = s.post(POST)
      assert.is_true(answer.reset)
      assert.equal(case[2], #s.tenant:requests()[1].actions)
      assert.is_nil(s.tenant:requests()[1].status)
      assert.equal(case[2], #s.tenant:devices {
        userPrincipalName = "ada@contoso.com", managementState = "retirePending",
      })
    end)
  end

  it("as cut_body, stall or latency acts and spoils the answer", function()
    local s = new()
    s.tenant:fault { kind = "cut_body" }
    local answer = s.post(POST)
    assert.equal(200, answer.status)
    assert.is_true(answer.cut_at > 0 and answer.cut_at < #answer.body)
    s.tenant:fault { kind = "cut_body", bytes = 1000000 }
    answer = s.get("/v1.0/users")
    assert.equal(#answer.body - 1, answer.cut_at)
    s.tenant:fault { kind = "stall", bytes = 3, seconds = 1.5 }
    answer = s.get("/v1.0/users")
    assert.equal(3, answer.stall_at)
    assert.equal(1500, answer.stall_ms)
    s.tenant:fault { kind = "latency", seconds = 0.25 }
    answer = s.post(POST)
    assert.equal(250, answer.delay_ms)
    assert.equal(204, answer.status)
  end)

  it("as not_json is a proxy that lets nothing through", function()
    local s = new()
    s.tenant:fault { kind = "not_json" }
    local answer, decoded = s.post(POST)
    assert.equal(200, answer.status)
    assert.is_nil(decoded)
    assert.truthy(answer.headers["Content-Type"]:find("^text/html"))
    assert.same({}, s.tenant:requests()[1].actions)
  end)

  it("for a share of the requests is drawn from the seed", function()
    local function run(seed)
      local s, out = new { seed = seed }, {}
      s.tenant:fault { kind = "status", share = 0.3, times = math.huge }
      for i = 1, 100 do out[i] = s.get("/v1.0/users?$top=1").status end
      return table.concat(out, " ")
    end
    assert.equal(run(1), run(1))
    assert.not_equal(run(1), run(2))
    local _, n = run(1):gsub("429", "")
    assert.is_true(n > 15 and n < 45)
  end)

  it("is forgotten when told", function()
    local s = new()
    s.tenant:fault { kind = "status", times = math.huge }
    s.tenant:clear_faults()
    assert.equal(200, s.get("/v1.0/users").status)
  end)

  for _, case in ipairs {
    { {}, "unknown kind 'nil'" }, { { kind = "explode" }, "unknown kind 'explode'" },
    { { kind = "status", stat = 5 }, "unknown field 'stat'" },
    { { kind = "status", status = "429" }, "field 'status' is a string, not a number" },
    { { kind = "status", path = "%" }, "malformed pattern" },
  } do
    it("that could never work is refused: " .. case[2], function()
      assert.error_matches(function() new().tenant:fault(case[1]) end, case[2])
    end)
  end

  it("and its latency are added up", function()
    local s = new { latency = 0.5 }
    s.tenant:fault { kind = "latency", seconds = 1 }
    assert.equal(1500, s.get("/v1.0/users").delay_ms)
    assert.equal(500, s.get("/v1.0/users").delay_ms)
  end)
end)
