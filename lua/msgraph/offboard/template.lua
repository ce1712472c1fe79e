--- Texts with places that each person's own values fill: "{{displayName}} has left. Contact {{delegate.mail}}."
--
-- A place is a property of the person, a parameter, or a property of a person who is a parameter. Which places there
-- may be is known when the workflow is checked; that one has no value (nobody is the manager) only when it is planned.
local config = require "msgraph.config"

local M = {}

local PLACE <const> = "{{%s*([%w_.]-)%s*}}"

local PERSON = { "id", "displayName", "userPrincipalName", "mail" }
local LEAVER = { "id", "displayName", "userPrincipalName", "mail", "department", "jobTitle" }

--- The names of all places there may be.
---@param declared table<string, msgraph.offboard.Param>
---@return table<string, true>
local function names_of(declared)
  local names = {}
  for _, name in ipairs(LEAVER) do names[name] = true end
  for name, param in pairs(declared) do
    names[name] = true
    for _, property in ipairs(param.type == "user" and PERSON or {}) do names[name .. "." .. property] = true end
  end
  return names
end

--- Raises for a place that nothing can fill.
---@param declared table<string, msgraph.offboard.Param>
---@param text string
---@param what string for the message: "mailbox.auto_reply: 'text'"
function M.check(declared, text, what)
  local names = names_of(declared)
  for name in text:gmatch(PLACE) do
    if not names[name] then
      local meant = config.nearest(name, names)
      error(("%s: nothing fills {{%s}}%s"):format(what, name,
        meant and (" (did you mean {{%s}}?)"):format(meant) or ""), 0)
    end
  end
end

local function value_of(name, user, params)
  local first, property = name:match "^([^.]*)%.?(.*)$"
  local value = params[first]
  if value == nil then return user[name] end
  if type(value) ~= "table" then return tostring(value) end
  return value[property ~= "" and property or "label"]
end

--- Fills the places.
---@param text string
---@param user table the account
---@param params table<string, any> this person's
---@return string? filled
---@return string? missing the place that has no value for him
function M.fill(text, user, params)
  local missing
  local filled = text:gsub(PLACE, function(name)
    local value = value_of(name, user, params)
    if value == nil then missing = missing or name end
    return value or ""
  end)
  if missing then return nil, missing end
  return filled
end

return M
