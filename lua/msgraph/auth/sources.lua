-- lua/msgraph/auth/sources.lua
--- The sources of the chain (auth/chain.lua), in its order.
local auth = require "msgraph.auth"
local managed = require "msgraph.auth.managed"

local M = {}

local IMDS_WAIT <const> = 3 -- seconds; a machine elsewhere has nobody at that address, or somebody else

local function as_failure(err)
  return { kind = err.kind, code = err.code, message = err.message, phase = "not_sent" }
end

-- What auth.open says, as a source does.
local function open(credential, identity)
  local opened, err = auth.open(credential, identity)
  if opened then return opened end
  return nil, err.message, as_failure(err)
end

-- Who set nothing is not told what each way lacks.
local function is_empty(identity)
  for _, name in ipairs { "SECRET", "CERTIFICATE_PATH", "ID" } do
    if (os.getenv("AZURE_CLIENT_" .. name) or "") ~= "" then return false end
  end
  return not identity.tenant_id
end

local function environment(identity)
  return { name = "environment", open = function()
    local config = require "msgraph.config" -- which needs msgraph.auth itself
    local credential, err = config.from_environment(identity, os.getenv)
    if credential then return open(credential, identity) end
    if err.code ~= "no_token" then return nil, err.message, as_failure(err) end
    return nil, is_empty(identity) and "none of its variables is set" or err.message:match("%((.*)%)")
  end }
end

local ABSENT = { connect = true, timeout_connect = true, timeout = true, dns = true, managed_identity = true }

-- AZURE_CLIENT_ID says which identity is meant, as for azure-identity, where the host has a choice.
local function managed_identity(identity)
  local host = managed.find()
  local takes_id = host.host == "imds" or host.host == "app_service" or host.host == "azure_ml"
  return {
    name = "managed identity", wait = host.host == "imds" and IMDS_WAIT or nil,
    open = function()
      return open(auth.managed_identity { client_id = takes_id and identity.client_id or nil }, identity)
    end,
    is_absent = function(failure) return ABSENT[failure.code] or ABSENT[failure.word] or false end,
  }
end

-- Nobody who signed in, or signed out again, is nothing to use; a sign-in that is refused or can not be read is.
local function stored(identity)
  return {
    name = "stored sign-in", open = function() return open(auth.stored(), identity) end,
    is_absent = function(failure) return failure.code == "signed_out" end,
  }
end

-- A machine with az and nobody signed in to it has nothing to offer either.
local function azure_cli(identity)
  return {
    name = "Azure CLI", open = function() return open(auth.azure_cli {}, identity) end,
    is_absent = function(failure) return failure.code == "azure_cli_missing" or failure.code == "azure_cli" end,
  }
end

---@param identity msgraph.Identity
---@return msgraph.auth.Source[]
function M.list(identity)
  return { environment(identity), managed_identity(identity), stored(identity), azure_cli(identity) }
end

return M
