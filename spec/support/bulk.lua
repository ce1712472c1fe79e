-- spec/support/bulk.lua USERS - batched calls by the thousand under the published limits, for
-- spec/integration/bulk_spec.lua: prints what was sent, refused and used, as Lua.
--
-- Runs under bench/fast_clock.c: client and tenant have the same clock, which runs faster than the machine's.
local core = require "msgraph.core"
local graph = require "msgraph"
local sim = require "msgraph.sim"

local LIMIT <const>, SECONDS <const> = 100, 20 -- Intune's writes

local users = math.tointeger(arg[1])
local tenant <close> = assert(sim.start { users = users, limits = "documented" })
-- The machine's time is what it is: a handshake may take long by a clock that runs fast.
local client <close> = assert(graph.connect {
  endpoint = tenant.endpoint, ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token { expires_in = 1e9 }),
  connect_timeout = 3600, first_byte_timeout = 3600, stall_timeout = 3600,
})

local began = core.now()
local _, errors = graph.map(tenant:users(), { batch = true }, function(user)
  local path = "/users/" .. user.id
  assert(client:get(path, { select = "id" }))
  for i = 1, 5 do assert(client:get(path .. "/managedDevices", { top = i })) end
  assert(client:remove_all_devices(user.id))
end)
local seconds = core.now() - began

local failed = 0
for _, err in pairs(errors) do
  if failed == 0 then io.stderr:write(tostring(err), "\n") end
  failed = failed + 1
end
local batches = #tenant:requests { path = "/v1.0/$batch" }
local all = tenant:requests {}
print(("return { failed = %d, batches = %d, calls = %d, refused = %d, used = %.3f }"):format(failed, batches,
  #all - batches, #tenant:requests { status = 429 }, users / LIMIT * SECONDS / seconds))
