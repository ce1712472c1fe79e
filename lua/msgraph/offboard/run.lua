--- From a plan to a run in a journal, and from a run in a journal to one that can go on.
local canonical = require "msgraph.offboard.canonical"
local errors = require "msgraph.errors"
local plans = require "msgraph.offboard.plan"
local sandbox = require "msgraph.offboard.sandbox"

local M = {}

local function fail(code, message, kind)
  return nil, errors.new { kind = kind or "invalid", code = code, message = message, phase = "not_sent" }
end

-- A copy, with what else people and guards need of an operation.
local function desired_of(op)
  local out = {}
  for name, value in pairs(op.desired) do out[name] = value end
  out.label, out.name, out.sets = op.label, op.name, op.sets
  out.no_inverse, out.nothing_to_undo = op.no_inverse, op.nothing_to_undo
  return out
end

local function op_of(op, stage)
  local by_hand = op.desired.hand_off
  return { op_key = op.key, stage = stage, action = op.action, action_ver = op.action_version, target_id = op.target_id,
    effect = op.effect, danger = op.danger, deps = op.deps, desired = desired_of(op), guard = op.guard,
    inverse = op.inverse, state = by_hand and "needs_human" or "planned", reason = by_hand and by_hand.why }
end

local function subject_of(journal, subject, stage_of)
  local ops = {}
  for i, op in ipairs(subject.ops) do ops[i] = op_of(op, stage_of[op.stage]) end
  return { object_id = subject.id, label = subject.user_principal_name or subject.label, guard = subject.guard,
    before_sha = journal:keep("snapshot", canonical.encode(subject.snapshot)), ops = ops }
end

-- Those who are not refused, one at a time; to be called in the transaction that takes them in.
local function subjects_of(journal, body)
  local stage_of, i = {}, 0
  for n, stage in ipairs(body.stages) do stage_of[stage.name] = n - 1 end
  return function()
    local subject
    repeat
      i = i + 1
      subject = body.subjects[i]
    until not (subject and subject.refused)
    return subject and subject_of(journal, subject, stage_of)
  end
end

local function add_plan(journal, plan)
  local body = plan.body
  local id, err = journal:add_plan { tenant_id = body.tenant_id or "unknown", workflow_name = body.workflow.name,
    workflow_hash = body.workflow.hash or "none", plan_hash = plan.plan_hash, params = body.params,
    summary = body.summary, created_by = body.created_by, created_at = body.created_at * 1000,
    expires_at = body.expires_at * 1000 }
  if not id then return nil, err end
  for _, approval in ipairs(plan.approvals) do
    local ok
    ok, err = journal:approve(id, approval.plan_hash, approval.approver, approval.danger_max)
    if not ok then return nil, err end
  end
  return id
end

-- A plan is applied once: what it knows is from before that.
local function check_new(journal, plan_id)
  local runs, err = journal:runs()
  if not runs then return nil, err end
  for _, run in ipairs(runs) do
    if run.plan_id == plan_id then
      local _, used = fail("plan_used", ("this plan is applied by run %s already"):format(run.run_id), "conflict")
      used.run_id = run.run_id
      return nil, used
    end
  end
  return true
end

--- Whether a client is connected to the tenant that a plan or run is for.
---@param client msgraph.Client
---@param tenant_id string
---@return true? ok
---@return msgraph.Error? code "other_tenant"
function M.check_tenant(client, tenant_id)
  local found, err = client:list("/organization", { select = { "id" } })
  if not found then return nil, err end
  local here = found[1] and found[1].id or "unknown"
  if here == tenant_id then return true end
  return fail("other_tenant", ("this is for the tenant %s, and you are signed in to %s"):format(tenant_id, here))
end

--- The workflow that a run's plan was made of, for the probes of own steps and for observers.
---@param options table the run's
---@return msgraph.offboard.Workflow? nil: its file is not there, or another by now
function M.workflow(options)
  local from = options.workflow or {}
  local workflow = from.file and sandbox.load(from.file)
  return workflow and workflow.hash == from.hash and workflow or nil
end

--- Starts a run of a plan. One that undoes a run (msgraph.offboard.restore) ends what that one has left to do for its
--- people.
---@param journal msgraph.Journal
---@param plan msgraph.offboard.Plan
---@param actor string
---@return string? run_id
---@return msgraph.Error? code "plan_expired", "not_approved", "plan_used" (err.run_id), "active_elsewhere", or what is
---   wrong with the journal. Of the run it undoes: "unknown_id", it is not in this journal; "in_use", it is at work on
---   somebody
function M.start(journal, plan, actor)
  local ok, err = plans.check_age(plan)
  if not ok then return nil, err end
  local plan_id
  plan_id, err = add_plan(journal, plan)
  if not plan_id then return nil, err end
  ok, err = check_new(journal, plan_id)
  if not ok then return nil, err end
  local body, undoes = plan.body, plan.body.restore and plan.body.restore.run_id
  local run_id
  run_id, err = journal:start_run { plan_id = plan_id, mode = undoes and "restore" or "apply", actor = actor,
    undoes = undoes, subjects = subjects_of(journal, body),
    options = { waves = body.limits.waves, halt = body.limits.halt, stages = body.stages, workflow = body.workflow,
      created_at = body.created_at, undoes = undoes } }
  if run_id and undoes then journal:advance(undoes) end -- it may have nobody left
  return run_id, err
end

local function take_in(journal, run_id)
  local paths, err = journal:emergencies(run_id)
  for _, path in ipairs(paths or {}) do
    local _, problem = journal:take_in(path)
    if problem and problem.code ~= "in_use" then return nil, problem end
  end
  return paths and true, err
end

-- Who is in another run by now, or was claimed this moment, keeps nobody else from going on.
local LATER <const> = { active_elsewhere = true, in_use = true }

-- What waited for a second administrator is tried once more.
local function redo_approvals(journal, run_id, actor)
  local waiting = {}
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      if op.state == "needs_approval" and subject.state ~= "leased" then
        waiting[#waiting + 1] = { run_id = run_id, subj = subject.subj, op_key = op.op_key, as = "redo", actor = actor,
          note = "resumed" }
      end
    end
  end
  for _, item in ipairs(waiting) do
    local ok, err = journal:resolve(item)
    if not ok and not LATER[err.code] then return nil, err end
  end
  return true
end

--- Makes a run ready to go on.
---@param journal msgraph.Journal
---@param run_id string
---@param actor string
---@return true? ok
---@return msgraph.Error?
function M.reopen(journal, run_id, actor)
  local ok, err = take_in(journal, run_id)
  if not ok then return nil, err end
  ok, err = redo_approvals(journal, run_id, actor)
  if not ok then return nil, err end
  return journal:reopen(run_id, actor)
end

return M
