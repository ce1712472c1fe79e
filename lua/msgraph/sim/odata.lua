-- lua/msgraph/sim/odata.lua - query options: read, checked and applied.
--
-- What the service takes is a small part of OData, and different for every resource. A resource
-- says what it knows (msgraph.sim.Resource); anything else is 400, never silently ignored.
local json = require "msgraph.sim.json"
local random = require "msgraph.sim.random"
local reply = require "msgraph.sim.reply"

local M = {}

local KIND_OF_SKIPTOKEN <const> = 40

--- A page ends after this many records were looked at, so a filter that matches little gives short
--- and even empty pages with a nextLink, as the service does.
M.SCAN_LIMIT = 2000

---@class msgraph.sim.Resource
---@field type string                              "microsoft.graph.user"
---@field known table<string, true>                every property of the type
---@field default string[]                         properties sent without $select, in order
---@field value fun(record: table, name: string): any
---@field page integer                             items a page without $top
---@field max_page integer
---@field clamp? boolean                           a $top above max_page is lowered, not refused
---@field filters table<string, table<string, true>> property -> operators: "eq", "startswith"
---@field narrow table<string, fun(store, value): integer?, integer?> property -> the positions `eq` leaves
---@field count_needs_consistency? boolean         $count asks for ConsistencyLevel: eventual
---@field refuse fun(ctx, message): msgraph.sim.Answer  400 in the words of the service behind

-- ---- reading ---------------------------------------------------------------------------------

local function decode(text)
  text = text:gsub("+", " ")
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- "a=1&b=2" as a table; names and values decoded.
---@param query string
---@return table<string, string>
function M.query(query)
  local out = {}
  for part in query:gmatch("[^&]+") do
    local name, value = part:match("^([^=]*)=?(.*)$")
    out[decode(name)] = decode(value)
  end
  return out
end

-- ---- $filter ---------------------------------------------------------------------------------

local LITERALS = { ["true"] = true, ["false"] = false }

--- Words, quoted strings and punctuation; nil where the text is none of them.
local function tokens(text)
  local out, at = {}, 1
  while true do
    at = text:match("^%s*()", at)
    if at > #text then return out end
    local word, after = text:match("^([%a_][%w_/]*)()", at)
    local mark, after_mark = text:match("^([(),])()", at)
    if word then
      out[#out + 1], at = { word = word }, after
    elseif mark then
      out[#out + 1], at = { mark = mark }, after_mark
    else
      local stop = at
      repeat -- '' inside a string is one quote
        stop = text:match("^'[^']*'()", stop)
        if not stop then return nil end
      until text:sub(stop, stop) ~= "'"
      out[#out + 1], at = { string = text:sub(at + 1, stop - 2):gsub("''", "'") }, stop
    end
  end
end

local Reader = {}
Reader.__index = Reader

function Reader:take(field, value)
  local token = self[self.at]
  if not token or token[field] == nil or (value and token[field] ~= value) then return nil end
  self.at = self.at + 1
  return token[field]
end

function Reader:literal()
  local text = self:take("string")
  if text then return text, true end
  local word = self:take("word")
  if word == "null" then return nil, true end
  return LITERALS[word], LITERALS[word] ~= nil
end

function Reader:condition()
  if self:take("word", "startswith") then
    local property = self:take("mark", "(") and self:take("word")
    local text = property and self:take("mark", ",") and self:take("string")
    if not text or not self:take("mark", ")") then return nil end
    return { operator = "startswith", property = property, value = text }
  end
  local property = self:take("word")
  local operator = property and self:take("word")
  if not operator then return nil end
  local value, ok = self:literal()
  return ok and { operator = operator, property = property, value = value } or nil
end

--- Conditions joined by `and`, or nil when the text is not that.
---@param text string
---@return table[]?
function M.filter(text)
  local list = tokens(text)
  if not list then return nil end
  local reader, out = setmetatable(list, Reader), {}
  reader.at = 1
  repeat
    local condition = reader:condition()
    if not condition then return nil end
    out[#out + 1] = condition
  until not reader:take("word", "and")
  return reader.at > #list and out or nil
end

--- Strings are compared without regard to case, as the directory does.
local function fold(value)
  return type(value) == "string" and value:lower() or value
end

local function holds(condition, value)
  local wanted = fold(condition.value)
  value = fold(value)
  if condition.operator == "eq" then return value == wanted end
  return type(value) == "string" and value:sub(1, #wanted) == wanted
end

local function matches(conditions, resource, record)
  for _, condition in ipairs(conditions) do
    if not holds(condition, resource.value(record, condition.property)) then return false end
  end
  return true
end

-- ---- checking --------------------------------------------------------------------------------

local KNOWN = { ["$top"] = true, ["$select"] = true, ["$filter"] = true, ["$count"] = true, ["$skiptoken"] = true }

local function read_select(ctx, resource, text)
  if not text then return resource.default end
  local names = {}
  for name in text:gmatch("[^,%s]+") do
    if not resource.known[name] then
      return nil, reply.bad_request(ctx, "Parsing OData Select and Expand failed: Could not find a property named '"
        .. name .. "' on type '" .. resource.type .. "'.")
    end
    names[#names + 1] = name
  end
  return names
end

local function read_top(ctx, resource, text)
  if not text then return resource.page end
  local top = text:match("^%d+$") and math.tointeger(tonumber(text))
  if top and resource.clamp then top = math.min(top, resource.max_page) end
  if top and top >= 1 and top <= resource.max_page then return top end
  return nil, resource.refuse(ctx, "Invalid page size specified: '" .. text .. "'. Must be between 1 and "
    .. resource.max_page .. " inclusive.")
end

local function read_filter(ctx, resource, text)
  if not text then return {} end
  local conditions = M.filter(text)
  if not conditions then return nil, reply.bad_request(ctx, "Invalid filter clause") end
  for _, condition in ipairs(conditions) do
    local allowed = resource.filters[condition.property]
    if not allowed or not allowed[condition.operator] then
      return nil, resource.refuse(ctx, "Unsupported or invalid query filter clause specified for property '"
        .. condition.property .. "' of resource '" .. resource.type:match("[^.]*$") .. "'.")
    end
  end
  return conditions
end

local function read_skiptoken(ctx, resource, text)
  if not text then return nil end
  local position = random.index(ctx.seed, KIND_OF_SKIPTOKEN, text)
  if position then return position end
  return nil, resource.refuse(ctx, "Skip token is invalid.")
end

local function wants_count(ctx, resource, options)
  if options["$count"] ~= "true" or options["$skiptoken"] then return false end
  return not resource.count_needs_consistency or (ctx.headers["consistencylevel"] or ""):lower() == "eventual"
end

local READERS = {
  { "$filter", read_filter }, { "$select", read_select }, { "$top", read_top }, { "$skiptoken", read_skiptoken },
}

--- The query options of a request, or nil and the answer that refuses them.
---@param ctx msgraph.sim.Context
---@param resource msgraph.sim.Resource
local function read(ctx, resource, allowed)
  local options = M.query(ctx.query)
  for name in pairs(options) do
    if name:sub(1, 1) == "$" and not allowed[name] then
      return nil, resource.refuse(ctx, "Query option '" .. name .. "' is not supported.")
    end
  end
  local out = { count = wants_count(ctx, resource, options), selected = options["$select"] }
  for _, reader in ipairs(READERS) do
    local value, refusal = reader[2](ctx, resource, options[reader[1]])
    if refusal then return nil, refusal end
    out[reader[1]] = value
  end
  return out
end

-- ---- applying --------------------------------------------------------------------------------

local function project(resource, record, names)
  local out = {}
  for _, name in ipairs(names) do out[name] = resource.value(record, name) end
  return out
end

local function context_url(ctx, set, selected)
  return ctx.base .. "/$metadata#" .. set .. (selected and "(" .. selected .. ")" or "")
end

--- The positions worth looking at: all, or those of the one user an `eq` names.
local function range(ctx, resource, conditions, first, last)
  for _, condition in ipairs(conditions) do
    local narrow = condition.operator == "eq" and resource.narrow[condition.property]
    if narrow then
      local low, high = narrow(ctx.store, tostring(condition.value))
      if not low then return first, first - 1 end
      first, last = math.max(first, low), math.min(last, high)
    end
  end
  return first, last
end

--- Records from `position` to `last` that match, at most `top` of them and after at most `scan` looked
--- at, and the position to go on from, nil at the end.
local function collect(walk, conditions, resource, position, last, top, scan)
  local items, scanned = {}, 0
  while position <= last do
    local record, after = walk(position)
    if not record or after - 1 > last then return items end
    if #items == top or scanned == scan then return items, position end
    if matches(conditions, resource, record) then items[#items + 1] = record end
    position, scanned = after, scanned + 1
  end
  return items
end

--- The same request with another skip token, whatever else it asked for. The count comes once only.
local function next_link(ctx, position)
  local parts = {}
  for part in ctx.query:gmatch("[^&]+") do
    local name = decode(part:match("^[^=]*"))
    if name ~= "$skiptoken" and name ~= "$count" then parts[#parts + 1] = part end
  end
  parts[#parts + 1] = "$skiptoken=" .. random.id(ctx.seed, KIND_OF_SKIPTOKEN, position)
  return ctx.origin .. ctx.path .. "?" .. table.concat(parts, "&")
end

local PAGE = { "@odata.context", "value" }
local PAGE_MORE = { "@odata.context", "@odata.nextLink", "value" }
local PAGE_COUNT = { "@odata.context", "@odata.count", "value" }
local PAGE_COUNT_MORE = { "@odata.context", "@odata.count", "@odata.nextLink", "value" }

local function page_names(count, more)
  if count then return more and PAGE_COUNT_MORE or PAGE_COUNT end
  return more and PAGE_MORE or PAGE
end

--- Answers a list request.
---@param ctx msgraph.sim.Context
---@param resource msgraph.sim.Resource
---@param set string what @odata.context names
---@param walk fun(position: integer): table?, integer  the record at or after a position, and the next position
---@param first integer
---@param last integer
---@return msgraph.sim.Answer
function M.list(ctx, resource, set, walk, first, last)
  local options, refusal = read(ctx, resource, KNOWN)
  if not options then return refusal end
  first, last = range(ctx, resource, options["$filter"], first, last)
  local count = options.count and #collect(walk, options["$filter"], resource, first, last, math.maxinteger) or nil
  local start = math.max(options["$skiptoken"] or first, first)
  local records, more = collect(walk, options["$filter"], resource, start, last, options["$top"], M.SCAN_LIMIT)
  local items = {}
  for i, record in ipairs(records) do
    items[i] = json.ordered(project(resource, record, options["$select"]), options["$select"])
  end
  return reply.ok(json.ordered({
    ["@odata.context"] = context_url(ctx, set, options.selected),
    ["@odata.count"] = count,
    ["@odata.nextLink"] = more and next_link(ctx, more),
    value = json.array(items),
  }, page_names(count, more)))
end

local ONE = { ["$select"] = true }

--- Answers a request for one record.
---@return msgraph.sim.Answer
function M.one(ctx, resource, set, record)
  local options, refusal = read(ctx, resource, ONE)
  if not options then return refusal end
  local names = table.move(options["$select"], 1, #options["$select"], 2, { "@odata.context" })
  local out = project(resource, record, options["$select"])
  out["@odata.context"] = context_url(ctx, set, options.selected) .. "/$entity"
  return reply.ok(json.ordered(out, names))
end

--- A space-separated list of names as a set.
---@param names string
---@return table<string, true>
function M.set(names)
  local out = {}
  for name in names:gmatch("%S+") do out[name] = true end
  return out
end

return M
