-- lua/msgraph/auth.lua
--- Credentials: how a client gets the token it sends.
--
-- A credential is opaque. What it holds lies in a table only this module can see, so printing,
-- dumping or serialising one shows nothing.
local M = {}

---@class msgraph.Credential
local Credential = { __name = "msgraph.Credential" }
Credential.__index = Credential

local secrets = setmetatable({}, { __mode = "k" })

function Credential:__tostring()
  return ("msgraph.Credential(%s, ***)"):format(self.kind)
end

local function problem_of(token)
  if type(token) ~= "string" then return ("a string is expected, got %s"):format(type(token)) end
  token = token:match("^%s*(.-)%s*$")
  if token == "" then return "it is empty" end
  if token:find("^[Bb]earer%s") then return "it begins with the word Bearer: give the token alone" end
  if token:find("[^\33-\126]") then return "it holds a space, a control character or a byte beyond ASCII" end
  return nil, token
end

--- Checks a token from anywhere; spaces and line ends around it are dropped.
---@param token any
---@return msgraph.Credential?
---@return string? reason never with the token in it
function M.from_token(token)
  local problem, clean = problem_of(token)
  if problem then return nil, problem end
  local credential = setmetatable({ kind = "token" }, Credential)
  secrets[credential] = clean
  return credential
end

--- A token that somebody else got. It is used as it is, until it expires.
---@param token string an access token for the client's endpoint, "eyJ..."
---@return msgraph.Credential credential raises for what can not be a token
function M.token(token)
  local credential, reason = M.from_token(token)
  if not credential then error("auth.token: the token cannot be used: " .. reason, 2) end
  return credential
end

--- Tells whether a value is a credential.
---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Credential
end

--- The token behind a credential, for the client that hands it to the core.
---@package
---@param credential msgraph.Credential
---@return string
function M.reveal(credential)
  return secrets[credential]
end

return M
