-- lua/msgraph/offboard/requests.lua
--- What an own step wants sent, as a value: nothing is sent while a plan is made.
local canonical = require "msgraph.offboard.canonical"
local core = require "msgraph.core"
local json = require "msgraph.json"
local membership = require "msgraph.membership"
local values = require "msgraph.offboard.values"

local M = {}

local Request = { __name = "msgraph.offboard.Request" }
local Unchanged = { __name = "msgraph.offboard.Unchanged" }

local function segment_of(value)
  if type(value) ~= "string" then error(("an id must be a text, got %s"):format(values.shown(value)), 0) end
  local segment, reason = core.segment(value)
  if not segment then error(("the id %q %s"):format(value, reason), 0) end
  return segment
end

--- "/users/%s" with ids in the place of its %s, each one escaped segment. Raises.
---@param template string
---@param ids any[]
---@return string
function M.path(template, ids)
  if type(template) ~= "string" or not template:find("^/") then
    error(("a path such as \"/users/%%s\" is expected, got %s"):format(values.shown(template)), 0)
  end
  local used = 0
  local path = template:gsub("%%s", function()
    used = used + 1
    return segment_of(ids[used])
  end)
  if used < #ids then error(("%q has %d places for %d ids"):format(template, used, #ids), 0) end
  return path
end

local FIELDS = { body = "table", before = "table", label = "string" }

-- What puts back what a PATCH changes.
local function inverse_of(method, path, body, before)
  if method ~= "PATCH" or not before or not body then return nil end
  local old = {}
  for name in pairs(body) do old[name] = before[name] == nil and json.null or before[name] end
  return { method = "PATCH", path = path, body = canonical.encode(old) }
end

local function new(method, fields)
  local named, ids = {}, {}
  if type(fields) ~= "table" then error("a table is expected, as in { \"/users/%s\", user.id, body = {...} }", 0) end
  for key, value in pairs(fields) do
    if math.type(key) ~= "integer" then named[key] = value elseif key > 1 then ids[key - 1] = value end
  end
  values.fields(named, FIELDS, method:lower())
  local path = M.path(fields[1], ids)
  local mistake = membership.mistake(method, path, named.body)
  if mistake then error(mistake, 0) end
  return setmetatable({
    method = method, path = path, body = named.body and canonical.encode(named.body),
    inverse = inverse_of(method, path, named.body, named.before), label = named.label or method .. " " .. path,
  }, Request)
end

--- Raises for what cannot be meant.
---@param method string
---@param fields table
function M.new(method, fields)
  local ok, made = pcall(new, method, fields)
  if not ok then
    local name = method:lower()
    error(made:find(name .. ":", 1, true) == 1 and made or ("%s: %s"):format(name, made), 0)
  end
  return made
end

function M.unchanged(why)
  if type(why) ~= "string" then error('unchanged: say why, as in ob.unchanged "already stamped"', 0) end
  return setmetatable({ why = why }, Unchanged)
end

function M.is_request(value) return getmetatable(value) == Request end
function M.is_unchanged(value) return getmetatable(value) == Unchanged end

return M
