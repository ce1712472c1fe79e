--- The listener of a browser sign-in, with HTTP clients that are not ours: LuaSocket's and raw sockets.
local core = require "msgraph.core"
local helper = require "spec.support.helper"
local socket = require "socket"

local ASK = { authorize = "https://login.example/tenant/oauth2/v2.0/authorize", client_id = "client",
  scope = "https://graph.microsoft.com/.default offline_access" }

local function parameters(url)
  local values = {}
  for name, value in url:match("%?(.*)$"):gmatch "([^&=]+)=([^&]*)" do
    values[name] = value:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  end
  return values
end

local function open()
  local listener = assert(core.loopback())
  return listener, parameters(assert(listener:url(ASK))).state
end

-- A program of its own that gets a URL and prints status and page.
local GET = [[
local http, ltn12 = require "socket.http", require "ltn12"
local page = {}
local _, status = http.request { url = arg[1], sink = ltn12.sink.table(page), headers = { host = arg[2] } }
io.write(tostring(status), "\n", table.concat(page))
]]

local function get(listener, path, host)
  local script = helper.tmp() .. "/get.lua"
  helper.write_file(script, GET)
  return assert(core.child { helper.LUA, script, ("http://localhost:%d%s"):format(listener:port(), path), host })
end

-- Steps until the client has ended; the last word of each.
local function serve(listener, client)
  local outcome
  for _ = 1, 1000 do
    outcome = table.pack(listener:step())
    local state = client:step()
    assert(state, "the client failed")
    if state == "ended" then return client:output(), table.unpack(outcome, 1, outcome.n) end
    socket.sleep(0.01)
  end
  error "the client did not end"
end

local function connect(listener)
  local peer = assert(socket.connect("127.0.0.1", listener:port()))
  peer:settimeout(0)
  return peer
end

-- Steps until the peer's connection is closed from there; what it got.
local function hear(listener, peer)
  local text = ""
  for _ = 1, 1000 do
    local state, failure = listener:step()
    local all, why, part = peer:receive "*a"
    text = text .. (all or part or "")
    if all or why ~= "timeout" then
      peer:close()
      return text, state, failure
    end
    socket.sleep(0.01)
  end
  error "the listener did not answer"
end

local function request(listener, target)
  return ("GET %s HTTP/1.1\r\nHost: localhost:%d\r\n\r\n"):format(target, listener:port())
end

describe("a sign-in's URL", function()
  it("asks for a code, bound to this listener", function()
    local listener <close> = assert(core.loopback())
    local asked = parameters(assert(listener:url(ASK)))
    assert.equal(43, #asked.state)
    assert.equal(43, #asked.code_challenge)
    asked.state, asked.code_challenge = nil, nil
    assert.same({ client_id = "client", scope = ASK.scope, response_type = "code", response_mode = "query",
      code_challenge_method = "S256", redirect_uri = ("http://localhost:%d/"):format(listener:port()) }, asked)
  end)

  it("is refused, or raises, for what it can not be made of", function()
    local listener <close> = assert(core.loopback())
    local url, failure = listener:url { authorize = "http://login", client_id = "c", scope = "s" }
    assert.is_nil(url)
    assert.equal("bad_option", failure.code)
    assert.has_error(function() listener:url { authorize = "https://login", client_id = "c" } end)
    assert.has_error(function() listener:url() end)
  end)
end)

describe("the loopback listener", function()
  it("takes the code a browser brings, and thanks it", function()
    local listener <close>, state = open()
    local client <close> = get(listener, "/?code=s3cr3t&session_state=1&state=" .. state)
    local page, outcome = serve(listener, client)
    assert.equal("done", outcome)
    assert.is_truthy(page:find "^200\n.*You are signed in to msgraph.*You may close this window")
    assert.is_nil(page:find("s3cr3t", 1, true))
    assert.equal("done", listener:step())
  end)

  it("tells why there is no code", function()
    local listener <close>, state = open()
    local refusal = "error=consent_required&error_description=AADSTS65001%3a+no+%3cconsent%3e"
    local client <close> = get(listener, ("/?%s&state=%s"):format(refusal, state))
    local page, outcome, failure = serve(listener, client)
    assert.is_nil(outcome)
    assert.same({ "token_refused", "auth", "consent_required", "no access token: AADSTS65001: no <consent>" },
      { failure.code, failure.kind, failure.word, failure.message })
    assert.is_truthy(page:find("You are not signed in.*AADSTS65001: no &lt;consent&gt;"))
  end)

  for _, case in ipairs {
    { "a wrong state",       "/?code=evil&state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", nil, 400 },
    { "a favicon",           "/favicon.ico",                                                 nil, 404 },
    { "a look",              "/",                                                            nil, 404 },
    { "a code that is two",  "/?code=a&code=b&state=STATE",                                  nil, 400 },
    { "another site's name", "/?code=evil&state=STATE",                           "evil.example", 421 },
  } do
    it("goes on waiting after " .. case[1], function()
      local listener <close>, state = open()
      local target = case[2]:gsub("STATE", state)
      do
        local client <close> = get(listener, target, case[3])
        local page, outcome = serve(listener, client)
        assert.equal("waiting", outcome)
        assert.equal(case[4], tonumber(page:match "^%d+"))
      end
      local client <close> = get(listener, "/?code=good&state=" .. state)
      assert.equal("done", select(2, serve(listener, client)))
    end)
  end

  it("serves a second connection while the first says nothing", function()
    local listener <close>, state = open()
    local silent = connect(listener)
    assert.equal("waiting", listener:step())
    local peer = connect(listener)
    peer:send(request(listener, "/?code=good&state=" .. state))
    local answer, outcome = hear(listener, peer)
    assert.is_truthy(answer:find "^HTTP/1.1 200 OK\r\n.*Connection: close")
    assert.equal("done", outcome)
    silent:close()
  end)

  it("waits for a client that sends byte by byte", function()
    local listener <close>, state = open()
    local peer = connect(listener)
    for byte in request(listener, "/?code=good&state=" .. state):gmatch "." do
      assert.equal("waiting", listener:step())
      peer:send(byte)
    end
    assert.equal("done", select(2, hear(listener, peer)))
  end)

  it("refuses garbage and goes on", function()
    local listener <close>, state = open()
    for _, garbage in ipairs { "\22\3\1\2\0\1", "GET / HTTP/9\r\n\r\n", ("A"):rep(20000), "\0" } do
      local peer = connect(listener)
      peer:send(garbage)
      local answer, outcome = hear(listener, peer)
      assert.is_truthy(answer:find "^HTTP/1.1 400 ")
      assert.equal("waiting", outcome)
    end
    local client <close> = get(listener, "/?code=good&state=" .. state)
    assert.equal("done", select(2, serve(listener, client)))
  end)

  it("is nobody's any more when it is closed", function()
    local listener = assert(core.loopback())
    local port = listener:port()
    listener:close()
    listener:close()
    assert.is_nil(socket.connect("127.0.0.1", port))
    for _, method in ipairs { "port", "step", "url" } do
      assert.has_error(function() listener[method](listener, ASK) end)
    end
  end)

  it("is for this machine alone", function()
    local listener <close> = assert(core.loopback())
    local line = ("%04X"):format(listener:port())
    local address = helper.read_file("/proc/net/tcp"):match("(%x+):" .. line .. " 00000000:0000 0A")
    assert.equal("0100007F", address)
  end)
end)
