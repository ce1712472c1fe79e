-- lua/msgraph/offboard/journal/subject.lua
--- One person of a run: found, placed, taken out of the way. What runs and decisions share.
local failure = require "msgraph.offboard.journal.failure"
local states = require "msgraph.offboard.journal.states"

local M = {}

local must = failure.must

--- The row of a person; raises "unknown_id".
---@param o { run_id: string, subj: integer }
function M.find(db, o)
  local subject = must(db:one("SELECT * FROM subject WHERE run_id = ? AND subj = ?", o.run_id, o.subj))
  if not subject then failure.raise("unknown_id", ("run %s has no subject %s"):format(o.run_id, tostring(o.subj))) end
  return subject
end

--- Raises "in_use" for who is claimed: he is the worker's; when that one is dead, the next resume takes over first.
function M.check_free(subject)
  if subject.state ~= "leased" then return end
  failure.raise("in_use", ("%s is claimed by worker %s: wait until that one is done, or resume the run if it died")
    :format(subject.label, subject.owner))
end

local ELSEWHERE = [[SELECT run_id, subj FROM subject WHERE tenant_id = ? AND object_id = ?
  AND state IN ('ready','leased','waiting')]]

--- The run, and the place in it, in which somebody has something to do; nil: in none.
---@return { run_id: string, subj: integer }?
function M.active(db, tenant_id, object_id) return must(db:one(ELSEWHERE, tenant_id, object_id)) end

local PLACE = [[UPDATE subject SET state = ?, stage = ?, due_at = 0, owner = NULL, takeovers = 0
  WHERE run_id = ? AND subj = ?]]

--- Puts a person into a state, due at once.
---@param o { run_id: string, subj: integer }
function M.place(db, o, state, stage) must(db:exec(PLACE, state, stage, o.run_id, o.subj)) end

local SKIP = [[UPDATE op SET state = 'skipped', reason = ?
  WHERE run_id = ? AND subj = ? AND state IN ('planned','needs_approval')]]
local LEAVE = "UPDATE op SET state = 'needs_human' WHERE run_id = ? AND subj = ? AND state = 'unknown'"

--- Leaves out what is not done yet. What may have been carried out stays somebody's to look at.
---@param o { run_id: string, subj: integer, actor: string }
function M.skip_rest(db, o)
  must(db:exec(SKIP, "decided by " .. o.actor, o.run_id, o.subj))
  must(db:exec(LEAVE, o.run_id, o.subj))
end

--- The first stage at which something of these is left to do, nil when nothing is.
function M.first_stage(ops)
  local first
  for _, op in ipairs(ops) do
    if states.OPEN[op.state or "planned"] then first = math.min(first or math.huge, op.stage or 0) end
  end
  return first
end

--- Whether one of these operations is in that state.
function M.has_state(ops, state)
  for _, op in ipairs(ops) do
    if op.state == state then return true end
  end
  return false
end

return M
