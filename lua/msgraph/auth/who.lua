-- lua/msgraph/auth/who.lua
--- Who a client signs in as: what its token says, and where that comes from. For people to see; nothing is decided
-- by it.
local M = {}

---@class msgraph.Who           a field is missing where the token does not say, or is not to be read
---@field kind string           of the credential: "token", "client_secret", "stored", ...
---@field source? string        which of graph.auth.default's it is: "environment", "stored sign-in", ...
---@field username? string
---@field name? string
---@field object_id? string
---@field tenant_id? string
---@field app_id? string
---@field app_name? string
---@field scopes? string[]      delegated permissions; none for an app; nil: not known
---@field roles? string[]       application permissions; nil: not known
---@field expires_in? number    seconds its token is still used; it is renewed by itself
---@field profile? string       of a stored sign-in
---@field path? string          where that is kept
---@field key? string           and where the key is that it is encrypted with

local function words(text)
  local list = {}
  for word in (text or ""):gmatch "%S+" do list[#list + 1] = word end
  return list
end

local COPIED = { "username", "name", "object_id", "tenant_id", "app_id", "app_name", "expires_in" }

local function add_stored(who, profile)
  local profiles = require "msgraph.auth.profile"
  local sign_in = profiles.read(profile) or {}
  who.profile, who.path, who.key = profile.name, profile.path, profiles.KEYS[profile.key]
  who.username, who.object_id = who.username or sign_in.username, who.object_id or sign_in.object_id
  who.tenant_id, who.app_id = who.tenant_id or sign_in.tenant_id, who.app_id or sign_in.client_id
end

---@param opened msgraph.Opened signed in
---@return msgraph.Who
function M.of(opened)
  local source
  if opened.chosen then opened, source = opened.chosen() end
  local said, who = opened.core:describe(), { kind = opened.kind, source = source }
  for _, name in ipairs(COPIED) do who[name] = said and said[name] end
  if said then who.scopes, who.roles = words(said.scopes), words(said.roles) end
  if opened.profile then add_stored(who, opened.profile) end
  return who
end

return M
