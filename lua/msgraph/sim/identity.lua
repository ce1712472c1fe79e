-- lua/msgraph/sim/identity.lua - who is asking, and what they may do.
--
-- A token looks like a real one in size and form, and says who it is for; its signature is none. What counts is
-- kept here, under the token's text: what the text says decides nothing.
local base64 = require "msgraph.sim.login.base64"
local json = require "msgraph.sim.json"
local random = require "msgraph.sim.random"
local refusal = require "msgraph.sim.login.refusal"

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
---@field audience? string               client id of the app it is for; default Graph

---@class msgraph.sim.Caller
---@field kind "application"|"delegated"
---@field scopes table<string, true>
---@field roles table<string, true>
---@field user? msgraph.sim.User
---@field expires number                 Unix seconds
---@field serial integer                 of its issue
---@field client_id? string              the app that asked for it
---@field cp1? boolean                   the app understands claims challenges
---@field mfa? boolean                   the session began with more than a password
---@field audience? string               client id of the app it is for; nil for Graph

---@class msgraph.sim.Identity
---@param seed integer
---@return msgraph.sim.Identity
function M.new(seed)
  return setmetatable({
    stream = random.stream(seed, KIND_OF_STREAM, 0), callers = {}, serial = 0, revocations = {},
  }, Identity)
end

local function set(list)
  local out = {}
  for _, name in ipairs(list) do out[name] = true end
  return out
end

local KNOWN = set { "kind", "scopes", "roles", "user", "expires_in", "audience" }

local function check(opts)
  for name in pairs(opts) do
    if not KNOWN[name] then error("token: unknown option '" .. tostring(name) .. "'", 0) end
  end
  if opts.kind and opts.kind ~= "application" and opts.kind ~= "delegated" then
    error("token: kind is 'application' or 'delegated'", 0)
  end
  if opts.kind ~= "delegated" and opts.user then
    error("token: user belongs to a delegated token", 0)
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
  return self:mint {
    kind = opts.kind or "application",
    scopes = set(opts.scopes or M.DEFAULT_SCOPES),
    roles = set(opts.roles or {}),
    user = user,
    audience = opts.audience,
    expires = now + (opts.expires_in or 3600),
  }
end

local function names_of(held)
  local names = {}
  for name in pairs(held) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local PAYLOAD_LENGTH <const> = 860 -- bytes, as with the service
local CLAIMS = { "aud", "appid", "name", "oid", "roles", "scp", "tid", "upn", "xms_st" }

-- What the text says. No times: the same seed makes the same text.
local function payload(self, caller)
  local user, names = caller.user, names_of(caller.scopes)
  local claims = {
    aud = caller.audience or "https://graph.microsoft.com", appid = caller.client_id, tid = self.tenant_id,
    name = user and user.displayName, oid = user and user.id, upn = user and user.userPrincipalName,
    scp = caller.kind == "delegated" and table.concat(names, " ") or nil,
    roles = caller.kind ~= "delegated" and json.array(names) or nil,
  }
  local present = {}
  for _, name in ipairs(CLAIMS) do
    if claims[name] or name == "xms_st" then present[#present + 1] = name end
  end
  claims.xms_st = ""
  local length = #json.encode(json.ordered(claims, present))
  claims.xms_st = self.stream:text(math.max(0, PAYLOAD_LENGTH - length), BASE64URL)
  return json.encode(json.ordered(claims, present))
end

--- As long as a signature of 256 bytes, whose last symbol has two bits to say.
---@return string
function Identity:signature()
  return self.stream:text(341, BASE64URL) .. "w"
end

--- Makes the text that stands for a caller.
---@param caller msgraph.sim.Caller without its serial
---@return string
function Identity:mint(caller)
  local token = table.concat({ HEADER, base64.url(payload(self, caller)), self:signature() }, ".")
  caller.serial = self:stamp()
  self.callers[token] = caller
  return token
end

--- Counts what is issued, so that a revocation knows what came before it even while the clock stands.
---@return integer
function Identity:stamp()
  self.serial = self.serial + 1
  return self.serial
end

--- Ends what was issued so far to a user or an app.
---@param subject string object id or client id
---@param now number Unix seconds
function Identity:revoke(subject, now)
  self.revocations[subject] = { serial = self.serial, at = now }
end

--- When a token, code or session ended before its time, in Unix seconds; nil when it did not.
---@param issued { serial: integer, user?: msgraph.sim.User, client_id?: string }
---@return number?
function Identity:revoked_at(issued)
  for _, subject in ipairs { issued.client_id or "", issued.user and issued.user.id } do
    local revocation = self.revocations[subject]
    if revocation and issued.serial <= revocation.serial then return revocation.at end
  end
  return nil
end

--- What an access token stands for, if we made it.
---@param token string
---@return msgraph.sim.Caller?
function Identity:find(token)
  return self.callers[token]
end

local REVOKED <const> = "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: "
  .. "TokenIssuedBeforeRevocationTimestamp"
local EXPIRED <const> = "Lifetime validation failed, the token is expired."

--- Who sent an Authorization header: the caller, or nil and why not.
---@param header? string
---@param now number
---@return msgraph.sim.Caller?
---@return string? reason
---@return string? claims for the challenge, base64
function Identity:check(header, now)
  local token = header and header:sub(1, 7):lower() == "bearer " and header:sub(8) or ""
  if token == "" then return nil, "Access token is empty." end
  local caller = self.callers[token]
  if not caller then
    local well_formed = token:match("^[^.]+%.[^.]+%.[^.]+$")
    return nil, well_formed and "Access token validation failure. Invalid signature."
      or "IDX14100: JWT is not well formed, there are no dots (.)."
  end
  if caller.audience then return nil, "Access token validation failure. Invalid audience." end
  if now >= caller.expires then return nil, EXPIRED end
  local revoked = self:revoked_at(caller)
  if revoked and caller.cp1 then return nil, REVOKED, refusal.challenge(revoked) end
  if revoked then return nil, EXPIRED end
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
