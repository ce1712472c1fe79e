-- bench/bulk_client.lua - one process of bench/bulk.lua: four calls for each of its users, and what came of them.
--
--     lua5.4 bench/bulk_client.lua "ours"|"batched"|"naive" SCENARIO ENDPOINT CA_FILE [SHARED_GATE] < users, tokens
--
-- "ours" is one client, "batched" the same whose calls travel together. "naive" is what a thread pool over a Graph SDK
-- does: as many clients as calls under way, none of which knows of the others' refusals; each waits as told and tries
-- again, three times as the SDKs do.
local core = require "msgraph.core"
local graph = require "msgraph"

local AT_ONCE <const>, RETRIES <const> = 64, 3 -- KIOTA: MaxRetry 3
local LONG_ENOUGH <const> = 24 * 3600

local how, scenario, endpoint, ca_file, shared_gate = table.unpack(arg)

local function read_list()
  local list = {}
  for line in io.lines() do
    if line == "" then break end
    list[#list + 1] = line
  end
  return list
end

local users, tokens = read_list(), read_list()

local SELECT = { "id", "displayName", "mail", "jobTitle" }
local SCENARIOS = {
  --- Takes a leaver's devices out of management: two reads, the action, one more look.
  leavers = function(user)
    local path = "/users/" .. user
    return {
      { "GET", path .. "?$select=id" }, { "GET", path .. "/managedDevices?$select=id" },
      { "POST", path .. "/removeAllDevicesFromManagement" },
      { "GET", path .. "/managedDevices?$select=managementState" },
    }
  end,
  --- Reads the directory, a unit each.
  readers = function(user)
    local calls = {}
    for i, name in ipairs(SELECT) do calls[i] = { "GET", "/users/" .. user .. "?$select=" .. name } end
    return calls
  end,
}

-- The machine's time is what it is: a handshake may take long by a clock that runs fast.
local function connect(token)
  return assert(graph.connect {
    endpoint = endpoint, ca_file = ca_file, auth = graph.auth.token(token), connect_timeout = 3600,
    first_byte_timeout = 3600, stall_timeout = 3600, shared_gate = shared_gate,
  })
end

local failed = 0

local function note(answer, err)
  if answer then return end
  if failed == 0 then io.stderr:write("bulk_client.lua: first failure: ", tostring(err), "\n") end
  failed = failed + 1
end

local send = {}

function send.ours(client, method, path)
  note(client:request { method = method, path = path, deadline = LONG_ENOUGH })
end

function send.batched(client, method, path)
  note(client:request { method = method, path = path })
end

function send.naive(client, method, path)
  for try = 0, RETRIES do
    local answer, err = client:request { method = method, path = path, retry = false, deadline = LONG_ENOUGH }
    if answer or err.status ~= 429 or try == RETRIES then return note(answer, err) end
    graph.sleep(err.retry_after)
  end
end

local clients, next_client = {}, 0
for i, token in ipairs(tokens) do clients[i] = connect(token) end

local begun = core.now()
local opts = how == "batched" and { batch = true } or { concurrency = AT_ONCE }
graph.map(users, opts, function(user)
  next_client = next_client % #clients + 1
  local client = clients[next_client]
  for _, call in ipairs(SCENARIOS[scenario](user)) do send[how](client, call[1], call[2]) end
end)
print(("failed=%d seconds=%.3f"):format(failed, core.now() - begun))
os.exit(true, true)
