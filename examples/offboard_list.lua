-- Takes the devices of a list of leavers out of management, sixteen users at a time.
--
--   lua5.4 offboard_list.lua leavers.csv result.csv
--
-- leavers.csv: a header line with a column userPrincipalName, then a user a line. result.csv gets
-- a line for every one of them, whatever happens to the others; it appears whole or not at all.
-- It signs in as docs/auth.md says, and needs DeviceManagementManagedDevices.PrivilegedOperations.All.
--
-- Exit: 0 all accepted, 1 not all, 2 nothing was sent.
local graph = require "msgraph"

local AT_ONCE <const> = 16

local function give_up(message)
  io.stderr:write(message, "\n")
  os.exit(2)
end

-- Fields of a line of CSV; a quoted one may hold commas and doubled quotes, but no line end.
local function fields_of(line)
  local fields, at = {}, 1
  line = line:gsub("\r$", "") .. ","
  while at <= #line do
    local value, after = line:match('^"(.-)",()', at)
    if not value then value, after = line:match("^([^,]*),()", at) end
    fields[#fields + 1] = value:gsub('""', '"')
    at = after
  end
  return fields
end

local function read_leavers(name)
  local file = io.open(name) or give_up("cannot read " .. name)
  local header = fields_of((file:read("l") or ""):gsub("^\xEF\xBB\xBF", ""))
  local column, users = nil, {}
  for i, title in ipairs(header) do
    if title:lower() == "userprincipalname" then column = i end
  end
  if not column then give_up(name .. ": no column userPrincipalName") end
  for line in file:lines() do
    local user = fields_of(line)[column]
    if user and user ~= "" then users[#users + 1] = user end
  end
  file:close()
  return users
end

local function csv_line(...)
  local cells = { ... }
  for i, cell in ipairs(cells) do cells[i] = '"' .. tostring(cell):gsub('"', '""') .. '"' end
  return table.concat(cells, ",") .. "\n"
end

-- What became of one user. A mistake in the list ("me", a blank) raises, and costs that user alone.
local function offboard(client, user)
  local ran, done, err = pcall(client.remove_all_devices, client, user)
  if not ran then return "refused", "", done end
  if done then return "accepted", "", "" end
  local state = err.kind == "ambiguous" and "unknown" or "failed" -- unknown: look at the devices first
  return state, err.request_id or err.client_request_id or "", tostring(err)
end

if not arg[2] then give_up("usage: offboard_list.lua leavers.csv result.csv") end
local users = read_leavers(arg[1])
local client <close>, problem = graph.connect()
if not client then give_up(tostring(problem)) end
local signed_in, reason = client:sign_in() -- now, not once for each user
if not signed_in then give_up(tostring(reason)) end

-- Each line is on disk when its user is done; the name becomes right when all are.
local part = arg[2] .. ".part"
local out = io.open(part, "w") or give_up("cannot write " .. part)
assert(out:write(csv_line("userPrincipalName", "state", "requestId", "message")))

local accepted = 0
graph.map(users, { concurrency = AT_ONCE }, function(user)
  local state, request_id, message = offboard(client, user)
  if state == "accepted" then accepted = accepted + 1 end
  print(("%-10s %s"):format(state, user))
  assert(out:write(csv_line(user, state, request_id, message)))
  assert(out:flush())
end)

assert(out:close())
assert(os.rename(part, arg[2]))
print(("%d of %d accepted, details in %s"):format(accepted, #users, arg[2]))
os.exit(accepted == #users and 0 or 1, true)
