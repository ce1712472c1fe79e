-- lua/msgraph/auth/given.lua
--- Tokens that come from outside of the core: got by one task at a time, before they are needed, and again when the
--- server refuses one.
local core = require "msgraph.core"
local turn = require "msgraph.auth.turn"

local M = {}

local AGAIN <const> = 30 -- seconds after a renewal failed while the token is still good

-- The core stops using a token a margin before its end; the next is asked for before that.
local function note(state, seconds)
  local now = core.now()
  state.serial = state.serial + 1
  state.renew_at = seconds and now + seconds - math.min(600, seconds / 5) or math.huge
  state.stale_at = seconds and now + seconds - math.min(300, seconds / 10) or math.huge
end

local function renew(state)
  local claims = state.claims
  local failure, seconds = state.get(state.core, claims)
  if not failure then
    note(state, seconds)
    if state.claims == claims then state.claims = nil
    else state.renew_at, state.stale_at = -1, -1 end -- a challenge that came meanwhile was not about this one
  elseif core.now() < state.stale_at then
    state.renew_at = core.now() + AGAIN -- the token there is still good
  else
    return failure
  end
end

--- What the clients of such a credential share: the core's credential, which token it has (`serial` counts them), when
--- to get the next (`renew_at`) and when it is good no more (`stale_at`), both on core.now().
---@param get fun(credential: msgraph.core.Credential, claims?: string): msgraph.core.Failure?, number? gives the
---  credential its token, and returns the seconds that one is good; nil: until it is refused
---@return msgraph.Opened
function M.open(get)
  local state = {
    get = get, serial = 0, renew_at = -1, stale_at = -1, turn = turn.new(),
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
    if not raw or raw.status ~= 401 and raw.status ~= 403 then return false end
    local claims = core.claims(raw.headers)
    if raw.status == 403 and not claims then return false end -- not about the token
    if serial == state.serial then state.renew_at, state.stale_at, state.claims = -1, -1, claims end
    return true
  end
  return { core = state.core, guard = guard }
end

return M
