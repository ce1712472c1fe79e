-- lua/msgraph/auth/callback.lua
--- A token that a function of the author's gives.
local core = require "msgraph.core"
local errors = require "msgraph.errors"
local loop = require "msgraph.loop"
local token = require "msgraph.auth.token"
local turn = require "msgraph.auth.turn"

local M = {}

local LIFE_MAX <const> = 30 * 24 * 3600 -- seconds the core takes
local AGAIN <const> = 30 -- seconds after a renewal failed while the token is still good

local function failed(problem)
  return { kind = "auth", code = "callback", phase = "not_sent",
    message = "the token callback gave no token: " .. problem }
end

local function life_problem(seconds)
  if seconds == nil then return nil end
  if type(seconds) ~= "number" or seconds ~= seconds then
    return "its second value must be the seconds the token is good for, or nil"
  end
  if seconds <= 0 then return "the token it returned has expired" end
  if seconds >= LIFE_MAX then
    return "its second value must be seconds from now, below 30 days (a date, perhaps?)"
  end
end

-- Calls the function: token and seconds, or nil and a Failure.
local function ask(state)
  local ok, text, seconds = pcall(state.fn, state.claims)
  if not ok then
    local task = loop.enclosing()
    if task and task.cancelled then error(text, 0) end -- not the function's: its task was told to end
    return nil, failed("it raised: " .. tostring(text))
  end
  if text == nil then return nil, failed(seconds == nil and "it returned nil" or tostring(seconds)) end
  local problem, clean = token.problem_of(text)
  problem = problem or life_problem(seconds)
  if problem then return nil, failed(problem) end
  return clean, seconds
end

-- The core stops using a token a margin before its end; the next is asked for before that.
local function take(state, text, seconds)
  local now = core.now()
  errors.hide(state, text)
  assert(state.core:give(text, seconds))
  state.serial, state.claims = state.serial + 1, nil
  state.renew_at = seconds and now + seconds - math.min(600, seconds / 5) or math.huge
  state.stale_at = seconds and now + seconds - math.min(300, seconds / 10) or math.huge
end

local function renew(state)
  local text, seconds = ask(state)
  if text then
    take(state, text, seconds)
  elseif core.now() < state.stale_at then
    state.renew_at = core.now() + AGAIN -- the token there is still good
  else
    return seconds
  end
end

--- What the clients of a callback share: the core's credential, which token it has (`serial` counts them), when to get
--- the next (`renew_at`) and when it is good no more (`stale_at`), both on core.now().
---@param fn fun(claims?: string): string?, number|string|msgraph.Error|nil
---@return msgraph.Opened
function M.open(fn)
  local state = {
    fn = fn, serial = 0, renew_at = -1, stale_at = -1, turn = turn.new(),
    core = assert(core.credential { token = "none" }), -- never sent: no request goes before the first token is there
  }
  -- While somebody gets the next one, the token there is used as long as it is good.
  local function is_needed()
    local now = core.now()
    return now >= state.renew_at and not (turn.is_taken(state.turn) and now < state.stale_at)
  end
  local guard = {}
  function guard.ready()
    local failure = turn.once(state.turn, is_needed, function() return renew(state) end)
    return failure, state.serial
  end
  -- One that is refused was not acted on, whatever the method: one new token, one more attempt.
  function guard.refused(serial, raw)
    if not raw or raw.status ~= 401 then return false end
    if serial == state.serial then state.renew_at, state.stale_at = -1, -1 end
    return true
  end
  return { core = state.core, guard = guard }
end

return M
