-- lua/msgraph/sim/filter.lua - $filter: conditions in a text, and whether a record meets them.
local M = {}

-- ---- reading ---------------------------------------------------------------------------------

local LITERALS = { ["true"] = true, ["false"] = false }

--- Words, quoted strings and punctuation; nil where the text is none of them.
local function tokens(text)
  local out, at = {}, 1
  while true do
    at = text:match("^%s*()", at)
    if at > #text then return out end
    local word, after = text:match("^([%a_][%w_/]*)()", at)
    local mark, after_mark = text:match("^([(),])()", at)
    if word then
      out[#out + 1], at = { word = word }, after
    elseif mark then
      out[#out + 1], at = { mark = mark }, after_mark
    else
      local stop = at
      repeat -- '' inside a string is one quote
        stop = text:match("^'[^']*'()", stop)
        if not stop then return nil end
      until text:sub(stop, stop) ~= "'"
      out[#out + 1], at = { string = text:sub(at + 1, stop - 2):gsub("''", "'") }, stop
    end
  end
end

local Reader = {}
Reader.__index = Reader

function Reader:take(field, value)
  local token = self[self.at]
  if not token or token[field] == nil or (value and token[field] ~= value) then return nil end
  self.at = self.at + 1
  return token[field]
end

function Reader:literal()
  local text = self:take("string")
  if text then return text, true end
  local word = self:take("word")
  if word == "null" then return nil, true end
  return LITERALS[word], LITERALS[word] ~= nil
end

local FUNCTIONS <const> = { startswith = true, endswith = true }

function Reader:call(name)
  local property = self:take("mark", "(") and self:take("word")
  local text = property and self:take("mark", ",") and self:take("string")
  if not text or not self:take("mark", ")") then return nil end
  return { operator = name, property = property, value = text }
end

-- The values after `in`, in parentheses.
function Reader:values()
  if not self:take("mark", "(") then return nil, false end
  local values = {}
  repeat
    local value, ok = self:literal()
    if not ok then return nil, false end
    values[#values + 1] = value
  until not self:take("mark", ",")
  return values, self:take("mark", ")") ~= nil
end

function Reader:comparison()
  local property = self:take("word")
  if FUNCTIONS[(property or ""):lower()] then return self:call(property:lower()) end
  local operator = property and self:take("word")
  if not operator then return nil end
  local value, ok
  if operator == "in" then value, ok = self:values() else value, ok = self:literal() end
  return ok and { operator = operator, property = property, value = value } or nil
end

function Reader:condition()
  if not self:take("word", "not") then return self:comparison() end
  local open = self:take("mark", "(")
  local condition = self:comparison()
  if not condition or open and not self:take("mark", ")") then return nil end
  condition.negated = true
  return condition
end

--- Conditions joined by `and`, or nil when the text is not that.
---@param text string
---@return table[]?
function M.read(text)
  local list = tokens(text)
  if not list then return nil end
  local reader, out = setmetatable(list, Reader), {}
  reader.at = 1
  repeat
    local condition = reader:condition()
    if not condition then return nil end
    out[#out + 1] = condition
  until not reader:take("word", "and")
  return reader.at > #list and out or nil
end

-- ---- holding ---------------------------------------------------------------------------------

--- Strings are compared without regard to case, as the directory does.
function M.fold(value)
  return type(value) == "string" and value:lower() or value
end

local HOLDS = {
  eq = function(value, wanted) return value == wanted end,
  ne = function(value, wanted) return value ~= wanted end,
  startswith = function(value, wanted) return type(value) == "string" and value:sub(1, #wanted) == wanted end,
  endswith = function(value, wanted) return type(value) == "string" and value:sub(-#wanted) == wanted end,
}

HOLDS["in"] = function(value, wanted)
  for _, one in ipairs(wanted) do
    if M.fold(one) == value then return true end
  end
  return false
end

--- A word of the value begins with what is searched for.
function HOLDS.search(value, wanted)
  if type(value) ~= "string" then return false end
  for word in value:gmatch("[^%s@.]+") do
    if word:sub(1, #wanted) == wanted then return true end
  end
  return HOLDS.startswith(value, wanted)
end

--- Whether a record meets all conditions.
---@param conditions table[] of `read`, or { operator = "search", property =, value = }
---@param value_of fun(record: table, property: string): any
---@return boolean
function M.holds(conditions, value_of, record)
  for _, condition in ipairs(conditions) do
    local value = M.fold(value_of(record, condition.property))
    local held = HOLDS[condition.operator](value, M.fold(condition.value))
    if held == (condition.negated or false) then return false end
  end
  return true
end

return M
