-- bench/bulk.lua HERE QUICK SCENARIO - bulk work under the published limits: how much of what is allowed is used,
-- and how many calls are refused. bench/run calls it, once for each scenario.
--
-- Runs under bench/fast_clock.c, as do the clients it starts: every second below is one of that clock. Windows,
-- hints and waits keep their length; what gets less time is the machine, for each call.
local sim = require "msgraph.sim"

local here, quick, scenario_name = arg[1], arg[2] == "yes", arg[3]
local lua = os.getenv "LUA"
local USERS <const> = quick and 1000 or 5000
local TENANT <const> = 5000 -- users: a tenant of size L
local BAR = { used = 0.95, refused = 0.01 }

-- What holds the work up: so much of it passes in a window of so many seconds, and a user needs so much.
local SCENARIOS = {
  leavers = {
    title = "2 reads, removeAllDevices, 1 read", limited = "Intune writes", limit = 100, seconds = 20, each = 1,
  },
  readers = { title = "4 reads of the directory", limited = "resource units", limit = 8000, seconds = 10, each = 4 },
}
local scenario = SCENARIOS[scenario_name]

local function quote(text) return "'" .. tostring(text):gsub("'", [['\'']]) .. "'" end

local function start_client(how, tenant, users, tokens, shared_gate)
  local input = os.tmpname()
  local file <close> = assert(io.open(input, "w"))
  file:write(table.concat(users, "\n"), "\n\n", table.concat(tokens, "\n"), "\n")
  local words = { lua, here .. "/bulk_client.lua", how, scenario_name, tenant.endpoint, tenant.ca_file,
    shared_gate }
  for i, word in ipairs(words) do words[i] = quote(word) end
  return { pipe = assert(io.popen(table.concat(words, " ") .. " < " .. quote(input))), input = input }
end

local function finish_client(client)
  local text = client.pipe:read "a"
  client.pipe:close()
  os.remove(client.input)
  local failed, seconds = text:match "failed=(%d+) seconds=([%d.]+)"
  if not failed then error("bench: a client failed, so nothing can be said", 0) end
  return tonumber(failed), tonumber(seconds)
end

-- The same work by so many processes.
local function run(how, processes, clients, shared_gate)
  local tenant <close> = assert(sim.start { users = TENANT, limits = "documented" })
  local users, tokens, started = tenant:users(), {}, {}
  for i = 1, clients do tokens[i] = tenant:token { expires_in = 1e9 } end
  for p = 1, processes do
    local share = {}
    for i = p, USERS, processes do share[#share + 1] = users[i].id end
    started[p] = start_client(how, tenant, share, tokens, shared_gate)
  end
  local result = { failed = 0, seconds = 0 }
  for _, client in ipairs(started) do
    local failed, seconds = finish_client(client)
    result.failed = result.failed + failed
    result.seconds = math.max(result.seconds, seconds)
  end
  local last = tenant:requests { method = "GET" }
  result.calls = last[#last].n - #tenant:requests { path = "/v1.0/$batch" }
  result.refused = #tenant:requests { status = 429 } / result.calls
  result.used = USERS * scenario.each / (scenario.limit / scenario.seconds) / result.seconds
  return result
end

local function report(title, result, judged)
  local met = result.failed == 0 and result.used >= BAR.used and result.refused < BAR.refused
  print(("%-28s %8.0f %8.1f %% %9.2f %% %8d %s"):format(title, result.seconds, result.used * 100,
    result.refused * 100, result.failed, judged and (met and "met" or "MISSED") or ""))
  io.flush()
end

print(("\n%d users x %s; %s: %d in %d s at most; time passes %s times as fast"):format(USERS, scenario.title,
  scenario.limited, scenario.limit, scenario.seconds, os.getenv "FAST"))
print(("                              seconds  used, >= %.0f %%  refused, < %.0f %%  failed"):format(BAR.used * 100,
  BAR.refused * 100))
report("this client", run("ours", 1, 1), true)
report("this client, in batches", run("batched", 1, 1), true)
local file = os.tmpname()
report("two processes, one gate", run("ours", 2, 1, file), true)
os.execute("rm -f " .. quote(file) .. "*")
report("two that share none", run("ours", 2, 1))
report("64 at a time, SDK's retries", run("naive", 1, 64))
