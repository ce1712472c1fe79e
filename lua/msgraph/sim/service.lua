-- lua/msgraph/sim/service.lua - a request in, an answer out.
--
-- A request is checked in the order of the service: token, limits, path, permission, licence, role, object.
-- Faults come before all of that, as gateways do.
local clock = require "msgraph.sim.clock"
local identity = require "msgraph.sim.identity"
local logins = require "msgraph.sim.login"
local random = require "msgraph.sim.random"
local reply = require "msgraph.sim.reply"
local router = require "msgraph.sim.router"

local M = {}

local KIND_OF_REQUEST_ID <const> = 30

---@class msgraph.sim.Request
---@field method string
---@field target string                  path and query as sent
---@field headers table<string, string>  names in lower case
---@field body? string                   nil: too large to be read
---@field plain? boolean                 it came over HTTP

---@class msgraph.sim.Context             what a route is given
---@field method string
---@field path string                    as sent
---@field query string                   as sent
---@field headers table<string, string>
---@field plain? boolean                 it came over HTTP, which only machines' own endpoints answer
---@field body? string                   as sent
---@field part? fun(request: msgraph.sim.Request): msgraph.sim.Answer answers a part of a batch
---@field batch? integer                 of a part: the number of its batch
---@field origin string                  "https://host:port", as the client sees us
---@field base string                    origin and version
---@field params table<string, string>   what the path's {names} stand for
---@field user? msgraph.sim.User         the user in the path
---@field caller msgraph.sim.Caller
---@field store msgraph.sim.Store
---@field seed integer
---@field now number                     Unix seconds
---@field tenant_id string
---@field actions string[]               what the request did, filled by the route
---@field request_id string
---@field client_request_id string
---@field skew? number                   seconds the Date header is off
---@field spoil? string                  what a page becomes, by the fault "page"
---@field login? msgraph.sim.TokenRequest  of a request to the login side
---@field units? integer                what it cost the identity service, where limits hold
---@field share? number                  of the limit there that is nearest, what is used up
---@field fields? table<string, string>    its parameters
---@field directory? string                the tenant in its path, in lower case

local READS = { GET = true, HEAD = true }

local function store_for(tenant, method, now)
  return tenant.replica and READS[method] and tenant.replica:at(now) or tenant.store
end

local function new_context(tenant, request)
  tenant.count = tenant.count + 1
  local path, query = request.target:match("^([^?#]*)%??([^#]*)")
  local request_id = random.id(tenant.seed, KIND_OF_REQUEST_ID, tenant.count)
  local now = tenant.clock:now()
  return {
    n = tenant.count, now = now, seed = tenant.seed, store = store_for(tenant, request.method, now),
    tenant_id = tenant.login.tenant_id,
    method = request.method, path = path, query = query, headers = request.headers, body = request.body,
    plain = request.plain,
    origin = (request.plain and "http://" or "https://") .. (request.headers.host or "localhost"),
    request_id = request_id, client_request_id = request.headers["client-request-id"] or request_id,
    actions = {},
  }
end

local function decode_segment(text)
  if text:find("%%%X") or text:find("%%%x%X") or text:find("%%%x?$") then return nil end
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- The path's segments, decoded one by one, so that %2F stays inside its segment. nil when malformed.
local function split(path)
  local segments = {}
  for text in path:gsub("/$", ""):gmatch("/([^/]*)") do
    local segment = decode_segment(text)
    if not segment then return nil end
    local name, key = segment:match("^(%w+)%((.+)%)$") -- devices(deviceId='...') and users('...')
    if name then segments[#segments + 1] = name end
    segments[#segments + 1] = key and key:gsub("^'(.*)'$", "%1") or segment
  end
  return segments
end

--- "me" is the signed-in user; an application is nobody.
local function resolve_me(ctx, segments)
  if (segments[1] or ""):lower() ~= "me" then return segments end
  if not ctx.caller.user then
    return nil, reply.bad_request(ctx, "/me request is only valid with delegated authentication flow.")
  end
  return table.move(segments, 2, #segments, 3, { "users", ctx.caller.user.id })
end

local function find_route(ctx)
  local segments = split(ctx.path)
  if not segments then return nil, reply.bad_request(ctx, "Bad Request - Error in path: invalid percent-encoding") end
  local version = table.remove(segments, 1) or ""
  if version ~= "v1.0" and version ~= "beta" then
    return nil, reply.bad_request(ctx, "Invalid version: " .. version)
  end
  ctx.base = ctx.origin .. "/" .. version
  local no
  segments, no = resolve_me(ctx, segments)
  if not segments then return nil, no end
  local route, params = router.find(ctx.method, segments)
  if route then
    ctx.params = params
    return route
  end
  if params then
    return nil, reply.error(ctx, 405, "Request_BadRequest",
      "Specified HTTP method is not allowed for the request target.")
  end
  return nil, reply.bad_request(ctx, "Resource not found for the segment '" .. (segments[#segments] or "") .. "'.")
end

local function has_length(headers)
  return headers["content-length"] ~= nil or headers["transfer-encoding"] ~= nil
end

local BODY_METHODS = { POST = true, PUT = true, PATCH = true }

local function check_body(ctx, body)
  if not body then return reply.error(ctx, 413, "RequestEntityTooLarge", "The request body is too large.") end
  if BODY_METHODS[ctx.method] and not has_length(ctx.headers) then return reply.length_required() end
end

local function is_self(ctx)
  return ctx.caller.user and ctx.params.user
    and (ctx.params.user == ctx.caller.user.id or ctx.params.user:lower() == ctx.caller.user.userPrincipalName:lower())
end

local function check_scope(ctx, route)
  local scopes = is_self(ctx) and route.scopes_self or route.scopes
  if not scopes or identity.any(ctx.caller.scopes, scopes) then return nil end
  if route.service == "directory" then
    return reply.error(ctx, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
  end
  return reply.intune_error(ctx, 403, "Forbidden", "Application is not authorized to perform this operation. "
    .. "Application must have one of the following scopes: " .. table.concat(scopes, ", "))
end

local function check_licence(tenant, ctx, route)
  if route.service == "intune" and not tenant.intune then
    return reply.bad_request(ctx, "Request not applicable to target tenant.")
  end
end

local function check_role(ctx, route)
  if ctx.caller.kind == "application" or not route.roles then return nil end
  if identity.any(ctx.caller.roles, route.roles) then return nil end
  return reply.wrapped_intune_error(ctx, 403, "Forbidden", "An error has occurred")
end

local function check_user(ctx)
  if not ctx.params.user then return nil end
  ctx.user = ctx.store:find_user(ctx.params.user)
  if not ctx.user then return reply.no_such_object(ctx, ctx.params.user) end
end

local function check_limits(tenant, ctx)
  if not tenant.limits then return nil end
  local refused
  refused, ctx.units, ctx.share = tenant.limits:count(ctx)
  return refused and reply.throttled(ctx, refused)
end

--- A write that went well is done to the replica as well, when its time has come.
local function run(tenant, ctx, route)
  local answer = route.run(ctx)
  local wrote = not READS[ctx.method] and route.scopes and answer.status < 300 -- of a batch, each part does
  if not tenant.replica or not wrote then return answer end
  tenant.replica:add(ctx.now, function(late)
    local again = {}
    for name, value in pairs(ctx) do again[name] = value end
    again.store, again.actions = late, {}
    again.user = ctx.user and late:find_user(ctx.params.user)
    if again.user or not ctx.user then route.run(again) end
  end)
  return answer
end

--- What the service would answer, had nothing gone wrong.
local function act(tenant, ctx, body)
  if ctx.plain and not tenant.login.is_for_plain(ctx) then return reply.text(404, "text/plain", "Not found") end
  if ctx.login then return tenant.login:answer(ctx, body) end
  local reason, claims, route, no
  ctx.caller, reason, claims = tenant.identity:check(ctx.headers.authorization, ctx.now)
  if not ctx.caller then return reply.unauthorized(ctx, reason, claims) end
  no = check_limits(tenant, ctx)
  if no then return no end
  route, no = find_route(ctx)
  if not route then return no end
  return check_body(ctx, body) or check_scope(ctx, route) or check_licence(tenant, ctx, route)
    or check_role(ctx, route) or check_user(ctx) or run(tenant, ctx, route)
end

-- ---- faults ----------------------------------------------------------------------------------

-- Those that keep the request from the service.
local INSTEAD = {
  status = function(ctx, rule) return (ctx.login and logins or reply).failure(ctx, rule) end,
  not_json = function(_, rule) return reply.proxy_page(rule.status or 200) end,
  reset_before = function() return { headers = {}, body = "", reset = true } end,
}

--- A 204 has no body to spoil; then it is a 200 that begins one.
local function give_body(answer)
  if answer.body ~= "" then return end
  answer.status = 200
  answer.body = '{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#Edm.Null","@odata.null":true}'
  answer.headers["Content-Type"] = "application/json"
end

local function bytes_of(answer, rule)
  return math.min(math.tointeger(rule.bytes) or #answer.body // 2, #answer.body)
end

local function milliseconds(seconds)
  return math.ceil(seconds * 1000)
end

-- Those that spoil its answer.
local AFTER = {
  reset_after = function(answer) answer.reset = true end,
  skew = function(_, rule, ctx) ctx.skew = rule.seconds or 3600 end,
  latency = function(answer, rule) answer.delay_ms = milliseconds(rule.seconds or 1) end,
  cut_body = function(answer, rule)
    give_body(answer)
    answer.cut_at = math.min(bytes_of(answer, rule), #answer.body - 1)
  end,
  stall = function(answer, rule)
    give_body(answer)
    answer.stall_at, answer.stall_ms = bytes_of(answer, rule), milliseconds(rule.seconds or 3600)
  end,
}

local function act_under_faults(tenant, ctx, body)
  local rule = tenant.faults:match(ctx)
  ctx.fault = rule and rule.kind
  if rule and INSTEAD[rule.kind] then return INSTEAD[rule.kind](ctx, rule) end
  ctx.spoil = rule and rule.page
  local answer = act(tenant, ctx, body)
  if rule and AFTER[rule.kind] then AFTER[rule.kind](answer, rule, ctx) end
  return answer
end

-- ---- answering -------------------------------------------------------------------------------

local DIAGNOSTIC <const> = '{"ServerInfo":{"DataCenter":"West Europe","Slice":"E","Ring":"5","ScaleUnit":"004",'
  .. '"RoleInstance":"AM4PEPF00027A61"}}'

local function add_headers(answer, ctx)
  local headers = answer.headers
  headers["Date"] = clock.http(ctx.now + (ctx.skew or 0))
  headers["Cache-Control"] = "no-cache"
  headers["request-id"] = ctx.request_id
  headers["client-request-id"] = ctx.client_request_id
  headers["x-ms-ags-diagnostic"] = DIAGNOSTIC
  headers["x-ms-resource-unit"] = ctx.units and tostring(ctx.units)
  if (ctx.share or 0) > 0.8 then headers["x-ms-throttle-limit-percentage"] = ("%.2f"):format(ctx.share) end -- FACTS 4
end

--- A part of a batch is a request as any other, but for the connection: an answer that is reset is lost.
local function answer_part(tenant, outer, request)
  local ctx = new_context(tenant, request)
  ctx.batch = outer.n
  local answer = act_under_faults(tenant, ctx, request.body)
  add_headers(answer, ctx)
  tenant.log:write(ctx, request, answer)
  return answer
end

--- Answers one request.
---@param tenant msgraph.sim.Tenant
---@param request msgraph.sim.Request
---@return msgraph.sim.Answer
function M.answer(tenant, request)
  local ctx = new_context(tenant, request)
  ctx.part = function(part) return answer_part(tenant, ctx, part) end
  tenant.login.begin(ctx, request.body)
  local answer = act_under_faults(tenant, ctx, request.body)
  answer.delay_ms = (answer.delay_ms or 0) + milliseconds(tenant.latency)
  add_headers(answer, ctx)
  if ctx.login then tenant.login:finish(ctx, answer) end
  tenant.log:write(ctx, request, answer)
  return answer
end

return M
