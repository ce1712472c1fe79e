-- lua/msgraph/json.lua
--- JSON in and out, the same with every build of lua-cjson.
--
-- On an instance of our own: no setting of the host's is read or changed. The builds differ in what
-- they can write (Debian's 2.1.0 knows no empty array and keeps 14 digits of a number, LuaRocks'
-- 2.1.0.x does better), so a value is prepared first in a way that both write alike; and a body
-- that a person wrote deserves an error that names the key.
local cjson = require("cjson").new()
local core = require "msgraph.core"
local type, next, math_type, tointeger, utf8_len = type, next, math.type, math.tointeger, utf8.len

local MAX_DEPTH = 128 -- Graph nests a handful of levels; a cycle ends here

cjson.decode_max_depth(MAX_DEPTH)
cjson.encode_number_precision(14)
cjson.decode_invalid_numbers(false)

local M = {}

--- JSON null, decoded and to encode. A light userdata: compare with `==`.
M.null = cjson.null

local array_mt = { __name = "msgraph.array" }

--- Marks a table as an array, so that it is written `[]` even when empty.
---@generic T: table
---@param items? T default: a new table
---@return T items the same table
function M.array(items)
  if items == nil then items = {} end
  if type(items) ~= "table" then
    error(("bad argument #1 to 'array' (table expected, got %s)"):format(type(items)), 2)
  end
  return setmetatable(items, array_mt)
end

--- Whether a table is marked as an array.
---@package
---@param value any
---@return boolean
function M.is_array(value)
  return getmetatable(value) == array_mt
end

-- ---- encoding ---------------------------------------------------------------------------------

-- What lua-cjson can not write everywhere (an empty array, a number of more than 14 digits) goes
-- through it as a string with this mark, which is taken off again, quotes and all. No other string
-- holds it: it would be refused.
local MARK, MARKED = "\0raw:", '"\\u0000raw:([^"]*)"'

-- Where in the value we are, for messages: {"value", 2, "name"} reads "value[2].name".
local function where(path)
  local text = ""
  for _, key in ipairs(path) do
    text = text .. (type(key) == "number" and ("[%d]"):format(key) or (text == "" and "" or ".") .. key)
  end
  return text == "" and "the value" or text
end

local function refuse(path, reason)
  error({ json = ("cannot encode %s as JSON: %s"):format(where(path), reason) })
end

local function check_string(text, path)
  if not utf8_len(text) then refuse(path, "the string is not UTF-8") end
  if text:find(MARK, 1, true) then refuse(path, "no string may hold NUL and \"raw:\"") end
  return text
end

local function exact(number, path)
  if number ~= number or number == math.huge or number == -math.huge then
    refuse(path, tostring(number) .. " is no JSON number")
  end
  if math_type(number) == "float" then number = tointeger(number) or number end
  if tonumber(("%.14g"):format(number)) == number then return number end -- lua-cjson writes it so
  return MARK .. (math_type(number) == "integer" and "%d" or "%.17g"):format(number)
end

local function array_length(tbl, path)
  local count, highest = 0, 0
  for key in next, tbl do
    if math_type(key) ~= "integer" or key < 1 then
      refuse(path, ("an array cannot have the key %s"):format(tostring(key)))
    end
    count, highest = count + 1, math.max(highest, key)
  end
  if count ~= highest then
    refuse(path, ("an array of %d items has %d of them; write null for the others"):format(highest, count))
  end
  return count
end

local prepare

local function prepare_array(tbl, path)
  local out, depth = {}, #path + 1
  for i = 1, array_length(tbl, path) do
    path[depth] = i
    out[i] = prepare(tbl[i], path)
  end
  path[depth] = nil
  return #out > 0 and out or MARK .. "[]"
end

local function prepare_object(tbl, path)
  local out, depth = {}, #path + 1
  for key, value in next, tbl do
    if type(key) ~= "string" then refuse(path, ("an object cannot have the key %s"):format(tostring(key))) end
    path[depth] = key
    out[check_string(key, path)] = prepare(value, path)
  end
  path[depth] = nil
  return out
end

-- A copy that lua-cjson writes as it is meant; refuses what has no JSON form.
function prepare(value, path)
  local kind = type(value)
  if kind == "string" then return check_string(value, path) end
  if kind == "number" then return exact(value, path) end
  if kind == "boolean" or value == M.null then return value end
  if kind ~= "table" then refuse(path, ("a %s has no JSON form"):format(kind)) end
  if #path >= MAX_DEPTH then
    refuse({ path[1] }, ("it is nested deeper than %d levels (a cycle?)"):format(MAX_DEPTH))
  end
  if getmetatable(value) == array_mt or math_type(next(value)) == "integer" then
    return prepare_array(value, path)
  end
  return prepare_object(value, path)
end

--- Writes a value as JSON. What has no JSON form is the caller's mistake and raises, naming the key.
---@param value any table, string, number, boolean or null; a table with integer keys is an array
---@param level? integer stack level to blame, as `error` counts from the caller; 0: none; default 1
---@return string
function M.encode(value, level)
  local ok, prepared = pcall(prepare, value, {})
  if ok then return (cjson.encode(prepared):gsub(MARKED, "%1")) end
  level = level or 1
  error(type(prepared) == "table" and prepared.json or prepared, level > 0 and level + 1 or 0)
end

-- ---- decoding ---------------------------------------------------------------------------------

--- Reads JSON text. Whole numbers below 2^53 come back as integers, null as `null`.
---@param text string
---@return any value nil when the text is not JSON
---@return string? reason
function M.decode(text)
  local ok, value = pcall(cjson.decode, text)
  if not ok then
    if value == "not enough memory" then error(value, 0) end
    return nil, value
  end
  if type(value) == "table" then return core.integers(value, text) end -- "5.0" for a count of five helps nobody
  return math_type(value) == "float" and tointeger(value) or value
end

return M
