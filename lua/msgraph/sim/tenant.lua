-- lua/msgraph/sim/tenant.lua - a tenant: what it has, and what whoever started it may ask and do. No sockets.
--
-- Everything follows from the options, the seed among them, and the clock handed in.
local clock = require "msgraph.sim.clock"
local faults = require "msgraph.sim.faults"
local fits = require "msgraph.sim.fits"
local groups = require "msgraph.sim.groups"
local hardware = require "msgraph.sim.hardware"
local identity = require "msgraph.sim.identity"
local limits = require "msgraph.sim.limits"
local logs = require "msgraph.sim.log"
local logins = require "msgraph.sim.login"
local people = require "msgraph.sim.people"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local replica = require "msgraph.sim.replica"
local service = require "msgraph.sim.service"
local store = require "msgraph.sim.store"

local M = {}

local Tenant = {}
Tenant.__index = Tenant

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
    log = logs.new(), count = 0,
  }, Tenant)
end

--- Answers one request.
---@param request msgraph.sim.Request
---@return msgraph.sim.Answer
function Tenant:answer(request)
  return service.answer(self, request)
end

-- ---- for whoever started it ------------------------------------------------------------------

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
    if fits(entry, filter) then out[#out + 1] = entry end
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
    if fits(user, filter) then out[#out + 1] = user end
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
    if fits(group, filter) then out[#out + 1] = group end
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
    if fits(record, filter) then out[#out + 1] = record end
    position = after
  end
end

--- What was asked so far, oldest first, and what each request did.
---@param filter? table fields an entry must equal
---@return msgraph.sim.LogEntry[]
function Tenant:requests(filter)
  return self.log:entries(filter)
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

return M
