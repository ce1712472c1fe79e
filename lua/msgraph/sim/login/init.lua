-- lua/msgraph/sim/login/init.lua - the login side of a tenant: Entra's OAuth 2.0 endpoints, v2.0.
--
-- It gives out tokens and says why not; what a token opens is Graph's business. What a request carried
-- (secret, assertion, code, token) is looked at and forgotten: the log keeps who asked for what, and what became
-- of it. Sources: FACTS 6.4 and 7.
local apps = require "msgraph.sim.login.apps"
local authorize = require "msgraph.sim.login.authorize"
local base64 = require "msgraph.sim.login.base64"
local cjson = require("cjson").new()
local device = require "msgraph.sim.login.device"
local form = require "msgraph.sim.login.form"
local grants = require "msgraph.sim.login.grants"
local imds = require "msgraph.sim.login.imds"
local json = require "msgraph.sim.json"
local people = require "msgraph.sim.people"
local random = require "msgraph.sim.random"
local refusal = require "msgraph.sim.login.refusal"
local reply = require "msgraph.sim.reply"
local scopes = require "msgraph.sim.login.scope"

local M = {}

local Login = {}
Login.__index = Login

local KIND_OF_TENANT <const> = 41
local KIND_OF_STREAM <const> = 45

local HOUR <const> = 3600
local REFRESH_TOKEN_LIFETIME <const> = 90 * 24 * HOUR -- without use

--- The log keeps the newest entries only.
local LOG_LENGTH <const> = 100000

local BASE64URL <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

---@class msgraph.sim.LoginParts      what it shares with the rest of the tenant
---@field seed integer
---@field store msgraph.sim.Store
---@field identity msgraph.sim.Identity
---@field clock msgraph.sim.Clock
---@field token_lifetime? integer     seconds, default 3600
---@field device_code_interval? integer  seconds between two polls, default 5

---@class msgraph.sim.Login: msgraph.sim.LoginParts
---@param parts msgraph.sim.LoginParts
---@return msgraph.sim.Login
function M.new(parts)
  local registrations, tenant_id = apps.new(parts.seed), random.id(parts.seed, KIND_OF_TENANT, 0)
  parts.identity.tenant_id = tenant_id
  return setmetatable({
    seed = parts.seed, store = parts.store, identity = parts.identity, clock = parts.clock,
    lifetime = parts.token_lifetime or HOUR, interval = parts.device_code_interval or 5,
    tenant_id = tenant_id,
    stream = random.stream(parts.seed, KIND_OF_STREAM, 0),
    apps = registrations, machine = registrations:add {},
    refresh = {}, codes = {}, devices = {}, policies = {}, seen = {},
    log = {}, first = 1, count = 0,
  }, Login)
end

-- ---- requests --------------------------------------------------------------------------------

local DEVICE_PAGE <const> = "/devicelogin"

-- name -> method, where its fields are, whether a browser asks, what it does; `bare`: a machine's own
local ENDPOINTS = imds.endpoints()
ENDPOINTS.token = { method = "POST", run = grants.token }
ENDPOINTS.devicecode = { method = "POST", run = device.start, grant = "device_code" }
ENDPOINTS.authorize = { method = "GET", run = authorize.authorize, grant = "authorization_code", browser = true }

--- Which endpoint of ours a path is.
---@param path string as sent
---@return string? endpoint nil: none, the path is Graph's
---@return string? tenant as the path names it
local function find_endpoint(path)
  if imds.at(path) then return imds.at(path) end
  local directory, name = path:match("^/([^/]+)/oauth2/v2%.0/(%l+)/?$")
  if ENDPOINTS[name] and not ENDPOINTS[name].bare then return name, form.unescape(directory) or "" end
  return nil
end

local function is_guid(text)
  return text and #text == 36 and text:find("^%x+%-%x+%-%x+%-%x+%-%x+$") ~= nil
end

---@class msgraph.sim.TokenRequest     an entry of tenant:token_requests()
---@field n integer                   the number tenant:requests() gives it
---@field at number                   Unix seconds, tenant time
---@field endpoint string             "token", "devicecode", "authorize"; of machines "imds", "app_service",
---                                   "azure_arc", "azure_ml", "service_fabric", "cloud_shell"
---@field grant? string               "client_credentials", "refresh_token", "authorization_code", "device_code",
---                                   "on_behalf_of", "managed_identity"; "other" for one that is none of them
---@field directory? string           the tenant as the path names it
---@field client_id? string
---@field credential? string          "secret", "certificate", "federated": what the client proved itself with
---@field scope? string               as sent
---@field claims? string              as sent
---@field cp1 boolean                 whether the client declared that it understands claims challenges
---@field user? string                principal name, once it is known
---@field status? integer             nil when the connection was reset
---@field error? string               OAuth's word for it
---@field code? integer               AADSTS number
---@field correlation_id? string      as the client sent it
---@field fault? string               kind of the fault that spoilt it

--- What a token asked for may say in its claims parameter, and whether "cp1" is in it.
local function read_claims(text)
  if not text then return true, false end
  local ok, claims = pcall(cjson.decode, text)
  if not ok or type(claims) ~= "table" then return false, false end
  local node = claims
  for _, name in ipairs { "access_token", "xms_cc", "values" } do
    node = type(node) == "table" and node[name] or nil
  end
  for _, value in ipairs(type(node) == "table" and node or {}) do
    if tostring(value):lower() == "cp1" then return true, true end
  end
  return true, false
end

local function new_entry(ctx, name, fields)
  local grant = grants.GRANTS[fields.grant_type]
  local sound, cp1 = read_claims(fields.claims)
  ctx.cp1 = cp1
  return {
    n = ctx.n, at = ctx.now, endpoint = name,
    grant = ENDPOINTS[name].grant or grant and grant[1] or fields.grant_type and "other" or nil,
    directory = ctx.directory, client_id = is_guid(fields.client_id) and fields.client_id:lower() or nil,
    scope = fields.scope, claims = sound and fields.claims or nil, cp1 = cp1,
    correlation_id = ctx.headers["client-request-id"],
  }
end

local function is_of_machine(ctx)
  local endpoint = ctx.login and ENDPOINTS[ctx.login.endpoint]
  return endpoint ~= nil and endpoint.bare == true
end

--- Whether plain HTTP will do for a request: to the machines' own endpoints, and not to all of them.
---@param ctx msgraph.sim.Context
---@return boolean
function Login.is_for_plain(ctx)
  return is_of_machine(ctx) and not ENDPOINTS[ctx.login.endpoint].tls
end

--- A failure that a fault rule makes, in the shape of the endpoint.
---@param ctx msgraph.sim.Context
---@param rule msgraph.sim.Fault
---@return msgraph.sim.Answer
function M.failure(ctx, rule)
  return (is_of_machine(ctx) and imds or refusal).failure(ctx, rule)
end

--- Whether a request is for the login side; begins its entry in the log.
---@param ctx msgraph.sim.Context
---@param body? string
---@return boolean
function Login.begin(ctx, body)
  if ctx.path == DEVICE_PAGE then
    ctx.login = {}
    return true
  end
  local name, directory = find_endpoint(ctx.path)
  if not name then return false end
  ctx.directory = directory and directory:lower()
  if ENDPOINTS[name].method == "GET" then
    ctx.fields = form.parse(ctx.query)
  else
    ctx.fields = form.body(ctx.headers["content-type"], body)
    if not ENDPOINTS[name].bare then grants.take_basic(ctx) end
  end
  ctx.login = new_entry(ctx, name, ctx.fields or {})
  return true
end

--- 90002 for a tenant that is not this one, by none of its names.
local function check_tenant(login, ctx)
  local directory = ctx.directory
  if directory == "common" or directory == "organizations" or login:is_own_name(directory) then return nil end
  return refusal.new(90002, directory)
end

local function check_request(login, ctx, endpoint)
  if ctx.method ~= endpoint.method then return refusal.new(900561, endpoint.method, ctx.method) end
  if not ctx.fields then return refusal.new(9002313) end
  if not read_claims(ctx.fields.claims) then return refusal.new(9002313) end
  return not endpoint.bare and check_tenant(login, ctx) or nil
end

--- Answers a request that Login.begin took.
---@param ctx msgraph.sim.Context
---@param body? string
---@return msgraph.sim.Answer
function Login:answer(ctx, body)
  if ctx.path == DEVICE_PAGE then return device.page(self, ctx, body) end
  local endpoint = ENDPOINTS[ctx.login.endpoint]
  local answer, problem = nil, check_request(self, ctx, endpoint)
  if not problem then answer, problem = endpoint.run(self, ctx) end
  if not problem then return answer end
  ctx.login.error, ctx.login.code = problem.error, problem.number
  return (endpoint.browser and refusal.page or refusal.answer)(ctx, problem)
end

--- Ends a request: the headers this service sends, and what its log says became of it.
---@param ctx msgraph.sim.Context
---@param answer msgraph.sim.Answer
function Login:finish(ctx, answer)
  local headers = answer.headers
  headers["Cache-Control"], headers["Pragma"] = "no-store, no-cache", "no-cache"
  headers["x-ms-request-id"], headers["request-id"], headers["x-ms-ags-diagnostic"] = ctx.request_id, nil, nil
  headers["client-request-id"] = ctx.headers["client-request-id"]
  local entry = ctx.login
  if not entry.endpoint then return end
  entry.status, entry.fault = not answer.reset and answer.status or nil, ctx.fault
  self.count = self.count + 1
  self.log[self.count] = entry
  if self.count - self.first >= LOG_LENGTH then
    self.log[self.first] = nil
    self.first = self.first + 1
  end
end

--- The log, oldest first.
---@return msgraph.sim.TokenRequest[]
function Login:entries()
  return table.move(self.log, self.first, self.count, 1, {})
end

-- ---- what the endpoints ask ------------------------------------------------------------------

--- Whether this is a name of the tenant: its id or a domain.
---@param name string
function Login:is_own_name(name)
  return name == self.tenant_id or name == people.DOMAIN or name == people.INITIAL_DOMAIN
end

--- Whether an audience is this token endpoint's address, under any name of the tenant.
---@param audience any
function Login:is_token_endpoint(ctx, audience)
  if type(audience) ~= "string" then return false end
  local origin, name = audience:match("^(%a+://[^/]+)/([^/]+)/oauth2/v2%.0/token$")
  return origin == ctx.origin and self:is_own_name(name:lower())
end

---@return msgraph.sim.App?
---@return msgraph.sim.Refusal?
function Login:find_app(ctx)
  local id = ctx.fields.client_id
  if not id then return nil, refusal.new(900144, "client_id") end
  local app = self.apps:find(id)
  if not app or app == self.machine or app.managed_identity then
    return nil, refusal.new(700016, id, ctx.directory)
  end
  return app
end

--- People of any tenant may sign in to a multi-tenant app only.
---@return msgraph.sim.Refusal?
function Login:check_directory(ctx, app)
  if not app.multi_tenant and not self:is_own_name(ctx.directory) then return refusal.new(50194, app.client_id) end
end

--- Whether tokens for a resource are to be had: Graph's, and those of an app here.
---@return msgraph.sim.Refusal?
function Login:check_resource(scope)
  if scope.resource == scopes.GRAPH or self:audience_of(scope) then return nil end
  return refusal.new(500011, scope.resource, people.DOMAIN)
end

--- The app whose tokens "api://CLIENT_ID" asks for; nil for Graph.
function Login:audience_of(scope)
  local app = self.apps:find(scope.resource:match("^api://(.*)$"))
  return app and app.client_id
end

---@return msgraph.sim.Refusal?
function Login:check_app(app)
  local policy = self.policies[app.client_id] or {}
  if policy.blocked then return refusal.by_policy(self.seed, 53003) end
end

---@param mfa boolean whether the session began with more than a password
---@return msgraph.sim.Refusal?
function Login:check_user(user, mfa)
  local policy = self.policies[user.id] or {}
  if policy.disabled or not user.accountEnabled and policy.disabled == nil then return refusal.new(50057) end
  if policy.blocked then return refusal.by_policy(self.seed, 53003) end
  if policy.mfa and not mfa then return refusal.by_policy(self.seed, 50076, "00000003-0000-0000-c000-000000000000") end
end

--- Tenant seconds that pass while so many of the client's do. Lifetimes are told to a client in its own seconds.
---@param seconds number
function Login:span(seconds)
  return seconds * (self.clock.speed > 0 and self.clock.speed or 1)
end

--- Text that means nothing to whom it is given.
function Login:opaque(prefix, n)
  return prefix .. self.stream:text(n, BASE64URL)
end

-- ---- tokens ----------------------------------------------------------------------------------

local function set(list)
  local out = {}
  for _, name in ipairs(list) do out[name] = true end
  return out
end

--- An application's own access token, and how many seconds it lives.
---@return string token
---@return integer life
function Login:application_token(ctx, app, audience)
  local token = self.identity:mint {
    kind = "application", scopes = set(app.roles), roles = {}, client_id = app.client_id, cp1 = ctx.cp1,
    audience = audience, expires = ctx.now + self:span(self.lifetime),
  }
  return token, self.lifetime
end

local FIELDS = {
  "token_type", "scope", "expires_in", "ext_expires_in", "refresh_in", "access_token", "refresh_token", "id_token",
  "client_info",
}

--- The answer of FACTS 7.1; what is nil is not in it.
local function token_answer(login, tokens)
  tokens.token_type, tokens.expires_in, tokens.ext_expires_in = "Bearer", login.lifetime, login.lifetime
  if login.lifetime > 2 * HOUR then tokens.refresh_in = login.lifetime // 2 end
  local names = {}
  for _, name in ipairs(FIELDS) do
    if tokens[name] then names[#names + 1] = name end
  end
  return reply.text(200, "application/json; charset=utf-8", json.encode(json.ordered(tokens, names)))
end

---@return msgraph.sim.Answer
function Login:application_answer(ctx, app, scope)
  local token = self:application_token(ctx, app, self:audience_of(scope))
  return token_answer(self, { scope = scopes.text(scope, {}), access_token = token })
end

-- {"typ":"JWT","alg":"RS256"}
local JWT_HEADER <const> = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9"

--- Who signed in, for the client. The signature is as long as one and is none: a client that got the token from us
--- over TLS need not look at it (OpenID Connect Core 3.1.3.7).
local function id_token(login, ctx, app, grant)
  local now, user = math.floor(ctx.now), grant.user
  local claims = json.encode {
    aud = app.client_id, iss = ctx.origin .. "/" .. login.tenant_id .. "/v2.0", iat = now, nbf = now,
    exp = math.floor(now + login:span(login.lifetime)), name = user.displayName, oid = user.id,
    preferred_username = user.userPrincipalName, sub = user.id, tid = login.tenant_id, ver = "2.0",
    nonce = grant.nonce,
  }
  return JWT_HEADER .. "." .. base64.url(claims) .. "." .. login.identity:signature()
end

local function client_info(login, user)
  return base64.url(json.encode { uid = user.id, utid = login.tenant_id })
end

local function new_refresh_token(login, ctx, app, grant)
  local token = login:opaque("1.A", 1000)
  login.refresh[token] = {
    client_id = app.client_id, user = grant.user, scope = grant.scope, mfa = grant.mfa,
    serial = login.identity:stamp(), expires = ctx.now + login:span(REFRESH_TOKEN_LIFETIME),
  }
  return token
end

---@class msgraph.sim.Grant
---@field user msgraph.sim.User
---@field scope msgraph.sim.Scope
---@field mfa boolean
---@field nonce? string

--- Tokens of a signed-in user.
---@param grant msgraph.sim.Grant
---@return msgraph.sim.Answer?
---@return msgraph.sim.Refusal?
function Login:delegated_answer(ctx, app, grant)
  local user, scope = grant.user, grant.scope
  ctx.login.user = user.userPrincipalName
  local problem = self:check_user(user, grant.mfa) or self:check_resource(scope)
  if problem then return nil, problem end
  local granted
  granted, problem = scopes.granted(scope, app)
  if not granted then return nil, problem end
  local words = scope.words
  return token_answer(self, {
    scope = scopes.text(scope, granted),
    access_token = self.identity:mint {
      kind = "delegated", user = user, scopes = set(granted), roles = set { user.role }, client_id = app.client_id,
      cp1 = ctx.cp1, mfa = grant.mfa, audience = self:audience_of(scope), expires = ctx.now + self:span(self.lifetime),
    },
    refresh_token = words.offline_access and new_refresh_token(self, ctx, app, grant) or nil,
    id_token = words.openid and id_token(self, ctx, app, grant) or nil,
    client_info = ctx.fields.client_info == "1" and client_info(self, user) or nil,
  })
end

-- ---- people and administrators ---------------------------------------------------------------

local function need_user(login, who)
  return login.store:find_user(tostring(who)) or error("no such user: " .. tostring(who), 0)
end

local function need_app(login, client_id)
  return login.apps:find(tostring(client_id)) or error("no such app: " .. tostring(client_id), 0)
end

--- Who is at the browser: an administrator, until somebody else signs in.
---@return { user: msgraph.sim.User, decline: boolean }
function Login:person_at_browser()
  return self.person or { user = self.store:user(math.min(people.ADMIN, self.store.size)), decline = false }
end

local function waiting(login, user_code)
  local out = {}
  for _, one in pairs(login.devices) do
    if not one.user and not one.declined and (not user_code or one.user_code == user_code) then out[#out + 1] = one end
  end
  return out
end

---@class msgraph.sim.SignInOpts
---@field user_code? string  the device flow that is meant; default every one that waits
---@field user? string       id or principal name; default whoever was at the browser before
---@field decline? boolean   says no

--- What a person does at the page where a device code is typed in. He stays at the browser: the authorization
--- endpoint meets him there. Raises for a code or user that is none.
---@param opts msgraph.sim.SignInOpts
---@return integer how many device flows that settled
function Login:sign_in(opts)
  for name in pairs(opts) do
    if name ~= "user_code" and name ~= "user" and name ~= "decline" then
      error("sign_in: unknown option '" .. tostring(name) .. "'", 0)
    end
  end
  local user = opts.user and need_user(self, opts.user) or self:person_at_browser().user
  local devices = waiting(self, opts.user_code and opts.user_code:upper())
  if opts.user_code and #devices == 0 then error("sign_in: no such user code waits", 0) end
  self.person = { user = user, decline = opts.decline or false }
  for _, one in ipairs(devices) do
    one.declined = self.person.decline
    if not one.declined then one.user, one.mfa = user, true end
  end
  return #devices
end

--- A device code is spent.
function Login:forget_device(one)
  self.devices[one.device_code] = nil
end

--- Ends the sessions of a user, or of everybody and itself at an app.
---@param who string user or client id
function Login:revoke(who)
  local app = self.apps:find(tostring(who))
  self.identity:revoke(app and app.client_id or need_user(self, who).id, self.clock:now())
end

---@class msgraph.sim.Policy
---@field mfa? boolean       sessions that began without more than a password are interrupted (50076)
---@field blocked? boolean   no token is issued (53003)
---@field disabled? boolean  a user's account is disabled at sign-in (50057)

--- Says what conditional access demands of a user or an app from now on. Sessions older than the demand for MFA do
--- not fulfil it.
---@param who string user or client id
---@param policy msgraph.sim.Policy
function Login:policy(who, policy)
  for name, value in pairs(policy) do
    if (name ~= "mfa" and name ~= "blocked" and name ~= "disabled") or type(value) ~= "boolean" then
      error("policy: mfa, blocked and disabled are booleans", 0)
    end
  end
  local app = self.apps:find(tostring(who))
  local user = not app and need_user(self, who)
  if user and policy.mfa then
    for _, session in pairs(self.refresh) do
      if session.user.id == user.id then session.mfa = false end
    end
  end
  self.policies[app and app.client_id or user.id] = policy
end

--- Registers an application.
---@param opts msgraph.sim.AppOpts
---@return table public part: client_id, client_secret, object_id, resource_id
function Login:app(opts)
  local app = self.apps:add(opts)
  return { client_id = app.client_id, object_id = app.object_id,
    client_secret = app.secrets[1] and app.secrets[1].value,
    resource_id = app.managed_identity and apps.resource_id(app) or nil }
end

--- Replaces an app's credentials by new ones, as a rotation does.
---@param client_id string
---@param opts msgraph.sim.AppOpts secret, certificate, federated
---@return table client_secret
function Login:set_credentials(client_id, opts)
  return self.apps:set_credentials(need_app(self, client_id), opts)
end

--- See msgraph.sim.login.imds.
---@param arg { host: string, key_directory?: string }
---@return { path: string, secret?: string }
function Login:machine_endpoint(arg)
  return imds.describe(self, arg)
end

---@param client_id string
function Login:expire_secret(client_id)
  for _, secret in ipairs(need_app(self, client_id).secrets) do secret.expired = true end
end

---@param client_id string
---@param permission string
function Login:remove_consent(client_id, permission)
  apps.remove_consent(need_app(self, client_id), permission)
end

return M
