-- bench/list.lua - the contestant of lists: what bench/pages.c does, through this library, decoded.
--
--     lua5.4 bench/list.lua URL TRUST TOKEN_FILE PAGES
--
-- Hands out every item of PAGES pages, and prints the same line.
local graph = require "msgraph"
local core = require "msgraph.core"

local function read_file(path)
  local file <close> = assert(io.open(path))
  return assert(file:read "a")
end

local function status_kib(name)
  return tonumber(read_file("/proc/self/status"):match(name .. ":%s*(%d+) kB"))
end

local url, trust, token_file, pages = table.unpack(arg)
pages = math.tointeger(pages)

local client <close> = assert(graph.connect {
  endpoint = url, ca_file = trust, auth = graph.auth.token(read_file(token_file):match "%S+"), http_version = "1.1",
})

local idle = status_kib "VmRSS"
local first = #assert(client:get "/users").value
local count, wall, cpu = 0, core.now(), os.clock()
for user in client:items("/users", { limit = first * pages }) do
  if user.id then count = count + 1 end
end
cpu, wall = os.clock() - cpu, core.now() - wall
assert(count == first * pages, "not every item came")
print(("requests=%d wall_s=%.6f cpu_s=%.6f idle_kib=%d peak_kib=%d")
  :format(pages, wall, cpu, idle, status_kib "VmHWM"))
