-- lua/msgraph/json.lua
--- JSON in and out, the same with every build of lua-cjson.
--
-- Decoding is lua-cjson's, on an instance of our own: no setting of the host's is read or changed.
-- Encoding is ours. The builds of lua-cjson differ exactly there (Debian's 2.1.0 cannot write an
-- empty array and keeps 14 digits of an integer, LuaRocks' 2.1.0.x can), and a body a person wrote
-- deserves an error that names the key. Keys are written sorted, so equal tables give equal bytes.
local cjson = require("cjson").new()
local type, next, math_type, tointeger, utf8_len = type, next, math.type, math.tointeger, utf8.len

local MAX_DEPTH = 128 -- Graph nests a handful of levels; a cycle ends here
local BIG = 2.0 ^ 53 -- up to here every whole float is exactly one integer

cjson.decode_max_depth(MAX_DEPTH)
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

-- ---- encoding ---------------------------------------------------------------------------------

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
  ["\r"] = "\\r", ["\t"] = "\\t" }
for byte = 0, 31 do
  local char = string.char(byte)
  ESCAPES[char] = ESCAPES[char] or ("\\u%04x"):format(byte)
end

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

local function write_string(text, path)
  if not utf8_len(text) then refuse(path, "the string is not UTF-8") end
  if text:find('[%c"\\]') then text = text:gsub('[%c"\\]', ESCAPES) end
  return '"' .. text .. '"'
end

local function write_number(number, path)
  if number ~= number or number == math.huge or number == -math.huge then
    refuse(path, tostring(number) .. " is no JSON number")
  end
  if math_type(number) == "integer" then return ("%d"):format(number) end
  if number == math.floor(number) and number > -BIG and number < BIG then return ("%d"):format(number) end
  local text = ("%.15g"):format(number)
  if tonumber(text) ~= number then text = ("%.17g"):format(number) end
  return (text:gsub(",", ".")) -- some locales write a comma
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

local function sorted_keys(tbl, path)
  local keys = {}
  for key in next, tbl do
    if type(key) ~= "string" then refuse(path, ("an object cannot have the key %s"):format(tostring(key))) end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

local write

local function write_array(tbl, out, path)
  local depth = #path + 1
  out[#out + 1] = "["
  for i = 1, array_length(tbl, path) do
    if i > 1 then out[#out + 1] = "," end
    path[depth] = i
    write(tbl[i], out, path)
  end
  path[depth] = nil
  out[#out + 1] = "]"
end

local function write_object(tbl, out, path)
  local depth = #path + 1
  out[#out + 1] = "{"
  for i, key in ipairs(sorted_keys(tbl, path)) do
    path[depth] = key
    out[#out + 1] = (i > 1 and "," or "") .. write_string(key, path) .. ":"
    write(tbl[key], out, path)
  end
  path[depth] = nil
  out[#out + 1] = "}"
end

local function write_table(tbl, out, path)
  if #path >= MAX_DEPTH then
    refuse({ path[1] }, ("it is nested deeper than %d levels (a cycle?)"):format(MAX_DEPTH))
  end
  if getmetatable(tbl) == array_mt or math_type(next(tbl)) == "integer" then
    return write_array(tbl, out, path)
  end
  return write_object(tbl, out, path)
end

function write(value, out, path)
  local kind = type(value)
  if kind == "table" then return write_table(value, out, path) end
  local text
  if kind == "string" then
    text = write_string(value, path)
  elseif kind == "number" then
    text = write_number(value, path)
  elseif kind == "boolean" then
    text = tostring(value)
  elseif value == M.null then
    text = "null"
  else
    refuse(path, ("a %s has no JSON form"):format(kind))
  end
  out[#out + 1] = text
end

--- Writes a value as JSON. What has no JSON form is the caller's mistake and raises, naming the key.
---@param value any table, string, number, boolean or null; a table with integer keys is an array
---@param level? integer stack level to blame, as `error` counts from the caller; 0: none; default 1
---@return string
function M.encode(value, level)
  local out = {}
  local ok, problem = pcall(write, value, out, {})
  if ok then return table.concat(out) end
  level = level or 1
  error(type(problem) == "table" and problem.json or problem, level > 0 and level + 1 or 0)
end

-- ---- decoding ---------------------------------------------------------------------------------

-- Some builds give every number as a float; "5.0" for a count of five helps nobody.
local function whole_numbers(tbl)
  for key, value in next, tbl do
    local kind = type(value)
    if kind == "table" then
      whole_numbers(value)
    elseif kind == "number" and math_type(value) == "float" and value > -BIG and value < BIG then
      tbl[key] = tointeger(value) or value
    end
  end
  return tbl
end

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
  if type(value) == "table" then return whole_numbers(value) end
  return math_type(value) == "float" and tointeger(value) or value
end

return M
