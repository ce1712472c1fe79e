-- lua/msgraph/cli/batch.lua
--- Does one thing for every item, a number at a time, and can be interrupted.
--
-- Ctrl-C raises "interrupted!" in the main coroutine and nowhere else: the tasks are where they were.
-- No new item is begun, and what is under way gets a moment to end, so that as little as possible
-- stays unknown. A second Ctrl-C ends the process at once.
local core = require "msgraph.core"
local graph = require "msgraph"

local M = {}

local GRACE <const> = 10 -- seconds; a request takes one or two

---@class msgraph.cli.Batch
---@field stopped? boolean set it to begin no new item
---@field grace number seconds that what is under way gets after Ctrl-C

local function traceback(problem)
  return type(problem) == "string" and debug.traceback(problem, 2) or problem
end

-- A bug that one item meets, the others would meet too: it stops them all.
local function work(batch)
  while not batch.stopped do
    local item = batch.items[batch.begun + 1]
    if not item then return end
    batch.begun = batch.begun + 1
    local ok, problem = xpcall(batch.act, traceback, item)
    if not ok then
      batch.stopped = true
      error(problem, 0)
    end
  end
end

-- Waits for the tasks; what one raised is raised again.
local function join(tasks)
  for _, task in ipairs(tasks) do task:join() end
end

--- Whether a raised value is lua's answer to Ctrl-C.
---@param problem any
---@return boolean
function M.is_interrupt(problem)
  return type(problem) == "string" and problem:find("interrupted!", 1, true) ~= nil
end

-- Turns the loop until `pending` says no more, or the grace is over.
local function drain(pending, grace)
  local finish = core.now() + grace
  while pending() and core.now() < finish do
    if not graph.step(0.2) then return end
  end
end

---@param items any[]
---@param concurrency integer
---@param act fun(item: any)
---@return msgraph.cli.Batch
function M.new(items, concurrency, act)
  return { items = items, concurrency = concurrency, act = act, begun = 0, grace = GRACE }
end

--- Runs it. Raises what `act` raised.
---@param batch msgraph.cli.Batch
---@param pending fun(): boolean whether something still runs that should end before we do
---@param on_interrupt fun() called once, at Ctrl-C
---@return boolean complete false: it was interrupted
function M.run(batch, pending, on_interrupt)
  local tasks = {}
  for i = 1, math.min(batch.concurrency, #batch.items) do tasks[i] = graph.spawn(work, batch) end
  local ok, problem = pcall(join, tasks)
  if ok then return true end
  batch.stopped = true
  if not M.is_interrupt(problem) then error(problem, 0) end
  on_interrupt()
  drain(pending, batch.grace)
  return false
end

return M
