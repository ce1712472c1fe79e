-- lua/msgraph/host.lua
--- What a host with a loop of its own needs: a descriptor, a time, and a turn to give.
--
-- The same four functions serve the module and every client, as functions and as methods, so that
-- `cqueues.poll(graph)` works. They all mean the one loop of this Lua state.
local errors = require "msgraph.errors"
local loop = require "msgraph.loop"

local M = {}

local function pollfd()
  return loop.pollfd()
end

local function events()
  return "r"
end

local function timeout()
  return loop.timeout()
end

local function step(self, seconds)
  if type(self) ~= "table" then seconds = self end
  if seconds ~= nil and (type(seconds) ~= "number" or seconds ~= seconds or seconds < 0) then
    error(("bad argument to 'step' (seconds expected, got %s)"):format(tostring(seconds)), 2)
  end
  local ok, failure = loop.step(seconds)
  if not ok then return nil, errors.from_failure(failure) end
  return true
end

--- Adds pollfd, events, timeout and step to a module or class.
---
--- pollfd() -> descriptor to poll for reading, nil while there is nothing to poll; it may change
--- when the last client closes. events() -> "r". timeout() -> seconds until step is due even if the
--- descriptor stays quiet, nil: no need. step(seconds?) -> true | nil, err: one turn, waiting at
--- most that long (default 0).
---@param target table
function M.install(target)
  target.pollfd, target.events, target.timeout, target.step = pollfd, events, timeout, step
end

return M
