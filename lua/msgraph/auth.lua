--- Credentials: how a client gets the token it sends.
--
-- A credential is opaque. What it holds lies in a table only this module can see, so printing,
-- dumping or serialising one shows nothing. The core does the signing in; what is here says with
-- what. Tenant and client may be said here, at `connect`, or in the environment.
--
-- A credential keeps its token as long as it lives: clients with the same credential, one after the
-- other or at once, use the same token.
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
  local credential = make("token", { token = clean })
  errors.hide(credential, clean)
  return credential
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

---@class msgraph.AuthOpts where to sign in, and as whom
---@field tenant_id? string  id or domain; default connect's, AZURE_TENANT_ID
---@field client_id? string  the app's; default connect's, AZURE_CLIENT_ID
---@field authority? string  "https://login.microsoftonline.com"; default connect's, AZURE_AUTHORITY_HOST, the cloud's
local COMMON = { "tenant_id", "client_id", "authority" }

-- How an app proves that it is the app; never two of them.
local PROOFS = { "client_secret", "certificate", "assertion_file" }

-- kind -> the core's grant; options it needs, may have; whether a proof is needed
local KINDS = {
  client_secret = { grant = "client_credentials", needs = { "client_secret" }, may = {} },
  certificate = { grant = "client_credentials", needs = { "certificate" }, may = { "password", "rs256" } },
  workload_identity = { grant = "client_credentials", needs = { "assertion_file" }, may = {} },
  refresh_token = { grant = "refresh_token", needs = { "refresh_token" },
    may = { "client_secret", "certificate", "password", "assertion_file" } },
  on_behalf_of = { grant = "on_behalf_of", needs = { "assertion" }, proven = true,
    may = { "client_secret", "certificate", "password", "assertion_file" } },
}

for _, spec in pairs(KINDS) do
  spec.allowed = {}
  for _, list in ipairs { COMMON, spec.needs, spec.may } do
    for _, name in ipairs(list) do spec.allowed[name] = name == "rs256" and "boolean" or "string" end
  end
end

-- Never with the value in it.
local function option_problem(spec, name, value)
  local expected = spec.allowed[name]
  if not expected then return ("unknown option '%s'"):format(tostring(name)) end
  if type(value) ~= expected then
    return ("option '%s' must be a %s, got %s"):format(name, expected, type(value))
  end
  if value == "" then return ("option '%s' is empty"):format(name) end
  if expected == "string" and value:find("%c") then
    return ("option '%s' holds a line end or another control character"):format(name)
  end
end

local function missing_problem(spec, held)
  for _, name in ipairs(spec.needs) do
    if not held[name] then return ("option '%s' is missing"):format(name) end
  end
  local proofs = {}
  for _, name in ipairs(PROOFS) do
    if held[name] then proofs[#proofs + 1] = name end
  end
  if #proofs > 1 then return ("options '%s' and '%s' exclude each other"):format(proofs[1], proofs[2]) end
  if spec.proven and #proofs == 0 then return "one of " .. table.concat(PROOFS, ", ") .. " is missing" end
end

--- Checks options and makes a credential of them.
---@package
---@param kind string
---@param opts any
---@return msgraph.Credential?
---@return string? problem
function M.make(kind, opts)
  if type(opts) ~= "table" then return nil, ("a table is expected, got %s"):format(type(opts)) end
  local spec, held = KINDS[kind], {}
  for name, value in pairs(opts) do
    local problem = option_problem(spec, name, value)
    if problem then return nil, problem end
    held[name] = value
  end
  local problem = missing_problem(spec, held)
  if problem then return nil, problem end
  held.grant = spec.grant
  return make(kind, held)
end

local function constructor(kind)
  return function(opts)
    local credential, problem = M.make(kind, opts)
    if not credential then error(("auth.%s: %s"):format(kind, problem), 2) end
    return credential
  end
end

--- The app itself, with a client secret. Raises for wrong options, as all of these do.
---@type fun(opts: msgraph.AuthOpts|{ client_secret: string }): msgraph.Credential
M.client_secret = constructor "client_secret"

--- The app itself, with a certificate: a file that holds it and its RSA key, PEM or PKCS#12. `rs256`: as AD FS
--- wants it.
---@type fun(opts: msgraph.AuthOpts|{ certificate: string, password?: string, rs256?: boolean }): msgraph.Credential
M.certificate = constructor "certificate"

--- The app itself, with a token that another issuer puts into a file and replaces there (Kubernetes, GitHub).
--- The file is read again for each token request.
---@type fun(opts: msgraph.AuthOpts|{ assertion_file: string }): msgraph.Credential
M.workload_identity = constructor "workload_identity"

---@class msgraph.Proof           how the app proves itself: one of the three, or none for a public client
---@field client_secret? string
---@field certificate? string     a file, with its `password`
---@field password? string
---@field assertion_file? string

--- A user who signed in before. The token is replaced by each newer one, in memory.
---@type fun(opts: msgraph.AuthOpts|msgraph.Proof|{ refresh_token: string }): msgraph.Credential
M.refresh_token = constructor "refresh_token"

--- The user whose token a service of yours was called with. That token must be for your service, which has to prove
--- itself.
---@type fun(opts: msgraph.AuthOpts|msgraph.Proof|{ assertion: string }): msgraph.Credential
M.on_behalf_of = constructor "on_behalf_of"

--- A function of yours that returns a token and the seconds it is good for (nil: until it is refused), or nil and a
--- reason. It is called when a token is needed, by one task at a time, and may itself wait.
---@param fn fun(): string?, number|string|msgraph.Error|nil
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

-- ---- callbacks at work ------------------------------------------------------------------------------------

local LIFE_MAX <const> = 30 * 24 * 3600 -- seconds the core takes
local AGAIN <const> = 30 -- seconds after a renewal failed while the token is still good

-- What the clients of a callback share: the core's credential, which token it has (`serial` counts
-- them), when to get the next (`renew_at`) and when it is good no more (`stale_at`), both on core.now().
-- `busy` is the task that calls the function, `line` who waits for it.
local function new_state(callback)
  return {
    callback = callback, serial = 0, renew_at = -1, stale_at = -1, line = {},
    core = assert(core.credential { token = "none" }), -- never sent: no request goes before the first token is there
  }
end

local function callback_failure(problem)
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
local function ask(callback)
  local ok, token, seconds = pcall(callback)
  if not ok then
    local task = loop.enclosing()
    if task and task.cancelled then error(token, 0) end -- not the function's: its task was told to end
    return nil, callback_failure("it raised: " .. tostring(token))
  end
  if token == nil then return nil, callback_failure(seconds == nil and "it returned nil" or tostring(seconds)) end
  local problem, clean = problem_of(token)
  problem = problem or life_problem(seconds)
  if problem then return nil, callback_failure(problem) end
  return clean, seconds
end

-- The core stops using a token a margin before its end; the next is asked for before that.
local function take(state, token, seconds)
  local now = core.now()
  errors.hide(state, token)
  assert(state.core:give(token, seconds))
  state.serial = state.serial + 1
  state.renew_at = seconds and now + seconds - math.min(600, seconds / 5) or math.huge
  state.stale_at = seconds and now + seconds - math.min(300, seconds / 10) or math.huge
end

-- Whoever waited goes on: with the same failure, or to look again.
local function leave(state, failure)
  local line = state.line
  state.busy, state.line = nil, {}
  for _, waiter in ipairs(line) do loop.wake(waiter, failure) end
end

-- Outside of tasks, the coroutine stands for the task.
local function here()
  return loop.enclosing() or coroutine.running()
end

local function renew(state)
  local failure
  state.busy = here()
  local guard <close> = setmetatable({}, { __close = function() leave(state, failure) end }) -- luacheck: ignore 211
  local token, seconds = ask(state.callback)
  if token then
    take(state, token, seconds)
  elseif core.now() < state.stale_at then
    state.renew_at = core.now() + AGAIN -- the token there is still good
  else
    failure = seconds
  end
  return failure
end

-- Sees to it that there is a good token: one task calls the function, the others wait for it.
local function ensure(state, refused)
  if refused == state.serial then state.renew_at, state.stale_at = -1, -1 end
  while core.now() >= state.renew_at do
    if not state.busy then return renew(state) end
    if core.now() < state.stale_at then return nil end
    if state.busy == here() then return callback_failure "it used the client that waits for its token" end
    local failure, broken = loop.wait_for(function(waiter) table.insert(state.line, waiter) end)
    if failure or broken then return failure or broken end
  end
end

local function open_callback(held)
  held.state = held.state or new_state(held.callback)
  local state = held.state
  return state.core, function(refused)
    local failure = ensure(state, refused)
    return failure, state.serial
  end
end

-- ---- at work: for the client ----------------------------------------------------------------------------

---@class msgraph.Identity where to sign in and as whom, where the credential does not say
---@field tenant_id? string
---@field client_id? string
---@field authority string
---@field scope string
---@field ca_file? string

-- Clients with the same credential and settings share the core's, and so its token.
local function key_of(settings)
  local parts = {}
  for _, name in ipairs { "authority", "tenant_id", "client_id", "scope", "ca_file" } do
    parts[#parts + 1] = settings[name] or ""
  end
  return table.concat(parts, "\n")
end

local function merged(held, identity)
  local out = {}
  for name, value in pairs(identity) do out[name] = value end
  for name, value in pairs(held) do out[name] = value end
  out.opened = nil
  return out
end

local function lacking(kind, settings)
  for _, name in ipairs { "tenant_id", "client_id" } do
    if not settings[name] then
      return errors.new {
        kind = "invalid", code = "bad_option", message = ("auth.%s: there is no %s"):format(kind, name),
        hint = ("pass %s to graph.auth.%s or graph.connect, or set AZURE_%s"):format(name, kind, name:upper()),
      }
    end
  end
end

local function open_core(held, settings)
  held.opened = held.opened or {}
  local key = key_of(settings)
  if held.opened[key] then return held.opened[key] end
  local made, failure = core.credential(settings)
  if not made then return nil, errors.from_failure(failure) end
  held.opened[key] = made
  return made
end

---@class msgraph.Opened
---@field core msgraph.core.Credential
---@field login? string the host it signs in at
---@field renew? fun(refused?: integer): msgraph.core.Failure?, integer  of a callback, to be called before each
---  request, and with the token's number after that token was refused

--- What a client needs of a credential.
---@package
---@param credential msgraph.Credential
---@param identity msgraph.Identity
---@return msgraph.Opened?
---@return msgraph.Error? code "bad_option": tenant or client are said nowhere, or an option can not be used
function M.open(credential, identity)
  local held = secrets[credential]
  if held.callback then
    local made, renewal = open_callback(held)
    return { core = made, renew = renewal }
  end
  if held.token then return { core = open_core(held, { token = held.token }) } end
  local settings = merged(held, identity)
  local err = lacking(credential.kind, settings)
  if err then return nil, err end
  local made
  made, err = open_core(held, settings)
  if not made then return nil, err end
  return { core = made, login = settings.authority:match("^%a+://([^/:]+)") }
end

return M
