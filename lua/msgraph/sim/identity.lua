-- lua/msgraph/sim/identity.lua - who is asking, and what they may do.
--
-- A token is opaque to its bearer and looks like a real one in size and form. What it stands for is
-- kept here, under the token's text, and nowhere else.
local random = require "msgraph.sim.random"

local M = {}

local Identity = {}
Identity.__index = Identity

local KIND_OF_STREAM <const> = 10

local BASE64URL <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

-- {"typ":"JWT","alg":"RS256"}: every token of the service begins like this
local HEADER <const> = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9"

--- What the core job needs, and no more.
M.DEFAULT_SCOPES = {
  "DeviceManagementManagedDevices.PrivilegedOperations.All",
  "DeviceManagementManagedDevices.Read.All",
  "User.Read.All",
}

-- Two spelling errors of Microsoft's old pages; no such permission exists (FACTS: asking for it fails).
local MISSPELT <const> = "DeviceManagementManagedDevices.PriviligedOperation.All"

---@class msgraph.sim.TokenOpts
---@field kind? "application"|"delegated" default "application"
---@field scopes? string[]               permissions; default what the core job needs
---@field roles? string[]                roles the signed-in user holds, such as "Intune Administrator"
---@field user? string                   who signed in: id or principal name; default an administrator
---@field expires_in? number             tenant seconds; default 3600

---@class msgraph.sim.Caller
---@field kind "application"|"delegated"
---@field scopes table<string, true>
---@field roles table<string, true>
---@field user? msgraph.sim.User
---@field expires number                 Unix seconds

---@class msgraph.sim.Identity
---@param seed integer
---@return msgraph.sim.Identity
function M.new(seed)
  return setmetatable({ stream = random.stream(seed, KIND_OF_STREAM, 0), callers = {} }, Identity)
end

local function set(list)
  local out = {}
  for _, name in ipairs(list) do out[name] = true end
  return out
end

local KNOWN = set { "kind", "scopes", "roles", "user", "expires_in" }

local function check(opts)
  for name in pairs(opts) do
    if not KNOWN[name] then error("token: unknown option '" .. tostring(name) .. "'", 0) end
  end
  if opts.kind and opts.kind ~= "application" and opts.kind ~= "delegated" then
    error("token: kind is 'application' or 'delegated'", 0)
  end
  if opts.kind ~= "delegated" and (opts.roles or opts.user) then
    error("token: roles and user belong to a delegated token", 0)
  end
  if set(opts.scopes or {})[MISSPELT] then
    error("token: AADSTS70011: the scope " .. MISSPELT .. " does not exist, you mean " .. M.DEFAULT_SCOPES[1], 0)
  end
end

--- Issues a token. Raises for options that make no sense.
---@param opts msgraph.sim.TokenOpts
---@param user? msgraph.sim.User who signed in, for a delegated one
---@param now number Unix seconds
---@return string
function Identity:issue(opts, user, now)
  check(opts)
  local token = table.concat({ HEADER, self.stream:text(1150, BASE64URL), self.stream:text(342, BASE64URL) }, ".")
  self.callers[token] = {
    kind = opts.kind or "application",
    scopes = set(opts.scopes or M.DEFAULT_SCOPES),
    roles = set(opts.roles or {}),
    user = user,
    expires = now + (opts.expires_in or 3600),
  }
  return token
end

--- Who sent an Authorization header: the caller, or nil and why not.
---@param header? string
---@param now number
---@return msgraph.sim.Caller?
---@return string? reason
function Identity:check(header, now)
  local token = header and header:sub(1, 7):lower() == "bearer " and header:sub(8) or ""
  if token == "" then return nil, "Access token is empty." end
  local caller = self.callers[token]
  if not caller then
    local well_formed = token:match("^[^.]+%.[^.]+%.[^.]+$")
    return nil, well_formed and "Access token validation failure. Invalid signature."
      or "IDX14100: JWT is not well formed, there are no dots (.)."
  end
  if now >= caller.expires then return nil, "Lifetime validation failed, the token is expired." end
  return caller
end

--- Whether a caller holds one of these permissions or roles.
---@param held table<string, true>
---@param wanted string[]
---@return boolean
function M.any(held, wanted)
  for _, name in ipairs(wanted) do
    if held[name] then return true end
  end
  return false
end

return M
