-- A leaver's devices leave management, in a simulated tenant on this machine. `make demo` runs it.
--
-- The Lua lines it shows are the lines it runs.
local sim = require "msgraph.sim"
local table_of = require "msgraph.cli.table"

local LEAVER <const> = "ada@contoso.com"
local SPEED <const> = 75 -- a check-in after ten minutes takes eight seconds

local tenant <close> = assert(sim.start { users = 50, speed = SPEED })

-- What `export` does in a shell, for this program alone.
local environment = {
  MSGRAPH_ENDPOINT = tenant.endpoint,
  MSGRAPH_CA_FILE = tenant.ca_file,
  MSGRAPH_ACCESS_TOKEN = tenant:token { expires_in = 24 * 3600 },
}
local getenv = os.getenv
os.getenv = function(name) return environment[name] or getenv(name) end -- luacheck: ignore 122

local STATES = {
  retirePending = "asked to retire, has not checked in yet",
  retireIssued = "has checked in, is retiring",
}

-- What the lines shown may use.
local names = setmetatable({}, { __index = _G })

function names.show(device)
  if not names.begun then print() end
  names.begun = true
  local state = device.outcome == "gone" and "GONE" or STATES[device.state]
  if state then print(("  %-22s %-15s %s"):format(device.name, device.platform, state)) end
  io.stdout:flush()
end

local function say(text)
  print("\n" .. text .. "\n")
end

-- Shows a piece of Lua, then runs it.
local function run(code)
  print("    " .. code:gsub("\n", "\n    "))
  return assert(load(code, "=demo", "t", names))()
end

local function show_devices()
  local rows = { { "NAME", "PLATFORM", "OWNERSHIP", "STATE" } }
  for i, device in ipairs(names.devices.value) do
    rows[i + 1] = { device.deviceName, device.operatingSystem, device.managedDeviceOwnerType, device.managementState }
  end
  io.write(table_of.format(rows, "  "))
end

local function show_log(posts)
  for _, entry in ipairs(posts) do
    print(("  %d %s %s"):format(entry.status, entry.method, entry.path))
    for _, action in ipairs(entry.actions) do print("      " .. action) end
  end
end

print(("A Microsoft Graph tenant of made-up people runs at %s, %d times as\nfast as time. Nothing leaves this machine. "
  .. "Connect as the environment says\n(MSGRAPH_ENDPOINT, MSGRAPH_CA_FILE, MSGRAPH_ACCESS_TOKEN):\n")
  :format(tenant.endpoint, SPEED))
run [[
graph = require "msgraph"
client = assert(graph.connect())]]

say "Ada Lovelace leaves today. These devices of hers are in management:"
run [[
devices = assert(client:get("/users/ada@contoso.com/managedDevices"))]]
print()
show_devices()

say "Take all of them out, and watch. A device retires when it next checks in:"
run [[
result = assert(graph.remove_all_devices("ada@contoso.com", { wait = "40s", on_change = show }))]]

local result, left = names.result, #tenant:devices { userPrincipalName = LEAVER }
say(("Result: %d gone, %d failed, %d pending. What the tenant's own log says was done:")
  :format(result.gone, result.failed, result.pending))
local posts = tenant:requests { method = "POST" }
show_log(posts)
print(("Asked %s; %d devices of hers are left in management.")
  :format(#posts == 1 and "exactly once" or #posts .. " times", left))

print [[

Try next, in this folder:
  eval "$(make -s env)"      in two terminals: use what is built here
  msgraph sim                in one: a tenant to play with; paste its three lines into the other
  msgraph remove-all-devices --dry-run ada@contoso.com      there: what would be done?]]
names.client:close()
os.exit(result.gone == #result.devices and #posts == 1 and left == 0 and 0 or 1, true)
