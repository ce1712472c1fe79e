--- Credentials: how a client gets the token it sends.
--
-- A credential is opaque. What it holds lies in a table only this module can see, so printing,
-- dumping or serialising one shows nothing. The core does the signing in; what is here says with
-- what. Tenant and client may be said here, at `connect`, or in the environment.
local core = require "msgraph.core"
local errors = require "msgraph.errors"
local loop = require "msgraph.loop"

local M = {}

---@class msgraph.Credential
local Credential = { __name = "msgraph.Credential" }
Credential.__index = Credential

local secrets = setmetatable({}, { __mode = "k" })

function Credential:__tostring()
  return ("msgraph.Credential(%s, ***)"):format(self.kind)
end

local function make(kind, held)
  local credential = setmetatable({ kind = kind }, Credential)
  secrets[credential] = held
  return credential
end

-- ---- a token that is there already ----------------------------------------------------------------

local function problem_of(token)
  if type(token) ~= "string" then return ("a string is expected, got %s"):format(type(token)) end
  token = token:match("^%s*(.-)%s*$")
  if token == "" then return "it is empty" end
  if token:find("^[Bb]earer%s") then return "it begins with the word Bearer: give the token alone" end
  if token:find("[^\33-\126]") then return "it holds a space, a control character or a byte beyond ASCII" end
  return nil, token
end

--- Checks a token from anywhere; spaces and line ends around it are dropped.
---@param token any
---@return msgraph.Credential?
---@return string? reason never with the token in it
function M.from_token(token)
  local problem, clean = problem_of(token)
  if problem then return nil, problem end
  return make("token", { token = clean })
end

--- A token that somebody else got. It is used as it is, until it expires.
---@param token string an access token for the client's endpoint, "eyJ..."
---@return msgraph.Credential credential raises for what can not be a token
function M.token(token)
  local credential, reason = M.from_token(token)
  if not credential then error("auth.token: the token cannot be used: " .. reason, 2) end
  return credential
end

-- ---- what a token is asked for with -----------------------------------------------------------------

-- Options of all: where to sign in, and as whom.
local COMMON = { tenant_id = true, client_id = true, authority = true }

---@class msgraph.AuthOpts
---@field tenant_id? string  id or domain; default connect's, AZURE_TENANT_ID
---@field client_id? string  the app's; default connect's, AZURE_CLIENT_ID
---@field authority? string  "https://login.microsoftonline.com"; default the cloud's, AZURE_AUTHORITY_HOST

-- name -> the grant, options it needs, options it may have
local GRANTS = {
  client_secret = { "client_credentials", { "client_secret" }, {} },
  certificate = { "client_credentials", { "certificate" }, { "password", "rs256" } },
  workload_identity = { "client_credentials", { "assertion_file" }, {} },
  refresh_token = { "refresh_token", { "refresh_token" }, { "client_secret", "certificate", "password" } },
  on_behalf_of = { "on_behalf_of", { "assertion" },
    { "client_secret", "certificate", "password", "assertion_file" } },
}

local function allowed_in(spec)
  local allowed = {}
  for name in pairs(COMMON) do allowed[name] = "string" end
  for _, list in ipairs { spec[2], spec[3] } do
    for _, name in ipairs(list) do allowed[name] = name == "rs256" and "boolean" or "string" end
  end
  return allowed
end

local function constructor(kind)
  local spec = GRANTS[kind]
  local allowed = allowed_in(spec)
  return function(opts)
    if type(opts) ~= "table" then error(("auth.%s: a table is expected, got %s"):format(kind, type(opts)), 2) end
    local held = { grant = spec[1] }
    for name, value in pairs(opts) do
      if not allowed[name] then error(("auth.%s: unknown option '%s'"):format(kind, tostring(name)), 2) end
      if type(value) ~= allowed[name] then
        error(("auth.%s: option '%s' must be a %s, got %s"):format(kind, name, allowed[name], type(value)), 2)
      end
      held[name] = value
    end
    for _, name in ipairs(spec[2]) do
      if not held[name] then error(("auth.%s: option '%s' is missing"):format(kind, name), 2) end
    end
    return make(kind, held)
  end
end

--- The app itself, with a client secret.
---@type fun(opts: msgraph.AuthOpts|{ client_secret: string }): msgraph.Credential
M.client_secret = constructor "client_secret"

--- The app itself, with a certificate: a file that holds it and its RSA key, PEM or PKCS#12. `rs256`: as AD FS
--- wants it.
---@type fun(opts: msgraph.AuthOpts|{ certificate: string, password?: string, rs256?: boolean }): msgraph.Credential
M.certificate = constructor "certificate"

--- The app itself, with a token that another issuer puts into a file and replaces there (Kubernetes, GitHub).
---@type fun(opts: msgraph.AuthOpts|{ assertion_file: string }): msgraph.Credential
M.workload_identity = constructor "workload_identity"

--- A user who signed in before. The token is replaced by each newer one, in memory.
---@type fun(opts: msgraph.AuthOpts|{ refresh_token: string, client_secret?: string }): msgraph.Credential
M.refresh_token = constructor "refresh_token"

--- The user whose token a service of yours was called with. That token must be for your service.
---@type fun(opts: msgraph.AuthOpts|{ assertion: string, client_secret?: string }): msgraph.Credential
M.on_behalf_of = constructor "on_behalf_of"

--- A function of yours that returns a token and the seconds it is good for, or nil and a reason. It is called
--- when a token is needed, by one task at a time, and may itself wait.
---@param fn fun(): string?, number|string
---@return msgraph.Credential
function M.callback(fn)
  if type(fn) ~= "function" then error(("auth.callback: a function is expected, got %s"):format(type(fn)), 2) end
  return make("callback", { callback = fn })
end

--- Tells whether a value is a credential.
---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Credential
end

-- ---- at work: for the client ----------------------------------------------------------------------------

---@class msgraph.Identity where to sign in and as whom, where the credential does not say
---@field tenant_id? string
---@field client_id? string
---@field authority string
---@field scope string
---@field ca_file? string

-- Two clients with the same credential and settings share the core's, and so its token.
local function key_of(identity)
  local parts = {}
  for _, name in ipairs { "authority", "tenant_id", "client_id", "scope", "ca_file" } do
    parts[#parts + 1] = identity[name] or ""
  end
  return table.concat(parts, "\n")
end

local function merged(held, identity)
  local out = {}
  for name, value in pairs(identity) do out[name] = value end
  for name, value in pairs(held) do out[name] = value end
  out.shared, out.callback = nil, nil
  return out
end

local function callback_error(problem)
  return errors.new { kind = "auth", code = "callback", message = "the token callback gave no token: " .. problem }
end

-- Calls the function and hands its token to the core's credential.
local function renew(state)
  local ok, token, seconds = pcall(state.callback)
  if not ok then return callback_error(tostring(token)) end
  local problem, clean = problem_of(token)
  if problem then return callback_error(token == nil and seconds and tostring(seconds) or problem) end
  local life = type(seconds) == "number" and seconds > 0 and seconds or nil
  if not state.core then
    state.core = assert(core.credential { token = clean })
  end
  assert(state.core:give(clean, life))
  state.good_until = life and core.now() + life * 0.9 or math.huge
end

-- One task calls, the others wait for it.
local function ensure(state)
  while state.busy do
    loop.wait_for(function(waiter) table.insert(state.line, waiter) end)
  end
  if core.now() < state.good_until then return nil end
  state.busy = true
  local err = renew(state)
  state.busy = false
  local line = state.line
  state.line = {}
  for _, waiter in ipairs(line) do loop.wake(waiter) end
  return err
end

local function open_callback(held)
  held.shared = held.shared or { callback = held.callback, good_until = -1, line = {} }
  local state = held.shared
  -- the core's credential is there before the first token is
  state.core = state.core or assert(core.credential { token = "none" })
  return state.core, function(refused)
    if refused then state.good_until = -1 end
    return ensure(state)
  end
end

--- The core's credential, and for a callback the function to call before each request.
---@package
---@param credential msgraph.Credential
---@param identity msgraph.Identity
---@return msgraph.core.Credential? credential
---@return (fun(refused?: boolean): msgraph.Error?)|msgraph.core.Failure? renew, or what failed
function M.open(credential, identity)
  local held = secrets[credential]
  if held.callback then return open_callback(held) end
  local settings = held.token and { token = held.token } or merged(held, identity)
  held.shared = held.shared or setmetatable({}, { __mode = "v" })
  local key = key_of(settings)
  if held.shared[key] then return held.shared[key] end
  local made, failure = core.credential(settings)
  held.shared[key] = made
  return made, failure
end

return M
