--- An action tried in full against a simulated tenant: planned, applied, planned again, taken back.
local apply = require "msgraph.offboard.apply"
local graph = require "msgraph"
local helper = require "spec.support.helper"
local journals = require "msgraph.offboard.journal"
local ob = require "msgraph.offboard"
local run = require "msgraph.offboard.run"
local spec = require "msgraph.sim.spec"

local M = {}

M.ADA, M.GRACE, M.CONAN = "ada@contoso.com", "grace@contoso.com", "conan.o'brien@contoso.com"
M.GUEST = "lin_example.com#EXT#@contoso.onmicrosoft.com"
M.SYNCED = "kaethe.mueller@contoso.com"

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

--- Applies a plan. Returns the states of its operations, in order, and the operations.
function M.apply(t, plan)
  files = files + 1
  local journal <close> = assert(journals.open(("%s/catalogue%d.journal"):format(helper.tmp(), files)))
  assert(ob.approve(plan, "spec"))
  local run_id = assert(run.start(journal, plan, "spec"))
  local engine = assert(apply.new { client = t.client, journal = journal, run_id = run_id })
  graph.run(function() assert(engine:run()) end)
  local states, ops = {}, {}
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do states[#states + 1], ops[#ops + 1] = op.state, op end
  end
  return states, ops
end

--- Sends the inverse of each operation, the last first.
function M.undo(t, plan)
  for _, subject in ipairs(plan.body.subjects) do
    for i = #subject.ops, 1, -1 do
      local inverse = subject.ops[i].inverse
      if inverse then
        local _, err = t.client:request { method = inverse.method, path = inverse.path, body = inverse.body,
          headers = inverse.body and { ["Content-Type"] = "application/json" } or nil }
        assert(not err, tostring(err))
      end
    end
  end
end

return M
