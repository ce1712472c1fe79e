local graph = require "msgraph"
local helper = require "spec.support.helper"

local ACTION = "/v1.0/users/ada%40contoso.com/removeAllDevicesFromManagement"

-- Runs the action against an endpoint, once; the Error, after the checks every Error must pass.
local function refused(endpoint, opts)
  local client <close> = helper.client(endpoint, opts)
  local ok, err = client:remove_all_devices("ada@contoso.com", { retry = false })
  assert.is_nil(ok)
  assert.is_true(graph.Error.is(err))
  assert.is_true(helper.silent(err))
  assert.is_true(helper.silent(tostring(err)))
  assert.is_nil(tostring(err):find("[\r\n]"))
  assert.equal("POST", err.method)
  assert.equal(ACTION, err.path)
  assert.is_string(err.client_request_id)
  assert.is_string(err.hint)
  return err
end

local function check(err, kind, code, phase, hint)
  assert.equal(kind, err.kind, tostring(err))
  assert.equal(code, err.code, tostring(err))
  assert.equal(phase, err.phase, tostring(err))
  assert.matches(hint, err.hint)
end

describe("no connection", function()
  it("because nothing listens", function()
    check(refused("https://127.0.0.1:" .. helper.closed_port()), "network", "connect", "not_sent", "check the endpoint")
  end)

  it("because the name does not resolve", function()
    check(refused("https://no-such-host.invalid"), "network", "dns", "not_sent", "does not resolve")
  end)

  for _, name in ipairs { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" } do
    it("because the proxy refuses that " .. name .. " names", function()
      local proxy = "http://127.0.0.1:" .. helper.closed_port()
      local out = helper.sh(("%s=%s %s -e %s"):format(name, proxy, helper.LUA, helper.quote [[
        local graph = require "msgraph"
        local client = assert(graph.connect { endpoint = "https://graph.example.com", auth = graph.auth.token "x" })
        local _, err = client:get("/users", { retry = false })
        print(err.kind, err.phase, err.hint)]]))
      assert.matches("network\tnot_sent\t.*[Pp][Rr][Oo][Xx][Yy]", out)
    end)
  end
end)

describe("a server that cannot prove who it is", function()
  for _, case in ipairs {
    { "untrusted",  "tls_untrusted", "MSGRAPH_CA_FILE" },
    { "wrong_name", "tls_name",      "another host name" },
    { "expired",    "tls_expired",   "clock" },
  } do
    it("gets nothing: " .. case[2], function()
      local server <close> = helper.server(helper.answer("204 No Content"), case[1])
      check(refused(server.endpoint), "network", case[2], "not_sent", case[3])
      assert.same({}, server:requests())
    end)
  end

  it("gets nothing when the authority is not the system's and ca_file is not given", function()
    local server <close> = helper.server(helper.answer("204 No Content"))
    local client <close> = assert(graph.connect { endpoint = server.endpoint, auth = graph.auth.token(helper.TOKEN) })
    local _, err = client:remove_all_devices("ada@contoso.com")
    assert.equal("tls_untrusted", err.code)
    assert.same({}, server:requests())
  end)

  it("gets nothing when it does not speak TLS at all", function()
    local listener = assert(require("socket").bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    local helper_script = helper.tmp() .. "/plain.lua"
    listener:close()
    helper.write_file(helper_script, ([[
      local socket = require "socket"
      local listener = assert(socket.bind("127.0.0.1", %d))
      io.stdout:write("ready\n") io.stdout:flush()
      listener:settimeout(20)
      local conn = listener:accept()
      if not conn then return end
      conn:settimeout(5)
      conn:receive(5)
      conn:send("HTTP/1.1 400 Bad Request\r\n\r\n")
      conn:close()
    ]]):format(port))
    local pipe = assert(io.popen(helper.LUA .. " " .. helper_script, "r"))
    assert.equal("ready", pipe:read("l"))
    check(refused("https://127.0.0.1:" .. port), "network", "tls", "not_sent", "HTTPS")
    pipe:close()
  end)
end)

describe("an answer that never comes", function()
  local HALF = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"

  for _, case in ipairs {
    { "after a reset",                 { { after = "reset" } },  nil,                          "reset" },
    { "after the connection closed",   { { after = "close" } },  nil,                          "reset" },
    { "in the time for a first byte",  { { after = "hang" } },   { first_byte_timeout = 0.3 }, "timeout_first_byte" },
    { "to its end",                    { { bytes = HALF, after = "close" } }, nil, "truncated" },
    { "further than its first bytes",  { { bytes = HALF, after = "hang" } }, { stall_timeout = 1 }, "timeout_stall" },
  } do
    it("is ambiguous for the action, sent once, and the hint says to list the devices: " .. case[1], function()
      local server <close> = helper.server(case[2])
      local err = refused(server.endpoint, case[3])
      assert.equal("ambiguous", err.kind, tostring(err))
      assert.equal(case[4], err.code, tostring(err))
      assert.not_equal("not_sent", err.phase)
      assert.matches("list the devices %(GET /v1.0/users/ada%%40contoso.com/managedDevices%)", err.hint)
      assert.equal(1, #server:requests())
    end)

    it("is no danger for a read: " .. case[1], function()
      local server <close> = helper.server(case[2])
      local client <close> = helper.client(server.endpoint, case[3])
      local body, err = client:get("/users", { retry = false })
      assert.is_nil(body)
      assert.is_truthy(err.kind == "network" or err.kind == "timeout", tostring(err))
      assert.equal(case[4], err.code)
    end)
  end

  it("runs into the deadline of the request", function()
    local server <close> = helper.server { { after = "hang" } }
    local client <close> = helper.client(server.endpoint)
    local _, err = client:get("/users", { deadline = 0.3 })
    assert.equal("timeout", err.kind)
    assert.equal("timeout", err.code)
    _, err = client:post("/users", {}, { deadline = 0.3 })
    assert.equal("ambiguous", err.kind)
  end)

  it("is no danger for a POST that says it may be sent twice", function()
    local server <close> = helper.server { { after = "reset" } }
    local client <close> = helper.client(server.endpoint)
    local _, err = client:post("/users/x/revokeSignInSessions", nil, { idempotent = true, retry = false })
    assert.equal("network", err.kind)
  end)
end)

describe("an answer that is too large", function()
  local MB = 1024 * 1024
  local HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

  for _, case in ipairs {
    { "with its length said", HEAD .. ("Content-Length: %d\r\n\r\n"):format(200 * MB) },
    { "without",              HEAD .. "Connection: close\r\n\r\n" },
  } do
    it("is cut off at the limit, " .. case[1], function()
      local server <close> = helper.server { { bytes = case[2], filler = 200 * MB, after = "close" } }
      local before = helper.resident()
      local client <close> = helper.client(server.endpoint)
      local body, err = client:get("/users")
      assert.is_nil(body)
      assert.equal("protocol", err.kind)
      assert.equal("body_too_large", err.code)
      assert.matches("max_body", err.hint)
      assert.equal(200, err.status)
      assert.is_true(helper.resident() - before < 100 * 1024, "held more than the limit in memory")
    end)
  end

  it("is cut off for the action too, without calling it undone", function()
    local server <close> = helper.server { { bytes = HEAD .. "\r\n", filler = 200 * MB, after = "close" } }
    local err = refused(server.endpoint)
    assert.equal("body_too_large", err.code)
    assert.is_truthy(err.kind == "protocol" or err.kind == "ambiguous")
  end)

  it("is one that the request's own limit says", function()
    local server <close> = helper.server(helper.json_answer("200 OK", '{"a":"' .. ("x"):rep(5000) .. '"}'))
    local client <close> = helper.client(server.endpoint)
    assert.is_table(client:get("/x"))
    local _, err = client:get("/x", { max_body = 1000 })
    assert.equal("body_too_large", err.code)
  end)
end)

describe("an answer that is not HTTP", function()
  for _, bytes in ipairs { "\0\0\0\0\0\0\0\0\0", "HTTP/1.1 \r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n" } do
    it(("%q"):format(bytes:sub(1, 10)) .. " is an Error", function()
      local server <close> = helper.server { { bytes = bytes, after = "close" } }
      local client <close> = helper.client(server.endpoint)
      local body, err = client:get("/users", { retry = false })
      assert.is_nil(body)
      assert.is_true(graph.Error.is(err))
      assert.is_truthy(err.kind == "protocol" or err.kind == "network", tostring(err))
    end)
  end
end)
