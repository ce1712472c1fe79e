--- What is decided about operations beside the engine: by a person, by a person's work that is taken in, by a read.
local events = require "msgraph.offboard.journal.events"
local failure = require "msgraph.offboard.journal.failure"
local json = require "msgraph.json"
local runs = require "msgraph.offboard.journal.run"
local states = require "msgraph.offboard.journal.states"
local subjects = require "msgraph.offboard.journal.subject"
local workers = require "msgraph.offboard.journal.worker"

local M = {}

local must = failure.must

-- ---- what a person decides ----------------------------------------------------------------------------

local TO_STATE = { done = "changed", redo = "planned", skip = "skipped" }

local RESOLVE = [[UPDATE op SET state = ?, reason = ?, evidence_json = ?, next_at = 0
  WHERE run_id = ? AND subj = ? AND op = ?]]

local function resolve_op(db, o, subject)
  local op = must(db:one("SELECT op, state, desired_json FROM op WHERE run_id = ? AND subj = ? AND op_key = ?",
    o.run_id, o.subj, o.op_key))
  if not op then failure.raise("unknown_id", ("%s has no operation %s"):format(subject.label, o.op_key)) end
  if not states.RESOLVABLE[op.state] then
    failure.raise("in_use", ("%s of %s is %s: there is nothing to decide"):format(o.op_key, subject.label, op.state))
  end
  if o.as == "redo" and json.decode(op.desired_json).hand_off then
    failure.raise("in_use", ("%s of %s is a person's work, which nothing can be sent for: it is done, or skipped")
      :format(o.op_key, subject.label))
  end
  must(db:exec(RESOLVE, TO_STATE[o.as], "decided by " .. o.actor, json.encode { by = o.actor, note = o.note }, o.run_id,
    o.subj, op.op))
  return op
end

local OP_STATES = "SELECT stage, state FROM op WHERE run_id = ? AND subj = ?"

-- Where a person stands after a decision: on with what is planned, or at an end.
local function place(db, o)
  local ops = must(db:all(OP_STATES, o.run_id, o.subj))
  local stage = subjects.first_stage(ops)
  if stage then return "ready", stage end
  if subjects.has_state(ops, "needs_human") then return "needs_human", 0 end
  return subjects.has_state(ops, "failed") and "failed" or "done", 0
end

local ACTIVE = { ready = true, waiting = true }

local function check_elsewhere(db, subject, state)
  if ACTIVE[subject.state] or not ACTIVE[state] then return end
  local other = subjects.active(db, subject.tenant_id, subject.object_id)
  if not other then return end
  failure.raise("active_elsewhere", ("%s: at work in run %s"):format(subject.label, other.run_id),
    { subjects = { { object_id = subject.object_id, label = subject.label, run_id = other.run_id } } })
end

local KEEP = [[UPDATE op SET next_at = max(next_at, ?) WHERE run_id = ? AND subj = ? AND stage = ?
  AND state = 'planned']]

-- A stage that begins days later, for which a person waits or has waited, begins when it would have: who goes back for
-- something of an earlier one does not wait anew.
local function keep_wait(db, o, subject, stage)
  local run = must(db:one("SELECT options_json FROM run WHERE run_id = ?", o.run_id))
  local policy = (json.decode(run.options_json).stages or {})[subject.stage + 1] or {}
  if stage >= subject.stage or (policy.wait or 0) == 0 then return end
  must(db:exec(KEEP, math.max(subject.due_at, 1), o.run_id, o.subj, subject.stage))
end

-- Puts a person where a decision leaves him.
local function put(db, o, subject, skipped)
  local state, stage = place(db, o)
  if skipped and state == "done" then state = "skipped" end
  check_elsewhere(db, subject, state)
  keep_wait(db, o, subject, stage)
  subjects.place(db, o, state, stage)
  return state
end

-- Who has work left anyway stays where he is, with what he waits for.
local function decide(db, o, subject)
  local op = o.op_key and resolve_op(db, o, subject)
  local skipped = not op and o.as == "skip"
  if skipped then subjects.skip_rest(db, o) end
  local state = subject.state
  if not op and not skipped and ACTIVE[state] then -- what it waits for, it waits for
    failure.raise("in_use", ("%s is %s: there is nothing to decide"):format(subject.label, state))
  end
  if not op or o.as == "redo" or not ACTIVE[state] then state = put(db, o, subject, skipped) end
  return state, { kind = op and "op.resolved" or "subject.resolved", subj = o.subj, op = op and op.op or nil,
    data = { as = o.as, actor = o.actor, note = o.note, op_key = o.op_key, from = (op or subject).state } }
end

-- Somebody has something to do again.
local function open_again(db, run, actor)
  if run.state == "done" then runs.set_state(db, run, "open", nil, { actor = actor }) end
end

--- journal:resolve
function M.resolve(journal, o)
  return journal:transact(function(db)
    local run = journal:lock_run(db, o.run_id)
    local subject = subjects.find(db, o)
    subjects.check_free(subject)
    local state, event = decide(db, o, subject)
    events.append(db, o.run_id, { event })
    if state == "ready" then open_again(db, run, o.actor) end
    return true
  end)
end

-- ---- what people did by hand, and what reads show -----------------------------------------------------

-- Lets a person go on who waited for somebody's work; one whose workers died waits for more than that. True: he does.
local function go_on(db, o, subject)
  if subject.state ~= "needs_human" or subject.takeovers >= workers.POISON then return false end
  return put(db, { run_id = o.run_id, subj = subject.subj }, subject) == "ready"
end

-- One result of a person's work: what it counts as, its event, and whether the person goes on.
local function hand_in_one(db, o, item)
  local subject = subjects.find(db, { run_id = o.run_id, subj = item.subj })
  local op = must(db:one("SELECT op, state, reason FROM op WHERE run_id = ? AND subj = ? AND op_key = ?", o.run_id,
    item.subj, item.op_key))
  if not op then failure.raise("unknown_id", ("%s has no operation %s"):format(subject.label, item.op_key)) end
  if op.state ~= "needs_human" or not item.done and op.reason == item.message then return "known" end
  subjects.check_free(subject)
  local who = { by = item.by, at = item.at, note = item.message, taken_in_by = o.actor }
  must(db:exec(RESOLVE, item.done and "changed" or "needs_human", item.done and "done by " .. item.by or item.message,
    json.encode(who), o.run_id, item.subj, op.op))
  who.op_key, who.from, who.as = item.op_key, op.state, item.done and "done" or "failed"
  return who.as, { kind = "op.resolved", subj = item.subj, op = op.op, data = who },
    item.done and go_on(db, o, subject)
end

--- journal:hand_in
function M.hand_in(journal, o)
  return journal:transact(function(db)
    local run, list, count, any = journal:lock_run(db, o.run_id), {}, { done = 0, failed = 0, known = 0 }, false
    for _, item in ipairs(o.results) do
      local what, event, is_ready = hand_in_one(db, o, item)
      count[what], list[#list + 1], any = count[what] + 1, event, any or is_ready
    end
    events.append(db, o.run_id, list)
    if any then open_again(db, run, o.actor) end
    return count
  end)
end

local CONFIRM = "UPDATE op SET state = 'verified' WHERE run_id = ? AND subj = ? AND op = ?"

-- Moves what a read shows to be done; nothing of a person whom a worker has. Who is in another run does not go on.
local function confirm_one(db, o, item)
  local subject = subjects.find(db, { run_id = o.run_id, subj = item.subj })
  local op = must(db:one("SELECT state, op_key FROM op WHERE run_id = ? AND subj = ? AND op = ?", o.run_id, item.subj,
    item.op))
  if subject.state == "leased" or not states.CONFIRMABLE[op.state] then return nil end
  must(db:exec(CONFIRM, o.run_id, item.subj, item.op))
  local event = { kind = "op.verified", subj = item.subj, op = item.op,
    data = { op_key = op.op_key, from = op.state, probe = "yes", actor = o.actor } }
  return event, not subjects.active(db, subject.tenant_id, subject.object_id) and go_on(db, o, subject)
end

--- journal:confirm
function M.confirm(journal, o)
  return journal:transact(function(db)
    local run, list, any = journal:lock_run(db, o.run_id), {}, false
    for _, item in ipairs(o.ops) do
      local event, is_ready = confirm_one(db, o, item)
      list[#list + 1], any = event, any or is_ready
    end
    events.append(db, o.run_id, list)
    if any then open_again(db, run, o.actor) end
    return #list
  end)
end

return M
