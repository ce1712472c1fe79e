-- spec/support/tls_server.lua
--- A TLS socket server of a few lines that is not the simulator: records raw bytes, answers
--- scripted ones. Run as a child process by helper.server; prints its port, serves until killed.
--
-- lua tls_server.lua CONFIG, a Lua file that returns { cert, key, log, answers }. An answer is
-- { bytes = text, filler = n, after = "keep"|"close"|"reset"|"hang" }: the text, n bytes of filler,
-- and what becomes of the connection. The last answer serves all further requests. A server with
-- one "reset" closes all its connections that way.
local socket = require "socket"
local ssl = require "ssl"

local LIFETIME = 600 -- seconds; an orphan ends by itself

local config = dofile(arg[1])
local context = assert(ssl.newcontext {
  mode = "server", protocol = "any", options = { "all", "no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv1_1" },
  certificate = config.cert, key = config.key,
})

local function record(raw)
  local log = assert(io.open(config.log, "ab"))
  log:write(("%d\n"):format(#raw), raw)
  log:close()
end

-- One request's bytes as they came, nil when the peer is gone.
local function read_request(conn)
  local raw = ""
  while not raw:find("\r\n\r\n", 1, true) do
    local byte = conn:receive(1)
    if not byte then return nil end
    raw = raw .. byte
  end
  local length = tonumber(raw:lower():match("\r\ncontent%-length: *(%d+)")) or 0
  if length > 0 then raw = raw .. (conn:receive(length) or "") end
  return raw
end

local function send_filler(conn, count)
  local block = ("x"):rep(65536)
  while count > 0 do
    if not conn:send(block:sub(1, math.min(count, #block))) then return end
    count = count - #block
  end
end

local served = 0

local function serve(conn)
  while true do
    local raw = read_request(conn)
    if not raw then return end
    record(raw)
    served = served + 1
    local answer = config.answers[math.min(served, #config.answers)]
    conn:send(answer.bytes or "")
    send_filler(conn, answer.filler or 0)
    if answer.after == "hang" then conn:receive(1) end
    if answer.after ~= "keep" then return answer.after end
  end
end

local resets = false
for _, answer in ipairs(config.answers) do resets = resets or answer.after == "reset" end

local listener = assert(socket.bind("127.0.0.1", 0))
listener:settimeout(LIFETIME)
local _, port = listener:getsockname()
io.stdout:write(port, "\n")
io.stdout:flush()

while true do
  local tcp = listener:accept()
  if not tcp then break end
  tcp:settimeout(30)
  tcp:setoption("tcp-nodelay", true)
  if resets then tcp:setoption("linger", { on = true, timeout = 0 }) end -- closing sends RST
  local conn = ssl.wrap(tcp, context)
  conn:settimeout(30)
  if conn:dohandshake() then serve(conn) end
  conn:close()
end
