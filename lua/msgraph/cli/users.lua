-- lua/msgraph/cli/users.lua
--- Who is meant: the users named on the command line and in a file, each once.
--
-- Whatever cannot be a user is found here, before anything is sent, and names its line.
local csv = require "msgraph.csv"
local devices = require "msgraph.devices"
local terminal = require "msgraph.cli.terminal"

local M = {}

-- Header names that hold a user, the best first; in lower case.
local COLUMNS = { "userprincipalname", "id", "user" }

local MOST_PROBLEMS = 5 -- lines shown of what is wrong in a file

---@class msgraph.cli.User
---@field user string   object id or principal name, as given
---@field path string   "/v1.0/users/ada%40contoso.com"
---@field where string  "line 3", "argument 1"

-- Graph finds a user by these two only; anything else is a slip (a wrong column, a first name).
local function looks_right(user)
  return user:find("@", 1, true) or #user == 36 and user:find("^%x+%-%x+%-%x+%-%x+%-%x+$")
end

--- Whether a text can be a user: its path, or nil and why not.
---@param user string
---@return string? path
---@return string? reason
function M.path_of(user)
  if user:lower() == "me" then return nil, '"me" is the signed-in user: give the object id or principal name' end
  local ok, path = pcall(devices.check, user, nil, 0)
  if not ok then return nil, (path:gsub("^.-remove_all_devices: ", "")) end
  if looks_right(user) then return path end
  return nil, ('"%s" is neither an object id nor a principal name such as ada@contoso.com')
    :format(terminal.clean(user))
end

-- The column of the first row that names users, by header; nil: the row is no header.
local function column_of(header)
  for _, wanted in ipairs(COLUMNS) do
    for i, name in ipairs(header) do
      if name:lower() == wanted then return i end
    end
  end
end

--- The users in the text of a file: a CSV with a column userPrincipalName, id or user, or a user a line.
---@param text string
---@return { user: string, where: string }[]? entries
---@return string? reason
function M.parse(text)
  local records, reason = csv.parse(text)
  if not records then return nil, reason end
  if not records[1] then return nil, "it is empty" end
  local column, first = column_of(records[1]), 2
  if not column then
    if #records[1] > 1 then
      return nil, ("line %d: none of its columns (%s) is userPrincipalName, id or user")
        :format(records[1].line, terminal.clean(table.concat(records[1], ", ")))
    end
    column, first = 1, 1
  end
  local entries = {}
  for i = first, #records do
    entries[#entries + 1] = { user = records[i][column] or "", where = "line " .. records[i].line }
  end
  if #entries == 0 then return nil, "it has a header and no users" end
  return entries
end

local function read_file(name)
  local file, reason = io.stdin, nil
  if name ~= "-" then file, reason = io.open(name, "rb") end
  if not file then return nil, reason end
  local text
  text, reason = file:read("a")
  if name ~= "-" then file:close() end
  return text, reason and ("%s: %s"):format(name, reason)
end

local function entries_of(args, file)
  local entries = {}
  for i, user in ipairs(args) do entries[i] = { user = user, where = "argument " .. i } end
  if not file then return entries end
  local text, reason = read_file(file)
  if not text then return nil, reason end
  local listed
  listed, reason = M.parse(text)
  if not listed then return nil, ("%s: %s"):format(file == "-" and "standard input" or file, reason) end
  return table.move(listed, 1, #listed, #entries + 1, entries)
end

local function refusal(problems)
  local shown = table.concat(problems, "\n  ", 1, math.min(#problems, MOST_PROBLEMS))
  local more = #problems > MOST_PROBLEMS and ("\n  and %d more"):format(#problems - MOST_PROBLEMS) or ""
  return ("nothing was sent, as not every user can be meant:\n  %s%s"):format(shown, more)
end

--- Gathers the users to act on, without those named twice (in any letter case).
---@param args string[]   users from the command line
---@param file? string    name of a file, "-" for standard input
---@return msgraph.cli.User[]? users
---@return string? reason
---@return string[]? duplicates a line for each user that was left out
function M.gather(args, file)
  local entries, reason = entries_of(args, file)
  if not entries then return nil, reason end
  local users, duplicates, problems, seen = {}, {}, {}, {}
  for _, entry in ipairs(entries) do
    local path, problem = M.path_of(entry.user)
    local twin = seen[entry.user:lower()]
    if not path then
      problems[#problems + 1] = ("%s: %s"):format(entry.where, problem)
    elseif twin then
      duplicates[#duplicates + 1] = ("%s (%s) is %s (%s) again"):format(entry.user, entry.where, twin.user, twin.where)
    else
      seen[entry.user:lower()] = entry
      users[#users + 1] = { user = entry.user, path = path, where = entry.where }
    end
  end
  if #problems > 0 then return nil, refusal(problems) end
  if #users == 0 then return nil, "no users: name some, or give a list with --file" end
  return users, nil, duplicates
end

return M
