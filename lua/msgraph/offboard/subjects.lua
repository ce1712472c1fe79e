-- lua/msgraph/offboard/subjects.lua
--- Who is meant: names of a file, a list, a group or a filter become accounts, each once, by object id.
--
-- A name must be exactly one account's. What matches nobody or two is told with its line; people named twice, in
-- whatever letter case or by whatever property, are one person.
local core = require "msgraph.core"
local csv = require "msgraph.csv"
local errors = require "msgraph.errors"
local query = require "msgraph.query"
local reads = require "msgraph.offboard.reads"
local task = require "msgraph.task"

local M = {}

---@class msgraph.offboard.Person
---@field id string
---@field account table   properties of reads.ACCOUNT
---@field where string    "line 3": where he was named first

local MOST_SHOWN <const> = 5
local CHUNK <const> = 15 -- values after `in` (FACTS 6.2)

local function fail(message)
  return nil, errors.new { kind = "invalid", code = "subjects", message = message }
end

-- ---- names --------------------------------------------------------------------------------------

local COLUMNS = { { "userprincipalname", "userPrincipalName" }, { "id", "id" }, { "user", "userPrincipalName" },
  { "mail", "mail" } }

local function is_id(value)
  return #value == 36 and value:find("^%x+%-%x+%-%x+%-%x+%-%x+$") ~= nil
end

local function is_somebody(value) return value:find("@", 1, true) or is_id(value) end

local function entry_of(value, where, property)
  if is_id(value) then property = "id" end
  return { value = value, property = property or "userPrincipalName", where = where }
end

-- The column that names people, and the property it holds.
local function column_of(header, key)
  for _, column in ipairs(COLUMNS) do
    if not key or column[2] == key and column[1] == key:lower() then
      for i, name in ipairs(header) do
        if name:lower() == column[1] then return i, column[2] end
      end
    end
  end
end

-- The names in the text of a CSV file; or nil and why not.
local function parse(text, key)
  local records, reason = csv.parse(text)
  if not records then return nil, reason end
  if not records[1] then return nil, "it is empty" end
  local column, property = column_of(records[1], key)
  local first = 2
  if not column and (#records[1] > 1 or key and not is_somebody(records[1][1])) then
    return nil, ("line %d: none of its columns (%s) is %s"):format(records[1].line, table.concat(records[1], ", "),
      key or "userPrincipalName, id or mail")
  elseif not column then
    column, property, first = 1, key, 1
  end
  local entries = {}
  for i = first, #records do
    entries[#entries + 1] = entry_of(records[i][column] or "", "line " .. records[i].line, property)
  end
  if #entries == 0 then return nil, "it has a header and no people" end
  return entries
end

local function read_csv(source)
  if not source.file then
    return fail("the workflow takes its people from a CSV file, and none was given: --users FILE")
  end
  local file, reason = io.stdin, nil
  if source.file ~= "-" then file, reason = io.open(source.file, "rb") end
  local text = file and file:read("a")
  if file and file ~= io.stdin then file:close() end
  if not text then return fail(reason or source.file .. " cannot be read") end
  local entries
  entries, reason = parse(text, source.key)
  if not entries then return fail(("%s: %s"):format(source.file, reason)) end
  return entries
end

-- ---- accounts -----------------------------------------------------------------------------------

-- Distinct values of each property, in pieces that fit a filter.
local function chunks_of(entries)
  local by_property, chunks, seen = {}, {}, {}
  for _, entry in ipairs(entries) do
    local value = entry.value:lower()
    local key = entry.property .. " " .. value
    if value ~= "" and not seen[key] then
      seen[key] = true
      local chunk = by_property[entry.property]
      if not chunk or #chunk == CHUNK then
        chunk = { property = entry.property }
        by_property[entry.property], chunks[#chunks + 1] = chunk, chunk
      end
      chunk[#chunk + 1] = value
    end
  end
  return chunks
end

-- Values that no filter can take match nobody.
local function filter_of(chunk)
  local usable = {}
  for _, value in ipairs(chunk) do
    if utf8.len(value) and #value <= 120 and not value:find("%c") then usable[#usable + 1] = value end
  end
  return usable[1] and query.filter(chunk.property .. " in ?", usable)
end

-- Accounts by property and value in lower case.
local function look_up(g, entries)
  local found = {}
  local results = task.map(chunks_of(entries), { batch = true }, function(chunk)
    local filter = filter_of(chunk)
    return { chunk.property, filter and g.list("/users", { select = reads.ACCOUNT, filter = filter }) or {} }
  end)
  for i = 1, results.n do
    local property, accounts = table.unpack(results[i])
    for _, account in ipairs(accounts) do
      local key = property .. " " .. tostring(account[property]):lower()
      found[key] = found[key] or {}
      table.insert(found[key], account)
    end
  end
  return found
end

local function mismatch(entry, accounts)
  if entry.value == "" then return entry.where .. ": nobody is named" end
  if not accounts then return ("%s: %s matches nobody"):format(entry.where, entry.value) end
  return ("%s: %s matches %d accounts (%s, %s)"):format(entry.where, entry.value, #accounts,
    accounts[1].userPrincipalName, accounts[2].userPrincipalName)
end

-- Each person once, in the order of the list.
local function each_once(pairs_of)
  local people, duplicates, seen = {}, {}, {}
  for _, pair in ipairs(pairs_of) do
    local entry, account = pair[1], pair[2]
    local twin = seen[account.id]
    if twin then
      duplicates[#duplicates + 1] = ("%s (%s) is %s (%s) again"):format(entry.value, entry.where,
        account.userPrincipalName, twin)
    else
      seen[account.id] = entry.where
      people[#people + 1] = { id = account.id, account = account, where = entry.where }
    end
  end
  return people, duplicates
end

-- Names to accounts: pairs of entry and account, and a line for each name that is not exactly one's.
local function match(g, entries)
  local found, matched, unmatched = look_up(g, entries), {}, {}
  for _, entry in ipairs(entries) do
    local accounts = found[entry.property .. " " .. entry.value:lower()]
    if accounts and #accounts == 1 then
      matched[#matched + 1] = { entry, accounts[1] }
    else
      unmatched[#unmatched + 1] = mismatch(entry, accounts)
    end
  end
  return matched, unmatched
end

local function listed(lines)
  local shown = table.concat(lines, "; ", 1, math.min(#lines, MOST_SHOWN))
  return #lines > MOST_SHOWN and ("%s; and %d more"):format(shown, #lines - MOST_SHOWN) or shown
end

-- ---- sources ------------------------------------------------------------------------------------

local function entries_of_list(who)
  local entries = {}
  for i, value in ipairs(who) do entries[i] = entry_of(value:match("^%s*(.-)%s*$"), "item " .. i) end
  return entries
end

local function of_names(g, source)
  local entries, err = source.kind == "list" and entries_of_list(source.who)
  if not entries then entries, err = read_csv(source) end
  if not entries then return nil, err end
  local matched, unmatched = match(g, entries)
  if unmatched[1] and not source.skip_unmatched then
    return fail(("%d of %d names are not exactly one account's: %s"):format(#unmatched, #entries, listed(unmatched)))
  end
  local people, duplicates = each_once(matched)
  return { people = people, duplicates = duplicates, unmatched = unmatched }
end

local function of_accounts(accounts, where)
  local people = {}
  for i, account in ipairs(accounts) do people[i] = { id = account.id, account = account, where = where } end
  return { people = people, duplicates = {}, unmatched = {} }
end

--- The id of a group given by name or id.
---@return string? id
---@return msgraph.Error?
local function group_id(g, source)
  if source.id then return source.id end
  local groups = g.list("/groups", { select = { "id", "displayName" },
    filter = query.filter("displayName eq ?", source.name) })
  if #groups == 1 then return groups[1].id end
  return fail(("%d groups are named %q: %s"):format(#groups, source.name, #groups == 0 and "check the name"
    or "give the id, as in ob.group { id = \"…\" }"))
end

local function of_group(g, source, select)
  local id, err = group_id(g, source)
  if not id then return nil, err end
  return g.list("/groups/%s/transitiveMembers/microsoft.graph.user", id, { select = select })
end

local SOURCES = { csv = of_names, list = of_names }

function SOURCES.group(g, source)
  local accounts, err = of_group(g, source, reads.ACCOUNT)
  if not accounts then return nil, err end
  return of_accounts(accounts, "group " .. (source.name or source.id))
end

function SOURCES.filter(g, source)
  return of_accounts(g.list("/users", { select = reads.ACCOUNT, filter = source.filter }), "filter")
end

--- Finds the people of a source. Raises the msgraph.Error of a read.
---@param g msgraph.offboard.Reader
---@param source msgraph.offboard.Source
---@return { people: msgraph.offboard.Person[], duplicates: string[], unmatched: string[] }?
---@return msgraph.Error? code "subjects"
function M.find(g, source)
  local found, err = SOURCES[source.kind](g, source)
  if not found then return nil, err end
  if #found.people == 0 then
    return fail("there is nobody in the list: a plan for nobody is a mistake, not a success")
  end
  return found
end

--- Finds people by name, for parameters and options: name in lower case to account.
---@param g msgraph.offboard.Reader
---@param names string[]
---@param what string for the message: "param 'delegate'"
---@return table<string, table>?
---@return msgraph.Error?
function M.resolve(g, names, what)
  local matched, unmatched = match(g, entries_of_list(names))
  if unmatched[1] then return fail(("%s: %s"):format(what, listed(unmatched):gsub("item %d+: ", ""))) end
  local out = {}
  for _, pair in ipairs(matched) do out[pair[1].value:lower()] = pair[2] end
  return out
end

-- ---- protected ----------------------------------------------------------------------------------

local PROTECTED = {}

function PROTECTED.self(_, _, me)
  return me and { [me.id] = "it is the account this plan is made with" } or {}
end

function PROTECTED.break_glass(g, item)
  local found, err = M.resolve(g, item.who, "break_glass")
  if not found then return nil, err end
  local out = {}
  for _, account in pairs(found) do out[account.id] = "it is a break-glass account" end
  return out
end

function PROTECTED.group(g, item)
  local members, err = of_group(g, item, { "id" })
  if not members then return nil, err end
  local out = {}
  local reason = ("it is in the protected group %s"):format(item.name or item.id)
  for _, member in ipairs(members) do out[member.id] = reason end
  return out
end

--- Who is not to be touched, by id with the reason. Raises the msgraph.Error of a read.
---@param g msgraph.offboard.Reader
---@param list table[] what the workflow protects
---@param me? table the account that plans
---@return table<string, string>?
---@return msgraph.Error?
function M.protected(g, list, me)
  local out = {}
  for _, item in ipairs(list) do
    local find = PROTECTED[item.kind] -- role holders are seen person by person
    local reasons, err = {}, nil
    if find then reasons, err = find(g, item, me) end
    if not reasons then return nil, err end
    for id, reason in pairs(reasons) do out[id] = out[id] or reason end
  end
  return out
end

--- A path below a user.
---@param id string
---@return string
function M.path(id)
  return "/users/" .. core.segment(id)
end

return M
