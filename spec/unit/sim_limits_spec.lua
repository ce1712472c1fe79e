-- spec/unit/sim_limits_spec.lua
local cjson = require "cjson"
local clock = require "msgraph.sim.clock"
local limits = require "msgraph.sim.limits"
local tenants = require "msgraph.sim.tenant"

--- A tenant under the published limits, whose clock stands on a window's beginning until it is moved.
local function new(opts)
  opts = opts or {}
  opts.limits = opts.limits or true
  opts.start = opts.start or clock.START -- a multiple of 300, as all windows are parts of that
  local tenant = tenants.new(opts, function() return 0 end)
  local tokens = {}
  local self = { tenant = tenant }

  -- An application's name stands for a token of its own.
  function self.ask(method, target, app)
    app = app or "one"
    if not tokens[app] then
      tokens[app] = tenant:token()
      tenant.identity:find(tokens[app]).client_id = app
    end
    return tenant:answer {
      method = method, target = target, body = "",
      headers = { host = "graph.test", authorization = "Bearer " .. tokens[app], ["content-length"] = "0" },
    }
  end

  --- How many of the same requests pass until one is refused; and that refusal.
  function self.until_refused(method, target, app)
    for n = 0, 20000 do
      local answer = self.ask(method, target, app)
      if answer.status == 429 then return n, answer end
    end
  end

  return self
end

local WRITE = { "POST", "/v1.0/users/ada@contoso.com/revokeSignInSessions" }
local INTUNE = { "POST", "/v1.0/users/ada@contoso.com/removeAllDevicesFromManagement" }

describe("limits of a tenant", function()
  it("are off unless asked for", function()
    local tenant = tenants.new({}, function() return 0 end)
    local headers = { host = "graph.test", authorization = "Bearer " .. tenant:token() }
    for _ = 1, 2000 do
      local answer = tenant:answer { method = "GET", target = "/v1.0/me/managedDevices", headers = headers, body = "" }
      assert.equal(400, answer.status) -- an application is nobody, but it may ask
      assert.is_nil(answer.headers["x-ms-resource-unit"])
    end
  end)

  for _, case in ipairs {
    { 20, 3500 }, { 49, 3500 }, { 50, 5000 }, { 500, 5000 }, { 501, 8000 },
  } do
    it(("give %d resource units in ten seconds to %d users"):format(case[2], case[1]), function()
      local s = new { users = case[1] }
      local passed, answer = s.until_refused("GET", "/v1.0/users/nobody")
      assert.equal(case[2], passed)
      assert.equal("ResourceUnitLimitExceeded", answer.headers["x-ms-throttle-information"])
      assert.equal(("Tenant_Application/ReadWrite/one/%s"):format(s.tenant:tenant_id()),
        answer.headers["x-ms-throttle-scope"])
      s.tenant:advance(9.5)
      assert.equal("1", s.ask("GET", "/v1.0/users/nobody").headers["Retry-After"])
      s.tenant:advance(0.5)
      assert.equal(404, s.ask("GET", "/v1.0/users/nobody").status)
    end)
  end

  for _, case in ipairs {
    { "identity writes", WRITE, 3000, 150, "Tenant_Application/Write" },
    { "actions on users' devices", INTUNE, 100, 20, "Tenant_Application/Write" },
    { "device actions", { "POST", "/v1.0/deviceManagement/managedDevices/1/retire" }, 200, 20,
      "Tenant_Application/Write" },
    { "device reads", { "GET", "/v1.0/deviceManagement/managedDevices/1" }, 2000, 20, "Tenant_Application/ReadWrite" },
    { "reads of a user's devices", { "GET", "/v1.0/me/managedDevices" }, 1000, 20, "Tenant_Application/ReadWrite" },
    { "authentication methods", { "GET", "/v1.0/users/1/authentication/methods" }, 5, 10,
      "Tenant_Application/ReadWrite" },
    { "audit logs", { "GET", "/v1.0/auditLogs/signIns" }, 5, 10, "Tenant_Application/ReadWrite" },
    { "joined teams", { "GET", "/v1.0/users/1/joinedTeams" }, 30, 1, "Tenant_Application/Read" },
    { "a chat's members", { "GET", "/v1.0/chats/1/members" }, 60, 1, "Tenant_Application/Read" },
    { "deleted chats", { "DELETE", "/v1.0/chats/1" }, 15, 1, "Tenant_Application/Write" },
  } do
    it(("let %s pass %d times in %d seconds"):format(case[1], case[3], case[4]), function()
      local s = new { users = 600 }
      local passed, answer = s.until_refused(case[2][1], case[2][2])
      assert.equal(case[3], passed)
      assert.equal(tostring(case[4]), answer.headers["Retry-After"])
      assert.equal(case[5], answer.headers["x-ms-throttle-scope"]:match "^[^/]*/[^/]*")
      s.tenant:advance(case[4])
      assert.equal(case[3], (s.until_refused(case[2][1], case[2][2])))
    end)
  end

  it("count for each application alone, and for the tenant together", function()
    local s = new()
    assert.equal(100, (s.until_refused(INTUNE[1], INTUNE[2], "one")))
    assert.equal(100, (s.until_refused(INTUNE[1], INTUNE[2], "two")))
    local passed, answer = s.until_refused(INTUNE[1], INTUNE[2], "three")
    assert.equal(0, passed)
    assert.equal("Tenant/Write/three/" .. s.tenant:tenant_id(), answer.headers["x-ms-throttle-scope"])
  end)

  it("are one service's own", function()
    local s = new()
    s.until_refused(INTUNE[1], INTUNE[2])
    assert.not_equal(429, s.ask(WRITE[1], WRITE[2]).status)
    assert.not_equal(429, s.ask("GET", "/v1.0/users/1/managedDevices").status)
  end)

  it("let a team be asked four times a second and be given four members a minute", function()
    local s = new()
    local passed, answer = s.until_refused("GET", "/v1.0/teams/T1/channels")
    assert.equal(4, passed)
    assert.equal("Tenant_Application/ReadWrite/one/t1", answer.headers["x-ms-throttle-scope"])
    assert.not_equal(429, s.ask("GET", "/v1.0/teams/T2/channels").status)
    s.tenant:advance(1)
    assert.equal(4, (s.until_refused("POST", "/v1.0/teams/T1/members")))
    s.tenant:advance(1)
    assert.equal(0, (s.until_refused("POST", "/v1.0/teams/T1/members")))
  end)

  it("give a mailbox four requests at once and ten thousand in ten minutes", function()
    local s = new { latency = 2 }
    local mail = "/v1.0/users/ada@contoso.com/messages"
    local passed, answer = s.until_refused("GET", mail)
    assert.equal(4, passed)
    assert.equal("ConcurrencyLimitExceeded", answer.headers["x-ms-throttle-information"])
    assert.not_equal(429, s.ask("GET", "/v1.0/users/grace@contoso.com/messages").status)
    s.tenant:advance(2)
    assert.not_equal(429, s.ask("GET", mail).status)
    assert.equal(10000, (new().until_refused("GET", mail)))
  end)

  it("let identity protection be asked once a second, and do not say when again", function()
    local s = new()
    local passed, answer = s.until_refused("GET", "/v1.0/identityProtection/riskyUsers")
    assert.equal(1, passed)
    assert.is_nil(answer.headers["Retry-After"])
    assert.matches("^Tenant/", answer.headers["x-ms-throttle-scope"])
  end)

  it("are refused in the service's words", function()
    local s = new()
    local _, answer = s.until_refused(INTUNE[1], INTUNE[2])
    local problem = cjson.decode(answer.body).error
    assert.equal("TooManyRequests", problem.code)
    assert.equal("429", problem.innerError.code)
  end)

  it("act on nothing that was refused", function()
    local s = new()
    s.until_refused(INTUNE[1], INTUNE[2])
    local refused = s.tenant:requests { status = 429 }
    assert.equal(1, #refused)
    assert.same({}, refused[1].actions)
  end)

  for _, case in ipairs {
    { "GET", "/v1.0/users", 2 }, { "GET", "/v1.0/users?$select=id", 1 }, { "GET", "/v1.0/users?$top=5", 1 },
    { "GET", "/v1.0/users?$top=999", 2 }, { "GET", "/v1.0/users/1?$select=id", 1 },
    { "GET", "/v1.0/users/1/memberOf", 2 }, { "GET", "/v1.0/me/transitiveMemberOf?%24expand=x", 3 },
    { "GET", "/v1.0/groups/1/members", 3 }, { "GET", "/v1.0/groups/1/transitiveMembers", 5 },
    { "POST", "/v1.0/users/1/checkMemberGroups", 4 }, { "POST", "/v1.0/users/1/microsoft.graph.getMemberObjects", 2 },
    { "POST", "/v1.0/directoryObjects/getByIds", 5 }, { "POST", "/v1.0/directoryObjects/getByIds?$select=id", 2 },
    { "GET", "/v1.0/oauth2PermissionGrants/1", 2 }, { "GET", "/v1.0/subscribedSkus", 3 },
    { "PATCH", "/v1.0/users/1", 1 },
  } do
    it(("say that %s %s costs %d units"):format(case[1], case[2], case[3]), function()
      assert.equal(tostring(case[3]), new().ask(case[1], case[2]).headers["x-ms-resource-unit"])
    end)
  end

  it("name no units outside the identity service", function()
    assert.is_nil(new().ask("GET", "/v1.0/users/1/managedDevices").headers["x-ms-resource-unit"])
  end)

  it("tell how much of the nearest one is used, above four fifths", function()
    local s, told = new(), {}
    for n = 1, 5000 do
      told[n] = s.ask("GET", "/v1.0/users/1?$select=id").headers["x-ms-throttle-limit-percentage"] or false
      assert.equal(n > 4000, told[n] ~= false)
    end
    assert.same({ "0.80", "0.90", "1.00" }, { told[4001], told[4500], told[5000] })
  end)

  it("may be smaller or larger", function()
    assert.equal(10, (new { limits = { scale = 0.1 } }.until_refused(INTUNE[1], INTUNE[2])))
    assert.equal(1, (new { limits = { scale = 0.001 } }.until_refused(INTUNE[1], INTUNE[2])))
  end)

  it("tell the wait in the client's seconds where the tenant's pass faster", function()
    local _, answer = new { speed = 100 }.until_refused(INTUNE[1], INTUNE[2])
    assert.equal("0.200", answer.headers["Retry-After"])
  end)
end)

describe("the least time that requests need", function()
  it("is that of the limit that lets the fewest of them through", function()
    local list = {}
    for i = 1, 50 do list[i] = { method = "GET", path = "/v1.0/users/ada/authentication/methods", query = "" } end
    for i = 51, 1050 do list[i] = { method = "PATCH", path = "/v1.0/users/ada", query = "" } end
    assert.same({ 100.0, "reports: 5 in 10 s" }, { limits.least_seconds(list, 5000) })
    assert.same({ 50.0, "identity: 3000 in 150 s" }, { limits.least_seconds(table.move(list, 51, 1050, 1, {}), 5000) })
  end)
end)
