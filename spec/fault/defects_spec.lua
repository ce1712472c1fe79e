--- Defects seen in other clients of Graph and its sign-in, one `it` each: this client has none of them. Most
-- promises have closer specs elsewhere; here they stand side by side, client by client.
local core = require "msgraph.core"
local graph = require "msgraph"
local helper = require "spec.support.helper"
local program = require "spec.support.program"
local sim = require "msgraph.sim"
local wire = require "spec.support.wire"

local ADA = "ada@contoso.com"
local OK = helper.json_answer("200 OK", '{"id":"1"}')

local function answers(...)
  local list = {}
  for i, answer in ipairs { ... } do
    list[i] = type(answer) == "string" and { bytes = answer, after = "keep" } or answer
  end
  return list
end

local function throttled(headers)
  return helper.answer("429 Too Many Requests", "", headers)
end

-- Whether a client of a server with these answers does as `try(client, server)` says.
local function with(list, try, opts)
  local server <close> = helper.server(list)
  local client <close> = helper.client(server.endpoint, opts)
  return try(client, server)
end

local function of_tenant(opts, connect)
  local tenant = assert(sim.start(opts))
  local all = { ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token()) }
  for name, value in pairs(connect or {}) do all[name] = value end
  return tenant, helper.client(tenant.endpoint, all)
end

local function signing_in(tenant)
  local app = tenant:app { secret = true }
  return helper.client(tenant.endpoint, { ca_file = tenant.ca_file, authority = tenant.authority,
    tenant_id = tenant.tenant_id,
    auth = graph.auth.client_secret { client_id = app.client_id, client_secret = app.client_secret } })
end

-- The seconds waited before the second attempt.
local function wait_after(headers)
  return with(answers(throttled(headers), OK), function(client)
    return assert(client:request { method = "GET", path = "/users/1" }).waited
  end)
end

local function goes_nowhere_else(status)
  local elsewhere <close> = helper.server(OK)
  local redirect = helper.answer(status, "", { Location = elsewhere.endpoint .. "/v1.0/users" })
  with(answers(redirect), function(client, server)
    local _, err = client:get("/users", { headers = { Accept = "application/json" } })
    assert.equal("redirect", err.code)
    assert.is_truthy(err.hint:find(elsewhere.endpoint, 1, true)) -- its Location is told, not followed
    assert.equal(1, #server:requests())
  end)
  assert.same({}, elsewhere:requests())
end

describe("unlike the Graph SDK for JavaScript, this client", function()
  it("does not shorten Retry-After: 600, it says when to come back", function()
    with(answers(throttled { ["Retry-After"] = "600" }, OK), function(client, server)
      local now = os.time()
      local _, err = client:get("/users/1")
      assert.equal(600, err.retry_after)
      assert.is_true(err.retry_at >= now + 600)
      assert.equal(1, #server:requests())
    end)
  end)

  it("takes a Retry-After date in the past for no wait, not for a negative one", function()
    local waited = wait_after { Date = "Fri, 07 Mar 2036 10:00:00 GMT",
      ["Retry-After"] = "Fri, 07 Mar 2036 09:00:00 GMT" }
    assert.is_true(waited >= 0 and waited <= 0.25)
  end)

  for _, status in ipairs { "301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent" } do
    it("takes Authorization to no other host over a " .. status .. ", and names its Location", function()
      goes_nowhere_else(status)
    end)
  end

  it("is not deceived by user info in a URL: https://graph.microsoft.com:x@evil.example/", function()
    local evil <close> = helper.server(OK)
    with(answers(OK), function(client, server)
      local _, err = client:get(server.endpoint .. ":x@" .. evil.endpoint:sub(9) .. "/v1.0/users")
      assert.equal("invalid", err.kind)
      assert.same({}, server:requests())
    end)
    assert.same({}, evil:requests())
    local client <close> = assert(graph.connect { auth = graph.auth.token(helper.TOKEN) })
    local _, err = client:get "https://graph.microsoft.com:x@evil.example/v1.0/users"
    assert.equal("invalid", err.kind)
  end)

  it("sends the same headers with each retry: SdkVersion and ids are not appended again", function()
    local busy = throttled { ["Retry-After"] = "0.01" }
    with(answers(busy, busy, OK), function(client, server)
      assert(client:get("/users/1", { headers = { SdkVersion = "mine/1.0" } }))
      local requests = server:requests()
      assert.equal(3, #requests)
      for _, raw in ipairs(requests) do
        assert.equal("mine/1.0", wire.header(raw, "SdkVersion"))
        assert.equal(requests[1], raw)
      end
    end)
  end)
end)

describe("unlike kiota's clients, this one", function()
  it("(Python) understands a decimal Retry-After", function()
    local waited = wait_after { ["Retry-After"] = "0.128" }
    assert.is_true(waited >= 0.128 and waited <= 0.378)
  end)

  it("(.NET, Go) does not cut the decimals off a hint", function()
    local waited = wait_after { ["Retry-After"] = "0.9" }
    assert.is_true(waited >= 0.9)
  end)

  it("(.NET) holds a date against the server's clock, whatever ours says", function()
    for _, year in ipairs { "2016", "2036" } do
      local waited = wait_after { Date = ("Mon, 07 Mar %s 10:00:00 GMT"):format(year),
        ["Retry-After"] = ("Mon, 07 Mar %s 10:00:01 GMT"):format(year) }
      assert.is_true(waited >= 1 and waited <= 1.25)
    end
  end)

  it("(.NET) spreads its waits", function()
    local seen = {}
    for _ = 1, 6 do seen[wait_after { ["Retry-After"] = "0.01" }] = true end
    local first = next(seen)
    assert.is_not_nil(next(seen, first), "six waits were the same")
  end)

  it("(.NET) does not count waits as time on the wire", function()
    with(answers(throttled { ["Retry-After"] = "0.8" }, OK), function(client)
      assert(client:get "/users/1")
    end, { first_byte_timeout = 0.5 })
  end)

  it("(Go) has its concerns in one order: throttle, token, failure come out the same each time", function()
    local first
    for _ = 1, 3 do
      local tenant = assert(sim.start { users = 3 })
      local client = signing_in(tenant)
      assert(client:get "/users")
      tenant:fault { kind = "status", status = 429, retry_after = 0.01 }
      tenant:fault { kind = "status", status = 503 }
      local app = tenant:token_requests()[1].client_id
      tenant:revoke(app) -- once the faults are over, the token is refused
      local answer = assert(client:request { method = "GET", path = "/users" })
      local story = {}
      for i, one in ipairs(answer.attempts) do story[i] = one.status end
      first = first or story
      assert.same({ 429, 503, 401, 200 }, story)
      assert.same(first, story)
      client:close()
      tenant:stop()
    end
  end)

  it("(Go) sends the whole body again, and leaves no descriptor behind", function()
    local tenant <close> = assert(sim.start { users = 3 })
    local client <close> = helper.client(tenant.endpoint, { ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    assert(client:get "/users")
    local before = helper.descriptors()
    for _ = 1, 10 do
      tenant:fault { kind = "status", retry_after = 0 }
      client:post("/users/" .. ADA .. "/removeAllDevicesFromManagement", { filler = ("x"):rep(5000) })
    end
    assert.is_true(helper.descriptors() <= before + 2)
    local lengths = {}
    for _, entry in ipairs(tenant:requests { method = "POST" }) do lengths[entry.body_length] = true end
    assert.same({ [5013] = true }, lengths)
    assert.equal(20, #tenant:requests { method = "POST" })
  end)

  it("(Go) batches more than 76 requests", function()
    local tenant, client = of_tenant { users = 120 }
    local list = {}
    for i, user in ipairs(tenant:users()) do list[i] = { method = "GET", path = "/users/" .. user.id } end
    local results, failures = client:batch(list)
    assert.same({}, failures)
    assert.equal(120, results.n)
    for i, user in ipairs(tenant:users()) do assert.equal(user.id, results[i].body.id) end
    client:close()
    tenant:stop()
  end)
end)

describe("unlike the .NET SDK, a batch of this client", function()
  it("repeats the parts that make sense, and no others", function()
    local tenant, client = of_tenant { users = 5 }
    tenant:fault { kind = "status", status = 429, retry_after = 0.05, path = "grace" }
    local results, failures = client:batch {
      { method = "GET", path = "/users/" .. ADA }, { method = "GET", path = "/users/grace@contoso.com" },
      { method = "GET", path = "/users/nobody" } }
    assert.equal(200, results[1].status)
    assert.equal(200, results[2].status)
    assert.equal("not_found", failures[3].kind)
    local asked = {}
    for _, entry in ipairs(tenant:requests { method = "GET" }) do asked[entry.path] = (asked[entry.path] or 0) + 1 end
    assert.same({ ["/v1.0/users/ada@contoso.com"] = 1, ["/v1.0/users/grace@contoso.com"] = 2,
      ["/v1.0/users/nobody"] = 1 }, asked)
    client:close()
    tenant:stop()
  end)

  it("keeps ids and what depends on what over a retry", function()
    local tenant, client = of_tenant { users = 5 }
    tenant:fault { kind = "status", status = 429, retry_after = 0.05, path = "managedDevices" }
    local results, failures = client:batch {
      { id = "second", method = "POST", path = "/users/" .. ADA .. "/removeAllDevicesFromManagement",
        depends_on = "first" },
      { id = "first", method = "GET", path = "/users/" .. ADA .. "/managedDevices" } }
    assert.same({}, failures)
    assert.equal(204, results[1].status)
    assert.equal(5, #results[2].body.value)
    local posts = tenant:requests { method = "POST", status = 204 }
    local reads = tenant:requests { method = "GET", status = 200 }
    assert.equal(1, #posts)
    assert.is_true(reads[1].n < posts[1].n)
    client:close()
    tenant:stop()
  end)

  it("leaves + in URLs as it is", function()
    local tenant, client = of_tenant { users = 5 }
    local paths = { "/users/a+b@contoso.com", "/users/a%2Bb@contoso.com", "/users?$filter=mail%20eq%20'a%2Bb'" }
    local list = {}
    for i, path in ipairs(paths) do list[i] = { method = "GET", path = path } end
    client:batch(list)
    local seen = {}
    for _, entry in ipairs(tenant:requests { method = "GET" }) do
      seen[entry.path .. (entry.query ~= "" and "?" .. entry.query or "")] = true
    end
    for _, path in ipairs(paths) do assert.is_true(seen["/v1.0" .. path], path) end
    client:close()
    tenant:stop()
  end)
end)

describe("unlike the CLI for Microsoft 365 and the Graph CLI, this client", function()
  it("gives up on a service that throttles for ever", function()
    with(answers(throttled { ["Retry-After"] = "0.01" }), function(client, server)
      local _, err = client:get("/users/1", { deadline = 1.5 })
      assert.equal("throttled", err.kind)
      assert.is_true(#server:requests() <= 8)
    end)
  end)

  it("sends no token with a request that needs none, not with its retry either", function()
    local token = helper.json_answer("200 OK", ('{"token_type":"Bearer","expires_in":3600,"access_token":"%s"}')
      :format(helper.TOKEN))
    local server <close> = helper.server(answers(helper.answer "503 Busy", token, OK))
    local client <close> = helper.client(server.endpoint, { authority = server.endpoint, tenant_id = "contoso.com",
      auth = graph.auth.client_secret { client_id = "app", client_secret = "not-to-be-seen" } })
    assert(client:get "/users/1")
    local requests = server:requests()
    assert.equal(3, #requests)
    for i = 1, 2 do
      assert.matches("^POST /contoso.com/oauth2", requests[i])
      assert.is_nil(wire.header(requests[i], "Authorization"))
    end
    assert.equal("Bearer " .. helper.TOKEN, wire.header(requests[3], "Authorization"))
  end)

  it("prints no token, however much it is made to tell", function()
    local tenant <close> = assert(sim.start { users = 3 })
    local trace = helper.tmp() .. "/defects.jsonl"
    local token = tenant:token { expires_in = 1e9 }
    local ran = program.run({ helper.ROOT .. "bin/msgraph", "request", "GET", "/users", "--trace", trace },
      program.env_of(tenant, token))
    assert.equal(0, ran.code)
    local seen = ran.out .. ran.err .. helper.read_file(trace)
    for part in token:gmatch "[^.]+" do assert.is_nil(seen:find(part, 1, true)) end
  end)

  it("keeps a sign-in encrypted, unless told not to", function()
    local path = helper.tmp() .. "/defects-store"
    local script = helper.tmp() .. "/defects-store.lua"
    helper.write_file(script, [[
      local core, loop = require "msgraph.core", require "msgraph.loop"
      local store = assert(core.store { path = arg[1], key = "environment" })
      local credential = assert(core.credential { grant = "refresh_token", store = store, authority = arg[2],
        ca_file = arg[3], tenant_id = "contoso.com", client_id = "app", scope = "s" })
      assert(loop.sign_in(credential, "device_code"))
      local done, failure = loop.sign_in(credential, "device_poll")
      print(done and "signed in" or failure.message)
    ]])
    local secret = "refresh-token-of-the-defects-spec"
    local token = helper.json_answer("200 OK", ('{"token_type":"Bearer","expires_in":3600,"access_token":"%s",'
      .. '"refresh_token":"%s"}'):format(helper.TOKEN, secret))
    local code = helper.json_answer("200 OK", '{"device_code":"d","user_code":"u","expires_in":900,"interval":0,'
      .. '"verification_uri":"https://login.test/device"}')
    local server <close> = helper.server(answers(code, token))
    local out = helper.sh(("MSGRAPH_STORE_KEY=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= %s %s %s %s %s")
      :format(helper.LUA, script, path, server.endpoint, helper.certs() .. "/ca.pem"))
    assert.equal("signed in\n", out)
    local kept = helper.read_file(path)
    assert.is_nil(kept:find(secret, 1, true))
    assert.is_true(helper.silent(kept))
    assert.matches("600", helper.sh("stat -c %a " .. helper.quote(path)))
  end)

  it("ends a command that timed out with a message and another code than 0", function()
    local server <close> = helper.server { { after = "hang" } }
    local script = helper.tmp() .. "/defects-timeout.lua"
    helper.write_file(script, [[
      local graph = require "msgraph"
      local connect = graph.connect
      graph.connect = function(opts)
        opts.first_byte_timeout = 0.1
        return connect(opts)
      end
      os.exit(require("msgraph.cli").main(arg))
    ]])
    local ran = program.run({ helper.LUA, script, "request", "GET", "/users" }, { MSGRAPH_ENDPOINT = server.endpoint,
      MSGRAPH_CA_FILE = helper.certs() .. "/ca.pem", MSGRAPH_ACCESS_TOKEN = helper.TOKEN })
    assert.equal(20, ran.code)
    assert.matches("timeout", ran.err)
    assert.equal("", ran.out)
  end)
end)

describe("unlike MSAL for Node, Go and .NET, this client", function()
  it("goes on with a token that is still good when its early renewal fails", function()
    local tenant <close> = assert(sim.start { users = 3, token_lifetime = 4 })
    local client <close> = signing_in(tenant)
    assert(client:get "/users")
    tenant:fault { kind = "status", status = 400, code = "server_error", path = "oauth2", times = math.huge }
    while #tenant:token_requests { status = 400 } == 0 do
      assert(client:get "/users")
      graph.sleep(0.05)
    end
    assert(client:get "/users")
  end)

  it("waits for a token no longer than it was told to", function()
    local server <close> = helper.server { { after = "hang" } }
    local client <close> = helper.client(server.endpoint, { authority = server.endpoint, tenant_id = "contoso.com",
      auth = graph.auth.client_secret { client_id = "app", client_secret = "not-to-be-seen" } })
    local before = core.now()
    local _, err = client:get("/users", { deadline = 0.3 })
    assert.equal("timeout", err.code)
    assert.equal("not_sent", err.phase)
    assert.is_true(core.now() - before < 5)
  end)

  it("draws the moment of renewal once: asking for the token often does not renew it often", function()
    local tenant <close> = assert(sim.start { users = 3, token_lifetime = 4 })
    local client <close> = signing_in(tenant)
    while #tenant:token_requests() < 2 do assert(client:get "/users?$top=1") end
    for _ = 1, 50 do assert(client:get "/users?$top=1") end -- of the second token, in the first tenth of its life
    assert.equal(2, #tenant:token_requests())
  end)
end)

describe("unlike the Azure SDK for C++, this client", function()
  it("sends again what was throttled, without being told to", function()
    local waited = wait_after { ["Retry-After"] = "0.01" }
    assert.is_true(waited >= 0.01)
  end)

  it("sends no POST again of which nobody knows whether it arrived", function()
    for _, broken in ipairs { { after = "reset" }, { after = "close" },
      { bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", after = "close" } } do
      with(answers(broken, OK), function(client, server)
        local _, err = client:post("/users", { displayName = "Ada" })
        assert.equal("ambiguous", err.kind)
        assert.equal(1, #server:requests())
      end)
    end
    local tenant, client = of_tenant { users = 3 }
    tenant:fault { kind = "reset_after", method = "POST" }
    assert.equal("ambiguous", select(2, client:remove_all_devices(ADA)).kind)
    assert.equal(1, #tenant:requests { method = "POST" })
    client:close()
    tenant:stop()
  end)
end)

describe("unlike lua-http, lua-resty-openidc and adal-lua, this client", function()
  it("keeps its token to its endpoint: no redirect takes it along, within the host neither", function()
    goes_nowhere_else "302 Found"
    with(answers(helper.answer("302 Found", "", { Location = "/v1.0/elsewhere" }), OK), function(client, server)
      assert.equal("redirect", select(2, client:get "/users").code)
      assert.equal(1, #server:requests())
    end)
  end)

  it("logs no token", function()
    local records = {}
    with(answers(helper.json_answer("401 Unauthorized",
      ('{"error":{"code":"x","message":"Bearer %s is bad"}}'):format(helper.TOKEN))), function(client)
      local _, err = client:get("/users", { query = { token = helper.TOKEN }, headers = { Cookie = helper.TOKEN } })
      assert.is_true(helper.silent(tostring(err)))
    end, { log = function(record) records[#records + 1] = record end })
    assert.equal(1, #records)
    assert.is_true(helper.silent(records))
  end)

  it("signs in with a client secret", function()
    local tenant <close> = assert(sim.start { users = 3 })
    local client <close> = signing_in(tenant)
    assert.is_true(client:remove_all_devices(ADA))
    assert.equal("client_credentials", tenant:token_requests()[1].grant)
  end)
end)
