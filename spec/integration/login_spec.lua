--- `msgraph login` and what it leaves: real programs, a simulated tenant, one user after the other.
local helper = require "spec.support.helper"
local json = require "msgraph.json"
local program = require "spec.support.program"
local sign_in = require "spec.support.sign_in"
local sim = require "msgraph.sim"

local MSGRAPH = helper.ROOT .. "bin/msgraph"
local ADA, GRACE = "ada@contoso.com", "grace@contoso.com"
local KEY, OTHER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "_-7dzLuqmYh3ZlVEMyIRAP_u3cy7qpmId2ZVRDMiEQA="
local ELSEWHERE = "11111111-2222-3333-4444-555555555555"

local tenant, app, count
local ledger = sign_in.ledger()

-- A fresh folder for sign-ins, at the tenant's place; what is "" is unset.
local function new_env(more)
  count = (count or 0) + 1
  local env = {
    MSGRAPH_ENDPOINT = tenant.endpoint, MSGRAPH_CA_FILE = tenant.ca_file, AZURE_AUTHORITY_HOST = tenant.authority,
    AZURE_TENANT_ID = tenant.tenant_id, AZURE_CLIENT_ID = app.client_id,
    MSGRAPH_STORE = ("%s/login%d"):format(helper.tmp(), count), MSGRAPH_STORE_KEY = ledger:secret(KEY),
  }
  for name, value in pairs(more or {}) do env[name] = value end
  return env
end

local function note(ran)
  ledger:saw(ran.out)
  ledger:saw(ran.err)
  return ran
end

local function run(env, ...)
  return note(program.run({ MSGRAPH, ... }, env))
end

local function file_of(env, profile)
  return ("%s/%s.sign-in"):format(env.MSGRAPH_STORE, profile or "default")
end

-- Runs what shows a device code, which somebody enters as soon as it is there.
local function enter_code(words, env, opts)
  local running <close> = program.start(words, env)
  local code = program.await(function()
    local _, err = running:output()
    return err:match "enter the code (%S+)" or err:match "\n$" and "none"
  end)
  if code ~= "none" then
    tenant:sign_in { user_code = code, user = opts and opts.user or ADA, decline = opts and opts.decline }
  end
  return note(running:wait())
end

local function login(env, opts, ...)
  return enter_code({ MSGRAPH, "login", "--device-code", ... }, env, opts)
end

local function must_login(env, ...)
  local ran = login(env, nil, ...)
  assert.equal(0, ran.code, ran.err)
  return ran
end

local function whoami(env, ...)
  local ran = run(env, "whoami", "--json", ...)
  return ran.code == 0 and json.decode(ran.out), ran
end

local function asked(grant)
  return #tenant:token_requests { grant = grant }
end

-- Makes the access token of a sign-in in plaintext an old one: the next process has to renew.
local function expire(env)
  local path = file_of(env)
  local text, n = helper.read_file(path):gsub('"expires_s":%d+', '"expires_s":1')
  assert.equal(1, n)
  helper.write_file(path, text)
  ledger:secret(text:match '"refresh_token":"([^"]+)"')
end

local function plaintext_env()
  return new_env { MSGRAPH_STORE_KEY = "" }
end

setup(function()
  tenant = assert(sim.start { users = 20, start = os.time(), device_code_interval = 1 })
  app = tenant:app { public = true }
end)

teardown(function() tenant:stop() end)

describe("msgraph login", function()
  it("signs in with a code that is entered elsewhere, and keeps it encrypted", function()
    local env = new_env()
    local ran = must_login(env)
    assert.matches("open the page https://%S+/devicelogin", ran.err)
    assert.matches("signed in as ada@contoso.com, tenant " .. tenant.tenant_id, ran.out, 1, true)
    assert.matches("its key: the variable MSGRAPH_STORE_KEY", ran.out, 1, true)
    assert.matches("^msgraph sign%-in 1 aes%-256%-gcm ", helper.read_file(file_of(env)))
    assert.equal("600\n", helper.sh("stat -c %a " .. helper.quote(file_of(env))))
  end)

  it("signs in in the browser where there is one", function()
    tenant:sign_in { user = GRACE }
    local browser = helper.tmp() .. "/browser"
    helper.write_file(browser, ("#!/bin/sh\nexec curl -sS -L --max-time 20 --cacert %s -o %s \"$1\"\n"):format(
      helper.quote(tenant.ca_file), helper.quote(helper.tmp() .. "/page")))
    helper.sh("chmod +x " .. helper.quote(browser))
    local env = new_env { BROWSER = browser }
    local before = asked "device_code"
    local ran = run(env, "login")
    assert.equal(0, ran.code, ran.err)
    assert.matches("browser window that has opened", ran.err, 1, true)
    assert.matches("signed in as grace@contoso.com", ran.out, 1, true)
    assert.matches("may close this", helper.read_file(helper.tmp() .. "/page"), 1, true)
    assert.equal(before, asked "device_code")
    assert.equal(GRACE, whoami(env).username)
  end)

  it("shows the address where no browser can be opened, and is interrupted by Ctrl-C", function()
    local running <close> = program.start({ MSGRAPH, "login", "--browser" }, new_env())
    program.await(function() return select(2, running:output()):find "https://%S+/authorize%?" end)
    running:interrupt()
    assert.equal(130, note(running:wait()).code)
  end)

  it("is remembered: nobody is asked again, and nothing is asked of the tenant", function()
    local env = new_env()
    must_login(env)
    local before = #tenant:token_requests()
    env.AZURE_TENANT_ID, env.AZURE_CLIENT_ID, env.AZURE_AUTHORITY_HOST = nil, nil, nil
    local ran = run(env, "request", "GET", "/me", "--query", "$select=userPrincipalName")
    assert.equal(0, ran.code, ran.err)
    assert.matches(ADA, ran.out, 1, true)
    assert.equal(before, #tenant:token_requests())
  end)

  it("signs in again as before, whoever it is", function()
    local env = new_env()
    must_login(env)
    env.AZURE_TENANT_ID, env.AZURE_CLIENT_ID, env.AZURE_AUTHORITY_HOST = nil, nil, nil
    local ran = login(env, { user = GRACE })
    assert.equal(0, ran.code, ran.err)
    assert.equal(GRACE, whoami(env).username)
  end)

  it("keeps profiles apart", function()
    local env = new_env()
    must_login(env)
    assert.equal(0, login(env, { user = GRACE }, "--profile", "work").code)
    assert.equal(ADA, whoami(env).username)
    assert.equal(GRACE, whoami(env, "--profile", "work").username)
    env.MSGRAPH_PROFILE = "work"
    assert.equal(GRACE, whoami(env).username)
    local listed = run(env, "profiles").out
    assert.matches("\n?  +default +signed in +" .. ADA, listed)
    assert.matches("%* +work +signed in +" .. GRACE, listed)
    assert.equal(0, run(env, "logout", "--all").code)
    for line in run(env, "profiles", "--json").out:gmatch "[^\n]+" do
      assert.equal("signed_out", json.decode(line).state)
    end
  end)

  it("wins over the environment where it is named", function()
    local env = new_env()
    must_login(env)
    env.MSGRAPH_ACCESS_TOKEN = tenant:token()
    assert.equal("token", whoami(env).kind)
    assert.equal("stored", whoami(env, "--profile", "default").kind)
  end)

  it("needs the name of an app, and says how", function()
    local ran = run(new_env { AZURE_CLIENT_ID = "" }, "login")
    assert.equal(64, ran.code)
    assert.matches("login --tenant TENANT --client-id ID", ran.err, 1, true)
  end)

  it("takes no name that could be another file's", function()
    for _, name in ipairs { "../etc", "a/b", ".hidden", "", ("x"):rep(65) } do
      local ran = run(new_env(), "login", "--profile", name)
      assert.equal(64, ran.code, name)
      assert.matches("no name of a profile", ran.err, 1, true)
    end
  end)

  it("keeps plaintext only when asked to, and stops when not", function()
    local env = plaintext_env()
    must_login(env, "--plaintext")
    assert.matches("^msgraph sign%-in 1 plaintext\n", helper.read_file(file_of(env)))
    assert.equal("none: plaintext", whoami(env).key)
    env.MSGRAPH_STORE_KEY = KEY
    assert.equal(64, run(env, "login", "--plaintext").code)
    must_login(env)
    assert.matches("^msgraph sign%-in 1 aes%-256%-gcm ", helper.read_file(file_of(env)))
    assert.equal(ADA, whoami(env).username)
  end)
end)

describe("the key of a sign-in", function()
  -- Stands in for the desktop's: keeps what it is given in a file, and notes what it was called with.
  local SECRET_TOOL = [[#!/bin/sh
echo "$@" >>%s/called
case $1 in
  store) cat >%s/kept ;;
  lookup) cat %s/kept ;;
esac
]]

  it("is kept by the desktop where it has a keeper, and never shows", function()
    local folder = helper.tmp() .. "/desktop"
    helper.sh("mkdir " .. helper.quote(folder))
    helper.write_file(folder .. "/secret-tool", (SECRET_TOOL:gsub("%%s", folder)))
    helper.sh("chmod +x " .. helper.quote(folder .. "/secret-tool"))
    local env = new_env { MSGRAPH_STORE_KEY = "", DBUS_SESSION_BUS_ADDRESS = "unix:path=/nowhere",
      PATH = folder .. ":" .. os.getenv "PATH" }
    must_login(env)
    assert.equal(ADA, whoami(env).username)
    assert.matches("secret%-tool", whoami(env).key)
    ledger:secret(helper.read_file(folder .. "/kept"):match "%S+")
    local called = ledger:saw(helper.read_file(folder .. "/called"))
    assert.equal(1, select(2, called:gsub("store %-%-label", "")))
    helper.sh("rm " .. helper.quote(folder .. "/kept"))
    local ran = run(env, "whoami")
    assert.equal(30, ran.code)
    assert.matches("secret-tool ended with status 1", ran.err, 1, true)
  end)

  it("comes from a descriptor", function()
    local env, key = new_env { MSGRAPH_STORE_KEY = "", MSGRAPH_STORE_KEY_FD = "7" }, helper.tmp() .. "/store-key"
    helper.write_file(key, KEY .. "\n")
    local function with_key(line) return ("exec 7<%s; %s %s"):format(helper.quote(key), helper.quote(MSGRAPH), line) end
    assert.equal(0, enter_code({ "sh", "-c", with_key "login --device-code" }, env).code)
    assert.matches("key: the descriptor", note(program.shell(with_key "whoami", env)).out, 1, true)
  end)
end)

describe("msgraph whoami", function()
  it("tells everything that is known, for people", function()
    local env = new_env()
    must_login(env)
    local out = run(env, "whoami").out
    for _, pattern in ipairs { "account +ada@contoso.com %(%x+", "tenant +" .. tenant.tenant_id:gsub("%-", "%%-"),
      "app +%x+", "cloud +https://127", "scopes +DeviceManagementManagedDevices.PrivilegedOperations.All, ",
      "roles +none", "expires +in %d+ min, then renewed", "source +stored sign%-in", "profile +default",
      "kept in +/%S+/default.sign%-in %(its key: the variable MSGRAPH_STORE_KEY%)" } do
      assert.matches("\n" .. pattern, "\n" .. out)
    end
  end)

  it("names the app that the environment signs in as", function()
    local service = tenant:app { secret = true, roles = { "User.Read.All" } }
    local env = new_env { AZURE_CLIENT_ID = service.client_id,
      AZURE_CLIENT_SECRET = ledger:secret(service.client_secret) }
    local who = whoami(env)
    assert.same({ "client_secret", service.client_id, { "User.Read.All" }, {} },
      { who.kind, who.app_id, who.roles, who.scopes })
  end)
end)

describe("msgraph logout", function()
  it("leaves a file that says so, without a secret, and nobody signed in", function()
    local env = plaintext_env()
    must_login(env, "--plaintext")
    local secret = ledger:secret(helper.read_file(file_of(env)):match '"refresh_token":"([^"]+)"')
    local ran = run(env, "logout")
    assert.same({ 0, "signed out (profile default)\n" }, { ran.code, ran.out })
    assert.is_nil(helper.read_file(file_of(env)):find(secret, 1, true))
    assert.matches('"signed_out":true', helper.read_file(file_of(env)), 1, true)
    local _, who = whoami(env, "--profile", "default")
    assert.equal(30, who.code)
    assert.matches("nobody is signed in as profile 'default': msgraph login", who.err, 1, true)
  end)

  it("of nobody is well", function()
    local ran = run(new_env(), "logout")
    assert.same({ 0, "nobody was signed in (profile default)\n" }, { ran.code, ran.out })
  end)
end)

describe("a sign-in that can not be used says what to type next:", function()
  -- What a command says that needs one which is there, and how it ends.
  local function said(env, ...)
    local ran = run(env, "request", "GET", "/me", ...)
    assert.equal("", ran.out)
    return ran.err, ran.code
  end

  local function is_mended_by_logout(env)
    assert.equal(0, run(env, "logout").code)
    must_login(env)
    assert.equal(ADA, whoami(env).username)
  end

  it("of another key", function()
    local env = new_env()
    must_login(env)
    env.MSGRAPH_STORE_KEY = ledger:secret(OTHER_KEY)
    local err, code = said(env)
    assert.equal(30, code)
    assert.matches("encrypted with another key: give that one, or begin anew with msgraph logout and msgraph login",
      err, 1, true)
    assert.matches("its key: the variable MSGRAPH_STORE_KEY", err, 1, true)
    is_mended_by_logout(env)
  end)

  it("damaged", function()
    local env = new_env()
    must_login(env)
    local path = file_of(env)
    helper.write_file(path, helper.read_file(path):sub(1, -2))
    local err, code = said(env)
    assert.equal(30, code)
    assert.matches("damaged: begin anew with msgraph logout and msgraph login", err, 1, true)
    assert.equal("unreadable", json.decode(run(env, "profiles", "--json").out).state)
    is_mended_by_logout(env)
  end)

  it("without its key", function()
    local env = new_env()
    must_login(env)
    env.MSGRAPH_STORE_KEY = "a passphrase"
    local err, code = said(env)
    assert.equal(30, code)
    assert.matches("head -c 32 /dev/urandom | base64", err, 1, true)
    assert.equal(0, run(env, "logout").code)
  end)

  it("of another user", function()
    if helper.sh "id -u" ~= "0\n" then return pending "only root can give a file away" end
    local env = new_env()
    must_login(env)
    helper.sh("chown 12345 " .. helper.quote(file_of(env)))
    local err, code = said(env)
    assert.equal(30, code)
    assert.matches("it belongs to user id 12345: run as that user", err, 1, true)
  end)

  it("where the disk is full", function()
    if not os.execute "unshare -rm true 2>/dev/null" then return pending "no file system can be mounted here" end
    local env = new_env()
    must_login(env)
    local script = ([[
      mount -t tmpfs -o size=8k none %s || exit 99
      head -c 8192 /dev/zero >%s/ballast
      exec %s login --device-code]]):format(env.MSGRAPH_STORE, env.MSGRAPH_STORE, helper.quote(MSGRAPH))
    local ran = enter_code({ "unshare", "-rm", "sh", "-c", script }, env)
    if ran.code == 99 then return pending "no file system can be mounted here" end
    assert.equal(30, ran.code)
    assert.matches("no room is left: see df, make some for ", ran.err, 1, true)
  end)

  it("of another tenant or cloud", function()
    local env = new_env()
    must_login(env)
    env.AZURE_TENANT_ID = ELSEWHERE
    local err, code = said(env)
    assert.equal(64, code)
    assert.matches(("profile 'default' is signed in to tenant %s, not %s: msgraph login --tenant %s"):format(
      tenant.tenant_id, ELSEWHERE, ELSEWHERE), err, 1, true)
    env.AZURE_TENANT_ID = nil
    err, code = said(env, "--cloud", "usgov")
    assert.equal(64, code)
    assert.matches("is signed in to the cloud of https://graph.microsoft.com, and this is the one of "
      .. "https://graph.microsoft.us: choose the same --cloud", err, 1, true)
  end)

  it("revoked", function()
    local env = new_env()
    must_login(env)
    tenant:revoke(ADA)
    local err, code = said(env)
    assert.equal(30, code)
    assert.matches("sign in again: msgraph login", err, 1, true)
    must_login(env)
    assert.equal(ADA, whoami(env).username)
  end)

  it("without the second factor that is now demanded", function()
    local env = plaintext_env()
    must_login(env, "--plaintext")
    tenant:policy(ADA, { mfa = true })
    expire(env)
    local err, code = said(env)
    tenant:policy(ADA)
    assert.equal(30, code)
    assert.matches("AADSTS50076", err, 1, true)
    assert.matches("sign in interactively (msgraph login)", err, 1, true)
  end)
end)

describe("a login that is refused says why:", function()
  it("a policy blocks it", function()
    tenant:policy(ADA, { blocked = true })
    local ran = login(new_env())
    tenant:policy(ADA)
    assert.equal(30, ran.code)
    assert.matches("conditional access policy blocks this sign-in", ran.err, 1, true)
  end)

  it("nobody consented, and where to do so", function()
    local bare = tenant:app { public = true, scopes = {} }
    local ran = login(new_env { AZURE_CLIENT_ID = bare.client_id })
    assert.equal(30, ran.code)
    assert.matches(("have an administrator open %s/%s/adminconsent?client_id=%s"):format(tenant.authority,
      tenant.tenant_id, bare.client_id), ran.err, 1, true)
  end)

  it("the tenant or the app is unknown", function()
    for _, options in ipairs { { "--tenant", "nowhere.example" }, { "--client-id", ELSEWHERE } } do
      local ran = login(new_env(), nil, table.unpack(options))
      assert.equal(30, ran.code)
      assert.matches("check tenant_id, client_id and the cloud", ran.err, 1, true)
    end
  end)

  it("the app is not public", function()
    local private = tenant:app { secret = true }
    local ran = login(new_env { AZURE_CLIENT_ID = private.client_id })
    assert.equal(30, ran.code)
    assert.matches("allow public client flows in the registration", ran.err, 1, true)
  end)

  it("the user says no", function()
    local env = new_env()
    local ran = login(env, { decline = true })
    assert.equal(30, ran.code)
    assert.matches("declined", ran.err, 1, true)
    assert.is_nil(io.open(file_of(env)))
    tenant:sign_in { user = ADA }
  end)

  it("the sign-in host is not reached", function()
    local ran = run(new_env { AZURE_AUTHORITY_HOST = ("https://127.0.0.1:%d"):format(helper.closed_port()) }, "login")
    assert.equal(20, ran.code)
    assert.matches("this is about the sign-in host", ran.err, 1, true)
  end)
end)

describe("processes that share a sign-in", function()
  local SCRIPT = [[
    local graph = require "msgraph"
    local client <close> = assert(graph.connect { auth = graph.auth.stored() })
    local items = {}
    for i = 1, 64 do items[i] = i end
    local results, failures = graph.map(items, { concurrency = 64 }, function()
      local user, err = client:get "/me"
      return user and user.userPrincipalName, err
    end)
    local _, failure = next(failures)
    if failure then error(tostring(failure)) end
    print(#results, results[64])
  ]]

  it("renew it once: 64 tasks in each of four", function()
    local env = plaintext_env()
    must_login(env, "--plaintext")
    expire(env)
    local script = helper.tmp() .. "/share.lua"
    helper.write_file(script, SCRIPT)
    tenant:fault { kind = "latency", path = "/token$", seconds = 0.3 }
    local before, running = asked "refresh_token", {}
    for i = 1, 4 do running[i] = program.start({ helper.LUA, script }, env) end
    for i = 1, 4 do
      local ran = note(running[i]:wait())
      assert.same({ 0, "64\t" .. ADA .. "\n" }, { ran.code, ran.out }, ran.err)
    end
    tenant:clear_faults()
    assert.equal(before + 1, asked "refresh_token")
  end)

  it("learn that the user signed out, or was signed out", function()
    local env = new_env()
    must_login(env)
    local script, go = helper.tmp() .. "/goes_on.lua", helper.tmp() .. "/go"
    helper.write_file(script, ([[
      local graph = require "msgraph"
      local client <close> = assert(graph.connect { auth = graph.auth.stored() })
      assert(client:get "/me")
      print "ready"
      io.stdout:flush()
      while not io.open(%q) do graph.sleep(0.05) end
      local _, err = client:get "/me"
      print(err.code, err.hint)
    ]]):format(go))
    local running <close> = program.start({ helper.LUA, script }, env)
    program.await(function() return running:output():find "ready" end)
    assert.equal(0, run(env, "logout").code)
    tenant:revoke(ADA)
    helper.write_file(go, "")
    local ran = note(running:wait())
    assert.matches("signed_out\ta user has to sign in: msgraph login", ran.out, 1, true)
  end)

  it("tell which one hangs with the turn to renew, and go on when it is dead", function()
    local env = plaintext_env()
    must_login(env, "--plaintext")
    expire(env)
    tenant:fault { kind = "latency", path = "/token$", seconds = 60 }
    local hanging <close> = program.start({ MSGRAPH, "request", "GET", "/me" }, env)
    local pid = program.await(function()
      local lock = io.open(file_of(env) .. ".lock")
      local holder = lock and lock:read "l"
      if lock then lock:close() end
      return holder and holder:match "^%d+"
    end)
    assert.equal(hanging.pid, pid)
    helper.sh("kill -STOP " .. pid)
    tenant:clear_faults()
    local ran = run(env, "request", "GET", "/me") -- waits for its turn, as long as an outage is waited out
    assert.equal(30, ran.code)
    assert.matches("ps " .. pid, ran.err, 1, true)
    helper.sh("kill -KILL " .. pid)
    local alone = run(env, "request", "GET", "/me")
    assert.equal(0, alone.code, alone.err)
  end)
end)

describe("msgraph doctor", function()
  local function checks(env, ...)
    local ran, by_name = run(env, "doctor", "--json", ...), {}
    for line in ran.out:gmatch "[^\n]+" do
      local check = json.decode(line)
      local name = by_name[check.check] and check.check .. " 2" or check.check
      by_name[name] = check
    end
    return by_name, ran.code
  end

  it("finds nothing wrong where nothing is", function()
    local env = new_env()
    assert.equal(0, login(env, { user = GRACE }).code)
    local found, code = checks(env)
    assert.equal(0, code)
    for _, name in ipairs { "library", "proxy", "store", "sign-in", "sign-in host", "Graph", "clock", "permissions",
      "permissions 2", "licence" } do
      assert.equal("ok", found[name] and found[name].state, name)
    end
    assert.matches("as grace@contoso.com", found["sign-in"].text, 1, true)
    assert.matches("trusted by " .. tenant.ca_file, found.Graph.text, 1, true)
    assert.matches("ok    licence", run(env, "doctor").out, 1, true)
  end)

  it("names the permission that is missing, and where to consent", function()
    local poor = tenant:app { secret = true, roles = { "User.Read.All" } }
    local found, code = checks(new_env { AZURE_CLIENT_ID = poor.client_id,
      AZURE_CLIENT_SECRET = ledger:secret(poor.client_secret) })
    assert.equal(30, code)
    assert.equal("fail", found.permissions.state)
    assert.matches("PrivilegedOperations.All is missing", found.permissions.text, 1, true)
    assert.matches("/adminconsent?client_id=" .. poor.client_id, found.permissions.advice, 1, true)
    assert.equal("warn", found["permissions 2"].state)
  end)

  it("sees that nobody is signed in, and still looks at the way there", function()
    local found, code = checks(new_env())
    assert.equal(30, code)
    assert.equal("fail", found["sign-in"].state)
    assert.equal("ok", found["sign-in host"].state)
  end)

  it("sees a clock that is two hours off", function()
    local late <close> = assert(sim.start { users = 5, start = os.time() + 7200 })
    local env = program.env_of(late)
    local found, code = checks(env)
    assert.equal(20, code)
    assert.equal("fail", found.clock.state)
    assert.matches("behind the server's", found.clock.text, 1, true)
    assert.matches("timedatectl", found.clock.advice, 1, true)
  end)

  it("sees a tenant without a licence, and shows no password of a proxy", function()
    local bare <close> = assert(sim.start { users = 5, start = os.time(), intune = false })
    local env = program.env_of(bare)
    env.https_proxy, env.no_proxy = "http://user:" .. ledger:secret "hunter2hunter2" .. "@127.0.0.1:9", "127.0.0.1"
    local found, code = checks(env)
    assert.equal(30, code)
    assert.equal("fail", found.licence.state)
    assert.matches("***@127.0.0.1:9", found.proxy.text, 1, true)
  end)

  it("tells what is wrong on the way", function()
    local found, code = checks(new_env { MSGRAPH_ENDPOINT = ("https://127.0.0.1:%d"):format(helper.closed_port()),
      MSGRAPH_ACCESS_TOKEN = tenant:token() })
    assert.equal(20, code)
    assert.equal("fail", found.Graph.state)
    assert.matches("firewall", found.Graph.advice, 1, true)
  end)
end)

it("is never shown with what", function()
  local secrets, texts = ledger:check()
  assert.is_true(secrets >= 5 and texts >= 20)
end)
