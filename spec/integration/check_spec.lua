--- client:check(): what is found out, and what is said where it can not be.
local base64 = require "msgraph.sim.login.base64"
local graph = require "msgraph"
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"

local INTUNE = [[{"value":[
  {"skuPartNumber":"EMSPREMIUM","capabilityStatus":"Enabled","servicePlans":[
    {"servicePlanName":"INTUNE_A","provisioningStatus":"Success"}]},
  {"skuPartNumber":"OLD","capabilityStatus":"Suspended","servicePlans":[
    {"servicePlanName":"INTUNE_A","provisioningStatus":"Success"}]}]}]]

local function date(offset)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + offset)
end

local function checked(...)
  local answers = {}
  for i, answer in ipairs { ... } do answers[i] = { bytes = answer, after = "keep" } end
  local server = helper.server(answers)
  local client = helper.client(server.endpoint)
  local checks, ok = client:check()
  client:close()
  server:stop()
  return checks, ok
end

describe("a client's check", function()
  it("finds all in place, and changes nothing", function()
    local tenant <close> = assert(sim.start { users = 3, start = os.time() })
    local app = tenant:app { secret = true }
    local client <close> = assert(graph.connect {
      endpoint = tenant.endpoint, ca_file = tenant.ca_file, authority = tenant.authority, tenant_id = tenant.tenant_id,
      auth = graph.auth.client_secret { client_id = app.client_id, client_secret = app.client_secret } })
    local checks = client:check()
    local names = {}
    for i, one in ipairs(checks) do names[i] = one.name end
    assert.same({ "sign_in", "connection", "clock", "permissions", "permissions", "licence" }, names)
    assert.equal("ok", checks.sign_in.state)
    assert.equal("ok", checks.connection.state)
    assert.matches("HTTP/1.1", checks.connection.message)
    assert.equal("ok", checks.clock.state)
    for _, entry in ipairs(tenant:requests()) do
      assert.is_true(entry.method == "GET" or entry.path:find("token", 1, true) ~= nil)
    end
  end)

  it("finds the licences with Intune that are alive", function()
    local checks, ok = checked(helper.json_answer("200 OK", INTUNE, { Date = date(0) }))
    assert.is_true(ok)
    assert.same({ "EMSPREMIUM" }, checks.licence.skus)
    assert.is_true(math.abs(checks.clock.offset) <= 2) -- the answer was written before it was asked for
  end)

  local REFUSED = helper.json_answer("403 Forbidden",
    '{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges"}}', { Date = date(0) })

  it("fails where no licence has Intune, or Intune says so", function()
    local none = helper.json_answer("200 OK", '{"value":[]}')
    local unlicensed = helper.json_answer("400 Bad Request",
      '{"error":{"code":"BadRequest","message":"Request not applicable to target tenant."}}')
    for _, case in ipairs { { none, REFUSED }, { none, unlicensed }, { REFUSED, unlicensed } } do
      local checks, ok = checked(case[1], case[2])
      assert.is_false(ok)
      assert.equal("failed", checks.licence.state)
    end
  end)

  it("believes Intune where it answers", function()
    local checks = checked(REFUSED, helper.json_answer("200 OK", '{"value":[]}'))
    assert.equal("ok", checks.licence.state)
  end)

  it("does not know the time of a server that does not tell it", function()
    assert.equal("unknown", checked(helper.json_answer("200 OK", INTUNE)).clock.state)
  end)

  it("says what it needs to look at licences, and goes on without", function()
    local checks, ok = checked(REFUSED)
    assert.is_true(ok)
    assert.equal("unknown", checks.licence.state)
    assert.matches("LicenseAssignment.Read.All", checks.licence.hint)
    assert.equal("ok", checks.clock.state)
    assert.equal("ok", checks.connection.state)
  end)

  for _, offset in ipairs { 7200, -7200 } do
    it(("fails for a clock that is %d s off"):format(-offset), function()
      local checks = checked(helper.json_answer("200 OK", INTUNE, { Date = date(offset) }))
      assert.equal("failed", checks.clock.state)
      assert.is_true(math.abs(checks.clock.offset + offset) <= 3)
      assert.matches(offset > 0 and "behind" or "ahead", checks.clock.message)
    end)
  end

  it("names what the token lacks", function()
    local function part(text) return base64.url(text) end
    local who = '{"roles":["User.Read.All"],"app_displayname":"Leavers"}'
    local token = part '{"typ":"JWT","alg":"RS256"}' .. "." .. part(who) .. ".c2ln"
    local server = helper.server(helper.json_answer("200 OK", INTUNE))
    local client <close> = helper.client(server.endpoint, { auth = graph.auth.token(token) })
    local checks = client:check()
    server:stop()
    assert.equal("failed", checks.permissions.state)
    assert.equal("User.Read.All", checks.permissions.granted[1])
    assert.matches("PrivilegedOperations.All is missing", checks.permissions.message)
    assert.matches("Leavers", checks.sign_in.message)
  end)

  it("fails where nobody answers, and says of the rest that nobody knows", function()
    local client <close> = helper.client("https://127.0.0.1:" .. helper.closed_port())
    local exchange = client.exchange
    client.exchange = function(self, request) -- luacheck: ignore
      return exchange(self, { method = request.method, target = request.target, deadline = 0.2 })
    end
    local checks, ok = client:check()
    assert.is_false(ok)
    assert.equal("failed", checks.connection.state)
    assert.equal("unknown", checks.clock.state)
    assert.equal("unknown", checks.licence.state)
  end)

  it("fails with the sign-in's words where that is what is wrong", function()
    local tenant <close> = assert(sim.start { users = 3 })
    local app = tenant:app { secret = true }
    local client <close> = assert(graph.connect {
      endpoint = tenant.endpoint, ca_file = tenant.ca_file, authority = tenant.authority, tenant_id = tenant.tenant_id,
      auth = graph.auth.client_secret { client_id = app.client_id, client_secret = "wrong" } })
    local checks, ok = client:check()
    assert.is_false(ok)
    assert.equal("failed", checks.sign_in.state)
    assert.equal("invalid_client", checks.sign_in.err.code)
    assert.equal("unknown", checks.connection.state)
  end)
end)
