--- Every grant against a server that is not ours: oidc-provider, a certified OpenID provider (see provider.mjs).
-- Pending where node is absent, or npm could not fetch it: `make deps` does.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local json = require "msgraph.json"
local sign_in = require "spec.support.sign_in"

local NODE_MIN <const> = 20
local MODULES <const> = helper.ROOT .. "build/foreign/node_modules"
local SECRET <const> = "p4ss&w+rd=50%20/of ~the?app#"
local TENANT <const> = "contoso.com"

local ledger = sign_in.ledger()

-- Why none of this can run here; nil when it can.
local function obstacle()
  local pipe = io.popen "node --version 2>/dev/null"
  local major = tonumber(pipe:read("a"):match "^v(%d+)")
  pipe:close()
  if not major then return "node is absent" end
  if major < NODE_MIN then return ("node %d is older than %d"):format(major, NODE_MIN) end
  local file = io.open(MODULES .. "/oidc-provider/package.json")
  if not file then return "npm has not fetched oidc-provider: `make deps` tries; build/foreign/npm.log says why" end
  file:close()
end

-- ---- the provider ---------------------------------------------------------------------------------

local provider -- { pipe, pid, endpoint, log }

local function start()
  local certs, base = helper.certs(), helper.tmp() .. "/provider"
  helper.write_file(base .. ".json", json.encode {
    modules = MODULES:match "^/" and MODULES or require("lfs").currentdir() .. "/" .. MODULES,
    cert = certs .. "/right.pem", key = certs .. "/right.key", signing = sign_in.pair "issuer" .. ".key",
    certificate = sign_in.pair "app" .. ".crt", secret = ledger:secret(SECRET), log = base .. ".log",
  })
  helper.write_file(base .. ".log", "")
  local pipe = assert(io.popen(("echo $$; exec node %s %s 2>%s"):format(
    helper.quote(helper.ROOT .. "spec/foreign/provider.mjs"), base .. ".json", base .. ".err")))
  local pid, port = pipe:read("l", "l")
  assert(port, port or helper.read_file(base .. ".err"))
  return { pipe = pipe, pid = pid, endpoint = "https://127.0.0.1:" .. port, log = base .. ".log" }
end

local function stop()
  os.execute("kill " .. provider.pid)
  provider.pipe:close()
end

-- What the provider said to the token requests since `from` lines: "user refresh_token ok".
local function log(from)
  local lines = {}
  for line in ledger:saw(helper.read_file(provider.log)):gmatch "[^\n]+" do lines[#lines + 1] = line end
  return table.move(lines, (from or 0) + 1, #lines, 1, {})
end

local function connect(credential)
  return helper.client(provider.endpoint, { authority = provider.endpoint, tenant_id = TENANT, auth = credential })
end

-- Who Graph says we are. Each call takes a token of its own.
local function whoami(client)
  local me, err = client:get "/me"
  return me and me.id, ledger:saw(err)
end

-- ---- the browser ----------------------------------------------------------------------------------

local jars = 0

-- A browser with no cookies yet: a function that opens an address, or posts a form to it, follows every
-- redirect, and returns the page where it ends.
local function browser()
  jars = jars + 1
  local jar = ("%s/jar%d"):format(helper.tmp(), jars)
  return function(url, form)
    local words = { "curl -sS -L --max-time 20 --cacert", helper.certs() .. "/ca.pem", "-b", jar, "-c", jar }
    for name, value in pairs(form or {}) do
      words[#words + 1] = "--data-urlencode " .. helper.quote(name .. "=" .. value)
    end
    words[#words + 1] = helper.quote(url)
    return table.concat(words, " ")
  end
end

-- Enters a device code and confirms it.
local function enter(uri, user_code)
  local open = browser()
  local xsrf = helper.sh(open(uri)):match 'name="xsrf" value="(%w+)"'
  local page = helper.sh(open(uri, { xsrf = assert(xsrf), user_code = user_code, confirm = "yes" }))
  assert.matches("Sign%-in Success", page)
end

-- Opens the address and leaves the browser to itself: the page comes from us.
local function browse(url)
  os.execute(("%s >%s/page 2>&1 &"):format(browser()(url), helper.tmp()))
end

-- ---- specs ----------------------------------------------------------------------------------------

local reason = obstacle()

describe("against oidc-provider", function()
  if reason then
    pending(reason)
    return
  end

  local before -- lines of the log

  setup(function() provider = start() end)
  teardown(function() if provider then stop() end end)
  before_each(function() before = #log() end)

  it("a client secret gets a token, and another when that one is refused", function()
    local client <close> = connect(graph.auth.client_secret { client_id = "secret", client_secret = SECRET })
    for _ = 1, 2 do assert.same({ "secret" }, { whoami(client) }) end
    assert.same({ "secret client_credentials ok", "secret client_credentials ok" }, log(before))
  end)

  it("a wrong client secret is an Error", function()
    local wrong = ledger:secret "not the secret of it"
    local client <close> = connect(graph.auth.client_secret { client_id = "secret", client_secret = wrong })
    local id, err = whoami(client)
    assert.is_nil(id)
    assert.equal("auth", err.kind)
    assert.equal("invalid_client", err.code)
  end)

  for _, form in ipairs { "pem", "pem with password", "pkcs12" } do
    it("a certificate signs an assertion it verifies: " .. form, function()
      local path, password = sign_in.certificate("app", form)
      local client <close> = connect(graph.auth.certificate { client_id = "certificate", certificate = path,
        password = password })
      for _ = 1, 2 do assert.same({ "certificate" }, { whoami(client) }) end
      assert.same({ "certificate client_credentials ok", "certificate client_credentials ok" }, log(before))
    end)
  end

  it("another certificate's assertion is refused", function()
    local client <close> = connect(graph.auth.certificate { client_id = "certificate",
      certificate = (sign_in.certificate("other", "pem")) })
    local id, err = whoami(client)
    assert.is_nil(id)
    assert.equal("invalid_client", err.code)
  end)

  it("a device code is asked for until the user is done, then renewed", function()
    local prompts = {}
    local client <close> = connect(graph.auth.device_code { client_id = "user", prompt = function(prompt)
      prompts[#prompts + 1] = prompt
      graph.spawn(function() -- somebody who takes his time
        while #log(before) == 0 do graph.sleep(0.05) end
        enter(prompt.verification_uri, prompt.user_code)
      end)
    end })
    graph.run(function()
      for _ = 1, 2 do assert.same({ "ada" }, { whoami(client) }) end
    end)
    assert.equal(1, #prompts)
    assert.is_nil(prompts[1].message) -- Entra sends one; RFC 8628 knows none
    local lines, device = log(before), "user urn:ietf:params:oauth:grant-type:device_code "
    assert.equal(device, lines[1]:sub(1, #device))
    assert.matches("^authorization_pending", lines[1]:sub(#device + 1))
    assert.same({ device .. "ok", "user refresh_token ok" }, { lines[#lines - 1], lines[#lines] })
  end)

  it("a code from the browser is redeemed with PKCE, then renewed", function()
    local client <close> = connect(graph.auth.auth_code { client_id = "user", prompt = browse })
    for _ = 1, 3 do assert.same({ "ada" }, { whoami(client) }) end
    assert.same({ "user authorization_code ok", "user refresh_token ok", "user refresh_token ok" }, log(before))
    assert.matches("may close this", helper.read_file(helper.tmp() .. "/page"))
  end)

  it("a user who declines in the browser is an Error", function()
    local client <close> = connect(graph.auth.auth_code { client_id = "user", prompt = browse,
      login_hint = "mallory" })
    local id, err = whoami(client)
    assert.is_nil(id)
    assert.equal("auth", err.kind)
    assert.equal("access_denied", err.code)
    assert.matches("mallory declined", err.message)
    assert.same({}, log(before))
  end)

  -- A refresh token that another program got.
  local function refresh_token()
    local post, base = browser(), ("%s/%s/oauth2/v2.0/"):format(provider.endpoint, TENANT)
    local device = json.decode(helper.sh(post(base .. "devicecode", { client_id = "user",
      scope = "https://graph.microsoft.com/.default offline_access openid profile" })))
    enter(device.verification_uri, device.user_code)
    local answer = json.decode(helper.sh(post(base .. "token", { client_id = "user",
      grant_type = "urn:ietf:params:oauth:grant-type:device_code", device_code = device.device_code })))
    return ledger:secret(answer.refresh_token)
  end

  it("a refresh token is replaced by each newer one, and used once", function()
    local token = refresh_token()
    local client <close> = connect(graph.auth.refresh_token { client_id = "user", refresh_token = token })
    for _ = 1, 3 do assert.same({ "ada" }, { whoami(client) }) end

    local thief <close> = connect(graph.auth.refresh_token { client_id = "user", refresh_token = token })
    local id, err = whoami(thief)
    assert.is_nil(id)
    assert.equal("invalid_grant", err.code)

    id, err = whoami(client) -- all that came of it is revoked
    assert.is_nil(id)
    assert.equal("auth", err.kind)
    assert.equal("invalid_grant", err.code)
    local lines = log(before)
    assert.matches("already used", lines[5])
    assert.matches("not found", lines[6])
  end)

  it("no Error and no line of its log shows a secret", function()
    local secrets, texts = ledger:check()
    assert.is_true(secrets >= 3 and texts > 20, ("%d secrets, %d texts"):format(secrets, texts))
  end)
end)
