-- lua/msgraph/sim/routes/methods.lua - how a user signs in (FACTS 2.8).
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local PASSWORD <const> = "28c10230-6103-485e-b985-444c60001490"
local MOBILE <const> = "3179e48a-750b-4051-897c-87b9720928f7"

-- collection -> type, and the permission that changes it
local COLLECTIONS = {
  phone = { "phone", "Phone" }, fido2 = { "fido2", "Passkey" },
  microsoftAuthenticator = { "microsoftAuthenticator", "MicrosoftAuthApp" },
  softwareOath = { "softwareOath", "SoftwareOATH" }, temporaryAccessPass = { "temporaryAccessPass", "TAP" },
  windowsHelloForBusiness = { "windowsHelloForBusiness", "WindowsHello" }, email = { "email", "Email" },
  platformCredential = { "platformCredential", "PlatformCred" },
}

-- A password, a phone, which is the default, an authenticator, and a key for some.
local function methods(store, user)
  local function record(kind, id)
    return { ["@odata.type"] = "#microsoft.graph." .. kind .. "AuthenticationMethod", kind = kind,
      id = id or random.id(store.seed, relation.KINDS.method, user.index * 4 + #kind % 4) }
  end
  local out = { record("password", PASSWORD), record("phone", MOBILE), record "microsoftAuthenticator" }
  if user.index % 3 == 1 then out[4] = record "fido2" end
  return out
end

local function prefix(user)
  return "method/" .. user.index .. "/"
end

local function held(ctx)
  return relation.remaining(ctx.store, prefix(ctx.user), methods(ctx.store, ctx.user))
end

local METHOD = relation.resource("microsoft.graph.authenticationMethod", "@odata.type id")

local function list(ctx)
  return relation.list(ctx, METHOD, "users('" .. ctx.user.id .. "')/authentication/methods", held(ctx))
end

--- The phone is the default, and goes when it is the last beside the password.
local function is_default(ctx, kind)
  return kind == "phone" and #held(ctx) > 2
end

local function delete(kind)
  return function(ctx)
    local own = {}
    for _, record in ipairs(methods(ctx.store, ctx.user)) do
      if record.kind == kind then own[#own + 1] = record end
    end
    if own[1] and own[1].id == ctx.params.method and is_default(ctx, kind) then
      return reply.error(ctx, 400, "badRequest", "Cannot delete default method with other methods configured. Please "
        .. "change default method before deletion.")
    end
    return relation.remove(ctx, prefix(ctx.user), own, ctx.params.method, "delete_method " .. ctx.user.id)
  end
end

local ALL <const> = "UserAuthenticationMethod.ReadWrite.All"

M.routes = {
  { "GET", "users/{user}/authentication/methods", service = "directory",
    scopes = { "UserAuthenticationMethod.Read.All", ALL }, run = list },
}

for collection, about in pairs(COLLECTIONS) do
  M.routes[#M.routes + 1] = { "DELETE", "users/{user}/authentication/" .. collection .. "Methods/{method}",
    service = "directory", scopes = { "UserAuthMethod-" .. about[2] .. ".ReadWrite.All", ALL }, run = delete(about[1]) }
end

return M
