-- spec/unit/sim_login_spec.lua
--- The login side of a simulated tenant, without sockets: forms in, tokens and refusals out.
local base64 = require "msgraph.sim.login.base64"
local cjson = require "cjson"
local clock = require "msgraph.sim.clock"
local crypto = require "msgraph.sim.server"
local form = require "msgraph.sim.login.form"
local helper = require "spec.support.helper"
local tenants = require "msgraph.sim.tenant"

local HOUR, DAY <const> = 3600, 24 * 3600
local DEVICE_GRANT <const> = "urn:ietf:params:oauth:grant-type:device_code"
local OBO_GRANT <const> = "urn:ietf:params:oauth:grant-type:jwt-bearer"
local DEFAULT <const> = "https://graph.microsoft.com/.default"
local CP1 <const> = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'
local READ_USERS <const> = "User.Read.All"

local function encode(fields)
  local out = {}
  for name, value in pairs(fields) do out[#out + 1] = form.escape(name) .. "=" .. form.escape(tostring(value)) end
  return table.concat(out, "&")
end

--- A tenant whose clocks only move when told, and somebody who asks it.
local function new(opts)
  local self = { seconds = 0, secrets = {} }
  self.tenant = tenants.new(opts or {}, function() return self.seconds end)

  function self.ask(method, target, headers, body)
    local all = { host = "login.test:8443" }
    for name, value in pairs(headers or {}) do all[name] = value end
    local answer = self.tenant:answer { method = method, target = target, headers = all, body = body or "" }
    local ok, decoded = pcall(cjson.decode, answer.body)
    return answer, ok and decoded or {}
  end

  function self.post(name, fields, opts_of)
    opts_of = opts_of or {}
    local headers = { ["content-type"] = "application/x-www-form-urlencoded" }
    for header, value in pairs(opts_of.headers or {}) do headers[header] = value end
    return self.ask("POST", "/" .. (opts_of.directory or "contoso.com") .. "/oauth2/v2.0/" .. name, headers,
      encode(fields))
  end

  --- Asks the token endpoint; returns what it said and the answer.
  function self.token(fields, opts_of)
    local answer, body = self.post("token", fields, opts_of)
    for _, name in ipairs { "access_token", "refresh_token", "id_token" } do
      self.secrets[#self.secrets + 1] = body[name]
    end
    return body, answer
  end

  function self.client_credentials(app, changes, opts_of)
    local fields = { grant_type = "client_credentials", client_id = app.client_id, client_secret = app.client_secret,
      scope = DEFAULT }
    for name, value in pairs(changes or {}) do fields[name] = value or nil end
    return self.token(fields, opts_of)
  end

  --- Asks Graph with a token; returns status and answer.
  function self.graph(token, target)
    local answer = self.ask("GET", target or "/v1.0/users", { authorization = "Bearer " .. token })
    return answer.status, answer
  end

  --- A device flow, begun.
  function self.device(app, scope)
    local _, started = self.post("devicecode", { client_id = app.client_id, scope = scope or READ_USERS })
    return started
  end

  function self.poll(app, started, changes)
    local fields = { grant_type = DEVICE_GRANT, client_id = app.client_id, device_code = started.device_code }
    for name, value in pairs(changes or {}) do fields[name] = value end
    return self.token(fields)
  end

  --- Signs somebody in with a device code; returns the token answer.
  function self.signed_in(app, user, scope, changes)
    local started = self.device(app, scope or READ_USERS .. " offline_access openid")
    self.tenant:sign_in { user_code = started.user_code, user = user }
    return self.poll(app, started, changes)
  end

  function self.refresh(app, token, changes)
    local fields = { grant_type = "refresh_token", client_id = app.client_id, refresh_token = token }
    for name, value in pairs(changes or {}) do fields[name] = value end
    return self.token(fields)
  end

  --- The redirect of the authorization endpoint, as fields, or the page.
  function self.authorize(app, changes)
    local fields = { client_id = app.client_id, response_type = "code", redirect_uri = "http://localhost:5001/",
      scope = READ_USERS .. " offline_access openid", state = "s t/?" }
    for name, value in pairs(changes or {}) do fields[name] = value or nil end
    local answer = self.ask("GET", "/contoso.com/oauth2/v2.0/authorize?" .. encode(fields))
    local location = answer.headers.Location
    if not location then return nil, answer end
    local uri, query = location:match("^([^?#]*)[?#](.*)$")
    return form.parse(query), answer, uri
  end

  function self.redeem(app, code, changes)
    local fields = { grant_type = "authorization_code", client_id = app.client_id, code = code,
      redirect_uri = "http://localhost:5001/" }
    for name, value in pairs(changes or {}) do fields[name] = value end
    return self.token(fields)
  end

  return self
end

--- Asserts what a refusal says, in all the places where it says it.
local function assert_refused(number, error, body, answer)
  assert.equal(error, body.error)
  assert.same({ number }, body.error_codes)
  assert.truthy(body.error_description:find("AADSTS" .. number .. ": ", 1, true))
  if answer then assert.equal(error == "invalid_client" and 401 or 400, answer.status) end
end

describe("the words of the login service", function()
  it("read base64 in either alphabet, and refuse what is none", function()
    for length = 0, 20 do
      local bytes = ("\0\xff\x10~"):rep(5):sub(1, length)
      assert.equal(bytes, base64.decode(base64.encode(bytes)))
      assert.equal(bytes, base64.decode(base64.url(bytes)))
      assert.is_nil(base64.url(bytes):find("[=+/]"))
    end
    assert.equal("TWE=", base64.encode "Ma") -- RFC 4648 10 has more of these
    for _, text in ipairs { "a", "ab!c", "a\nbc", "abc===" } do assert.is_nil(base64.decode(text)) end
    assert.is_nil(base64.decode(nil))
  end)

  it("read forms, but not one that says a name twice or escapes wrongly", function()
    assert.same({ a = "1 2", b = "=&+" }, form.parse "a=1+2&b=%3D%26%2b&empty=")
    for _, text in ipairs { "a=1&a=2", "a=%", "a=%2", "a=%zz" } do assert.is_nil(form.parse(text)) end
    assert.same({}, form.body("application/json", "a=1"))
  end)

  it("know SHA-256 (RFC 7636, appendix B)", function()
    assert.equal("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
      base64.url(crypto.sha256 "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"))
  end)
end)

describe("client credentials", function()
  it("are a token for the application, which Graph takes", function()
    local s = new()
    local app = s.tenant:app { secret = true }
    local body, answer = s.client_credentials(app)
    assert.equal(200, answer.status)
    assert.equal("no-store, no-cache", answer.headers["Cache-Control"])
    assert.same({ "Bearer", 3600, 3600 }, { body.token_type, body.expires_in, body.ext_expires_in })
    assert.is_nil(body.refresh_token or body.id_token or body.refresh_in)
    assert.equal(200, (s.graph(body.access_token)))
    s.tenant:advance(HOUR)
    assert.equal(401, (s.graph(body.access_token)))
  end)

  it("go with every name of the tenant, of the resource and with Basic", function()
    local s = new()
    local app = s.tenant:app { secret = "a+b %&=/\"ö" }
    for _, directory in ipairs { s.tenant:tenant_id(), s.tenant:tenant_id():upper(), "contoso.com", "Contoso.COM",
      "contoso.onmicrosoft.com" } do
      assert.is_string(s.client_credentials(app, nil, { directory = directory }).access_token)
    end
    for _, scope in ipairs { "https://login.test:8443/.default", "00000003-0000-0000-c000-000000000000/.default",
      "https://graph.microsoft.com//.default", ".default" } do
      assert.is_string(s.client_credentials(app, { scope = scope }).access_token)
    end
    local basic = "Basic " .. base64.encode(form.escape(app.client_id) .. ":" .. form.escape(app.client_secret))
    assert.is_string(s.client_credentials(app, { client_id = false, client_secret = false },
      { headers = { authorization = basic } }).access_token)
  end)

  it("carry the permissions that were consented to, and no others", function()
    local s = new()
    local app = s.tenant:app { secret = true, roles = { READ_USERS, "DeviceManagementManagedDevices.Read.All" } }
    local devices = "/v1.0/deviceManagement/managedDevices"
    local before = s.client_credentials(app).access_token
    assert.equal(200, (s.graph(before, devices)))
    s.tenant:remove_consent { client_id = app.client_id, permission = "DeviceManagementManagedDevices.Read.All" }
    local after = s.client_credentials(app).access_token
    assert.equal(403, (s.graph(after, devices)))
    assert.equal(200, (s.graph(after)))
    assert.equal(200, (s.graph(before, devices)))
  end)

  for _, case in ipairs {
    { "an unknown tenant", 90002, "invalid_request", {}, "fabrikam.com" },
    { "/common", 9001023, "invalid_request", {}, "common" },
    { "/organizations", 50194, "invalid_request", {}, "organizations" },
    { "an unknown app", 700016, "unauthorized_client", { client_id = "11111111-2222-4333-8444-555555555555" } },
    { "no app", 900144, "invalid_request", { client_id = false } },
    { "no grant", 900144, "invalid_request", { grant_type = false } },
    { "an unknown grant", 70003, "unsupported_grant_type", { grant_type = "password" } },
    { "a wrong secret", 7000215, "invalid_client", { client_secret = "wrong" } },
    { "no secret", 7000218, "invalid_client", { client_secret = false } },
    { "no scope", 900144, "invalid_request", { scope = false } },
    { "a scope without .default", 70011, "invalid_scope", { scope = READ_USERS } },
    { "a scope that is none", 70011, "invalid_scope", { scope = "nonsense" } },
    { "OpenID's scopes", 70011, "invalid_scope", { scope = DEFAULT .. " openid" } },
    { "two resources", 700022, "invalid_scope", { scope = DEFAULT .. " https://vault.azure.net/.default" } },
    { "an unknown resource", 500011, "invalid_resource", { scope = "https://vault.azure.net/.default" } },
    { "claims that are no JSON", 9002313, "invalid_request", { claims = "{" } },
    { "an assertion that is none", 50027, "invalid_client", { client_assertion = "a.b", client_secret = false,
      client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" } },
    { "an assertion of another type", 9002313, "invalid_request", { client_assertion = "a.b.c",
      client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer" } },
  } do
    it("are refused with " .. case[1], function()
      local s = new()
      local app = s.tenant:app { secret = true }
      local body, answer = s.client_credentials(app, case[4], { directory = case[5] })
      assert_refused(case[2], case[3], body, answer)
      local entry = s.tenant:token_requests()[1]
      assert.same({ case[2], case[3], answer.status }, { entry.code, entry.error, entry.status })
    end)
  end

  it("are refused in the shape of the service, and echo the client's id", function()
    local s = new()
    local app = s.tenant:app { secret = true }
    local body, answer = s.client_credentials(app, { client_secret = "x" },
      { headers = { ["client-request-id"] = "my-id" } })
    assert.equal("2026-09-04 08:00:00Z", body.timestamp)
    assert.equal("my-id", body.correlation_id)
    assert.equal("my-id", answer.headers["client-request-id"])
    assert.equal(body.trace_id, answer.headers["x-ms-request-id"])
    assert.is_nil(answer.headers["request-id"])
    assert.truthy(body.error_description:find("Trace ID: " .. body.trace_id .. " Correlation ID: my-id Timestamp: "
      .. body.timestamp, 1, true))
    assert.truthy(answer.body:find('^{"error":"invalid_client","error_description":".-","error_codes":%[7000215%],'))
  end)

  it("end with their secret, and go on with the next", function()
    local s = new()
    local app = s.tenant:app { secret = true }
    s.tenant:expire_secret(app.client_id)
    assert_refused(7000222, "invalid_client", s.client_credentials(app))
    local new_secret = s.tenant:set_credentials { client_id = app.client_id, credentials = { secret = true } }
    assert.not_equal(app.client_secret, new_secret.client_secret)
    assert.is_string(s.client_credentials(app, new_secret).access_token)
    assert_refused(7000215, "invalid_client", s.client_credentials(app))
  end)

  it("are blocked by policy, with the claims that say so", function()
    local s = new()
    local app = s.tenant:app { secret = true }
    s.tenant:policy { who = app.client_id, policy = { blocked = true } }
    local body, answer = s.client_credentials(app)
    assert_refused(53003, "interaction_required", body, answer)
    assert.equal("message_only", body.suberror)
    assert.is_true(cjson.decode(body.claims).access_token.capolids.essential)
    s.tenant:policy { who = app.client_id, policy = {} }
    assert.is_string(s.client_credentials(app).access_token)
  end)

  it("are not for a public client, which may not send any either", function()
    local s = new()
    local app = s.tenant:app { public = true }
    assert_refused(7000218, "invalid_client", s.client_credentials(app))
    assert_refused(700025, "invalid_client", s.client_credentials(app, { client_secret = "x" }))
  end)

  it("want a POST with a form", function()
    local s = new()
    local answer, body = s.ask("GET", "/contoso.com/oauth2/v2.0/token")
    assert_refused(900561, "invalid_request", body, answer)
    answer, body = s.ask("POST", "/contoso.com/oauth2/v2.0/token", { ["content-type"] = "application/json" }, "{}")
    assert_refused(900144, "invalid_request", body, answer)
    answer, body = s.ask("POST", "/contoso.com/oauth2/v2.0/token",
      { ["content-type"] = "application/x-www-form-urlencoded" }, "grant_type=a&grant_type=b")
    assert_refused(9002313, "invalid_request", body, answer)
  end)

  it("live as long as the tenant says, in the client's seconds", function()
    local s = new { token_lifetime = 3 * HOUR, speed = 60 }
    local app = s.tenant:app { secret = true }
    local body = s.client_credentials(app)
    assert.same({ 3 * HOUR, 3 * HOUR / 2 }, { body.expires_in, body.refresh_in })
    s.seconds = 3 * HOUR - 1
    assert.equal(200, (s.graph(body.access_token)))
    s.seconds = 3 * HOUR
    assert.equal(401, (s.graph(body.access_token)))
  end)

  it("are the same for the same seed", function()
    local function bytes(seed)
      local s = new { seed = seed }
      local app = s.tenant:app { secret = true }
      return s.tenant:tenant_id() .. app.client_id .. app.client_secret .. select(2, s.client_credentials(app)).body
    end
    assert.equal(bytes(5), bytes(5))
    assert.not_equal(bytes(5), bytes(6))
  end)
end)

describe("a revocation", function()
  it("challenges a client that declared cp1, and any other with a plain 401", function()
    local s = new()
    local app = s.tenant:app { secret = true }
    local plain = s.client_credentials(app).access_token
    local capable = s.client_credentials(app, { claims = CP1 }).access_token
    s.tenant:revoke(app.client_id)
    local status, answer = s.graph(plain)
    assert.equal(401, status)
    assert.is_nil(answer.headers["WWW-Authenticate"]:find("claims"))
    status, answer = s.graph(capable)
    assert.equal(401, status)
    local challenge = answer.headers["WWW-Authenticate"]
    assert.truthy(challenge:find('error="insufficient_claims"', 1, true))
    local claims = cjson.decode(base64.decode(challenge:match('claims="([^"]*)"')))
    assert.same({ essential = true, value = tostring(clock.START) }, claims.access_token.nbf)
    local merged = '{"access_token":{"nbf":{"essential":true,"value":"1"},"xms_cc":{"values":["cp1"]}}}'
    assert.equal(200, (s.graph(s.client_credentials(app, { claims = merged }).access_token)))
    local log = s.tenant:token_requests()
    assert.same({ false, true, true }, { log[1].cp1, log[2].cp1, log[3].cp1 })
    assert.equal(merged, log[3].claims)
  end)

  it("ends a user's tokens and every refresh token, and nobody else's", function()
    local s = new()
    local app = s.tenant:app { public = true }
    local ada, grace = s.signed_in(app, "ada@contoso.com"), s.signed_in(app, "grace@contoso.com")
    local rotated = s.refresh(app, ada.refresh_token)
    local other = s.tenant:token { kind = "delegated", user = "ada@contoso.com", scopes = { "User.Read" } }
    assert.equal(200, (s.graph(other, "/v1.0/me")))
    s.tenant:revoke "ada@contoso.com"
    assert.equal(401, (s.graph(ada.access_token, "/v1.0/me")))
    assert.equal(401, (s.graph(rotated.access_token, "/v1.0/me")))
    assert.equal(401, (s.graph(other, "/v1.0/me")))
    assert_refused(50173, "invalid_grant", s.refresh(app, ada.refresh_token))
    assert_refused(50173, "invalid_grant", s.refresh(app, rotated.refresh_token))
    assert.equal(200, (s.graph(grace.access_token, "/v1.0/me")))
    assert.is_string(s.refresh(app, grace.refresh_token).access_token)
    assert.equal(200, (s.graph(s.signed_in(app, "ada@contoso.com").access_token, "/v1.0/me")))
  end)
end)

describe("the device code flow", function()
  it("waits for the person, then gives tokens once", function()
    local s = new()
    local app = s.tenant:app { public = true }
    local started = s.device(app, READ_USERS .. " openid profile offline_access")
    assert.same({ 900, 5, "https://login.test:8443/devicelogin" },
      { started.expires_in, started.interval, started.verification_uri })
    assert.truthy(started.message:find(started.user_code, 1, true))
    assert_refused(70016, "authorization_pending", s.poll(app, started))
    assert.equal(1, s.tenant:sign_in { user_code = started.user_code:lower(), user = "ada@contoso.com" })
    local body = s.poll(app, started, { client_info = "1" })
    assert.equal("openid profile https://graph.microsoft.com/User.Read.All", body.scope)
    local _, me = s.ask("GET", "/v1.0/me", { authorization = "Bearer " .. body.access_token })
    assert.equal("ada@contoso.com", me.userPrincipalName)
    assert_refused(70018, "bad_verification_code", s.poll(app, started))

    local header, claims, signature = body.id_token:match("^([^.]+)%.([^.]+)%.([^.]+)$")
    assert.equal("RS256", cjson.decode(base64.decode(header)).alg)
    assert.equal(256, #base64.decode(signature))
    claims = cjson.decode(base64.decode(claims))
    assert.same({ app.client_id, "Ada Lovelace", "ada@contoso.com", me.id, s.tenant:tenant_id(), clock.START + HOUR },
      { claims.aud, claims.name, claims.preferred_username, claims.oid, claims.tid, claims.exp })
    assert.same({ uid = me.id, utid = s.tenant:tenant_id() }, cjson.decode(base64.decode(body.client_info)))
  end)

  it("answers slow_down by the client's clock, and asks for five seconds more", function()
    local s = new { speed = 0 }
    local app = s.tenant:app { public = true }
    local started = s.device(app)
    local function poll_after(seconds)
      s.seconds = s.seconds + seconds
      return s.poll(app, started).error
    end
    assert.equal("authorization_pending", poll_after(0))
    assert.equal("slow_down", poll_after(4.5))
    assert.equal("slow_down", poll_after(9))
    assert.equal("authorization_pending", poll_after(15))
  end)

  it("ends when declined, expired or unknown", function()
    local s = new()
    local app, other = s.tenant:app { public = true }, s.tenant:app { public = true }
    local started = s.device(app)
    s.tenant:sign_in { decline = true }
    assert_refused(65004, "authorization_declined", s.poll(app, started))
    started = s.device(app)
    assert_refused(70018, "bad_verification_code", s.poll(other, started))
    assert_refused(70018, "bad_verification_code", s.poll(app, { device_code = "x" }))
    s.tenant:advance(900)
    assert_refused(70019, "expired_token", s.poll(app, started))
  end)

  it("is for public clients, and for several tenants' people only where the app is", function()
    local s = new()
    local _, body = s.post("devicecode", { client_id = s.tenant:app { secret = true }.client_id, scope = READ_USERS })
    assert_refused(7000218, "invalid_client", body)
    local single, multi = s.tenant:app { public = true }, s.tenant:app { public = true, multi_tenant = true }
    for _, directory in ipairs { "common", "organizations" } do
      _, body = s.post("devicecode", { client_id = single.client_id, scope = READ_USERS }, { directory = directory })
      assert_refused(50194, "invalid_request", body)
      _, body = s.post("devicecode", { client_id = multi.client_id, scope = READ_USERS }, { directory = directory })
      assert.is_string(body.device_code)
    end
  end)

  for _, case in ipairs {
    { "a permission nobody consented to", 65001, "invalid_grant", "ada@contoso.com", "Mail.Read" },
    { "a disabled account", 50057, "invalid_grant", "ayse.yilmaz@contoso.com", READ_USERS },
    { "a blocked account", 53003, "interaction_required", "pavel.novak@contoso.com", READ_USERS },
  } do
    it("gives no token for " .. case[1], function()
      local s = new()
      local app = s.tenant:app { public = true }
      s.tenant:policy { who = "pavel.novak@contoso.com", policy = { blocked = true } }
      assert_refused(case[2], case[3], s.signed_in(app, case[4], case[5]))
    end)
  end

  it("gives roles to those who hold them", function()
    local s = new()
    local app = s.tenant:app { public = true }
    local target = "/v1.0/users/ada@contoso.com/removeAllDevicesFromManagement"
    for user, status in pairs { ["grace@contoso.com"] = 204, ["ada@contoso.com"] = 403 } do
      local token = s.signed_in(app, user, DEFAULT).access_token
      local headers = { authorization = "Bearer " .. token, ["content-length"] = "0" }
      assert.equal(status, s.ask("POST", target, headers).status)
    end
  end)

  it("has a page for people", function()
    local s = new()
    local app = s.tenant:app { public = true }
    local started = s.device(app)
    assert.truthy(s.ask("GET", "/devicelogin").body:find("<form", 1, true))
    local headers = { ["content-type"] = "application/x-www-form-urlencoded" }
    local function submit(fields) return s.ask("POST", "/devicelogin", headers, encode(fields)).body end
    assert.truthy(submit { user_code = "WRONG" }:find("no such code", 1, true))
    assert.truthy(submit { user_code = started.user_code, user = "ada@contoso.com" }:find("Done", 1, true))
    assert.is_string(s.poll(app, started).access_token)
  end)
end)

describe("a session", function()
  it("goes on with refresh tokens; the old one stays good", function()
    local s = new()
    local app = s.tenant:app { public = true }
    local first = s.signed_in(app)
    local second = s.refresh(app, first.refresh_token)
    assert.not_equal(first.refresh_token, second.refresh_token)
    assert.is_string(s.refresh(app, first.refresh_token).access_token)
    assert.is_string(s.refresh(app, second.refresh_token, { scope = READ_USERS }).refresh_token)
    assert_refused(65001, "invalid_grant", s.refresh(app, second.refresh_token, { scope = "Mail.Read" }))
    assert_refused(70000, "invalid_grant", s.refresh(app, "x"))
    assert_refused(900144, "invalid_request", s.refresh(app, ""))
    local body = s.refresh(s.tenant:app { public = true }, first.refresh_token)
    assert_refused(700005, "invalid_grant", body)
    assert.equal("client_mismatch", body.suberror)
    s.tenant:advance(90 * DAY)
    assert_refused(700082, "invalid_grant", s.refresh(app, second.refresh_token))
  end)

  it("has no refresh token unless it was asked for", function()
    local s = new()
    local app = s.tenant:app { public = true }
    assert.is_nil(s.signed_in(app, nil, READ_USERS).refresh_token)
  end)

  it("is interrupted by a demand for MFA, until somebody signs in", function()
    local s = new()
    local app = s.tenant:app { public = true }
    local before = s.signed_in(app, "ada@contoso.com")
    s.tenant:policy { who = "ada@contoso.com", policy = { mfa = true } }
    local body, answer = s.refresh(app, before.refresh_token)
    assert_refused(50076, "interaction_required", body, answer)
    assert.equal("basic_action", body.suberror)
    assert.is_string(cjson.decode(body.claims).access_token.capolids.values[1])
    local after = s.signed_in(app, "ada@contoso.com")
    assert.is_string(s.refresh(app, after.refresh_token).access_token)
  end)

  it("ends with the account and with the consent", function()
    local s = new()
    local app = s.tenant:app { public = true }
    local session = s.signed_in(app, "ada@contoso.com")
    s.tenant:policy { who = "ada@contoso.com", policy = { disabled = true } }
    assert_refused(50057, "invalid_grant", s.refresh(app, session.refresh_token))
    s.tenant:policy { who = "ada@contoso.com", policy = {} }
    s.tenant:remove_consent { client_id = app.client_id, permission = READ_USERS }
    local body = s.refresh(app, session.refresh_token)
    assert_refused(65001, "invalid_grant", body)
    assert.equal("consent_required", body.suberror)
  end)
end)

describe("the authorization endpoint", function()
  local VERIFIER <const> = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
  local PKCE <const> = { code_challenge = base64.url(crypto.sha256(VERIFIER)), code_challenge_method = "S256" }

  it("sends the browser back with a code that goes once, with its verifier", function()
    local s = new()
    local app = s.tenant:app { public = true }
    local back, _, uri = s.authorize(app, PKCE)
    assert.same({ "http://localhost:5001/", "s t/?" }, { uri, back.state })
    local body = s.redeem(app, back.code, { code_verifier = VERIFIER })
    assert.is_string(body.refresh_token)
    assert.equal(200, (s.graph(body.access_token, "/v1.0/me")))
    assert_refused(54005, "invalid_grant", s.redeem(app, back.code, { code_verifier = VERIFIER }))
    for _, verifier in ipairs { VERIFIER .. "x", "" } do
      back = s.authorize(app, PKCE)
      assert_refused(501481, "invalid_grant", s.redeem(app, back.code, { code_verifier = verifier }))
      assert_refused(54005, "invalid_grant", s.redeem(app, back.code, { code_verifier = VERIFIER }))
    end
  end)

  it("binds a code to its client, its redirect and ten minutes", function()
    local s = new()
    local app = s.tenant:app { public = true }
    assert_refused(700005, "invalid_grant", s.redeem(s.tenant:app { public = true }, s.authorize(app).code))
    assert_refused(500112, "invalid_grant",
      s.redeem(app, s.authorize(app).code, { redirect_uri = "http://localhost:5002/" }))
    local back = s.authorize(app)
    s.tenant:advance(600)
    assert_refused(70008, "invalid_grant", s.redeem(app, back.code))
    assert_refused(70000, "invalid_grant", s.redeem(app, "x"))
    back = s.authorize(app, { login_hint = "ada@contoso.com" })
    s.tenant:revoke "ada@contoso.com"
    assert_refused(50173, "invalid_grant", s.redeem(app, back.code))
  end)

  it("takes loopback at any port, and no other address", function()
    local s = new()
    local app = s.tenant:app { public = true, redirect_uris = { "http://localhost", "http://127.0.0.1/cb",
      "https://app.test/cb" } }
    for uri, good in pairs { ["http://localhost"] = true, ["http://localhost:1"] = true, ["http://localhost:1/"] = true,
      ["http://localhost:1/x"] = false, ["http://127.0.0.1:9/cb"] = true, ["http://127.0.0.1:9/"] = false,
      ["https://app.test/cb"] = true, ["https://app.test:8443/cb"] = false, ["http://app.test/cb"] = false,
      ["http://localhost.evil.test/"] = false, ["http://localhost:1@evil.test/"] = false,
      ["https://localhost"] = false, ["http://localhost:1/#x"] = false } do
      local back, answer = s.authorize(app, { redirect_uri = uri })
      assert.equal(good, back ~= nil, uri)
      if not good then assert.truthy(answer.status == 400 and answer.body:find("AADSTS50011", 1, true)) end
    end
  end)

  it("answers in the mode asked for", function()
    local s = new()
    local app = s.tenant:app { public = true }
    local _, answer = s.authorize(app, { response_mode = "fragment" })
    assert.truthy(answer.headers.Location:find("^http://localhost:5001/#code="))
    _, answer = s.authorize(app, { response_mode = "form_post", state = "<'\">" })
    assert.equal(200, answer.status)
    assert.truthy(answer.body:find("action='http://localhost:5001/'", 1, true))
    assert.truthy(answer.body:find("name=state value='&#60;&#39;&#34;&#62;'", 1, true))
    assert.is_string(s.redeem(app, answer.body:match("name=code value='([^']+)'")).access_token)
  end)

  for _, case in ipairs {
    { "the person declines", "access_denied", 65004, { person = { decline = true } } },
    { "an administrator has to consent", "access_denied", 90094, { scope = "Mail.Read" } },
    { "nobody may be asked to consent", "consent_required", 65001, { scope = "Mail.Read", prompt = "none" } },
    { "a scope is none", "invalid_scope", 70011, { scope = "nonsense" } },
    { "the challenge is too short", "invalid_request", 50147, { code_challenge = "abc" } },
    { "no code is asked for", "invalid_request", 900144, { response_type = "token" } },
  } do
    it("sends the browser back with an error when " .. case[1], function()
      local s = new()
      local app = s.tenant:app { public = true }
      s.tenant:sign_in(case[4].person)
      case[4].person = nil
      local back = s.authorize(app, case[4])
      assert.equal(case[2], back.error)
      assert.truthy(back.error_description:find("^AADSTS" .. case[3] .. ": "))
      assert.equal("s t/?", back.state)
      assert.is_nil(back.code)
      assert.equal(case[3], s.tenant:token_requests()[1].code)
    end)
  end

  for _, case in ipairs {
    { "an unknown app", 700016, { client_id = "11111111-2222-4333-8444-555555555555" } },
    { "a disabled account", 50057, { login_hint = "ayse.yilmaz@contoso.com" } },
    { "an unknown account", 50034, { login_hint = "nobody@contoso.com" } },
  } do
    it("shows a page and sends nobody back for " .. case[1], function()
      local s = new()
      local back, answer = s.authorize(s.tenant:app { public = true }, case[3])
      assert.is_nil(back)
      assert.truthy(answer.body:find("AADSTS" .. case[2], 1, true))
    end)
  end

  it("meets whoever signed in last", function()
    local s = new()
    local app = s.tenant:app { public = true }
    s.tenant:sign_in { user = "ada@contoso.com" }
    local body = s.redeem(app, s.authorize(app, { nonce = "n-1" }).code)
    local claims = cjson.decode(base64.decode(body.id_token:match("%.([^.]+)%.")))
    assert.same({ "ada@contoso.com", "n-1" }, { claims.preferred_username, claims.nonce })
  end)

  it("lets a confidential client redeem with its credential only", function()
    local s = new()
    local app = s.tenant:app { secret = true }
    assert_refused(7000218, "invalid_client", s.redeem(app, s.authorize(app).code))
    assert.is_string(s.redeem(app, s.authorize(app).code, { client_secret = app.client_secret }).access_token)
  end)
end)

describe("on behalf of", function()
  local function exchange(s, app, token, changes)
    local fields = { grant_type = OBO_GRANT, client_id = app.client_id, client_secret = app.client_secret,
      assertion = token, scope = READ_USERS, requested_token_use = "on_behalf_of" }
    for name, value in pairs(changes or {}) do fields[name] = value end
    return s.token(fields)
  end

  it("turns a user's token for the app into one for Graph", function()
    local s = new()
    local app, front = s.tenant:app { secret = true }, s.tenant:app { public = true }
    local token = s.signed_in(front, "ada@contoso.com", "api://" .. app.client_id .. "/access_as_user").access_token
    local status, answer = s.graph(token)
    assert.equal(401, status)
    assert.truthy(answer.body:find("Invalid audience", 1, true))
    local body = exchange(s, app, token)
    assert.equal(200, (s.graph(body.access_token, "/v1.0/me")))
    local made = s.tenant:token { kind = "delegated", user = "ada@contoso.com", audience = app.client_id }
    assert.is_string(exchange(s, app, made).access_token)
    s.tenant:policy { who = "ada@contoso.com", policy = { mfa = true } }
    assert_refused(50076, "interaction_required", exchange(s, app, made))
    s.tenant:revoke "ada@contoso.com"
    assert_refused(50173, "invalid_grant", exchange(s, app, made))
  end)

  it("does not take another app's token, Graph's, or none", function()
    local s = new()
    local app = s.tenant:app { secret = true }
    assert_refused(500131, "invalid_grant", exchange(s, app, s.tenant:token { kind = "delegated" }))
    assert_refused(50013, "invalid_grant", exchange(s, app, s.tenant:token()))
    assert_refused(50013, "invalid_grant", exchange(s, app, "x"))
    local made = s.tenant:token { kind = "delegated", audience = app.client_id }
    assert_refused(65001, "invalid_grant", exchange(s, app, made, { scope = "Mail.Read" }))
    assert_refused(7000215, "invalid_client", exchange(s, app, made, { client_secret = "x" }))
  end)
end)

describe("the metadata service", function()
  local QUERY <const> = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://graph.microsoft.com"

  it("gives the machine's identity a token, in strings", function()
    local s = new()
    local answer, body = s.ask("GET", QUERY, { metadata = "true" })
    assert.equal(200, answer.status)
    assert.same({ "3600", tostring(clock.START + HOUR), "", "https://graph.microsoft.com", "Bearer" },
      { body.expires_in, body.expires_on, body.refresh_token, body.resource, body.token_type })
    assert.equal(200, (s.graph(body.access_token)))
    assert.equal("managed_identity", s.tenant:token_requests()[1].grant)
  end)

  it("knows user-assigned identities by three names", function()
    local s = new()
    local app = s.tenant:app { managed_identity = true }
    for _, name in ipairs { "client_id=" .. app.client_id, "object_id=" .. app.object_id,
      "msi_res_id=" .. form.escape(app.resource_id) } do
      local _, body = s.ask("GET", QUERY .. "&" .. name, { metadata = "true" })
      assert.equal(app.client_id, body.client_id)
    end
    local answer, body = s.ask("GET", QUERY .. "&client_id=" .. s.tenant:app().client_id, { metadata = "true" })
    assert.same({ 400, "invalid_request", "Identity not found" }, { answer.status, body.error, body.error_description })
    assert_refused(700016, "unauthorized_client", s.client_credentials(app))
  end)

  for _, case in ipairs {
    { "without its header", QUERY, {}, "invalid_request" },
    { "through a proxy", QUERY, { metadata = "true", ["x-forwarded-for"] = "10.0.0.1" }, "invalid_request" },
    { "without a version", QUERY:gsub("api%-version=[^&]*&", ""), { metadata = "true" }, "invalid_request" },
    { "without a resource", QUERY:gsub("&resource.*", ""), { metadata = "true" }, "invalid_request" },
    { "for another resource", QUERY:gsub("graph", "vault"), { metadata = "true" }, "invalid_resource" },
  } do
    it("refuses a request " .. case[1], function()
      local answer, body = new().ask("GET", case[2], case[3])
      assert.same({ 400, case[4] }, { answer.status, body.error })
    end)
  end
end)

describe("the other hosts of managed identities", function()
  local QUERY <const> = "?resource=https://graph.microsoft.com&api-version="

  local function secret_of(s, host)
    return s.tenant:machine_endpoint { host = host, key_directory = "/nowhere" }.secret
  end

  for _, case in ipairs {
    { "app_service", "/msi/token" .. QUERY .. "2019-08-01", "x-identity-header", "string",
      "access_token client_id expires_on resource token_type" },
    { "azure_ml", "/MSI/auth" .. QUERY .. "2017-09-01", "secret", "string",
      "access_token client_id expires_on resource token_type" },
    { "service_fabric", "/fabric/metadata/identity/oauth2/token" .. QUERY .. "2019-07-01-preview", "secret", "number",
      "access_token expires_on resource token_type" },
  } do
    local host, target, header, kind, fields = table.unpack(case)

    it("give tokens for their secret: " .. host, function()
      local s = new()
      local answer, body = s.ask("GET", target, { [header] = secret_of(s, host) })
      local names = {}
      for name in pairs(body) do names[#names + 1] = name end
      table.sort(names)
      assert.same({ 200, fields, kind }, { answer.status, table.concat(names, " "), type(body.expires_on) })
      assert.equal(200, (s.graph(body.access_token)))
    end)

    it("refuse another secret, another version, and none: " .. host, function()
      local s = new()
      assert.equal(401, s.ask("GET", target, { [header] = "x" }).status)
      local secret = secret_of(s, host)
      assert.equal(401, s.ask("GET", target, { [header] = "x" }).status)
      assert.equal(401, s.ask("GET", target, { metadata = "true" }).status)
      local old = target:gsub("api%-version=.*", "api-version=2000-01-01")
      assert.equal(400, s.ask("GET", old, { [header] = secret }).status)
      assert.equal(400, s.ask("POST", target, { [header] = secret }).status)
    end)
  end

  it("have a form in Cloud Shell", function()
    local s = new()
    local headers = { metadata = "true", ["content-type"] = "application/x-www-form-urlencoded" }
    local answer, body = s.ask("POST", "/oauth2/token", headers, "resource=https://graph.microsoft.com")
    assert.same({ 200, "3600" }, { answer.status, body.expires_in })
    answer, body = s.ask("POST", "/oauth2/token", headers, "resource=https://vault.azure.net")
    assert.same({ 400, "invalid_resource" }, { answer.status, body.error.code })
  end)

  it("want a proof in Azure Arc, a new one each time", function()
    local s, dir = new(), helper.tmp()
    s.tenant:machine_endpoint { host = "azure_arc", key_directory = dir }
    local target = "/arc/metadata/identity/oauth2/token" .. QUERY .. "2020-06-01"
    local answer = s.ask("GET", target, { metadata = "true" })
    local path = answer.headers["WWW-Authenticate"]:match("^Basic realm=(.+%.key)$")
    assert.same({ 401, dir .. "/1.key" }, { answer.status, path })
    local proof = { metadata = "true", authorization = "Basic " .. helper.read_file(path) }
    assert.equal(200, s.ask("GET", target, proof).status)
    assert.equal(401, s.ask("GET", target, proof).status)
  end)

  it("fail in their own words", function()
    local s = new()
    s.tenant:fault { kind = "status", status = 410, path = "metadata" }
    s.tenant:fault { kind = "status", status = 429, path = "msi", retry_after = 3 }
    local answer, body = s.ask("GET", "/metadata/identity/oauth2/token")
    assert.same({ 410, "gone" }, { answer.status, body.error })
    answer, body = s.ask("GET", "/msi/token")
    assert.same({ 429, 429, "3" }, { answer.status, body.statusCode, answer.headers["Retry-After"] })
  end)

  it("are all that is spoken to without TLS, but for Service Fabric", function()
    local s = new()
    local function status(method, target)
      return s.tenant:answer { method = method, target = target, headers = { metadata = "true" }, body = "",
        plain = true }.status
    end
    assert.equal(200, status("GET", "/metadata/identity/oauth2/token" .. QUERY .. "2018-02-01"))
    assert.equal(404, status("GET", "/fabric/metadata/identity/oauth2/token" .. QUERY .. "2019-07-01-preview"))
    assert.equal(404, status("GET", "/v1.0/users"))
    assert.equal(404, status("POST", "/contoso.com/oauth2/v2.0/token"))
    assert.equal(404, status("GET", "/devicelogin"))
  end)
end)

describe("the logs", function()
  it("count token requests, spoilt ones too", function()
    local s = new()
    local app = s.tenant:app { secret = true }
    s.tenant:fault { kind = "status", status = 503, retry_after = 2, path = "oauth2/v2.0/token" }
    s.tenant:fault { kind = "reset_after", path = "oauth2/v2.0/token" }
    local body, answer = s.client_credentials(app)
    assert.same({ 503, "2", "temporarily_unavailable" }, { answer.status, answer.headers["Retry-After"], body.error })
    s.client_credentials(app)
    s.client_credentials(app)
    local log = s.tenant:token_requests { grant = "client_credentials", client_id = app.client_id }
    assert.same({ "status", 503 }, { log[1].fault, log[1].status })
    assert.equal("reset_after", log[2].fault)
    assert.is_nil(log[2].status)
    assert.same({ 200, "secret", 3 }, { log[3].status, log[3].credential, log[3].n })
    assert.equal(3, #s.tenant:requests())
    assert.equal(1, #s.tenant:token_requests { status = 200 })
  end)

  it("hold no secret, code, assertion or token", function()
    local s = new()
    local app = s.tenant:app { secret = "Geheim+1/2=", public = true }
    local started = s.device(app, READ_USERS .. " offline_access openid")
    s.tenant:sign_in { user_code = started.user_code }
    local session = s.poll(app, started, { client_secret = app.client_secret })
    s.refresh(app, session.refresh_token)
    local back = s.authorize(app, { state = "state-text", nonce = "nonce-text" })
    s.redeem(app, back.code, { code_verifier = "verifier-text" })
    s.client_credentials(app)
    s.ask("POST", "/contoso.com/oauth2/v2.0/token?client_secret=" .. form.escape(app.client_secret))
    s.client_credentials(app, { client_assertion = "assertion-text", client_id = "client-text" })
    local text = s.tenant.log
    text = cjson.encode(text) .. cjson.encode(s.tenant:token_requests())
    text = text:gsub("\\/", "/")
    local secrets = { app.client_secret, form.escape(app.client_secret), base64.encode(app.client_secret),
      started.user_code, started.device_code, back.code, "state-text", "nonce-text", "verifier-text", "assertion-text",
      "client-text", table.unpack(s.secrets) }
    assert.is_true(#secrets > 15)
    for _, secret in ipairs(secrets) do assert.is_nil(text:find(secret, 1, true)) end
  end)
end)

describe("mistakes of whoever runs the tenant", function()
  local tenant = new().tenant
  for message, fn in pairs {
    ["unknown option 'secrets'"] = function() tenant:app { secrets = true } end,
    ["may not be a number"] = function() tenant:app { secret = 1 } end,
    ["certificate 1 is no PEM certificate"] = function() tenant:app { certificate = "x" } end,
    ["without 'subject'"] = function() tenant:app { federated = { issuer = "x" } } end,
    ["no such user: nobody"] = function() tenant:sign_in { user = "nobody" } end,
    ["no such user code waits"] = function() tenant:sign_in { user_code = "ABC" } end,
    ["unknown option 'code'"] = function() tenant:sign_in { code = "ABC" } end,
    ["no such user: x"] = function() tenant:revoke "x" end,
    ["no such app: y"] = function() tenant:expire_secret "y" end,
    ["the app has no Mail.Read"] = function()
      tenant:remove_consent { client_id = tenant:app().client_id, permission = "Mail.Read" }
    end,
    ["are booleans"] = function() tenant:policy { who = "ada@contoso.com", policy = { mfaa = true } } end,
  } do
    it("are raised: " .. message, function()
      local ok, err = pcall(fn)
      assert.is_false(ok)
      assert.truthy(err:find(message, 1, true), err)
    end)
  end
end)
