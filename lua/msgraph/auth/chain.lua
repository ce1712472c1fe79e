-- lua/msgraph/auth/chain.lua
--- What is there to sign in with: the environment, this machine's managed identity, the sign-in stored by `msgraph
--- login`, the Azure CLI; in this order, the one people know from Azure's DefaultAzureCredential.
--
-- The first source that is there is used, and its failure is the answer: to go on to another identity because the
-- first was refused could do the right thing as the wrong one. A source is not there when it is not set up.
local core = require "msgraph.core"
local errors = require "msgraph.errors"
local loop = require "msgraph.loop"
local turn = require "msgraph.auth.turn"

local M = {}

local LOOK_AGAIN <const> = 60 -- seconds until all sources are looked at once more

---@class msgraph.auth.Source
---@field name string
---@field open fun(): msgraph.Opened?, string?, msgraph.core.Failure?  what to try; or why there is nothing; or what is
---  wrong with what is there
---@field wait? number seconds until a source that gives no token is taken for absent
---@field is_absent? fun(failure: msgraph.core.Failure): boolean  whether trying showed that there is nothing

-- Gets a token.
local function try(opened, wait)
  if opened.guard then return (opened.guard.ready()) end
  if not opened.login then return nil end -- a token that was given: there is nothing to get
  return select(2, loop.sign_in(opened.core, "token", wait))
end

local function nothing(tried)
  return { kind = "auth", code = "no_token", phase = "not_sent",
    message = ("there is nothing to sign in with (%s)"):format(table.concat(tried, "; ")) }
end

-- The first source that is there and its name, or what was tried. `self` learns where an administrator would consent.
local function pick(self, sources)
  local tried = {}
  for _, source in ipairs(sources) do
    local opened, reason, failure = source.open()
    if opened then
      self.consent_url = opened.consent_url
      failure = try(opened, source.wait)
    end
    if opened and not failure then return opened, source.name end
    if failure and not (source.is_absent and source.is_absent(failure)) then return nil, nil, failure end
    tried[#tried + 1] = source.name .. ": " .. (failure and errors.from_failure(failure).message or reason)
  end
  return nil, nil, nothing(tried)
end

--- What a client needs of a chain; nothing is looked at before the first request.
---@param sources msgraph.auth.Source[]
---@return msgraph.Opened
function M.open(sources)
  local waiting, using = turn.new(), setmetatable({}, { __mode = "k" })
  local chosen, name, absent, look_at = nil, nil, nil, -1 -- `absent`: what is said until `look_at`
  local self = { core = assert(core.credential { token = "none" }) } -- never sent

  local function is_needed() return not chosen end
  local function choose()
    if core.now() < look_at then return absent end
    local failure
    chosen, name, failure = pick(self, sources)
    if failure and failure.code == "no_token" then absent, look_at = failure, core.now() + LOOK_AGAIN end
    return failure
  end

  local guard = {}
  function guard.ready(origin)
    local failure = turn.once(waiting, is_needed, choose)
    if failure then return failure end
    if origin and using[origin] ~= chosen then
      origin:use(chosen.core)
      using[origin] = chosen
    end
    if chosen.guard then return chosen.guard.ready(origin) end
  end
  function guard.refused(mark, raw, failure)
    return chosen ~= nil and chosen.guard ~= nil and chosen.guard.refused(mark, raw, failure)
  end
  self.guard = guard
  function self.chosen() return chosen, name end
  return self
end

return M
