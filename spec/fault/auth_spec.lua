--- Sign-ins that fail: each is one clear Error that says what to do next, and shows no secret.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local sign_in = require "spec.support.sign_in"
local sim = require "msgraph.sim"

local ADA = "ada@contoso.com"
local READ = "/v1.0/users/" .. ADA:gsub("@", "%%40")

local ledger = sign_in.ledger()
local tenants = {}

local function start(opts)
  local all = { users = 30, start = os.time() }
  for name, value in pairs(opts or {}) do all[name] = value end
  local tenant = assert(sim.start(all))
  tenants[#tenants + 1] = tenant
  return tenant
end

local function connect(tenant, credential, more)
  local opts = { endpoint = tenant.endpoint, ca_file = tenant.ca_file, authority = tenant.authority,
    tenant_id = tenant.tenant_id, auth = credential }
  for name, value in pairs(more or {}) do opts[name] = value end
  return assert(graph.connect(opts))
end

local function secret_of(app, secret)
  return graph.auth.client_secret { client_id = app.client_id,
    client_secret = ledger:secret(secret or app.client_secret) }
end

-- Reads one user, which must fail; the Error, after the checks every Error of a sign-in must pass.
local function refused(client)
  local user, err = client:get("/users/" .. graph.segment(ADA))
  assert.is_nil(user)
  assert.is_true(graph.Error.is(err))
  ledger:saw(err)
  assert.is_nil(tostring(err):find("%c"))
  assert.equal("GET", err.method)
  assert.equal(READ, err.path)
  assert.equal("not_sent", err.phase)
  assert.is_string(err.hint)
  assert.is_true(tostring(err):find(err.hint, 1, true) ~= nil)
  return err
end

local function check(err, code, hint, message)
  assert.equal("auth", err.kind, tostring(err))
  assert.equal(code, err.code, tostring(err))
  assert.matches(hint, err.hint)
  if message then assert.matches(message, err.message) end
end

local function read_ok(client)
  local user, err = client:get("/users/" .. graph.segment(ADA))
  assert.is_nil(err and tostring(err))
  assert.equal(ADA, user.userPrincipalName)
end

describe("an app is refused", function()
  local tenant

  setup(function() tenant = start() end)

  it("for a wrong secret, asked for once however many need a token", function()
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, secret_of(app, "0f0e8a9c-the-id-not-the-value"))
    local items = {}
    for i = 1, 16 do items[i] = i end
    graph.map(items, { concurrency = 16 }, function()
      check(refused(client), "invalid_client", "its value is wanted, not its id", "AADSTS7000215: Invalid client")
    end)
    assert.equal(1, #tenant:token_requests { client_id = app.client_id })
  end)

  it("for an expired secret", function()
    local app = tenant:app { secret = true }
    tenant:expire_secret(app.client_id)
    local client <close> = connect(tenant, secret_of(app))
    check(refused(client), "invalid_client", "has expired: add a new one", "AADSTS7000222")
  end)

  it("that is not known in this tenant", function()
    local client <close> = connect(tenant, secret_of({ client_id = "7f0c6b3e-0000-4000-8000-000000000000" },
      "the secret of nobody"))
    check(refused(client), "unauthorized_client", "check tenant_id, client_id and the cloud", "AADSTS700016")
  end)

  it("at a tenant that is not there", function()
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, secret_of(app), { tenant_id = "fabrikam.com" })
    check(refused(client), "invalid_request", "check tenant_id, client_id and the cloud", "AADSTS90002")
  end)

  it("at organizations, where only users sign in", function()
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, secret_of(app), { tenant_id = "organizations" })
    check(refused(client), "invalid_request", "give its id or domain as tenant_id", "AADSTS50194")
  end)

  it("by another cloud's sign-in host", function()
    local cloud = start { seed = 2 }
    local both = helper.tmp() .. "/both.pem"
    helper.write_file(both, helper.read_file(tenant.ca_file) .. helper.read_file(cloud.ca_file))
    local client <close> = connect(tenant, secret_of(tenant:app { secret = true }),
      { authority = cloud.authority, ca_file = both })
    check(refused(client), "invalid_request", "the cloud: each cloud has its own tenants", "AADSTS90002")
    assert.equal(0, #tenant:token_requests { directory = cloud.tenant_id })
  end)

  it("for another cloud's Graph", function()
    local client <close> = connect(tenant, secret_of(tenant:app { secret = true }), { cloud = "china" })
    check(refused(client), "invalid_resource", "scope", "AADSTS500011")
  end)

  it("for a certificate that is not uploaded", function()
    local app = tenant:app { certificate = helper.read_file(sign_in.pair "uploaded" .. ".crt") }
    local client <close> = connect(tenant, graph.auth.certificate { client_id = app.client_id,
      certificate = (sign_in.certificate("other", "pem")) })
    check(refused(client), "invalid_client", "check that this certificate is uploaded", "AADSTS700027")
  end)

  it("for a certificate that has expired", function()
    local old = start { start = os.time { year = 2050, month = 2, day = 1 } }
    local app = old:app { certificate = helper.read_file(sign_in.pair "uploaded" .. ".crt") }
    local client <close> = connect(old, graph.auth.certificate { client_id = app.client_id,
      certificate = (sign_in.certificate("uploaded", "pem")) })
    check(refused(client), "invalid_client", "has not expired", "AADSTS700027")
  end)

  it("before anything is sent, for a certificate that has expired by this machine's clock", function()
    sign_in.pair("expired", 2021)
    for _, form in ipairs { "pem", "pkcs12" } do
      local path, password = sign_in.certificate("expired", form)
      local client, err = graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
        authority = tenant.authority, tenant_id = tenant.tenant_id,
        auth = graph.auth.certificate { client_id = "app", certificate = path, password = password } }
      assert.is_nil(client)
      ledger:saw(err)
      assert.equal("bad_option", err.code)
      assert.matches("certificate " .. path .. ": its certificate expired on 2021-12-31", err.message, 1, true)
    end
  end)

  it("for no credential at all", function()
    local app = tenant:app { secret = true }
    local session = sign_in.user(tenant, tenant:app { public = true }.client_id, ADA)
    local client <close> = connect(tenant, graph.auth.refresh_token { client_id = app.client_id,
      refresh_token = ledger:secret(session.refresh_token) })
    check(refused(client), "invalid_client", "the app wants a credential", "AADSTS7000218")
  end)

  it("for a credential where there must be none", function()
    local app = tenant:app { public = true }
    local session = sign_in.user(tenant, app.client_id, ADA)
    local client <close> = connect(tenant, graph.auth.refresh_token { client_id = app.client_id,
      client_secret = ledger:secret "a secret of no use", refresh_token = ledger:secret(session.refresh_token) })
    check(refused(client), "invalid_client", "public client", "AADSTS700025")
  end)

  it("by policy", function()
    local app = tenant:app { secret = true }
    tenant:policy(app.client_id, { blocked = true })
    local client <close> = connect(tenant, secret_of(app))
    check(refused(client), "interaction_required", "conditional access", "AADSTS53003")
  end)

  it("by Graph, where it has a token and no consent", function()
    local client <close> = connect(tenant, secret_of(tenant:app { secret = true, roles = { "User.Read.All" } }))
    read_ok(client)
    local ok, err = client:remove_all_devices(ADA)
    assert.is_nil(ok)
    ledger:saw(err)
    assert.equal("forbidden", err.kind)
    assert.equal("scope_missing", err.reason)
    assert.matches("grant consent, and get a new token %(.*PrivilegedOperations.All%)", err.hint)
  end)
end)

describe("a certificate file", function()
  local function problem(opts)
    opts.client_id = "app"
    local client, err = graph.connect { auth = graph.auth.certificate(opts), tenant_id = "contoso.com" }
    assert.is_nil(client)
    ledger:saw(err)
    assert.equal("invalid", err.kind)
    assert.equal("bad_option", err.code)
    assert.matches(opts.certificate, err.message, 1, true)
    return err.message
  end

  it("that cannot be used says why, before anything is sent", function()
    local wrong = ledger:secret "not the password"
    local junk = helper.tmp() .. "/junk.pem"
    helper.write_file(junk, "this is no certificate\n")
    assert.matches("No such file", problem { certificate = "/no/such/file.pem" })
    assert.matches("no private key", problem { certificate = junk })
    assert.matches("no private key", problem { certificate = sign_in.pair "other" .. ".crt" })
    assert.matches("no certificate", problem { certificate = sign_in.pair "other" .. ".key" })
    for _, form in ipairs { "pem with password", "pkcs12" } do
      local path = sign_in.certificate("other", form)
      assert.matches("password", problem { certificate = path })
      assert.matches("password", problem { certificate = path, password = wrong })
    end
  end)
end)

describe("a user is refused", function()
  local tenant

  setup(function() tenant = start() end)

  local function session_of(app, user)
    local session = sign_in.user(tenant, app.client_id, user or ADA)
    return graph.auth.refresh_token { client_id = app.client_id,
      refresh_token = ledger:secret(session.refresh_token) }
  end

  for _, case in ipairs {
    { "whose session was revoked", "sign in again", "AADSTS50173", "invalid_grant",
      function(_, user) tenant:revoke(user) end },
    { "whose account was disabled", "unknown, disabled or locked", "AADSTS50057", "invalid_grant",
      function(_, user) tenant:policy(user, { disabled = true }) end },
    { "who did not use the session for 90 days", "sign in again", "AADSTS700082", "invalid_grant",
      function() tenant:advance(91 * 86400) end },
    { "from whom a second factor is demanded", "second factor", "AADSTS50076", "interaction_required",
      function(_, user) tenant:policy(user, { mfa = true }) end },
    { "whom policy blocks", "conditional access", "AADSTS53003", "interaction_required",
      function(_, user) tenant:policy(user, { blocked = true }) end },
    { "without consent", "have an administrator open https://[%w%.:]+/[%x-]+/adminconsent%?client_id=[%x-]+, then",
      "AADSTS65001", "invalid_grant",
      function(app) tenant:remove_consent(app.client_id, "User.Read.All") end },
  } do
    it(case[1], function()
      local app = tenant:app { public = true, roles = {}, scopes = { "User.Read.All" } }
      local user = tenant:users { accountEnabled = true, guest = false }[2].userPrincipalName
      local credential = session_of(app, user)
      case[5](app, user)
      local client <close> = connect(tenant, credential)
      check(refused(client), case[4], case[2], case[3])
      tenant:policy(user)
    end)
  end

  it("whose refresh token is none", function()
    local client <close> = connect(tenant, graph.auth.refresh_token {
      client_id = tenant:app { public = true }.client_id, refresh_token = ledger:secret "1.AnyTextAtAll-of-ours" })
    check(refused(client), "invalid_grant", "sign in again", "AADSTS70000")
  end)

  it("on whose behalf nobody may act: the token is for Graph, or has expired", function()
    local app = tenant:app { secret = true }
    for number, opts in pairs {
      AADSTS500131 = { kind = "delegated", user = ADA },
      AADSTS50013 = { kind = "delegated", user = ADA, audience = app.client_id, expires_in = 0 },
    } do
      local client <close> = connect(tenant, graph.auth.on_behalf_of { client_id = app.client_id,
        client_secret = ledger:secret(app.client_secret), assertion = ledger:secret(tenant:token(opts)) })
      check(refused(client), "invalid_grant", "made for this app", number)
    end
  end)
end)

describe("a federated token", function()
  local tenant, app

  setup(function()
    tenant = start()
    app = tenant:app { federated = sign_in.federation "issuer" }
  end)

  local function client_with(text)
    local path = helper.tmp() .. "/federated"
    if text then helper.write_file(path, ledger:secret(text)) else os.remove(path) end
    return connect(tenant, graph.auth.workload_identity { client_id = app.client_id, assertion_file = path }), path
  end

  for _, case in ipairs {
    { "of another subject",  { sub = "system:serviceaccount:jobs:other" }, "letter by letter", "AADSTS700213" },
    { "for another service", { aud = "https://other.example" },            "letter by letter", "AADSTS700212" },
    { "that has expired",    { exp = os.time() - 3600 },                   "token in it renewed", "AADSTS700024" },
  } do
    it(case[1] .. " is refused", function()
      local client <close> = client_with(sign_in.federated_token("issuer", case[2]))
      check(refused(client), "invalid_client", case[3], case[4])
    end)
  end

  it("that somebody else signed is refused", function()
    local client <close> = client_with(sign_in.federated_token "stranger")
    check(refused(client), "invalid_client", "signed by whom the app trusts", "AADSTS50013")
  end)

  it("whose file is not there is asked for again with the next request", function()
    local client <close>, path = client_with(nil)
    local err = refused(client)
    assert.equal("invalid", err.kind)
    assert.equal("bad_option", err.code)
    assert.matches(path .. " can not be read: No such file", err.message, 1, true)
    helper.write_file(path, ledger:secret(sign_in.federated_token "issuer"))
    read_ok(client)
  end)
end)

describe("a clock that is two hours off", function()
  for name, offset in pairs { behind = 7200, ahead = -7200 } do
    it("is made up for: this machine's is " .. name, function()
      local tenant = start { start = os.time() + offset }
      local made = sign_in.pair "uploaded"
      local app = tenant:app { certificate = helper.read_file(made .. ".crt") }
      local client <close> = connect(tenant, graph.auth.certificate { client_id = app.client_id,
        certificate = (sign_in.certificate("uploaded", "pem")) })
      read_ok(client)
      local asked = tenant:token_requests()
      assert.equal(2, #asked)
      assert.equal(700024, asked[1].code)
      tenant:revoke(app.client_id)
      read_ok(client) -- it knows now
      assert.equal(3, #tenant:token_requests())
    end)
  end

  it("is named where nothing here can make up for it", function()
    local tenant = start { start = os.time() + 7200 }
    local path = helper.tmp() .. "/federated"
    helper.write_file(path, ledger:secret(sign_in.federated_token "issuer"))
    local app = tenant:app { federated = sign_in.federation "issuer" }
    local client <close> = connect(tenant, graph.auth.workload_identity { client_id = app.client_id,
      assertion_file = path })
    check(refused(client), "invalid_client", "set this machine's clock", "AADSTS700024")
    assert.equal(2, #tenant:token_requests())
  end)
end)

describe("a sign-in service", function()
  local tenant, client, app

  before_each(function()
    tenant = tenant or start()
    app = tenant:app { secret = true }
    client = connect(tenant, secret_of(app))
  end)
  after_each(function()
    tenant:clear_faults()
    client:close()
  end)

  local function asked() return #tenant:token_requests { client_id = app.client_id } end

  for name, rule in pairs {
    ["503"] = { kind = "status", status = 503 },
    ["500"] = { kind = "status", status = 500 },
    ["429 and when to come back"] = { kind = "status", status = 429, retry_after = "0.1" },
    ["nothing but a reset"] = { kind = "reset_before" },
    ["half an answer"] = { kind = "cut_body" },
  } do
    it("that once answers " .. name .. " is asked again", function()
      rule.path = "oauth2"
      tenant:fault(rule)
      read_ok(client)
      assert.equal(2, asked())
    end)
  end

  it("that answers 503 for good is asked twice, and then again by the next request", function()
    tenant:fault { kind = "status", status = 503, path = "oauth2", times = 2 }
    check(refused(client), "temporarily_unavailable", "busy", "answered HTTP 503")
    assert.equal(2, asked())
    read_ok(client)
  end)

  it("that says when to come back is not asked before", function()
    tenant:fault { kind = "status", status = 429, path = "oauth2", retry_after = "100", times = 1 }
    for _ = 1, 3 do check(refused(client), "temporarily_unavailable", "busy", "answered HTTP 429") end
    assert.equal(1, asked())
  end)

  it("that is hidden by a proxy's page is told from one that refuses", function()
    tenant:fault { kind = "not_json", path = "oauth2", times = math.huge }
    local err = refused(client)
    assert.equal("protocol", err.kind)
    assert.equal("bad_answer", err.code)
    assert.matches("answered HTTP 200, and no token", err.message, 1, true)
  end)

  it("that goes away under way leaves it certain that the POST was not done", function()
    tenant:fault { kind = "reset_before", path = "oauth2", times = math.huge }
    local ok, err = client:remove_all_devices(ADA)
    assert.is_nil(ok)
    ledger:saw(err)
    assert.equal("network", err.kind)
    assert.equal("reset", err.code)
    assert.equal("not_sent", err.phase)
  end)

  local function at(authority)
    local other <close> = connect(tenant, secret_of(app), { authority = authority })
    local err = refused(other)
    assert.equal("network", err.kind)
    return err
  end

  it("that cannot be reached is told from Graph", function()
    for authority, code in pairs {
      ["https://localhost:" .. helper.closed_port()] = "connect", ["https://no-such-host.invalid"] = "dns",
    } do
      local err = at(authority)
      assert.equal(code, err.code)
      assert.matches("^the sign%-in failed: ", err.message)
      assert.matches("^this is about the sign%-in host, not Graph's %(authority, AZURE_AUTHORITY_HOST%)", err.hint)
    end
  end)

  it("that cannot prove who it is gets no secret", function()
    local stranger = start { seed = 3 }
    assert.equal("tls_untrusted", at(stranger.authority).code)
    assert.equal(0, #stranger:token_requests())
  end)
end)

describe("no secret shows", function()
  it("in any Error above, nor in the tenants' logs", function()
    for _, tenant in ipairs(tenants) do
      ledger:saw(tenant:requests())
      ledger:saw(tenant:token_requests())
      tenant:stop()
    end
    ledger:secret(sign_in.PASSWORD)
    local secrets, texts = ledger:check()
    assert.is_true(secrets > 20 and texts > 200, ("%d secrets, %d texts"):format(secrets, texts))
  end)

  it("and one that did would be found", function()
    local core = require "msgraph.core"
    local base64 = require "msgraph.sim.login.base64"
    local secret = "p/w?+ of the=spec &all"
    for _, text in ipairs { secret, core.escape(secret), core.escape(secret):lower(),
      (core.escape(secret):gsub("%%20", "+")), base64.encode(secret), base64.encode("user:" .. secret),
      base64.url("id:" .. secret), base64.encode("x" .. secret .. "y"), { nested = { "Error: " .. secret .. "!" } },
      setmetatable({}, { __tostring = function() return secret end }), helper.TOKEN } do
      local one = sign_in.ledger()
      one:secret(secret)
      one:saw(text)
      assert.is_false(pcall(one.check, one), tostring(text))
    end
  end)
end)
