-- lua/msgraph/auth/turn.lua
--- One does it, the others wait: what several tasks need at once is got once.
local loop = require "msgraph.loop"

local M = {}

---@class msgraph.auth.Turn
---@field package busy? table|thread who does it: the task, or outside of tasks the coroutine
---@field package line table waiters

---@return msgraph.auth.Turn
function M.new()
  return { line = {} }
end

local function here()
  return loop.enclosing() or coroutine.running()
end

-- Whoever waited goes on: with the same failure, or to look again.
local function leave(turn, failure)
  local line = turn.line
  turn.busy, turn.line = nil, {}
  for _, waiter in ipairs(line) do loop.wake(waiter, failure) end
end

local function work_on(turn, work)
  local failure
  turn.busy = here()
  local guard <close> = setmetatable({}, { __close = function() leave(turn, failure) end }) -- luacheck: ignore 211
  failure = work()
  return failure
end

--- Whether somebody does it right now.
---@param turn msgraph.auth.Turn
---@return boolean
function M.is_taken(turn)
  return turn.busy ~= nil
end

--- Does `work` unless somebody is at it; then waits for that one, and shares his failure. A task that is cancelled
--- while it works leaves the work to the next.
---@param turn msgraph.auth.Turn
---@param is_needed fun(): boolean asked again after each wait
---@param work fun(): msgraph.core.Failure?
---@return msgraph.core.Failure?
function M.once(turn, is_needed, work)
  while is_needed() do
    if not turn.busy then return work_on(turn, work) end
    if turn.busy == here() then
      return { kind = "auth", code = "callback", phase = "not_sent",
        message = "what signs in used the very client that waits for it" }
    end
    local failure, broken = loop.wait_for(function(waiter) table.insert(turn.line, waiter) end)
    if failure or broken then return failure or broken end
  end
end

return M
