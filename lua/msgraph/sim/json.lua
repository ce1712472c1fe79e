-- lua/msgraph/sim/json.lua - writes JSON with its properties in the order the service sends them.
--
-- lua-cjson writes keys in the order of a hash table, which differs from run to run, and cannot tell
-- an empty array from an empty object. A tenant's bytes are to depend on its seed alone.
local M = {}

local Array = {}
local metatables = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(char)
  return ESCAPES[char] or string.format("\\u%04x", char:byte())
end

local function quote(text)
  return '"' .. text:gsub('[%c"\\]', escape) .. '"'
end

--- Marks a list, so that it is written as [ ... ] even when it is empty.
---@generic T: table
---@param list T
---@return T
function M.array(list)
  return setmetatable(list, Array)
end

--- Says which properties of an object are written, in this order; those it lacks are null.
---@generic T: table
---@param object T
---@param names string[] one list serves many objects
---@return T
function M.ordered(object, names)
  local meta = metatables[names]
  if not meta then
    meta = { names = names }
    metatables[names] = meta
  end
  return setmetatable(object, meta)
end
setmetatable(metatables, { __mode = "k" })

local function sorted_names(object)
  local names = {}
  for name in pairs(object) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local write

local function write_array(list, out)
  out[#out + 1] = "["
  for i = 1, #list do
    if i > 1 then out[#out + 1] = "," end
    write(list[i], out)
  end
  out[#out + 1] = "]"
end

local function write_object(object, names, out)
  out[#out + 1] = "{"
  for i = 1, #names do
    out[#out + 1] = (i > 1 and "," or "") .. quote(names[i]) .. ":"
    write(object[names[i]], out)
  end
  out[#out + 1] = "}"
end

function write(value, out)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = quote(value)
  elseif kind == "table" then
    local meta = getmetatable(value)
    if meta == Array then return write_array(value, out) end
    write_object(value, meta and meta.names or sorted_names(value), out)
  elseif kind == "nil" or kind == "userdata" then -- as lua-cjson has it
    out[#out + 1] = "null"
  elseif kind == "boolean" or math.type(value) == "integer" then
    out[#out + 1] = tostring(value)
  else
    out[#out + 1] = string.format("%.14g", value)
  end
end

--- Tables are objects (keys sorted, unless M.ordered) or, when marked, arrays. nil is null.
---@return string
function M.encode(value)
  local out = {}
  write(value, out)
  return table.concat(out)
end

return M
