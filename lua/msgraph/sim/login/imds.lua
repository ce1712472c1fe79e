-- lua/msgraph/sim/login/imds.lua - the metadata service of a machine with managed identities (FACTS 7.3).
local json = require "msgraph.sim.json"
local reply = require "msgraph.sim.reply"
local scopes = require "msgraph.sim.login.scope"

local M = {}

local JSON <const> = "application/json; charset=utf-8"

local FIELDS = {
  "access_token", "client_id", "expires_in", "expires_on", "ext_expires_in", "not_before", "refresh_token", "resource",
  "token_type",
}

local function refuse(ctx, error, text)
  ctx.login.error = error
  return reply.text(400, JSON, json.encode(json.ordered({ error = error, error_description = text },
    { "error", "error_description" })))
end

--- The identity asked for: the machine's own unless one is named. nil when there is no such one.
local function find_identity(login, fields)
  for _, name in ipairs { "client_id", "object_id", "msi_res_id" } do
    if fields[name] then return login.apps:managed(name, fields[name]) end
  end
  return login.machine
end

--- What of the request is wrong, if anything.
local function check(ctx)
  local fields, headers = ctx.fields, ctx.headers
  if (headers.metadata or ""):lower() ~= "true" then
    return refuse(ctx, "invalid_request", "Required metadata header not specified")
  end
  if headers["x-forwarded-for"] then
    return refuse(ctx, "invalid_request", "Requests that came through a proxy are not answered")
  end
  if not fields["api-version"] then
    return refuse(ctx, "invalid_request", "Required query variable 'api-version' is missing")
  end
  if not fields.resource then return refuse(ctx, "invalid_request", "Required audience parameter not specified") end
  if not scopes.is_graph(fields.resource, ctx.origin) then
    return refuse(ctx, "invalid_resource", "AADSTS500011: The resource principal named " .. fields.resource
      .. " was not found in the tenant.")
  end
end

--- GET /metadata/identity/oauth2/token
---@param login msgraph.sim.Login
---@param ctx msgraph.sim.Context
---@return msgraph.sim.Answer
function M.token(login, ctx)
  local problem = check(ctx)
  if problem then return problem end
  local app = find_identity(login, ctx.fields)
  if not app then return refuse(ctx, "invalid_request", "Identity not found") end
  ctx.login.client_id = app.client_id
  local token, life = login:application_token(ctx, app)
  local now = math.floor(ctx.now)
  return reply.text(200, JSON, json.encode(json.ordered({
    access_token = token, client_id = app.client_id, expires_in = tostring(life), ext_expires_in = tostring(life),
    expires_on = tostring(math.floor(ctx.now + login:span(life))), not_before = tostring(now), refresh_token = "",
    resource = ctx.fields.resource, token_type = "Bearer",
  }, FIELDS)))
end

return M
