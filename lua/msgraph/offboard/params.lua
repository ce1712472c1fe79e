-- lua/msgraph/offboard/params.lua
--- Parameters of a workflow: declared in it, given with the plan, some of them found for each person.
local values = require "msgraph.offboard.values"

local M = {}

---@class msgraph.offboard.Param
---@field type "string"|"integer"|"boolean"|"enum"|"user"
---@field required? boolean
---@field default? any         of a user also ob.manager
---@field match? string        Lua pattern, of strings
---@field values? string[]     of an enum
---@field about? string

local Reference = { __name = "msgraph.offboard.param" }

--- Each person's own manager, as the default of a parameter or where an action takes a person.
M.MANAGER = setmetatable({}, { __name = "msgraph.offboard.manager", __tostring = function() return "ob.manager" end })

--- The value of a parameter, where an action takes a person.
---@param name string
function M.reference(name)
  if type(name) ~= "string" then error("param: a name is expected, as in ob.param \"delegate\"", 2) end
  return setmetatable({ name = name }, Reference)
end

function M.is_reference(value)
  return getmetatable(value) == Reference
end

local PARAM = { type = "string", required = "boolean", default = "any", match = "string", values = "table",
  about = "string" }
local TYPES <const> = { "string", "integer", "boolean", "enum", "user" }

local function wrong(what, expected, value)
  error(("%s must be %s, got %s"):format(what, expected, values.shown(value)), 0)
end

local CHECKS = {}

function CHECKS.string(param, value, what)
  if type(value) ~= "string" then wrong(what, "a text", value) end
  if param.match and not value:find(param.match) then
    wrong(what, ("a text that matches %q"):format(param.match), value)
  end
  return value
end

function CHECKS.integer(_, value, what)
  local number = math.tointeger(tonumber(value))
  if not number then wrong(what, "a whole number", value) end
  return number
end

local BOOLEANS = { ["true"] = true, ["false"] = false }

function CHECKS.boolean(_, value, what)
  local truth = BOOLEANS[tostring(value)]
  if truth == nil then wrong(what, "true or false", value) end
  return truth
end

function CHECKS.enum(param, value, what) return values.one_of(value, param.values, what) end

function CHECKS.user(_, value, what)
  if type(value) ~= "string" then wrong(what, "a principal name or object id", value) end
  return value
end

local function declare_one(name, given)
  local what = ("param '%s'"):format(tostring(name))
  values.name(name, what)
  local param = values.fields(given, PARAM, what)
  values.one_of(param.type, TYPES, what .. ": 'type'")
  if param.type == "enum" then values.texts(param.values, what .. ": 'values'") end
  if param.match and not pcall(string.find, "", param.match) then error(what .. ": 'match' is no Lua pattern", 0) end
  if param.required and param.default ~= nil then error(what .. ": it is required and has a default", 0) end
  if param.default == M.MANAGER then
    if param.type ~= "user" then error(what .. ": ob.manager is the default of a user", 0) end
  elseif param.default ~= nil then
    CHECKS[param.type](param, param.default, what .. ": 'default'")
  end
  return param
end

--- The parameters a workflow declares, checked. Raises.
---@param given? table<string, table>
---@return table<string, msgraph.offboard.Param>
function M.declare(given)
  local out = {}
  for name, param in pairs(given or {}) do out[name] = declare_one(name, param) end
  return out
end

--- Checks that what an action's options refer to is declared, as a person. Raises.
function M.check_references(declared, opts, where)
  for option, value in pairs(opts) do
    if M.is_reference(value) then
      local names = {}
      for name in pairs(declared) do names[#names + 1] = name end
      table.sort(names)
      if not declared[value.name] then
        if #names == 0 then error(("%s: '%s' refers to the param '%s', and the workflow declares none")
          :format(where, option, value.name), 0) end
        values.one_of(value.name, names, ("%s: the param of '%s'"):format(where, option))
      elseif declared[value.name].type ~= "user" then
        error(("%s: '%s' must be a param of type user, '%s' is a %s")
          :format(where, option, value.name, declared[value.name].type), 0)
      end
    end
  end
end

local function undeclared(declared, name)
  local meant = next(declared) and require("msgraph.config").nearest(tostring(name), declared)
  return ("the workflow has no param '%s'%s"):format(tostring(name),
    meant and (" (did you mean '%s'?)"):format(meant) or "")
end

--- Has a table of values raise for a name that the workflow does not declare, at the line that says it.
---@param declared table<string, msgraph.offboard.Param>
---@param filled table<string, any>
---@return table<string, any> filled
function M.strict(declared, filled)
  return setmetatable(filled, { __index = function(_, name)
    if not declared[name] then error(undeclared(declared, name), 2) end
  end })
end

--- What was given for a plan, checked and completed. A user stays a name, to be found later; ob.manager stays itself.
---@param declared table<string, msgraph.offboard.Param>
---@param given table<string, any>
---@return table<string, any>? values
---@return string? reason
function M.fill(declared, given)
  local ok, out = pcall(function()
    for name in pairs(given) do
      if not declared[name] then error(undeclared(declared, name), 0) end
    end
    local filled = {}
    for name, param in pairs(declared) do
      local value = given[name]
      if value == nil then
        if param.required then
          error(("the param '%s' is missing%s: --param %s=…"):format(name,
            param.about and (" (%s)"):format(param.about) or "", name), 0)
        end
        filled[name] = param.default
      else
        filled[name] = CHECKS[param.type](param, value, ("the param '%s'"):format(name))
      end
    end
    return filled
  end)
  if ok then return out end
  return nil, out
end

return M
