-- lua/msgraph/sim/init.lua - a tenant in a box: start one, talk to it over HTTPS, ask what happened.
--
-- The tenant serves from its own thread and Lua state; whatever is asked of it here goes there and
-- back as JSON. It shares no code with the client, so that neither can hide the other's mistakes.
local M = {}

---@class msgraph.sim.StartOpts: msgraph.sim.TenantOpts
---@field port? integer      default 0: a free one
---@field certificate? "valid"|"expired"|"wrong_name"  what the server shows; default "valid"

---@class msgraph.sim.Running
---@field endpoint string    "https://127.0.0.1:PORT": the `endpoint` of graph.connect
---@field authority string   the same: where its login endpoints are, to be used as AZURE_AUTHORITY_HOST
---@field metadata string    "http://127.0.0.1:PORT": where machines get the tokens of their managed identities
---@field tenant_id string
---@field ca_file string     PEM file of the authority that made the certificate: its `ca_file`
local Running = {}
Running.__index = Running

local MAX_USERS <const> = 1 << 40

local function number_from(low, high)
  return function(v) return type(v) == "number" and v >= low and v <= high end
end

local function is_chaos(v)
  if type(v) ~= "table" or type(v.rate) ~= "number" or v.rate < 0 or v.rate > 1 then return false end
  for name in pairs(v) do
    if name ~= "rate" and name ~= "seed" then return false end
  end
  return v.seed == nil or math.type(v.seed) == "integer"
end

local function integer_from(low, high)
  return function(v) return math.type(v) == "integer" and v >= low and v <= high end
end

local function is_limits(v)
  if type(v) ~= "table" then return type(v) == "boolean" or v == "documented" end
  for name in pairs(v) do
    if name ~= "scale" then return false end
  end
  return v.scale == nil or number_from(1e-6, 1e6)(v.scale)
end

-- name -> what it must be, in words, and whether it is
local OPTIONS = {
  users = { "an integer from 1", integer_from(1, MAX_USERS) },
  seed = { "an integer from 0 to 2^53", integer_from(0, 1 << 53) }, -- what JSON carries unharmed
  port = { "an integer from 0 to 65535", integer_from(0, 65535) },
  intune = { "a boolean", function(v) return type(v) == "boolean" end },
  speed = { "a number from 0 to 1e6", number_from(0, 1e6) },
  latency = { "seconds from 0 to 3600", number_from(0, 3600) },
  start = { "Unix seconds from 1e9 to 4e9", number_from(1e9, 4e9) },
  token_lifetime = { "whole seconds from 1 to 100800", integer_from(1, 28 * 3600) },
  device_code_interval = { "whole seconds from 0 to 60", integer_from(0, 60) },
  limits = { '"documented", a boolean or { scale = a number from 1e-6 to 1e6 }', is_limits },
  read_lag = { "seconds from 0 to 86400", number_from(0, 86400) },
  chaos = { "{ rate = 0 to 1, seed = an integer }", is_chaos },
  certificate = { '"valid", "expired" or "wrong_name"',
    function(v) return v == "valid" or v == "expired" or v == "wrong_name" end },
}

local function check(opts, level)
  if type(opts) ~= "table" then error("options are a table, not a " .. type(opts), level + 1) end
  for name, value in pairs(opts) do
    local option = OPTIONS[name]
    if not option then error("unknown option '" .. tostring(name) .. "'", level + 1) end
    if not option[2](value) then error("option '" .. name .. "' is " .. option[1], level + 1) end
  end
end

--- Has the tenant do something in its own state. Its refusals are mistakes of whoever called us, and so is
--- a call after stop, or in a forked child.
local function call(self, name, arg)
  local host = require "msgraph.sim.host"
  local answer, reason = self.server:control(host.encode { call = name, arg = arg })
  if not answer then error(reason, 3) end
  return host.decode(answer).result
end

local function launch(json, opts)
  return require("msgraph.sim.server").start(json, opts.port or 0, opts.certificate or "valid", package.path,
    package.cpath)
end

--- Starts a tenant on a loopback address. It stops when it is stopped, closed or collected.
---
--- Raises for options that are none.
---@param opts? msgraph.sim.StartOpts
---@return msgraph.sim.Running?
---@return string? reason the port is taken, no descriptor is left, ...
function M.start(opts)
  opts = opts or {}
  check(opts, 2)
  local json = require("msgraph.sim.host").encode {
    users = opts.users, seed = opts.seed, intune = opts.intune, speed = opts.speed, latency = opts.latency,
    start = opts.start, token_lifetime = opts.token_lifetime, device_code_interval = opts.device_code_interval,
    limits = opts.limits,
    read_lag = opts.read_lag, chaos = opts.chaos,
  }
  local server, reason = launch(json, opts)
  if not server then return nil, reason end
  local origin = "https://127.0.0.1:" .. server:port()
  local tenant = setmetatable({
    server = server, endpoint = origin, authority = origin, ca_file = server:ca_file(),
    metadata = "http://127.0.0.1:" .. server:plain_port(),
  }, Running)
  tenant.tenant_id = call(tenant, "tenant_id")
  return tenant
end

---@class msgraph.sim.Replaying
---@field endpoint string    the `endpoint` of graph.connect
---@field ca_file string     its `ca_file`
local Replaying = {}
Replaying.__index = Replaying

--- Answers as a captured session was answered, in its order: see `capture` of graph.connect. Any token will do.
---
--- Raises for options that are none.
---@param file string name.har or name.jsonl
---@param opts? { port?: integer, certificate?: string } as in msgraph.sim.StartOpts
---@return msgraph.sim.Replaying?
---@return string? reason the file can not be read or is no capture, the port is taken, ...
function M.replay(file, opts)
  opts = opts or {}
  check(opts, 2)
  if type(file) ~= "string" then error("replay: the name of a file is expected", 2) end
  local server, reason = launch(require("msgraph.sim.host").encode { replay = file }, opts)
  if not server then return nil, reason end
  return setmetatable({ server = server, endpoint = "https://127.0.0.1:" .. server:port(), ca_file = server:ca_file() },
    Replaying)
end

--- What was asked so far, oldest first; `entry` is the number of the entry that answered, nil: there was none.
---@param filter? table fields a request must equal
---@return { n: integer, method: string, path: string, query: string, status?: integer, entry?: integer }[]
function Replaying:requests(filter)
  return (call(self, "requests", filter))
end

--- The captured requests that nobody has made, as "GET /v1.0/users".
---@return string[]
function Replaying:unused()
  return (call(self, "unused"))
end

--- Ends it. Twice is as good as once.
function Replaying:stop()
  self.server:stop()
end
Replaying.__close = Replaying.stop

--- Serves in the foreground until interrupted (which raises, from the host) or until `ready` raises.
---@param opts? msgraph.sim.StartOpts
---@param ready? fun(tenant: msgraph.sim.Running) called once the tenant answers
---@return nil
---@return string? reason it could not be started
function M.serve(opts, ready)
  opts = opts or {}
  check(opts, 2)
  local tenant <close>, reason = M.start(opts)
  if not tenant then return nil, reason end
  if ready then ready(tenant) end
  local sleep = require("msgraph.sim.server").sleep
  while true do sleep(0.2) end -- short: an interrupt is raised between two of them
end

--- An access token, opaque and as long as a real one. Raises for options that make no sense.
---@param opts? msgraph.sim.TokenOpts default: an application with everything the core job needs
---@return string
function Running:token(opts)
  return (call(self, "token", opts))
end

--- Registers an application: whoever wants tokens from the tenant's login endpoints needs one.
--- Raises for options that make no sense.
---@param opts? msgraph.sim.AppOpts
---@return { client_id: string, client_secret?: string, object_id: string, resource_id?: string }
function Running:app(opts)
  return (call(self, "app", opts))
end

--- Replaces those credentials of an app that are named, as a rotation does.
---@param client_id string
---@param credentials { secret?: boolean|string, certificate?: string|string[], federated?: msgraph.sim.Federated }
---@return { client_secret?: string }
function Running:set_credentials(client_id, credentials)
  return (call(self, "set_credentials", { client_id = client_id, credentials = credentials }))
end

--- Expires the client secrets of an app.
---@param client_id string
function Running:expire_secret(client_id)
  call(self, "expire_secret", client_id)
end

--- Takes a consented permission from an app; tokens it has keep theirs.
---@param client_id string
---@param permission string
function Running:remove_consent(client_id, permission)
  call(self, "remove_consent", { client_id = client_id, permission = permission })
end

-- Which variables tell a process on each host where its tokens are (FACTS 7.3).
local ENVIRONMENTS = {
  imds = { authority = "AZURE_POD_IDENTITY_AUTHORITY_HOST" },
  app_service = { url = "IDENTITY_ENDPOINT", secret = "IDENTITY_HEADER" },
  azure_arc = { url = "IDENTITY_ENDPOINT", authority = "IMDS_ENDPOINT" },
  azure_ml = { url = "MSI_ENDPOINT", secret = "MSI_SECRET" },
  service_fabric = { url = "IDENTITY_ENDPOINT", secret = "IDENTITY_HEADER", thumbprint = "IDENTITY_SERVER_THUMBPRINT" },
  cloud_shell = { url = "MSI_ENDPOINT" },
}

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02X"):format(c:byte()) end))
end

--- The environment of a process on a machine with managed identities, which gets its tokens here.
--- Raises for a host there is none of.
---@param host "imds"|"app_service"|"azure_arc"|"azure_ml"|"service_fabric"|"cloud_shell"
---@param opts? { key_directory: string } where Azure Arc puts the keys it asks for: that is needed there
---@return table<string, string>
function Running:environment(host, opts)
  local at = call(self, "machine_endpoint", { host = host, key_directory = opts and opts.key_directory })
  local crypto, names = require "msgraph.sim.server", ENVIRONMENTS[host]
  local secure = names.thumbprint
  local values = {
    authority = self.metadata, url = (secure and self.endpoint or self.metadata) .. at.path, secret = at.secret,
    thumbprint = secure and hex(crypto.certificate(self.server:certificate()).sha1),
  }
  local out = {}
  for what, name in pairs(names) do out[name] = values[what] end
  return out
end

--- What a person does at the page where a device code is typed in; he then stays at the browser, where the
--- authorization endpoint meets him. Raises for a code or user that is none.
---@param opts? msgraph.sim.SignInOpts
---@return integer how many device flows that settled
function Running:sign_in(opts)
  return (call(self, "sign_in", opts))
end

--- Ends the sessions of a user or an app: tokens issued so far are good no more.
---@param who string user or client id
function Running:revoke(who)
  call(self, "revoke", who)
end

--- Says what conditional access demands of a user or an app from now on; replaces what it demanded before.
---@param who string user or client id
---@param policy? msgraph.sim.Policy default: nothing
function Running:policy(who, policy)
  call(self, "policy", { who = who, policy = policy or {} })
end

--- What was asked of the login endpoints, oldest first; no secret, assertion, code or token is in it.
---@param filter? table fields an entry must equal: { grant = "refresh_token" }
---@return msgraph.sim.TokenRequest[]
function Running:token_requests(filter)
  return (call(self, "token_requests", filter))
end

--- The tenant's users.
---@param filter? table fields a user must equal: { licensed = true, guest = false }
---@return msgraph.sim.User[]
function Running:users(filter)
  return (call(self, "users", filter))
end

--- Gives a user other properties, as an administrator would; /users/delta tells of it.
--- Raises for a user that is none.
---@param who string object id or principal name
---@param properties table { displayName = ..., accountEnabled = false }
function Running:change_user(who, properties)
  call(self, "change_user", { who = who, properties = properties })
end

local APPROVED = { retire = true, wipe = true }

--- Intune's Multi Admin Approval: from now on an action on a device is refused until a second administrator approves.
--- Raises for an action or a status that is none.
---@param action "retire"|"wipe"
---@param status? 403|400|false what it is refused with, default 403; false: it has been approved
function Running:require_approval(action, status)
  if status == nil then status = 403 end
  if not APPROVED[action] then error("require_approval: the action is \"retire\" or \"wipe\"", 2) end
  if status and status ~= 403 and status ~= 400 then error("require_approval: the status is 403, 400 or false", 2) end
  call(self, "require_approval", { action = action, status = status })
end

--- Deletes a user, as an administrator would.
---@param who string object id or principal name
function Running:delete_user(who)
  call(self, "delete_user", who)
end

--- The tenant's groups: `id`, `displayName`, and `dynamic`, `mail`, `synced`, `role_assignable`, `team`, `licenses`;
--- `holds`: the number of the group that is in it.
---@param filter? table
---@return table[]
function Running:groups(filter)
  return (call(self, "groups", filter))
end

--- Makes the tenant have so many more groups, plain ones that Ada and a few others are in.
---@param count integer
function Running:add_groups(count)
  call(self, "add_groups", count)
end

--- Enrols a device anew, as somebody would who was given it: the record is the same, `enrolledDateTime` is now. Raises
--- for a device that is none.
---@param id string
function Running:enroll_device(id)
  call(self, "enroll_device", id)
end

--- The id of an application, and of its service principal, that Ada owns.
---@return string
function Running:application_id()
  return (call(self, "application_id"))
end

--- The devices that are in management now.
---@param filter? table fields a device must equal: { userId = ..., managementState = "retirePending" }
---@return table[]
function Running:devices(filter)
  return (call(self, "devices", filter))
end

--- What was asked so far, oldest first, and what each request did.
---@param filter? table fields an entry must equal: { method = "POST", status = 204 }
---@return msgraph.sim.LogEntry[]
function Running:requests(filter)
  return (call(self, "requests", filter))
end

--- Lets something go wrong. Raises for a rule that could never work.
---@param rule msgraph.sim.Fault
function Running:fault(rule)
  call(self, "fault", rule)
end

--- Forgets every fault.
function Running:clear_faults()
  call(self, "clear_faults")
end

--- Moves the tenant's clock forward: devices check in, tokens expire.
---@param seconds number
function Running:advance(seconds)
  call(self, "advance", seconds)
end

--- The tenant's time in Unix seconds.
---@return number
function Running:now()
  return (call(self, "now"))
end

--- The tenant's time as HTTP writes it, so many seconds from now: for a Retry-After.
---@param seconds? number
---@return string
function Running:date(seconds)
  return (call(self, "date", seconds))
end

--- Ends the tenant and every connection to it at once. Twice is as good as once.
function Running:stop()
  self.server:stop()
end

Running.__close = Running.stop

return M
