-- lua/msgraph/sim/tenant.lua - a tenant: request in, answer out. No sockets.
--
-- A request is checked in the order of the service: token, limits, path, permission, licence, role, object.
-- Faults come before all of that, as gateways do. Everything follows from the options, the seed among
-- them, and the clock handed in.
local cjson = require("cjson").new()
local clock = require "msgraph.sim.clock"
local faults = require "msgraph.sim.faults"
local groups = require "msgraph.sim.groups"
local hardware = require "msgraph.sim.hardware"
local identity = require "msgraph.sim.identity"
local limits = require "msgraph.sim.limits"
local logins = require "msgraph.sim.login"
local people = require "msgraph.sim.people"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local replica = require "msgraph.sim.replica"
local reply = require "msgraph.sim.reply"
local router = require "msgraph.sim.router"
local store = require "msgraph.sim.store"

cjson.encode_invalid_numbers(true) -- math.huge, for faults without end
cjson.encode_sparse_array(true)

local M = {}

local Tenant = {}
Tenant.__index = Tenant

local KIND_OF_REQUEST_ID <const> = 30

--- The log keeps the newest entries only, so that a tenant may serve for weeks.
local LOG_LENGTH <const> = 100000

---@class msgraph.sim.TenantOpts
---@field users? integer    how many, default 50
---@field seed? integer     default 1
---@field intune? boolean   whether the tenant has an Intune licence, default true
---@field speed? number     tenant seconds that pass per second, default 1
---@field latency? number   seconds each answer waits, default 0
---@field start? number     Unix seconds when the tenant's time begins, default clock.START
---@field token_lifetime? integer        seconds an issued access token lives, default 3600
---@field device_code_interval? integer  seconds between two polls of the device code flow, default 5
---@field limits? boolean|"documented"|msgraph.sim.LimitOpts  whether the published limits hold, default false
---@field read_lag? number  seconds of tenant time until GET shows what was written, default 0
---@field chaos? msgraph.sim.Chaos  faults drawn from a seed, default none

---@param opts msgraph.sim.TenantOpts
---@param now fun(): number monotonic seconds
function M.new(opts, now)
  local seed = opts.seed or 1
  local shared = {
    seed = seed,
    clock = clock.new(now, opts.speed or 1, opts.start),
    store = store.new(seed, opts.users or 50),
    identity = identity.new(seed),
    token_lifetime = opts.token_lifetime, device_code_interval = opts.device_code_interval,
  }
  local login = logins.new(shared)
  return setmetatable({
    seed = seed, clock = shared.clock, store = shared.store, identity = shared.identity,
    login = login,
    limits = limits.new(opts.limits, {
      id = login.tenant_id, users = opts.users or 50, speed = opts.speed or 1, latency = opts.latency or 0,
    }),
    replica = (opts.read_lag or 0) > 0 and replica.new(store.new(seed, opts.users or 50), opts.read_lag) or nil,
    intune = opts.intune ~= false,
    latency = opts.latency or 0,
    faults = faults.new(seed, opts.chaos),
    log = {}, first = 1, count = 0,
  }, Tenant)
end

-- ---- one request -----------------------------------------------------------------------------

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
  refused, ctx.units = tenant.limits:count(ctx)
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

-- ---- the log ---------------------------------------------------------------------------------

-- Headers worth asking about. Authorization is not among them, and never will be.
local LOGGED = {
  "accept", "content-length", "content-type", "expect", "host", "prefer", "transfer-encoding", "user-agent",
  "consistencylevel", "x-ms-throttle-priority",
}

--- A token in a URL does not belong there, but must not get from there into a log.
local function without_token(text)
  return (text:gsub("eyJ[%w%-_%.]+", "***"))
end

local function logged_headers(headers)
  local out = {}
  for _, name in ipairs(LOGGED) do out[name] = headers[name] end
  return out
end

---@class msgraph.sim.LogEntry
---@field n integer                  1 for the first request of the tenant
---@field at number                  Unix seconds, tenant time
---@field method string
---@field path string                as sent
---@field query string               as sent, "" without one
---@field headers table<string, string> some request headers, names in lower case; never Authorization
---@field body_length? integer       bytes; nil when it was too large to be read
---@field status? integer            nil when the connection was reset
---@field request_id string
---@field client_request_id? string  as the client sent it
---@field caller? string             "application" or the signed-in user's principal name
---@field user? string               id of the user in the path
---@field actions string[]           what the request did: "retire <device id>", "delete <device id>"
---@field fault? string              kind of the fault that spoilt it
---@field batch? integer             of a part of a batch: the n of its batch

--- A query to the login side may hold what a log must not: nothing of it is kept.
local function logged_query(ctx)
  if ctx.login and ctx.query ~= "" then return "***" end
  return without_token(ctx.query)
end

local function write_log(tenant, ctx, request, answer)
  local caller = ctx.caller
  tenant.log[ctx.n] = {
    n = ctx.n, at = ctx.now, method = ctx.method, path = without_token(ctx.path), query = logged_query(ctx),
    headers = logged_headers(ctx.headers), body_length = request.body and #request.body,
    status = not answer.reset and answer.status or nil,
    request_id = ctx.request_id, client_request_id = ctx.headers["client-request-id"],
    caller = caller and (caller.user and caller.user.userPrincipalName or caller.kind),
    user = ctx.user and ctx.user.id, actions = ctx.actions, fault = ctx.fault, batch = ctx.batch,
  }
  if ctx.n - tenant.first >= LOG_LENGTH then
    tenant.log[tenant.first] = nil
    tenant.first = tenant.first + 1
  end
end

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
end

--- A part of a batch is a request as any other, but for the connection: an answer that is reset is lost.
local function answer_part(tenant, outer, request)
  local ctx = new_context(tenant, request)
  ctx.batch = outer.n
  local answer = act_under_faults(tenant, ctx, request.body)
  add_headers(answer, ctx)
  write_log(tenant, ctx, request, answer)
  return answer
end

--- Answers one request.
---@param request msgraph.sim.Request
---@return msgraph.sim.Answer
function Tenant:answer(request)
  local ctx = new_context(self, request)
  ctx.part = function(part) return answer_part(self, ctx, part) end
  self.login.begin(ctx, request.body)
  local answer = act_under_faults(self, ctx, request.body)
  answer.delay_ms = (answer.delay_ms or 0) + milliseconds(self.latency)
  add_headers(answer, ctx)
  if ctx.login then self.login:finish(ctx, answer) end
  write_log(self, ctx, request, answer)
  return answer
end

-- ---- for whoever started the tenant ----------------------------------------------------------

local function fits(record, filter)
  for name, wanted in pairs(filter) do
    if record[name] ~= wanted then return false end
  end
  return true
end
M.fits = fits

--- A token. See msgraph.sim.identity for the options; raises when they make no sense.
---@param opts? msgraph.sim.TokenOpts
---@return string
function Tenant:token(opts)
  opts = opts or {}
  local user
  if opts.kind == "delegated" then
    local key = opts.user or self.store:user(math.min(people.ADMIN, self.store.size)).id
    user = self.store:find_user(key) or error("token: no such user: " .. tostring(key), 0)
  end
  return self.identity:issue(opts, user, self.clock:now())
end

--- The id of the tenant.
---@return string
function Tenant:tenant_id()
  return self.login.tenant_id
end

--- Registers an application. Raises for options that make no sense.
---@param opts? msgraph.sim.AppOpts
---@return { client_id: string, client_secret?: string, object_id: string, resource_id?: string }
function Tenant:app(opts)
  return self.login:app(opts or {})
end

--- Replaces an app's credentials.
---@param arg { client_id: string, credentials: msgraph.sim.AppOpts }
function Tenant:set_credentials(arg)
  return self.login:set_credentials(arg.client_id, arg.credentials)
end

---@param opts? msgraph.sim.SignInOpts
---@return integer how many device flows that settled
function Tenant:sign_in(opts)
  return self.login:sign_in(opts or {})
end

---@param arg { host: string, key_directory?: string }
---@return { path: string, secret?: string }
function Tenant:machine_endpoint(arg)
  return self.login:machine_endpoint(arg)
end

---@param who string user or client id
function Tenant:revoke(who)
  self.login:revoke(who)
end

---@param arg { who: string, policy: msgraph.sim.Policy }
function Tenant:policy(arg)
  self.login:policy(arg.who, arg.policy)
end

---@param client_id string
function Tenant:expire_secret(client_id)
  self.login:expire_secret(client_id)
end

---@param arg { client_id: string, permission: string }
function Tenant:remove_consent(arg)
  self.login:remove_consent(arg.client_id, arg.permission)
end

--- What was asked of the login side, oldest first.
---@param filter? table
---@return msgraph.sim.TokenRequest[]
function Tenant:token_requests(filter)
  local out = {}
  for _, entry in ipairs(self.login:entries()) do
    if fits(entry, filter or {}) then out[#out + 1] = entry end
  end
  return out
end

--- Users whose fields equal those of the filter.
---@param filter? table
---@return msgraph.sim.User[]
function Tenant:users(filter)
  local out = {}
  local user, position = self.store:next_user(1)
  while user do
    if fits(user, filter or {}) then out[#out + 1] = user end
    user, position = self.store:next_user(position)
  end
  return out
end

-- Does something to the user of that name, in the replica as well when its time has come.
local function change(tenant, who, how)
  how(tenant.store, tenant.store:find_user(who) or error("no such user: " .. tostring(who), 0))
  if not tenant.replica then return end
  tenant.replica:add(tenant.clock:now(), function(late)
    local user = late:find_user(who)
    if user then how(late, user) end
  end)
end

---@param arg { who: string, properties: table }
function Tenant:change_user(arg)
  change(self, arg.who, function(at, user) at:change_user(user, arg.properties) end)
end

---@param who string
function Tenant:delete_user(who)
  change(self, who, function(at, user) at:delete_user(user) end)
end

---@param arg { action: "retire"|"wipe", status: integer|false }
function Tenant:require_approval(arg)
  self.store:set("approval/" .. arg.action, arg.status)
end

--- Groups whose fields equal those of the filter.
---@param filter? table
---@return msgraph.sim.Group[]
function Tenant:groups(filter)
  local out = {}
  for index = 1, groups.count(self.store) do
    local group = groups.group(self.seed, index)
    group.cast = nil
    if fits(group, filter or {}) then out[#out + 1] = group end
  end
  return out
end

---@param count integer
function Tenant:add_groups(count)
  self.store:set("more_groups", count)
  if self.replica then self.replica.store:set("more_groups", count) end
end

---@param id string
function Tenant:enroll_device(id)
  local now = self.clock:now()
  self.store:enroll(self.store:find_device(id, now) or error("no such device: " .. tostring(id), 0), now)
end

---@return string
function Tenant:application_id()
  return random.id(self.seed, relation.KINDS.app, 1)
end

local function device_record(device)
  local record = hardware.properties(device)
  record.kind, record.outcome = device.kind, device.outcome
  record.check_in_interval = device.every or nil
  record.managementState = device.managementState
  record.actionState = device.retire and device.retire.action or nil
  record.lastSync = device.lastSync
  return record
end

--- Devices that are in management now, and whose fields equal those of the filter.
---@param filter? table
---@return table[]
function Tenant:devices(filter)
  local out, now, position = {}, self.clock:now(), 0
  while true do
    local device, after = self.store:next_device(position, now)
    if not device then return out end
    local record = device_record(device)
    if fits(record, filter or {}) then out[#out + 1] = record end
    position = after
  end
end

--- Log entries whose fields equal those of the filter, oldest first.
---@param filter? table
---@return msgraph.sim.LogEntry[]
function Tenant:requests(filter)
  local out = {}
  for n = self.first, self.count do
    local entry = self.log[n]
    if entry and fits(entry, filter or {}) then out[#out + 1] = entry end
  end
  return out
end

---@param rule msgraph.sim.Fault
function Tenant:fault(rule)
  self.faults:add(rule)
end

function Tenant:clear_faults()
  self.faults:clear()
end

---@param seconds number
function Tenant:advance(seconds)
  self.clock:advance(seconds)
end

--- The tenant's time as HTTP writes it, so many seconds from now: for Retry-After.
---@param seconds? number
---@return string
function Tenant:date(seconds)
  return clock.http(self.clock:now() + (seconds or 0))
end

--- Unix seconds, tenant time.
---@return number
function Tenant:now()
  return self.clock:now()
end

M.Tenant = Tenant

-- ---- inside the server -----------------------------------------------------------------------

--- What `control` may call.
local CONTROL = {
  token = true, users = true, devices = true, requests = true, fault = true, clear_faults = true, advance = true,
  date = true, now = true, tenant_id = true, app = true, set_credentials = true, sign_in = true, revoke = true,
  policy = true, expire_secret = true, remove_consent = true, token_requests = true,
  machine_endpoint = true,
  change_user = true, delete_user = true, add_groups = true, enroll_device = true, require_approval = true,
  groups = true, application_id = true, unused = true,
}

--- lua-cjson reads every number as a float; whole ones are integers to us.
local function with_integers(value)
  if type(value) == "table" then
    for key, item in pairs(value) do value[key] = with_integers(item) end
  elseif math.type(value) == "float" then
    return math.tointeger(value) or value
  end
  return value
end

--- JSON as the control channel speaks it.
function M.decode(text)
  return with_integers(cjson.decode(text))
end

function M.encode(value)
  return cjson.encode(value)
end

local function join_headers(headers)
  local parts = {}
  for name, value in pairs(headers) do parts[#parts + 1] = name .. "\0" .. value .. "\0" end
  table.sort(parts)
  return table.concat(parts)
end

--- Called once by the server, in the Lua state of its thread.
---@param options string JSON of msgraph.sim.TenantOpts, or of `{ "replay": file }`
---@param now fun(): number
---@return function answer fun(method, target, headers, body?): table what csrc/sim/sim_tenant.c reads
---@return function control fun(json: string): string  {"call": name, "arg": value} -> {"result": value}
function M.host(options, now)
  local opts = M.decode(options)
  local tenant = opts.replay and require("msgraph.sim.replay").new(opts) or M.new(opts, now)

  local function answer(method, target, headers, body, plain)
    local a = tenant:answer { method = method, target = target, headers = headers, body = body, plain = plain }
    a.headers = join_headers(a.headers)
    a.status = a.status or 0
    a.reset = a.reset and 1 or 0
    return a
  end

  local function control(json)
    local command = M.decode(json)
    if not CONTROL[command.call] then error("unknown command: " .. tostring(command.call), 0) end
    return M.encode { result = tenant[command.call](tenant, command.arg) }
  end

  return answer, control
end

return M
