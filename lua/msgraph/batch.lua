-- lua/msgraph/batch.lua
--- Many requests in few: `client:batch`, and what `graph.map` with `batch` does for single calls.
--
-- What may travel together is decided in batch/plan.lua, how a request looks as a part in batch/part.lua,
-- what becomes of it in batch/engine.lua and batch/landing.lua.
local config = require "msgraph.config"
local engines = require "msgraph.batch.engine"
local errors = require "msgraph.errors"
local loop = require "msgraph.loop"
local query = require "msgraph.query"
local requests = require "msgraph.request"
local response = require "msgraph.response"
local task = require "msgraph.task"

local M = {}

---@class msgraph.BatchRequest: msgraph.QueryOpts
---@field method string
---@field path string           as for client:request
---@field headers? table<string, string>
---@field body? table|string
---@field idempotent? boolean   may it be acted on twice; default: by the method, and for POST by msgraph.repeatable
---@field id? string            a name, for others to depend on
---@field depends_on? string|integer|(string|integer)[] names, or places in the list, of those that must succeed first
local REQUEST = { method = "string", path = "string", headers = "table", body = "any", idempotent = "boolean",
  id = "string", depends_on = "any" }
for name, expected in pairs(query.OPTIONS) do REQUEST[name] = expected end

---@class msgraph.BatchOpts
---@field deadline? number seconds for all of it, waits included; default 120
---@field retry? boolean   false: no part is sent again; default true
local OPTIONS = { deadline = "number", retry = "boolean" }

-- ---- what the caller wrote ----------------------------------------------------------------------

local function name_of(list, i)
  return list[i].id and ("'%s'"):format(list[i].id) or ("request %d"):format(i)
end

local function places_by_id(list)
  local places = {}
  for i, request in ipairs(list) do
    local id = request.id
    if id and places[id] then
      error(("batch: the id '%s' is given twice, to requests %d and %d"):format(id, places[id], i), 0)
    end
    if id then places[id] = i end
  end
  return places
end

-- The places a request depends on.
local function places_needed(list, i, places)
  local given, out = list[i].depends_on, {}
  if given == nil then return out end
  for _, key in ipairs(type(given) == "table" and given or { given }) do
    local place = math.type(key) == "integer" and list[key] and key or places[key]
    if not place then
      error(("batch: %s depends on '%s', which is not in the batch"):format(name_of(list, i), tostring(key)), 0)
    end
    out[#out + 1] = place
  end
  return out
end

local function cycle_error(list, needed, at)
  local seen, names = {}, {}
  while not seen[at] do
    seen[at] = #names + 1
    names[#names + 1] = name_of(list, at)
    local onward
    for _, place in ipairs(needed[at]) do onward = onward or needed[place].left and place end
    at = onward
  end
  names[#names + 1] = name_of(list, at)
  error("batch: requests depend on each other in a circle: " .. table.concat(names, " on ", seen[at]), 0)
end

-- Places in an order in which all that a request needs stands before it, else as the caller wrote them.
local function sorted(list, needed)
  local order, riders = {}, {}
  for i = 1, #list do
    needed[i].left = #needed[i] > 0 and #needed[i] or nil
    for _, place in ipairs(needed[i]) do
      riders[place] = riders[place] or {}
      table.insert(riders[place], i)
    end
    if not needed[i].left then order[#order + 1] = i end
  end
  local at = 1
  while order[at] do
    for _, i in ipairs(riders[order[at]] or {}) do
      needed[i].left = needed[i].left > 1 and needed[i].left - 1 or nil
      if not needed[i].left then order[#order + 1] = i end
    end
    at = at + 1
  end
  for i = 1, #list do
    if needed[i].left then cycle_error(list, needed, i) end
  end
  return order
end

local function build(list, opts)
  local ok, problem = pcall(requests.check_deadline, opts and opts.deadline)
  if not ok then error("batch: " .. problem, 0) end
  local built, needed, places = {}, {}, places_by_id(list)
  for i, full in ipairs(list) do
    if not full.method then error(("batch: %s: 'method' is missing"):format(name_of(list, i)), 0) end
    local request
    ok, request = pcall(requests.build, full.method:upper(), full.path, full.body, full)
    if not ok then error(("batch: %s: %s"):format(name_of(list, i), request), 0) end
    request.retry = opts and opts.retry
    built[i], needed[i] = request, places_needed(list, i, places)
  end
  return built, needed, sorted(list, needed)
end

local function check(list, opts)
  if type(list) ~= "table" then
    error(("batch: a list of requests is expected, got %s"):format(type(list)), 3)
  end
  for i = 1, #list do
    local request, where = list[i], ("batch: request %d"):format(i)
    if type(request) ~= "table" then error(("%s must be a table, got %s"):format(where, type(request)), 3) end
    config.check(request, REQUEST, where, 4)
  end
  config.check(opts, OPTIONS, "batch", 4)
end

-- ---- sending ------------------------------------------------------------------------------------

local function send(client, built, needed, order, deadline)
  local engine, items = engines.new(client, loop.enclosing().scope), {}
  for _, i in ipairs(order) do
    local needs = {}
    for n, place in ipairs(needed[i]) do needs[n] = items[place] end
    items[i] = engine:add(built[i], #needs > 0 and needs or nil, deadline)
  end
  engine:pump()
  return items
end

local function result_of(client, item)
  local raw, request = item.raw, item.request
  if not raw then return nil, errors.from_failure(item.failure, request, client.login, client.opened.consent_url) end
  local body, err = response.read(raw, request)
  if body == nil then return nil, err end
  return response.whole(raw, body)
end

--- Sends requests together, twenty to a batch, in the order their dependencies ask for; waits for all.
---
--- Every request has a result or an error, at its place in the list. Parts that were throttled, or that
--- failed and may be repeated, are sent again in time. Writes to one user, group or device are acted on in the order of
--- the list. A request whose dependency failed is not sent: its error's code is "failed_dependency".
---@param list msgraph.BatchRequest[]
---@param opts? msgraph.BatchOpts
---@return table results by place, msgraph.Response each, with `n` = how many requests there were
---@return table errors by place, msgraph.Error each; empty when all went well.
---  Raises for a wrong field, an id that is given twice or unknown, and for dependencies in a circle
function M.batch(client, list, opts)
  check(list, opts)
  local ok, built, needed, order = pcall(build, list, opts)
  if not ok then error(built, 2) end
  local items = task.run(send, client, built, needed, order, opts and opts.deadline)
  local results, failures = { n = #list }, {}
  for i, item in ipairs(items) do results[i], failures[i] = result_of(client, item) end
  return results, failures
end

--- What sends the calls of a scope's tasks together, by client.
---@package
---@param scope table
---@return table<msgraph.Client, msgraph.batch.Engine> engines made when they are first asked for
function M.engines(scope)
  return setmetatable({}, { __index = function(known, client)
    known[client] = engines.new(client, scope)
    return known[client]
  end })
end

return M
