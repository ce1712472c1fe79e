--- Which part of a workflow or run is meant: `stage=contain`, `action=…`, `danger=…`, `user=…`, several with commas.
--
-- `only`: of each key that is named, one of its values; `except`: none of them. Names nobody has are mistakes: they
-- would select nothing, or leave nothing out.
local actions = require "msgraph.offboard.actions"
local config = require "msgraph.config"
local json = require "msgraph.json"

local M = {}

---@class msgraph.offboard.Selection
---@field only table<string, table<string, true>>   key to values; of users in lower case
---@field except table<string, table<string, true>>
---@field given { only: string[], except: string[] } as they were typed
local Selection = {}
Selection.__index = Selection

local KEYS = { stage = true, action = true, danger = true, user = true }

local function mistake(kind, word, text)
  error(("%s %s: %s"):format(kind, word, text), 0)
end

local function nearest(value, names)
  local meant = config.nearest(value, names)
  return meant and (" (did you mean '%s'?)"):format(meant) or ""
end

local function parse_word(kind, word, known, into)
  local key, list = word:match "^([^=]*)=(.+)$"
  if not KEYS[key] then mistake(kind, word, "stage=…, action=…, danger=… or user=… is expected") end
  if not list:find "[^,]" then mistake(kind, word, "it names nothing") end
  into[key] = into[key] or {}
  for value in list:gmatch "[^,]+" do
    if known[key] and not known[key][value] then
      mistake(kind, word, ("there is no %s '%s'%s"):format(key, value, nearest(value, known[key])))
    end
    into[key][key == "user" and value:lower() or value] = true
  end
end

local function set_of(list)
  local set = {}
  for _, name in ipairs(list) do set[name] = true end
  return set
end

--- Reads what was typed.
---@param given { only?: string[], except?: string[] } each "key=value,value"
---@param known { stage: string[], action: string[] } names that exist
---@return msgraph.offboard.Selection?
---@return string? reason
function M.parse(given, known)
  local self = setmetatable({ only = {}, except = {},
    given = { only = given.only or {}, except = given.except or {} } }, Selection)
  local sets = { stage = set_of(known.stage), action = set_of(known.action), danger = set_of(actions.DANGERS) }
  local ok, reason = pcall(function()
    for _, kind in ipairs { "only", "except" } do
      for _, word in ipairs(self.given[kind]) do parse_word(kind, word, sets, self[kind]) end
    end
  end)
  if not ok then return nil, reason end
  return self
end

local function takes(self, key, ...)
  local only, except = self.only[key], self.except[key]
  local is_named, is_out = false, false
  for _, value in ipairs { ... } do
    is_named = is_named or only ~= nil and only[value] == true
    is_out = is_out or except ~= nil and except[value] == true
  end
  return (not only or is_named) and not is_out
end

--- As it was typed, for a plan; nil: nothing was.
function Selection:plain()
  local given = self.given
  if not given.only[1] and not given.except[1] then return nil end
  return { only = json.array(given.only), except = json.array(given.except) }
end

--- Whether something that is done is selected.
---@param what { stage: string, action: string, danger: string }
---@return boolean
function Selection:takes(what)
  return takes(self, "stage", what.stage) and takes(self, "action", what.action) and takes(self, "danger", what.danger)
end

--- Those of a list who are selected.
---@generic T
---@param people T[]
---@param names_of fun(person: T): string, string? a principal name, an object id
---@return T[]?
---@return string? reason a user is named who is not in the list, or nobody is left
function Selection:people(people, names_of)
  local chosen, unseen = {}, {}
  for _, kind in ipairs { "only", "except" } do
    for name in pairs(self[kind].user or {}) do unseen[name] = kind end
  end
  for _, person in ipairs(people) do
    local name, id = names_of(person)
    name = name:lower()
    unseen[name], unseen[id or name] = nil, nil
    if takes(self, "user", name, id) then chosen[#chosen + 1] = person end
  end
  local name, kind = next(unseen)
  if name then return nil, ("%s user=%s: nobody in the list is that"):format(kind, name) end
  if not chosen[1] then return nil, "nobody in the list is selected" end
  return chosen
end

-- ---- workflows ----------------------------------------------------------------------------------

--- The names a workflow has.
---@param wf msgraph.offboard.Workflow
---@return { stage: string[], action: string[] }
function M.names(wf)
  local names = { stage = {}, action = {} }
  for i, stage in ipairs(wf.stages) do
    names.stage[i] = stage.name
    for _, use in ipairs(stage.uses or {}) do table.insert(names.action, use.action.id) end
    if stage.step then table.insert(names.action, "step") end
  end
  return names
end

local function copy(object)
  local out = setmetatable({}, getmetatable(object))
  for name, value in pairs(object) do out[name] = value end
  return out
end

-- A stage without what is not selected; nil: nothing is left of it.
local function narrowed(self, stage)
  if stage.step then
    return self:takes { stage = stage.name, action = "step", danger = stage.step.danger } and copy(stage) or nil
  end
  local out = copy(stage)
  out.uses = {}
  for _, use in ipairs(stage.uses) do
    if self:takes { stage = stage.name, action = use.action.id, danger = use.action.danger } then
      table.insert(out.uses, use)
    end
  end
  return out.uses[1] and out
end

--- The workflow without what is not selected; what came after a stage that is left out comes after those before it.
---@param wf msgraph.offboard.Workflow
---@return msgraph.offboard.Workflow
function Selection:workflow(wf)
  local out, before = copy(wf), {}
  out.stages = {}
  for _, stage in ipairs(wf.stages) do
    local after = {}
    for _, name in ipairs(stage.after) do
      for _, other in ipairs(before[name]) do after[#after + 1] = other end
    end
    local kept = narrowed(self, stage)
    if kept then
      kept.after = after
      out.stages[#out.stages + 1] = kept
    end
    before[stage.name] = kept and { stage.name } or after
  end
  return out
end

return M
