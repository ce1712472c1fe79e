-- lua/msgraph/sim/routes/consents.lua - apps a user is assigned to, and consents he gave (FACTS 2.7).
local groups = require "msgraph.sim.groups"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local KINDS = relation.KINDS
local APPS = { "Expenses", "Travel", "Wiki" }

-- One app for everybody, another that comes with the group VPN.
local function app_roles(store, user)
  local function record(n, principal, kind)
    return { id = random.id(store.seed, KINDS.app_role, user.index * 4 + n), principalId = principal.id,
      principalType = kind, principalDisplayName = principal.displayName, resourceDisplayName = APPS[n],
      resourceId = random.id(store.seed, KINDS.app, n), appRoleId = "00000000-0000-0000-0000-000000000000" }
  end
  local out, vpn = { record(1, user, "User") }, groups.group(store.seed, 10)
  if groups.is_member(store, vpn, user) then out[2] = record(2, vpn, "Group") end
  return out
end

local function grants(store, user)
  return { { id = random.id(store.seed, KINDS.grant, user.index), clientId = random.id(store.seed, KINDS.app, 3),
    consentType = "Principal", principalId = user.id, resourceId = random.id(store.seed, KINDS.app, 9),
    scope = "User.Read Mail.Read" } }
end

local APP_ROLE = relation.resource("microsoft.graph.appRoleAssignment",
  "id appRoleId principalId principalType principalDisplayName resourceId resourceDisplayName")
local GRANT = relation.resource("microsoft.graph.oAuth2PermissionGrant",
  "id clientId consentType principalId resourceId scope")

local function list_app_roles(ctx)
  return relation.list(ctx, APP_ROLE, "appRoleAssignments",
    relation.remaining(ctx.store, "app_role/", app_roles(ctx.store, ctx.user)))
end

--- Those of a group are not the user's to lose.
local function remove_app_role(ctx)
  local own = { app_roles(ctx.store, ctx.user)[1] }
  return relation.remove(ctx, "app_role/", own, ctx.params.assignment, "remove_app_role")
end

local function list_grants(ctx)
  return relation.list(ctx, GRANT, "oauth2PermissionGrants",
    relation.remaining(ctx.store, "grant/", grants(ctx.store, ctx.user)))
end

local function remove_grant(ctx)
  local user = ctx.store:user(random.index(ctx.seed, KINDS.grant, ctx.params.grant) or 0)
  if not user then return reply.no_such_object(ctx, ctx.params.grant) end
  return relation.remove(ctx, "grant/", grants(ctx.store, user), ctx.params.grant, "remove_grant")
end

local APP = relation.resource("microsoft.graph.servicePrincipal", "id appId displayName",
  { filters = "id", directory = true })

local function list_apps(ctx)
  local records = {}
  for n, name in ipairs(APPS) do
    local id = random.id(ctx.seed, KINDS.app, n)
    records[n] = { id = id, appId = id, displayName = name }
  end
  return relation.list(ctx, APP, "servicePrincipals", records)
end

local READ = { "Directory.Read.All", "Directory.ReadWrite.All" }
local APP_ROLES = { "AppRoleAssignment.ReadWrite.All" }
local GRANTS = { "DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All" }

M.routes = {
  { "GET", "servicePrincipals", service = "directory", scopes = { "Application.Read.All", table.unpack(READ) },
    run = list_apps },
  { "GET", "users/{user}/appRoleAssignments", service = "directory", scopes = READ, run = list_app_roles },
  { "DELETE", "users/{user}/appRoleAssignments/{assignment}", service = "directory", scopes = APP_ROLES,
    run = remove_app_role },
  { "GET", "users/{user}/oauth2PermissionGrants", service = "directory", scopes = READ, run = list_grants },
  { "DELETE", "oauth2PermissionGrants/{grant}", service = "directory", scopes = GRANTS, run = remove_grant },
}

return M
