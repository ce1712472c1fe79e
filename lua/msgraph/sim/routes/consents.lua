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

-- Those that are the user's now: from the start, and added since.
local function current(ctx, prefix, from_the_start)
  local records = relation.remaining(ctx.store, prefix, from_the_start)
  return table.move(relation.added(ctx.store, prefix, ctx.user), 1, 99, #records + 1, records)
end

local function list_app_roles(ctx)
  return relation.list(ctx, APP_ROLE, "appRoleAssignments",
    current(ctx, "app_role/", app_roles(ctx.store, ctx.user)))
end

local function created(record)
  local answer = reply.ok(record)
  answer.status = 201
  return answer
end

local function has(records, body, names)
  for _, record in ipairs(records) do
    local same = true
    for _, name in ipairs(names) do same = same and record[name] == body[name] end
    if same then return true end
  end
  return false
end

local function add_app_role(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  if has(current(ctx, "app_role/", app_roles(ctx.store, ctx.user)), body, { "principalId", "resourceId", "appRoleId" })
  then
    return reply.error(ctx, 400, "Request_BadRequest", "Permission being assigned already exists on the object")
  end
  local app = random.index(ctx.seed, KINDS.app, tostring(body.resourceId))
  if not app or body.principalId ~= ctx.user.id then return reply.no_such_object(ctx, tostring(body.resourceId)) end
  ctx.actions[#ctx.actions + 1] = "add_app_role " .. ctx.user.id
  return created(relation.add(ctx, "app_role/", ctx.user, { principalId = ctx.user.id, principalType = "User",
    principalDisplayName = ctx.user.displayName, resourceDisplayName = APPS[app], resourceId = body.resourceId,
    appRoleId = body.appRoleId }))
end

--- Those of a group are not the user's to lose.
local function remove_app_role(ctx)
  if relation.remove_added(ctx, "app_role/", ctx.params.assignment) then
    return relation.done(ctx, "remove_app_role " .. ctx.params.assignment)
  end
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

--- A consent's id is made of the app, the resource and the user: given again, it is the same one.
local function add_grant(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  local user = ctx.store:find_user(tostring(body.principalId))
  local record = user and grants(ctx.store, user)[1]
  if not record or body.clientId ~= record.clientId or body.resourceId ~= record.resourceId then
    return reply.no_such_object(ctx, tostring(body.principalId))
  elseif not ctx.store:get("grant/" .. record.id) then
    return reply.error(ctx, 409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists.")
  end
  ctx.store:set("grant/" .. record.id, nil)
  ctx.actions[#ctx.actions + 1] = "add_grant " .. record.id
  return created(record)
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
  { "POST", "users/{user}/appRoleAssignments", service = "directory", scopes = APP_ROLES, run = add_app_role },
  { "DELETE", "users/{user}/appRoleAssignments/{assignment}", service = "directory", scopes = APP_ROLES,
    run = remove_app_role },
  { "GET", "users/{user}/oauth2PermissionGrants", service = "directory", scopes = READ, run = list_grants },
  { "POST", "oauth2PermissionGrants", service = "directory", scopes = GRANTS, run = add_grant },
  { "DELETE", "oauth2PermissionGrants/{grant}", service = "directory", scopes = GRANTS, run = remove_grant },
}

return M
