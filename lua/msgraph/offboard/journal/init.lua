-- lua/msgraph/offboard/journal/init.lua
--- What was planned, approved, intended, sent and found out, on disk before it matters.
--
-- One file holds any number of plans and runs; any number of processes on one machine share it. The protocol:
--
--   journal.open          j:add_plan, j:approve        a plan, and who stands for it
--   j:start_run           -> run_id                    its people and operations; nobody is in two runs at once
--   j:join(run_id)        -> worker                    a lease with a heartbeat
--   worker:claim(n)       -> subjects                  nobody else has them; what a dead worker had intended is unknown
--   worker:intend(list)   -> attempts                  on the disk; now, worker:margin(), and only then send
--   worker:settle(list)                                what came of it
--   worker:release(list)                               done, or due again later
--   j:advance(run_id)                                  next wave, or halt, or done
--   worker:leave()
--
-- What may follow what is states.lua's, the lease worker.lua's, waves and halting run.lua's, what is decided beside the
-- engine decisions.lua's, how people and operations are read reading.lua's, the SQL that is SQLite's own sqlite.lua's.
-- No body, no token and no password is ever written here: bodies go by their hash, and what is to be changed goes as
-- the plan shows it. The world's failures are `nil, err`; what only a mistake of the engine can ask for raises.
local core = require "msgraph.core"
local decisions = require "msgraph.offboard.journal.decisions"
local events = require "msgraph.offboard.journal.events"
local failure = require "msgraph.offboard.journal.failure"
local json = require "msgraph.json"
local progress = require "msgraph.offboard.journal.progress"
local reading = require "msgraph.offboard.journal.reading"
local run = require "msgraph.offboard.journal.run"
local schema = require "msgraph.offboard.journal.schema"
local states = require "msgraph.offboard.journal.states"
local store = require "msgraph.store"
local taking_in = require "msgraph.offboard.journal.taking_in"
local workers = require "msgraph.offboard.journal.worker"

local M = {}

M.T_REQ, M.SKEW, M.LEASE, M.BEAT, M.GRACE = workers.T_REQ, workers.SKEW, workers.LEASE, workers.BEAT, workers.GRACE

local must = failure.must

---@class msgraph.Journal
---@field path string
---@field store_id string
---@field clock fun(): integer ms, the clock that leases count on
local Journal = { __name = "msgraph.Journal" }
Journal.__index = Journal

-- ---- opening ------------------------------------------------------------------------------------------

-- Runs fn(db) in a transaction. What it raises by failure.raise and failure.must is returned; all else goes on up.
function Journal:transact(fn)
  local ok, result, err = pcall(self.db.transaction, self.db, fn)
  if not ok then
    if type(result) == "table" and failure.KINDS[result.code] then return nil, result end
    error(result, 0)
  end
  if result == nil and err ~= nil then return nil, failure.from(err, self.path) end
  return result
end

-- A reading outside of transactions: fn(db), with what it raises returned.
function Journal:look(fn)
  local ok, result = pcall(fn, self.db)
  if ok then return result end
  if type(result) == "table" and result.code and result.message then return nil, failure.from(result, self.path) end
  error(result, 0)
end

--- Opens a journal, making it where there is none. One of an older version is brought up to date, one of a newer
--- version is refused.
---@param path string
---@param opts? { readonly: boolean?, create: boolean?, boottime: (fun(): integer)? } readonly: for reports, and nothing
---   is brought up to date; create: default true unless readonly; boottime: the lease clock, for specs
---@return msgraph.Journal?
---@return msgraph.Error? err journal, journal_newer, journal_damaged, journal_readonly, journal_full, journal_busy
function M.open(path, opts)
  opts = opts or {}
  local driver = require "msgraph.offboard.journal.sqlite"
  local mode = opts.readonly and "read" or opts.create == false and "write" or "create"
  local db, err = driver.open(path, mode)
  if not db then return nil, failure.from(err, path) end
  local self = setmetatable({ path = path, db = db, driver = driver, clock = opts.boottime or driver.clock,
    boot_id = assert(store.boot_id()), version = core.version }, Journal)
  local function prepare()
    (opts.readonly and schema.check or schema.bring_up)(db, driver, path)
    return must(db:one "SELECT v FROM meta WHERE k = 'store_id'").v
  end
  local store_id, reason
  if opts.readonly then store_id, reason = self:look(prepare) else store_id, reason = self:transact(prepare) end
  if not store_id then
    db:close()
    return nil, reason
  end
  self.store_id = store_id
  return self
end

--- Closes it. Twice is as good as once. Workers should have left before.
function Journal:close()
  self.db:close()
end
Journal.__close = Journal.close

-- The row of a run, locked where the store does not lock all.
function Journal:lock_run(db, run_id)
  local row = must(db:one("SELECT * FROM run WHERE run_id = ?" .. self.driver.lock_run, run_id))
  if not row then failure.raise("unknown_id", ("there is no run %s in this journal"):format(tostring(run_id))) end
  return row
end

-- ---- plans --------------------------------------------------------------------------------------------

local INSERT_PLAN = [[INSERT INTO plan(plan_id, tenant_id, workflow_name, workflow_hash, plan_hash, params_json,
  summary_json, created_by, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]

--- Takes a plan's head in; once more is as good as once.
---@param plan { plan_id: string?, tenant_id: string, workflow_name: string, workflow_hash: string, plan_hash: string,
---   params: table?, summary: table?, created_by: string, created_at: integer?, expires_at: integer } times: Unix ms
---@return string? plan_id
---@return msgraph.Error? err plan_changed: another plan has this id
function Journal:add_plan(plan)
  return self:transact(function(db)
    local same = must(db:one("SELECT plan_id FROM plan WHERE plan_hash = ?", plan.plan_hash))
    if same and (not plan.plan_id or same.plan_id == plan.plan_id) then return same.plan_id end
    if same or plan.plan_id and must(db:one("SELECT 1 AS yes FROM plan WHERE plan_id = ?", plan.plan_id)) then
      failure.raise("plan_changed", ("plan %s is here with another hash or id"):format(plan.plan_id))
    end
    local id = plan.plan_id or store.uuid()
    must(db:exec(INSERT_PLAN, id, plan.tenant_id, plan.workflow_name, plan.workflow_hash, plan.plan_hash,
      json.encode(plan.params or {}), json.encode(plan.summary or {}), plan.created_by,
      plan.created_at or store.now(), plan.expires_at))
    return id
  end)
end

local APPROVE = [[INSERT INTO approval(plan_id, plan_hash, approver, danger_max, at) VALUES (?, ?, ?, ?, ?)
  ON CONFLICT (plan_id, approver) DO UPDATE SET plan_hash = excluded.plan_hash, danger_max = excluded.danger_max,
  at = excluded.at]]

--- Binds a person to a plan as it is: to its hash, and up to a danger.
---@param plan_id string
---@param hash string what the approver has seen
---@param approver string
---@param danger_max "safe"|"disruptive"|"destructive"|"irreversible"
---@return true?
---@return msgraph.Error? err unknown_id, plan_changed, plan_expired
function Journal:approve(plan_id, hash, approver, danger_max)
  if not states.DANGER[danger_max] then
    error(("bad argument #4 to 'approve' (no danger: %s)"):format(tostring(danger_max)), 2)
  end
  return self:transact(function(db)
    local plan = must(db:one("SELECT * FROM plan WHERE plan_id = ?", plan_id))
    if not plan then failure.raise("unknown_id", ("there is no plan %s"):format(tostring(plan_id))) end
    if plan.plan_hash ~= hash then
      failure.raise("plan_changed", ("plan %s has the hash %s, not %s"):format(plan_id, plan.plan_hash, hash))
    end
    if plan.expires_at <= store.now() then failure.raise("plan_expired", ("plan %s has expired"):format(plan_id)) end
    must(db:exec(APPROVE, plan_id, hash, approver, danger_max, store.now()))
    return true
  end)
end

--- Who approved a plan.
---@return { approver: string, danger_max: string, plan_hash: string, at: integer }[]?
---@return msgraph.Error?
function Journal:approvals(plan_id)
  return self:look(function(db)
    return must(db:all("SELECT * FROM approval WHERE plan_id = ? ORDER BY at", plan_id))
  end)
end

-- ---- runs ---------------------------------------------------------------------------------------------

local MODES = { apply = true, verify = true, restore = true }

--- Starts a run: all of its people and operations in one transaction, or none. Operations more dangerous than `safe`
--- need an approval that covers them.
---
--- `waves` says how far each wave reaches, in people: { 1, 10, "25%", "100%" }. `halt` holds limits that are reached
--- at and above: failed and needs_human (people, or a percentage of all), first_wave_failed.
---
--- With `undoes`, a run, its people are free for this one: what it has left to do for them is skipped.
---@param o { plan_id: string, mode: "apply"|"verify"|"restore", actor: string, undoes: string?,
---   options: { waves: table?, halt: table? }?,
---   subjects: msgraph.journal.NewSubject[]|(fun(): msgraph.journal.NewSubject?) }
---@return string? run_id
---@return msgraph.Error? err active_elsewhere (err.subjects: { object_id, label, run_id } for each), not_approved,
---   plan_expired, unknown_id, in_use: somebody is being worked on in the run that is undone
function Journal:start_run(o)
  if not MODES[o.mode] then error(("bad argument #1 to 'start_run' (no mode: %s)"):format(tostring(o.mode)), 2) end
  return run.start(self, o)
end

---@class msgraph.journal.NewSubject
---@field object_id string
---@field label string what people call them
---@field guard? table the fingerprint to compare before acting
---@field before_sha? string snapshot, of journal:blob
---@field due_at? integer Unix ms
---@field ops msgraph.journal.NewOp[]

---@class msgraph.journal.NewOp
---@field op_key string stable, one for each of a subject's operations: "devices/retire/<id>"
---@field stage? integer from 0; a stage is done for the whole wave before the next begins
---@field action string
---@field action_ver? integer
---@field target_id string
---@field effect "read"|"converge"|"command"|"once"
---@field danger "safe"|"disruptive"|"destructive"|"irreversible"
---@field deps? string[] op_keys
---@field desired? table
---@field guard? table
---@field inverse? table
---@field state? "planned"|"unchanged"|"skipped"|"needs_human" default planned
---@field reason? string

--- Joins a run as a worker.
---@return msgraph.journal.Worker?
---@return msgraph.Error? err unknown_id
function Journal:join(run_id)
  return workers.join(self, run_id)
end

--- Opens the next wave when the one before has settled and no limit is reached; begins to drain when one is; ends the
--- run when nobody has anything left to do, and a draining one when nobody is at work. To be called now and then by any
--- worker.
---@return { state: "open"|"draining"|"halted"|"done", wave: integer, last_wave: integer, halt_reason: string? }?
---@return msgraph.Error?
function Journal:advance(run_id)
  return run.advance(self, run_id)
end

--- Nothing new is sent from now on; what is under way is settled, then advance() halts the run.
---@param run_id string
---@param reason string "interrupted", say
---@param actor string
---@return true?
---@return msgraph.Error?
function Journal:drain(run_id, reason, actor)
  return run.drain(self, run_id, reason, actor)
end

--- Lets a drained or halted run go on. Who has failed or waits for a person by now is accepted: limits count anew.
--- Whoever waits for a person's work, or for what was commanded to be confirmed, is due again: it may be there by now.
---@return true?
---@return msgraph.Error?
function Journal:reopen(run_id, actor)
  return run.reopen(self, run_id, actor)
end

local AS = { done = true, redo = true, skip = true }

--- What a person decides of an operation that nobody else can settle: it is done, it is to be done again, or not at
--- all. Without op_key, of the subject: redo lets a quarantined one go on, skip leaves out what is planned.
---@param o { run_id: string, subj: integer, op_key: string?, as: "done"|"redo"|"skip", note: string?, actor: string }
---@return true?
---@return msgraph.Error? err unknown_id, in_use (it is claimed, or there is nothing to decide), active_elsewhere
function Journal:resolve(o)
  if not AS[o.as] or not o.op_key and o.as == "done" then
    error(("bad argument #1 to 'resolve' (as %s)"):format(tostring(o.as)), 2)
  end
  return decisions.resolve(self, o)
end

--- Takes in what people say became of work that was theirs, all of it or nothing. What is settled already stays as it
--- is, so that twice is as good as once; what failed stays theirs, with the message as its reason.
---@param o { run_id: string, actor: string, results: { subj: integer, op_key: string, done: boolean, by: string,
---   message: string, at: string? }[] }
---@return { done: integer, failed: integer, known: integer }? count known: it was settled, or said, before
---@return msgraph.Error? err unknown_id, in_use (somebody is claimed), active_elsewhere
function Journal:hand_in(o) return decisions.hand_in(self, o) end

--- Writes down what a read shows to be done: what was changed, submitted or a person's becomes verified. People whom a
--- worker is at work on are left to it.
---@param o { run_id: string, actor: string, ops: { subj: integer, op: integer }[] }
---@return integer? count
---@return msgraph.Error?
function Journal:confirm(o) return decisions.confirm(self, o) end

-- ---- emergency files ----------------------------------------------------------------------------------

--- Takes the outcomes of an emergency file in, and removes it. What was taken in before is not taken in again.
---@param path string
---@return integer? count outcomes that were new
---@return msgraph.Error? err unknown_id, journal_damaged, in_use, and what may be wrong with the journal
function Journal:take_in(path) return taking_in.file(self, path) end

--- The emergency files of a run that hold something not yet taken in.
---@return string[]? paths
---@return msgraph.Error?
function Journal:emergencies(run_id) return taking_in.files(self, run_id) end

-- ---- reading ------------------------------------------------------------------------------------------

-- One operation with the last attempt's over_at and outcome.
function Journal:read_op(db, run_id, subj, op) return reading.op(self, db, run_id, subj, op) end

-- A claimed subject's row with its operations.
function Journal:read_subject(db, row) return reading.subject(self, db, row) end

--- A run's people in order, one at a time, each with its operations. Raises where the journal can not be read.
---@return fun(): msgraph.journal.Subject?
function Journal:subjects(run_id) return reading.subjects(self, run_id) end

--- Every time something of a subject was sent, in order.
---@return table[]? attempts
---@return msgraph.Error?
function Journal:attempts(run_id, subj)
  return self:look(function(db)
    return must(db:all("SELECT * FROM attempt WHERE run_id = ? AND subj = ? ORDER BY op, n", run_id, subj))
  end)
end

--- The events of a run in order: { seq, at, kind, subj, op, worker_id, data, hash }. Raises as subjects does.
---@return fun(): table?
function Journal:events(run_id)
  return events.each(self.db, run_id)
end

--- Follows the hashes of a run's events.
---@return { count: integer, hash: string }? chain
---@return msgraph.Error? err journal_damaged: the first event that is not as it was written
function Journal:verify_events(run_id)
  return self:look(function(db)
    local chain, reason = events.verify(db, run_id)
    if not chain then failure.raise("journal_damaged", ("%s: run %s: %s"):format(self.path, run_id, reason)) end
    return chain
  end)
end

--- Where a run stands.
---@return { run: table, plan: table, ops: table<string, integer>,
---   stages: { stage: integer, ops: table<string, integer> }[], subjects: table<string, integer>,
---   workers: table[], next_due_at: integer? }? status workers: those not known to be dead
---@return msgraph.Error? err unknown_id
function Journal:status(run_id) return reading.status(self, run_id) end

--- How far a run is, to be watched. Costs a walk over its operations.
---@param run_id string
---@param since? integer `seq` of an earlier answer: what went wrong after it is told; nil: nothing of that
---@return msgraph.journal.Progress?
---@return msgraph.Error? err unknown_id
function Journal:progress(run_id, since)
  return progress.of(self, run_id, since)
end

--- When the next of the people of a run, up to a wave, is due.
---@return integer? at Unix ms; nil: somebody is at work, or nobody is left
---@return msgraph.Error?
function Journal:next_due(run_id, wave)
  return run.next_due(self, run_id, wave)
end

--- All runs, newest first.
---@return table[]?
---@return msgraph.Error?
function Journal:runs()
  return self:look(function(db)
    return must(db:all "SELECT * FROM run ORDER BY started_at DESC, run_id")
  end)
end

-- ---- snapshots ----------------------------------------------------------------------------------------

--- Keeps a text (a snapshot, without secrets) under its hash, once for each text; in a transaction: for who hands
--- start_run its people.
---@param kind string
---@param text string
---@return string sha
function Journal:keep(kind, text)
  local sha = store.hash(text)
  must(self.db:exec("INSERT INTO blob(sha, at, kind, body) VALUES (?, ?, ?, ?) ON CONFLICT (sha) DO NOTHING", sha,
    store.now(), kind, self.driver.blob(text)))
  return sha
end

return M
