-- lua/msgraph/offboard/actions/apps.lua
--- Applications: roles the user has in them, consents he gave, and those he owns.
local errors = require "msgraph.errors"
local ownership = require "msgraph.offboard.ownership"
local query = require "msgraph.query"
local records = require "msgraph.offboard.records"

-- Whether something of a list is gone, by its id.
local function gone(list, id)
  for _, record in ipairs(list) do
    if record.id == id then return "no" end
  end
  return "yes"
end

local app_roles = {
  id = "app_roles.remove_all", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "takes away what the user is assigned in applications; what comes with a group goes with the group",
  reads = { "app_role_assignments" },
  calls = { "DELETE /users/{id}/appRoleAssignments/{id}" },
  already = { not_found = true, already_there = true },
}

function app_roles.plan(ctx)
  local own = 0
  for _, record in ipairs(ctx:read "app_role_assignments") do
    if record.principalId == ctx.user.id then
      own = own + 1
      ctx:op { target = record.id, name = record.resourceDisplayName,
        request = ctx.thing:request("remove_app_role_assignment", record.id),
        inverse = { method = "POST", path = ctx.path .. "/appRoleAssignments", effect = "converge", body = {
          principalId = ctx.user.id, resourceId = record.resourceId, appRoleId = record.appRoleId } },
        label = ("Take away the app %s"):format(record.resourceDisplayName) }
    else
      ctx:skip(("%s comes with the group %s, and goes with it"):format(record.resourceDisplayName,
        record.principalDisplayName), record.id)
    end
  end
  if own == 0 then ctx:unchanged("no applications are assigned to the user himself") end
end

function app_roles.probe(g, op)
  return gone(g.list("/users/%s/appRoleAssignments", op.subject_id), op.target_id)
end

-- Assigned again, it has an id of its own.
function app_roles.back(g, op)
  return records.has(g.list("/users/%s/appRoleAssignments", op.subject_id), op.desired.body,
    { "principalId", "resourceId", "appRoleId" })
end

local grants = {
  id = "grants.remove_all", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "withdraws the consents the user gave to applications",
  reads = { "oauth_grants" },
  calls = { "DELETE /oauth2PermissionGrants/{id}" },
  already = { not_found = true, already_there = true },
}

-- What people call an app. Who may read consents (Directory.Read.All) may read that; whoever may not sees its id.
local function app_name(ctx, id)
  local ok, found = pcall(ctx.shared, ctx, "app/" .. id, "/servicePrincipals",
    { filter = query.filter("id eq ?", id), select = { "id", "displayName" } })
  if not ok and not (errors.Error.is(found) and found.kind == "forbidden") then error(found, 0) end
  return ok and found[1] and found[1].displayName or id
end

function grants.plan(ctx)
  local list = ctx:read "oauth_grants"
  if #list == 0 then return ctx:unchanged("no consents") end
  for _, record in ipairs(list) do
    local app = app_name(ctx, record.clientId)
    ctx:op { target = record.id, name = app, request = ctx.thing:request("remove_oauth_grant", record.id),
      inverse = { method = "POST", path = "/oauth2PermissionGrants", effect = "converge", body = {
        clientId = record.clientId, consentType = record.consentType, principalId = record.principalId,
        resourceId = record.resourceId, scope = record.scope } },
      label = ("Withdraw the consent to %s (%s)"):format(app, (record.scope or ""):match("^%s*(.-)%s*$")) }
  end
end

function grants.probe(g, op)
  return gone(g.list("/users/%s/oauth2PermissionGrants", op.subject_id), op.target_id)
end

local transfer = {
  id = "apps.transfer_ownership", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "gives the applications and service principals that only he owns to somebody, and ends his ownership of all",
  reads = { "owned_objects" },
  calls = { "POST /applications/{id}/owners/$ref", "DELETE /applications/{id}/owners/{id}/$ref",
    "POST /servicePrincipals/{id}/owners/$ref", "DELETE /servicePrincipals/{id}/owners/{id}/$ref",
    "GET /applications/{id}/owners", "GET /servicePrincipals/{id}/owners" },
  options = { to = { type = "user", about = "who owns what only leavers own; without it, that is a hand-off" } },
  already = { not_there = true, already_there = true },
}

local IS_APP = { ["#microsoft.graph.application"] = true, ["#microsoft.graph.servicePrincipal"] = true }

function transfer.plan(ctx, opts)
  local any = false
  for _, object in ipairs(ctx:read "owned_objects") do
    if IS_APP[object["@odata.type"]] then
      any = true
      ownership.give_up(ctx, object, opts.to)
    end
  end
  if not any then ctx:unchanged("owns no applications") end
end

transfer.probe = ownership.probe

return { app_roles, grants, transfer }
