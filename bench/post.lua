-- bench/post.lua - the contestant: the calls of bench/plain.c, through this library.
--
--     lua5.4 bench/post.lua URL TRUST TOKEN_FILE HTTP IN_FLIGHT REQUESTS WARM_UP [map|spawn|batch]
--
-- Arguments and the line printed are plain's, but for TRUST "system": the system's authorities.
-- With "spawn" every call has a task of its own, all started at once; IN_FLIGHT then is the client's own ceiling.
-- With "batch" the calls travel in batches of twenty, IN_FLIGHT being how many calls are made at once.
local graph = require "msgraph"
local core = require "msgraph.core"

local function read_file(path)
  local file <close> = assert(io.open(path))
  return assert(file:read "a")
end

local function status_kib(name)
  return tonumber(read_file("/proc/self/status"):match(name .. ":%s*(%d+) kB"))
end

local url, trust, token_file, http, in_flight, requests, warm_up, how = table.unpack(arg)
in_flight, requests, warm_up = math.tointeger(in_flight), math.tointeger(requests), math.tointeger(warm_up)

local client <close> = assert(graph.connect {
  endpoint = url,
  ca_file = trust ~= "system" and trust or nil,
  auth = graph.auth.token(read_file(token_file):match "%S+"),
  http_version = http,
})

local failed = 0

local function call(user)
  local ok, err = client:remove_all_devices(user)
  if ok then return true end
  if failed == 0 then io.stderr:write("post.lua: first failure: ", tostring(err), "\n") end
  failed = failed + 1
  return false
end

local function users(n)
  local list = {}
  for i = 1, n do list[i] = ("user%08d@contoso.com"):format(i) end
  return list
end

local run = {}

function run.map(list)
  graph.map(list, { concurrency = in_flight }, call)
end

function run.batch(list)
  graph.map(list, { concurrency = in_flight, batch = true }, call)
end

function run.spawn(list)
  graph.run(function()
    for _, user in ipairs(list) do graph.spawn(call, user) end
  end)
end

local run_list = run[how or "map"]
local idle = status_kib "VmRSS"
local first, rest = users(warm_up), users(requests)
run_list(first)
local wall, cpu = core.now(), os.clock()
run_list(rest)
cpu, wall = os.clock() - cpu, core.now() - wall
print(("requests=%d failed=%d wall_s=%.6f cpu_s=%.6f idle_kib=%d peak_kib=%d")
  :format(requests, failed, wall, cpu, idle, status_kib "VmHWM"))
os.exit(failed == 0, true)
