-- lua/msgraph/offboard/actions/init.lua
--- The catalogue: what a workflow can have done, one file a topic.
--
-- An action reads a person's state and says what is to be done about it, as operations: requests that are sent at
-- apply, never here. What cannot be done through Graph becomes a hand-off, with what a person has to type.
local config = require "msgraph.config"
local params = require "msgraph.offboard.params"
local permissions = require "msgraph.permissions"
local values = require "msgraph.offboard.values"

local M = {}

---@class msgraph.offboard.Action
---@field id string             "groups.leave_all"
---@field version integer       of its operations: +1 when their meaning changes
---@field about string
---@field effect "converge"|"command"|"once"  of what it does: sent twice is as good as once; acts each time, and a read
---                             shows it; never to be sent twice
---@field danger "safe"|"disruptive"|"destructive"|"irreversible"
---@field settle integer        seconds until a read shows what was done (design: SETTLE)
---@field reads? string[]       what it wants to know, names of msgraph.offboard.reads
---@field calls string[]        the requests it may have sent, as the permissions' index has them: "PATCH /users/{id}"
---@field options? table<string, msgraph.offboard.Option>
---@field tasks? string[]       texts it may be given, in a list
---@field plan fun(ctx: msgraph.offboard.Context, opts: table)  what is to be done, told to ctx
---@field probe fun(g: msgraph.offboard.Reader, op: table, since: integer): "yes"|"no"|"pending"|"unknown"
---                             whether an operation sent at `since` (Unix seconds) has been done
---@field back? fun(g: msgraph.offboard.Reader, op: table): "yes"|"no"|"gone"|"unknown"  whether an inverse (op.desired)
---                             has been done; default: whether `probe` says no. Gone: there is nothing left to bring
---                             back to
---@field undo? fun(g: msgraph.offboard.Reader, op: table): table?  the request that takes an operation back, where it
---                             can not be known before that was done; nil: there is nothing to take back. An operation
---                             with `inverse` or `no_inverse` is not asked about
---@field already? table<string, true>    reasons or kinds of an Error that say: nothing was left to do
---@field hand_off? table<string, string> reasons of an Error that say: a person must, and what to tell him

---@class msgraph.offboard.Option
---@field type "string"|"text"|"boolean"|"enum"|"words"|"user"|"function"  text: one with places, see offboard.template
---@field values? string[]  of an enum; of which words
---@field default? any
---@field required? boolean
---@field about string

M.DANGERS = { "safe", "disruptive", "destructive", "irreversible" }

local TOPICS <const> = { "account", "auth_methods", "devices", "intune", "entra_devices", "device_records", "mailbox",
  "calendar", "onedrive", "reports", "groups", "roles", "apps", "packages", "licenses",
  "deletion", "notify", "handoff" }

-- ---- uses ---------------------------------------------------------------------------------------

local Use = { __name = "msgraph.offboard.Use" }

local CHECKS = {
  ["function"] = function(value) return type(value) == "function", "a function" end,
  string = function(value) return type(value) == "string", "a text" end,
  text = function(value) return type(value) == "string" and value:find "%S" ~= nil, "a text" end,
  boolean = function(value) return type(value) == "boolean", "true or false" end,
  user = function(value)
    return type(value) == "string" or params.is_reference(value) or value == params.MANAGER,
      "a person: ob.param \"…\", ob.manager, or a principal name"
  end,
}

local function check_option(option, value, what)
  if option.type == "enum" then return values.one_of(value, option.values, what) end
  if option.type == "words" then
    for _, word in ipairs(values.texts(value, what)) do values.one_of(word, option.values, what) end
    return
  end
  local ok, expected = CHECKS[option.type](value)
  if not ok then error(("%s must be %s, got %s"):format(what, expected, values.shown(value)), 0) end
end

local function check_task(action, task)
  if not action.tasks then error(("%s: takes no list, got %s"):format(action.id, values.shown(task)), 0) end
  values.one_of(task, action.tasks, action.id)
end

local function use_of(action, given)
  if type(given) ~= "table" then error(("%s: options must be a table, got %s"):format(action.id, type(given)), 0) end
  local opts, options = {}, action.options or {}
  for name, option in pairs(options) do opts[name] = option.default end
  for name, value in pairs(given) do
    if math.type(name) == "integer" then
      check_task(action, value)
    else
      local option = options[name]
      if not option then
        local meant = type(name) == "string" and config.nearest(name, options)
        error(("%s: unknown option '%s'%s"):format(action.id, tostring(name),
          meant and (" (did you mean '%s'?)"):format(meant) or ""), 0)
      end
      check_option(option, value, ("%s: '%s'"):format(action.id, name))
    end
    opts[name] = value
  end
  for name, option in pairs(options) do
    if option.required and opts[name] == nil then error(("%s: '%s' is missing"):format(action.id, name), 0) end
  end
  return setmetatable({ action = action, opts = opts }, Use)
end

-- ---- the tree that workflows see ----------------------------------------------------------------

-- An action as it stands in a workflow: used without options, or called with some.
local Entry = { __name = "msgraph.offboard.action" }

function Entry.__call(entry, given)
  local use = values.at_caller(use_of, entry[Entry], given)
  return use
end

function Entry.__index(entry, name)
  error(("%s is an action, it has no '%s'"):format(rawget(entry, Entry).id, tostring(name)), 2)
end

function Entry.__tostring(entry) return rawget(entry, Entry).id end

--- The uses a stage lists. Raises.
---@return table[]
function M.uses(list, what)
  local uses = {}
  for i, item in ipairs(list) do
    local class = getmetatable(item)
    if class == Entry then
      uses[i] = use_of(rawget(item, Entry), {})
    elseif class == Use then
      uses[i] = item
    else
      error(("%s: item %d must be an action, as in ob.actions.account.disable, got %s"):format(what, i,
        values.shown(item)), 0)
    end
  end
  for key in pairs(list) do
    if not uses[key] then
      error(("%s: %s"):format(what, math.type(key) == "integer" and ("item %d is nil"):format(key - 1)
        or ("unknown option '%s': options stand before the list of actions"):format(tostring(key))), 0)
    end
  end
  return uses
end

-- A table that knows its names: another one is a typo.
local function closed(fields, path)
  return setmetatable({}, {
    __index = function(_, name)
      local value = fields[name]
      if value ~= nil then return value end
      local meant = type(name) == "string" and config.nearest(name, fields)
      error(("there is no action '%s%s'%s"):format(path, tostring(name),
        meant and (" (did you mean '%s%s'?)"):format(path, meant) or ""), 2)
    end,
    __newindex = function() error("actions are not the workflow's to change", 2) end,
    __pairs = function() return next, fields end,
  })
end

-- ---- the catalogue ------------------------------------------------------------------------------

--- All actions, in the order of the catalogue.
---@type msgraph.offboard.Action[]
M.list = {}
local by_id, branches = {}, {}

for _, topic in ipairs(TOPICS) do
  for _, action in ipairs(require("msgraph.offboard.actions." .. topic)) do
    M.list[#M.list + 1], by_id[action.id] = action, action
    local branch, name = action.id:match("^([%w_]+)%.([%w_]+)$")
    branches[branch] = branches[branch] or {}
    branches[branch][name] = setmetatable({ [Entry] = action }, Entry)
  end
end

--- ob.actions
M.tree = {}
for branch, names in pairs(branches) do M.tree[branch] = closed(names, branch .. ".") end
M.tree = closed(M.tree, "")

--- An action by its id.
---@param id string
---@return msgraph.offboard.Action?
function M.find(id) return by_id[id] end

--- What the calls of requests need.
---@param calls string[] "PATCH /users/{id}"
---@return { delegated: string[], application: string[] } the least privileged of each, sorted
function M.permissions(calls)
  local sets = { delegated = {}, application = {} }
  for _, call in ipairs(calls) do
    local needs = permissions.find(call:match("^(%S+) (%S+)$"))
    for kind, set in pairs(sets) do
      local least = needs and needs.least[kind]
      if least then set[least] = true end
    end
  end
  local out = {}
  for kind, set in pairs(sets) do
    out[kind] = {}
    for name in pairs(set) do table.insert(out[kind], name) end
    table.sort(out[kind])
  end
  return out
end

return M
