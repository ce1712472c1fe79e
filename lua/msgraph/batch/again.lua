-- lua/msgraph/batch/again.lua
--- When a part of a batch is sent again: csrc/core/policy/retry.c's rules (throttled: anybody; a
--- fault: what may be repeated), for what the core cannot see. Pure: random numbers are handed in.
local M = {}

local THROTTLED, FAILED = 8, 4 -- how often a part is sent at most, by what it met
local TRANSIENT = { [408] = true, [500] = true, [502] = true, [503] = true, [504] = true }
local SHORT_HINT = 1 -- seconds; three of these running, and the service means something else

-- The n-th wait where the service says nothing: half of it fixed, half drawn.
local function equal_jitter(n, random)
  local longest = math.min(60, 2 * 2 ^ (n - 1))
  return longest / 2 + random * longest / 2
end

-- Never earlier than asked; a little later, so that not all come back at once.
local function hinted(hint, random)
  return hint + random * math.min(5, math.max(0.25, hint / 10))
end

local function throttle_wait(met, hint, random)
  local blind = equal_jitter(met.throttled, random)
  met.short_hints = hint and hint <= SHORT_HINT and (met.short_hints or 0) + 1 or 0
  if not hint then return blind end
  local told = hinted(hint, random)
  return met.short_hints < 3 and told or math.max(told, blind)
end

--- Whether it was refused before anything was done.
---@param status integer
---@param hint? number seconds the service asked for
---@return boolean
function M.is_throttled(status, hint)
  return status == 429 or status == 509 or status == 503 and hint ~= nil
end
local is_throttled = M.is_throttled

--- Whether a part that met this may have been acted on.
---@param status? integer nil: no answer came
---@param hint? number    seconds the service asked for
---@return boolean
function M.may_have_acted(status, hint)
  return not status or TRANSIENT[status] == true and not is_throttled(status, hint)
end

--- Seconds until a part is worth sending again; nil: what it met is how it ends.
---@param met table       what this part has met, kept up to date here
---@param status? integer nil: no answer came
---@param hint? number    seconds the service asked for
---@param repeatable boolean it may be acted on twice
---@param random number   from [0, 1)
---@return number?
function M.wait(met, status, hint, repeatable, random)
  if is_throttled(status, hint) then
    met.throttled = (met.throttled or 0) + 1
    if met.throttled >= THROTTLED then return nil end
    return throttle_wait(met, hint, random)
  end
  local harmless = repeatable and M.may_have_acted(status, hint) or status == 424 -- that one was not acted on
  if not harmless then return nil end
  met.failed, met.short_hints = (met.failed or 0) + 1, 0
  if met.failed >= FAILED then return nil end
  local wait = 0.05 + random * math.min(20, 0.5 * 2 ^ (met.failed - 1))
  return hint and math.max(wait, hinted(hint, random)) or wait
end

return M
