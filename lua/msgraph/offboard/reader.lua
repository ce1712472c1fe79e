-- lua/msgraph/offboard/reader.lua
--- What functions of a workflow, and actions, are given as `g`: it reads and can do nothing else.
--
-- Calls made at the same moment for several people travel together (graph.map with batch). A failure raises the
-- msgraph.Error, but what is not there is nil.
local json = require "msgraph.json"
local query = require "msgraph.query"
local requests = require "msgraph.offboard.requests"

local M = {}

---@class msgraph.offboard.Reader
---@field client msgraph.Client

--- A value without JSON nulls: what is null is not there.
---@generic T
---@param value T
---@return T
function M.without_nulls(value)
  if type(value) ~= "table" then return value end
  for key, inner in pairs(value) do
    if inner == json.null then value[key] = nil else M.without_nulls(inner) end
  end
  return value
end

-- Ids, and the options that may follow them.
local function split(...)
  local ids = table.pack(...)
  local opts = type(ids[ids.n]) == "table" and ids[ids.n] or nil
  if opts then ids[ids.n], ids.n = nil, ids.n - 1 end
  return ids, opts
end

--- Moments since which it is: Graph's "2025-01-02T03:04:05Z" as Unix seconds.
local function seconds_of(text)
  local year, month, day, hour, min, sec = tostring(text):match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)")
  if not year then return nil end
  local shifted = os.time { year = year, month = month, day = day, hour = hour, min = min, sec = sec, isdst = false }
  local utc = os.date("!*t", shifted)
  utc.isdst = false
  return shifted + (shifted - os.time(utc)) -- os.time reads local time
end

--- "yes" when a moment of Graph's is at or after `since`, "no" before; "unknown" when there is none.
---@param text? string
---@param since integer Unix seconds
---@return "yes"|"no"|"unknown"
function M.is_since(text, since)
  local at = seconds_of(text)
  if not at then return "unknown" end
  return at >= since and "yes" or "no"
end

local function get(client, path, opts)
  local body, err = client:get(path, opts)
  if not err then return M.without_nulls(body) end
  if err.kind ~= "not_found" then error(err, 0) end
  return nil
end

local function list(client, path, opts)
  local items, err = client:list(path, opts)
  if err then error(err, 0) end
  return M.without_nulls(items)
end

local function refuse(method)
  return function()
    error(("g can only read: return ob.%s { \"/users/%%s\", user.id, body = {...} } to have it done at apply")
      :format(method), 2)
  end
end

-- The caller's mistakes are raised at the caller, the world's as they are.
local function guarded(run, client)
  return function(template, ...)
    local ids, opts = split(...)
    local ok, path = pcall(requests.path, template, ids)
    if not ok then error(path, 2) end
    local result
    ok, result = pcall(run, client, path, opts)
    if not ok then error(result, type(result) == "string" and 2 or 0) end
    return result
  end
end

--- A reader over a client.
---
--- `g.get(path, ids…, opts?)` answers the body, nil when there is no such thing; `g.list(…)` all items of a list.
---@param client msgraph.Client
---@return msgraph.offboard.Reader
function M.new(client)
  local g = {
    get = guarded(get, client), list = guarded(list, client), filter = query.filter, is_since = M.is_since,
    path = function(template, ...) return requests.path(template, { ... }) end,
    last_id = function(body) return type(body) == "string" and body:match('/([^/"]+)"') or nil end,
  }
  for _, method in ipairs { "post", "patch", "put", "delete" } do g[method] = refuse(method) end
  return g
end

return M
