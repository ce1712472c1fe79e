-- bench/list.lua - the contestant of lists: what bench/pages.c does, through this library, decoded.
--
--     lua5.4 bench/list.lua URL TRUST TOKEN_FILE PAGES [items|pages|decode]
--
-- Prints plain's line. "items" (default) hands out every item; "decode" fetches one page and decodes it PAGES
-- times with lua-cjson and nothing else, which is what no client with lua-cjson can be without.
local graph = require "msgraph"
local core = require "msgraph.core"

local function read_file(path)
  local file <close> = assert(io.open(path))
  return assert(file:read "a")
end

local function status_kib(name)
  return tonumber(read_file("/proc/self/status"):match(name .. ":%s*(%d+) kB"))
end

local url, trust, token_file, pages, how = table.unpack(arg)
pages = math.tointeger(pages)

local client <close> = assert(graph.connect {
  endpoint = url, ca_file = trust, auth = graph.auth.token(read_file(token_file):match "%S+"), http_version = "1.1",
})

local run = {}

function run.items()
  local count, users = 0, client:items("/users")
  local items = #assert(client:get("/users")).value
  return function()
    for user in users do
      count = count + (user.id and 1 or 0)
      if count == items * pages then return end
    end
  end
end

function run.pages()
  local count = 0
  return function()
    for page in client:pages("/users") do
      count = count + #page.items
      if page.number == pages then return end
    end
  end
end

function run.decode()
  local bytes = assert(client:exchange { method = "GET", target = "/v1.0/users" }).body
  local decode = require("cjson").new().decode
  return function()
    for _ = 1, pages do assert(decode(bytes).value[1]) end
  end
end

local idle = status_kib "VmRSS"
local walk = run[how or "items"]()
local wall, cpu = core.now(), os.clock()
walk()
cpu, wall = os.clock() - cpu, core.now() - wall
print(("requests=%d wall_s=%.6f cpu_s=%.6f idle_kib=%d peak_kib=%d")
  :format(pages, wall, cpu, idle, status_kib "VmHWM"))
