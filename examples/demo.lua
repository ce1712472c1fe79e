-- Fifty people leave a simulated tenant on this machine: planned, applied, killed half way, resumed, verified.
-- `make demo` runs it. The command lines it shows are the command lines it runs.
local journals = require "msgraph.offboard.journal"
local spec = require "msgraph.sim.spec"

local LEAVERS <const> = 50
local HALF_WAY <const> = 150 -- operations done, when the power fails

local t <close> = spec.start { users = LEAVERS + 10, start = os.time(), latency = 0.03 }
local tenant = t.tenant

local function sh(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  return text, select(3, pipe:close())
end

local dir = sh("mktemp -d"):match "%S+"
-- luacheck: ignore 211
local clean <close> = setmetatable({}, { __close = function() os.execute("rm -rf " .. dir) end })

local environment = ("MSGRAPH_ENDPOINT=%s MSGRAPH_CA_FILE=%s MSGRAPH_ACCESS_TOKEN=%s PATH=%q:$PATH"):format(
  tenant.endpoint, tenant.ca_file, tenant:token { scopes = spec.permissions(), expires_in = 1e6 },
  assert(sh "pwd"):match "[^\n]+" .. "/bin")

local function line_of(command)
  return ("cd %s && env %s %s"):format(dir, environment, command)
end

local function say(text) print("\n" .. text .. "\n") end

-- As much of a line as fits one or two of a terminal.
local function cut(line)
  local last = utf8.offset(line, 112)
  return last and line:sub(1, last - 1) .. "…" or line
end

-- Shows a command line and runs it, with the first lines of what it prints.
local function run(command, most)
  print("    $ " .. command)
  local text, code = sh(line_of(command .. " 2>&1"))
  local n = 0
  for line in text:gmatch "[^\n]+" do
    n = n + 1
    if n <= (most or 99) then print("    " .. cut(line)) end
  end
  if n > (most or 99) then print(("    … and %d lines more"):format(n - most)) end
  return code
end

-- The same for one that is watched while it works.
local function watch(command)
  print("    $ " .. command)
  return select(3, os.execute(line_of(command)))
end

local function people()
  local names = { "userPrincipalName" }
  for _, user in ipairs(tenant:users { guest = false }) do
    if #names <= LEAVERS and user.userPrincipalName ~= "grace@contoso.com" then
      names[#names + 1] = user.userPrincipalName
    end
  end
  return names
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  assert(file:close())
end

local function settled()
  local journal = journals.open(dir .. "/friday.journal", { readonly = true })
  local runs = journal and journal:runs()
  local status = runs and runs[1] and journal:status(runs[1].run_id)
  if journal then journal:close() end
  return status and (status.ops.changed or 0) or 0
end

local function kill_half_way()
  print "    $ msgraph apply friday.plan"
  local pipe = assert(io.popen(line_of "sh -c 'echo $$; exec msgraph apply friday.plan >&2'"))
  local pid = assert(pipe:read "l")
  while settled() < HALF_WAY do require("msgraph.sim.server").sleep(0.05) end
  os.execute("kill -KILL " .. pid)
  pipe:close()
  print(("\n\n    $ kill -KILL %s        (the power fails)"):format(pid))
  run "msgraph status --journal friday.journal"
end

-- What must not be done twice: every device that was asked to retire, and how often.
local function retired()
  local times, twice = 0, 0
  local seen = {}
  for _, entry in ipairs(tenant:requests { method = "POST" }) do
    for _, action in ipairs(entry.actions) do
      if action:find "^retire " then
        times = times + 1
        twice = twice + (seen[action] and 1 or 0)
        seen[action] = true
      end
    end
  end
  return times, twice
end

print(("A Microsoft Graph tenant of made-up people runs at %s. Nothing leaves\nthis machine. "
  .. "%d of them leave on Friday."):format(tenant.endpoint, LEAVERS))
write(dir .. "/leavers.csv", table.concat(people(), "\n") .. "\n")
write(dir .. "/leaver.lua", io.open("examples/leaver.lua"):read "a")

say "What would be done to them? Nothing is changed by asking:"
run("msgraph plan leaver.lua --users leavers.csv --param ticket=INC4711 --param delegate=grace@contoso.com"
  .. " -o friday.plan")
say "What is in it, person by person:"
run("msgraph show friday.plan", 24)
say "Somebody has to answer for it:"
run "msgraph approve friday.plan --as 'Grace Hopper'"
say "Apply it, and pull the plug half way:"
kill_half_way()
say "Go on. What was under way is looked at before anything is sent again:"
local resumed = watch "msgraph resume --journal friday.journal"
say "Is it so? Every operation is read:"
run("msgraph verify --journal friday.journal", 12)
say "What is left for people, and the tables for everybody else:"
run("msgraph handoffs --journal friday.journal --out friday-", 8)
run("msgraph report --journal friday.journal --out friday-", 8)

local times, twice = retired()
say(("The tenant's own log: %d devices were asked to retire, %d of them twice."):format(times, twice))
print "Try next: the same by hand, as README.md says."
os.exit(twice == 0 and times > 0 and (resumed == 21 or resumed == 0) and 0 or 1, true)
