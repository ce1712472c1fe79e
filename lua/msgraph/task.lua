-- lua/msgraph/task.lua
--- Tasks: coroutines over the loop, and a bounded map.
--
-- A task belongs to the `run` or `map` it was started in, which ends when all of its tasks have
-- ended; none outlives it. A task that fails and that nobody joins makes it raise at the end.
local errors = require "msgraph.errors"
local loop = require "msgraph.loop"

local resume = coroutine.resume

local M = {}

---@class msgraph.Task
---@field package co thread
local Task = { __name = "msgraph.Task" }
Task.__index = Task

-- A task outside of any `run` has nobody to raise to: what it failed with is warned of at last.
local Lost = { __name = Task.__name, __index = Task }
function Lost:__gc()
  if not self.joined then warn("msgraph: a task failed and nobody joined it: ", tostring(self.problem)) end
end

local Scope = {}
Scope.__index = Scope

-- Left early, by an error of the loop or an interrupt: no task may go on unseen.
function Scope:__close()
  while true do
    local task = next(self.tasks)
    if not task then return end
    self.tasks[task] = nil
    task:cancel()
  end
end

local function leave(scope, task)
  if not scope then
    if task.problem and not task.cancelled then setmetatable(task, Lost) end
    return
  end
  scope.tasks[task] = nil
  scope.live = scope.live - 1
  if task.problem and not task.cancelled then scope.failed[#scope.failed + 1] = task end
  if scope.live == 0 and scope.waiter then loop.wake(scope.waiter) end
end

local function finish(task, problem, results)
  task.done, task.problem, task.results = true, problem, results
  leave(task.scope, task)
  for _, waiter in ipairs(task.joiners or {}) do loop.wake(waiter) end
  task.joiners = nil
  if not loop.enclosing() then loop.arm() end -- a host that only polls shall hear of it
end

-- A text gets the traceback of where it was raised; an object stays what it is.
local function fail(task, problem)
  if problem == nil then problem = "error(nil)" end
  if type(problem) == "string" then problem = debug.traceback(task.co, problem) end
  task.closing = true
  coroutine.close(task.co) -- an error leaves variables to be closed behind
  finish(task, problem)
end

local function settle(task, ok, ...)
  if task.parked then return end
  if not ok then return fail(task, (...)) end
  if coroutine.status(task.co) == "dead" then return finish(task, nil, table.pack(...)) end
  loop.enqueue(task) -- a plain coroutine.yield() gives way
end

--- Goes on with the task: called by the loop only.
---@package
function Task:resume()
  if self.done then return end
  self.parked = nil
  local args = self.args
  if args then
    self.co, self.args, self.fn = coroutine.create(self.fn), nil, nil
    return settle(self, resume(self.co, table.unpack(args, 1, args.n)))
  end
  local a, b = self.a, self.b
  self.a, self.b = nil, nil
  return settle(self, resume(self.co, a, b))
end

--- Ends a task whose end an interrupt kept from being noted: called by the loop only.
---@package
function Task:interrupted()
  finish(self, "the task was interrupted")
end

-- A coroutine takes functions only.
local function as_function(callable)
  if type(callable) == "function" then return callable end
  return function(...) return callable(...) end
end

--- Starts a task in a scope: for modules that have work of their own in somebody's scope.
---@package
local function start(scope, fn, ...)
  local task = setmetatable({ fn = as_function(fn), args = table.pack(...), scope = scope }, Task)
  if scope then
    scope.tasks[task] = true
    scope.live = scope.live + 1
  end
  loop.enqueue(task)
  return task
end
M.start = start

local function is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function" or type(meta) == "table" and meta.__call ~= nil
end

local function check_callable(value, position, name)
  if is_callable(value) then return end
  error(("bad argument #%d to '%s' (function expected, got %s)"):format(position, name, type(value)), 3)
end

--- Starts a task. It runs when the loop next turns.
---@param fn fun(...): ...
---@param ... any its arguments
---@return msgraph.Task
function M.spawn(fn, ...)
  check_callable(fn, 1, "spawn")
  local parent = loop.enclosing()
  return start(parent and parent.scope, fn, ...)
end

-- Waits as a task or as the outside; a transport that cannot go on is no result of the caller's.
local function wait_for(register)
  local _, failure = loop.wait_for(register)
  if failure then error(errors.from_failure(failure), 0) end
end

--- Waits for the task to end.
---@return any ... what its function returned; raises what it raised, a text with its traceback
function Task:join()
  if self == loop.enclosing() then error("a task cannot join itself", 2) end
  self.joined = true
  if not self.done then
    wait_for(function(waiter)
      self.joiners = self.joiners or {}
      table.insert(self.joiners, waiter)
    end)
  end
  if self.problem then error(self.problem, 0) end
  return table.unpack(self.results, 1, self.results.n)
end

local function cancelled_error(task)
  local hint = task.id and "a request was under way and may have been acted on: read the state before repeating it"
  return errors.new { kind = "cancelled", code = "cancelled", message = "the task was cancelled", hint = hint }
end

--- Ends the task where it waits: its variables are closed, its request is cancelled. Who joins it
--- gets an error of kind "cancelled"; nobody else sees one.
---@return boolean cancelled false: it has ended already
function Task:cancel()
  if self.done then return false end
  self.cancelled = cancelled_error(self)
  if not self.co then
    finish(self, self.cancelled)
    return true
  end
  if coroutine.status(self.co) ~= "suspended" then
    if self == loop.current() then error(self.cancelled, 0) end
    return true -- it is up the stack: it ends at its next wait
  end
  if self.id then loop.forget(self.id) end
  if self.timer then self.timer.waiter = nil end
  self.closing = true
  coroutine.close(self.co)
  finish(self, self.cancelled)
  return true
end

--- Tells whether the task has ended.
---@return boolean
function Task:ended()
  return self.done == true
end

-- Starts tasks in a scope of their own and waits for the last of them.
local function in_scope(begin)
  local scope <close> = setmetatable({ live = 0, tasks = {}, failed = {} }, Scope)
  begin(scope)
  if scope.live > 0 then wait_for(function(waiter) scope.waiter = waiter end) end
  return scope
end

local function raise_lost(scope)
  for _, task in ipairs(scope.failed) do
    if not task.joined then error(task.problem, 0) end
  end
end

--- Runs a function as a task and waits for it and every task started in it.
---
--- Inside a task it waits as a task does, outside it drives the loop.
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ... what fn returned; raises what fn raised, or what a task raised that nobody joined
function M.run(fn, ...)
  check_callable(fn, 1, "run")
  local args, main = table.pack(...), nil
  local scope = in_scope(function(scope) main = start(scope, fn, table.unpack(args, 1, args.n)) end)
  if main.problem then error(main.problem, 0) end
  raise_lost(scope)
  return table.unpack(main.results, 1, main.results.n)
end

--- Waits; the other tasks go on.
---@param seconds number
function M.sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < math.huge) then
    error(("bad argument #1 to 'sleep' (seconds expected, got %s)"):format(tostring(seconds)), 2)
  end
  loop.sleep(seconds)
end

-- ---- map --------------------------------------------------------------------------------------

-- Lets one worker at a time call the caller's iterator: it may itself wait for a request.
local function one_at_a_time(iterator)
  local busy, line = false, {}
  return function()
    while busy do loop.wait_for(function(waiter) table.insert(line, waiter) end) end
    busy = true
    local ok, item = pcall(iterator)
    busy = false
    local next_in_line = table.remove(line, 1)
    if next_in_line then loop.wake(next_in_line) end
    if not ok then error(item, 0) end
    return item
  end
end

local function source_of(items)
  if is_callable(items) then return one_at_a_time(items), math.huge end
  local i = 0
  return function()
    i = i + 1
    return items[i]
  end, #items
end

local ABREAST, BATCHED = 16, 80 -- calls at a time; with batches four of twenty

local function check_map(opts)
  if opts ~= nil and type(opts) ~= "table" then
    error(("bad argument #2 to 'map' (options table expected, got %s)"):format(type(opts)), 3)
  end
  for name in pairs(opts or {}) do
    if name ~= "concurrency" and name ~= "batch" then
      error(("map: unknown option '%s' (it takes concurrency and batch)"):format(tostring(name)), 3)
    end
  end
  local batch = opts and opts.batch
  if batch ~= nil and type(batch) ~= "boolean" then
    error(("map: batch must be a boolean, got %s"):format(type(batch)), 3)
  end
  local concurrency = opts and opts.concurrency or batch and BATCHED or ABREAST
  if math.type(concurrency) ~= "integer" or concurrency < 1 then
    error(("map: concurrency must be a whole number from 1, got %s"):format(tostring(concurrency)), 3)
  end
  return concurrency, batch
end

--- Calls fn(item, index) for every item, `concurrency` at a time.
---
--- Works with as many coroutines as may run at once, not with one per item. When fn raises, no new
--- item is begun, those under way are waited for, and the error is raised again.
--- With `batch`, calls that are made at the same moment, in fn or in tasks it starts, travel together
--- as one `$batch` of at most twenty; results and errors are those of single calls.
---@param items table|fun(): any a list, or a function (client:items, say) that returns the next item and nil at the end
---@param opts? { concurrency?: integer, batch?: boolean } concurrency: default 16, with batch 80
---@param fn fun(item: any, index: integer): any, any  value, or nil and an error
---@return table results by index, with `n` = how many items there were
---@return table errors by index; empty when all went well
function M.map(items, opts, fn)
  if type(items) ~= "table" then check_callable(items, 1, "map") end
  check_callable(fn, 3, "map")
  local concurrency, batch = check_map(opts)
  local next_item, most = source_of(items)
  local results, failures, count, ended = { n = 0 }, {}, 0, false

  local function worker(scope)
    while not ended and not scope.failed[1] do
      local item = next_item()
      if item == nil or scope.failed[1] then
        ended = true
        return
      end
      count = count + 1
      local index = count
      local value, err = fn(item, index)
      results[index] = value
      if value == nil then failures[index] = err end
    end
  end

  local scope = in_scope(function(scope)
    if batch then scope.engines = require("msgraph.batch").engines(scope) end
    for _ = 1, math.min(concurrency, most) do start(scope, worker, scope) end
  end)
  raise_lost(scope)
  results.n = count
  return results, failures
end

return M
