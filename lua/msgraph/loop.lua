-- lua/msgraph/loop.lua
--- The one loop of a Lua state: moves the transport, and resumes whoever waits.
--
-- A task is a table with a method `resume`, and a coroutine `co` once it has begun; task.lua makes
-- them. Inside a task a wait yields; anywhere else it drives the loop, and the other tasks go on
-- meanwhile.
--
-- Whatever finishes goes into the ready queue first and is resumed from there, one at a time, so an
-- error raised between two resumptions loses nobody. An interrupt (Ctrl-C in a script) may hit any
-- instruction: the queue stays whole, and at most the task it hit ends with it.
--
-- Some places inside a task cannot be yielded through: a coroutine of somebody else's (a generator
-- that asks Graph, say), a callback of a C function. There a wait drives the transport only: resuming
-- other tasks from there would nest them in one another, and sixty-odd levels end in Lua's "C stack
-- overflow".
local core = require "msgraph.core"

local isyieldable, running, yield = coroutine.isyieldable, coroutine.running, coroutine.yield

local M = {}

local PATIENCE = 16 -- turns: tasks that only give way to each other keep nobody from going on for ever
local MAX_WAIT = 3600.0 -- seconds, the transport's ceiling for one step
local ROOM = 256 -- requests the transport sends at a time; no task begins only to wait behind them

local transport -- nil while nobody needs one
local owners = setmetatable({}, { __mode = "k" }) -- open clients; a forgotten one vanishes by itself
local waiting = {} -- request id -> the task or slot that waits for it
local asked = 0 -- how many requests are waited for
local ready, first = {}, 1 -- tasks to resume: ready[first], ready[first + 1], ...
local fresh, next_fresh = {}, 1 -- tasks that have not begun: they need no memory yet
local resting, rested = {}, 0 -- tasks that go on once no other can, and for how many turns the first has rested
local timers = {} -- binary heap of { at = seconds, waiter = task or slot }
local current -- the task being resumed, nil outside
local armed -- what the transport was last told to wake for: a time, "ready", "stale" or nil

-- ---- timers -----------------------------------------------------------------------------------

local function push_timer(timer)
  local i = #timers + 1
  while i > 1 and timer.at < timers[i // 2].at do
    timers[i] = timers[i // 2]
    i = i // 2
  end
  timers[i] = timer
end

local function sift_down(timer, size)
  local i, child = 1, 2
  while child <= size do
    if child < size and timers[child + 1].at < timers[child].at then child = child + 1 end
    if timer.at <= timers[child].at then break end
    timers[i] = timers[child]
    i, child = child, child * 2
  end
  timers[i] = timer
end

local function pop_timer()
  local top, size = timers[1], #timers
  local moved = timers[size]
  timers[size] = nil
  if size > 1 then sift_down(moved, size - 1) end
  return top
end

-- The earliest timer that somebody still waits for: one whose task was cancelled holds nothing open.
local function next_timer()
  while timers[1] and not timers[1].waiter do pop_timer() end
  return timers[1]
end

-- Passes over tasks that were cancelled while they stood in a queue.
local function skip_ended()
  while ready[first] and ready[first].done do
    ready[first] = false
    first = first + 1
  end
  while fresh[next_fresh] and fresh[next_fresh].done do
    fresh[next_fresh] = false
    next_fresh = next_fresh + 1
  end
end

-- Whether a task can go on, or begin, right now: one that has something to do, and any at all.
local function is_busy()
  return ready[first] ~= nil or fresh[next_fresh] ~= nil and asked < ROOM
end

local function has_work()
  return resting[1] ~= nil or is_busy()
end

-- Lets a host's poll wake for our timers and for tasks that are ready.
local function arm()
  if not transport then return end
  local work = has_work()
  local timer = next_timer()
  local at = work and "ready" or timer and timer.at
  if at == armed then return end
  armed = at
  transport:wake(work and core.now() or at)
end
M.arm = arm

-- ---- the transport's life -----------------------------------------------------------------------

local function need_transport()
  if transport then return transport end
  local failure
  transport, failure = core.transport()
  return transport, failure
end

-- True in the child of a fork: every call of the parent's transport raises there.
local function forked()
  return transport ~= nil and not pcall(transport.timeout, transport)
end

-- In the child of a fork the parent's clients, requests and tasks are none of ours.
local function begin_anew()
  transport:close()
  transport, armed = nil, nil
  owners = setmetatable({}, getmetatable(owners))
  waiting, timers = {}, {}
  ready, first, fresh, next_fresh, asked = {}, 1, {}, 1, 0
  resting = {}
end

--- A client opens: from now on there is a transport.
---@param owner table the client
---@return boolean? ok
---@return msgraph.core.Failure?
function M.open(owner)
  if forked() then begin_anew() end
  local ok, failure = need_transport()
  if not ok then return nil, failure end
  owners[owner] = true
  arm()
  return true
end

local function idle()
  if next(waiting) then return false end
  skip_ended()
  return not ready[first] and not fresh[next_fresh] and not next_timer() and not resting[1]
end

-- A transport nobody holds open and nobody waits on has descriptors to give back.
local function release()
  if next(owners) or not transport or not idle() then return end
  local old = transport
  transport, armed = nil, nil
  old:close()
end

-- ---- waiters ------------------------------------------------------------------------------------

--- The task this code runs in, nil where it can not yield: outside of tasks, in coroutines that are not
--- ours, in callbacks of C functions (string.gsub, table.sort), in `__close` of a task that ends.
---@return table?
function M.current()
  if current and not current.closing and current.co == running() and isyieldable() then
    return current
  end
end

--- What `current` returns if it returns a task: a quick look for those who want nothing of most tasks.
---@return table?
function M.resumed() return current end

-- True in such a place within a running task. (Not `current ~= nil`: an interrupt may have left it behind.)
local function nested()
  if not current or not current.co then return false end
  local status = coroutine.status(current.co)
  return status == "normal" or status == "running" or current.closing and not current.done
end

--- The task this code runs in, also from where it can not yield.
---@return table?
function M.enclosing()
  return M.current() or nested() and current or nil
end

-- A cancelled task that goes on, up the stack or in a pcall, sends and waits for nothing more.
local function check_cancelled()
  if not current or not current.cancelled or current.closing then return end
  if M.enclosing() then error(current.cancelled, 0) end
end

--- Makes a waiter go on: a task is queued, a slot is done.
---@param waiter table
---@param a any
---@param b any
function M.wake(waiter, a, b)
  waiter.a, waiter.b = a, b
  if not waiter.resume then -- a slot
    waiter.done = true
    return
  end
  waiter.id = nil
  ready[#ready + 1] = waiter
end

--- Queues a task that gives way, or one that has not begun yet.
---@param task table
function M.enqueue(task)
  if task.co then
    M.wake(task)
  else
    fresh[#fresh + 1] = task
  end
  if not M.current() then arm() end
end

local function wait_for_answer(id, waiter)
  waiting[id] = waiter
  asked = asked + 1
end

local function stop_waiting(id)
  local waiter = waiting[id]
  if not waiter then return nil end
  waiting[id] = nil
  asked = asked - 1
  return waiter
end

local function collect(finished)
  for _ = 1, finished do
    local id, response, failure = transport:take()
    if not id then return end
    local waiter = stop_waiting(id)
    if waiter and waiter.id == id then M.wake(waiter, response, failure) end
  end
end

local function fire_timers()
  local now = core.now()
  while timers[1] and timers[1].at <= now do
    local waiter = pop_timer().waiter
    if waiter then M.wake(waiter) end
  end
end

-- A task that an interrupt or the lack of memory kept from beginning, or from noting its end: who joins
-- it shall not wait for ever.
local function mourn()
  if current.done or nested() then return end
  if not current.co or coroutine.status(current.co) == "dead" then current:interrupted() end
end

local function resume(task, outer)
  current = task
  task:resume()
  current = outer
end

-- Begins as many tasks as there is room for.
local function run_fresh(outer)
  local last = #fresh
  while next_fresh <= last and asked < ROOM do
    local task = fresh[next_fresh]
    if not task then break end -- a nested run took the rest
    fresh[next_fresh] = false
    next_fresh = next_fresh + 1
    resume(task, outer)
  end
  if not fresh[next_fresh] then fresh, next_fresh = {}, 1 end
end

-- Wakes those who rest, when nobody else can go on.
local function end_rest()
  rested = rested + 1
  if is_busy() and rested < PATIENCE then return end
  local list = resting
  resting, rested = {}, 0
  for _, task in ipairs(list) do M.wake(task) end
end

-- Resumes what is ready now; what becomes ready meanwhile waits for the next step.
local function run_ready()
  if current then mourn() end
  local outer, last = nested() and current or nil, #ready
  while first <= last do
    local task = ready[first]
    if not task then break end -- a nested run took the rest
    ready[first] = false
    first = first + 1
    resume(task, outer)
  end
  if not ready[first] then
    if first == 2 then ready[1] = nil else ready = {} end -- one call at a time needs no new list for each
    first = 1
  end
  if fresh[next_fresh] then run_fresh(outer) end
end

-- ---- steps --------------------------------------------------------------------------------------

-- One turn: move the transport, wake whom it concerns, and run them unless told not to (then
-- tasks that are ready stay so, and waiting 0 for their sake would only spin).
local function turn(wait, run_tasks)
  local ok, failure = need_transport()
  if not ok then return nil, failure end
  if run_tasks and has_work() then
    wait = 0
  elseif timers[1] and next_timer() then
    wait = math.max(0, math.min(wait, timers[1].at - core.now()))
  end
  local finished
  finished, failure = transport:step(wait)
  if not finished then return nil, failure end
  armed = armed and "stale" -- it may have gone off
  collect(finished)
  if timers[1] then fire_timers() end
  if run_tasks then
    if resting[1] then end_rest() end
    run_ready()
  end
  return true
end

--- Drives the loop until `slot.done`, from outside of tasks.
---
--- `needs_tasks`: the slot waits for other tasks rather than for a request or a time, so they must
--- run even from within a foreign coroutine of a task.
---@param slot table
---@param needs_tasks? boolean
---@return boolean? ok
---@return msgraph.core.Failure? the transport cannot go on
function M.drive(slot, needs_tasks)
  local run_tasks = needs_tasks or not nested()
  while not slot.done do
    if needs_tasks and idle() then
      error("deadlock: every task waits for another task", 0)
    end
    local ok, failure = turn(MAX_WAIT, run_tasks)
    if not ok then return nil, failure end
  end
  arm()
  release()
  return true
end

--- Gives up waiting for a request: it is cancelled, its answer dropped.
---@param id integer
function M.forget(id)
  if stop_waiting(id) and transport then transport:cancel(id) end
end

local Slot = {}
Slot.__index = Slot

-- Left by an error or an interrupt: nobody waits any more.
function Slot:__close()
  if self.done then return end
  if self.id then M.forget(self.id) end
  if self.timer then self.timer.waiter = nil end
end

local function wait_outside(slot, needs_tasks)
  local guard <close> = setmetatable(slot, Slot)
  local ok, failure = M.drive(guard, needs_tasks)
  if not ok then return nil, failure end
  return guard.a, guard.b
end

--- Waits for a request. An owner that closes ends all of its requests.
---@param id integer
---@param owner any
---@return msgraph.core.Response?
---@return msgraph.core.Failure?
function M.await(id, owner)
  local task = M.current()
  if not task then
    local slot = { id = id, owner = owner, a = nil, b = nil, done = false }
    wait_for_answer(id, slot)
    return wait_outside(slot)
  end
  task.id, task.owner = id, owner
  wait_for_answer(id, task)
  return M.park(task)
end

--- Sends a request and waits for it.
---@param origin msgraph.core.Origin
---@param request msgraph.core.Request
---@param owner any
---@return msgraph.core.Response?
---@return msgraph.core.Failure?
function M.exchange(origin, request, owner)
  check_cancelled()
  local ok, failure = need_transport()
  if not ok then return nil, failure end
  local id
  id, failure = transport:submit(origin, request)
  if not id then return nil, failure end
  return M.await(id, owner)
end

--- Takes a step of a sign-in (see docs/types/core.lua) and waits for it.
---@param credential msgraph.core.Credential
---@param step "token"|"device_code"|"device_poll"|"code"
---@param seconds? number how long to wait for a "token"
---@return table? done
---@return msgraph.core.Failure?
function M.sign_in(credential, step, seconds)
  check_cancelled()
  local ok, failure = need_transport()
  if not ok then return nil, failure end
  local id
  id, failure = transport:sign_in(credential, step, seconds)
  if not id then return nil, failure end
  return M.await(id, credential)
end

--- Yields the running task until somebody wakes it; returns what it was woken with.
---@param task table the current task
---@return any, any
function M.park(task)
  task.parked = true
  return yield()
end

--- Waits until `wake` is called on the waiter that `register` is handed: a task or, outside, a slot.
---@param register fun(waiter: table)
---@return any, any
function M.wait_for(register)
  check_cancelled()
  local task = M.current()
  if task then
    register(task)
    return M.park(task)
  end
  local slot = {}
  register(slot)
  return wait_outside(slot, true)
end

--- Lets every other task go on first that can, those included whose answers have come. In a task only.
function M.rest()
  check_cancelled()
  local task = M.current()
  resting[#resting + 1] = task
  M.park(task)
end

--- Waits for a time.
---@param seconds number
function M.sleep(seconds)
  check_cancelled()
  local timer = { at = core.now() + seconds }
  local task = M.current()
  if not task then
    local slot = { timer = timer }
    timer.waiter = slot
    push_timer(timer)
    wait_outside(slot)
    return
  end
  timer.waiter, task.timer = task, timer
  push_timer(timer)
  M.park(task)
  task.timer = nil
end

--- A client closes: its requests end as cancelled, the last one takes the transport along.
---@param owner any
function M.close(owner)
  owners[owner] = nil
  if not transport or forked() then return end
  for id, waiter in pairs(waiting) do
    if waiter.owner == owner then transport:cancel(id) end
  end
  collect(math.huge)
  arm()
  release()
end

-- ---- for hosts ----------------------------------------------------------------------------------

--- One turn from a host's loop.
---@param seconds? number how long it may wait, default 0
---@return boolean? ok
---@return msgraph.core.Failure?
function M.step(seconds)
  if not transport and idle() then return true end
  local ok, failure = turn(math.min(seconds or 0, MAX_WAIT), not nested())
  if not ok then return nil, failure end
  arm()
  release()
  return true
end

--- The descriptor to poll for reading; nil while there is nothing to poll.
---@return integer?
function M.pollfd()
  arm()
  return transport and transport:pollfd()
end

--- Seconds until `step` should be called even if the descriptor stays quiet; nil: no need.
---@return number?
function M.timeout()
  if has_work() then return 0 end
  local wait = transport and transport:timeout()
  if not next_timer() then return wait end
  local left = math.max(0, timers[1].at - core.now())
  return wait and math.min(wait, left) or left
end

return M
