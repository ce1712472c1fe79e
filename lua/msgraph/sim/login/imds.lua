-- lua/msgraph/sim/login/imds.lua - the endpoints where machines with managed identities get their tokens
-- (FACTS 7.3): the metadata service of a virtual machine, and its relatives.
--
-- One tenant plays all six kinds of hosts at once, so some of their paths have a word more than the real ones.
-- All are plain HTTP but Service Fabric's, as they are where they are real.
local json = require "msgraph.sim.json"
local reply = require "msgraph.sim.reply"
local scopes = require "msgraph.sim.login.scope"

local M = {}

local JSON <const> = "application/json; charset=utf-8"
local KEY_LENGTH <const> = 64

-- ---- how each host says no ------------------------------------------------------------------------

local function oauth_error(_, error, text)
  return json.ordered({ error = error, error_description = text }, { "error", "error_description" })
end

local function wrapped_error(_, error, text)
  return { error = json.ordered({ code = error, message = text }, { "code", "message" }) }
end

local function app_service_error(status, _, text)
  return json.ordered({ statusCode = status, message = text }, { "statusCode", "message" })
end

-- ---- the hosts ------------------------------------------------------------------------------------

---@class msgraph.sim.Host
---@field path string
---@field version? string         the api-version it knows; nil: any, false: it wants none
---@field secret? string          the header that carries its secret; nil: it wants `Metadata: true`
---@field ids table<string, string> what it calls "client_id", "object_id", "msi_res_id"
---@field fields string[]         of its answer
---@field refusal fun(status: integer, error: string, text: string): table

---@type table<string, msgraph.sim.Host>
local HOSTS = {
  imds = {
    path = "/metadata/identity/oauth2/token", refusal = oauth_error,
    ids = { client_id = "client_id", object_id = "object_id", msi_res_id = "msi_res_id" },
    fields = { "access_token", "client_id", "expires_in", "expires_on", "ext_expires_in", "not_before",
      "refresh_token", "resource", "token_type" },
  },
  app_service = {
    path = "/msi/token", version = "2019-08-01", secret = "x-identity-header", refusal = app_service_error,
    ids = { client_id = "client_id", principal_id = "object_id", mi_res_id = "msi_res_id" },
    fields = { "access_token", "client_id", "expires_on", "resource", "token_type" },
  },
  azure_arc = {
    path = "/arc/metadata/identity/oauth2/token", version = "2020-06-01", refusal = oauth_error, ids = {},
    fields = { "access_token", "expires_in", "expires_on", "not_before", "resource", "token_type" },
    challenges = true,
  },
  azure_ml = {
    path = "/MSI/auth", version = "2017-09-01", secret = "secret", refusal = wrapped_error,
    ids = { clientid = "client_id" },
    fields = { "access_token", "client_id", "expires_on", "resource", "token_type" },
  },
  service_fabric = {
    path = "/fabric/metadata/identity/oauth2/token", version = "2019-07-01-preview", secret = "secret",
    refusal = wrapped_error, ids = {}, tls = true, numbers = true,
    fields = { "token_type", "access_token", "expires_on", "resource" },
  },
  cloud_shell = {
    path = "/oauth2/token", version = false, method = "POST", refusal = wrapped_error, ids = {},
    fields = { "access_token", "expires_in", "expires_on", "not_before", "refresh_token", "resource", "token_type" },
  },
}

local AT = {}
for name, host in pairs(HOSTS) do AT[host.path] = name end

--- The host whose endpoint a path is.
---@param path string
---@return string? name
function M.at(path)
  return AT[path]
end

--- What the login side knows about each of its endpoints.
---@return table<string, table>
function M.endpoints()
  local out = {}
  for name, host in pairs(HOSTS) do
    out[name] = {
      method = host.method or "GET", run = M.token, grant = "managed_identity", bare = true, tls = host.tls,
    }
  end
  return out
end

--- Where a host's endpoint is, and the secret of its processes.
---@param login msgraph.sim.Login
---@param arg { host: string, key_directory?: string } where Azure Arc's keys are put
---@return { path: string, secret?: string }
function M.describe(login, arg)
  local host = HOSTS[arg.host] or error("environment: no host '" .. tostring(arg.host) .. "'", 0)
  if host.challenges and not arg.key_directory then error("environment: key_directory is missing", 0) end
  login.key_directory = host.challenges and arg.key_directory or login.key_directory
  if host.secret then login.host_secret = login.host_secret or login:opaque("", KEY_LENGTH) end
  return { path = host.path, secret = host.secret and login.host_secret }
end

-- ---- refusing -------------------------------------------------------------------------------------

local function refuse(ctx, status, error, text)
  local host = HOSTS[ctx.login.endpoint]
  ctx.login.error = error
  return reply.text(status, JSON, json.encode(host.refusal(status, error, text)))
end

-- What a host says when it fails: status -> error, text.
local FAILURES = {
  [400] = { "invalid_request", "Identity not found" },
  [404] = { "not_found", "The identity has not been assigned yet." },
  [410] = { "gone", "The metadata service is being updated." },
  [429] = { "too_many_requests", "Too many requests." },
  [500] = { "unknown", "Failed to retrieve token from the Active directory. For details see logs." },
}

--- A failure made by a fault rule.
---@param ctx msgraph.sim.Context
---@param rule msgraph.sim.Fault
---@return msgraph.sim.Answer
function M.failure(ctx, rule)
  local status = rule.status or 429
  local usual = FAILURES[status] or FAILURES[500]
  local answer = refuse(ctx, status, rule.code or usual[1], rule.message or usual[2])
  reply.retry_after(answer, rule)
  return answer
end

local function check_caller(login, ctx, host)
  local headers = ctx.headers
  if host.secret and (not login.host_secret or headers[host.secret] ~= login.host_secret) then
    return refuse(ctx, 401, "SecretHeaderNotFound", "The secret is missing or is not this host's")
  end
  if not host.secret and (headers.metadata or ""):lower() ~= "true" then
    return refuse(ctx, 400, "invalid_request", "Required metadata header not specified")
  end
  if headers["x-forwarded-for"] then
    return refuse(ctx, 400, "invalid_request", "Requests that came through a proxy are not answered")
  end
end

local function check_question(ctx, host)
  local fields = ctx.fields
  local version = fields["api-version"]
  if host.version ~= false and not version then
    return refuse(ctx, 400, "invalid_request", "Required query variable 'api-version' is missing")
  end
  if host.version and version ~= host.version then
    return refuse(ctx, 400, "invalid_request", "The api-version is not supported")
  end
  if not fields.resource then
    return refuse(ctx, 400, "invalid_request", "Required audience parameter not specified")
  end
  if not scopes.is_graph(fields.resource, ctx.origin) then
    return refuse(ctx, 400, "invalid_resource", "AADSTS500011: The resource principal named " .. fields.resource
      .. " was not found in the tenant.")
  end
end

-- ---- Azure Arc's challenge ----------------------------------------------------------------------------

local function write_key(login)
  login.key_count = (login.key_count or 0) + 1
  local path = ("%s/%d.key"):format(login.key_directory, login.key_count)
  local file = assert(io.open(path, "wb"))
  login.key = { path = path, text = login:opaque("", KEY_LENGTH) }
  file:write(login.key.text)
  file:close()
  return path
end

-- Whoever asks proves that he can read a file, a new one each time.
local function check_proof(login, ctx, host)
  if not host.challenges then return nil end
  local key = login.key
  if key and ctx.headers.authorization == "Basic " .. key.text then
    os.remove(key.path)
    login.key = nil
    return nil
  end
  if key then os.remove(key.path) end
  local answer = refuse(ctx, 401, "invalid_request", "A proof is wanted")
  answer.headers["WWW-Authenticate"] = "Basic realm=" .. write_key(login)
  return answer
end

-- ---- tokens -------------------------------------------------------------------------------------------

--- The identity asked for: the machine's own unless one is named. nil when there is no such one.
local function find_identity(login, host, fields)
  for name, kind in pairs(host.ids) do
    if fields[name] then return login.apps:managed(kind, fields[name]) end
  end
  return login.machine
end

-- Numbers are texts, at most of the hosts.
local function number(host, value)
  return host.numbers and math.floor(value) or tostring(math.floor(value))
end

--- Answers a request for a token.
---@param login msgraph.sim.Login
---@param ctx msgraph.sim.Context
---@return msgraph.sim.Answer
function M.token(login, ctx)
  local host = HOSTS[ctx.login.endpoint]
  local problem = check_caller(login, ctx, host) or check_question(ctx, host) or check_proof(login, ctx, host)
  if problem then return problem end
  local app = find_identity(login, host, ctx.fields)
  if not app then return refuse(ctx, 400, "invalid_request", "Identity not found") end
  ctx.login.client_id = app.client_id
  local token, life = login:application_token(ctx, app)
  local values = {
    access_token = token, client_id = app.client_id,
    expires_in = number(host, life), ext_expires_in = number(host, life),
    expires_on = number(host, ctx.now + login:span(life)), not_before = number(host, ctx.now), refresh_token = "",
    resource = ctx.fields.resource, token_type = "Bearer",
  }
  return reply.text(200, JSON, json.encode(json.ordered(values, host.fields)))
end

return M
