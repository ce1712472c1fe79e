local helper = require "spec.support.helper"
local json = require "msgraph.json"
local program = require "spec.support.program"
local sim = require "msgraph.sim"

local MSGRAPH = helper.ROOT .. "bin/msgraph"
local ADA, GRACE, NOBODY = "ada@contoso.com", "grace@contoso.com", "nobody@contoso.com"
local FAST = 2000 -- tenant seconds per second: every check-in within half a second

local function start(opts)
  local all = { users = 50, speed = 0 }
  for name, value in pairs(opts or {}) do all[name] = value end
  return assert(sim.start(all))
end

-- No output of ours ever shows the token of the run.
local function check_silent(ran, env)
  local token = env and env.MSGRAPH_ACCESS_TOKEN
  for part in (token or ""):gmatch("[^.]+") do
    assert.is_nil(ran.out:find(part, 1, true))
    assert.is_nil((ran.err or ""):find(part, 1, true))
  end
  return ran
end

local function msgraph(env, ...)
  return check_silent(program.run({ MSGRAPH, ... }, env), env)
end

local function posts(tenant)
  return tenant:requests { method = "POST" }
end

local function lines(text)
  local out = {}
  for line in text:gmatch("[^\n]+") do out[#out + 1] = line end
  return out
end

-- The commands a recap ends with, in the order they stand there.
local function commands(text)
  local out = {}
  for line in text:gmatch("\n  ([^\n]*remove%-all%-devices[^\n]*)") do out[#out + 1] = line end
  return out
end

describe("msgraph", function()
  it("tells its versions", function()
    local ran = msgraph(nil, "--version")
    assert.equal(0, ran.code)
    assert.matches("^msgraph %S+ %(Lua 5%.4, libcurl [%d.]+, %S+/%S+%)\n$", ran.out)
  end)

  for _, case in ipairs {
    { "all",                { "help" },                             { "remove%-all%-devices", "msgraph sim" } },
    { "all, asked so",      { "--help" },                           { "MSGRAPH_ACCESS_TOKEN" } },
    { "remove-all-devices", { "help", "remove-all-devices" },       { "PrivilegedOperations%.All", "Exit codes:" } },
    { "request",            { "request", "--help" },                { "User%.Read%.All", "Exit codes:", "%s130 " } },
    { "sim",                { "sim", "-h" },                        { "throttle", "Exit codes:" } },
  } do
    it("helps with " .. case[1], function()
      local ran = msgraph(nil, table.unpack(case[2]))
      assert.equal(0, ran.code)
      assert.equal("", ran.err)
      for _, pattern in ipairs(case[3]) do assert.matches(pattern, ran.out) end
    end)
  end

  for _, case in ipairs {
    { "no command",               {},                                            "Commands:" },
    { "a misspelt command",       { "reqest" },                                  "did you mean 'request'" },
    { "an unknown command",       { "fire" },                                    "there are login, logout" },
    { "help for one",             { "help", "fire" },                            "there are login, logout" },
    { "a misspelt option",        { "remove-all-devices", "--dry-rnu", ADA },    "did you mean '%-%-dry%-run'" },
    { "no users",                 { "remove-all-devices" },                      "no users" },
    { "a wrong duration",         { "remove-all-devices", "--wait", "2w", ADA }, "2h" },
    { "a wrong concurrency",      { "remove-all-devices", "--concurrency", "0", ADA }, "from 1 to" },
    { "a token as an option",     { "request", "--token", "x", "GET", "/users" }, "unknown option" },
    { "a wrong fault",            { "sim", "--faults", "earthquake" },           "throttle, server" },
    { "a wrong number",           { "sim", "--users", "many" },                  "whole number" },
  } do
    it("refuses " .. case[1] .. " with 64", function()
      local ran = msgraph(nil, table.unpack(case[2]))
      assert.equal(64, ran.code)
      assert.equal("", ran.out)
      assert.matches(case[3], ran.err)
    end)
  end

  it("ends with 30 where there is no token, and says where it belongs", function()
    local ran = msgraph(nil, "remove-all-devices", "--yes", ADA)
    assert.equal(30, ran.code)
    assert.equal("", ran.out)
    assert.matches("environment: none of its variables is set", ran.err, 1, true)
    assert.matches("managed identity: ", ran.err, 1, true)
    assert.matches("stored sign-in: nobody is signed in as profile 'default'", ran.err, 1, true)
    assert.matches("Azure CLI: .*not installed", ran.err)
    assert.matches("`msgraph login` signs you in", ran.err, 1, true)
    assert.matches("or MSGRAPH_ACCESS_TOKEN", ran.err)
  end)
end)

describe("msgraph remove-all-devices", function()
  it("asks for each user once, and tells what became of it", function()
    local tenant <close> = start()
    local env = program.env_of(tenant)
    local ran = msgraph(env, "remove-all-devices", "--yes", ADA, GRACE)
    assert.equal(0, ran.code)
    assert.equal(2, #posts(tenant))
    assert.matches(ADA .. " +queued", ran.out)
    assert.matches(GRACE .. " +queued", ran.out)
    assert.matches("\n2 users: 2 done, 0 failed, 0 unknown, 0 not sent\n", ran.out)
    assert.matches("Surface", program.shell(commands(ran.out)[1], env).out)
  end)

  it("changes nothing with --dry-run, and shows what would be", function()
    local tenant <close> = start()
    local ran = msgraph(program.env_of(tenant), "remove-all-devices", "--dry-run", ADA, "pavel.novak@contoso.com")
    assert.equal(0, ran.code)
    assert.equal(0, #posts(tenant))
    assert.matches("POST " .. tenant.endpoint .. "/v1.0/users/ada%40contoso.com/removeAllDevicesFromManagement",
      ran.out, 1, true)
    assert.matches("Ada's iPhone.- +iOS +personal +managed\n", ran.out)
    assert.matches("no devices in management", ran.out)
    assert.matches("2 users, 5 devices found; nothing was changed", ran.out)
  end)

  it("shows the requests of a dry run where devices may not be read", function()
    local tenant <close> = start()
    local token = tenant:token { scopes = { "DeviceManagementManagedDevices.PrivilegedOperations.All" } }
    local ran = msgraph(program.env_of(tenant, token), "remove-all-devices", "--dry-run", ADA)
    assert.equal(0, ran.code)
    assert.matches("POST https", ran.out)
    assert.matches("devices not shown: forbidden", ran.out)
    assert.matches("DeviceManagementManagedDevices.Read.All", ran.out, 1, true)
  end)

  it("says with 20 that a dry run did not find somebody", function()
    local tenant <close> = start()
    local ran = msgraph(program.env_of(tenant), "remove-all-devices", "--dry-run", ADA, NOBODY)
    assert.equal(20, ran.code)
    assert.matches("not_found", ran.out)
  end)

  it("sends nothing without --yes where nobody can be asked", function()
    local tenant <close> = start()
    local ran = msgraph(program.env_of(tenant), "remove-all-devices", ADA)
    assert.equal(64, ran.code)
    assert.equal("", ran.out)
    assert.matches("%-%-yes", ran.err)
    assert.equal(0, #tenant:requests())
  end)

  it("asks on a terminal, and takes everything but yes for no", function()
    local tenant <close> = start()
    local env = program.env_of(tenant)
    for _, answer in ipairs { "n\n", "\n", "yesterday\n" } do
      local ran = check_silent(program.on_terminal({ MSGRAPH, "remove-all-devices", ADA, GRACE }, env, answer), env)
      assert.equal(75, ran.code)
      assert.matches("Retire all devices of 2 users", ran.out)
      assert.matches("ada@contoso.com, grace@contoso.com", ran.out)
    end
    assert.equal(0, #tenant:requests())
    local ran = program.on_terminal({ MSGRAPH, "remove-all-devices", ADA }, env, "y\n")
    assert.equal(0, ran.code)
    assert.equal(1, #posts(tenant))
  end)

  it("colours for a terminal alone, and never against NO_COLOR", function()
    local tenant <close> = start()
    local env = program.env_of(tenant)
    local words = { MSGRAPH, "remove-all-devices", "--yes", ADA }
    assert.matches("\27%[32mqueued", program.on_terminal(words, env).out)
    assert.is_nil(program.run(words, env).out:find("\27"))
    env.CLICOLOR_FORCE = "1"
    assert.matches("\27%[32mqueued", program.run(words, env).out)
    env.NO_COLOR = "1"
    assert.is_nil(program.on_terminal(words, env).out:find("\27%[%d+m"))
  end)

  it("reads a list, leaves out who stands there twice, and says so", function()
    local tenant <close> = start()
    local text = '\xEF\xBB\xBFdisplayName;userPrincipalName\r\n"Lovelace; Ada";ada@contoso.com\r\n\r\n'
      .. "Grace;grace@contoso.com\r\nAda;ADA@contoso.com\r\n"
    local env = program.env_of(tenant)
    local ran = program.run({ MSGRAPH, "remove-all-devices", "--yes", "--file", "-" }, env, text)
    assert.equal(0, ran.code)
    assert.equal(2, #posts(tenant))
    assert.matches("left out: ADA@contoso.com %(line 5%) is ada@contoso.com %(line 2%) again", ran.err)
  end)

  it("sends nothing when one line of a list cannot be meant", function()
    local tenant <close> = start()
    local ran = program.run({ MSGRAPH, "remove-all-devices", "--yes", "--file", "-" }, program.env_of(tenant),
      "user\nada@contoso.com\nGrace\nme\n")
    assert.equal(64, ran.code)
    assert.equal("", ran.out)
    assert.matches("line 3: ", ran.err)
    assert.matches("line 4: ", ran.err)
    assert.equal(0, #tenant:requests())
  end)

  it("prints JSON lines with --json: one a user, and one that sums up", function()
    local tenant <close> = start()
    local ran = msgraph(program.env_of(tenant), "remove-all-devices", "--yes", "--json", ADA, NOBODY)
    assert.equal(20, ran.code)
    local states, all = {}, lines(ran.out)
    for i, line in ipairs(all) do all[i] = assert(json.decode(line)) end
    local summary = table.remove(all)
    for _, object in ipairs(all) do states[object.user] = object end
    assert.equal("queued", states[ADA].state)
    assert.equal("failed", states[NOBODY].state)
    assert.equal("not_found", states[NOBODY].error.kind)
    assert.is_string(states[NOBODY].error.request_id)
    assert.same({ "summary", 2, 1, 1, 0, 0 }, { summary.type, summary.users, summary.done, summary.failed,
      summary.unknown, summary.not_sent })
    assert.matches("1 done, 1 failed", ran.err)
  end)

  it("tells who failed, with the request's id, and prints the command that tries only them again", function()
    local tenant <close> = start()
    local env = program.env_of(tenant)
    tenant:fault { kind = "status", status = 409, path = "grace" }
    local ran = msgraph(env, "remove-all-devices", "--yes", ADA, GRACE)
    assert.equal(20, ran.code)
    assert.matches(GRACE .. " +failed +conflict: .-request%-id %x+%-", ran.out)
    local again = program.shell(commands(ran.out)[1], env)
    assert.equal(0, again.code)
    assert.equal(3, #posts(tenant))
    assert.matches("^grace", again.out)
  end)

  it("calls unknown what may have been done, ends with 21, and prints how to look", function()
    local tenant <close> = start()
    local env = program.env_of(tenant)
    tenant:fault { kind = "reset_after", method = "POST", path = "ada" }
    local ran = msgraph(env, "remove-all-devices", "--yes", ADA, GRACE)
    assert.equal(21, ran.code)
    assert.matches(ADA .. " +unknown +ambiguous: ", ran.out)
    assert.matches("1 done, 0 failed, 1 unknown, 0 not sent", ran.out)
    local sent = #posts(tenant)
    local look = program.shell(commands(ran.out)[1], env)
    assert.equal(0, look.code)
    assert.matches("retirePending", look.out)
    assert.equal(sent, #posts(tenant))
  end)

  it("hands on a list of many through a file", function()
    local tenant <close> = start()
    local env = program.env_of(tenant)
    local users = {}
    for i, user in ipairs(tenant:users { licensed = true }) do users[i] = i <= 12 and user.userPrincipalName or nil end
    tenant:fault { kind = "status", status = 409, method = "POST", times = 7, after = 2 }
    local list = table.concat(users, "\n")
    local ran = program.run({ MSGRAPH, "remove-all-devices", "--yes", "--file", "-" }, env, list)
    assert.equal(20, ran.code)
    local command = commands(ran.out)[1]
    local file = command:match("%-%-file (%S+)")
    finally(function() os.remove(file) end)
    assert.equal(7, #lines(helper.read_file(file)))
    local again = program.shell(command, env)
    assert.equal(0, again.code)
    assert.matches("7 users: 7 done", again.out)
    assert.equal(12 + 7, #posts(tenant))
  end)

  it("watches the devices with --wait", function()
    local tenant <close> = start { speed = FAST }
    local ran = msgraph(program.env_of(tenant), "remove-all-devices", "--yes", "--wait", "1m", ADA)
    assert.equal(0, ran.code)
    assert.matches(ADA .. "  gone +5 devices: 5 gone\n", ran.out)
    assert.matches("Ada's Pixel 8 %(AndroidForWork%) gone", ran.err)
  end)

  it("never ends with 0 when devices are left after --wait", function()
    local tenant <close> = start()
    local ran = msgraph(program.env_of(tenant), "remove-all-devices", "--yes", "--wait", "0s", ADA)
    assert.equal(21, ran.code)
    assert.matches(ADA .. "  unfinished  5 devices: 5 pending\n", ran.out)
    assert.matches("pending  Ada's iPad Air", ran.out)
    assert.matches("0 done, 1 unfinished", ran.out)
  end)

  it("stops at a refusal that everybody would meet, and ends with 30", function()
    local tenant <close> = start()
    for _, case in ipairs {
      { { expires_in = 0 },                                            "auth", "get a new one" },
      { { scopes = { "DeviceManagementManagedDevices.Read.All" } },    "forbidden", "PrivilegedOperations.All" },
    } do
      local before = #posts(tenant)
      local ran = msgraph(program.env_of(tenant, tenant:token(case[1])), "remove-all-devices", "--yes",
        "--concurrency", "1", ADA, GRACE, "conan.o'brien@contoso.com")
      assert.equal(30, ran.code)
      assert.equal(1, #posts(tenant) - before)
      assert.matches(ADA .. " +failed +" .. case[2], ran.out)
      assert.matches(case[3], ran.out, 1, true)
      assert.matches("0 done, 1 failed, 0 unknown, 2 not sent", ran.out)
      assert.same(2, #commands(ran.out))
      assert.matches([['conan.o'\''brien@contoso.com']], commands(ran.out)[2], 1, true)
    end
  end)

  it("survives Ctrl-C: lets what was sent end, names who was not reached, ends with 130", function()
    local tenant <close> = start()
    local env = program.env_of(tenant)
    tenant:fault { kind = "latency", seconds = 1.5, method = "POST", times = 100 }
    local users = {}
    for i, user in ipairs(tenant:users { licensed = true }) do users[i] = i <= 5 and user.userPrincipalName or nil end
    local running <close> = program.start({ MSGRAPH, "remove-all-devices", "--yes", "--concurrency", "2",
      table.unpack(users) }, env)
    program.await(function() return #posts(tenant) == 2 end)
    running:interrupt()
    local ran = check_silent(running:wait(), env)
    assert.equal(130, ran.code)
    assert.equal(2, #posts(tenant))
    assert.matches("interrupted", ran.err)
    assert.matches("2 done, 0 failed, 0 unknown, 3 not sent", ran.out)
    assert.matches("\n$", ran.out)
    tenant:clear_faults()
    local left = program.shell(commands(ran.out)[1], env)
    assert.equal(0, left.code)
    assert.matches("3 users: 3 done", left.out)
    assert.equal(5, #posts(tenant))
  end)

  it("reports what it saw of the devices when Ctrl-C ends the watch", function()
    local tenant <close> = start()
    local env = program.env_of(tenant)
    local words = { MSGRAPH, "remove-all-devices", "--yes", "--json", "--wait", "1h", ADA }
    local running <close> = program.start(words, env)
    program.await(function() return #tenant:requests { method = "GET" } >= 2 end)
    running:interrupt()
    local ran = running:wait()
    assert.equal(130, ran.code)
    local user, summary = table.unpack(lines(ran.out))
    assert.equal("unfinished", json.decode(user).state)
    assert.equal(5, json.decode(user).pending)
    assert.equal("interrupted", json.decode(summary).outcome)
  end)

  it("ends quietly when the reader of its results has gone", function()
    local tenant <close> = start()
    local ran = program.shell(helper.quote(MSGRAPH) .. " remove-all-devices --yes --json " .. ADA .. " | true",
      program.env_of(tenant))
    assert.equal("", ran.out)
    assert.is_nil(ran.err:find("traceback"))
  end)

  it("tells on stderr what was done when the disk is full", function()
    local tenant <close> = start()
    local line = helper.quote(MSGRAPH) .. " remove-all-devices --yes --concurrency 1 %s %s >/dev/full"
    local ran = program.shell(line:format(ADA, GRACE), program.env_of(tenant))
    assert.equal(75, ran.code)
    assert.matches("1 done, 0 failed, 0 unknown, 1 not sent", ran.err)
    assert.matches("No space left", ran.err)
    assert.equal(1, #posts(tenant))
  end)
end)

describe("msgraph request", function()
  it("prints JSON with sorted keys, and [] as []", function()
    local tenant <close> = start()
    local ran = msgraph(program.env_of(tenant), "request", "get", "/users/" .. ADA, "--query",
      "$select=userPrincipalName,id,businessPhones")
    assert.equal(0, ran.code)
    assert.equal("", ran.err)
    assert.matches('^{\n  "@odata.context": "[^"]+",\n  "businessPhones": %[%],\n  "id": "[^"]+",\n'
      .. '  "userPrincipalName": "ada@contoso.com"\n}\n$', ran.out)
    assert.equal("$select=userPrincipalName%2Cid%2CbusinessPhones", tenant:requests()[1].query)
  end)

  it("follows every page with --all", function()
    local tenant <close> = start()
    local ran = msgraph(program.env_of(tenant), "request", "GET", "/users?$top=20", "--query", "$select=id", "--all")
    assert.equal(0, ran.code)
    assert.equal(50, #json.decode(ran.out))
    assert.equal(3, #tenant:requests())
    assert.equal("[]\n", msgraph(program.env_of(tenant), "request", "GET",
      "/users/pavel.novak@contoso.com/managedDevices", "--all").out)
  end)

  it("takes query options as a shell writes them, and keeps the directory's rules", function()
    local tenant <close> = start()
    local ran = msgraph(program.env_of(tenant), "request", "GET", "/users", "--all", "--select", "id,displayName",
      "--filter", "displayName ne 'Conan O''Brien'", "--orderby", "displayName", "--top", "20", "--count")
    assert.equal("", ran.err)
    assert.equal(49, #json.decode(ran.out))
    local requests = tenant:requests()
    assert.equal(3, #requests)
    for _, request in ipairs(requests) do assert.equal("eventual", request.headers.consistencylevel) end
    assert.equal("$count=true&$filter=displayName%20ne%20%27Conan%20O%27%27Brien%27&$orderby=displayName"
      .. "&$select=id%2CdisplayName&$top=20", requests[1].query)
    ran = msgraph(program.env_of(tenant), "request", "GET", "/users", "--search", "displayName:ada", "--count")
    assert.equal(1, assert(json.decode(ran.out))["@odata.count"])
  end)

  it("ends with an error when a list leads elsewhere", function()
    local tenant <close> = start()
    tenant:fault { kind = "page", page = "foreign" }
    local ran = msgraph(program.env_of(tenant), "request", "GET", "/users", "--top", "20", "--all")
    assert.equal(20, ran.code)
    assert.is_nil((json.decode(ran.out)))
    assert.matches("foreign_url", ran.err)
  end)

  it("leaves a list open when a page fails: nobody takes it for whole", function()
    local tenant <close> = start()
    tenant:fault { kind = "status", status = 400, after = 1 }
    local ran = msgraph(program.env_of(tenant), "request", "GET", "/users?$top=20", "--all")
    assert.equal(20, ran.code)
    assert.is_nil((json.decode(ran.out)))
    assert.matches("HTTP 400", ran.err)
  end)

  it("sends a body and headers, and takes no content for an answer", function()
    local body = '{"a":[],"b":1.50}'
    local server <close> = helper.server { { bytes = helper.answer("204 No Content") },
      { bytes = helper.json_answer("200 OK", '{"ok":true}') } }
    local env = { MSGRAPH_ENDPOINT = server.endpoint, MSGRAPH_CA_FILE = helper.certs() .. "/ca.pem",
      MSGRAPH_ACCESS_TOKEN = helper.TOKEN }
    local ran = msgraph(env, "request", "POST", "/beta/x", "--yes", "--body", body,
      "--header", "ConsistencyLevel: eventual")
    assert.same({ 0, "" }, { ran.code, ran.out })
    assert.matches("HTTP 204", ran.err)
    local file = helper.tmp() .. "/body.json"
    helper.write_file(file, body)
    assert.equal('{\n  "ok": true\n}\n', msgraph(env, "request", "PATCH", "/x", "--yes", "--body", "@" .. file).out)
    local first, second = table.unpack(server:requests())
    assert.matches("^POST /beta/x HTTP/1.1\r\n", first)
    assert.matches("\r\nConsistencyLevel: eventual\r\n", first)
    assert.matches("\r\nContent%-Type: application/json\r\n", first)
    assert.equal(body, first:match("\r\n\r\n(.*)$"))
    assert.equal(body, second:match("\r\n\r\n(.*)$"))
  end)

  it("tells an error in a line and a hint, and nothing on stdout", function()
    local tenant <close> = start()
    local ran = msgraph(program.env_of(tenant), "request", "GET", "/users/" .. NOBODY)
    assert.equal(20, ran.code)
    assert.equal("", ran.out)
    assert.equal(2, #lines(ran.err))
    assert.matches("^msgraph: not_found: .-request%-id.-\n  no such object", ran.err)
  end)

  for _, case in ipairs {
    { "without its slash",             { "GET", "users" },                        "as in /users" },
    { "with a #",                      { "GET", "/users/a#EXT#@b.com" },          "%%23" },
    { "with a space",                  { "GET", "/users/a b" },                   "%%20" },
    { "of another server",             { "GET", "https://example.com/v1.0/me" },  "foreign_url" },
    { "that would delete a user",      { "DELETE", "/groups/1/members/2" },       "/%$ref" },
    { "with an unknown method",        { "FETCH", "/users" },                     "GET, HEAD" },
    { "whose $name the shell took",    { "GET", "/users", "--query", "=id" },     "single quotes" },
    { "whose query has no value",      { "GET", "/users", "--query", "id" },      "name=value" },
    { "whose query has a name twice",  { "GET", "/x", "--query", "a=1", "--query", "a=2" }, "a stands there twice" },
    { "whose option is there twice",   { "GET", "/x", "--top", "1", "--query", "$top=2" }, "'top' is an option" },
    { "whose page has no size",        { "GET", "/x", "--top", "ten" },           "%-%-top" },
    { "whose page holds nothing",      { "GET", "/x", "--top", "0" },             "%-%-top must be a whole number" },
    { "with a token of its own",       { "GET", "/x", "--header", "Authorization: Bearer x" }, "MSGRAPH_ACCESS_TOKEN" },
    { "with a body that is no JSON",   { "POST", "/x", "--body", "{a:1}", "--yes" }, "not JSON" },
    { "that writes and cannot ask",    { "POST", "/x" },                          "%-%-yes" },
    { "for all pages of a write",      { "POST", "/x", "--all", "--yes" },        "GET only" },
    { "for all pages of one object",   { "GET", "/users/" .. ADA, "--all" },      "no list" },
  } do
    it("refuses a path or request " .. case[1], function()
      local tenant <close> = start()
      local ran = msgraph(program.env_of(tenant), "request", table.unpack(case[2]))
      assert.equal(64, ran.code)
      assert.equal("", ran.out)
      assert.matches(case[3], ran.err)
      assert.equal(0, #posts(tenant))
    end)
  end

  it("asks on a terminal before it writes", function()
    local tenant <close> = start()
    local env = program.env_of(tenant)
    local words = { MSGRAPH, "request", "POST", "/users/" .. ADA .. "/removeAllDevicesFromManagement" }
    assert.equal(75, program.on_terminal(words, env, "n\n").code)
    assert.equal(0, #tenant:requests())
    assert.equal(0, program.on_terminal(words, env, "y\n").code)
    assert.equal(1, #posts(tenant))
  end)

  it("ends with the code that fits the refusal", function()
    local tenant <close> = start()
    assert.equal(30, msgraph(program.env_of(tenant, tenant:token { expires_in = 0 }), "request", "GET", "/users").code)
    tenant:fault { kind = "reset_after", method = "POST" }
    assert.equal(21, msgraph(program.env_of(tenant), "request", "POST", "/users/" .. ADA
      .. "/removeAllDevicesFromManagement", "--yes").code)
  end)

  it("ends quietly when its reader has gone", function()
    local tenant <close> = start { users = 900 }
    local line = helper.quote(MSGRAPH) .. " request GET '/users?$top=900' | head -n 1"
    local ran = program.shell(line, program.env_of(tenant))
    assert.same({ "{\n", "" }, { ran.out, ran.err })
  end)
end)

describe("msgraph sim", function()
  it("prints what a shell exports, serves, shows each request without a token, and ends with 0", function()
    local running <close> = program.start { MSGRAPH, "sim", "--users", "20", "--seed", "3" }
    program.await(function() return running:output():find("TOKEN=[^\n]+\n") end)
    local exports = running:output()
    assert.equal(3, #lines(exports))
    local ran = program.shell(exports .. helper.quote(MSGRAPH) .. " remove-all-devices --yes " .. ADA)
    assert.equal(0, ran.code)
    program.await(function() return select(2, running:output()):find("204 POST") end)
    running:interrupt()
    ran = running:wait()
    assert.equal(0, ran.code)
    assert.matches("ada@contoso.com +5 devices", ran.err)
    assert.matches("204 POST /v1.0/users/ada%40contoso.com/removeAllDevicesFromManagement  retire 5 devices\n",
      ran.err, 1, true)
    assert.matches("ended after 1 request\n$", ran.err)
    local token = exports:match("TOKEN='([^']+)'")
    for part in token:gmatch("[^.]+") do assert.is_nil(ran.err:find(part, 1, true)) end
  end)

  it("has no Intune and does go wrong where told to", function()
    local running <close> = program.start { MSGRAPH, "sim", "--no-intune", "--faults", "slow" }
    program.await(function() return running:output():find("TOKEN=[^\n]+\n") end)
    local ran = program.shell(running:output() .. helper.quote(MSGRAPH) .. " remove-all-devices --yes " .. ADA)
    assert.equal(30, ran.code)
    assert.matches("Intune licence", ran.out)
  end)

  it("answers as in a capture that --trace wrote", function()
    local capture, ran = helper.tmp() .. "/cli.har"
    do
      local tenant <close> = start()
      ran = msgraph(program.env_of(tenant), "request", "GET", "/users", "--top", "2", "--trace", capture)
      assert.equal(0, ran.code)
    end
    local running <close> = program.start { MSGRAPH, "sim", "--replay", capture }
    program.await(function() return running:output():find("TOKEN=[^\n]+\n") end)
    local command = running:output() .. helper.quote(MSGRAPH) .. " request GET /users --top 2"
    local again = program.shell(command)
    assert.equal(0, again.code)
    local function first_id(text) return text:match '"id": "([^"]+)"' end
    assert.equal(first_id(ran.out), first_id(again.out))
    assert.equal(20, program.shell(command).code)
    program.await(function() return select(2, running:output()):find("not in the capture") end)
    running:interrupt()
    assert.equal(0, running:wait().code)
    assert.equal(64, msgraph(nil, "sim", "--replay", capture, "--users", "3").code)
    assert.equal(20, msgraph(nil, "sim", "--replay", "/nowhere.har").code)
    assert.equal(64, msgraph(nil, "request", "GET", "/users", "--trace", "x.txt").code)
  end)

  it("shares its throttle gate with the user's other commands, where there is a folder for that", function()
    local tenant <close> = start()
    local env, folder = program.env_of(tenant), helper.tmp() .. "/runtime"
    helper.sh("mkdir -m 700 " .. helper.quote(folder))
    local function ask(runtime_dir)
      env.XDG_RUNTIME_DIR = runtime_dir
      return msgraph(env, "request", "GET", "/users", "--top", "1").code
    end
    assert.equal(0, ask(folder))
    assert.equal(0, os.execute(("[ -f %s/msgraph-gate-* ]"):format(folder)) and 0 or 1)
    assert.equal(0, ask(folder .. "/not-there"))
  end)

  it("says why it cannot start", function()
    local tenant <close> = start()
    local ran = msgraph(nil, "sim", "--port", tenant.endpoint:match("(%d+)$"))
    assert.equal(20, ran.code)
    assert.equal("", ran.out)
    assert.matches("could not be started", ran.err)
  end)
end)
