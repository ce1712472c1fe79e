-- lua/msgraph/sim/login/apps.lua - app registrations: who may ask for tokens, with what credential, and for what.
local crypto = require "msgraph.sim.server"
local identity = require "msgraph.sim.identity"
local random = require "msgraph.sim.random"

local M = {}

local Apps = {}
Apps.__index = Apps

local KIND <const> = 42
local KIND_OF_OBJECT <const> = 43
local KIND_OF_STREAM <const> = 44

-- What a secret of the service is made of: 40 symbols, some of which have to be escaped in a form.
local SECRET_SYMBOLS <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"

local FEDERATED_AUDIENCE <const> = "api://AzureADTokenExchange"

---@class msgraph.sim.Federated
---@field issuer string
---@field subject string
---@field audience? string   default "api://AzureADTokenExchange"
---@field public_key string  PEM: the other issuer's key, or its certificate

---@class msgraph.sim.AppOpts
---@field secret? boolean|string             true: one is made up
---@field certificate? string|string[]       PEM, public part
---@field federated? msgraph.sim.Federated|msgraph.sim.Federated[]
---@field public? boolean                    public client flows (device code) are allowed; default false
---@field multi_tenant? boolean              may be used over /common and /organizations; default false
---@field managed_identity? boolean          a user-assigned managed identity of the machine; default false
---@field roles? string[]                    consented application permissions; default what the core job needs
---@field scopes? string[]                   consented delegated permissions; default the same
---@field redirect_uris? string[]            default { "http://localhost" }

---@class msgraph.sim.App
---@field client_id string
---@field object_id string
---@field name string
---@field secrets { value: string, expired: boolean }[]
---@field certificates { pem: string, sha256: string, sha1: string, not_before: integer, not_after: integer }[]
---@field federated msgraph.sim.Federated[]
---@field public boolean
---@field multi_tenant boolean
---@field managed_identity boolean
---@field roles string[]
---@field scopes string[]
---@field redirect_uris string[]

local OPTIONS = {
  secret = { boolean = true, string = true }, certificate = { string = true, table = true },
  federated = { table = true }, public = { boolean = true }, multi_tenant = { boolean = true },
  managed_identity = { boolean = true }, roles = { table = true }, scopes = { table = true },
  redirect_uris = { table = true },
}

local function check(opts)
  for name, value in pairs(opts) do
    if not OPTIONS[name] then error("app: unknown option '" .. tostring(name) .. "'", 0) end
    if not OPTIONS[name][type(value)] then
      error("app: option '" .. name .. "' may not be a " .. type(value), 0)
    end
  end
end

local function read_certificates(given)
  local out = {}
  for i, pem in ipairs(type(given) == "table" and given or { given }) do
    out[i] = crypto.certificate(pem) or error("app: certificate " .. i .. " is no PEM certificate", 0)
    out[i].pem = pem
  end
  return out
end

local function read_federated(given)
  local out = {}
  for i, one in ipairs(given and (given[1] and given or { given }) or {}) do
    for _, name in ipairs { "issuer", "subject", "public_key" } do
      if type(one[name]) ~= "string" then error("app: federated credential without '" .. name .. "'", 0) end
    end
    out[i] = { issuer = one.issuer, subject = one.subject, public_key = one.public_key,
      audience = one.audience or FEDERATED_AUDIENCE }
  end
  return out
end

local function copy(list)
  return table.move(list, 1, #list, 1, {})
end

local function read_secrets(self, given)
  if not given then return {} end
  return { { value = given == true and self.stream:text(40, SECRET_SYMBOLS) or given, expired = false } }
end

---@class msgraph.sim.Apps
---@param seed integer
---@return msgraph.sim.Apps
function M.new(seed)
  return setmetatable({ seed = seed, count = 0, by_id = {}, stream = random.stream(seed, KIND_OF_STREAM, 0) }, Apps)
end

--- Registers an application. Raises for options that make no sense.
---@param opts msgraph.sim.AppOpts
---@return msgraph.sim.App
function Apps:add(opts)
  check(opts)
  local n = self.count + 1
  local app = {
    client_id = random.id(self.seed, KIND, n), object_id = random.id(self.seed, KIND_OF_OBJECT, n),
    name = "App " .. n,
    secrets = read_secrets(self, opts.secret),
    certificates = read_certificates(opts.certificate), federated = read_federated(opts.federated),
    public = opts.public or false, multi_tenant = opts.multi_tenant or false,
    managed_identity = opts.managed_identity or false,
    roles = copy(opts.roles or identity.DEFAULT_SCOPES), scopes = copy(opts.scopes or identity.DEFAULT_SCOPES),
    redirect_uris = copy(opts.redirect_uris or { "http://localhost" }),
  }
  self.count = n
  self.by_id[app.client_id] = app
  return app
end

--- Replaces the credentials that are named.
---@param app msgraph.sim.App
---@param opts msgraph.sim.AppOpts secret, certificate, federated
---@return { client_secret?: string }
function Apps:set_credentials(app, opts)
  check(opts)
  if opts.secret ~= nil then app.secrets = read_secrets(self, opts.secret) end
  if opts.certificate then app.certificates = read_certificates(opts.certificate) end
  if opts.federated then app.federated = read_federated(opts.federated) end
  return { client_secret = app.secrets[1] and app.secrets[1].value }
end

--- The application with this client id, in any letter case.
---@param client_id? string
---@return msgraph.sim.App?
function Apps:find(client_id)
  return self.by_id[(client_id or ""):lower()]
end

--- The managed identity a request names by one of its three ids; nil when there is none.
---@param name "client_id"|"object_id"|"msi_res_id"
---@param value string
---@return msgraph.sim.App?
function Apps:managed(name, value)
  for _, app in pairs(self.by_id) do
    local known = name == "msi_res_id" and M.resource_id(app) or app[name]
    if app.managed_identity and known:lower() == value:lower() then return app end
  end
  return nil
end

--- The Azure resource a user-assigned managed identity is.
---@param app msgraph.sim.App
function M.resource_id(app)
  return "/subscriptions/" .. app.object_id .. "/resourcegroups/contoso/providers/"
    .. "Microsoft.ManagedIdentity/userAssignedIdentities/app-" .. app.client_id:sub(1, 8)
end

--- Takes a consented permission away, delegated or application's. Raises when the app does not have it.
---@param app msgraph.sim.App
---@param permission string
function M.remove_consent(app, permission)
  local found = false
  for _, list in ipairs { app.roles, app.scopes } do
    for i = #list, 1, -1 do
      if list[i] == permission then
        table.remove(list, i)
        found = true
      end
    end
  end
  if not found then error("remove_consent: the app has no " .. tostring(permission), 0) end
end

return M
