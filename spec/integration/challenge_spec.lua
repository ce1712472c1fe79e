--- Claims challenges from end to end: what Graph, or the sign-in service, wants of the next token is asked for with it.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local json = require "msgraph.json"
local sign_in = require "spec.support.sign_in"
local sim = require "msgraph.sim"

local ADA = "ada@contoso.com"
local ledger = sign_in.ledger()

-- What conditional access would ask for, and what every token request says (FACTS 6.4).
local WANTED = { essential = true, value = "c1" }
local CHALLENGE = json.encode { access_token = { acrs = WANTED } }
local CAPABLE = { values = { "cp1" } }

local tenant, app

setup(function() tenant = assert(sim.start { users = 30, start = os.time(), device_code_interval = 1 }) end)
teardown(function() tenant:stop() end)
before_each(function() tenant:clear_faults() end)

local function connect(credential)
  return assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file, authority = tenant.authority,
    tenant_id = tenant.tenant_id, auth = credential })
end

local function read(client)
  local user, err = client:get("/users/" .. ADA)
  return user and user.userPrincipalName, ledger:saw(err)
end

local function read_ok(client)
  local name, err = read(client)
  assert.equal(ADA, name, tostring(err))
end

local function read_at_once(client)
  local items = {}
  for i = 1, 64 do items[i] = i end
  local _, failures = graph.map(items, { concurrency = 64 }, function() return read(client) end)
  assert.same({}, failures)
end

-- Graph refuses the tokens of so many requests to come.
local function challenge(status, times, more)
  local fault = { kind = "status", status = status, claims = CHALLENGE, path = "^/v1", times = times }
  for name, value in pairs(more or {}) do fault[name] = value end
  tenant:fault(fault)
end

local function asked(filter)
  local all = { client_id = app.client_id }
  for name, value in pairs(filter or {}) do all[name] = value end
  return tenant:token_requests(all)
end

local function claims_of(entry)
  return json.decode(entry.claims).access_token
end

local function last(filter)
  local all = asked(filter)
  return all[#all]
end

-- Each makes an app and a credential for it that gets tokens without a user, once he has signed in.
local GRANTS = {}

GRANTS["a client secret"] = function()
  app = tenant:app { secret = true }
  return graph.auth.client_secret { client_id = app.client_id, client_secret = ledger:secret(app.client_secret) }
end

GRANTS["a certificate"] = function()
  app = tenant:app { certificate = helper.read_file(sign_in.pair "app" .. ".crt") }
  local path, password = sign_in.certificate("app", "pkcs12")
  return graph.auth.certificate { client_id = app.client_id, certificate = path, password = ledger:secret(password) }
end

GRANTS["a refresh token"] = function()
  app = tenant:app { public = true }
  local session = sign_in.user(tenant, app.client_id, ADA)
  return graph.auth.refresh_token { client_id = app.client_id, refresh_token = ledger:secret(session.refresh_token) }
end

local prompts

GRANTS["a device code"] = function()
  app, prompts = tenant:app { public = true }, 0
  return graph.auth.device_code { client_id = app.client_id, prompt = function(prompt)
    prompts = prompts + 1
    tenant:sign_in { user_code = prompt.user_code, user = ADA }
  end }
end

for name, make in pairs(GRANTS) do
  describe("a challenge to a token of " .. name, function()
    for _, status in ipairs { 401, 403 } do
      it(("is fulfilled by one new token, and one more request (%d)"):format(status), function()
        local client <close> = connect(make())
        read_ok(client)
        local before = #asked()
        challenge(status, 1)
        read_ok(client)
        assert.equal(before + 1, #asked())
        assert.same({ xms_cc = CAPABLE, acrs = WANTED }, claims_of(last()))
        read_ok(client)
        assert.equal(before + 1, #asked())
        tenant:advance(3601)
        read_ok(client)
        assert.same({ xms_cc = CAPABLE }, claims_of(last())) -- it is not asked for again
      end)
    end

    it("that comes again is an Error, not a loop", function()
      local client <close> = connect(make())
      read_ok(client)
      local before, requests = #asked(), #tenant:requests { status = 401 }
      challenge(401, math.huge)
      local user, err = read(client)
      assert.is_nil(user)
      assert.equal(401, err.status)
      assert.equal(before + 1, #asked())
      assert.equal(requests + 2, #tenant:requests { status = 401 })
    end)
  end)
end

describe("a challenge", function()
  for _, grant in ipairs { "a client secret", "a certificate" } do
    it("of a revoked session says from when on tokens are good, and 64 tasks ask for one: " .. grant, function()
      local client <close> = connect(GRANTS[grant]())
      read_ok(client)
      local before = #asked()
      tenant:revoke(app.client_id)
      read_at_once(client)
      assert.equal(before + 1, #asked())
      local claims = claims_of(last())
      assert.same(CAPABLE, claims.xms_cc)
      assert.is_true(claims.nbf.essential)
      assert.is_true(tonumber(claims.nbf.value) <= tenant:now())
    end)
  end

  it("of a user's revoked session is asked for at his next sign-in", function()
    local client <close> = connect(GRANTS["a device code"]())
    read_ok(client)
    tenant:revoke(ADA)
    read_ok(client)
    assert.equal(2, prompts)
    assert.is_truthy(claims_of(last { endpoint = "devicecode" }).nbf)
    assert.is_truthy(claims_of(last { grant = "device_code", endpoint = "token" }).nbf)
  end)

  it("does not make a POST act twice", function()
    local client <close> = connect(GRANTS["a client secret"]())
    read_ok(client)
    challenge(401, 1, { method = "POST" })
    local before = #tenant:requests { method = "POST" }
    assert.is_true(client:remove_all_devices(ADA))
    local acted = 0
    for i, entry in ipairs(tenant:requests { method = "POST" }) do
      if i > before and entry.path:find("removeAll", 1, true) and #entry.actions > 0 then acted = acted + 1 end
    end
    assert.equal(1, acted)
  end)

  it("is no matter of a 403 that does not say so", function()
    local client <close> = connect(GRANTS["a client secret"]())
    read_ok(client)
    tenant:fault { kind = "status", status = 403, path = "^/v1" }
    local user, err = read(client)
    assert.is_nil(user)
    assert.equal("forbidden", err.kind)
    assert.equal(1, #asked())
  end)

  it("cannot be fulfilled with a token that was given", function()
    local client <close> = connect(graph.auth.token(ledger:secret(tenant:token())))
    challenge(401, 1)
    local _, err = read(client)
    assert.equal(401, err.status)
    read_ok(client)
  end)

  it("to a managed identity's token is one new token: hosts take no claims", function()
    local environment = tenant:environment "app_service"
    local getenv = stub(os, "getenv", function(name) return environment[name] end)
    finally(function() getenv:revert() end)
    local client <close> = connect(graph.auth.managed_identity())
    ledger:secret(environment.IDENTITY_HEADER)
    read_ok(client)
    local before = #tenant:token_requests { endpoint = "app_service" }
    challenge(401, 1)
    read_ok(client)
    assert.equal(before + 1, #tenant:token_requests { endpoint = "app_service" })
  end)
end)

describe("a token callback", function()
  local seen

  local function credential(step)
    seen = {}
    return graph.auth.callback(function(claims)
      seen[#seen + 1] = claims or false
      if step then step(#seen) end
      return ledger:secret(tenant:token { kind = "delegated", user = ADA })
    end)
  end

  it("is told what the server wants, once", function()
    local client <close> = connect(credential())
    read_ok(client)
    challenge(401, 1)
    read_ok(client)
    challenge(403, 1)
    read_ok(client)
    assert.equal(3, #seen)
    assert.is_false(seen[1])
    assert.same({ access_token = { acrs = WANTED } }, json.decode(seen[2]))
    assert.same({ access_token = { acrs = WANTED } }, json.decode(seen[3]))
  end)

  it("is not asked for ever", function()
    local client <close> = connect(credential())
    challenge(401, math.huge)
    local user, err = read(client)
    assert.is_nil(user)
    assert.equal(401, err.status)
    assert.equal(2, #seen)
  end)

  it("is called once for 64 tasks whose session was revoked", function()
    local client <close> = connect(credential(function() graph.sleep(0.1) end))
    read_ok(client)
    tenant:revoke(ADA)
    read_at_once(client)
    assert.equal(2, #seen)
  end)

  -- A token that was asked for before the challenge came is not what the server wants.
  it("is asked again when a challenge comes while it is at work", function()
    local at_work, challenged
    seen = {}
    local client <close> = connect(graph.auth.callback(function(claims)
      seen[#seen + 1] = claims or false
      at_work = #seen == 2
      while at_work and not challenged do graph.sleep(0.01) end
      return ledger:secret(tenant:token()), #seen == 1 and 4 or 3600
    end))
    read_ok(client)
    challenge(401, 1, { path = "/users/" .. ADA })
    tenant:fault { kind = "latency", seconds = 0.5, path = "/groups" }
    graph.run(function()
      while not at_work do -- it grows old: the next is got while this one is still used
        graph.spawn(function() return client:get "/groups" end)
        graph.sleep(0.05)
      end
      local task = graph.spawn(function() return read(client) end)
      while #tenant:requests { status = 401 } == 0 do graph.sleep(0.01) end
      graph.sleep(0.1)
      challenged = true
      assert.equal(ADA, (task:join()))
    end)
    assert.equal(3, #seen)
    assert.is_false(seen[2])
    assert.same({ access_token = { acrs = WANTED } }, json.decode(seen[3]))
  end)
end)

describe("a refusal of the sign-in service", function()
  -- ada's session began without a second factor, and now one is wanted: renewing is refused, with claims.
  local function demand()
    tenant:policy(ADA, { mfa = true })
    tenant:advance(3601)
  end

  after_each(function() tenant:policy(ADA) end)

  it("says what the user's next sign-in is asked for: with a device code", function()
    local client <close> = connect(GRANTS["a device code"]())
    read_ok(client)
    demand()
    read_ok(client)
    assert.equal(2, prompts)
    assert.equal("interaction_required", asked { grant = "refresh_token" }[1].error)
    assert.is_truthy(claims_of(last { endpoint = "devicecode" }).capolids)
    assert.is_truthy(claims_of(last { endpoint = "token", grant = "device_code" }).capolids)
    tenant:advance(3601)
    read_ok(client)
    assert.equal("refresh_token", last().grant)
    assert.same({ xms_cc = CAPABLE }, claims_of(last()))
  end)

  it("says what the user's next sign-in is asked for: in a browser", function()
    local urls = {}
    app = tenant:app { public = true, redirect_uris = { "http://localhost" } }
    tenant:sign_in { user = ADA }
    local client <close> = connect(graph.auth.auth_code { client_id = app.client_id, prompt = function(url)
      urls[#urls + 1] = url
      tenant:policy(ADA) -- he did what was wanted
      os.execute(("curl -sS -L --max-time 20 --cacert %s -o /dev/null %s &"):format(helper.quote(tenant.ca_file),
        helper.quote(url)))
    end })
    read_ok(client)
    demand()
    read_ok(client)
    assert.equal(2, #urls)
    assert.is_falsy(urls[1]:find("capolids", 1, true))
    assert.is_truthy(urls[2]:find("capolids", 1, true))
    assert.is_truthy(claims_of(last { endpoint = "authorize" }).capolids)
    assert.is_truthy(claims_of(last { endpoint = "token", grant = "authorization_code" }).capolids)
  end)

  it("of a refresh token that nobody can replace is an Error with its suberror's advice", function()
    local client <close> = connect(GRANTS["a refresh token"]())
    read_ok(client)
    demand()
    local user, err = read(client)
    assert.is_nil(user)
    assert.equal("auth", err.kind)
    assert.equal("interaction_required", err.code)
    assert.matches("msgraph login", err.hint)
  end)
end)

it("no Error of these shows a secret", function() ledger:check() end)
