-- spec/integration/sim_spec.lua
--- The simulated tenant over real TLS, asked by the curl command: nothing of our client is in here.
local cjson = require "cjson"
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"

local ACTION = "/v1.0/users/ada@contoso.com/removeAllDevicesFromManagement"

-- exit codes of the curl command
local CURL <const> = { OK = 0, PARTIAL = 18, TIMEOUT = 28, RECV = 56, TLS = 60 }

--- Runs curl; returns its exit code, status, headers (names in lower case), body, and all it printed.
local function curl(tenant, target, opts)
  opts = opts or {}
  local words = { "curl", "-sS", "-i", "--path-as-is", "--max-time", opts.max_time or 20 }
  local function add(...) for _, word in ipairs { ... } do words[#words + 1] = helper.quote(tostring(word)) end end
  if opts.ca_file ~= false then add("--cacert", opts.ca_file or tenant.ca_file) end
  if opts.token then add("-H", "Authorization: Bearer " .. opts.token) end
  for _, header in ipairs(opts.headers or {}) do add("-H", header) end
  if opts.method then add("-X", opts.method) end
  if opts.method == "POST" and not opts.file then add("-H", "Content-Length: 0") end
  if opts.file then add("-H", "Expect:", "--data-binary", "@" .. opts.file) end
  add((opts.endpoint or tenant.endpoint) .. target)
  local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
  local out = pipe:read("a")
  local _, _, code = pipe:close()
  local head, body = out:match("(HTTP/1%.1 .-\r\n)\r\n(.*)$") -- curl may complain before it prints
  local headers = {}
  for name, value in (head or ""):gmatch("([^\r\n:]+): ([^\r\n]*)") do headers[name:lower()] = value end
  return { code = code, status = math.tointeger(tonumber((head or ""):match("^HTTP/%S+ (%d+)"))), headers = headers,
    body = body, out = out }
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

--- Waits (without counting on it) until something is so; the last word is the assertion's.
local function eventually(fn)
  for _ = 1, 500 do
    if fn() then return true end
    os.execute("sleep 0.02")
  end
  return false
end

--- Asserts that a mistake is raised, and blamed on this file. (luassert's own takes the place away.)
local function assert_blamed(fn, message)
  local ok, err = pcall(fn)
  assert.is_false(ok)
  assert.truthy(err:find("sim_spec.lua:%d+: "))
  assert.truthy(err:find(message, 1, true))
end

describe("a simulated tenant", function()
  local tenant, token

  setup(function()
    tenant = assert(sim.start { users = 50, seed = 1, speed = 0 })
    token = tenant:token()
  end)
  teardown(function() tenant:stop() end)
  before_each(function() tenant:clear_faults() end)

  it("answers over TLS that its own authority vouches for", function()
    local answer = curl(tenant, "/v1.0/users?$top=3", { token = token, headers = { "client-request-id: abc" } })
    assert.equal(200, answer.status)
    assert.equal(3, #cjson.decode(answer.body).value)
    assert.equal("abc", answer.headers["client-request-id"])
    assert.equal("Fri, 04 Sep 2026 08:00:00 GMT", answer.headers.date)
    assert.equal(200, curl(tenant, "/v1.0/users", { token = token,
      endpoint = tenant.endpoint:gsub("127%.0%.0%.1", "localhost") }).status)
    assert.equal(CURL.TLS, curl(tenant, "/v1.0/users", { ca_file = false }).code)
  end)

  it("lets every device of a user leave", function()
    local answer = curl(tenant, ACTION, { token = token, method = "POST" })
    assert.equal(204, answer.status)
    assert.equal("", answer.body)
    assert.is_nil(answer.headers["content-length"])
    local ada = tenant:users { userPrincipalName = "ada@contoso.com" }[1]
    assert.equal(5, #tenant:devices { userId = ada.id, managementState = "retirePending" })
    tenant:advance(1000)
    assert.same({}, tenant:devices { userId = ada.id })
    local page = cjson.decode(curl(tenant, "/v1.0/users/" .. ada.id .. "/managedDevices", { token = token }).body)
    assert.equal(0, #page.value)
  end)

  it("sees the target as it was sent", function()
    local sent = "/v1.0/users/a%2Fb+c%20d%23e%C3%A4'/managedDevices"
    assert.equal(404, curl(tenant, sent .. "?$select=a%20b+c", { token = token }).status)
    local log = tenant:requests()
    assert.equal(sent, log[#log].path)
    assert.equal("$select=a%20b+c", log[#log].query)
    assert.equal(math.type(log[#log].n), "integer")
  end)

  it("follows its own nextLink", function()
    local next_link = cjson.decode(curl(tenant, "/v1.0/users?$top=30", { token = token }).body)["@odata.nextLink"]
    local answer = curl(tenant, "", { token = token, endpoint = next_link })
    assert.equal(20, #cjson.decode(answer.body).value)
  end)

  it("keeps connections open", function()
    local answer = curl(tenant, "/v1.0/users?$top=1", { token = token, headers = { "x: y" } })
    assert.is_nil(answer.headers.connection)
    local out = helper.sh(("curl -sS -o /dev/null -o /dev/null -w '%%{num_connects}' --cacert %s %s %s"):format(
      tenant.ca_file, tenant.endpoint, tenant.endpoint))
    assert.equal("10", out)
  end)

  it("reads a body up to 4 MiB, and says so beyond", function()
    local path = helper.tmp() .. "/body"
    helper.write_file(path, ("x"):rep(4 << 20))
    assert.equal(204, curl(tenant, ACTION, { token = token, method = "POST", file = path }).status)
    local log = tenant:requests()
    assert.equal(4 << 20, log[#log].body_length)
    helper.write_file(path, ("x"):rep((4 << 20) + 1))
    assert.equal(413, curl(tenant, ACTION, { token = token, method = "POST", file = path }).status)
  end)

  it("issues tokens for what a caller may do", function()
    local poor = tenant:token { scopes = { "User.Read.All" } }
    assert.equal(403, curl(tenant, ACTION, { token = poor, method = "POST" }).status)
    local operator = tenant:token { kind = "delegated", roles = { "Intune Administrator" } }
    assert.equal(204, curl(tenant, ACTION, { token = operator, method = "POST" }).status)
    local late = tenant:token { expires_in = 0 }
    local answer = curl(tenant, ACTION, { token = late, method = "POST" })
    assert.equal(401, answer.status)
    assert.truthy(answer.headers["www-authenticate"])
  end)

  it("holds no token in its log", function()
    curl(tenant, ACTION, { token = token, method = "POST" })
    for _, entry in ipairs(tenant:requests()) do
      assert.is_nil(cjson.encode(entry):find(token:sub(1, 60), 1, true))
    end
  end)

  describe("resets a connection", function()
    for _, case in ipairs { { "reset_before", 0 }, { "reset_after", 1 } } do
      it("as " .. case[1] .. ", having acted on " .. case[2] .. " device", function()
        tenant:fault { kind = case[1], method = "POST" }
        local answer = curl(tenant, "/v1.0/users/grace@contoso.com/removeAllDevicesFromManagement",
          { token = token, method = "POST" })
        assert.equal(CURL.RECV, answer.code)
        assert.truthy(answer.out:find("Connection reset by peer", 1, true))
        local log = tenant:requests()
        assert.equal(case[2], #log[#log].actions)
        assert.equal(case[1], log[#log].fault)
      end)
    end
  end)

  it("cuts a body", function()
    tenant:fault { kind = "cut_body", bytes = 10 }
    local answer = curl(tenant, "/v1.0/users", { token = token })
    assert.equal(CURL.PARTIAL, answer.code)
    assert.equal(200, answer.status)
    assert.equal('{"@odata.c', answer.body:match("^[^\n]*"):sub(1, 10))
    tenant:fault { kind = "cut_body" }
    assert.equal(CURL.PARTIAL, curl(tenant, ACTION, { token = token, method = "POST" }).code)
  end)

  it("stalls in the middle of a body, and goes on when the time is over", function()
    tenant:fault { kind = "stall", bytes = 10, seconds = 0.2 }
    local answer = curl(tenant, "/v1.0/users", { token = token })
    assert.equal(CURL.OK, answer.code)
    assert.equal(50, #cjson.decode(answer.body).value)
    tenant:fault { kind = "stall", bytes = 10 }
    answer = curl(tenant, "/v1.0/users", { token = token, max_time = 1 })
    assert.equal(CURL.TIMEOUT, answer.code)
    assert.equal(200, answer.status)
  end)

  it("waits before it answers", function()
    tenant:fault { kind = "latency", seconds = 0.1 }
    assert.equal(200, curl(tenant, "/v1.0/users", { token = token }).status)
    tenant:fault { kind = "latency", seconds = 3600 }
    assert.equal(CURL.TIMEOUT, curl(tenant, "/v1.0/users", { token = token, max_time = 1 }).code)
  end)

  it("throttles", function()
    tenant:fault { kind = "status", retry_after = tenant:date(30) }
    local answer = curl(tenant, "/v1.0/users", { token = token })
    assert.equal(429, answer.status)
    assert.equal("Fri, 04 Sep 2026 08:17:10 GMT", answer.headers["retry-after"])
  end)

  it("is a proxy's page", function()
    tenant:fault { kind = "not_json", status = 407 }
    local answer = curl(tenant, "/v1.0/users", { token = token })
    assert.equal(407, answer.status)
    assert.truthy(answer.body:find("^<!DOCTYPE html>"))
  end)

  it("lets go of clients that hang up while it stalls or waits", function()
    local before = helper.descriptors()
    for _, kind in ipairs { "stall", "latency" } do
      tenant:fault { kind = kind, seconds = 3600 }
      assert.equal(CURL.TIMEOUT, curl(tenant, "/v1.0/users", { token = token, max_time = 0.5 }).code)
    end
    assert.is_true(eventually(function() return helper.descriptors() <= before end))
  end)

  it("serves ten thousand requests over 64 connections and keeps no descriptor", function()
    local before, n = helper.descriptors(), 10000
    local lines = { ('cacert="%s"\nheader="Authorization: Bearer %s"\nheader="Content-Length: 0"'):format(
      tenant.ca_file, token) }
    for i = 1, n do lines[i + 1] = ('url="%s%s"\noutput=/dev/null'):format(tenant.endpoint, ACTION) end
    local config = helper.tmp() .. "/ten_thousand"
    helper.write_file(config, table.concat(lines, "\n"))
    local done = #tenant:requests { method = "POST", status = 204 }
    helper.sh("curl -sS -X POST --parallel --parallel-max 64 -K " .. config .. " 2>/dev/null")
    assert.equal(done + n, #tenant:requests { method = "POST", status = 204 })
    assert.is_true(eventually(function() return helper.descriptors() <= before end))
  end)
end)

describe("a tenant's certificate", function()
  for _, case in ipairs {
    { "valid", CURL.OK, "" }, { "expired", CURL.TLS, "certificate has expired" },
    { "wrong_name", CURL.TLS, "does not match|no alternative certificate subject name matches" },
  } do
    it("may be " .. case[1], function()
      local tenant <close> = assert(sim.start { certificate = case[1] })
      local answer = curl(tenant, "/v1.0/users", { token = tenant:token() })
      assert.equal(case[2], answer.code)
      local said = case[3] == ""
      for text in case[3]:gmatch("[^|]+") do said = said or answer.out:find(text, 1, true) ~= nil end
      assert.is_true(said)
    end)
  end

  it("is trusted by its own authority alone", function()
    local one <close> = assert(sim.start())
    local other <close> = assert(sim.start())
    assert.equal(CURL.TLS, curl(one, "/v1.0/users", { ca_file = other.ca_file }).code)
  end)
end)

describe("starting and stopping a tenant", function()
  it("may happen twice in one process, each with people and tokens of its own", function()
    local one <close> = assert(sim.start { seed = 1 })
    local other <close> = assert(sim.start { seed = 2 })
    assert.not_equal(one.endpoint, other.endpoint)
    assert.equal(200, curl(one, "/v1.0/users", { token = one:token() }).status)
    assert.equal(401, curl(other, "/v1.0/users", { token = one:token() }).status)
    assert.equal(1, #one:requests())
    assert.not_equal(one:users()[1].id, other:users()[1].id)
  end)

  it("leaves no file, no thread and no descriptor", function()
    local function threads()
      return tonumber(helper.read_file("/proc/self/status"):match("Threads:%s*(%d+)"))
    end
    local descriptors, before = helper.descriptors(), threads()
    local ca_file
    do
      local tenant <close> = assert(sim.start())
      ca_file = tenant.ca_file
      assert.is_true(exists(ca_file))
      assert.equal("600", helper.sh("stat -c %a " .. ca_file):match("%d+"))
      assert.equal(before + 1, threads())
      assert.equal(200, curl(tenant, "/v1.0/users", { token = tenant:token() }).status)
    end
    assert.is_false(exists(ca_file))
    assert.equal(before, threads())
    assert.equal(descriptors, helper.descriptors())
  end)

  it("does not wait for a client, whatever it is made to wait for", function()
    for _, rule in ipairs { { kind = "stall", seconds = 3600 }, { kind = "latency", seconds = 3600 } } do
      local tenant = assert(sim.start())
      tenant:fault(rule)
      local command = ("curl -s --cacert %s -H 'Authorization: Bearer %s' %s/v1.0/users; echo $?")
        :format(tenant.ca_file, tenant:token(), tenant.endpoint)
      local client = assert(io.popen(command))
      assert.is_true(eventually(function() return #tenant:requests() == 1 end))
      tenant:stop()
      assert.not_equal("0", client:read("a"):match("(%d+)%s*$"))
      client:close()
    end
  end)

  it("happens by itself when a tenant is forgotten", function()
    local tenant = assert(sim.start())
    local ca_file = tenant.ca_file
    tenant = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_false(exists(ca_file))
  end)

  it("twice is harmless; a stopped tenant says that it is", function()
    local tenant = assert(sim.start())
    tenant:stop()
    tenant:stop()
    assert_blamed(function() tenant:users() end, "the tenant is stopped")
  end)

  it("on a port that is taken is an error to be told", function()
    local one <close> = assert(sim.start())
    local tenant, reason = sim.start { port = math.tointeger(tonumber(one.endpoint:match("%d+$"))) }
    assert.is_nil(tenant)
    assert.equal("listening on 127.0.0.1: Address already in use", reason)
  end)

  for _, case in ipairs {
    { { user = 5 }, "unknown option 'user'" }, { { users = 0 }, "option 'users' is" },
    { { users = 1.5 }, "option 'users' is" }, { { port = 70000 }, "option 'port' is" },
    { { certificate = "none" }, "option 'certificate' is" }, { { speed = -1 }, "option 'speed' is" },
    { { latency = 0 / 0 }, "option 'latency' is" }, { { intune = 1 }, "option 'intune' is" },
    { { seed = -1 }, "option 'seed' is" }, { 5, "options are a table" },
  } do
    it("refuses " .. case[2], function()
      assert_blamed(function() sim.start(case[1]) end, case[2])
    end)
  end

  it("raises mistakes where they were made", function()
    local tenant <close> = assert(sim.start())
    assert_blamed(function() tenant:fault { kind = "x" } end, "fault: unknown kind 'x'")
    assert_blamed(function() tenant:token { kind = "x" } end, "token: kind is")
  end)

  it("in the foreground hands the tenant over, and ends it when interrupted", function()
    local seen
    assert.error_matches(function()
      sim.serve({ users = 3 }, function(tenant)
        seen = { ca_file = tenant.ca_file, users = #tenant:users() }
        error("interrupted!", 0)
      end)
    end, "interrupted!")
    assert.equal(3, seen.users)
    assert.is_false(exists(seen.ca_file))
  end)
end)
