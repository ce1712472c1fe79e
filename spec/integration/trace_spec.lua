--- What a client tells of its requests: records for a log, captures in files, trace context.
local cjson = require "cjson"
local core = require "msgraph.core"
local graph = require "msgraph"
local helper = require "spec.support.helper"
local json = require "msgraph.json"
local sim = require "msgraph.sim"
local wire = require "spec.support.wire"

local PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

local function logging(endpoint, opts)
  local records = {}
  local all = { log = function(record) records[#records + 1] = record end }
  for name, value in pairs(opts or {}) do all[name] = value end
  return helper.client(endpoint, all), records
end

local function answering(...)
  local list = {}
  for i, bytes in ipairs { ... } do list[i] = { bytes = bytes, after = "keep" } end
  return helper.server(list)
end

local OK = helper.json_answer("200 OK", '{"id":"1"}', { ["request-id"] = "srv-1", ["x-ms-throttle-scope"] = "a/b",
  ["Set-Cookie"] = "door=open" })

describe("a log record", function()
  it("has a request's path, outcome, ids, times and bytes", function()
    local server = answering(OK)
    local client <close>, records = logging(server.endpoint)
    local before = os.time()
    assert(client:patch("/users/ada@contoso.com?$select=id", { jobTitle = "x" }))
    assert.equal(1, #records)
    local r = records[1]
    assert.equal("PATCH", r.method)
    assert.equal("/v1.0/users/ada@contoso.com", r.path)
    assert.equal("$select=id", r.query)
    assert.equal("/v1.0/users/{id}", r.template)
    assert.equal(200, r.status)
    assert.equal("srv-1", r.request_id)
    assert.equal(wire.header(server:requests()[1], "client-request-id"), r.client_request_id)
    assert.equal(#'{"jobTitle":"x"}', r.bytes_sent)
    assert.equal(#'{"id":"1"}', r.bytes_received)
    assert.same({ { status = 200, phase = "answered" } }, r.attempts)
    assert.equal(0, r.throttled)
    assert.is_true(r.seconds > 0 and r.on_wire <= r.seconds + 0.002)
    assert.is_true(math.abs(r.time - before) < 60)
    assert.equal("a/b", r.headers["x-ms-throttle-scope"])
    assert.is_nil(r.headers["set-cookie"])
    server:stop()
  end)

  it("tells the waits from the time on the wire, and each attempt's outcome", function()
    local busy = helper.answer("429 Too Many Requests", "", { ["Retry-After"] = "0.3" })
    local server = answering(busy, busy, OK)
    local client <close>, records = logging(server.endpoint)
    assert(client:get("/users/1"))
    local r = records[1]
    assert.equal(3, #r.attempts)
    assert.equal(2, r.throttled)
    assert.is_true(r.waited >= 0.6)
    assert.is_true(r.seconds + 0.002 >= r.waited + r.on_wire)
    assert.is_true(r.on_wire < r.waited)
    server:stop()
  end)

  it("says so when there was no answer, and when it may have been acted on", function()
    local tenant <close> = assert(sim.start { users = 3 })
    tenant:fault { kind = "reset_after" }
    local client <close>, records = logging(tenant.endpoint, { ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    client:remove_all_devices "ada@contoso.com"
    assert.equal("reset", records[1].code)
    assert.is_true(records[1].ambiguous)
    assert.equal(0, records[1].bytes_received)
  end)

  it("shows that a token was waited for", function()
    local tenant <close> = assert(sim.start { users = 3, latency = 0.05 })
    local app = tenant:app { secret = true }
    local client <close>, records = logging(tenant.endpoint, { ca_file = tenant.ca_file, tenant_id = tenant.tenant_id,
      authority = tenant.authority,
      auth = graph.auth.client_secret { client_id = app.client_id, client_secret = app.client_secret } })
    for _ = 1, 2 do assert(client:get "/users") end
    assert.is_true(records[1].for_token > 0)
    assert.is_nil(records[2].for_token)
  end)

  it("is made for a request that was cancelled", function()
    local server = helper.server { { after = "hang" } }
    local client <close>, records = logging(server.endpoint)
    graph.run(function()
      local task = graph.spawn(function() return client:get "/users/1" end)
      graph.sleep(0.05)
      task:cancel()
    end)
    assert.equal("cancelled", records[1].code)
    server:stop()
  end)

  it("never breaks a request, and never waits in its task", function()
    local server = answering(OK)
    local warned = {}
    local said = _G.warn
    _G.warn = function(...) warned[#warned + 1] = table.concat { ... } end
    local client
    local calls = 0
    client = helper.client(server.endpoint, { log = function()
      calls = calls + 1
      if calls == 1 then coroutine.yield() end
      if calls == 2 then assert(client:get "/me") end -- which is not told
      if calls > 2 then error "broken" end
    end })
    for _ = 1, 4 do assert.same({ id = "1" }, assert(client:get "/users/1")) end
    graph.run(function() assert(client:get "/users/1") end)
    _G.warn = said
    assert.equal(5, calls)
    assert.equal(1, #warned)
    assert.matches("broken", warned[1])
    assert.equal(6, #server:requests())
    client:close()
    server:stop()
  end)

  it("shows no token, no presigned link's key, no sharing link", function()
    local server = answering(OK)
    local client <close>, records = logging(server.endpoint)
    client:get("/shares/u!aHR0cHM6Ly9vbmVkcml2ZQ/driveItem?tempauth=s3cr3t&$top=1")
    client:get("/drives/1/root/delta(token='s3cr3t')")
    client:get("/users", { query = { access_token = helper.TOKEN } })
    client:get("/users/" .. helper.TOKEN)
    assert.equal("/v1.0/shares/***/driveItem", records[1].path)
    assert.equal("tempauth=***&$top=1", records[1].query)
    assert.equal("/v1.0/shares/{id}/driveItem", records[1].template)
    assert.equal("/v1.0/drives/{id}/root/delta()", records[2].template)
    assert.is_true(helper.silent(records))
    for _, r in ipairs(records) do assert.is_nil((r.path .. (r.query or "")):find("s3cr3t", 1, true)) end
    server:stop()
  end)

  it("is not made for a client without a log", function()
    local server = answering(OK)
    local client <close> = helper.client(server.endpoint)
    assert(client:get "/users/1")
    assert.is_nil(wire.header(server:requests()[1], "traceparent"))
    server:stop()
  end)
end)

describe("traceparent", function()
  local function sent_by(opts, headers)
    local server = answering(OK)
    local client <close> = helper.client(server.endpoint, opts)
    for _ = 1, 2 do assert(client:get("/users/1", { headers = headers })) end
    local requests = server:requests()
    server:stop()
    return wire.header(requests[1], "traceparent"), wire.header(requests[2], "traceparent")
  end

  it("is made where requests are logged: a trace and a span for each", function()
    local a, b = sent_by { log = function() end }
    assert.matches("^00%-%x+%-%x+%-01$", a)
    assert.equal(55, #a)
    assert.not_equal(a:sub(4, 35), b:sub(4, 35))
  end)

  it("belongs to the trace that connect or the request names, with a span of its own", function()
    for _, case in ipairs { { { traceparent = PARENT } }, { { log = function() end }, { traceparent = PARENT } },
      { { log = function() end }, { TraceParent = PARENT } } } do
      local a, b = sent_by(case[1], case[2])
      assert.equal(PARENT:sub(1, 35), a:sub(1, 35))
      assert.equal(PARENT:sub(1, 35), b:sub(1, 35))
      assert.not_equal(a, b)
      assert.not_equal(PARENT, a)
      assert.equal("-01", a:sub(-3))
    end
  end)

  it("begins anew where the request's is none, and travels as it is where nothing is traced", function()
    local a = sent_by({ log = function() end }, { traceparent = "garbage" })
    assert.matches("^00%-%x+%-%x+%-01$", a)
    assert.equal(PARENT, (sent_by({}, { traceparent = PARENT })))
  end)

  it("is the same in every attempt of a request", function()
    local server = answering(helper.answer("429 Busy", "", { ["Retry-After"] = "0.01" }), OK)
    local client <close>, records = logging(server.endpoint)
    assert(client:get "/users/1")
    local requests = server:requests()
    assert.equal(wire.header(requests[1], "traceparent"), wire.header(requests[2], "traceparent"))
    assert.equal(wire.header(requests[1], "traceparent"), records[1].traceparent)
    server:stop()
  end)

  it("that is none is a mistake of the caller's", function()
    for _, text in ipairs { "", "00-1-2-01", PARENT:upper(), "01" .. PARENT:sub(3),
      "00-" .. ("0"):rep(32) .. "-b7ad6b7169203331-01" } do
      assert.error_matches(function() helper.client("https://127.0.0.1:1", { traceparent = text }) end, "traceparent")
    end
  end)
end)

describe("a capture", function()
  local n = 0
  local function file(extension)
    n = n + 1
    return ("%s/capture%d.%s"):format(helper.tmp(), n, extension)
  end

  local function read(path)
    local text = helper.read_file(path)
    if path:find "har$" then return cjson.decode(text).log.entries end
    local out = {}
    for line in text:gmatch "[^\n]+" do out[#out + 1] = cjson.decode(line) end
    return out
  end

  for _, extension in ipairs { "har", "jsonl" } do
    it("as " .. extension .. " is whole after every request, with bodies and without secrets", function()
      local path = file(extension)
      local server = answering(OK)
      local client <close> = helper.client(server.endpoint, { capture = path })
      if extension == "har" then assert.same({}, read(path)) end
      for i = 1, 3 do
        client:patch("/users/1", { passwordProfile = { password = "s3cr3t", forceChangePasswordNextSignIn = true },
          note = helper.TOKEN })
        assert.equal(i, #read(path))
      end
      local text = helper.read_file(path)
      assert.is_nil(text:find("s3cr3t", 1, true))
      assert.is_nil(text:find("door=open", 1, true))
      assert.is_true(helper.silent(text))
      local entry = read(path)[1]
      assert.equal(server.endpoint .. "/v1.0/users/1", entry.request.url)
      assert.matches("passwordProfile", entry.request.postData.text)
      assert.equal('{"id":"1"}', entry.response.content.text)
      assert.equal(200, entry.response.status)
      assert.equal("application/json", entry.response.content.mimeType)
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", entry.startedDateTime)
      assert.equal("/v1.0/users/1", entry._msgraph.path)
      server:stop()
    end)
  end

  it("hides what is named like a secret, however deep and whatever it is, and nothing else", function()
    local path = file "jsonl"
    local sent = { displayName = "shown 1", wifi = { { preSharedKey = "s3cr3t", ssid = "shown 2" } }, devicePin = 93737,
      clientSecretValue = { "s3cr3t" }, newPassphrase = "s3cr3t", x = { refreshTokens = { a = { "s3cr3t" } } },
      keyId = "shown 3", code = "shown 4", ["@microsoft.graph.downloadUrl"] = "https://x.example/s3cr3t",
      azureStorageUri = "https://x.example/?sig=s3cr3t" }
    local server <close> = answering(helper.json_answer("200 OK", json.encode(sent)))
    local client <close> = helper.client(server.endpoint, { capture = path })
    assert(client:patch("/users/1", sent))
    local text = helper.read_file(path)
    assert.is_nil(text:find("s3cr3t", 1, true))
    assert.is_nil(text:find("93737", 1, true))
    for i = 1, 4 do assert.equal(2, select(2, text:gsub("shown " .. i, ""))) end
    assert.same(sent, (client:patch("/users/1", sent))) -- what travels is as it was
  end)

  it("hides what a request for a key answers", function()
    local path = file "jsonl"
    local server <close> = answering(helper.json_answer("200 OK", '{"value":"s3cr3t"}'))
    local client <close> = helper.client(server.endpoint, { capture = path })
    assert(client:get("/deviceManagement/managedDevices/1/getFileVaultKey"))
    assert.is_nil(helper.read_file(path):find("s3cr3t", 1, true))
    assert.equal("left out: a key", read(path)[1].response.content.comment)
  end)

  it("has what HAR 1.2 asks of an entry", function()
    local path = file "har"
    local server = answering(OK)
    local client <close> = helper.client(server.endpoint, { capture = path })
    client:get("/users?$top=2")
    local entry = read(path)[1]
    for _, name in ipairs { "startedDateTime", "time", "request", "response", "cache", "timings" } do
      assert.is_not_nil(entry[name], name)
    end
    for _, name in ipairs { "method", "url", "httpVersion", "cookies", "headers", "queryString", "headersSize",
      "bodySize" } do
      assert.is_not_nil(entry.request[name], name)
    end
    for _, name in ipairs { "status", "statusText", "httpVersion", "cookies", "headers", "content", "redirectURL",
      "headersSize", "bodySize" } do
      assert.is_not_nil(entry.response[name], name)
    end
    assert.same({ { name = "$top", value = "2" } }, entry.request.queryString)
    assert.matches('"cookies":%[%]', helper.read_file(path))
    assert.matches('"cache":{}', helper.read_file(path))
    server:stop()
  end)

  it("leaves out a body that is too large or no text, and says so", function()
    local path = file "jsonl"
    local server = answering(helper.json_answer("200 OK", '{"x":"' .. ("y"):rep(1100000) .. '"}'),
      helper.answer("200 OK", "\xff\xd8\xff", { ["Content-Type"] = "image/jpeg" }),
      helper.answer("200 OK", "\xff", { ["Content-Type"] = "text/plain" }))
    local client <close> = helper.client(server.endpoint, { capture = path })
    for _ = 1, 3 do client:get "/users/1" end
    for i, why in ipairs { "1100008 bytes", "image/jpeg", "not UTF%-8" } do
      local content = read(path)[i].response.content
      assert.is_nil(content.text)
      assert.matches(why, content.comment)
    end
    server:stop()
  end)

  it("is for its owner's eyes only, whatever stood there and whatever others may read", function()
    for _, extension in ipairs { "har", "jsonl" } do
      local path = file(extension)
      helper.write_file(path, "of before")
      helper.sh("chmod 644 " .. helper.quote(path))
      local server = answering(OK)
      local client <close> = helper.client(server.endpoint, { capture = path })
      client:get "/users/1"
      server:stop()
      assert.equal("600\n", helper.sh("stat -c %a " .. helper.quote(path)))
      assert.equal(1, #read(path))
    end
  end)

  it("that can not be written is an error of connect, or ends with a warning", function()
    local client, err = graph.connect { auth = graph.auth.token(helper.TOKEN), capture = "/nowhere/at/all.har" }
    assert.is_nil(client)
    assert.equal("capture", err.code)
    assert.error_matches(function() helper.client("https://127.0.0.1:1", { capture = "x.txt" }) end, "%.har or %.jsonl")
    local server <close> = answering(OK)
    local script = helper.tmp() .. "/full.lua"
    helper.write_file(script, [[
      local graph = require "msgraph"
      warn "@on"
      local client <close> = assert(graph.connect { endpoint = arg[1], ca_file = arg[2], capture = arg[3],
        auth = graph.auth.token "x" })
      for _ = 1, 30 do assert(client:get("/users/1").id == "1") end
    ]])
    local out = helper.sh(("trap '' XFSZ; ulimit -f 8; %s %s %s %s %s"):format(helper.LUA, script, server.endpoint,
      helper.certs() .. "/ca.pem", file "jsonl")) -- no file may grow beyond some KiB there
    assert.matches("^Lua warning: msgraph: the capture ends here: [^\n]*File too large\n$", out)
  end)

  describe("replayed", function()
    local function session(client)
      local out = {}
      for user in client:items("/users", { top = 4, select = { "id" } }) do out[#out + 1] = user.id end
      out[#out + 1] = client:post("/users/" .. out[1] .. "/removeAllDevicesFromManagement")
      out[#out + 1] = select(2, client:get "/users/nobody").code
      out[#out + 1] = select(2, client:get("/users/gone", { retry = false })).code
      return out
    end

    local function record(extension)
      local path = file(extension)
      local tenant <close> = assert(sim.start { users = 10 })
      tenant:fault { kind = "reset_before", path = "gone", times = math.huge }
      local client <close> = helper.client(tenant.endpoint, { ca_file = tenant.ca_file, capture = path,
        auth = graph.auth.token(tenant:token()) })
      return path, session(client)
    end

    for _, extension in ipairs { "har", "jsonl" } do
      it("from " .. extension .. " answers as it was answered, links and lost connections as well", function()
        local path, was = record(extension)
        local server <close> = assert(sim.replay(path))
        local client <close> = helper.client(server.endpoint, { ca_file = server.ca_file,
          auth = graph.auth.token "any" })
        assert.equal(6, #server:unused())
        assert.same(was, session(client))
        assert.same({}, server:unused())
        for _, entry in ipairs(server:requests()) do assert.is_number(entry.entry) end
      end)
    end

    it("says what it has not captured, and what it has no more of", function()
      local path = record "har"
      local server <close> = assert(sim.replay(path))
      local client <close> = helper.client(server.endpoint, { ca_file = server.ca_file, auth = graph.auth.token "any" })
      local _, err = client:get "/groups"
      assert.equal("NotCaptured", err.code)
      assert.equal(404, err.status)
      assert.matches("GET /v1.0/groups", err.message, 1, true)
      client:get "/users/nobody"
      _, err = client:get "/users/nobody"
      assert.equal("NotCaptured", err.code)
      assert.is_nil(server:requests()[1].entry)
    end)

    it("tells requests apart by their bodies, whatever the order of keys, and takes *** for anything", function()
      local path = file "har"
      local server = answering(helper.json_answer("200 OK", '{"n":1}'), helper.json_answer("200 OK", '{"n":2}'))
      local client = helper.client(server.endpoint, { capture = path })
      client:patch("/users/1", { a = 1, b = { c = "x" } })
      client:patch("/users/1", { password = "first", b = 2 })
      client:close()
      server:stop()
      local replay <close> = assert(sim.replay(path))
      client = helper.client(replay.endpoint, { ca_file = replay.ca_file, auth = graph.auth.token "any" })
      assert.same({ n = 2 }, assert(client:patch("/users/1", { b = 2, password = "second" })))
      assert.equal("NotCaptured", select(2, client:patch("/users/1", { a = 1 })).code)
      assert.same({ n = 1 }, assert(client:patch("/users/1", '{"b" : {"c":"x"},"a":1}',
        { headers = { ["Content-Type"] = "application/json" } })))
      client:close()
    end)

    it("does not begin without a capture", function()
      local path = file "har"
      for _, text in ipairs { "no JSON", "{}", '{"log":{"entries":[{}]}}' } do
        helper.write_file(path, text)
        local server, reason = sim.replay(path)
        assert.is_nil(server)
        assert.is_string(reason)
      end
      local server, reason = sim.replay("/nowhere.har")
      assert.is_nil(server)
      assert.matches("No such file", reason)
    end)
  end)
end)

describe("what a request took", function()
  it("is told by the core for every answer and failure", function()
    local server = answering(OK)
    local client <close> = helper.client(server.endpoint)
    local raw = assert(client:exchange { method = "GET", target = "/v1.0/users" })
    assert.is_number(raw.on_wire)
    assert.is_true(core.now() > raw.on_wire)
    server:stop()
  end)
end)
