-- lua/msgraph/sim/odata.lua - query options: read, checked and applied.
--
-- What the service takes is a small part of OData, and different for every resource. A resource
-- says what it knows (msgraph.sim.Resource); anything else is 400, never silently ignored.
local filters = require "msgraph.sim.filter"
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
---@field filters table<string, table<string, true>> property -> operators: "eq", "ne", "in", "startswith", "endswith"
---@field sorts? table<string, true>              properties $orderby may name
---@field searches? table<string, true>           properties $search may name
---@field narrow table<string, fun(store, value): integer?, integer?> property -> the positions `eq` leaves
---@field directory? boolean                       advanced queries ask for ConsistencyLevel: eventual and $count=true
---@field refuse fun(ctx, message): msgraph.sim.Answer  400 in the words of the service behind

--- A space-separated list of names as a set.
---@param names string
---@return table<string, true>
function M.set(names)
  local out = {}
  for name in names:gmatch("%S+") do out[name] = true end
  return out
end

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

-- ---- checking --------------------------------------------------------------------------------

local KNOWN = {
  ["$top"] = true, ["$select"] = true, ["$filter"] = true, ["$count"] = true, ["$skiptoken"] = true,
  ["$search"] = true, ["$orderby"] = true,
}

local function read_select(ctx, resource, text)
  if not text then return resource.default end
  local names = {}
  if resource.default[1] == "@odata.type" then names[1] = "@odata.type" end -- what the item is: no property of it
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

local MOST_IN <const> = 15

local function read_filter(ctx, resource, text)
  if not text then return {} end
  local conditions = filters.read(text)
  if not conditions then return nil, reply.bad_request(ctx, "Invalid filter clause") end
  for _, condition in ipairs(conditions) do
    local allowed = resource.filters[condition.property]
    if not allowed or not allowed[condition.operator] then
      return nil, resource.refuse(ctx, "Unsupported or invalid query filter clause specified for property '"
        .. condition.property .. "' of resource '" .. resource.type:match("[^.]*$") .. "'.")
    end
    if condition.operator == "in" and #condition.value > MOST_IN then
      return nil, resource.refuse(ctx, "Too many child clauses specified in search filter expression containing 'OR' "
        .. "operators: " .. #condition.value .. ". Max allowed: " .. MOST_IN .. ".")
    end
  end
  return conditions
end

--- "property:text" clauses in double quotes, joined by AND, as conditions.
local function read_search(ctx, resource, text)
  if not text then return {} end
  local conditions, rest = {}, text
  repeat
    local property, value, after = rest:match('^%s*"([%w/]+):([^"]*)"%s*()')
    if not property or not (resource.searches or {})[property] then
      return nil, resource.refuse(ctx, "Syntax error in the search query, or its property is not supported.")
    end
    conditions[#conditions + 1] = { operator = "search", property = property, value = value }
    rest = rest:sub(after):gsub("^AND%f[^%w]", "", 1)
  until rest == ""
  return conditions
end

local function read_orderby(ctx, resource, text)
  if not text then return false end
  local property, way = text:match("^%s*([%w/]+)%s*(%a*)%s*$")
  if not property or not (resource.sorts or {})[property] or way ~= "" and way ~= "asc" and way ~= "desc" then
    return nil, resource.refuse(ctx, "Sorting not supported for current query.")
  end
  return { property = property, descending = way == "desc" }
end

--- A token hides a position, and a number that makes two tokens for one position differ.
local SALTS <const> = 4096

local function read_skiptoken(ctx, resource, text)
  if not text then return false end
  local position = random.index(ctx.seed, KIND_OF_SKIPTOKEN, text)
  if position then return position // SALTS end
  return nil, resource.refuse(ctx, "Skip token is invalid.")
end

local function is_eventual(ctx)
  return (ctx.headers["consistencylevel"] or ""):lower() == "eventual"
end

local function wants_count(ctx, resource, options)
  if options["$count"] ~= "true" or options["$skiptoken"] then return false end
  return not resource.directory or is_eventual(ctx)
end

local ADVANCED = { ne = true, endswith = true }

--- Whether the directory needs its other index for this.
local function is_advanced(out)
  if out["$search"][1] or out["$filter"][1] and out["$orderby"] then return true end
  for _, condition in ipairs(out["$filter"]) do
    if ADVANCED[condition.operator] or condition.negated then return true end
  end
  return false
end

local function check_consistency(ctx, resource, counted, out)
  if not resource.directory or not is_advanced(out) then return nil end
  if is_eventual(ctx) and (counted or out["$search"][1]) then return nil end
  return resource.refuse(ctx, "Request with $search, ne, not, endsWith or $filter with $orderby only works with "
    .. "the request header 'ConsistencyLevel: eventual' and $count=true.")
end

local READERS = {
  { "$filter", read_filter }, { "$search", read_search }, { "$orderby", read_orderby }, { "$select", read_select },
  { "$top", read_top }, { "$skiptoken", read_skiptoken },
}

--- The query options of a request, or nil and the answer that refuses them.
---@param ctx msgraph.sim.Context
---@param resource msgraph.sim.Resource
---@param allowed table<string, boolean> false: allowed, and read by whoever calls this
---@param counted? boolean the path asks for the count
function M.read(ctx, resource, allowed, counted)
  local options = M.query(ctx.query)
  for name in pairs(options) do
    if name:sub(1, 1) == "$" and allowed[name] == nil then
      return nil, resource.refuse(ctx, "Query option '" .. name .. "' is not supported.")
    end
  end
  local out = { count = wants_count(ctx, resource, options), selected = options["$select"] }
  for _, reader in ipairs(READERS) do
    local value, refusal = reader[2](ctx, resource, allowed[reader[1]] == true and options[reader[1]] or nil)
    if refusal then return nil, refusal end
    out[reader[1]] = value
  end
  out.conditions = table.move(out["$search"], 1, #out["$search"], #out["$filter"] + 1,
    table.move(out["$filter"], 1, #out["$filter"], 1, {}))
  local refusal = check_consistency(ctx, resource, counted or options["$count"] == "true", out)
  if refusal then return nil, refusal end
  return out
end

-- ---- applying --------------------------------------------------------------------------------

local function project(resource, record, names)
  local out = {}
  for _, name in ipairs(names) do out[name] = resource.value(record, name) end
  return out
end

--- One record as an item of a list.
function M.item(resource, record, names)
  return json.ordered(project(resource, record, names), names)
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
    if filters.holds(conditions, resource.value, record) then items[#items + 1] = record end
    position, scanned = after, scanned + 1
  end
  return items
end

--- The same request with another token instead of the one it had.
---@param ctx msgraph.sim.Context
---@param name? string "$skiptoken", "$deltatoken"; nil: none, as the first request was
---@param token? string
---@return string
function M.link(ctx, name, token)
  local parts = {}
  for part in ctx.query:gmatch("[^&]+") do
    local other = decode(part:match("^[^=]*"))
    if other ~= "$skiptoken" and other ~= "$deltatoken" then parts[#parts + 1] = part end
  end
  if name then parts[#parts + 1] = name .. "=" .. token end
  return ctx.origin .. ctx.path .. "?" .. table.concat(parts, "&")
end

local function next_link(ctx, position, salt)
  return M.link(ctx, "$skiptoken", random.id(ctx.seed, KIND_OF_SKIPTOKEN, position * SALTS + (salt or 0)))
end

--- What a page may look like that a client must not fall for (the fault "page").
local SPOILT = {
  empty = function(ctx, page, start) -- what was asked for comes with the next page
    page.value, page["@odata.nextLink"] = json.array {}, next_link(ctx, start, ctx.n % (SALTS - 1) + 1)
  end,
  ["repeat"] = function(ctx, page) page["@odata.nextLink"] = ctx.origin .. ctx.path .. "?" .. ctx.query end,
  cycle = function(ctx, page) page["@odata.nextLink"] = M.link(ctx) end,
  foreign = function(ctx, page) page["@odata.nextLink"] = "https://graph.example.com" .. ctx.path .. "?x=1" end,
  short = function(_, page) page["@odata.nextLink"] = nil end,
  refused = function(ctx, page) page["@odata.nextLink"] = M.link(ctx, "$skiptoken", "expired") end,
}

local PAGE <const> = { "@odata.context", "@odata.count", "@odata.nextLink", "@odata.deltaLink", "value" }
local names_of = {} -- which of them a page has -> those names, one list for all such pages

--- A page as it is sent: its properties in order, and only those it has.
---@param page table
---@return msgraph.sim.Answer
function M.page(page)
  local key = ""
  for i, name in ipairs(PAGE) do key = key .. (page[name] ~= nil and i or "") end
  local names = names_of[key] or {}
  if not names_of[key] then
    for at in key:gmatch("%d") do names[#names + 1] = PAGE[tonumber(at)] end
    names_of[key] = names
  end
  return reply.ok(json.ordered(page, names))
end

--- All records that match, sorted; from then on a position is a place among them.
local function sorted(walk, options, resource, first, last)
  local order, records = options["$orderby"], collect(walk, options.conditions, resource, first, last, math.maxinteger)
  local keys = {}
  for i, record in ipairs(records) do
    keys[record] = { filters.fold(tostring(resource.value(record, order.property))), i }
  end
  table.sort(records, function(a, b)
    local left, right = keys[a], keys[b]
    if left[1] == right[1] then return left[2] < right[2] end
    if order.descending then left, right = right, left end
    return left[1] < right[1]
  end)
  return function(position) return records[position], position + 1 end, #records
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
  local options, refusal = M.read(ctx, resource, KNOWN)
  if not options then return refusal end
  local conditions = options.conditions
  first, last = range(ctx, resource, conditions, first, last)
  if options["$orderby"] then
    walk, last = sorted(walk, options, resource, first, last)
    first, conditions = 1, {}
  end
  local count = options.count and #collect(walk, conditions, resource, first, last, math.maxinteger) or nil
  local start = math.max(options["$skiptoken"] or first, first)
  local records, more = collect(walk, conditions, resource, start, last, options["$top"], M.SCAN_LIMIT)
  local items = {}
  for i, record in ipairs(records) do items[i] = M.item(resource, record, options["$select"]) end
  local page = {
    ["@odata.context"] = context_url(ctx, set, options.selected),
    ["@odata.count"] = count,
    ["@odata.nextLink"] = more and next_link(ctx, more),
    value = json.array(items),
  }
  if ctx.spoil then SPOILT[ctx.spoil](ctx, page, start) end
  return M.page(page)
end

local COUNT = { ["$filter"] = true, ["$search"] = true }

--- Answers a request for the number of records, as text.
---@return msgraph.sim.Answer
function M.count(ctx, resource, walk, first, last)
  if resource.directory and not is_eventual(ctx) then
    return reply.bad_request(ctx, "$count is not currently supported.")
  end
  local options, refusal = M.read(ctx, resource, COUNT, true)
  if not options then return refusal end
  local records = collect(walk, options.conditions, resource, first, last, math.maxinteger)
  return reply.text(200, "text/plain", tostring(#records))
end

local ONE = { ["$select"] = true }

--- Answers a request for one record.
---@return msgraph.sim.Answer
function M.one(ctx, resource, set, record)
  local options, refusal = M.read(ctx, resource, ONE)
  if not options then return refusal end
  local names = table.move(options["$select"], 1, #options["$select"], 2, { "@odata.context" })
  local out = project(resource, record, options["$select"])
  out["@odata.context"] = context_url(ctx, set, options.selected) .. "/$entity"
  return reply.ok(json.ordered(out, names))
end

return M
