-- lua/msgraph/cli/pretty.lua
--- Lays JSON text out, keys sorted: for reading, two spaces a level, or on one line.
--
-- It works on the text, not on decoded tables, so that [] stays [], and every number and string
-- stays as it was sent. The text must be JSON; the client has decoded it before.
local M = {}

local function skip(text, at)
  return text:match("^[ \t\r\n]*()", at)
end

local function string_end(text, at)
  local from = at + 1
  while true do
    local stop = text:find('["\\]', from)
    if text:sub(stop, stop) == '"' then return stop end
    from = stop + 2
  end
end

local read

-- The members of an object or items of an array: raw texts, keys beside them in an object.
local function read_container(text, at, close)
  local nodes = { close = close }
  at = skip(text, at + 1)
  while text:sub(at, at) ~= close do
    local key
    if close == "}" then
      local stop = string_end(text, at)
      key, at = text:sub(at, stop), skip(text, text:find(":", stop + 1, true) + 1)
    end
    local node
    node, at = read(text, at)
    nodes[#nodes + 1] = { key = key, value = node }
    at = skip(text, at)
    if text:sub(at, at) == "," then at = skip(text, at + 1) end
  end
  return nodes, at + 1
end

-- A string as it stands, but for \/, which some writers make of every slash.
local function plain_slashes(text)
  if not text:find("\\/", 1, true) then return text end
  return (text:gsub("\\(.)", { ["/"] = "/" }))
end

-- The value at `at`: a scalar as its text, a container as its nodes; and where it ends.
function read(text, at)
  local first = text:sub(at, at)
  if first == "{" then return read_container(text, at, "}") end
  if first == "[" then return read_container(text, at, "]") end
  if first == '"' then
    local stop = string_end(text, at)
    return plain_slashes(text:sub(at, stop)), stop + 1
  end
  return text:match("^([%w+.-]+)()", at)
end

local function by_key(a, b)
  return a.key < b.key
end

local write

-- `indent` nil: on one line.
local function write_container(node, indent, out)
  local object = node.close == "}"
  if object then table.sort(node, by_key) end
  local inner = indent and indent .. "  "
  local between, colon = indent and "\n" .. inner or "", indent and ": " or ":"
  out[#out + 1] = object and "{" or "["
  for i, member in ipairs(node) do
    out[#out + 1] = (i > 1 and "," or "") .. between .. (member.key and member.key .. colon or "")
    write(member.value, inner, out)
  end
  if indent and node[1] then out[#out + 1] = "\n" .. indent end
  out[#out + 1] = node.close
end

function write(node, indent, out)
  if type(node) == "table" then return write_container(node, indent, out) end
  out[#out + 1] = node
end

local function layout(node, indent)
  local out = {}
  write(node, indent, out)
  return table.concat(out)
end

--- The text laid out for reading, without a line end.
---@param text string JSON
---@return string
function M.format(text)
  local document = read(text, skip(text, 1))
  return layout(document, "")
end

--- The text on one line, without a line end.
---@param text string JSON
---@return string
function M.line(text)
  local document = read(text, skip(text, 1))
  return layout(document)
end

--- The items of the array under a key of the outermost object, each laid out for a place one level deep.
---@param text string JSON
---@param name string
---@return string[]? items nil: there is no such array
function M.items(text, name)
  local document = read(text, skip(text, 1))
  if type(document) ~= "table" or document.close ~= "}" then return nil end
  for _, member in ipairs(document) do
    local array = member.value
    if member.key == '"' .. name .. '"' and type(array) == "table" and array.close == "]" then
      local items = {}
      for i, item in ipairs(array) do items[i] = layout(item.value, "  ") end
      return items
    end
  end
end

return M
