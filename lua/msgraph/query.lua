-- lua/msgraph/query.lua
--- Where a request goes: a path and its query options become one target.
--
-- Options are given by name (`select`, `filter`, ...) or, all others, in `query`. What Entra's directory
-- calls an advanced query wants the header ConsistencyLevel and `$count=true` as well (FACTS 6.3): they are
-- added where they are needed and missing. A full URL, such as a nextLink, is nobody's to change.
local core = require "msgraph.core"
local json = require "msgraph.json"

local M = {}

---@class msgraph.QueryOpts
---@field select? string|string[]   properties wanted: { "id", "displayName" }
---@field filter? string            see graph.filter
---@field expand? string|string[]
---@field search? string            "displayName:ada"; in double quotes unless it has some
---@field orderby? string|string[]  { "displayName desc" }
---@field top? integer              the size of a page, not of the list
---@field skip? integer
---@field count? boolean            how many there are in all: `@odata.count` of the first page
---@field query? table<string, string|number|boolean> anything else, by its name on the wire
M.OPTIONS = {
  select = "any", filter = "string", expand = "any", search = "string", orderby = "any", top = "number",
  skip = "number", count = "boolean", query = "table",
}

-- ---- literals -----------------------------------------------------------------------------------

local Date = { __name = "msgraph.Date" }
Date.__index = Date

function Date:__tostring()
  return self.text
end

--- A moment for graph.filter, which writes it without quotes.
---@param seconds number Unix time, as of os.time()
---@return msgraph.Date
function M.date(seconds)
  local whole = type(seconds) == "number" and math.tointeger(seconds // 1)
  if not whole then
    error(("bad argument #1 to 'date' (Unix seconds expected, got %s)"):format(tostring(seconds)), 2)
  end
  return setmetatable({ text = os.date("!%Y-%m-%dT%H:%M:%SZ", whole) }, Date)
end

local function quoted(text)
  if not utf8.len(text) then error("the text is not UTF-8", 0) end
  return "'" .. text:gsub("'", "''") .. "'"
end

--- Text as a literal of OData: in single quotes, its own ones doubled.
---@param text string
---@return string
function M.quote(text)
  if type(text) ~= "string" then
    error(("bad argument #1 to 'quote' (string expected, got %s)"):format(type(text)), 2)
  end
  local ok, literal = pcall(quoted, text)
  if not ok then error("quote: " .. literal, 2) end
  return literal
end

local literal_of

local function literals_of(list)
  local parts, keys = {}, 0
  for i, value in ipairs(list) do parts[i] = literal_of(value) end
  for _ in pairs(list) do keys = keys + 1 end
  if keys == 0 then error("a list for `in` is empty", 0) end
  if keys ~= #parts then error("what is given for `in` is no list: it has holes or names", 0) end
  return "(" .. table.concat(parts, ",") .. ")"
end

-- As short as it can be read back; nil for what no query holds.
local function number_of(value)
  if value ~= value or value == math.huge or value == -math.huge then return nil end
  local whole = math.tointeger(value)
  if whole then return tostring(whole) end
  local short = ("%.15g"):format(value)
  return tonumber(short) == value and short or ("%.17g"):format(value)
end

function literal_of(value)
  local kind = type(value)
  if kind == "string" then return quoted(value) end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then return number_of(value) or error(value .. " is no number of OData", 0) end
  if value == json.null then return "null" end
  if getmetatable(value) == Date then return value.text end
  if kind == "table" then return literals_of(value) end
  error(("a %s has no form in a filter%s"):format(kind, kind == "nil" and ": graph.null has" or ""), 0)
end

-- Replaces the `?` outside of quoted text.
local function fill(text, values)
  local used, out = 0, {}
  local function next_value()
    used = used + 1
    if used > values.n then error(("there are more ? than values (%d)"):format(values.n), 0) end
    return literal_of(values[used])
  end
  for plain, literal in text:gmatch("([^']*)('?[^']*'?)") do
    out[#out + 1] = plain:gsub("%?", next_value) .. literal
  end
  if used < values.n then error(("there are %d values for %d ?"):format(values.n, used), 0) end
  return table.concat(out)
end

--- A filter with values in the place of its `?`: graph.filter("displayName eq ?", name).
---
--- Text is quoted, a list becomes (…,…) for `in`, graph.date(…) a moment, graph.null null.
---@param text string
---@param ... string|number|boolean|table
---@return string raises for values that do not fit
function M.filter(text, ...)
  if type(text) ~= "string" then
    error(("bad argument #1 to 'filter' (string expected, got %s)"):format(type(text)), 2)
  end
  local ok, filled = pcall(fill, text, table.pack(...))
  if not ok then error("filter: " .. filled, 2) end
  return filled
end

-- ---- options to text ----------------------------------------------------------------------------

local function listed(name, value)
  local items = type(value) == "table" and value or { value }
  for _, item in ipairs(items) do
    if type(item) ~= "string" or item == "" then
      error(("option '%s' must be names, or a list of them"):format(name), 0)
    end
  end
  if not items[1] then error(("option '%s' is an empty list"):format(name), 0) end
  return table.concat(items, ",")
end

-- $search wants its clauses in double quotes.
local function searched(_, value)
  if value:find('"', 1, true) then return value end
  return '"' .. value:gsub("\\", "\\\\") .. '"'
end

local function whole(least)
  return function(name, value)
    local number = math.tointeger(value)
    if number and number >= least then return tostring(number) end
    error(("option '%s' must be a whole number from %d, got %s"):format(name, least, value), 0)
  end
end

local function as_it_is(_, value)
  return tostring(value)
end

local WRITERS = {
  select = listed, expand = listed, orderby = listed, filter = as_it_is, search = searched, top = whole(1),
  skip = whole(0), count = as_it_is,
}

local function raw_value(name, value)
  local kind = type(value)
  if kind == "string" then return value end
  local text = kind == "boolean" and tostring(value) or kind == "number" and number_of(value)
  if text then return text end
  error(("query parameter '%s' must be a string, number or boolean, got %s"):format(name,
    kind == "number" and value or kind), 0)
end

-- All options by their name on the wire, as text that is not yet escaped.
local function wire_options(opts)
  local out = {}
  for name, value in pairs(opts.query or {}) do
    if type(name) ~= "string" then error(("query names must be strings, got %s"):format(type(name)), 0) end
    out[name] = raw_value(name, value)
  end
  for name, write in pairs(WRITERS) do
    if opts[name] ~= nil then
      if out["$" .. name] then error(("'%s' is an option and stands in query as well"):format(name), 0) end
      out["$" .. name] = write(name, opts[name])
    end
  end
  return out
end

-- `$` may stand in a query as it is, and reads better in everybody's logs.
local function query_string(options)
  local parts = {}
  for name, value in pairs(options) do
    parts[#parts + 1] = core.escape(name):gsub("^%%24", "$") .. "=" .. core.escape(value)
  end
  table.sort(parts)
  return table.concat(parts, "&")
end

-- ---- what the directory wants -------------------------------------------------------------------

local function set(names)
  local out = {}
  for name in names:gmatch("%S+") do out[name:lower()] = true end
  return out
end

-- Lists of directory objects: at the root, and below one object. (Not all of a user's lists: messages
-- are Exchange's, managedDevices Intune's, and those take no part in this.)
local COLLECTIONS = set [[
  users groups devices applications servicePrincipals contacts administrativeUnits directoryObjects]]
local RELATIONS = set [[
  members transitiveMembers memberOf transitiveMemberOf owners directReports transitiveReports ownedObjects ownedDevices
  registeredDevices registeredOwners registeredUsers createdObjects membersWithLicenseErrors]]

-- Whether a path lists directory objects; and whether it ends in /$count, or in a type (a cast).
local function shape_of(path)
  local segments = {}
  for segment in path:lower():gsub("^/v1%.0/", "/"):gsub("^/beta/", "/"):gmatch("[^/]+") do
    segments[#segments + 1] = segment
  end
  if segments[1] == "directory" then table.remove(segments, 1) end
  local shape = {}
  if segments[#segments] == "$count" then shape.count = table.remove(segments) end
  local last = segments[#segments] or ""
  if last:find("^[%w.]*graph%.%w+$") and not last:find("%.delta$") then shape.cast = table.remove(segments) end
  if segments[1] == "me" then table.insert(segments, 1, "users") end
  shape.directory = #segments == 1 and COLLECTIONS[segments[1]]
    or #segments == 3 and COLLECTIONS[segments[1]] and RELATIONS[segments[3]]
  return shape
end

-- A filter without its texts, in lower case: what is left are operators and names.
local function skeleton(filter)
  return filter:gsub("'[^']*'", "''"):lower()
end

local function has_advanced_operator(filter)
  local text = skeleton(filter)
  return text:find("%f[%w_/]ne%f[^%w_/]") or text:find("%f[%w_/]not%f[^%w_/]") or text:find("endswith%s*%(")
    or text:find("/$count", 1, true)
end

local function is_advanced(shape, options)
  local filter = options["$filter"]
  return shape.count or shape.cast and next(options) or options["$search"] or options["$count"] == "true"
    or filter and (options["$orderby"] or has_advanced_operator(filter))
end

local MOST_IN = 15 -- values after `in`, in the directory (FACTS 6.2)

local function check_in(filter)
  for values in skeleton(filter or ""):gmatch("%f[%w_/]in%s*(%b())") do
    local _, commas = values:gsub(",", "")
    if commas >= MOST_IN then
      error(("'in' takes at most %d values, this filter has %d: ask several times"):format(MOST_IN, commas + 1), 0)
    end
  end
end

local function decode(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- The options that a path brings along, by name.
local function path_options(query)
  local out = {}
  for part in query:gmatch("[^&]+") do
    local name, value = part:match("^([^=]*)=?(.*)$")
    out[decode(name)] = decode(value)
  end
  return out
end

--- Whether a header is among these.
---@param headers? table<string, string>
---@param wanted string in lower case
---@return boolean
function M.has_header(headers, wanted)
  for name in pairs(headers or {}) do
    if type(name) == "string" and name:lower() == wanted then return true end
  end
  return false
end

--- A copy of the headers with one more.
---@param headers? table<string, string>
---@param name string
---@param value string
---@return table<string, string>
function M.with_header(headers, name, value)
  local out = { [name] = value }
  for key, old in pairs(headers or {}) do out[key] = old end
  return out
end

-- Completes an advanced query, as far as the author has not done so; returns the headers.
local function advance(shape, options, all, headers)
  if not shape.count and not all["$count"] then options["$count"] = "true" end
  if M.has_header(headers, "consistencylevel") then return headers end
  return M.with_header(headers, "ConsistencyLevel", "eventual")
end

-- ---- the target ---------------------------------------------------------------------------------

local function versioned(path)
  if path:find("^/v1%.0/") or path:find("^/beta/") then return path end
  return "/v1.0" .. path
end

local function joined(path, options)
  if not next(options) then return path end
  return path .. (path:find("?", 1, true) and "&" or "?") .. query_string(options)
end

-- What the path brings and what the options say, together; a name in both is a mistake.
local function all_options(query, options)
  local all = path_options(query)
  for name, value in pairs(options) do
    if all[name] then error(("'%s' stands in the path and in the options as well"):format(name), 0) end
    all[name] = value
  end
  return all
end

--- The target of a request, and its headers; raises (level 0) for a path or option that cannot be meant.
---@param method string
---@param path string   "/users" (of v1.0), "/beta/users", or a full URL of the client's endpoint
---@param opts? msgraph.RequestOpts
---@return string target
---@return table<string, string>? headers the caller's own table where nothing is added
function M.target(method, path, opts)
  if type(path) ~= "string" then error(("path must be a string, got %s"):format(type(path)), 0) end
  local options = opts and wire_options(opts) or {}
  local headers = opts and opts.headers
  if not path:find("^/") then
    if path:find("^%a[%w+.-]*://") then return joined(path, options), headers end
    error(("path '%s' must begin with / (as in /users), or be a full URL of the endpoint"):format(path), 0)
  end
  path = versioned(path)
  local bare, query = path:match("^([^?]*)%??(.*)$")
  if method ~= "GET" or not (next(options) or query ~= "" or path:find("$", 1, true)) then
    return joined(path, options), headers
  end
  local shape, all = shape_of(bare), all_options(query, options)
  if shape.directory then
    check_in(all["$filter"])
    if is_advanced(shape, all) then headers = advance(shape, options, all, headers) end
  end
  return joined(path, options), headers
end

return M
