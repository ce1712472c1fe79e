-- lua/msgraph/offboard/journal/worker.lua
--- One process at work on a run: its lease, the people it has claimed, what it is about to send and what came of it.
--
-- A worker may send while it can prove that nobody else takes it for dead. It writes before it sends (intend), looks
-- at its lease after that and right before sending (margin), and writes what came of it (settle). Whoever finds a
-- worker dead takes its people over: what it had intended is `unknown` from then on, until a read settles it.
-- A worker that was taken for dead (code lease_lost) stops: it sends nothing more and joins anew. Its late outcomes
-- are kept as evidence, and move nothing.
--
-- Times here are ms of journal.clock, which counts suspend.
local emergency = require "msgraph.offboard.journal.emergency"
local events = require "msgraph.offboard.journal.events"
local failure = require "msgraph.offboard.journal.failure"
local json = require "msgraph.json"
local states = require "msgraph.offboard.journal.states"
local store = require "msgraph.store"

local M = {}

M.T_REQ = 30000 -- one HTTP exchange, with connecting and reading: never longer
M.SKEW = 2000 -- between a look at the clock and what is done on its strength
M.LEASE = 60000
M.BEAT = M.LEASE // 4 -- how often a heartbeat is due
M.GRACE = M.T_REQ + M.SKEW -- after a lease: what was sent within it is over by then
M.POISON = 3 -- people whose workers died this often in a row are left to a person

local RESERVED = 256 * 1024 -- bytes kept free beside the journal for outcomes, should the disk be full

local must, mistake = failure.must, failure.mistake

---@class msgraph.journal.Worker
---@field id string
---@field run_id string
---@field lost boolean it was taken for dead: nothing may be sent any more
local Worker = { __name = "msgraph.journal.Worker" }
Worker.__index = Worker

-- ---- lease ------------------------------------------------------------------------------------------

local function lease_lost(self)
  return failure.new("lease_lost", ("worker %s was taken for dead: send nothing more, and join the run anew")
    :format(self.id))
end

-- Runs fn in a transaction that begins by proving that this worker is alive.
local function fenced(self, fn)
  if self.lost then return nil, lease_lost(self) end
  local result, err = self.journal:transact(function(db)
    local row = must(db:one("SELECT state FROM worker WHERE worker_id = ?", self.id))
    if not row or row.state ~= "alive" then error(lease_lost(self), 0) end
    return fn(db)
  end)
  if err and err.code == "lease_lost" then self.lost = true end
  return result, err
end

--- Makes the lease last from now. Due every BEAT ms; one statement, however many people are claimed.
---@return true?
---@return msgraph.Error? err lease_lost, or what is wrong with the journal (the lease runs on meanwhile)
function Worker:heartbeat()
  local before = self.journal.clock()
  local ok, err = fenced(self, function(db)
    must(db:exec("UPDATE worker SET lease_until = ?, beat_at = ? WHERE worker_id = ?", before + M.LEASE, before,
      self.id))
    return true
  end)
  if ok then self.lease_until = before + M.LEASE end
  return ok, err
end

--- ms until the next heartbeat is due, 0 when it is.
function Worker:beat_in()
  return math.max(0, self.lease_until - M.LEASE + M.BEAT - self.journal.clock())
end

--- Whether a request that takes at most t_req ms may be sent now; renews the lease where it is too short. To be asked
--- after intend and right before sending: the request has to be over before anybody can claim its person.
---@param t_req? integer ms, default and at most T_REQ
---@return true?
---@return msgraph.Error? err send nothing
function Worker:margin(t_req)
  t_req = t_req or M.T_REQ
  if math.type(t_req) ~= "integer" or t_req <= 0 or t_req > M.T_REQ then
    error(("bad argument #1 to 'margin' (1 to %d ms expected, got %s)"):format(M.T_REQ, tostring(t_req)), 2)
  end
  if self.lost then return nil, lease_lost(self) end
  local function enough() return self.lease_until - self.journal.clock() >= t_req + M.SKEW end
  if enough() then return true end
  local ok, err = self:heartbeat()
  if not ok then return nil, err end
  if enough() then return true end
  return nil, failure.new("journal_busy", "the lease runs out faster than the journal renews it")
end

-- ---- joining and leaving ------------------------------------------------------------------------------

local function read_line(path)
  local file = io.open(path)
  local line = file and file:read "l"
  if file then file:close() end
  return line
end

local INSERT_WORKER = [[INSERT INTO worker(worker_id, run_id, host, boot_id, pid, slot, version, state, lease_until,
  beat_at, started_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'alive', ?, ?, ?)]]

--- Joins a run; journal:join.
---@param journal msgraph.Journal
---@param run_id string
---@return msgraph.journal.Worker?
---@return msgraph.Error?
function M.join(journal, run_id)
  local id = store.uuid()
  local slot = assert(math.tointeger(tonumber("0x" .. id:gsub("-", ""):sub(1, 15))))
  local presence, reason = store.presence(journal.path .. "-alive", slot)
  if not presence then return nil, failure.from(reason, journal.path) end
  store.reserve(journal.path .. "-reserve", RESERVED) -- where there is no room, there is none to keep either
  local self = setmetatable({ id = id, run_id = run_id, journal = journal, presence = presence, lost = false,
    held = {} }, Worker)
  local before = journal.clock()
  local ok, err = journal:transact(function(db)
    journal:lock_run(db, run_id)
    must(db:exec(INSERT_WORKER, id, run_id, read_line "/proc/sys/kernel/hostname" or "unknown", journal.boot_id,
      store.pid(), slot, journal.version, before + M.LEASE, before, store.now()))
    events.append(db, run_id, { { kind = "worker.joined", worker_id = id } })
    return true
  end)
  if not ok then
    presence:close()
    return nil, err
  end
  self.lease_until = before + M.LEASE
  return self
end

local UNSETTLE = [[UPDATE op SET state = 'unknown', reason = ? WHERE run_id = ? AND subj = ? AND state = 'intent'
  RETURNING op]]

-- What was intended for this person and has no outcome may have been carried out.
function M.unsettle(db, run_id, subj, reason, list, worker_id)
  for _, row in ipairs(must(db:all(UNSETTLE, reason, run_id, subj))) do
    list[#list + 1] = { kind = "op.unknown", subj = subj, op = row.op, worker_id = worker_id,
      data = { reason = reason } }
  end
end

--- Gives back whoever is still claimed (what is under way becomes unknown) and ends. Twice is as good as once.
---@return true?
---@return msgraph.Error?
function Worker:leave()
  if not self.presence then return true end
  local ok, err = fenced(self, function(db)
    local list = {}
    for _, row in ipairs(must(db:all("SELECT subj FROM subject WHERE owner = ? AND state = 'leased'", self.id))) do
      M.unsettle(db, self.run_id, row.subj, "the worker left", list, self.id)
      must(db:exec("UPDATE subject SET state = 'ready', owner = NULL WHERE run_id = ? AND subj = ?", self.run_id,
        row.subj))
    end
    must(db:exec("UPDATE worker SET state = 'left' WHERE worker_id = ?", self.id))
    list[#list + 1] = { kind = "worker.left", worker_id = self.id }
    events.append(db, self.run_id, list)
    return true
  end)
  self.presence:close()
  self.presence, self.lost, self.held = nil, true, {}
  return ok, err
end

-- ---- claiming -----------------------------------------------------------------------------------------

-- Whether nothing that this worker could still start will be carried out. Without its lock its process is gone, and
-- what it had sent is waited for before it is read (over_at). Of another start of the machine it is gone as well,
-- and what it had sent is over once this start is older than a request can be.
local function is_dead(journal, w, now)
  if w.boot_id ~= journal.boot_id then return now > M.GRACE end
  return w.lease_until + M.GRACE < now or store.present(journal.path .. "-alive", w.slot) == false
end

--- Marks the workers of a run that are dead, for good.
---@param me? string the worker that looks
function M.sweep(db, journal, run_id, me)
  local list, now = {}, journal.clock()
  for _, w in ipairs(must(db:all("SELECT * FROM worker WHERE run_id = ? AND state = 'alive'", run_id))) do
    if w.worker_id ~= me and is_dead(journal, w, now) then
      must(db:exec("UPDATE worker SET state = 'dead' WHERE worker_id = ?", w.worker_id))
      list[#list + 1] = { kind = "worker.dead", worker_id = w.worker_id, data = { found_by = me } }
    end
  end
  events.append(db, run_id, list)
end

local TAKE = [[UPDATE subject SET state = 'leased', owner = ?, epoch = epoch + 1, takeovers = takeovers + ?
  WHERE run_id = ? AND subj = ? RETURNING *]]

local function take(db, self, row, taken_over)
  return must(db:one(TAKE, self.id, taken_over and 1 or 0, self.run_id, row.subj))
end

local ORPHANS = [[SELECT s.subj, s.owner FROM worker w JOIN subject s ON s.owner = w.worker_id AND s.state = 'leased'
  WHERE w.run_id = ? AND w.state <> 'alive' LIMIT ?]]

-- People whose worker is dead, with what it had intended made unknown; those who killed too many are left alone.
local function take_orphans(db, self, limit, into)
  local list = {}
  for _, row in ipairs(must(db:all(ORPHANS, self.run_id, limit))) do
    local subject = take(db, self, row, true)
    M.unsettle(db, self.run_id, row.subj, "its worker died", list, self.id)
    list[#list + 1] = { kind = "subject.taken_over", subj = row.subj, worker_id = self.id,
      data = { from = row.owner, takeovers = subject.takeovers } }
    if subject.takeovers >= M.POISON then
      must(db:exec("UPDATE subject SET state = 'needs_human', owner = NULL WHERE run_id = ? AND subj = ?",
        self.run_id, row.subj))
      list[#list + 1] = { kind = "subject.needs_human", subj = row.subj,
        data = { reason = ("%d workers in a row died at work on it"):format(subject.takeovers) } }
    else
      into[#into + 1] = subject
    end
  end
  events.append(db, self.run_id, list)
end

-- The `+` keeps from an index by wave: of those who wait, nearly nobody is due.
local DUE = [[SELECT subj, wave, stage FROM subject WHERE run_id = ? AND state IN ('ready','waiting') AND +wave <= ?
  AND due_at <= ? ORDER BY wave, stage, due_at LIMIT ?]]
local READY = [[SELECT stage FROM subject WHERE run_id = ? AND wave = ? AND state IN ('ready','waiting')
  AND state = 'ready' ORDER BY stage LIMIT 1]]
local LEASED = "SELECT min(stage) AS stage FROM subject WHERE run_id = ? AND wave = ? AND state = 'leased'"

-- The stage a wave is at: that of the last of its people who have something to do. Who waits for a day or a device
-- does not hold up the others.
local function stage_of_wave(db, run_id, wave)
  local ready, leased = must(db:one(READY, run_id, wave)), must(db:one(LEASED, run_id, wave))
  return math.min(ready and ready.stage or math.huge, leased.stage or math.huge)
end

local function take_due(db, self, run, limit, into)
  local at = {}
  local rows = must(db:all(DUE .. self.journal.driver.lock_subjects, self.run_id, run.current_wave, store.now(), limit))
  for _, row in ipairs(rows) do
    at[row.wave] = at[row.wave] or stage_of_wave(db, self.run_id, row.wave)
    if row.stage <= at[row.wave] then into[#into + 1] = take(db, self, row, false) end
  end
end

--- Claims people to work on: those whose workers died first, then those who are due, in the order of waves and stages.
---@param limit? integer how many at most, default 1
---@return msgraph.journal.Subject[]? subjects empty: nobody is due now, or the run is not open (journal:advance tells)
---@return msgraph.Error?
function Worker:claim(limit)
  limit = limit or 1
  local claimed, err = fenced(self, function(db)
    local run, subjects = self.journal:lock_run(db, self.run_id), {}
    if run.state ~= "open" then return subjects end
    M.sweep(db, self.journal, self.run_id, self.id)
    take_orphans(db, self, limit, subjects)
    if #subjects < limit then take_due(db, self, run, limit - #subjects, subjects) end
    for i, row in ipairs(subjects) do subjects[i] = self.journal:read_subject(db, row) end
    return subjects
  end)
  for _, subject in ipairs(claimed or {}) do self.held[subject.subj] = subject.epoch end
  return claimed, err
end

-- Whether this worker still has a person, as it claimed them.
local function owns(db, self, subj)
  local row = must(db:one("SELECT owner, epoch FROM subject WHERE run_id = ? AND subj = ?", self.run_id, subj))
  return row ~= nil and row.owner == self.id and row.epoch == self.held[subj]
end

local function check_held(self, list, name)
  if type(list) ~= "table" then error(("bad argument #1 to '%s' (list expected)"):format(name), 3) end
  for i, item in ipairs(list) do
    if not self.held[item.subj] then
      error(("bad argument #1 to '%s' (item %d: subject %s is not claimed)"):format(name, i, tostring(item.subj)), 3)
    end
  end
end

-- ---- intents and outcomes -----------------------------------------------------------------------------

local INTEND = [[UPDATE op SET state = 'intent', attempts = attempts + 1, reason = NULL
  WHERE run_id = ? AND subj = ? AND op = ? AND state = 'planned' RETURNING attempts]]
local INSERT_ATTEMPT = [[INSERT INTO attempt(run_id, subj, op, n, epoch, worker_id, client_request_id, method, path,
  body_sha, intent_at, over_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]

local function intend_one(db, self, item, now)
  local row = must(db:one(INTEND, self.run_id, item.subj, item.op))
  if not row then mistake("operation %d of subject %d is not planned", item.op, item.subj) end
  local attempt = { subj = item.subj, op = item.op, n = row.attempts, over_at = item.deadline or now + M.T_REQ,
    client_request_id = store.uuid(self.run_id, ("%d/%d/%d"):format(item.subj, item.op, row.attempts)) }
  must(db:exec(INSERT_ATTEMPT, self.run_id, item.subj, item.op, attempt.n, self.held[item.subj], self.id,
    attempt.client_request_id, item.method, item.path, item.body_sha, store.now(), attempt.over_at))
  return attempt
end

--- Writes what is about to be sent, all of one tick in one transaction: when it returns, it is on the disk. Nothing
--- may be sent that was not returned here, nor later than its over_at.
---@param list { subj: integer, op: integer, method: string, path: string, body_sha: string?, deadline: integer? }[]
---   deadline: ms of journal.clock, default T_REQ from now
---@return { subj: integer, op: integer, n: integer, client_request_id: string, over_at: integer }[]? attempts
---@return msgraph.Error? err lease_lost, draining, or what is wrong with the journal: send nothing
function Worker:intend(list)
  check_held(self, list, "intend")
  return fenced(self, function(db)
    local run = self.journal:lock_run(db, self.run_id)
    if run.state ~= "open" then
      failure.raise("draining", ("run %s is %s: nothing new is sent"):format(self.run_id, run.state))
    end
    local attempts, owned, now = {}, {}, self.journal.clock()
    for i, item in ipairs(list) do
      owned[item.subj] = owned[item.subj] or owns(db, self, item.subj)
      if not owned[item.subj] then error(lease_lost(self), 0) end
      attempts[i] = intend_one(db, self, item, now)
    end
    return attempts
  end)
end

local FILL = [[UPDATE attempt SET outcome_at = ?, outcome = ?, http_status = ?, graph_code = ?, graph_request_id = ?,
  retry_after_ms = ?, late = ? WHERE run_id = ? AND subj = ? AND op = ? AND n = ? AND worker_id = ?
  AND outcome IS NULL]]
local MOVE = [[UPDATE op SET state = ?, reason = ?, evidence_json = ?, next_at = ?
  WHERE run_id = ? AND subj = ? AND op = ?]]

-- Fills an attempt's outcome in; false: it had one.
local function fill(db, item, run_id, worker_id, late)
  return must(db:exec(FILL, item.at or store.now(), item.state, item.http_status, item.graph_code,
    item.graph_request_id, item.retry_after_ms, late and 1 or 0, run_id, item.subj, item.op, item.n, worker_id)) == 1
end

local function outcome_event(item, op, worker_id, late)
  return { kind = "op." .. item.state, subj = item.subj, op = item.op, worker_id = worker_id,
    data = { op_key = op.op_key, from = op.state, n = item.n, reason = item.reason, probe = item.probe,
      http_status = item.http_status, graph_code = item.graph_code, graph_request_id = item.graph_request_id,
      late = late or nil } }
end

local function move(db, run_id, item, op)
  local ok, reason = states.may(op, item)
  if not ok then
    mistake("operation %d (%s) of subject %d: %s", item.op, op.op_key, item.subj, reason)
  end
  must(db:exec(MOVE, item.state, item.reason, item.evidence and json.encode(item.evidence), item.next_at or 0, run_id,
    item.subj, item.op))
end

-- One outcome; false: this worker was fenced off, and only its evidence was kept.
local function settle_one(db, self, item, owned, list)
  local op = self.journal:read_op(db, self.run_id, item.subj, item.op)
  if not op then mistake("subject %d has no operation %s", item.subj, tostring(item.op)) end
  if owned and item.n and item.n ~= op.attempts then
    mistake("operation %d of subject %d: attempt %d is not its last", item.op, item.subj, item.n)
  end
  if owned and not item.n and op.state == "intent" then
    mistake("operation %d of subject %d: the outcome of its attempt needs its n", item.op, item.subj)
  end
  if item.n and not fill(db, item, self.run_id, self.id, not owned) then return owned end -- told before
  if owned then move(db, self.run_id, item, op) end
  if owned or item.n then list[#list + 1] = outcome_event(item, op, self.id, not owned) end
  return owned
end

local function settle_all(self, list)
  return self.journal:transact(function(db)
    self.journal:lock_run(db, self.run_id)
    local row = must(db:one("SELECT state FROM worker WHERE worker_id = ?", self.id))
    local alive, owned, fenced_off, told = row ~= nil and row.state == "alive", {}, false, {}
    for _, item in ipairs(list) do
      if owned[item.subj] == nil then owned[item.subj] = alive and owns(db, self, item.subj) end
      if not settle_one(db, self, item, owned[item.subj], told) then fenced_off = true end
    end
    events.append(db, self.run_id, told)
    return { fenced_off = fenced_off }
  end)
end

--- Writes what came of it, all of one tick in one transaction. An outcome with `n` is that of an attempt; one without
--- is what a read or a guard found. What may follow what is states.may's to know, and what it forbids raises.
---
--- When the journal can not be written (a full disk, say), outcomes of attempts go to the emergency file beside it:
--- err.emergency is its path, journal:take_in reads it back. Where even that fails err.emergency is nil: what is lost
--- is settled by reading when the run is resumed. After lease_lost the attempts' outcomes are kept as evidence.
---@param list { subj: integer, op: integer, n: integer?, state: string, reason: string?, evidence: table?,
---   next_at: integer?, http_status: integer?, graph_code: string?, graph_request_id: string?,
---   retry_after_ms: integer?, sent: boolean?, probe: string?, read_at: integer?, authoritative: boolean? }[]
---@return true?
---@return msgraph.Error?
function Worker:settle(list)
  check_held(self, list, "settle")
  local done, err = settle_all(self, list)
  if done and not done.fenced_off then return true end
  if done then
    self.lost = true
    return nil, lease_lost(self)
  end
  if err.code ~= "journal_busy" then emergency.write(self, list, err) end
  return nil, err
end

-- ---- giving back --------------------------------------------------------------------------------------

local RELEASE = [[UPDATE subject SET state = ?, due_at = ?, stage = ?, after_sha = coalesce(?, after_sha), owner = NULL,
  takeovers = 0 WHERE run_id = ? AND subj = ? RETURNING stage]]

-- Nobody is given back with a request under way, nor called done who is not.
local function check_release(db, self, item)
  local rows = must(db:all("SELECT state, count(*) AS n FROM op WHERE run_id = ? AND subj = ? GROUP BY state",
    self.run_id, item.subj))
  for _, row in ipairs(rows) do
    local may_wait = item.state == "ready" or item.state == "waiting" or item.state == "needs_human"
    if row.state == "intent" or row.state == "unknown" and not may_wait
      or item.state == "done" and states.NOT_DONE[row.state] then
      mistake("subject %d can not be released as %s: %d of its operations: %s", item.subj, item.state, row.n, row.state)
    end
  end
end

local function release_one(db, self, item)
  if not states.RELEASE[item.state] then mistake("no state to release in: %s", tostring(item.state)) end
  if not owns(db, self, item.subj) then error(lease_lost(self), 0) end
  check_release(db, self, item)
  local row = must(db:one("SELECT stage FROM subject WHERE run_id = ? AND subj = ?", self.run_id, item.subj))
  must(db:one(RELEASE, item.state, item.due_at or 0, item.stage or row.stage, item.after_sha, self.run_id, item.subj))
end

--- Gives people back: `ready` has more to do (at due_at, in this stage), `waiting` waits for something outside and
--- holds nobody up; `needs_human`, `done`, `failed`, `skipped` are ends.
---@param list { subj: integer, state: string, due_at: integer?, stage: integer?, after_sha: string? }[] due_at: Unix ms
---@return true?
---@return msgraph.Error?
function Worker:release(list)
  check_held(self, list, "release")
  local ok, err = fenced(self, function(db)
    self.journal:lock_run(db, self.run_id)
    local told = {}
    for i, item in ipairs(list) do
      release_one(db, self, item)
      if item.state ~= "ready" and item.state ~= "waiting" then
        told[#told + 1] = { kind = "subject." .. item.state, subj = list[i].subj, worker_id = self.id }
      end
    end
    events.append(db, self.run_id, told)
    return true
  end)
  for _, item in ipairs(ok and list or {}) do self.held[item.subj] = nil end
  return ok, err
end

M.fill, M.move, M.outcome_event, M.is_dead = fill, move, outcome_event, is_dead -- for what emergency files hold

return M
