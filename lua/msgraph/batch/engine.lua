-- lua/msgraph/batch/engine.lua
--- Sends what a plan packs: up to four batches in flight, each part judged by its own answer.
--
-- What becomes of the batch as a request (connection, token, throttling, a fault) is the core's business,
-- as for any request. A part passes the throttle gate by itself, and goes again by itself, by the core's rules
-- (msgraph.core.Parts). One of which nothing is known any more and that may not be repeated ends as ambiguous. An
-- engine lives in a scope of tasks and ends with it.
local core = require "msgraph.core"
local loop = require "msgraph.loop"
local part = require "msgraph.batch.part"
local plans = require "msgraph.batch.plan"
local repeatable = require "msgraph.repeatable"
local task = require "msgraph.task"

local M = {}

local DEADLINE = 120 -- seconds, as the core has it for one request
local MOST_FLYING = 4

---@class msgraph.batch.Engine
---@field client msgraph.Client
---@field package scope table where its tasks run
---@field package plan msgraph.batch.Plan
---@field package flying integer batches on their way
---@field package limit integer how many may be: 1 at first, one more with each good answer
---@field package parts msgraph.core.Parts
---@field package shut table<integer, number> load to when to ask again, as far as this take has asked
---@field package late msgraph.batch.Item[] those for which this take has found the gate shut until after their deadline
local Engine = {}
Engine.__index = Engine

---@param client msgraph.Client
---@param scope table
---@return msgraph.batch.Engine
function M.new(client, scope)
  local self = setmetatable({ client = client, scope = scope, flying = 0, limit = 1, shut = {}, late = {},
    parts = not client.closed and client.origin:parts() or nil }, Engine)
  self.plan = plans.new(self)
  return self
end

-- An item's way through the throttle gate ends: by "answer", with what is known of it, or by "withdraw".
local function end_pass(self, item, how, ...)
  local parts, pass = self.parts, item.pass
  if not pass then return end
  item.pass = nil
  parts[how](parts, pass, ...)
end

-- ---- an item ends -------------------------------------------------------------------------------

-- A failure of our own finding, as the core would write it.
local function failure_of(kind, code, message, phase, outer)
  return { kind = kind, code = code, message = message, phase = phase,
    request_id = outer and outer.request_id, client_request_id = outer and outer.client_request_id }
end

local function dependency_failed()
  return failure_of("invalid", "failed_dependency", "not acted on: a request that it depends on failed", "not_sent")
end

local function taken_back()
  return failure_of("cancelled", "cancelled", "the task was cancelled", "not_sent")
end

local function too_late(at)
  local failure = failure_of("throttled", "throttled",
    "the service wants to be left alone for longer than there is time", "not_sent")
  failure.retry_in = at - core.now()
  return failure
end

local function copy(fields)
  local out = {}
  for name, value in pairs(fields or {}) do out[name] = value end
  return out
end

-- Adds an attempt to an item's history, or those that the core made for one that went alone.
local function record(item, raw, failure)
  local own = (raw or failure).attempts
    or { { status = raw and raw.status, phase = raw and "answered" or failure.phase, code = failure and failure.code } }
  if item.pause then own[1].waited = item.pause + (own[1].waited or 0) end
  item.attempts, item.waited = item.attempts or {}, item.waited or 0
  for _, one in ipairs(own) do
    table.insert(item.attempts, one)
    item.waited = item.waited + (one.waited or 0)
  end
end

-- What an item ends with says all that was tried, and whether it may have been acted on (core.Response).
local function add_history(item, raw, failure)
  if raw and (item.acted_before or raw.acted_before) and repeatable.done_before(item.request, raw) then
    raw.status, raw.body = 204, ""
  end
  if not item.attempts then return raw, failure end
  record(item, raw, failure)
  failure = not raw and copy(failure) or nil
  local last = raw or failure
  last.attempts, last.waited = item.attempts, item.waited
  return raw, failure
end

local function settle(self, item, raw, failure)
  if item.attempts or not raw or raw.status >= 300 then raw, failure = add_history(item, raw, failure) end
  item.raw, item.failure = raw, failure
  local lost = self.plan:finish(item, raw ~= nil and raw.status < 300)
  if item.waiter then loop.wake(item.waiter, raw, failure) end
  if not lost then return end
  for _, rider in ipairs(lost) do
    if rider.state == "waiting" then settle(self, rider, nil, dependency_failed()) end
  end
end

-- It goes again if that makes sense in time, or ends as what it met.
local function judge(self, item, raw, failure)
  local now, may = core.now() + 0.001, not item.gone and item.request.retry ~= false -- no wait shall be too short
  local verdict = self.parts:judge(item.met, raw and raw.status, raw and raw.retry_after, item.repeatable,
    may and item.deadline - now or 0, math.random())
  local wait = verdict.wait
  if wait then
    record(item, raw, failure)
    item.met, item.pause, item.acted_before = verdict.met, wait, item.acted_before or verdict.may_have_acted
    return self.plan:again(item, now + wait)
  end
  local own = raw or failure
  own.retry_in, own.retry_budget = verdict.retry_in, verdict.retry_budget
  if raw then raw.ambiguous = verdict.ambiguous end
  settle(self, item, raw, failure)
end

-- 424: the part it rode on failed. If it was bound to that part, so has it; else it goes without.
local function judge_rider(self, item)
  for _, needed in ipairs(item.needs or {}) do
    if needed.state == "failed" then return settle(self, item, nil, dependency_failed()) end
  end
  self.plan:again(item)
end

-- The part's token was refused (RFC 9110 15.5.2), or lacks a claim: nothing was done. It goes alone, as
-- the direct call whose token the client replaces.
local function wants_token(raw)
  return raw.status == 401 and core.header(raw.headers, "WWW-Authenticate") ~= nil
    or raw.status == 403 and core.claims(raw.headers) ~= nil
end

local function judge_alone(self, item, raw)
  record(item, raw)
  item.most, item.pause = 1, nil
  self.plan:again(item)
end

-- ---- a batch comes back -------------------------------------------------------------------------

local function no_answer(item, outer)
  return failure_of(item.repeatable and "protocol" or "ambiguous", "no_answer",
    "the answer to the batch does not speak of this request", "sent", outer)
end

local function raise_limit(self)
  self.limit = math.min(MOST_FLYING, self.limit + 1)
end

-- Parents stand before those that depend on them.
local function read_parts(self, batch, outer)
  for i = 1, #batch do
    local item = batch[i]
    local answer = item.answer
    local raw = answer and part.read(answer, outer) or nil
    local status = raw and raw.status
    end_pass(self, item, "answer", status, status and status >= 300 and raw.retry_after or nil,
      raw and answer.headers, item.met)
    if not raw then
      judge(self, item, nil, no_answer(item, outer))
    elseif status < 300 then
      settle(self, item, raw)
    elseif status == 424 and item.parent then
      judge_rider(self, item)
    elseif wants_token(raw) and not item.gone then
      judge_alone(self, item, raw)
    else
      judge(self, item, raw)
    end
  end
  raise_limit(self)
end

-- Refused for what it is as a whole: too large, or one part that spoils it. Alone, each has its own answer.
local function is_refusal(status)
  return status >= 400 and status < 500 and status ~= 401 and status ~= 407 and status ~= 408 and status ~= 429
end

local function go_with_half(self, item, batch)
  item.most = (#batch + 1) // 2
  self.plan:again(item)
end

local function halve(self, batch)
  for _, item in ipairs(batch) do go_with_half(self, item, batch) end
end

-- What befell the batch befell each part, but nothing is ambiguous about what may be repeated.
local function share(item, outer, failure)
  local own = copy(outer or failure)
  own.attempts = part.attempts(own, own.status)
  if outer then
    own.ambiguous = not item.repeatable and own.ambiguous or nil
    return own
  end
  if own.kind == "ambiguous" and item.repeatable then
    own.kind = own.code:find "^timeout" and "timeout" or "network"
  end
  return nil, own
end

-- Whether the core has sent the batch as often as is good, for all its parts: not if some kept it from going again.
local function is_exhausted(batch, outer, failure)
  if failure and failure.phase == "not_sent" then return true end
  return batch.all_retry and (batch.all_repeatable or outer and not outer.ambiguous)
end

-- Of a batch that the core may not repeat as a whole, some parts may go again.
local function fail(self, batch, outer, failure)
  local finish = is_exhausted(batch, outer, failure) and settle or judge
  for _, item in ipairs(batch) do finish(self, item, share(item, outer, failure)) end
end

-- Each answer may be as large as one is allowed to be. What may not be repeated was acted on, nobody knows how.
local function divide(self, batch, failure)
  for _, item in ipairs(batch) do
    if item.repeatable then
      go_with_half(self, item, batch)
    else
      local own = copy(failure)
      own.kind = "ambiguous"
      settle(self, item, nil, own)
    end
  end
end

local function land(self, batch, outer, failure)
  if outer and (part.match(outer, batch) or outer.status < 300) then return read_parts(self, batch, outer) end
  for _, item in ipairs(batch) do end_pass(self, item, "answer") end
  if outer and is_refusal(outer.status) then return halve(self, batch) end
  if failure and failure.code == "body_too_large" then return divide(self, batch, failure) end
  fail(self, batch, outer, failure)
end

-- ---- a batch leaves -----------------------------------------------------------------------------

local function latest_deadline(batch)
  local latest = batch[1].deadline
  for i = 2, #batch do latest = math.max(latest, batch[i].deadline) end
  return latest
end

-- Whether each part may be repeated, and whether each may be retried: then the core may with the batch.
local function inspect(batch)
  local all_repeatable, all_retry = true, true
  for i = 1, #batch do
    local item = batch[i]
    all_repeatable = all_repeatable and item.repeatable
    all_retry = all_retry and item.request.retry ~= false
  end
  batch.all_repeatable, batch.all_retry = all_repeatable, all_retry
end

local JSON = { ["Content-Type"] = "application/json" }

local function send(self, batch, left)
  inspect(batch)
  return self.client:deliver {
    method = "POST", target = "/" .. batch[1].version .. "/$batch", body = part.write(batch), headers = JSON,
    idempotent = batch.all_repeatable, retry = batch.all_retry, deadline = left,
  }
end

-- Nothing to gain from a batch of one: it goes as the call it is, and passes the gate as that.
local function send_alone(self, item, left)
  local request = copy(item.request) -- it is its maker's, who may send it again
  request.deadline = left
  end_pass(self, item, "withdraw")
  local raw, failure = self.client:deliver(request)
  if raw then raise_limit(self) end
  settle(self, item, raw, failure)
end

-- Tasks that were cancelled before their batch set off: whoever rode on such a part rides on the one before.
local function drop_cancelled(self, batch)
  for i = #batch, 1, -1 do
    local item, parent = batch[i], batch[i].parent
    if item.gone then
      table.remove(batch, i)
      end_pass(self, item, "withdraw")
      settle(self, item, nil, taken_back())
      for _, rider in ipairs(batch) do
        if rider.parent == item then rider.parent = parent end
      end
    end
  end
end

local function set_off(self, batch)
  drop_cancelled(self, batch)
  if #batch == 0 then return end
  local left = latest_deadline(batch) - core.now()
  if left <= 0 then
    for _, item in ipairs(batch) do end_pass(self, item, "withdraw") end
    return fail(self, batch, nil, failure_of("timeout", "timeout", "the deadline passed", "not_sent"))
  end
  for _, item in ipairs(batch) do
    if item.waiter then item.waiter.id = item end -- from here on a cancelled task may have been acted for
  end
  if #batch == 1 then return send_alone(self, batch[1], left) end
  land(self, batch, send(self, batch, left))
end

local Flight = {}

-- Left early, by a cancel or an error: nobody may wait for ever.
function Flight:__close()
  local engine = self.engine
  engine.flying = engine.flying - 1
  for _, item in ipairs(self.batch) do
    if item.state == "flying" then
      end_pass(engine, item, "answer")
      settle(engine, item, nil, failure_of(item.repeatable and "cancelled" or "ambiguous", "cancelled",
        "the batch was cancelled on its way", "sent"))
    end
  end
  engine:stir()
end

local function fly(self, batch)
  local flight <close> = setmetatable({ engine = self, batch = batch }, Flight)
  batch.task = loop.current() -- from here on it can be cancelled
  batch.task.flies = true -- what it asks for itself, for its token say, waits for no batch
  set_off(flight.engine, batch)
end

-- ---- the engine turns ---------------------------------------------------------------------------

local function sleep_until(self, due)
  loop.sleep(math.max(0, due - core.now()))
  self.alarm = nil
  return self:pump()
end

local function set_alarm(self, due)
  local alarm = self.alarm
  if alarm and alarm.due == due then return end
  if alarm then
    self.alarm = nil
    alarm.task:cancel()
  end
  if due then self.alarm = { due = due, task = task.start(self.scope, sleep_until, self, due) } end
end

--- Whether the throttle gate lets an item go. One is asked for all of its load: the next can not go before.
---@package
---@param item msgraph.batch.Item
---@return number? at nil: now, and it has been counted; else when to ask again
function Engine:admit(item)
  local load = item.load
  local at = self.shut[load]
  if not at then
    item.pass, at = self.parts:admit(load)
    if not at then return nil end
    self.shut[load] = at
  end
  if at > item.deadline then self.late[#self.late + 1] = item end
  return at
end

---@package
function Engine:withdraw(item) end_pass(self, item, "withdraw") end

-- Ends those for whom there is no time to wait for the gate.
local function end_late(self, late)
  self.late = {}
  for _, item in ipairs(late) do
    if item.state == "waiting" then settle(self, item, nil, too_late(self.shut[item.load])) end
  end
end

-- The next batch, or when to look for one again.
local function take(self)
  while true do
    if next(self.shut) then self.shut = {} end
    local batch, due = self.plan:take(core.now())
    if not self.late[1] then return batch, due end
    end_late(self, self.late)
    if batch then return batch end
  end
end

--- Sends the next batch, if one may go now, and waits for it. Who sends it has taken it: a task that is cancelled
--- before it begins leaves nobody behind who was admitted.
function Engine:pump()
  if self.flying == self.limit then return end
  local batch, due = take(self)
  if not batch then return set_alarm(self, due) end
  self.flying = self.flying + 1
  for i = 1, #batch do batch[i].batch = batch end
  if self.plan.waiting == 0 then
    set_alarm(self, nil)
  elseif self.flying < self.limit then
    task.start(self.scope, self.pump, self)
  end
  return fly(self, batch)
end

local function pump_at_rest(self)
  loop.rest()
  self.stirring = false
  return self:pump()
end

--- Has it pump once every task that can go on has done so: they may have calls to make as well.
function Engine:stir()
  if self.plan.waiting == 0 then return set_alarm(self, nil) end
  if self.stirring then return end
  self.stirring = true
  task.start(self.scope, pump_at_rest, self)
end

local function nobody_waits(batch)
  for _, item in ipairs(batch) do
    if not item.gone then return false end
  end
  return batch.task ~= nil
end

local Item = {}

-- Left by a task that was cancelled: what was not sent is not sent any more, and a batch that nobody waits
-- for ends.
function Item:__close()
  if self.raw or self.failure then return end
  local engine = self.engine
  self.waiter, self.gone = nil, true
  if self.state == "waiting" then
    settle(engine, self, nil, taken_back())
    engine:stir()
  elseif nobody_waits(self.batch) then
    self.batch.task:cancel()
  end
end

local function make(self, request, seconds)
  local deadline = core.now() + (request.deadline or seconds or DEADLINE)
  return setmetatable(part.item(request, self.client.endpoint, self, deadline), Item)
end

--- Takes a request in.
---@param request msgraph.core.Request
---@param needs? msgraph.batch.Item[]
---@param seconds? number its deadline, where the request does not say
---@return msgraph.batch.Item item its `raw` or `failure` is set when it has ended
function Engine:add(request, needs, seconds)
  if self.client.closed then return { request = request, failure = select(2, self.client:deliver(request)) } end
  local item = make(self, request, seconds)
  item.needs = needs
  self.plan:add(item)
  return item
end

--- Sends a request with whatever else is sent at this moment, and waits for its answer. One that must travel
--- alone does so at once.
---@param request msgraph.core.Request
---@param running msgraph.Task the task this is
---@return msgraph.core.Response?
---@return msgraph.core.Failure?
function Engine:exchange(request, running)
  if running.cancelled then error(running.cancelled, 0) end -- it goes on, and sends nothing more
  if self.client.closed then return self.client:deliver(request) end
  local own = make(self, request)
  if not own.version then return self.client:deliver(request) end
  self.plan:add(own)
  local item <close> = own
  item.waiter = running
  self:stir()
  return loop.park(running)
end

return M
