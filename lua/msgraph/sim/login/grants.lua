-- lua/msgraph/sim/login/grants.lua - the token endpoint: a grant and a client's credential in, tokens out.
local assertion = require "msgraph.sim.login.assertion"
local base64 = require "msgraph.sim.login.base64"
local crypto = require "msgraph.sim.server"
local form = require "msgraph.sim.login.form"
local refusal = require "msgraph.sim.login.refusal"
local scopes = require "msgraph.sim.login.scope"

local M = {}

local ASSERTION_TYPE <const> = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

-- ---- the client's credential -----------------------------------------------------------------

--- client_id and client_secret may come as Basic credentials instead, each escaped as in a form (RFC 6749 2.3.1).
function M.take_basic(ctx)
  local encoded = (ctx.headers.authorization or ""):match("^[Bb]asic +(.*)$")
  local id, secret = (base64.decode(encoded) or ""):match("^([^:]*):(.*)$")
  if not id or not ctx.fields then return end
  ctx.fields.client_id = ctx.fields.client_id or form.unescape(id)
  ctx.fields.client_secret = ctx.fields.client_secret or form.unescape(secret)
end

local function check_secret(app, given)
  for _, secret in ipairs(app.secrets) do
    if secret.value == given then
      return secret.expired and refusal.new(7000222, app.client_id) or nil
    end
  end
  return refusal.new(7000215, app.client_id)
end

local function has_credentials(app)
  return #app.secrets + #app.certificates + #app.federated > 0
end

--- Whether the request is really the app's. Without a credential only a public client may ask, and never for itself.
local function check_client(login, ctx, app, for_itself)
  local fields, entry = ctx.fields, ctx.login
  local given = fields.client_assertion or fields.client_secret
  if not given then
    return (for_itself or not app.public) and refusal.new(7000218) or nil
  end
  if app.public and not has_credentials(app) then return refusal.new(700025) end
  if not fields.client_assertion then
    entry.credential = "secret"
    return check_secret(app, given)
  end
  if fields.client_assertion_type ~= ASSERTION_TYPE then return refusal.new(9002313) end
  local kind, problem = assertion.check(login, ctx, app, given)
  entry.credential = kind
  return problem
end

-- ---- grants ----------------------------------------------------------------------------------

local function client_credentials(login, ctx, app)
  if ctx.directory == "common" then return nil, refusal.new(9001023) end
  if ctx.directory == "organizations" then return nil, refusal.new(50194, app.client_id) end
  local problem = check_client(login, ctx, app, true)
  if problem then return nil, problem end
  local scope
  scope, problem = scopes.parse(ctx, ctx.fields.scope)
  if not scope then return nil, problem end
  if not scope.default or next(scope.words) then return nil, refusal.new(70011, ctx.fields.scope) end
  problem = login:check_resource(scope) or login:check_app(app)
  if problem then return nil, problem end
  return login:application_answer(ctx, app, scope)
end

local function refresh_token(login, ctx, app)
  local problem = check_client(login, ctx, app)
  if problem then return nil, problem end
  if not ctx.fields.refresh_token then return nil, refusal.new(900144, "refresh_token") end
  local session = login.refresh[ctx.fields.refresh_token]
  if not session then return nil, refusal.new(70000) end
  if session.client_id ~= app.client_id then return nil, refusal.new(700005) end
  if ctx.now >= session.expires then return nil, refusal.new(700082) end
  if login.identity:revoked_at(session) then return nil, refusal.new(50173) end
  local scope = session.scope
  if ctx.fields.scope then
    scope, problem = scopes.parse(ctx, ctx.fields.scope)
    if not scope then return nil, problem end
    scope.words.offline_access = true -- a session goes on, asked for or not
  end
  return login:delegated_answer(ctx, app, { user = session.user, scope = scope, mfa = session.mfa })
end

local function check_verifier(code, verifier)
  if not code.challenge and not verifier then return nil end
  local hashed = verifier and code.method == "S256" and base64.url(crypto.sha256(verifier)) or verifier
  return code.challenge ~= hashed and refusal.new(501481) or nil
end

local function authorization_code(login, ctx, app)
  local fields = ctx.fields
  local problem = check_client(login, ctx, app)
  if problem then return nil, problem end
  for _, name in ipairs { "code", "redirect_uri" } do
    if not fields[name] then return nil, refusal.new(900144, name) end
  end
  local code = login.codes[fields.code]
  if not code then return nil, refusal.new(70000) end
  if code.client_id ~= app.client_id then return nil, refusal.new(700005) end
  if code.used then return nil, refusal.new(54005) end
  code.used = true -- also when what follows fails: a guess gets one try
  if ctx.now >= code.expires then return nil, refusal.new(70008) end
  if code.redirect_uri ~= fields.redirect_uri then return nil, refusal.new(500112, fields.redirect_uri) end
  problem = check_verifier(code, fields.code_verifier)
  if problem then return nil, problem end
  if login.identity:revoked_at(code) then return nil, refusal.new(50173) end
  return login:delegated_answer(ctx, app, code)
end

--- Too soon is sooner than the interval in seconds of the client's clock, which need not be the tenant's.
local function too_fast(login, device)
  local now = login.clock.source()
  local soon = device.polled and now - device.polled < device.interval
  device.polled = now
  if soon then device.interval = device.interval + 5 end
  return soon
end

local function device_code(login, ctx, app)
  local problem = check_client(login, ctx, app)
  if problem then return nil, problem end
  if not ctx.fields.device_code then return nil, refusal.new(900144, "device_code") end
  local device = login.devices[ctx.fields.device_code]
  if not device or device.client_id ~= app.client_id then return nil, refusal.new(70018) end
  if ctx.now >= device.expires then return nil, refusal.new(70019) end
  if device.declined then return nil, refusal.as("authorization_declined", 65004) end
  if not device.user then
    if too_fast(login, device) then return nil, refusal.as("slow_down", 70016) end
    return nil, refusal.new(70016)
  end
  local answer
  answer, problem = login:delegated_answer(ctx, app, device)
  if answer then login:forget_device(device) end
  return answer, problem
end

--- The user's token is for the app that brings it; a token for Graph is for nobody else's use.
local function on_behalf_of(login, ctx, app)
  local fields = ctx.fields
  local problem = check_client(login, ctx, app, true)
  if problem then return nil, problem end
  if not fields.assertion then return nil, refusal.new(900144, "assertion") end
  if fields.requested_token_use ~= "on_behalf_of" then return nil, refusal.new(900144, "requested_token_use") end
  local caller = login.identity:find(fields.assertion)
  if not caller or caller.kind ~= "delegated" or ctx.now >= caller.expires then return nil, refusal.new(50013) end
  if caller.audience ~= app.client_id then return nil, refusal.new(500131) end
  if login.identity:revoked_at(caller) then return nil, refusal.new(50173) end
  local scope
  scope, problem = scopes.parse(ctx, fields.scope)
  if not scope then return nil, problem end
  return login:delegated_answer(ctx, app, { user = caller.user, scope = scope, mfa = caller.mfa })
end

--- grant_type -> what it is called in the log, and what it does
M.GRANTS = {
  client_credentials = { "client_credentials", client_credentials },
  refresh_token = { "refresh_token", refresh_token },
  authorization_code = { "authorization_code", authorization_code },
  ["urn:ietf:params:oauth:grant-type:device_code"] = { "device_code", device_code },
  ["urn:ietf:params:oauth:grant-type:jwt-bearer"] = { "on_behalf_of", on_behalf_of },
}

--- POST /{tenant}/oauth2/v2.0/token
---@param login msgraph.sim.Login
---@param ctx msgraph.sim.Context
---@return msgraph.sim.Answer?
---@return msgraph.sim.Refusal?
function M.token(login, ctx)
  local fields = ctx.fields
  if not fields.grant_type then return nil, refusal.new(900144, "grant_type") end
  local grant = M.GRANTS[fields.grant_type]
  if not grant then return nil, refusal.new(70003, fields.grant_type) end
  local app, problem = login:find_app(ctx)
  if not app then return nil, problem end
  if grant[2] ~= client_credentials then
    problem = login:check_directory(ctx, app)
    if problem then return nil, problem end
  end
  return grant[2](login, ctx, app)
end

return M
