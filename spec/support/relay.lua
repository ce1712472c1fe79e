--- A relay between an applier and a tenant, that kills the applier in the middle of what passes: a process of its own.
--
-- lua relay.lua PORT TRAP prints the port it listens on. While the file TRAP holds "mid-send PID" the next TLS record
-- that carries data is passed on by half; of "no-answer PID" the request is, and its answer is not. Either way PID
-- is killed at that moment, and the file goes.
local uv = require "luv"

local port, trap = tonumber(arg[1]), arg[2]
local DATA <const> = 0x17 -- type of a TLS record

local function read_trap()
  local file = io.open(trap)
  if not file then return nil end
  local kind, pid = file:read("a"):match "^(%S+) (%d+)"
  file:close()
  return { kind = kind, pid = math.tointeger(tonumber(pid)) }
end

local function spring(it)
  assert(os.remove(trap))
  uv.kill(it.pid, "sigkill")
end

local function pass(from, to, look)
  from:read_start(function(_, chunk)
    if not chunk then
      if not to:is_closing() then to:close() end
      if not from:is_closing() then from:close() end
      return
    end
    chunk = look(chunk)
    if chunk ~= "" and not to:is_closing() then to:write(chunk) end
  end)
end

local function serve(client)
  local tenant = uv.new_tcp()
  tenant:connect("127.0.0.1", port, function(err)
    assert(not err, err)
    local awaited -- the trap of a request that was passed on
    pass(client, tenant, function(chunk)
      local it = chunk:byte() == DATA and read_trap()
      if it and it.kind == "mid-send" then
        spring(it)
        return chunk:sub(1, #chunk // 2)
      end
      awaited = it or awaited
      return chunk
    end)
    pass(tenant, client, function(chunk)
      if not awaited then return chunk end
      spring(awaited)
      awaited = nil
      return ""
    end)
  end)
end

local server = uv.new_tcp()
assert(server:bind("127.0.0.1", 0))
assert(server:listen(16, function()
  local client = uv.new_tcp()
  assert(server:accept(client))
  serve(client)
end))
print(server:getsockname().port)
io.flush()
uv.run()
