--- client:check(): what is found out, and what is said where it can not be.
local base64 = require "msgraph.sim.login.base64"
local check = require "msgraph.check"
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

local function checked(answer)
  local server = helper.server { { bytes = answer, after = "keep" } }
  local client = helper.client(server.endpoint)
  local checks, ok = client:check()
  client:close()
  server:stop()
  return checks, ok
end

describe("a client's check", function()
  it("finds all in place, asks once, and changes nothing", function()
    local tenant <close> = assert(sim.start { users = 3, start = os.time() })
    local app = tenant:app { secret = true }
    local client <close> = assert(graph.connect {
      endpoint = tenant.endpoint, ca_file = tenant.ca_file, authority = tenant.authority, tenant_id = tenant.tenant_id,
      auth = graph.auth.client_secret { client_id = app.client_id, client_secret = app.client_secret } })
    local checks = client:check()
    local names = {}
    for i, one in ipairs(checks) do names[i] = one.name end
    assert.same({ "sign_in", "connection", "clock", "permissions", "licence" }, names)
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
    assert.equal(0, checks.clock.offset)
  end)

  it("fails where no licence has Intune", function()
    local checks, ok = checked(helper.json_answer("200 OK", '{"value":[]}'))
    assert.is_false(ok)
    assert.equal("failed", checks.licence.state)
    assert.equal("unknown", checks.clock.state)
  end)

  it("says what it needs to look at licences, and goes on without", function()
    local checks, ok = checked(helper.json_answer("403 Forbidden",
      '{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges"}}', { Date = date(0) }))
    assert.is_true(ok)
    assert.equal("unknown", checks.licence.state)
    assert.matches("LicenseAssignment.Read.All", checks.licence.hint)
    assert.equal("ok", checks.clock.state)
    assert.equal("ok", checks.connection.state)
  end)

  for _, offset in ipairs { 7200, -7200 } do
    it(("warns of a clock that is %d s off"):format(-offset), function()
      local checks = checked(helper.json_answer("200 OK", INTUNE, { Date = date(offset) }))
      assert.equal("warning", checks.clock.state)
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
    assert.equal("warning", checks.permissions.state)
    assert.same({ "User.Read.All" }, checks.permissions.granted)
    assert.matches("PrivilegedOperations", checks.permissions.missing[1])
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

describe("an HTTP date", function()
  it("is read as Unix time", function()
    for _, unix in ipairs { 0, 951782400, 1709164799, 1709251200, 1788508800, 4107542399 } do
      assert.equal(unix, check.unix_time(os.date("!%a, %d %b %Y %H:%M:%S GMT", unix)))
    end
    assert.is_nil(check.unix_time "yesterday")
    assert.is_nil(check.unix_time(nil))
  end)
end)
