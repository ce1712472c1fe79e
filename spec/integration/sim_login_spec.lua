-- spec/integration/sim_login_spec.lua
--- The login endpoints over real TLS, asked by the curl command, with assertions signed by the openssl command.
local base64 = require "msgraph.sim.login.base64"
local cjson = require "cjson"
local crypto = require "msgraph.sim.server"
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"

local DEFAULT <const> = "https://graph.microsoft.com/.default"
local ASSERTION_TYPE <const> = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

--- Asks with curl; returns its exit code, status, decoded body and all that was printed.
local function curl(tenant, target, fields, headers)
  local words = { "curl", "-sS", "-i", "--max-time", "20", "--cacert", tenant.ca_file }
  for _, header in ipairs(headers or {}) do table.move({ "-H", header }, 1, 2, #words + 1, words) end
  for name, value in pairs(fields or {}) do
    table.move({ "--data-urlencode", name .. "=" .. value }, 1, 2, #words + 1, words)
  end
  words[#words + 1] = tenant.authority .. target
  for i, word in ipairs(words) do words[i] = helper.quote(word) end
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
  local out = pipe:read("a")
  local _, _, code = pipe:close()
  local ok, body = pcall(cjson.decode, out:match("\r\n\r\n(.*)$") or "")
  return { code = code, status = math.tointeger(tonumber(out:match("^HTTP/%S+ (%d+)"))), body = ok and body or {},
    out = out }
end

local function token_url(tenant)
  return tenant.authority .. "/" .. tenant.tenant_id .. "/oauth2/v2.0/token"
end

-- ---- keys ------------------------------------------------------------------------------------

local dir

--- A key and its certificate, made once: name.key, name.pem, name.pub.
local function make_key(name, bits)
  dir = dir or helper.sh("mktemp -d " .. helper.tmp() .. "/login.XXXXXX"):match("%S+")
  local base = dir .. "/" .. name
  helper.sh(("openssl req -x509 -newkey rsa:%d -nodes -keyout %s.key -out %s.pem -days 2 -subj /CN=%s 2>/dev/null && "
    .. "openssl pkey -in %s.key -pubout -out %s.pub"):format(bits or 2048, base, base, name, base, base))
  local pem = helper.read_file(base .. ".pem")
  return { path = base .. ".key", pem = pem, public = helper.read_file(base .. ".pub"),
    facts = crypto.certificate(pem) }
end

local PADDING = {
  PS256 = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
  RS256 = "-sigopt rsa_padding_mode:pkcs1",
  long_salt = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:max",
}

local function sign(key, padding, text)
  local input = dir .. "/signed"
  helper.write_file(input, text)
  helper.sh(("openssl dgst -sha256 %s -sign %s -out %s.sig %s"):format(PADDING[padding], key.path, input, input))
  return helper.read_file(input .. ".sig")
end

local function jwt(key, header, claims, padding)
  local text = base64.url(cjson.encode(header)) .. "." .. base64.url(cjson.encode(claims))
  return text .. "." .. base64.url(sign(key, padding or header.alg, text))
end

describe("signatures", function()
  local key, other

  setup(function() key, other = make_key "signer", make_key "other" end)

  it("are told from all that is none", function()
    for _, alg in ipairs { "PS256", "RS256" } do
      local signature = sign(key, alg, "some text")
      assert.is_true(crypto.verify(key.pem, alg, "some text", signature))
      assert.is_true(crypto.verify(key.public, alg, "some text", signature))
      assert.is_false(crypto.verify(other.pem, alg, "some text", signature))
      assert.is_false(crypto.verify(key.pem, alg, "some texT", signature))
      assert.is_false(crypto.verify(key.pem, alg, "some text", signature:sub(1, -2)))
      assert.is_false(crypto.verify(key.pem, alg, "some text", ""))
      assert.is_false(crypto.verify(key.pem, alg == "PS256" and "RS256" or "PS256", "some text", signature))
      assert.is_false(crypto.verify("no key", alg, "some text", signature))
    end
    assert.is_false(crypto.verify(key.pem, "PS256", "some text", sign(key, "long_salt", "some text")))
    assert.has_error(function() crypto.verify(key.pem, "none", "", "") end)
  end)

  it("of a short key count for nothing", function()
    local short = make_key("short", 1024)
    assert.is_false(crypto.verify(short.pem, "PS256", "some text", sign(short, "PS256", "some text")))
  end)

  it("come with certificates whose thumbprints openssl agrees with", function()
    for name, digest in pairs { sha256 = "SHA256", sha1 = "SHA1" } do
      local line = helper.sh(("openssl x509 -in %s -noout -fingerprint -%s"):format(key.path:gsub("key$", "pem"),
        name))
      local hex = line:match("=(.*)\n"):gsub(":", "")
      assert.equal(hex:lower(), (key.facts[name]:gsub(".", function(c) return ("%02x"):format(c:byte()) end)), digest)
    end
    assert.equal(2 * 24 * 3600, key.facts.not_after - key.facts.not_before)
    assert.is_nil(crypto.certificate "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
  end)
end)

describe("a client with a certificate", function()
  local tenant, key, other, app, number

  setup(function()
    key, other, number = make_key "client", make_key "stranger", 0
    tenant = assert(sim.start { start = os.time(), speed = 0 })
    app = tenant:app { certificate = { other.pem, key.pem } }
  end)
  teardown(function() tenant:stop() end)

  --- An assertion as FACTS 7.2 has it, but for some changes; false takes a field away.
  local function assertion(changes)
    changes = changes or {}
    number = number + 1
    local now = math.floor(tenant:now())
    local header = { alg = "PS256", typ = "JWT", ["x5t#S256"] = base64.url(key.facts.sha256) }
    local claims = { aud = token_url(tenant), iss = app.client_id, sub = app.client_id, jti = "jti-" .. number,
      nbf = now, iat = now, exp = now + 600 }
    for name, value in pairs(changes.header or {}) do header[name] = value or nil end
    for name, value in pairs(changes.claims or {}) do claims[name] = value or nil end
    return jwt(changes.key or key, header, claims, changes.padding)
  end

  local function ask(text)
    return curl(tenant, "/contoso.com/oauth2/v2.0/token", { grant_type = "client_credentials", scope = DEFAULT,
      client_id = app.client_id, client_assertion_type = ASSERTION_TYPE, client_assertion = text })
  end

  it("gets a token that Graph takes", function()
    local answer = ask(assertion())
    assert.equal(200, answer.status, answer.out)
    assert.equal(200, curl(tenant, "/v1.0/users", nil, { "Authorization: Bearer " .. answer.body.access_token }).status)
    local log = tenant:token_requests()
    assert.equal("certificate", log[#log].credential)
  end)

  it("may write its thumbprint the old ways", function()
    assert.equal(200, ask(assertion { header = { ["x5t#S256"] = base64.encode(key.facts.sha256) } }).status)
    assert.equal(200, ask(assertion { header = { alg = "RS256", ["x5t#S256"] = false,
      x5t = base64.url(key.facts.sha1) } }).status)
  end)

  for _, case in ipairs {
    { "another key signed", 700027, function() return { key = other } end },
    { "another kind of signature", 700027, function() return { padding = "RS256" } end },
    { "the thumbprint is nobody's", 700027, function() return { header = { ["x5t#S256"] = "AAAA" } } end },
    { "the thumbprint is missing", 700027, function() return { header = { ["x5t#S256"] = false } } end },
    { "the type is missing", 50027, function() return { header = { typ = false } } end },
    { "the algorithm is none", 50027, function() return { header = { alg = "none" }, padding = "PS256" } end },
    { "it is about another app", 700021, function() return { claims = { sub = "x" } } end },
    { "another app wrote it", 700021, function() return { claims = { iss = "x" } } end },
    { "it is for Graph", 700023, function() return { claims = { aud = "https://graph.microsoft.com" } } end },
    { "it is for nobody", 700023, function() return { claims = { aud = false } } end },
    { "it has no number", 50027, function() return { claims = { jti = false } } end },
    { "its number was used", 50027, function() return { claims = { jti = "jti-1" } } end },
    { "it never ends", 700024, function() return { claims = { exp = false } } end },
    { "the client's clock is two hours slow", 700024, function()
      return { claims = { nbf = os.time() - 7200, exp = os.time() - 6600 } }
    end },
    { "the client's clock is two hours fast", 700024, function()
      return { claims = { nbf = os.time() + 7200, exp = os.time() + 7800 } }
    end },
  } do
    it("gets none when " .. case[1], function()
      local answer = ask(assertion(case[3]()))
      assert.same({ 401, "invalid_client", case[2] },
        { answer.status, answer.body.error, math.tointeger(answer.body.error_codes[1]) })
    end)
  end

  it("gets none for words that are no JWT", function()
    for _, text in ipairs { "a", "a.b.c", "e30.e30.AAAA", ("x"):rep(100000), "W10.W10.AAAA" } do
      assert.equal(401, ask(text).status)
    end
  end)

  it("goes on after a rotation, with the new one only", function()
    local mine = tenant:app { certificate = other.pem }
    tenant:set_credentials(mine.client_id, { certificate = key.pem })
    local before = app
    app = mine
    assert.equal(200, ask(assertion()).status)
    local header = { ["x5t#S256"] = base64.url(other.facts.sha256) }
    assert.equal(401, ask(assertion { key = other, header = header }).status)
    app = before
  end)

  it("gets none once the certificate has expired", function()
    tenant:advance(3 * 24 * 3600)
    local answer = ask(assertion())
    assert.truthy(answer.body.error_description:find("expired", 1, true))
    tenant:advance(-3 * 24 * 3600)
    assert.equal(200, ask(assertion()).status)
  end)
end)

describe("a workload with a federated identity", function()
  local tenant, key, app

  setup(function()
    key = make_key "issuer"
    tenant = assert(sim.start { speed = 0 })
    app = tenant:app { federated = { issuer = "https://cluster.test/", subject = "system:serviceaccount:jobs:leaver",
      public_key = key.public } }
  end)
  teardown(function() tenant:stop() end)

  local function ask(changes, signer)
    local claims = { iss = "https://cluster.test/", sub = "system:serviceaccount:jobs:leaver",
      aud = "api://AzureADTokenExchange", exp = math.floor(tenant:now()) + 3600 }
    for name, value in pairs(changes or {}) do claims[name] = value end
    return curl(tenant, "/" .. tenant.tenant_id .. "/oauth2/v2.0/token", { grant_type = "client_credentials",
      scope = DEFAULT, client_id = app.client_id, client_assertion_type = ASSERTION_TYPE,
      client_assertion = jwt(signer or key, { alg = "RS256", kid = "k1" }, claims) })
  end

  it("gets a token as often as it asks with the same one", function()
    assert.equal(200, ask().status)
    assert.equal(200, ask().status)
    assert.equal("federated", tenant:token_requests()[2].credential)
  end)

  for _, case in ipairs {
    { "issuer", 700211, { iss = "https://other.test/" } },
    { "audience", 700212, { aud = "api://other" } },
    { "subject", 700213, { sub = "system:serviceaccount:jobs:other" } },
    { "time", 700024, { exp = 1 } },
  } do
    it("gets none with a wrong " .. case[1], function()
      local answer = ask(case[3])
      assert.same({ 401, case[2] }, { answer.status, math.tointeger(answer.body.error_codes[1]) })
    end)
  end

  it("gets none with a signature of somebody else", function()
    assert.equal(50013, math.tointeger(ask(nil, make_key "forger").body.error_codes[1]))
  end)
end)

describe("the login endpoints", function()
  local tenant, app
  local RESET <const> = 56

  setup(function()
    tenant = assert(sim.start { speed = 0, token_lifetime = 100, device_code_interval = 1 })
    app = tenant:app { secret = "s+ %&=é", public = true }
  end)
  teardown(function() tenant:stop() end)
  before_each(function() tenant:clear_faults() end)

  local function ask(changes)
    local fields = { grant_type = "client_credentials", scope = DEFAULT, client_id = app.client_id,
      client_secret = app.client_secret }
    for name, value in pairs(changes or {}) do fields[name] = value end
    return curl(tenant, "/contoso.com/oauth2/v2.0/token", fields)
  end

  it("stand where Graph stands", function()
    assert.equal(tenant.endpoint, tenant.authority)
    assert.truthy(tenant.tenant_id:find("^%x+%-%x+%-4%x+%-%x+%-%x+$"))
    assert.equal(100, ask().body.expires_in)
  end)

  it("suffer faults like all others", function()
    tenant:fault { kind = "status", status = 503, retry_after = 7, path = "/token$" }
    local answer = ask()
    assert.equal(503, answer.status)
    assert.truthy(answer.out:find("Retry-After: 7", 1, true))
    tenant:fault { kind = "reset_after", path = "/token$" }
    assert.equal(RESET, ask().code)
    tenant:fault { kind = "not_json", path = "/token$" }
    assert.truthy(ask().out:find("<html>", 1, true))
    tenant:fault { kind = "cut_body", path = "/token$" }
    assert.not_equal(0, ask().code)
    local log = tenant:token_requests()
    local faults = {}
    for i = #log - 3, #log do faults[#faults + 1] = log[i].fault end
    assert.same({ "status", "reset_after", "not_json", "cut_body" }, faults)
  end)

  it("carry a sign-in by device code", function()
    local started = curl(tenant, "/contoso.com/oauth2/v2.0/devicecode", { client_id = app.client_id,
      scope = "User.Read.All offline_access" }).body
    assert.equal(1, tenant:sign_in { user_code = started.user_code, user = "ada@contoso.com" })
    local body = ask { grant_type = "urn:ietf:params:oauth:grant-type:device_code", device_code = started.device_code }
      .body
    assert.is_string(body.refresh_token)
    tenant:revoke "ada@contoso.com"
    local refused = ask { grant_type = "refresh_token", refresh_token = body.refresh_token }
    assert.equal(50173, math.tointeger(refused.body.error_codes[1]))
  end)

  it("show what happened, to whoever runs the tenant", function()
    tenant:policy(app.client_id, { blocked = true })
    assert.equal(400, ask().status)
    tenant:policy(app.client_id)
    tenant:expire_secret(app.client_id)
    assert.equal(401, ask().status)
    local log = tenant:token_requests { grant = "client_credentials" }
    assert.same({ 53003, 7000222 }, { log[#log - 1].code, log[#log].code })
    tenant:remove_consent(app.client_id, "User.Read.All")
    local ok, err = pcall(tenant.remove_consent, tenant, app.client_id, "User.Read.All")
    assert.is_false(ok)
    assert.truthy(err:find("the app has no User.Read.All", 1, true))
  end)
end)
