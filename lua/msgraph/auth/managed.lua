-- lua/msgraph/auth/managed.lua
--- Managed identities: which kind of Azure host this process runs on, and where that gives out tokens.
--
-- Only the environment is looked at, in the order Microsoft's azure-identity does it; nothing is sent to
-- find out. Whether there is an identity shows with the first token.
local M = {}

local TOKEN_PATH <const> = "/metadata/identity/oauth2/token"
local IMDS <const> = "http://169.254.169.254"
local ARC <const> = "http://127.0.0.1:40342"
local ARC_SERVICE <const> = "/opt/azcmagent/bin/himds" -- Arc's agent does not give all processes its variables

local function file_exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

---@class msgraph.auth.Host
---@field host string         as msgraph.core.CredentialOpts has it
---@field endpoint string
---@field secret? string
---@field thumbprint? string
---@field client_id? string   the identity to take where none is named

--- The host this process runs on, by its environment; a virtual machine when nothing tells.
---@param getenv? fun(name: string): string? default os.getenv; an empty variable is an unset one
---@param exists? fun(path: string): boolean
---@return msgraph.auth.Host
function M.find(getenv, exists)
  getenv, exists = getenv or os.getenv, exists or file_exists
  local function value(name)
    local text = getenv(name)
    return text ~= "" and text or nil
  end
  local identity, header, msi = value "IDENTITY_ENDPOINT", value "IDENTITY_HEADER", value "MSI_ENDPOINT"
  local thumbprint, secret = value "IDENTITY_SERVER_THUMBPRINT", value "MSI_SECRET"
  if identity and header and thumbprint then
    return { host = "service_fabric", endpoint = identity, secret = header, thumbprint = thumbprint }
  elseif identity and header then
    return { host = "app_service", endpoint = identity, secret = header }
  elseif identity and value "IMDS_ENDPOINT" then
    return { host = "azure_arc", endpoint = identity }
  elseif msi and secret then
    return { host = "azure_ml", endpoint = msi, secret = secret, client_id = value "DEFAULT_IDENTITY_CLIENT_ID" }
  elseif msi then
    return { host = "cloud_shell", endpoint = msi }
  elseif exists(ARC_SERVICE) then
    return { host = "azure_arc", endpoint = ARC .. TOKEN_PATH }
  end
  local authority = value "AZURE_POD_IDENTITY_AUTHORITY_HOST" or IMDS
  return { host = "imds", endpoint = (authority:gsub("/+$", "")) .. TOKEN_PATH }
end

--- What core.credential is told.
---@param held table<string, string> what the author said: at most one of the three ids
---@param scope string "https://graph.microsoft.com/.default"
---@param host msgraph.auth.Host
---@return msgraph.core.CredentialOpts
function M.settings(held, scope, host)
  local chosen = held.client_id or held.object_id or held.resource_id
  return {
    grant = "managed_identity", resource = (scope:gsub("/%.default$", "")),
    host = host.host, endpoint = host.endpoint, secret = host.secret, thumbprint = host.thumbprint,
    client_id = held.client_id or not chosen and host.client_id or nil,
    object_id = held.object_id, resource_id = held.resource_id,
  }
end

return M
