--- Users who sign in while a client waits, against a simulated tenant.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"
local sign_in = require "spec.support.sign_in"

local ADA = "ada@contoso.com"
local ledger = sign_in.ledger()

local tenant

local function connect(credential)
  return assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file, authority = tenant.authority,
    tenant_id = tenant.tenant_id, auth = credential })
end

local function read(client)
  local user, err = client:get("/users/" .. ADA)
  return user and user.userPrincipalName, ledger:saw(err)
end

local function asked(grant)
  local entries = {}
  for _, entry in ipairs(tenant:token_requests()) do
    if entry.grant == grant then entries[#entries + 1] = entry end
  end
  return entries
end

setup(function()
  tenant = assert(sim.start { users = 30, start = os.time(), device_code_interval = 1 })
end)

teardown(function() tenant:stop() end)

describe("a device code", function()
  local app, prompts

  before_each(function()
    app = tenant:app { public = true, scopes = { "User.Read.All" } }
    prompts = {}
  end)

  -- Shows the prompt to somebody who does at once what `act` says.
  local function credential(act)
    return graph.auth.device_code {
      client_id = app.client_id,
      prompt = function(prompt)
        prompts[#prompts + 1] = prompt
        if act then act(prompt) end
      end,
    }
  end

  local function signs_in(prompt)
    tenant:sign_in { user_code = prompt.user_code, user = ADA }
  end

  it("is asked for when the first request needs a token, and shown", function()
    local before = #tenant:token_requests()
    local client <close> = connect(credential(signs_in))
    assert.equal(before, #tenant:token_requests())
    assert.equal(ADA, (read(client)))
    assert.equal(1, #prompts)
    assert.matches("^https://.+/devicelogin$", prompts[1].verification_uri)
    assert.matches(prompts[1].user_code, prompts[1].message, 1, true)
    assert.equal(1, prompts[1].interval)
    assert.equal(900, prompts[1].expires_in)
  end)

  it("is one code for all tasks that wait", function()
    local client <close> = connect(credential(signs_in))
    local items = {}
    for i = 1, 16 do items[i] = i end
    local results, failures = graph.map(items, { concurrency = 16 }, function() return (read(client)) end)
    assert.same({}, failures)
    assert.equal(16, #results)
    assert.equal(1, #prompts)
  end)

  it("is asked for again until the user is done", function()
    local client <close> = connect(credential())
    local asked_before = #asked "device_code"
    graph.run(function()
      local task = graph.spawn(function() return (read(client)) end)
      while #prompts == 0 do graph.sleep(0.05) end
      while #asked "device_code" < asked_before + 2 do graph.sleep(0.05) end
      signs_in(prompts[1])
      assert.equal(ADA, task:join())
    end)
    local entries = asked "device_code"
    assert.equal("authorization_pending", entries[asked_before + 2].error)
  end)

  it("signs in once: what follows uses the refresh token", function()
    local client <close> = connect(credential(signs_in))
    assert.equal(ADA, (read(client)))
    tenant:advance(3600)
    assert.equal(ADA, (read(client)))
    assert.equal(1, #prompts)
    assert.equal("refresh_token", tenant:token_requests()[#tenant:token_requests()].grant)
  end)

  it("whose session was revoked is asked for anew", function()
    local client <close> = connect(credential(signs_in))
    assert.equal(ADA, (read(client)))
    tenant:revoke(ADA)
    assert.equal(ADA, (read(client)))
    assert.equal(2, #prompts)
  end)

  it("that the user declines is an Error", function()
    local client <close> = connect(credential(function(prompt)
      tenant:sign_in { user_code = prompt.user_code, user = ADA, decline = true }
    end))
    local user, err = read(client)
    assert.is_nil(user)
    assert.equal("auth", err.kind)
    assert.matches("declined", tostring(err))
    tenant:sign_in { user = ADA }
  end)

  it("nobody enters ends as expired", function()
    local client <close> = connect(credential(function() tenant:advance(901) end))
    local user, err = read(client)
    assert.is_nil(user)
    assert.equal("auth", err.kind)
    assert.matches("expired", tostring(err))
  end)

  it("stops being asked for when its task is cancelled", function()
    local client <close> = connect(credential())
    graph.run(function()
      local task = graph.spawn(function() return read(client) end)
      while #prompts == 0 do graph.sleep(0.05) end
      task:cancel()
    end)
    local count = #asked "device_code"
    graph.run(function() graph.sleep(1.5) end)
    assert.equal(count, #asked "device_code")
  end)

  it("is refused for an app that is not public, and says what to do", function()
    app = tenant:app { secret = true }
    local client <close> = connect(credential())
    local user, err = read(client)
    assert.is_nil(user)
    assert.matches("public client", tostring(err))
  end)
end)

describe("an authorization code", function()
  local app, urls

  before_each(function()
    app = tenant:app { public = true, scopes = { "User.Read.All" }, redirect_uris = { "http://localhost" } }
    urls = {}
    tenant:sign_in { user = ADA }
  end)

  -- Stands in for a browser: follows the redirect to the listener and keeps the page.
  local function browse(url)
    os.execute(("curl -sS -L --max-time 20 --cacert %s -o %s %s &"):format(helper.quote(tenant.ca_file),
      helper.quote(helper.tmp() .. "/page"), helper.quote(url)))
  end

  local function credential(act, more)
    local opts = { client_id = app.client_id, prompt = function(url, opened)
      urls[#urls + 1] = url
      assert.is_false(opened)
      act(url)
    end }
    for name, value in pairs(more or {}) do opts[name] = value end
    return graph.auth.auth_code(opts)
  end

  it("is asked for in the browser, with PKCE and a state", function()
    local client <close> = connect(credential(browse, { login_hint = ADA }))
    assert.equal(ADA, (read(client)))
    assert.equal(1, #urls)
    for _, part in ipairs { "response_type=code", "code_challenge_method=S256", "code_challenge=", "state=",
      "login_hint=ada%40contoso.com", "redirect_uri=http%3A%2F%2Flocalhost%3A", "offline_access" } do
      assert.is_truthy(urls[1]:find(part, 1, true), part)
    end
    assert.equal("authorization_code", asked("authorization_code")[1].grant)
    assert.matches("may close this", helper.read_file(helper.tmp() .. "/page"))
  end)

  it("is followed by renewals with the refresh token", function()
    local client <close> = connect(credential(browse))
    assert.equal(ADA, (read(client)))
    tenant:advance(3600)
    assert.equal(ADA, (read(client)))
    assert.equal(1, #urls)
  end)

  it("that another page made up ends nothing", function()
    local client <close> = connect(credential(function(url)
      browse((url:gsub("state=[^&]+", "state=forged")))
      browse(url)
    end))
    assert.equal(ADA, (read(client)))
  end)

  it("that the user declines is an Error", function()
    tenant:sign_in { user = ADA, decline = true }
    local client <close> = connect(credential(browse))
    local user, err = read(client)
    assert.is_nil(user)
    assert.equal("auth", err.kind)
    assert.matches("declined", tostring(err))
  end)
end)

it("no Error of these shows a secret", function()
  ledger:check()
end)
