-- bench/leavers.lua HERE PEOPLE BASE - a crowd of leavers, planned and applied under the published limits: how near
-- it comes to what the scarcest of them allows, what the journal takes of it, and whether memory grows as it goes on.
--
-- Runs under bench/skip_clock.c, as do the clients it starts: every second below is one of that clock, in which work
-- takes the time it takes and waiting takes none of ours. Files are made whose names begin with BASE.
local limits = require "msgraph.sim.limits"
local sim = require "msgraph.sim"
local spec = require "msgraph.sim.spec"

local BAR <const> = { ratio = 1.1, journal = 0.05 }
local LATENCY <const> = 0.2 -- seconds that an answer takes
local STAYS <const> = "grace@contoso.com" -- who takes over

local here, people, base = arg[1], assert(math.tointeger(arg[2]), "how many people?"), arg[3]
local USERS <const> = people * 5 // 4 + 60
local lua = os.getenv "LUA"

local function quote(text) return "'" .. tostring(text):gsub("'", [['\'']]) .. "'" end

-- Members with licences who hold no role.
local function leavers(tenant)
  local names = {}
  for _, user in ipairs(tenant:users { guest = false, licensed = true, admin = false }) do
    if #names < people and user.userPrincipalName ~= STAYS then names[#names + 1] = user.userPrincipalName end
  end
  assert(#names == people, "the tenant is too small")
  return names
end

-- What the tenant let through, and how often it refused.
local function answered(tenant)
  local list, refused = {}, 0
  for _, entry in ipairs(tenant:requests()) do
    if entry.status == 429 then
      refused = refused + 1
    elseif not entry.path:find "%$batch$" then
      list[#list + 1] = entry
    end
  end
  return list, refused
end

-- Runs a client to its end; what it said, by name.
local function run(what, tenant, token)
  local words = { lua, here .. "/leavers_client.lua", what, here .. "/../examples/leaver.lua", base, USERS,
    tenant.endpoint, tenant.ca_file, token }
  for i, word in ipairs(words) do words[i] = quote(word) end
  local pipe = assert(io.popen(table.concat(words, " ")))
  local text, found = pipe:read "a", {}
  pipe:close()
  for name, value in text:gmatch "([%w_]+)=(%S+)" do found[name] = tonumber(value) or value end
  if not found.seconds then error("bench: a client failed, so nothing can be said\n" .. text, 0) end
  return found
end

local function verdict(met) return met and "met" or "MISSED" end

local function report(title, found)
  local ratio = found.seconds / found.least
  print(("%-28s %8.0f %8.0f %7.3f %-6s %7d  %s"):format(title, found.seconds, found.least, ratio,
    verdict(ratio <= BAR.ratio), found.refused, found.limit:gsub("_", " ")))
  io.flush()
end

local function report_cost(title, found)
  print(("%-28s %7.2f %%  %6.0f s, %2.0f %%  %4.0f %4.0f %4.0f"):format(title, found.journal / found.seconds * 100,
    found.cpu, found.journal_cpu / found.cpu * 100, found.mib_10, found.mib_50, found.mib_100))
end

local tenant <close> = assert(sim.start { users = USERS, limits = "documented", latency = LATENCY, start = os.time() })
local token = tenant:token { scopes = spec.permissions(), expires_in = 1e9 }
do
  local file <close> = assert(io.open(base .. ".csv", "w"))
  file:write("userPrincipalName\n", table.concat(leavers(tenant), "\n"), "\n")
end

print(("\n%d leavers, examples/leaver.lua; an answer takes %.1f s"):format(people, LATENCY))
print("                              seconds  allowed   ratio         refused  by")
local planned = run("plan", tenant, token)
do
  local list, refused = answered(tenant)
  planned.least, planned.limit = limits.least_seconds(list, USERS)
  planned.refused = refused
end
report("plan", planned)
local applied = run("apply", tenant, token)
report("apply, until people act", applied)
local resumed = run("resume", tenant, token)
report("resume, when they have", resumed)
print "                               journal   CPU, journal's  MiB at 10, 50, 100 %"
report_cost("apply", applied)
report_cost("resume", resumed)
local share = (applied.journal + resumed.journal) / (applied.seconds + resumed.seconds)
print(("journal's share of both: %.2f %%, < %.0f %%: %s; plan: %.0f s CPU, %.0f MiB at its end"):format(share * 100,
  BAR.journal * 100, verdict(share < BAR.journal), planned.cpu, planned.mib_100))
