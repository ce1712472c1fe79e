-- lua/msgraph/auth/callback.lua
--- A token that a function of the author's gives.
local errors = require "msgraph.errors"
local given = require "msgraph.auth.given"
local loop = require "msgraph.loop"
local token = require "msgraph.auth.token"

local M = {}

local LIFE_MAX <const> = 30 * 24 * 3600 -- seconds the core takes

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

-- Calls the function: nil, token and seconds, or a Failure.
local function ask(fn, claims)
  local ok, text, seconds = pcall(fn, claims)
  if not ok then
    local task = loop.enclosing()
    if task and task.cancelled then error(text, 0) end -- not the function's: its task was told to end
    return failed("it raised: " .. tostring(text))
  end
  if text == nil then return failed(seconds == nil and "it returned nil" or tostring(seconds)) end
  local problem, clean = token.problem_of(text)
  problem = problem or life_problem(seconds)
  if problem then return failed(problem) end
  return nil, clean, seconds
end

--- What a client needs of a callback.
---@param fn fun(claims?: string): string?, number|string|msgraph.Error|nil
---@return msgraph.Opened
function M.open(fn)
  return given.open(function(credential, claims)
    local failure, text, seconds = ask(fn, claims)
    if failure then return failure end
    errors.hide(credential, text)
    assert(credential:give(text, seconds))
    return nil, seconds
  end)
end

return M
