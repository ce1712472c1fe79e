-- lua/msgraph/offboard/compile.lua
--- A workflow and what is read of a person become operations: what an action sees while it plans.
local canonical = require "msgraph.offboard.canonical"
local params = require "msgraph.offboard.params"
local reads = require "msgraph.offboard.reads"
local requests = require "msgraph.offboard.requests"
local sandbox = require "msgraph.offboard.sandbox"
local subjects = require "msgraph.offboard.subjects"
local task = require "msgraph.task"

local M = {}

---@class msgraph.offboard.Context    what an action's `plan` is given
---@field client msgraph.Client       to build requests with: client:group(id):request(…)
---@field reader msgraph.offboard.Reader
---@field user table                  the account, properties of reads.ACCOUNT
---@field thing msgraph.Thing         client:user(id)
---@field path string                 "/users/{id}"
---@field params table<string, any>
---@field leaving table<string, true> ids of everybody in the plan
local Context = {}
Context.__index = Context

--- Anew, so that nobody changes what others see.
local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for key, inner in pairs(value) do out[key] = copy(inner) end
  return out
end

-- ---- reading ------------------------------------------------------------------------------------

local function read(job, person, name)
  local known = person.data[name]
  if known == nil then
    known = reads.read(job.reader, name, person.id) or false
    person.data[name] = known
  end
  return known or nil
end

--- What is known under a name of msgraph.offboard.reads.
---@param name string
---@return table
function Context:read(name) return read(self.job, self.person, name) end

--- A list that is the same for everybody: read once, whoever asks first.
---@param key string
---@return table[]
function Context:shared(key, ...)
  local shared, args = self.job.shared, table.pack(...)
  if not shared[key] then
    shared[key] = task.spawn(function() return self.reader.list(table.unpack(args, 1, args.n)) end)
  end
  return shared[key]:join()
end

local function describe(account)
  return { id = account.id, userPrincipalName = account.userPrincipalName, displayName = account.displayName,
    mail = account.mail, onPremisesSecurityIdentifier = account.onPremisesSecurityIdentifier,
    label = account.displayName or account.userPrincipalName }
end

--- The person an option names, who stays; nil when there is none (no manager), or when he leaves with the same plan.
---@param value any ob.param, ob.manager, or a name
---@return { id: string, userPrincipalName: string, displayName?: string, mail?: string, label: string,
---  onPremisesSecurityIdentifier?: string }?
function Context:who(value)
  if params.is_reference(value) then return self.params[value.name] end
  local account
  if value == params.MANAGER then account = self:read "manager" else account = self.job.people[value:lower()] end
  if not account or self.leaving[account.id] then return nil end
  return describe(account)
end

--- Calls a function of the workflow.
function Context.call(_, fn, ...)
  return sandbox.call(fn, ...)
end

--- The account, for functions of the workflow.
function Context:user_copy() return copy(self.user) end

--- The person's parameters, for functions of the workflow.
function Context:params_copy() return params.strict(self.job.workflow.params, copy(self.params)) end

-- ---- telling ------------------------------------------------------------------------------------

local function note(ctx, status, why, target)
  table.insert(ctx.person.notes, { stage = ctx.stage.name, action = ctx.action.id, status = status, why = why,
    target_id = target })
end

--- Nothing to do.
function Context:unchanged(why, target) note(self, "unchanged", why, target) end
--- Left out, on purpose.
function Context:skip(why, target) note(self, "skipped", why, target) end
--- What a reader of the plan should know.
function Context:note(why) note(self, "note", why) end

--- Ends the planning: the workflow asks for what can not be.
---@param why string
function Context.fail(_, why) error(sandbox.error_of(why), 0) end

--- Whether an action has already planned something for a target.
---@param action string
---@param target string
---@return boolean
function Context:has_op(action, target)
  for _, op in ipairs(self.person.ops) do
    if op.action == action and op.target_id == target then return true end
  end
  return false
end

local function request_of(request)
  if not request then return nil end
  local body = request.body
  if type(body) == "table" then body = canonical.encode(body) end
  return { method = request.method, path = request.path, body = body, effect = request.effect }
end

local function add(ctx, given, desired, effect, danger)
  local op = {
    key = ("%s/%s/%s"):format(ctx.stage.name, ctx.action.id, given.key or given.target),
    action = ctx.action.id, action_version = ctx.action.version, subject_id = ctx.person.id, target_id = given.target,
    name = given.name, stage = ctx.stage.name, effect = effect, danger = danger, deps = given.deps,
    desired = desired, guard = given.guard, inverse = request_of(given.inverse), no_inverse = given.no_inverse,
    nothing_to_undo = given.nothing_to_undo, sets = given.sets, label = given.label, about = given.about,
  }
  if ctx.person.keys[op.key] then error(("the operation %s is planned twice"):format(op.key), 0) end
  ctx.person.keys[op.key] = true
  table.insert(ctx.person.ops, op)
  return op
end

--- Plans an operation.
---@param given { target: string, name?: string, request: table, inverse?: table, no_inverse?: string,
---  nothing_to_undo?: string, secret?: table, guard?: table, deps?: string[], sets?: table, label: string,
---  key?: string, about?: string }
---@return table op
function Context:op(given)
  local desired = request_of(given.request)
  desired.secret = given.secret
  return add(self, given, desired, self.action.effect, self.action.danger)
end

--- Plans work for a person. `powershell`: one call of a cmdlet, of msgraph.offboard.powershell, which is the same
--- whoever runs it and harmless when it is run again.
---@param given { target: string, name?: string, system: string, task: string, why: string, powershell?: string,
---  label?: string, key?: string }
---@return table op
function Context:hand_off(given)
  given.label = given.label or ("By hand: %s %s"):format(given.task:gsub("-", " "), given.name or given.target)
  return add(self, given, { hand_off = { system = given.system, task = given.task, why = given.why,
    powershell = given.powershell or nil } }, "once", "safe")
end

-- ---- own steps ----------------------------------------------------------------------------------

local function check_result(stage, result)
  if requests.is_unchanged(result) or requests.is_request(result) then return result end
  if type(result) == "table" and #result > 0 then
    local all = true
    for _, item in ipairs(result) do all = all and requests.is_request(item) end
    if all then return result end
  end
  local at = debug.getinfo(stage.step.plan, "S")
  error(sandbox.error_of(("%s:%d: step '%s': plan must return ob.unchanged \"why\", ob.patch {...} or a list of such")
    :format(at.short_src, at.linedefined, stage.name)), 0)
end

local function plan_step(ctx, stage)
  local result = check_result(stage, ctx:call(stage.step.plan, ctx.reader, ctx:user_copy(), ctx:params_copy()))
  if requests.is_unchanged(result) then return ctx:unchanged(result.why) end
  for i, request in ipairs(requests.is_request(result) and { result } or result) do
    ctx:op { key = tostring(i), target = ctx.user.id, name = ctx.user.userPrincipalName, request = request,
      inverse = request.inverse, label = request.label }
  end
end

local function action_of_step(stage)
  return { id = "step", version = 1, effect = stage.step.effect, danger = stage.step.danger }
end

-- ---- one person ---------------------------------------------------------------------------------

-- Everything that is certain to be asked for, at once.
local function prefetch(job, person)
  local tasks = {}
  for i, name in ipairs(job.reads) do tasks[i] = task.spawn(read, job, person, name) end
  for _, one in ipairs(tasks) do one:join() end
end

local function holds_role(job, person)
  if not job.protects_role_holders then return nil end
  if #read(job, person, "role_assignments") + #read(job, person, "active_roles") > 0 then
    return "it holds a directory role"
  end
  for _, group in ipairs(read(job, person, "memberships")) do
    if group.isAssignableToRole == true then
      return ("it is in %s, a group that may hold roles"):format(group.displayName)
    end
  end
end

local function context(job, person)
  local ctx = setmetatable({ job = job, person = person, client = job.client, reader = job.reader,
    user = person.account,
    thing = job.client:user(person.id), path = subjects.path(person.id), leaving = job.leaving, params = {} }, Context)
  for name, value in pairs(job.params) do
    if job.workflow.params[name].type == "user" then value = ctx:who(value) end
    ctx.params[name] = value
  end
  return ctx
end

local function plan_stage(ctx, stage)
  ctx.stage = stage
  if stage.step then
    ctx.action = action_of_step(stage)
    return plan_step(ctx, stage)
  end
  for _, use in ipairs(stage.uses) do
    ctx.action = use.action
    use.action.plan(ctx, use.opts)
  end
end

--- Reads what is certain to be wanted about a person, into `data`; `refused` says why nothing may be done to him.
--- Raises the msgraph.Error of a read.
---@param job table
---@param person msgraph.offboard.Person
---@return msgraph.offboard.Person
function M.look(job, person)
  person.ops, person.notes, person.data, person.keys = {}, {}, {}, {}
  person.refused = job.protected[person.id]
  if not person.refused then
    prefetch(job, person)
    person.refused = holds_role(job, person)
  end
  return person
end

--- Plans one person: `ops` and `notes` are filled in. Raises a msgraph.Error: what a read failed with, or code
--- "workflow".
---@param job table `leaving` holds everybody by now
---@param person msgraph.offboard.Person
---@return msgraph.offboard.Person
function M.plan(job, person)
  if person.refused then return person end
  local ctx = context(job, person)
  person.params = ctx.params
  for _, stage in ipairs(job.workflow.stages) do plan_stage(ctx, stage) end
  return person
end

--- The names of what a workflow is certain to want to know, sorted.
---@param wf msgraph.offboard.Workflow
---@return string[]
function M.reads_of(wf, filled)
  local set, out = {}, {}
  local function want(names)
    for _, name in ipairs(names or {}) do set[name] = true end
  end
  for _, stage in ipairs(wf.stages) do
    for _, use in ipairs(stage.uses or {}) do
      want(use.action.reads)
      for _, value in pairs(use.opts) do want(value == params.MANAGER and { "manager" } or nil) end
    end
  end
  for _, value in pairs(filled) do want(value == params.MANAGER and { "manager" } or nil) end
  for _, item in ipairs(wf.protect) do
    want(item.kind == "role_holders" and { "role_assignments", "active_roles", "memberships" } or nil)
  end
  for name in pairs(set) do out[#out + 1] = name end
  table.sort(out)
  return out
end

return M
