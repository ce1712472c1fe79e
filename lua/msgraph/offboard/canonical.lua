-- lua/msgraph/offboard/canonical.lua
--- JSON that is the same bytes for the same value: what a hash is taken over.
--
-- Keys in the order of their bytes, no spaces, the shortest escapes, numbers exact: integers as digits, other
-- numbers with the fewest digits that read back as the same one. What has no JSON form raises.
local core = require "msgraph.core"
local json = require "msgraph.json"

local M = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(char)
  return ESCAPES[char] or ("\\u%04x"):format(char:byte())
end

local function string_of(text)
  if not utf8.len(text) then error("canonical: a string is not UTF-8", 0) end
  return '"' .. text:gsub('[%c"\\]', escape) .. '"'
end

local function number_of(number)
  if math.type(number) == "integer" then return ("%d"):format(number) end
  local whole = math.tointeger(number)
  if whole and math.abs(whole) < 1 << 53 then return ("%d"):format(whole) end
  if number ~= number or number == math.huge or number == -math.huge then
    error(("canonical: %s is no JSON number"):format(number), 0)
  end
  for digits = 15, 17 do
    local text = ("%." .. digits .. "g"):format(number)
    if tonumber(text) == number then return text end
  end
end

local write

local function write_array(out, list)
  out[#out + 1] = "["
  for i = 1, #list do
    if i > 1 then out[#out + 1] = "," end
    write(out, list[i])
  end
  out[#out + 1] = "]"
end

local function write_object(out, object)
  local keys = {}
  for key in pairs(object) do
    if type(key) ~= "string" then error(("canonical: an object has the key %s"):format(tostring(key)), 0) end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  out[#out + 1] = "{"
  for i, key in ipairs(keys) do
    out[#out + 1] = (i > 1 and "," or "") .. string_of(key) .. ":"
    write(out, object[key])
  end
  out[#out + 1] = "}"
end

local function write_table(out, value)
  if json.is_array(value) or math.type(next(value)) == "integer" then return write_array(out, value) end
  write_object(out, value)
end

local WRITERS = {
  string = function(out, value) out[#out + 1] = string_of(value) end,
  number = function(out, value) out[#out + 1] = number_of(value) end,
  boolean = function(out, value) out[#out + 1] = tostring(value) end,
  table = write_table,
}

function write(out, value)
  local writer = WRITERS[type(value)]
  if value == json.null then
    out[#out + 1] = "null"
  elseif writer then
    writer(out, value)
  else
    error(("canonical: a %s has no JSON form"):format(type(value)), 0)
  end
end

--- Writes a value. A table with the key 1, or one made by graph.array, is an array; any other an object.
---@param value any
---@return string
function M.encode(value)
  local out = {}
  write(out, value)
  return table.concat(out)
end

--- "sha256:" and the digest of a value's canonical form.
---@param value any
---@return string
function M.hash(value)
  return "sha256:" .. core.sha256(M.encode(value))
end

return M
