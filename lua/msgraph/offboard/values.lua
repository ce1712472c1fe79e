-- lua/msgraph/offboard/values.lua
--- What a workflow may say: durations, shares, ids, and checks of tables. Raises without a position: whoever is
--- called from the workflow says which line it was.
local config = require "msgraph.config"

local M = {}

local UNITS = { s = 1, m = 60, h = 3600, d = 86400 }

--- Seconds of "90s", "15m", "2h", "30d".
---@param text any
---@param what string for the message
---@return integer
function M.duration(text, what)
  local number, unit = tostring(text):match("^(%d+)([smhd])$")
  if type(text) ~= "string" or not number then
    error(('%s must be like "90s", "15m", "2h" or "30d", got %s'):format(what, M.shown(text)), 0)
  end
  return math.tointeger(tonumber(number)) * UNITS[unit]
end

--- A value as a message shows it.
function M.shown(value)
  if type(value) == "string" then return ("%q"):format(value:sub(1, 60)) end
  if type(value) == "table" then return "a table" end
  return tostring(value)
end

--- A number from 0, or a share of "0%" to "100%".
---@return integer|string
function M.count_or_share(value, what)
  if math.type(value) == "integer" and value >= 0 then return value end
  local share = type(value) == "string" and tonumber(value:match("^(%d+%.?%d*)%%$"))
  if share and share <= 100 then return value end
  error(('%s must be a whole number or a share like "25%%", got %s'):format(what, M.shown(value)), 0)
end

--- How many of `total` that is, rounded up.
---@param value integer|string
---@param total integer
---@return integer
function M.count_of(value, total)
  if type(value) == "number" then return value end
  return math.ceil(tonumber(value:sub(1, -2)) * total / 100)
end

--- One of a list of words.
function M.one_of(value, words, what)
  local set = {}
  for _, word in ipairs(words) do set[word] = true end
  if set[value] then return value end
  local meant = type(value) == "string" and config.nearest(value, set)
  error(("%s must be one of %s, got %s%s"):format(what, table.concat(words, ", "), M.shown(value),
    meant and (" (did you mean %q?)"):format(meant) or ""), 0)
end

--- A name: letters, digits, - and _.
function M.name(value, what)
  if type(value) == "string" and value:find("^%a[%w_-]*$") then return value end
  error(("%s must be a name of letters, digits, - and _, got %s"):format(what, M.shown(value)), 0)
end

--- Checks a table's fields, as config.check.
function M.fields(value, allowed, what)
  if type(value) ~= "table" then error(("%s: a table is expected, got %s"):format(what, type(value)), 0) end
  config.check(value, allowed, what, 0)
  return value
end

--- A list of non-empty texts.
function M.texts(value, what)
  if type(value) ~= "table" or #value == 0 then error(("%s: a list of texts is expected"):format(what), 0) end
  for i, text in ipairs(value) do
    if type(text) ~= "string" or not text:find("%S") then
      error(("%s: item %d must be a text, got %s"):format(what, i, M.shown(text)), 0)
    end
  end
  for key in pairs(value) do
    if math.type(key) ~= "integer" then error(("%s: unknown option '%s'"):format(what, tostring(key)), 0) end
  end
  return value
end

--- Does what a workflow asked for; what is wrong with it is raised at the workflow's line.
---@param fn fun(...): any
---@return any
function M.at_caller(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  error(result, type(result) == "string" and 3 or 0)
end

return M
