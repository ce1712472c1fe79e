-- lua/msgraph/offboard/language.lua
--- The words a workflow is written in: docs/workflows.md.
--
-- They describe and do nothing: no request is sent, no file is read. What is wrong is raised at the line of the
-- workflow that says it, in one line that says what would be right.
local actions = require "msgraph.offboard.actions"
local params = require "msgraph.offboard.params"
local requests = require "msgraph.offboard.requests"
local template = require "msgraph.offboard.template"
local values = require "msgraph.offboard.values"

local M = {}

local at_caller = values.at_caller

-- ---- who ----------------------------------------------------------------------------------------

---@class msgraph.offboard.Source
---@field kind "csv"|"list"|"group"|"filter"
local Source = { __name = "msgraph.offboard.Source" }
Source.__index = Source
M.Source = Source

local function source(kind, fields)
  fields.kind = kind
  return setmetatable(fields, Source)
end

local KEYS <const> = { "userPrincipalName", "id", "mail" }
local CSV = { file = "string", key = "string", require_match = "string" }

local function make_csv(opts)
  opts = values.fields(opts or {}, CSV, "csv")
  if opts.key then values.one_of(opts.key, KEYS, "csv: 'key'") end
  local match = values.one_of(opts.require_match or "exactly-one", { "exactly-one", "skip" }, "csv: 'require_match'")
  return source("csv", { file = opts.file, key = opts.key, skip_unmatched = match == "skip" })
end

--- The people of a CSV file: `file`, or the one that the plan is made with. `key`: the column that names them (and
--- the property it holds), by default the first of userPrincipalName, id and mail that is there. A row that matches
--- nobody, or two, fails the plan; with `require_match = "skip"` it is listed in the plan and left out.
---@param opts? { file?: string, key?: "userPrincipalName"|"id"|"mail", require_match?: "exactly-one"|"skip" }
---@return msgraph.offboard.Source
function M.csv(opts)
  local made = at_caller(make_csv, opts)
  return made
end

--- These people, by principal name or object id.
---@param who string[]
---@return msgraph.offboard.Source
function M.list(who)
  local made = at_caller(function() return source("list", { who = values.texts(who, "list") }) end)
  return made
end

local function make_group(opts)
  if type(opts) == "string" then opts = { name = opts } end
  opts = values.fields(opts, { name = "string", id = "string" }, "group")
  if (opts.name == nil) == (opts.id == nil) then
    error('group: give its name or its id, as in ob.group "Leavers"', 0)
  end
  return source("group", { name = opts.name, id = opts.id })
end

--- The members of a group, those of groups in it as well. A name must be one group's.
---@param opts string|{ name?: string, id?: string }
---@return msgraph.offboard.Source
function M.group(opts)
  local made = at_caller(make_group, opts)
  return made
end

local function make_filter(opts)
  if type(opts) == "table" then opts = values.texts(opts, "filter")[1] end
  if type(opts) ~= "string" or not opts:find("%S") then
    error([[filter: a filter is expected, as in ob.filter "department eq 'Sales'"]], 0)
  end
  return source("filter", { filter = opts })
end

--- The users whom a filter of Graph's finds.
---@param opts string|{ [1]: string }
---@return msgraph.offboard.Source
function M.filter(opts)
  local made = at_caller(make_filter, opts)
  return made
end

-- ---- whom not -----------------------------------------------------------------------------------

---@class msgraph.offboard.Protected
local Protected = { __name = "msgraph.offboard.Protected" }
Protected.__index = Protected

--- Whoever makes the plan, when that is a person.
M.self = setmetatable({ kind = "self" }, Protected)
--- Whoever holds a directory role now, or is in a group that may.
M.role_holders = setmetatable({ kind = "role_holders" }, Protected)

--- The accounts that must always be able to sign in, by principal name or object id.
---@param who string[]
function M.break_glass(who)
  local made = at_caller(function()
    return setmetatable({ kind = "break_glass", who = values.texts(who, "break_glass") }, Protected)
  end)
  return made
end

-- ---- values that come later ---------------------------------------------------------------------

M.manager = params.MANAGER
--- The value of a parameter, where an action takes a person.
M.param = params.reference

-- ---- own steps ----------------------------------------------------------------------------------

--- What an own step's `plan` returns when there is nothing to do.
---@param why string
function M.unchanged(why)
  local made = at_caller(requests.unchanged, why)
  return made
end

for _, method in ipairs { "post", "patch", "put", "delete" } do
  --- What an own step's `plan` returns to have it sent at apply: { "/users/%s", id, body =, before =, label = }.
  M[method] = function(fields)
    local made = at_caller(requests.new, method:upper(), fields)
    return made
  end
end

M.actions = actions.tree

--- Lines to standard error, from observers.
M.log = {}
function M.log.info(...)
  local words = table.pack(...)
  for i = 1, words.n do words[i] = tostring(words[i]) end
  io.stderr:write(table.concat(words, " "), "\n")
end

-- ---- workflow -----------------------------------------------------------------------------------

---@class msgraph.offboard.Workflow
---@field name string
---@field version integer
---@field params table<string, msgraph.offboard.Param>
---@field subjects? msgraph.offboard.Source
---@field protect table[]
---@field limits msgraph.offboard.Limits
---@field stages msgraph.offboard.Stage[] in the order they are written
---@field observers table<string, function[]>
---@field file? string    where it was loaded from, with
---@field hash? string    the hash of its text
local Workflow = { __name = "msgraph.offboard.Workflow" }
Workflow.__index = Workflow
M.Workflow = Workflow

local WORKFLOW = { name = "string", version = "number", params = "table", subjects = "table", protect = "table",
  limits = "table" }
local LIMITS = { subjects = "number", disruptive = "number", destructive = "number", irreversible = "number",
  waves = "table", halt = "table", expires = "string" }
local HALT = { failed = "any", needs_human = "any", first_wave_failed = "any" }

---@class msgraph.offboard.Limits
---@field subjects? integer       most people in a plan
---@field disruptive? integer     most operations of that danger
---@field destructive? integer
---@field irreversible integer    default 0
---@field waves (integer|string)[] how many people in all have been begun when each ends; default { "100%" }
---@field halt table<string, integer|string>
---@field expires integer         seconds a plan may be applied, default 7 days
local function check_limits(given)
  local limits = { irreversible = 0, waves = { "100%" }, halt = {}, expires = 7 * 86400 }
  for name, value in pairs(values.fields(given or {}, LIMITS, "limits")) do limits[name] = value end
  for _, name in ipairs { "subjects", "disruptive", "destructive", "irreversible" } do
    local most = limits[name]
    if most and (math.type(most) ~= "integer" or most < 0) then
      error(("limits: '%s' must be a whole number, got %s"):format(name, most), 0)
    end
  end
  if type(limits.expires) == "string" then limits.expires = values.duration(limits.expires, "limits: 'expires'") end
  for name, value in pairs(values.fields(limits.halt, HALT, "limits: 'halt'")) do
    values.count_or_share(value, ("limits: halt '%s'"):format(name))
  end
  for i, wave in ipairs(limits.waves) do values.count_or_share(wave, ("limits: wave %d"):format(i)) end
  if limits.waves[#limits.waves] ~= "100%" then error('limits: the last of \'waves\' must be "100%"', 0) end
  return limits
end

local function check_protect(list)
  if not list then return { M.self } end
  for key, item in pairs(list) do
    if math.type(key) ~= "integer" then
      error(('protect: unknown option \'%s\'; it is a list, as in { ob.self, ob.group "Never-Offboard" }')
        :format(tostring(key)), 0)
    end
    if getmetatable(item) ~= Protected and not (getmetatable(item) == Source and item.kind == "group") then
      error(("protect: item %d must be ob.self, ob.role_holders, ob.break_glass {...} or ob.group"):format(key), 0)
    end
  end
  return list
end

local function make_workflow(opts)
  opts = values.fields(opts, WORKFLOW, "workflow")
  for _, name in ipairs { "name", "version" } do
    if opts[name] == nil then error(("workflow: '%s' is missing"):format(name), 0) end
  end
  if math.type(opts.version) ~= "integer" or opts.version < 1 then
    error("workflow: 'version' must be a whole number from 1", 0)
  end
  if opts.subjects and getmetatable(opts.subjects) ~= Source then
    error("workflow: 'subjects' must be ob.csv {}, ob.list {...}, ob.group or ob.filter", 0)
  end
  return setmetatable({
    name = values.name(opts.name, "workflow: 'name'"), version = opts.version, params = params.declare(opts.params),
    subjects = opts.subjects, protect = check_protect(opts.protect), limits = check_limits(opts.limits),
    stages = {}, observers = {},
  }, Workflow)
end

--- Begins a workflow.
---@param opts { name: string, version: integer, params?: table, subjects?: msgraph.offboard.Source, protect?: table[],
---  limits?: table }
---@return msgraph.offboard.Workflow
function M.workflow(opts)
  local made = at_caller(make_workflow, opts)
  return made
end

-- ---- stages -------------------------------------------------------------------------------------

local STAGE = { after = "any", on_error = "string", wait = "string", wait_for = "string" }
local ON_ERROR <const> = { "skip-subject", "continue", "stop" }

---@class msgraph.offboard.Stage
---@field name string
---@field after string[]    stages that have ended before it begins, of the same wave; default: the one before it
---@field on_error "skip-subject"|"continue"|"stop"  default "continue"
---@field wait integer      seconds after those ended
---@field wait_for? "confirmed"  until all that was done there is seen to be so
---@field uses table[]      { action = , opts = }: what is done, in order
---@field step? table       of an own step: its functions

local function stage_names(wf)
  local names = {}
  for _, stage in ipairs(wf.stages) do names[#names + 1] = stage.name end
  return names
end

local function check_after(wf, after, what)
  if after == nil then return { wf.stages[#wf.stages] and wf.stages[#wf.stages].name } end
  after = type(after) == "table" and after or { after }
  local names = stage_names(wf)
  if #names == 0 then error(what .. ": 'after' names a stage, and there is none before this one", 0) end
  for _, name in ipairs(after) do values.one_of(name, names, what .. ": 'after'") end
  return after
end

local function check_wait_for(wf, opts, what)
  if not opts.wait_for then return nil end
  values.one_of(opts.wait_for, { "confirmed" }, what .. ": 'wait_for'")
  if not wf.stages[1] then error(what .. ": 'wait_for' waits for a stage, and there is none before this one", 0) end
  if opts.wait then error(what .. ": 'wait' and 'wait_for' exclude each other: put a stage between them", 0) end
  return opts.wait_for
end

local function add_stage(wf, name, opts, what)
  values.name(name, what)
  for _, stage in ipairs(wf.stages) do
    if stage.name == name then error(("%s: there is a stage of this name already"):format(what), 0) end
  end
  local stage = {
    name = name, after = check_after(wf, opts.after, what),
    on_error = values.one_of(opts.on_error or "continue", ON_ERROR, what .. ": 'on_error'"),
    wait = opts.wait and values.duration(opts.wait, what .. ": 'wait'") or 0,
    wait_for = check_wait_for(wf, opts, what),
  }
  return stage
end

local function check_texts(wf, use)
  for name, option in pairs(use.action.options or {}) do
    if option.type == "text" and use.opts[name] then
      template.check(wf.params, use.opts[name], ("%s: '%s'"):format(use.action.id, name))
    end
  end
end

local function make_stage(wf, name, opts, list)
  local what = ("stage '%s'"):format(tostring(name))
  if list == nil then opts, list = {}, opts end
  values.fields(opts, STAGE, what)
  if type(list) ~= "table" then error(what .. ": a list of actions is expected", 0) end
  local stage = add_stage(wf, name, opts, what)
  stage.uses = actions.uses(list, what)
  for _, use in ipairs(stage.uses) do
    params.check_references(wf.params, use.opts, use.action.id)
    check_texts(wf, use)
  end
  wf.stages[#wf.stages + 1] = stage
end

--- Adds a stage: { after =, on_error =, wait =, wait_for = }, and the actions in it.
---@param name string
---@param opts table
---@param list? table[] the options may be left out
function Workflow:stage(name, opts, list)
  at_caller(make_stage, self, name, opts, list)
end

local STEP = { after = "any", on_error = "string", wait = "string", wait_for = "string", effect = "string",
  danger = "string", plan = "function", probe = "function", permissions = "table" }

local function make_step(wf, name, opts)
  local what = ("step '%s'"):format(tostring(name))
  values.fields(opts, STEP, what)
  if not opts.plan then error(what .. ": 'plan' is missing: a function that returns what is to be done", 0) end
  local stage = add_stage(wf, name, opts, what)
  stage.step = {
    effect = values.one_of(opts.effect, { "converge", "command", "once" }, what .. ": 'effect'"),
    danger = values.one_of(opts.danger, actions.DANGERS, what .. ": 'danger'"),
    plan = opts.plan, probe = opts.probe,
    permissions = opts.permissions and values.texts(opts.permissions, what .. ": 'permissions'") or {},
  }
  wf.stages[#wf.stages + 1] = stage
end

--- Adds an own step, a stage by itself. `plan(g, user, params)` reads with g and returns ob.patch {...} (post, put,
--- delete), a list of them, or ob.unchanged "why"; `probe(g, op)` tells whether it has been done.
---@param name string
---@param opts table
function Workflow:step(name, opts)
  at_caller(make_step, self, name, opts)
end

local EVENTS <const> = { "run.started", "wave.started", "stage.finished", "op.finished", "subject.finished",
  "run.finished" }

local function add_observer(wf, event, fn)
  values.one_of(event, EVENTS, "on: the event")
  if type(fn) ~= "function" then error(("on '%s': a function is expected, got %s"):format(event, type(fn)), 0) end
  wf.observers[event] = wf.observers[event] or {}
  table.insert(wf.observers[event], fn)
end

--- Adds an observer: it is told, and changes nothing.
---@param event string "run.started", "wave.started", "stage.finished", "op.finished", "subject.finished",
---  "run.finished"
---@param fn fun(event: table)
function Workflow:on(event, fn)
  at_caller(add_observer, self, event, fn)
end

return M
