-- lua/msgraph/batch/landing.lua
--- What becomes of requests that travelled in a batch: each part is judged by its own answer, by the core's rules.
--
-- A part ends, or goes again by itself (msgraph.core.Parts). One of which nothing is known any more and that may not be
-- repeated ends as ambiguous. All here is told the engine (msgraph.batch.engine) whose item or batch it is.
local core = require "msgraph.core"
local loop = require "msgraph.loop"
local part = require "msgraph.batch.part"
local repeatable = require "msgraph.repeatable"

local M = {}

--- An item's way through the throttle gate ends: by "answer", with what is known of it, or by "withdraw".
function M.end_pass(self, item, how, ...)
  local parts, pass = self.parts, item.pass
  if not pass then return end
  item.pass = nil
  parts[how](parts, pass, ...)
end

-- ---- an item ends -------------------------------------------------------------------------------

--- A failure of our own finding, as the core would write it.
function M.failure_of(kind, code, message, phase, outer)
  return { kind = kind, code = code, message = message, phase = phase,
    request_id = outer and outer.request_id, client_request_id = outer and outer.client_request_id }
end

local function dependency_failed()
  return M.failure_of("invalid", "failed_dependency", "not acted on: a request that it depends on failed", "not_sent")
end

--- Of an item whose task was cancelled before it left.
function M.taken_back()
  return M.failure_of("cancelled", "cancelled", "the task was cancelled", "not_sent")
end

--- Of an item for whom the throttle gate opens after its deadline.
---@param at number when it does
function M.too_late(at)
  local failure = M.failure_of("throttled", "throttled",
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

--- Ends an item, by an answer or a failure, and those who need it and can not go any more.
function M.settle(self, item, raw, failure)
  if item.attempts or not raw or raw.status >= 300 then raw, failure = add_history(item, raw, failure) end
  item.raw, item.failure = raw, failure
  local lost = self.plan:finish(item, raw ~= nil and raw.status < 300)
  if item.waiter then loop.wake(item.waiter, raw, failure) end
  if not lost then return end
  for _, rider in ipairs(lost) do
    if rider.state == "waiting" then M.settle(self, rider, nil, dependency_failed()) end
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
  M.settle(self, item, raw, failure)
end

-- 424: the part it rode on failed. If it was bound to that part, so has it; else it goes without.
local function judge_rider(self, item)
  for _, needed in ipairs(item.needs or {}) do
    if needed.state == "failed" then return M.settle(self, item, nil, dependency_failed()) end
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
  return M.failure_of(item.repeatable and "protocol" or "ambiguous", "no_answer",
    "the answer to the batch does not speak of this request", "sent", outer)
end

-- Parents stand before those that depend on them.
local function read_parts(self, batch, outer)
  for i = 1, #batch do
    local item = batch[i]
    local answer = item.answer
    local raw = answer and part.read(answer, outer) or nil
    local status = raw and raw.status
    M.end_pass(self, item, "answer", status, status and status >= 300 and raw.retry_after or nil,
      raw and answer.headers, item.met)
    if not raw then
      judge(self, item, nil, no_answer(item, outer))
    elseif status < 300 then
      M.settle(self, item, raw)
    elseif status == 424 and item.parent then
      judge_rider(self, item)
    elseif wants_token(raw) and not item.gone then
      judge_alone(self, item, raw)
    else
      judge(self, item, raw)
    end
  end
  self:raise_limit()
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

--- Of a batch that the core may not repeat as a whole, some parts may go again.
function M.fail(self, batch, outer, failure)
  local finish = is_exhausted(batch, outer, failure) and M.settle or judge
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
      M.settle(self, item, nil, own)
    end
  end
end

--- A batch is back: each part is settled, or waits to go again.
function M.land(self, batch, outer, failure)
  if outer and (part.match(outer, batch) or outer.status < 300) then return read_parts(self, batch, outer) end
  for _, item in ipairs(batch) do M.end_pass(self, item, "answer") end
  if outer and is_refusal(outer.status) then return halve(self, batch) end
  if failure and failure.code == "body_too_large" then return divide(self, batch, failure) end
  M.fail(self, batch, outer, failure)
end

return M
