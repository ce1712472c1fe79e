-- lua/msgraph/batch/engine.lua
--- Sends what a plan packs, up to four batches in flight. What becomes of them: msgraph.batch.landing.
--
-- The batch as a request (connection, token, throttling, a fault) is the core's business, as any request is. A part
-- passes the throttle gate by itself (msgraph.core.Parts). An engine lives in a scope of tasks and ends with it.
local core = require "msgraph.core"
local landing = require "msgraph.batch.landing"
local loop = require "msgraph.loop"
local part = require "msgraph.batch.part"
local plans = require "msgraph.batch.plan"
local task = require "msgraph.task"

local M = {}

local DEADLINE <const> = 120 -- seconds, as the core has it for one request
local MOST_FLYING <const> = 4

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

--- After a good answer, one batch more may be under way.
---@package
function Engine:raise_limit() self.limit = math.min(MOST_FLYING, self.limit + 1) end

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
  local request = part.alone(item, left)
  landing.end_pass(self, item, "withdraw")
  local raw, failure = self.client:deliver(request)
  if raw then self:raise_limit() end
  landing.settle(self, item, raw, failure)
end

-- Tasks that were cancelled before their batch set off: whoever rode on such a part rides on the one before.
local function drop_cancelled(self, batch)
  for i = #batch, 1, -1 do
    local item, parent = batch[i], batch[i].parent
    if item.gone then
      table.remove(batch, i)
      landing.end_pass(self, item, "withdraw")
      landing.settle(self, item, nil, landing.taken_back())
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
    for _, item in ipairs(batch) do landing.end_pass(self, item, "withdraw") end
    return landing.fail(self, batch, nil, landing.failure_of("timeout", "timeout", "the deadline passed", "not_sent"))
  end
  for _, item in ipairs(batch) do
    if item.waiter then item.waiter.id = item end -- from here on a cancelled task may have been acted for
  end
  if #batch == 1 then return send_alone(self, batch[1], left) end
  landing.land(self, batch, send(self, batch, left))
end

local Flight = {}

-- Left early, by a cancel or an error: nobody may wait for ever.
function Flight:__close()
  local engine = self.engine
  engine.flying = engine.flying - 1
  for _, item in ipairs(self.batch) do
    if item.state == "flying" then
      landing.end_pass(engine, item, "answer")
      landing.settle(engine, item, nil, landing.failure_of(item.repeatable and "cancelled" or "ambiguous", "cancelled",
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
function Engine:withdraw(item) landing.end_pass(self, item, "withdraw") end

-- Ends those for whom there is no time to wait for the gate.
local function end_late(self, late)
  self.late = {}
  for _, item in ipairs(late) do
    if item.state == "waiting" then landing.settle(self, item, nil, landing.too_late(self.shut[item.load])) end
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
    landing.settle(engine, self, nil, landing.taken_back())
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
