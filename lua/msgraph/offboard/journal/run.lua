-- lua/msgraph/offboard/journal/run.lua
--- A run as a whole: how it starts, which wave it is at, when it halts.
local events = require "msgraph.offboard.journal.events"
local failure = require "msgraph.offboard.journal.failure"
local json = require "msgraph.json"
local states = require "msgraph.offboard.journal.states"
local store = require "msgraph.store"
local subjects = require "msgraph.offboard.journal.subject"
local workers = require "msgraph.offboard.journal.worker"

local M = {}

local must, mistake = failure.must, failure.mistake

-- Ends somebody's part in a run that is undone: what it has not done yet is not done any more.
local function take_out(db, journal, o, other)
  workers.sweep(db, journal, other.run_id)
  local subject, told = subjects.find(db, other), {}
  local owner = subject.owner and must(db:one("SELECT state FROM worker WHERE worker_id = ?", subject.owner))
  if owner and owner.state == "alive" then subjects.check_free(subject) end
  workers.unsettle(db, other.run_id, other.subj, "its worker died", told)
  subjects.skip_rest(db, { run_id = other.run_id, subj = other.subj, actor = o.actor })
  subjects.place(db, other, "skipped", 0)
  told[#told + 1] = { kind = "subject.resolved", subj = other.subj,
    data = { as = "skip", actor = o.actor, note = "the run is undone", from = subject.state } }
  events.append(db, other.run_id, told)
end

-- ---- starting -----------------------------------------------------------------------------------------

-- A number, or a share of `count` as "25%".
local function amount(value, count)
  local percent = type(value) == "string" and tonumber(value:match "^([%d.]+)%%$")
  if percent then return count * percent / 100 end
  if type(value) == "number" and value >= 0 then return value end
  mistake("a number or a percentage expected, got %s", tostring(value))
end

-- How far each wave reaches, in subjects, each beyond the one before it; the last one takes all.
local function wave_ends(waves, count)
  local ends, last = {}, 0
  for _, value in ipairs(waves or {}) do
    local reach = math.min(count, math.ceil(amount(value, count)))
    if reach > last then
      ends[#ends + 1], last = reach, reach
    end
  end
  if last < count or count == 0 then ends[#ends + 1] = count end
  return ends
end

local INSERT_SUBJECT = [[INSERT INTO subject(run_id, subj, tenant_id, object_id, label, state, due_at, stage,
  guard_json, before_sha) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]
local INSERT_OP = [[INSERT INTO op(run_id, subj, op, stage, op_key, action, action_ver, target_id, effect, danger,
  deps_json, desired_json, guard_json, inverse_json, state, reason)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]

local function insert_op(db, run_id, subj, n, op)
  must(db:exec(INSERT_OP, run_id, subj, n, op.stage or 0, op.op_key, op.action, op.action_ver or 1, op.target_id,
    op.effect, op.danger, json.encode(json.array(op.deps)), json.encode(op.desired or {}), json.encode(op.guard or {}),
    op.inverse and json.encode(op.inverse), op.state or "planned", op.reason))
end

local function insert_subject(db, run, n, subject)
  local stage = subjects.first_stage(subject.ops)
  local state = stage and "ready" or subjects.has_state(subject.ops, "needs_human") and "needs_human" or "done"
  must(db:exec(INSERT_SUBJECT, run.run_id, n, run.tenant_id, subject.object_id, subject.label, state,
    subject.due_at or 0, stage or 0, json.encode(subject.guard or {}), subject.before_sha))
  for i, op in ipairs(subject.ops) do insert_op(db, run.run_id, n, i, op) end
end

-- The most dangerous that is planned, for the approval.
local function note_danger(worst, ops)
  for _, op in ipairs(ops) do
    local danger = states.DANGER[op.danger] or mistake("no danger: %s", tostring(op.danger))
    if (op.state or "planned") == "planned" and danger > states.DANGER[worst] then worst = op.danger end
  end
  return worst
end

local function iterate(list)
  if type(list) == "function" then return list end
  local i = 0
  return function()
    i = i + 1
    return list[i]
  end
end

local LEFT = [[SELECT run_id, subj, object_id FROM subject WHERE run_id = ? AND (state IN ('ready','leased','waiting')
  OR EXISTS (SELECT 1 FROM op o WHERE o.run_id = subject.run_id AND o.subj = subject.subj
    AND o.state IN ('planned','intent','unknown','needs_approval')))]]

-- Who has something left in the run that is undone, by id: also who waits for a person's work, and would go on with it.
local function left_in(db, run_id)
  local by_id = {}
  for _, row in ipairs(run_id and must(db:all(LEFT, run_id)) or {}) do by_id[row.object_id] = row end
  return by_id
end

-- Writes all subjects; returns how many, and what is most dangerous. Who is at work elsewhere is named, all at once.
local function insert_subjects(db, journal, run, o)
  local n, worst, elsewhere, left = 0, "safe", {}, left_in(db, o.undoes)
  for subject in iterate(o.subjects) do
    if left[subject.object_id] then take_out(db, journal, o, left[subject.object_id]) end
    local other = subjects.active(db, run.tenant_id, subject.object_id)
    if other then
      elsewhere[#elsewhere + 1] = { object_id = subject.object_id, label = subject.label, run_id = other.run_id }
    elseif #elsewhere == 0 then
      n = n + 1
      insert_subject(db, run, n, subject)
      worst = note_danger(worst, subject.ops)
    end
  end
  if #elsewhere > 0 then
    local first = elsewhere[1]
    failure.raise("active_elsewhere", ("%s%s: at work in run %s"):format(first.label,
      #elsewhere > 1 and (" and %d more"):format(#elsewhere - 1) or "",
      first.run_id == run.run_id and run.run_id .. " twice" or first.run_id), { subjects = elsewhere })
  end
  return n, worst
end

local function check_plan(db, options)
  local plan = must(db:one("SELECT * FROM plan WHERE plan_id = ?", options.plan_id))
  if not plan then failure.raise("unknown_id", ("there is no plan %s"):format(tostring(options.plan_id))) end
  if options.mode ~= "verify" and plan.expires_at <= store.now() then
    failure.raise("plan_expired", ("plan %s has expired"):format(plan.plan_id))
  end
  return plan
end

local function check_approval(db, plan, worst)
  local covered = "safe"
  for _, row in ipairs(must(db:all("SELECT danger_max FROM approval WHERE plan_id = ? AND plan_hash = ?", plan.plan_id,
    plan.plan_hash))) do
    if states.DANGER[row.danger_max] > states.DANGER[covered] then covered = row.danger_max end
  end
  if states.DANGER[worst] > states.DANGER[covered] then
    failure.raise("not_approved", ("plan %s has %s operations, and is approved for %s ones at most")
      :format(plan.plan_id, worst, covered))
  end
end

local function set_waves(db, run_id, waves, count)
  local ends, from = wave_ends(waves, count), 1
  for i, last in ipairs(ends) do
    must(db:exec("UPDATE subject SET wave = ? WHERE run_id = ? AND subj BETWEEN ? AND ?", i - 1, run_id, from, last))
    from = last + 1
  end
  must(db:exec("UPDATE run SET last_wave = ? WHERE run_id = ?", #ends - 1, run_id))
end

local INSERT_RUN = [[INSERT INTO run(run_id, plan_id, tenant_id, mode, state, actor, options_json, started_at)
  VALUES (?, ?, ?, ?, 'open', ?, ?, ?)]]

--- journal:start_run
function M.start(journal, o)
  return journal:transact(function(db)
    local plan = check_plan(db, o)
    local run = { run_id = store.uuid(), tenant_id = plan.tenant_id }
    local options = o.options or {}
    for _, limit in pairs(options.halt or {}) do amount(limit, 1) end
    must(db:exec(INSERT_RUN, run.run_id, o.plan_id, plan.tenant_id, o.mode, o.actor, json.encode(options), store.now()))
    if o.undoes then journal:lock_run(db, o.undoes) end
    local count, worst = insert_subjects(db, journal, run, o)
    check_approval(db, plan, worst)
    set_waves(db, run.run_id, options.waves, count)
    events.append(db, run.run_id, { { kind = "run.started",
      data = { plan_hash = plan.plan_hash, mode = o.mode, actor = o.actor, subjects = count } } })
    return run.run_id
  end)
end

-- ---- waves and halting --------------------------------------------------------------------------------

-- People with an operation that came to this state, or who came to it by the deaths of their workers. What was a
-- person's work from the start (it was never sent), and whoever waits for that, is no trouble.
local PEOPLE = [[SELECT count(*) AS n FROM (SELECT subj FROM op WHERE run_id = ? AND state = ? AND attempts > 0
  AND state IN ('failed','needs_human') UNION SELECT subj FROM subject WHERE run_id = ? AND state = ?
    AND takeovers >= ? AND state IN ('failed','needs_human')) AS people]]
local FIRST_WAVE = [[SELECT count(DISTINCT s.subj) AS n FROM subject s
  LEFT JOIN op o ON o.run_id = s.run_id AND o.subj = s.subj AND o.state = 'failed'
  WHERE s.run_id = ? AND s.wave = 0 AND (s.state = 'failed' OR o.op IS NOT NULL)]]

local function people(db, run_id, state)
  return must(db:one(PEOPLE, run_id, state, run_id, state, state == "needs_human" and 1 or 0)).n
end

local function reached(limit, count, total)
  return limit ~= nil and count >= 1 and count >= amount(limit, total)
end

-- Why the run has to halt, nil when it need not.
local function why_halt(db, run, halt)
  local failed = people(db, run.run_id, "failed") - run.accepted_failed
  local human = people(db, run.run_id, "needs_human") - run.accepted_human
  if failed <= 0 and human <= 0 then return nil end
  local total = must(db:one("SELECT count(*) AS n FROM subject WHERE run_id = ?", run.run_id)).n
  if reached(halt.failed, failed, total) then return "failed", failed end
  if reached(halt.needs_human, human, total) then return "needs_human", human end
  if halt.first_wave_failed and run.current_wave == 0 then
    local first = must(db:one(FIRST_WAVE, run.run_id)).n - run.accepted_failed
    if reached(halt.first_wave_failed, first, total) then return "first_wave_failed", first end
  end
end

local function set_state(db, run, state, reason, data)
  local over = state == "halted" or state == "done"
  must(db:exec("UPDATE run SET state = ?, halt_reason = ?, ended_at = ? WHERE run_id = ?", state, reason,
    over and store.now() or nil, run.run_id))
  events.append(db, run.run_id, { { kind = "run." .. state, data = data or { reason = reason } } })
  run.state, run.halt_reason = state, reason
end

local READY = [[SELECT 1 AS yes FROM subject WHERE run_id = ? AND wave <= ? AND state IN ('ready','waiting')
  AND state = 'ready' LIMIT 1]]
local LEASED = "SELECT 1 AS yes FROM subject WHERE run_id = ? AND wave <= ? AND state = 'leased' LIMIT 1"
local WAITING = "SELECT 1 AS yes FROM subject WHERE run_id = ? AND wave <= ? AND state IN ('ready','waiting') LIMIT 1"
local AT_WORK = [[SELECT count(*) AS n FROM worker w JOIN subject s ON s.owner = w.worker_id AND s.state = 'leased'
  WHERE w.run_id = ? AND w.state = 'alive']]

local function is_there(db, sql, ...) return must(db:one(sql, ...)) ~= nil end

local function is_busy(db, run, wave)
  return is_there(db, LEASED, run.run_id, wave) or is_there(db, READY, run.run_id, wave)
end

local function is_left(db, run)
  return is_there(db, LEASED, run.run_id, run.last_wave) or is_there(db, WAITING, run.run_id, run.last_wave)
end

local function open_waves(db, run)
  local wave = run.current_wave
  while wave < run.last_wave and not is_busy(db, run, wave) do wave = wave + 1 end
  if wave == run.current_wave then return end
  must(db:exec("UPDATE run SET current_wave = ? WHERE run_id = ?", wave, run.run_id))
  run.current_wave = wave
  events.append(db, run.run_id, { { kind = "run.wave", data = { wave = wave } } })
end

local function advance_open(db, run)
  local reason, count = why_halt(db, run, json.decode(run.options_json).halt or {})
  if reason then return set_state(db, run, "draining", reason, { reason = reason, count = count }) end
  if not is_left(db, run) then return set_state(db, run, "done") end
  open_waves(db, run)
end

--- journal:advance
function M.advance(journal, run_id)
  return journal:transact(function(db)
    local run = journal:lock_run(db, run_id)
    workers.sweep(db, journal, run_id)
    if run.state == "open" then advance_open(db, run) end
    if run.state == "draining" and must(db:one(AT_WORK, run_id)).n == 0 then
      set_state(db, run, "halted", run.halt_reason)
    end
    return { state = run.state, wave = run.current_wave, last_wave = run.last_wave, halt_reason = run.halt_reason }
  end)
end

-- The `+` keeps from an index by wave, as for who claims.
local DUE = "SELECT min(due_at) AS at FROM subject WHERE run_id = ? AND +wave <= ? AND state IN ('ready','waiting')"

--- journal:next_due
function M.next_due(journal, run_id, wave)
  return journal:look(function(db)
    return not is_there(db, LEASED, run_id, wave) and must(db:one(DUE, run_id, wave)).at or nil
  end)
end

--- journal:drain
function M.drain(journal, run_id, reason, actor)
  return journal:transact(function(db)
    local run = journal:lock_run(db, run_id)
    if run.state == "open" then set_state(db, run, "draining", reason, { reason = reason, actor = actor }) end
    return true
  end)
end

-- Who waits for a person's work, and who for what was commanded to be confirmed: by now it may be so. People who are
-- at work in another run stay where they are.
local GATED = [[UPDATE subject SET state = 'ready', due_at = 0 WHERE run_id = ? AND state = 'needs_human'
  AND takeovers < ? AND EXISTS (SELECT 1 FROM op o WHERE o.run_id = subject.run_id AND o.subj = subject.subj
    AND o.state = 'planned') AND NOT EXISTS (SELECT 1 FROM subject x WHERE x.tenant_id = subject.tenant_id
    AND x.object_id = subject.object_id AND x.state IN ('ready','leased','waiting'))]]
local CONFIRMED = [[UPDATE subject SET due_at = 0 WHERE run_id = ? AND state = 'waiting' AND stage = ?]]

local function look_again(db, run)
  local count = must(db:exec(GATED, run.run_id, workers.POISON))
  for i, stage in ipairs(json.decode(run.options_json).stages or {}) do
    if stage.wait_for then must(db:exec(CONFIRMED, run.run_id, i - 1)) end
  end
  return count
end

--- journal:reopen
function M.reopen(journal, run_id, actor)
  return journal:transact(function(db)
    local run = journal:lock_run(db, run_id)
    local count = look_again(db, run)
    if run.state == "open" or run.state == "done" and count == 0 then return true end
    must(db:exec("UPDATE run SET accepted_failed = ?, accepted_human = ? WHERE run_id = ?",
      people(db, run_id, "failed"), people(db, run_id, "needs_human"), run_id))
    set_state(db, run, "open", nil, { actor = actor })
    return true
  end)
end

M.set_state = set_state -- for decisions

return M
