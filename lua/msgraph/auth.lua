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
local token = require "msgraph.auth.token"

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

--- Checks a token from anywhere; spaces and line ends around it are dropped.
---@param text any
---@return msgraph.Credential?
---@return string? reason never with the token in it
function M.from_token(text)
  local problem, clean = token.problem_of(text)
  if problem then return nil, problem end
  local credential = make("token", { token = clean })
  errors.hide(credential, clean)
  return credential
end

--- A token that somebody else got. It is used as it is, until it expires.
---@param text string an access token for the client's endpoint, "eyJ..."
---@return msgraph.Credential credential raises for what can not be a token
function M.token(text)
  local credential, reason = M.from_token(text)
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

-- Which of an Azure host's identities is meant; never two of them.
local IDENTITIES = { "client_id", "object_id", "resource_id" }

-- kind -> the core's grant; options it needs, may have, may have one of; whether a proof is needed
local KINDS = {
  client_secret = { grant = "client_credentials", needs = { "client_secret" }, may = {} },
  certificate = { grant = "client_credentials", needs = { "certificate" }, may = { "password", "rs256" } },
  workload_identity = { grant = "client_credentials", needs = { "assertion_file" }, may = {} },
  refresh_token = { grant = "refresh_token", needs = { "refresh_token" },
    may = { "client_secret", "certificate", "password", "assertion_file" } },
  device_code = { grant = "refresh_token", needs = {}, may = { "prompt" }, sign_in = "device_code" },
  auth_code = { grant = "refresh_token", needs = {}, may = { "prompt", "login_hint" }, sign_in = "auth_code" },
  on_behalf_of = { grant = "on_behalf_of", needs = { "assertion" }, proven = true,
    may = { "client_secret", "certificate", "password", "assertion_file" } },
  azure_cli = { common = { "tenant_id" }, needs = {}, may = {} },
  stored = { common = {}, needs = {}, may = { "profile" } },
  managed_identity = { grant = "managed_identity", common = {}, needs = {}, may = IDENTITIES, one_of = IDENTITIES },
}

local TYPES = { rs256 = "boolean", prompt = "function" } -- of the rest: string

for _, spec in pairs(KINDS) do
  spec.allowed = {}
  for _, list in ipairs { spec.common or COMMON, spec.needs, spec.may } do
    for _, name in ipairs(list) do spec.allowed[name] = TYPES[name] or "string" end
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
  local found = {}
  for _, name in ipairs(spec.one_of or PROOFS) do
    if held[name] then found[#found + 1] = name end
  end
  if #found > 1 then return ("options '%s' and '%s' exclude each other"):format(found[1], found[2]) end
  if spec.proven and #found == 0 then return "one of " .. table.concat(PROOFS, ", ") .. " is missing" end
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

--- A user who signs in on any device, with a code that is shown: by `prompt`, or on stderr. Asked for when the first
--- request needs a token; from then on the sign-in is renewed by itself. `tenant_id` defaults to "organizations".
---@type fun(opts: msgraph.AuthOpts|{ prompt?: fun(prompt: msgraph.core.Prompt) }): msgraph.Credential
M.device_code = constructor "device_code"

--- A user who signs in in a browser on this machine, which is opened if there is one. `prompt` is shown the address and
--- whether it was opened; default: a line on stderr. The app needs the redirect URI http://localhost (public client).
---@type fun(opts: msgraph.AuthOpts|{ prompt?: fun(url: string, opened: boolean), login_hint?: string }): table
M.auth_code = constructor "auth_code"

--- The identity Azure gave the host we run on: a virtual machine, App Service or Functions, Azure Arc, Azure
--- Machine Learning, Service Fabric, Cloud Shell. Nothing is stored, nothing expires. Where a host has several
--- identities, one of the three ids says which; a host that knows no such choice is an error of graph.connect.
---@param opts? { client_id?: string, object_id?: string, resource_id?: string } default: the host's own identity
---@return msgraph.Credential
function M.managed_identity(opts)
  local credential, problem = M.make("managed_identity", opts or {})
  if not credential then error("auth.managed_identity: " .. problem, 2) end
  return credential
end

--- The user who signed in to the Azure CLI on this machine, `az login`.
---@param opts? { tenant_id?: string } default: az's own, or connect's
---@return msgraph.Credential
function M.azure_cli(opts)
  local credential, problem = M.make("azure_cli", opts or {})
  if not credential then error("auth.azure_cli: " .. problem, 2) end
  return credential
end

--- The user who signed in with `msgraph login`, in this process or another: the sign-in is renewed for all that use it.
--- Nobody is asked; when nobody is signed in, graph.connect says so (code "signed_out").
---@param opts? { profile?: string } default MSGRAPH_PROFILE, "default"
---@return msgraph.Credential
function M.stored(opts)
  local credential, problem = M.make("stored", opts or {})
  if not credential then error("auth.stored: " .. problem, 2) end
  local name, failure = require("msgraph.auth.profile").name(opts and opts.profile or "default")
  if not name then error("auth.stored: " .. failure.message, 2) end
  return credential
end

--- What is there: the environment, a managed identity, the sign-in stored by `msgraph login`, the Azure CLI. This is
--- what a client signs in with that is told nothing; docs/auth.md says more.
---@return msgraph.Credential
function M.default()
  return make("default", {})
end

--- A function of yours that returns a token and the seconds it is good for (nil: until it is refused), or nil and a
--- reason. It is called when a token is needed, by one task at a time, and may itself wait. `claims`: JSON of what the
--- server wants of the next token (a claims challenge), to be sent to the authority with the request for it.
---@param fn fun(claims?: string): string?, number|string|msgraph.Error|nil
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

-- Clients with the same credential and settings share the core's, and so its token.
local function key_of(settings)
  local parts = {}
  for _, name in ipairs { "authority", "tenant_id", "client_id", "scope", "ca_file", "endpoint", "resource" } do
    parts[#parts + 1] = settings[name] or ""
  end
  return table.concat(parts, "\n")
end

local FOR_USERS <const> = " offline_access openid profile" -- a refresh token, and who it is

-- What is said with the credential wins over what is said elsewhere.
local function merged(held, identity, spec)
  local out = {}
  for name, value in pairs(identity) do out[name] = value end
  for name, value in pairs(held) do out[name] = value end
  out.opened = nil
  if spec.sign_in then
    out.tenant_id = out.tenant_id or "organizations"
    out.scope = out.scope .. FOR_USERS
  end
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

-- The core is handed what it knows, and no more.
local CORE = { "grant", "authority", "tenant_id", "client_id", "scope", "client_secret", "certificate", "password",
  "rs256", "assertion_file", "refresh_token", "assertion", "ca_file", "token", "store",
  "host", "endpoint", "resource", "secret", "thumbprint", "object_id", "resource_id" }

local function make_core(settings)
  local options = {}
  for _, name in ipairs(CORE) do options[name] = settings[name] end
  local made, failure = core.credential(options)
  if not made then return nil, errors.from_failure(failure) end
  return made
end

-- Where an administrator lets the app in (FACTS 7.1), if there is one to let in.
local function consent_url(settings)
  if not (settings.authority and settings.tenant_id and settings.client_id) then return nil end
  return ("%s/%s/adminconsent?client_id=%s"):format(settings.authority:gsub("/$", ""), core.escape(settings.tenant_id),
    core.escape(settings.client_id))
end

---@class msgraph.Opened
---@field core msgraph.core.Credential
---@field login? string the host it signs in at
---@field authority? string where it signs in, unless a host of Azure's or another program does
---@field consent_url? string
---@field kind? string as the credential's; missing for a source of the chain that is not one
---@field profile? msgraph.auth.Profile of a stored sign-in
---@field chosen? fun(): msgraph.Opened?, string? of a chain: what it uses, once it has chosen, and its name there
---@field guard? msgraph.auth.Guard what a client has to do around each request

local function open(held, settings, spec)
  local made, err = make_core(settings)
  if not made then return nil, err end
  local login = settings.endpoint or settings.authority
  local opened = { core = made, login = login and login:match("^%a+://([^/:]+)"), authority = settings.authority,
    consent_url = consent_url(settings) }
  if spec.sign_in then
    local user = require "msgraph.auth.user" -- only who needs it loads it
    opened.guard = user.guard(made, function() return user[spec.sign_in](made, held, settings) end)
  end
  return opened
end

-- What one credential with the same settings is opened to: clients share its token.
local function shared(held, key, make_it)
  held.opened = held.opened or {}
  local opened, err = held.opened[key], nil
  if not opened then
    opened, err = make_it()
    held.opened[key] = opened
  end
  return opened, err
end

local function resource_of(identity)
  return (identity.scope:gsub("/%.default$", ""))
end

-- What the core is told of the host we run on; `identity` says only for which Graph.
local function host_settings(held, identity)
  local managed = require "msgraph.auth.managed"
  local settings = managed.settings(held, identity.scope, managed.find())
  if settings.secret then errors.hide(held, settings.secret) end
  return settings
end

-- How the kinds are opened that are more, or less, than a grant of the core's.
local OPENERS = {}

function OPENERS.token(held)
  return open(held, { token = held.token }, {})
end

function OPENERS.callback(held)
  return require("msgraph.auth.callback").open(held.callback)
end

function OPENERS.managed_identity(held, identity)
  return open(held, host_settings(held, identity), KINDS.managed_identity)
end

function OPENERS.azure_cli(held, identity)
  return require("msgraph.auth.azure_cli").open(resource_of(identity), held.tenant_id or identity.tenant_id)
end

function OPENERS.stored(held, identity)
  local settings, failure = require("msgraph.auth.stored").settings(held.profile, identity)
  if not settings then return nil, errors.from_failure(failure) end
  local opened, err = open(held, settings, KINDS.stored)
  if opened then opened.profile = settings.profile end
  return opened, err
end

function OPENERS.default(_, identity)
  return require("msgraph.auth.chain").open(require("msgraph.auth.sources").list(identity))
end

local function open_grant(kind, held, identity)
  local spec = KINDS[kind]
  local settings = merged(held, identity, spec)
  local err = lacking(kind, settings)
  if err then return nil, err end
  return shared(held, key_of(settings), function() return open(held, settings, spec) end)
end

--- What a client needs of a credential.
---@package
---@param credential msgraph.Credential
---@param identity msgraph.Identity
---@return msgraph.Opened?
---@return msgraph.Error? code "bad_option": tenant or client are said nowhere, or an option can not be used
function M.open(credential, identity)
  local kind, held = credential.kind, secrets[credential]
  local opener = OPENERS[kind]
  local key = (kind == "token" or kind == "callback") and "" or key_of(identity)
  local opened, err
  if opener then
    opened, err = shared(held, key, function() return opener(held, identity) end)
  else
    opened, err = open_grant(kind, held, identity)
  end
  if opened then opened.kind = kind end
  return opened, err
end

--- A user signs in anew, and the sign-in is kept.
---@package
---@param store msgraph.core.Store
---@param identity msgraph.Identity
---@param kind "device_code"|"auth_code"
---@param opts table as auth/user.lua takes it
---@return msgraph.core.Credential?
---@return msgraph.Error?
function M.sign_in(store, identity, kind, opts)
  local settings = merged({ grant = "refresh_token", store = store }, identity, KINDS[kind])
  local err = lacking(kind, settings)
  if err then return nil, err end
  local made
  made, err = make_core(settings)
  if not made then return nil, err end
  local failure = require("msgraph.auth.user")[kind](made, opts, settings)
  if not failure then return made end
  return nil, errors.from_failure(failure, nil, settings.authority:match("^%a+://([^/:]+)"), consent_url(settings))
end

return M
