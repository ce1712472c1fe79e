--- An action tried in full against a simulated tenant: planned, applied, planned again, taken back.
local apply = require "msgraph.offboard.apply"
local graph = require "msgraph"
local helper = require "spec.support.helper"
local journals = require "msgraph.offboard.journal"
local ob = require "msgraph.offboard"
local restore = require "msgraph.offboard.restore"
local run = require "msgraph.offboard.run"
local spec = require "msgraph.sim.spec"

local M = {}

M.ADA, M.GRACE, M.CONAN = "ada@contoso.com", "grace@contoso.com", "conan.o'brien@contoso.com"
M.GUEST = "lin_example.com#EXT#@contoso.onmicrosoft.com"
M.SYNCED = "kaethe.mueller@contoso.com"
M.AYSE = "ayse.yilmaz@contoso.com"

local files = 0

--- A tenant whose clock is ours, where Grace is whoever takes over.
function M.start(opts)
  local all = { users = 30, seed = 1, start = os.time() }
  for name, value in pairs(opts or {}) do all[name] = value end
  return spec.start(all)
end

--- A workflow of these actions, a stage each; "heir" is a param.
function M.workflow(uses, limits)
  local wf = ob.workflow { name = "spec", version = 1, protect = {},
    params = { heir = { type = "user", default = ob.manager } },
    limits = limits or { irreversible = 99, halt = {} } }
  for i, use in ipairs(uses) do wf:stage("s" .. i, { use }) end
  return wf
end

--- Plans for one person.
function M.plan(t, uses, who)
  return t:plan(M.workflow(uses), { who }, { heir = M.GRACE })
end

--- What a plan would send: method and path, without ids.
function M.sends(plan)
  local out = {}
  for _, subject in ipairs(plan.body.subjects) do
    for _, op in ipairs(subject.ops) do
      if not op.desired.hand_off then out[#out + 1] = op.label end
    end
  end
  return out
end

local function work(t, journal, run_id)
  local engine = assert(apply.new { client = t.client, journal = journal, run_id = run_id })
  graph.run(function() assert(engine:run()) end)
end

-- Carries a plan out; returns what it ran as.
local function carry_out(t, journal, plan)
  assert(ob.approve(plan, "spec"))
  local run_id = assert(run.start(journal, plan, "spec"))
  work(t, journal, run_id)
  return run_id
end

-- The states of the operations of what was applied last, in order, and the operations.
local function outcome(t, journal)
  local states, ops = {}, {}
  for subject in journal:subjects(t.run_id) do
    for _, op in ipairs(subject.ops) do states[#states + 1], ops[#ops + 1] = op.state, op end
  end
  return states, ops
end

--- Applies a plan. Returns the states of its operations, in order, and the operations.
function M.apply(t, plan)
  files = files + 1
  t.journal = ("%s/catalogue%d.journal"):format(helper.tmp(), files)
  local journal <close> = assert(journals.open(t.journal))
  t.run_id = carry_out(t, journal, plan)
  return outcome(t, journal)
end

--- Resumes what was applied last, when a person has had what was left of an action done again. Returns as apply does.
function M.redo(t, action)
  local journal <close> = assert(journals.open(t.journal))
  local _, ops = outcome(t, journal)
  for _, op in ipairs(ops) do
    if op.action == action then
      assert(journal:resolve { run_id = t.run_id, subj = 1, op_key = op.op_key, as = "redo", actor = "spec" })
    end
  end
  assert(run.reopen(journal, t.run_id, "spec"))
  work(t, journal, t.run_id)
  return outcome(t, journal)
end

local FINE = { changed = true, verified = true, needs_human = true }

--- Undoes what was applied last, in a tenant where the first answer to each is lost; then there is nothing to undo.
function M.undo(t)
  local journal <close> = assert(journals.open(t.journal))
  local o = { client = t.client, journal = journal, run_id = t.run_id }
  local plan = assert(restore.plan(o))
  for _, method in ipairs { "POST", "PATCH", "DELETE" } do
    t.tenant:fault { kind = "reset_after", method = method, path = "[^h]$", times = 1 } -- no $batch: those read
  end
  for subject in journal:subjects(carry_out(t, journal, plan)) do
    for _, op in ipairs(subject.ops) do
      assert(FINE[op.state], ("%s is %s: %s"):format(op.op_key, op.state, op.reason))
    end
  end
  t.tenant:clear_faults()
  local again = assert(restore.plan(o))
  assert(again.body.summary.operations + again.body.summary.hand_offs == 0, ob.show(again))
end

return M
