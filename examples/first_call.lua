-- Takes all devices of one user out of management:  lua5.4 first_call.lua ada@contoso.com
-- MSGRAPH_ACCESS_TOKEN holds a token with DeviceManagementManagedDevices.PrivilegedOperations.All.
local graph = require "msgraph"

local user = assert(arg[1], "whose devices? give an object id or principal name")
local ok, err = graph.remove_all_devices(user)
if not ok then
  io.stderr:write(tostring(err), "\n") -- one line: what went wrong, the request's id, what to do
  os.exit(1)
end
print("accepted: the devices of " .. user .. " retire when they next check in")
