-- lua/msgraph/auth/stored.lua
--- The sign-in of `msgraph login`, used by programs that ask nobody.
local profiles = require "msgraph.auth.profile"

local M = {}

local function failed(kind, code, message)
  return { kind = kind, code = code, phase = "not_sent", message = message }
end

local function login(name)
  return name == "default" and "msgraph login" or "msgraph login --profile " .. name
end

local function nobody(name)
  return failed("auth", "signed_out", ("nobody is signed in as profile '%s': %s"):format(name, login(name)))
end

local GUID <const> = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"

-- Ids can be told apart; a tenant's domain and its id can not, without asking.
local function is_elsewhere(tenant, wanted)
  return wanted and tenant and wanted:find(GUID) and tenant:find(GUID) and wanted:lower() ~= tenant:lower()
end

local function resource(scope)
  return (scope:match "^%S*":gsub("/%.default$", ""))
end

-- The tokens of one tenant or cloud are no good in another: nothing would be sent but refusals.
local function misfit(name, sign_in, identity)
  if is_elsewhere(sign_in.tenant_id, identity.tenant_id) then
    return failed("invalid", "bad_option", ("profile '%s' is signed in to tenant %s, not %s: %s --tenant %s, or choose "
      .. "another profile"):format(name, sign_in.tenant_id, identity.tenant_id, login(name), identity.tenant_id))
  end
  local there, here = resource(sign_in.scope or ""), resource(identity.scope)
  if there ~= here then
    return failed("invalid", "bad_option", ("profile '%s' is signed in to the cloud of %s, and this is the one of %s: "
      .. "choose the same --cloud, or another profile"):format(name, there, here))
  end
end

--- What a credential is made of that uses a profile's sign-in.
---@param name? string default MSGRAPH_PROFILE, "default"
---@param identity msgraph.Identity
---@return table? settings as msgraph.core.CredentialOpts, with `profile` and `sign_in`
---@return msgraph.core.Failure? code "signed_out": nobody is signed in
function M.settings(name, identity)
  local failure, profile, sign_in
  name, failure = profiles.name(name)
  if not name then return nil, failure end
  if not profiles.exists(name) then return nil, nobody(name) end
  profile, failure = profiles.open(name)
  if not profile then return nil, failure end
  sign_in, failure = profiles.read(profile)
  if not sign_in then return nil, failure end
  if not sign_in.has_refresh_token then return nil, nobody(name) end
  failure = misfit(name, sign_in, identity)
  if failure then return nil, failure end
  return {
    grant = "refresh_token", store = profile.store, authority = sign_in.authority, tenant_id = sign_in.tenant_id,
    client_id = sign_in.client_id, scope = sign_in.scope, ca_file = identity.ca_file,
    profile = profile, sign_in = sign_in,
  }
end

--- The command that signs in to a profile.
---@package
M.login = login

return M
