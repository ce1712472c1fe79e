--- Carries a run out: claims people, sends what is planned for them, writes down what came of it.
--
-- Of one person one request at a time, in the order of stages and of what depends on what; different people side by
-- side. Every request is on the disk before it is sent, is sent once, and is settled before the next. What nobody knows
-- is settled by msgraph.offboard.recover. Any number of processes may be at work on one run: the journal's claims keep
-- them apart. msgraph.offboard.run starts runs, docs/apply.md is for people.
local actions = require "msgraph.offboard.actions"
local commit = require "msgraph.offboard.commit"
local errors = require "msgraph.errors"
local gate = require "msgraph.offboard.gate"
local guards = require "msgraph.offboard.guards"
local loop = require "msgraph.loop"
local observers = require "msgraph.offboard.observers"
local outcome = require "msgraph.offboard.outcome"
local pace = require "msgraph.offboard.pace"
local recover = require "msgraph.offboard.recover"
local runs = require "msgraph.offboard.run"
local secret = require "msgraph.offboard.secret"
local states = require "msgraph.offboard.journal.states"
local store = require "msgraph.store"
local task = require "msgraph.task"
local workers = require "msgraph.offboard.journal.worker"

local M = {}

-- People at a time: as many as the throttle gate lets be under way in a service. For what is published in the long run
-- (20 writes a second) 16 would do; but 3,000 may go at once, and a crowd is to be locked out soon. Measured, with
-- answers that take 0.2 s, on 885 writes for 300 people: 13 s with 16, 4 s with 64. In batches they took 5 s, with a
-- third less CPU; but one that is lost leaves twenty operations unknown, and its parts share a time limit.
local CONCURRENCY <const> = 64
local GUARD_TTL <const> = 300 -- seconds for which a plan is taken to be what is
local LINGER <const> = 2000 -- ms that a person is kept claimed for, rather than given back until then
local LATER <const> = 15 * 60 * 1000 -- who is due later than that is not waited for
local LOOK_AGAIN <const> = 30 * 60 * 1000 -- for what has to be confirmed; a resume looks at once
local TICK <const> = 1 -- seconds after which it is looked for what other processes did, and for who is due

local OPEN = { planned = true, unknown = true }
local A_PERSONS = { needs_human = true, needs_approval = true }
local STOPPED = {} -- what a step returns when nothing more may be sent

---@class msgraph.offboard.Engine
---@field client msgraph.Client
---@field journal msgraph.Journal
---@field run_id string
---@field stopping? "done"|"draining"|"waiting"|"interrupted"|"error" why no more is sent
---@field err? msgraph.Error of "error"
local Engine = {}
Engine.__index = Engine

-- ---- stopping and waking ------------------------------------------------------------------------

local function wake(self)
  local waiter = self.waiter
  self.waiter = nil
  if waiter then loop.wake(waiter) end
end

--- Sends nothing more: what is under way is waited for, and people are given back.
---@param why "interrupted"|"error"
---@param err? msgraph.Error
function Engine:stop(why, err)
  if self.stopping then return end
  self.stopping, self.err = why, err
  wake(self)
end

local function failed(self, err)
  self:stop(err.code == "draining" and "draining" or "error", err)
  return STOPPED
end

-- ---- writing ------------------------------------------------------------------------------------

-- Settles operations of a person, and has what is in memory say so.
local function settle(self, subject, op, out)
  local item = { subj = subject.subj, op = op.op, n = out.n, state = out.state, reason = out.reason,
    next_at = out.next_at, http_status = out.http_status, graph_code = out.graph_code,
    graph_request_id = out.graph_request_id, retry_after_ms = out.retry_after_ms, sent = out.sent, probe = out.probe,
    read_at = out.read_at }
  local ok, err = self.outcomes:put(item)
  if not ok then return failed(self, err) end
  op.state, op.reason, op.next_at = out.state, out.reason, out.next_at or 0
  self.tell("op", subject, op)
end

-- ---- guards -------------------------------------------------------------------------------------

-- A read that failed: nothing can be said, so nothing is done. Later, or not at all where it is refused.
local function unread(self, err)
  if err.kind == "auth" or err.kind == "forbidden" or err.kind == "invalid" then return failed(self, err) end
  return store.now() + (err.retry_after and math.ceil(err.retry_after * 1000) or 5000)
end

local function drift(self, subject, ops, why)
  for _, op in ipairs(ops) do
    if op.state == "planned" and settle(self, subject, op, { state = "drifted", reason = why }) then return STOPPED end
  end
end

local function is_old(self) return os.time() - self.options.created_at > GUARD_TTL end

-- The person as a whole, where the plan is old.
local function check_subject(self, subject)
  if not subject.guard.path or not is_old(self) then return end
  local why, err, again_at = guards.broken(self.client, subject.guard, subject)
  if err then return unread(self, err) end
  if again_at then return again_at end
  if why then return drift(self, subject, subject.ops, why) end
end

-- ---- sending ------------------------------------------------------------------------------------

local function intend(self, subject, op)
  local desired = op.desired
  local attempt, err = self.intents:put { subj = subject.subj, op = op.op, method = desired.method, path = desired.path,
    body_sha = desired.body and store.hash(desired.body), deadline = self.journal.clock() + workers.T_REQ }
  if not attempt then return nil, err end
  op.state, op.attempts, op.over_at, op.intent_at = "intent", attempt.n, attempt.over_at, store.now()
  return attempt
end

-- Sends it once: no retries, no second try with another token. Raises nothing: a request that can not be built failed.
local function exchange(self, op, attempt)
  local left = (attempt.over_at - self.journal.clock()) / 1000
  if left <= 0 then
    return errors.new { kind = "timeout", code = "timeout", message = "its time was over before it was sent",
      phase = "not_sent" }
  end
  local body = secret.body(op.desired)
  local headers = { ["client-request-id"] = attempt.client_request_id, ["Content-Type"] = body and "application/json" }
  local ok, answer, err = pcall(self.client.request, self.client, { method = op.desired.method, path = op.desired.path,
    body = body, headers = headers, retry = false, deadline = left })
  if not ok and type(answer) == "string" then
    return errors.new { kind = "invalid", code = "bad_request", message = answer, phase = "not_sent" }
  elseif not ok then
    error(answer, 0)
  end
  return err
end

local function send(self, subject, op)
  local attempt, err = intend(self, subject, op)
  if not attempt then return failed(self, err) end
  local may
  may, err = self.worker:margin(workers.T_REQ)
  local out
  if may then
    out = outcome.of(op, actions.find(op.action), exchange(self, op, attempt), store.now())
  else
    out = { state = "planned", sent = false, reason = err.message, stop = err }
  end
  out.n = attempt.n
  if settle(self, subject, op, out) then return STOPPED end
  if out.stop then return failed(self, out.stop) end
end

-- ---- what nobody knows --------------------------------------------------------------------------

local KNOWN = { changed = true, unchanged = true, submitted = true, failed = true, planned = true,
  needs_human = true }

local function later(op, read_at)
  local wait = math.max(recover.counts_from(op) - read_at, 0)
  if wait == 0 then wait = outcome.backoff(op.tries) end
  return store.now() + wait
end

local function key_of(subject, op) return subject.subj .. "." .. op.op end

-- Reads what became of it. Returns when to come back, STOPPED, or nothing once it is settled.
local function find_out(self, subject, op)
  if op.late == 1 and KNOWN[op.outcome] then -- its worker was taken for dead, and knew
    return settle(self, subject, op, { state = op.outcome, reason = op.reason })
  end
  local read_at = self.journal.clock()
  local answer, err = recover.probe(self.client, subject, op, self.workflow)
  if not answer then return unread(self, err) end
  local key = key_of(subject, op)
  if read_at >= recover.counts_from(op) then self.tries[key] = (self.tries[key] or 0) + 1 end
  op.tries = self.tries[key] or 0
  local out = recover.decide(op, answer, read_at, op.tries, store.now())
  if not out then return later(op, read_at) end
  return settle(self, subject, op, out)
end

-- ---- one operation ------------------------------------------------------------------------------

local function unmet(subject, op)
  for _, key in ipairs(op.deps) do
    for _, other in ipairs(subject.ops) do
      if other.op_key == key and not states.WELL[other.state] then return other end
    end
  end
end

-- Why an operation is not to be sent: its guard does not hold, or, of what undoes another, somebody has changed that
-- since the plan was made (looked at when that is old, or would make a second one). Nil, err: it could not be read.
local function why_not(self, subject, op)
  if op.guard.path then return guards.broken(self.client, op.guard) end
  if not op.desired.undoes or op.attempts > 0 or op.effect ~= "once" and not is_old(self) then return nil end
  local answer, err = recover.probe(self.client, subject, op, self.workflow)
  if answer == "yes" then return "it is no longer as the run left it" end
  return nil, err
end

local function attempt_op(self, subject, op)
  if self.stopping then return STOPPED end
  if op.next_at > store.now() then return op.next_at end
  local other = unmet(subject, op)
  if other and OPEN[other.state] and other.stage <= op.stage then return math.huge end -- that one says when
  if other then -- what is a person's may still come: what needs it is not lost until then
    local state = A_PERSONS[other.state] and other.state or "skipped"
    return settle(self, subject, op, { state = state, reason = ("needs %s, which is %s"):format(other.op_key,
      other.state) })
  end
  local due = self.pace:wait(key_of(subject, op), op.desired, store.now())
  if due then return due end
  local why, err = why_not(self, subject, op)
  if err then return unread(self, err) end
  if why then
    return settle(self, subject, op, { state = guards.state_of(op, why), reason = why })
  end
  if self.stopping then return STOPPED end
  return send(self, subject, op)
end

-- Brings an operation to an end. Returns when to come back, STOPPED, or nothing.
local function settle_op(self, subject, op)
  while op.state == "planned" or op.state == "unknown" do
    local due = (op.state == "planned" and attempt_op or find_out)(self, subject, op)
    if due == STOPPED then return STOPPED end
    if due then
      local wait = due - store.now()
      if wait > LINGER or self.stopping then return due end
      task.sleep(math.max(wait, 0) / 1000)
    end
  end
end

-- ---- one person ---------------------------------------------------------------------------------

local function of_stage(subject, stage)
  local ops = {}
  for _, op in ipairs(subject.ops) do
    if op.stage == stage then ops[#ops + 1] = op end
  end
  return ops
end

local function has(ops, ...)
  for _, state in ipairs { ... } do
    for _, op in ipairs(ops) do
      if op.state == state then return true end
    end
  end
  return false
end

local function next_stage(subject)
  local stage
  for _, op in ipairs(subject.ops) do
    if op.state == "planned" or op.state == "unknown" then stage = math.min(stage or op.stage, op.stage) end
  end
  return stage
end

local function end_of(subject)
  if has(subject.ops, "failed") then return "failed" end
  if has(subject.ops, "needs_human", "needs_approval") then return "needs_human" end
  return has(subject.ops, "drifted") and "skipped" or "done"
end

local function skip(self, subject, ops, why)
  for _, op in ipairs(ops) do
    if op.state == "planned" and settle(self, subject, op, { state = "skipped", reason = why }) then return STOPPED end
  end
end

-- When a stage begins for a person, Unix ms; 0: at once. Its operations know it where he was there before.
local function begin_of(self, subject, stage, following)
  local wait = following > stage and (self.options.stages[following + 1] or {}).wait or 0
  if wait == 0 then return 0 end
  for _, op in ipairs(of_stage(subject, following)) do
    if op.state == "planned" and op.next_at > 0 then return op.next_at end
  end
  return store.now() + wait * 1000
end

-- What a stage's end means for the stages after it. Returns how to give the person back.
local function after_stage(self, subject, stage, ops)
  local policy = self.options.stages[stage + 1] or {}
  local bad = has(ops, "failed", "drifted")
  if bad and policy.on_error == "stop" then
    self.journal:drain(self.run_id, ("stage %s: something failed"):format(policy.name), "msgraph")
  elseif bad and policy.on_error == "skip-subject" then
    if skip(self, subject, subject.ops, ("something failed in stage %s"):format(policy.name)) then return nil end
  end
  local following = next_stage(subject)
  if not following then return { subj = subject.subj, state = end_of(subject) } end
  local due_at = begin_of(self, subject, stage, following)
  return { subj = subject.subj, state = due_at > 0 and "waiting" or "ready", stage = following, due_at = due_at }
end

-- Looks whether what holds a stage up is done by now. Returns its state; STOPPED; or when to come back.
local function confirm(self, subject, op)
  if op.state == "needs_approval" then return op.state end
  op.intent_at = op.intent_at or self.options.created_at * 1000 -- of a person's work: since it was planned
  local answer, err = recover.probe(self.client, subject, op, self.workflow)
  if err then return unread(self, err) end
  if answer == "yes" and settle(self, subject, op, { state = "verified", probe = answer }) then return STOPPED end
  return op.state
end

-- What a stage waits for. Returns how to give the person back until it is there, STOPPED, or nothing: it may begin.
local function hold(self, subject)
  local open, bad = gate.of(self.options.stages, subject)
  local found = {}
  for _, op in ipairs(bad and {} or open) do
    local state = confirm(self, subject, op)
    if state == STOPPED then return STOPPED end
    if math.type(state) then return { subj = subject.subj, state = "ready", due_at = state } end
    found[state] = true
  end
  if bad then
    return skip(self, subject, of_stage(subject, subject.stage), ("it waits for %s, which is %s"):format(bad.op_key,
      bad.state))
  elseif found.needs_human or found.needs_approval then
    return { subj = subject.subj, state = "needs_human" }
  elseif found.submitted then
    return { subj = subject.subj, state = "waiting", due_at = store.now() + LOOK_AGAIN }
  end
end

-- Works on a person's stage. Returns how to give him back; nil: the worker's leaving does that.
local function work_stage(self, subject)
  local held = hold(self, subject)
  if held then return held ~= STOPPED and held or nil end
  local due = check_subject(self, subject)
  if due == STOPPED then return nil end
  local ops = of_stage(subject, subject.stage)
  for _, op in ipairs(due and {} or ops) do
    local again = settle_op(self, subject, op)
    if again == STOPPED then return nil end
    if again then due = math.min(due or again, again) end
  end
  if due == math.huge then due = 0 end -- what it waited for has been done after it
  if due then return { subj = subject.subj, state = "ready", stage = subject.stage, due_at = due } end
  self.tell("stage", subject, subject.stage)
  return after_stage(self, subject, subject.stage, ops)
end

local function work(self, subject)
  local ok, release = xpcall(work_stage, function(problem)
    return type(problem) == "string" and debug.traceback(problem, 2) or problem
  end, self, subject)
  if not ok then
    self.problem = self.problem or release
    self:stop("error")
  elseif release then
    local released, err = self.releases:put(release)
    if released then self.tell("released", subject, release) else failed(self, err) end
  end
  self.active = self.active - 1
  wake(self)
end

-- ---- the run ------------------------------------------------------------------------------------

local function beat(self)
  if self.worker:beat_in() > 0 then return end
  local ok, err = self.worker:heartbeat()
  if not ok and err.code ~= "journal_busy" then failed(self, err) end
end

local function claim(self)
  local free = CONCURRENCY - self.active
  if self.stopping or free == 0 then return 0 end
  local claimed, err = self.worker:claim(free)
  if not claimed then
    if err.code ~= "journal_busy" then failed(self, err) end
    return 0
  end
  for _, subject in ipairs(claimed) do
    self.active = self.active + 1
    task.spawn(work, self, subject)
  end
  return #claimed
end

-- Whether nobody is due for so long that nothing is waited for. Others who are at work may change that.
local function is_long(self, wave)
  local due = self.journal:next_due(self.run_id, wave)
  return due ~= nil and due - store.now() > LATER
end

-- One turn; true when there is nothing more to do here.
local function turn(self)
  beat(self)
  local claimed = claim(self)
  if self.active == 0 and self.stopping then return true end
  if claimed > 0 or self.active > 0 and not self.ticked then return false end
  self.ticked = false
  local state, err = self.journal:advance(self.run_id)
  if not state then
    if err.code ~= "journal_busy" then failed(self, err) end
  elseif state.state ~= "open" then
    self:stop(state.state == "done" and "done" or "draining")
    return self.active == 0
  elseif self.active == 0 and state.wave == self.wave and is_long(self, state.wave) then
    self:stop("waiting")
    return true
  elseif state.wave ~= self.wave then
    self.wave = state.wave
    self.tell("wave", nil, state.wave)
    return false, true
  end
  return false
end

local function tick(self)
  while not self.ended do
    task.sleep(TICK)
    self.ticked = true
    wake(self)
  end
end

local function turns(self)
  task.spawn(tick, self)
  while true do
    local done, at_once = turn(self)
    if done then break end
    if not at_once then loop.wait_for(function(waiter) self.waiter = waiter end) end
  end
  self.ended = true
end

--- Works on the run until it has ended, halted, or was stopped. To be called in a task.
---@return true?
---@return msgraph.Error? raises what is a mistake of ours
function Engine:run()
  local worker, err = self.journal:join(self.run_id)
  if not worker then return nil, err end
  self.worker = worker
  self.tell("started")
  self.tell("wave", nil, self.wave)
  turns(self)
  worker:leave()
  self.journal:advance(self.run_id)
  self.tell("ended", nil, self.journal:status(self.run_id))
  if self.problem then error(self.problem, 0) end
  if self.stopping == "error" then return nil, self.err end
  return true
end

--- Makes an engine for a run.
---@param o { client: msgraph.Client, journal: msgraph.Journal, run_id: string }
---@return msgraph.offboard.Engine?
---@return msgraph.Error?
function M.new(o)
  local status, err = o.journal:status(o.run_id)
  if not status then return nil, err end
  local options = status.run.options
  local workflow = runs.workflow(options)
  local self = setmetatable({ client = o.client, journal = o.journal, run_id = o.run_id, options = options,
    wave = status.run.current_wave, workflow = workflow, active = 0, tries = {}, pace = pace.new(o.client),
    tell = observers.of(workflow, o.run_id, options.stages) }, Engine)
  self.intents = commit.new(function(items) return self.worker:intend(items) end)
  self.outcomes = commit.new(function(items) return self.worker:settle(items) end)
  self.releases = commit.new(function(items) return self.worker:release(items) end)
  return self
end

return M
