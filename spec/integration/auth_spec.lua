--- Every way to sign in, against a simulated tenant that really checks secrets, signatures and tokens.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local sign_in = require "spec.support.sign_in"
local sim = require "msgraph.sim"

local ADA = "ada@contoso.com"
local SCOPE = "https://graph.microsoft.com/.default"

local ledger = sign_in.ledger()
local tenants = {}

local function start(opts)
  local all = { users = 30, start = os.time() } -- its clock is ours: certificates and assertions have times
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

-- Reads one user; the Error is kept for the last spec.
local function read(client)
  local user, err = client:get("/users/" .. ADA)
  return user, ledger:saw(err)
end

local function read_ok(client)
  local user, err = read(client)
  assert.is_nil(err and tostring(err))
  assert.equal(ADA, user.userPrincipalName)
end

local function secret_of(app)
  return graph.auth.client_secret { client_id = app.client_id, client_secret = ledger:secret(app.client_secret) }
end

-- Reads at once in so many tasks; raises for the first that could not.
local function read_at_once(client, count)
  local items = {}
  for i = 1, count do items[i] = i end
  local _, failures = graph.map(items, { concurrency = count }, function() return read(client) end)
  for _, err in pairs(failures) do error(tostring(err)) end
end

describe("signing in", function()
  local tenant

  setup(function() tenant = start() end)

  local function last()
    local all = tenant:token_requests()
    return all[#all]
  end

  local function check(entry, grant, credential)
    assert.equal(grant, entry.grant)
    assert.equal(credential, entry.credential)
    assert.equal(200, entry.status)
    assert.equal(SCOPE, entry.scope)
    assert.equal(tenant.tenant_id, entry.directory)
    assert.is_true(entry.cp1)
  end

  it("with a client secret", function()
    local client <close> = connect(tenant, secret_of(tenant:app { secret = true }))
    read_ok(client)
    check(last(), "client_credentials", "secret")
  end)

  it("with a client secret that a form has to escape", function()
    local client <close> = connect(tenant, secret_of(tenant:app { secret = "a&b=c+d%20/é ?#~\\end" }))
    read_ok(client)
  end)

  for _, form in ipairs { "pem", "pem with password", "pkcs12" } do
    it("with a certificate: " .. form, function()
      local path, password = sign_in.certificate("app", form)
      local app = tenant:app { certificate = helper.read_file(sign_in.pair "app" .. ".crt") }
      local client <close> = connect(tenant, graph.auth.certificate { client_id = app.client_id, certificate = path,
        password = password })
      read_ok(client)
      check(last(), "client_credentials", "certificate")
      ledger:secret(helper.read_file(sign_in.pair "app" .. ".key"):match("\n(%S+)\n"))
    end)
  end

  it("with a certificate as AD FS wants it", function()
    local app = tenant:app { certificate = helper.read_file(sign_in.pair "app" .. ".crt") }
    local client <close> = connect(tenant, graph.auth.certificate { client_id = app.client_id, rs256 = true,
      certificate = (sign_in.certificate("app", "pem")) })
    read_ok(client)
  end)

  it("with a federated token, read from its file each time", function()
    local path = helper.tmp() .. "/federated"
    helper.write_file(path, ledger:secret(sign_in.federated_token "issuer") .. "\n")
    local app = tenant:app { federated = sign_in.federation "issuer" }
    local client <close> = connect(tenant, graph.auth.workload_identity { client_id = app.client_id,
      assertion_file = path })
    read_ok(client)
    check(last(), "client_credentials", "federated")
    tenant:set_credentials(app.client_id, { federated = sign_in.federation "next" })
    helper.write_file(path, ledger:secret(sign_in.federated_token "next"))
    tenant:revoke(app.client_id)
    read_ok(client)
    assert.equal(2, #tenant:token_requests { client_id = app.client_id, status = 200 })
  end)

  it("with a refresh token, which is replaced by each newer one", function()
    local app = tenant:app { public = true }
    local session = sign_in.user(tenant, app.client_id, "grace@contoso.com")
    local client <close> = connect(tenant, graph.auth.refresh_token { client_id = app.client_id,
      refresh_token = ledger:secret(session.refresh_token) })
    for _ = 1, 3 do
      read_ok(client)
      check(last(), "refresh_token")
      assert.equal("grace@contoso.com", last().user)
      tenant:advance(3601)
    end
    -- the first one has died of age by now, the newest has not
    tenant:advance(60 * 86400)
    read_ok(client)
    tenant:advance(60 * 86400)
    read_ok(client)
  end)

  it("with a refresh token of an app that has a secret", function()
    local app = tenant:app { secret = true, public = true }
    local session = sign_in.user(tenant, tenant:app { public = true }.client_id, ADA)
    local client <close> = connect(tenant, graph.auth.refresh_token { client_id = app.client_id,
      client_secret = ledger:secret(app.client_secret), refresh_token = ledger:secret(session.refresh_token) })
    local _, err = read(client) -- the user signed in to another app
    assert.equal("invalid_grant", err.code)
    assert.equal("secret", last().credential)
  end)

  it("on behalf of the user whose token came in", function()
    local app = tenant:app { secret = true }
    local token = ledger:secret(tenant:token { kind = "delegated", user = "grace@contoso.com",
      audience = app.client_id })
    local client <close> = connect(tenant, graph.auth.on_behalf_of { client_id = app.client_id, assertion = token,
      client_secret = ledger:secret(app.client_secret) })
    read_ok(client)
    check(last(), "on_behalf_of", "secret")
    assert.equal("grace@contoso.com", last().user)
  end)

  it("from the environment alone", function()
    local app = tenant:app { secret = true }
    local out = helper.sh(("AZURE_TENANT_ID=%s AZURE_CLIENT_ID=%s AZURE_CLIENT_SECRET=%s AZURE_AUTHORITY_HOST=%s/ "
      .. "MSGRAPH_ENDPOINT=%s MSGRAPH_CA_FILE=%s %s -e %s"):format(tenant.tenant_id, app.client_id,
      helper.quote(ledger:secret(app.client_secret)), tenant.authority, tenant.endpoint, tenant.ca_file, helper.LUA,
      helper.quote [[print(require("msgraph").remove_all_devices("ada@contoso.com"))]]))
    assert.matches("^true", ledger:saw(out))
  end)
end)

describe("one token", function()
  local tenant

  setup(function() tenant = start() end)

  local function counted(app)
    return #tenant:token_requests { client_id = app.client_id }
  end

  it("is asked for once when 64 tasks need one", function()
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, secret_of(app))
    read_at_once(client, 64)
    assert.equal(1, counted(app))
  end)

  it("serves all clients with the same credential, also one after the other", function()
    local app = tenant:app { secret = true }
    local credential = secret_of(app)
    do
      local one <close> = connect(tenant, credential)
      local two <close> = connect(tenant, credential)
      read_ok(one)
      read_ok(two)
    end
    collectgarbage()
    local three <close> = connect(tenant, credential)
    read_ok(three)
    assert.equal(1, counted(app))
  end)

  it("is not taken for another tenant's or app's", function()
    local app, other = tenant:app { secret = "one secret" }, tenant:app { secret = "one secret" }
    local credential = graph.auth.client_secret { client_secret = ledger:secret "one secret" }
    local one <close> = connect(tenant, credential, { client_id = app.client_id })
    local two <close> = connect(tenant, credential, { client_id = other.client_id })
    local three <close> = connect(tenant, credential, { client_id = app.client_id, tenant_id = "contoso.com" })
    for _, client in ipairs { one, two, three } do read_ok(client) end
    assert.equal(2, counted(app))
    assert.equal(1, counted(other))
  end)

  it("is given to every credential by itself", function()
    local app = tenant:app { secret = true }
    for _ = 1, 2 do
      local client <close> = connect(tenant, secret_of(app))
      read_ok(client)
    end
    assert.equal(2, counted(app))
  end)
end)

describe("a job that outlives its token", function()
  it("goes on over several lives, and Graph never sees a stale one", function()
    local tenant = start { token_lifetime = 1 }
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, secret_of(app))
    graph.run(function()
      while #tenant:token_requests() < 4 do
        read_ok(client)
        graph.sleep(0.05)
      end
    end)
    assert.equal(0, #tenant:requests { status = 401 })
  end)

  it("goes on when the tenant's time has passed faster than ours", function()
    local tenant = start()
    local client <close> = connect(tenant, secret_of(tenant:app { secret = true }))
    for life = 1, 4 do
      read_ok(client)
      assert.equal(life, #tenant:token_requests())
      tenant:advance(3601)
    end
  end)

  it("goes on after its session was revoked: one new token, and a POST acts once", function()
    local tenant = start()
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, secret_of(app))
    read_ok(client)
    tenant:revoke(app.client_id)
    assert.is_true(client:remove_all_devices(ADA))
    assert.equal(2, #tenant:token_requests())
    local posts, acted = tenant:requests { method = "POST" }, 0
    for _, entry in ipairs(posts) do
      if entry.path:find("removeAll", 1, true) and #entry.actions > 0 then acted = acted + 1 end
    end
    assert.equal(1, acted)
    assert.equal(1, #tenant:requests { method = "POST", status = 401 })
  end)

  it("goes on in 64 tasks at once with one new token", function()
    local tenant = start()
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, secret_of(app))
    read_ok(client)
    tenant:revoke(app.client_id)
    read_at_once(client, 64)
    assert.equal(2, #tenant:token_requests())
  end)

  it("goes on under way while the sign-in service has an outage, as long as the token is good", function()
    local tenant = start { token_lifetime = 4 }
    local client <close> = connect(tenant, secret_of(tenant:app { secret = true }))
    read_ok(client)
    tenant:fault { kind = "status", status = 503, path = "oauth2", times = math.huge }
    graph.run(function()
      while #tenant:token_requests { status = 503 } == 0 do
        read_ok(client)
        graph.sleep(0.05)
      end
      read_ok(client)
    end)
  end)
end)

describe("a secret or certificate that is rotated", function()
  it("is replaced by connecting with the new secret", function()
    local tenant = start()
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, secret_of(app))
    read_ok(client)
    local new = tenant:set_credentials(app.client_id, { secret = true })
    read_ok(client) -- the token is still good
    tenant:revoke(app.client_id)
    local ok, err = client:remove_all_devices(ADA)
    assert.is_nil(ok)
    ledger:saw(err)
    assert.equal("auth", err.kind)
    assert.equal("invalid_client", err.code)
    assert.equal("not_sent", err.phase)
    assert.matches("check the client secret", err.hint)
    local next_client <close> = connect(tenant, graph.auth.client_secret { client_id = app.client_id,
      client_secret = ledger:secret(new.client_secret) })
    read_ok(next_client)
  end)

  it("is replaced by connecting with the new certificate", function()
    local tenant = start()
    local app = tenant:app { certificate = helper.read_file(sign_in.pair "app" .. ".crt") }
    local path = helper.tmp() .. "/rotated.pem"
    helper.write_file(path, helper.read_file((sign_in.certificate("app", "pem"))))
    local client <close> = connect(tenant, graph.auth.certificate { client_id = app.client_id, certificate = path })
    read_ok(client)
    helper.write_file(path, helper.read_file((sign_in.certificate("next", "pem"))))
    tenant:set_credentials(app.client_id, { certificate = helper.read_file(sign_in.pair "next" .. ".crt") })
    local new <close> = connect(tenant, graph.auth.certificate { client_id = app.client_id, certificate = path })
    read_ok(new)
  end)
end)

describe("a certificate's file", function()
  it("is read again for each token, and not believed while it can not be used", function()
    local tenant = start()
    local app = tenant:app { certificate = helper.read_file(sign_in.pair "app" .. ".crt") }
    sign_in.pair("expired", 2021)
    local good = helper.read_file((sign_in.certificate("app", "pem")))
    local path = helper.tmp() .. "/renewed.pem"
    helper.write_file(path, good)
    local client <close> = connect(tenant, graph.auth.certificate { client_id = app.client_id, certificate = path })
    read_ok(client)
    local function renew(content)
      helper.write_file(path, content)
      tenant:revoke(app.client_id)
      read_ok(client)
    end
    renew(good:sub(1, #good // 2))
    renew(helper.read_file((sign_in.certificate("expired", "pem"))))
    tenant:set_credentials(app.client_id, { certificate = helper.read_file(sign_in.pair "next" .. ".crt") })
    renew(helper.read_file((sign_in.certificate("next", "pem"))))
  end)
end)

describe("a token callback", function()
  local tenant

  setup(function() tenant = start() end)

  local function token(opts)
    return ledger:secret(tenant:token(opts))
  end

  -- A client whose callback does `step(n)` at its nth call; and how often it was called.
  local function with(step)
    local calls = { n = 0 }
    local client = connect(tenant, graph.auth.callback(function()
      calls.n = calls.n + 1
      return step(calls.n)
    end))
    return client, calls
  end

  it("is called for the first request, and not again while its token is good", function()
    local client <close>, calls = with(function() return token(), 3600 end)
    assert.equal(0, calls.n)
    for _ = 1, 3 do read_ok(client) end
    assert.equal(1, calls.n)
    assert.equal(0, #tenant:token_requests())
  end)

  it("may leave the life of its token open", function()
    local client <close>, calls = with(function() return token() end)
    read_ok(client)
    read_ok(client)
    assert.equal(1, calls.n)
  end)

  it("may wait, while other tasks go on", function()
    local client <close>, calls = with(function()
      graph.sleep(0.05)
      return token(), 3600
    end)
    local other <close> = connect(tenant, graph.auth.token(token()))
    local order = {}
    graph.run(function()
      local task = graph.spawn(function()
        read_ok(client)
        order[#order + 1] = "waited"
      end)
      graph.spawn(function()
        read_ok(other)
        order[#order + 1] = "went on"
      end)
      task:join()
    end)
    assert.same({ "went on", "waited" }, order)
    read_ok(client) -- outside of tasks too
    assert.equal(1, calls.n)
  end)

  it("may ask Graph or anybody else with another client", function()
    local other <close> = connect(tenant, graph.auth.token(token()))
    local client <close>, calls = with(function()
      assert(other:get "/users?$top=1")
      return token(), 3600
    end)
    read_ok(client)
    graph.run(function() read_ok(client) end)
    assert.equal(1, calls.n)
  end)

  it("is called once for 64 tasks, and for all clients with the credential", function()
    local calls = 0
    local credential = graph.auth.callback(function()
      calls = calls + 1
      graph.sleep(0.02)
      return token(), 3600
    end)
    local one <close> = connect(tenant, credential)
    local two <close> = connect(tenant, credential)
    read_at_once(one, 64)
    read_ok(two)
    assert.equal(1, calls)
  end)

  it("is called again before its token ends", function()
    local client <close>, calls = with(function() return token(), 0.5 end)
    graph.run(function()
      while calls.n < 3 do
        read_ok(client)
        graph.sleep(0.02)
      end
    end)
  end)

  it("that fails while its token is still good is not heard of", function()
    local client <close>, calls = with(function(n)
      if n > 1 then return nil, "no more" end
      return token(), 2
    end)
    graph.run(function()
      while calls.n < 2 do
        read_ok(client)
        graph.sleep(0.02)
      end
      read_ok(client)
      assert.equal(2, calls.n)
    end)
  end)

  it("is called again once when its token is refused, and the POST acts once", function()
    local client <close>, calls = with(function(n) return token { expires_in = n == 1 and 0 or 3600 }, 3600 end)
    assert.is_true(client:remove_all_devices "grace@contoso.com")
    assert.equal(2, calls.n)
    local answers = {}
    for i, entry in ipairs(tenant:requests { method = "POST" }) do
      answers[i] = entry.status .. " " .. #entry.actions
    end
    assert.same({ "401 0", "204 1" }, answers)
  end)

  it("leaves it open whether the POST was done when the answer to the second attempt is lost", function()
    local client <close> = with(function(n) return token { expires_in = n == 1 and 0 or 3600 }, 3600 end)
    tenant:fault { kind = "reset_after", path = "removeAll", after = 1 }
    local ok, err = client:remove_all_devices(ADA)
    assert.is_nil(ok)
    ledger:saw(err)
    assert.equal("ambiguous", err.kind)
  end)

  it("that has nothing new when its token is refused says so", function()
    local client <close> = with(function(n)
      if n > 1 then return nil, "sealed" end
      return token { expires_in = 0 }, 3600
    end)
    local _, err = read(client)
    assert.equal("callback", err.code)
    assert.matches("sealed", err.message)
  end)

  it("is called once for 64 tasks whose token is refused", function()
    local first = token()
    local client <close>, calls = with(function(n) return n == 1 and first or token(), 3600 end)
    read_ok(client)
    tenant:advance(3601)
    read_at_once(client, 64)
    assert.equal(2, calls.n)
  end)

  it("whose tokens are all refused is called twice for a request, which fails as Graph says", function()
    local client <close>, calls = with(function() return token { expires_in = 0 }, 3600 end)
    local _, err = read(client)
    assert.equal("auth", err.kind)
    assert.equal(401, err.status)
    assert.equal("InvalidAuthenticationToken", err.code)
    assert.equal(2, calls.n)
  end)

  -- The Error of a client whose callback does this; it reads as one, and sends nothing.
  local function fails(step)
    local before = #tenant:requests()
    local client <close>, calls = with(step)
    local user, err = read(client)
    assert.is_nil(user)
    assert.equal("auth", err.kind)
    assert.equal("callback", err.code)
    assert.equal("not_sent", err.phase)
    assert.equal("GET", err.method)
    assert.matches("graph.auth.callback", err.hint, 1, true)
    assert.equal(before, #tenant:requests())
    return err, calls
  end

  for name, case in pairs {
    ["nil and a reason"] = { function() return nil, "the vault is sealed" end, "the vault is sealed" },
    ["nil alone"] = { function() return nil end, "it returned nil" },
    ["a raise"] = { function() error("no vault") end, "it raised: .*auth_spec.lua:%d+: no vault" },
    ["a raised table"] = { function() error {} end, "it raised: table" },
    ["an empty token"] = { function() return "" end, "it is empty" },
    ["Bearer and a token"] = { function() return "Bearer " .. token() end, "begins with the word Bearer" },
    ["a number"] = { function() return 5 end, "a string is expected, got number" },
    ["a life of 0"] = { function() return token(), 0 end, "the token it returned has expired" },
    ["a life in the past"] = { function() return token(), -5 end, "the token it returned has expired" },
    ["a date for a life"] = { function() return token(), os.time() + 3600 end, "a date, perhaps" },
    ["a text for a life"] = { function() return token(), "3600" end, "must be the seconds" },
    ["no number for a life"] = { function() return token(), 0 / 0 end, "must be the seconds" },
  } do
    it("that returns " .. name .. " gives an Error", function()
      assert.matches(case[2], (fails(case[1])).message)
    end)
  end

  it("that shows its token in what it says is cut short", function()
    local shown = token()
    assert.matches("%*%*%*", fails(function() return nil, "bad: " .. shown end).message)
    assert.matches("%*%*%*", fails(function() error("bad: " .. shown) end).message)
  end)

  it("that uses the client that waits for it is told so", function()
    local client <close> = (function()
      local own
      own = connect(tenant, graph.auth.callback(function()
        local _, err = own:get "/users"
        return nil, err
      end))
      return own
    end)()
    for _, run in ipairs { function(fn) fn() end, graph.run } do
      run(function()
        local _, err = read(client)
        assert.equal("callback", err.code)
        assert.matches("used the very client that waits for it", err.message)
      end)
    end
  end)

  it("that fails does so once for all who wait, and is called again by the next", function()
    local client <close>, calls = with(function()
      graph.sleep(0.02)
      return nil, "sealed"
    end)
    local items = {}
    for i = 1, 16 do items[i] = i end
    local results, failures = graph.map(items, { concurrency = 16 }, function() return read(client) end)
    assert.equal(16, results.n)
    for i = 1, 16 do assert.equal("callback", failures[i].code) end
    assert.equal(1, calls.n)
    read(client)
    assert.equal(2, calls.n)
  end)

  it("whose task is cancelled hands the call on to the next who waits", function()
    local client <close>, calls = with(function()
      graph.sleep(0.05)
      return token(), 3600
    end)
    graph.run(function()
      local first = graph.spawn(function() read(client) end)
      local second = graph.spawn(function() read_ok(client) end)
      graph.sleep(0.01)
      first:cancel()
      second:join()
    end)
    assert.equal(2, calls.n)
  end)

  it("is not called for a client that is closed", function()
    local client, calls = with(function() return token(), 3600 end)
    client:close()
    local _, err = read(client)
    assert.equal("closed", err.code)
    assert.equal(0, calls.n)
  end)

  it("during which the client is closed ends as closed", function()
    local client
    client = connect(tenant, graph.auth.callback(function()
      client:close()
      return token(), 3600
    end))
    local _, err = read(client)
    assert.equal("closed", err.code)
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
end)
