-- lua/msgraph/auth/user.lua
--- Users sign in: by a device code, or in a browser on this machine.
--
-- The core keeps what is secret and does the requests, one step at a time; what is here tells the user what
-- to do and waits. Tasks that need a token meanwhile wait for the same sign-in.
local core = require "msgraph.core"
local loop = require "msgraph.loop"
local turn = require "msgraph.auth.turn"

local M = {}

local SLOWER <const> = 5 -- seconds that "slow_down" adds (RFC 8628 3.5)
local BROWSER_TIME <const> = 300 -- seconds a user has in the browser
local LOOK_AGAIN <const> = 0.1 -- seconds between two looks at the listener

local function failed(code, message)
  return { kind = "auth", code = code, message = message, phase = "not_sent" }
end

-- What is printed is the issuer's text: the core has taken control characters out.
local function print_prompt(prompt)
  io.stderr:write(prompt.message or ("To sign in, open %s and enter the code %s"):format(
    prompt.verification_uri, prompt.user_code), "\n")
end

-- Passing trouble on the way is no answer: it is asked again, more slowly (RFC 8628 3.5).
local function next_interval(interval, failure)
  if failure.word == "authorization_pending" or failure.code == "store_busy" then return interval end
  if failure.word == "slow_down" then return interval + SLOWER end
  if failure.kind == "network" or failure.kind == "timeout" or failure.word == "temporarily_unavailable" then
    return interval * 2
  end
end

--- Device code (RFC 8628): the user enters a code on any device.
---@param credential msgraph.core.Credential
---@param opts { prompt?: fun(prompt: msgraph.core.Prompt) }
---@return msgraph.core.Failure?
function M.device_code(credential, opts)
  local _, failure = loop.sign_in(credential, "device_code")
  if failure then return failure end
  local prompt = credential:prompt()
  local ends, interval = core.now() + prompt.expires_in, prompt.interval;
  (opts.prompt or print_prompt)(prompt)
  while interval and core.now() + interval < ends do
    loop.sleep(interval)
    _, failure = loop.sign_in(credential, "device_poll")
    if not failure then return nil end
    interval = next_interval(interval, failure)
  end
  return interval and failed("expired_token", "nobody entered the code in time") or failure
end

-- The page may be opened here, or the address copied to where a browser is (an editor's tunnel forwards the port).
local function print_url(url, opened)
  io.stderr:write(opened and "Sign in in the browser window that has opened. Otherwise open this address:\n"
    or "To sign in, open this address in a browser on this machine:\n", url, "\n")
end

local function wait_for_browser(listener)
  local ends = core.now() + BROWSER_TIME
  while core.now() < ends do
    local state, failure = listener:step()
    if state ~= "waiting" then return failure end
    loop.sleep(LOOK_AGAIN)
  end
  return failed("expired_token", "nobody signed in in the browser in time")
end

--- Authorization code with PKCE (RFC 7636, RFC 8252): the user signs in in a browser on this machine, which brings the
--- code to a listener on a port of its own.
---@param credential msgraph.core.Credential
---@param opts { prompt?: fun(url: string, opened: boolean), login_hint?: string }
---@param settings table authority, tenant_id, client_id, scope
---@return msgraph.core.Failure?
function M.auth_code(credential, opts, settings)
  local browser = require "msgraph.browser"
  local listener <close>, failure = core.loopback()
  if not listener then return failure end
  local url = listener:url {
    authorize = ("%s/%s/oauth2/v2.0/authorize"):format(settings.authority, core.escape(settings.tenant_id)),
    client_id = settings.client_id, scope = settings.scope, login_hint = opts.login_hint,
    claims = credential:claims(),
  };
  (opts.prompt or print_url)(url, browser.open(url))
  failure = wait_for_browser(listener)
  if failure then return failure end
  local ok
  ok, failure = credential:redeem(listener)
  if not ok then return failure end
  return select(2, loop.sign_in(credential, "code"))
end

---@class msgraph.auth.Guard  what has to be done around the requests of a client, beside the core
---@field ready fun(origin: msgraph.core.Origin): msgraph.core.Failure?, any  before each; its second value goes to
---@field refused fun(mark: any, raw?: msgraph.core.Response, failure?: msgraph.core.Failure): boolean  after each:
---  whether it is worth to be ready again, and send again

--- The guard of a credential that a user may have to sign in with.
---@param credential msgraph.core.Credential
---@param sign_in fun(): msgraph.core.Failure?
---@return msgraph.auth.Guard
function M.guard(credential, sign_in)
  local waiting = turn.new()
  local function is_needed() return credential:needs_user() end
  return {
    ready = function() return turn.once(waiting, is_needed, sign_in) end,
    refused = function(_, raw, failure)
      return not raw and failure.code == "token_refused" and credential:needs_user()
    end,
  }
end

return M
