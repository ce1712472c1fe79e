-- lua/msgraph/sim/routes/account.lua - a user's account: changed, deleted, brought back; manager and reports.
local clock = require "msgraph.sim.clock"
local identity = require "msgraph.sim.identity"
local json = require "msgraph.sim.json"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"
local users = require "msgraph.sim.routes.users"
local people = require "msgraph.sim.people"

local M = {}

local DENIED <const> = "Insufficient privileges to complete the operation."

local function denied(ctx)
  return reply.error(ctx, 403, "Authorization_RequestDenied", DENIED)
end

local ABOVE_ADMINS = { "Global Administrator", "Privileged Authentication Administrator" }

--- Sensitive acts on an administrator take a role above his (FACTS 2.1, who may act on whom).
local function guarded(run)
  return function(ctx)
    if ctx.user.admin and not identity.any(ctx.caller.roles, ABOVE_ADMINS) then return denied(ctx) end
    return run(ctx)
  end
end

-- ---- changing -----------------------------------------------------------------------------------

local SENSITIVE = { "accountEnabled", "passwordProfile", "mobilePhone", "businessPhones", "otherMails" }

-- What the on-premises directory has the say on, of a synced user.
local MASTERED = odata.set "accountEnabled displayName givenName surname mail department jobTitle userPrincipalName"

local ENABLE = { "User.EnableDisableAccount.All" }
local PASSWORD = { "User-PasswordProfile.ReadWrite.All" }
local WRITE = { "User.ReadWrite.All", "Directory.ReadWrite.All" }

local function only(body, name)
  return body[name] ~= nil and next(body, next(body)) == nil
end

--- Two properties may be changed with a permission of their own, when they come alone.
local function may_change(ctx, body)
  local held = ctx.caller.scopes
  return identity.any(held, WRITE) or only(body, "passwordProfile") and identity.any(held, PASSWORD)
    or only(body, "accountEnabled") and identity.any(held, ENABLE) and identity.any(held, { "User.Read.All" })
end

local function mastered_elsewhere(ctx)
  return reply.error(ctx, 400, "Request_BadRequest", "Unable to update the specified properties for on-premises "
    .. "mastered Directory Sync objects or objects currently undergoing migration.")
end

local function fault_in(ctx, body)
  for name in pairs(body) do
    if not users.resource.known[name] then
      return reply.error(ctx, 400, "Request_BadRequest", "Invalid property '" .. name .. "'.")
    elseif ctx.user.synced and MASTERED[name] then
      return mastered_elsewhere(ctx)
    end
  end
  for _, name in ipairs(SENSITIVE) do
    if body[name] ~= nil and ctx.user.admin and not identity.any(ctx.caller.roles, ABOVE_ADMINS) then
      return denied(ctx)
    end
  end
end

local function update(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  if not may_change(ctx, body) then return denied(ctx) end
  no = fault_in(ctx, body)
  if no then return no end
  local names = {}
  for name in pairs(body) do names[#names + 1] = name end
  table.sort(names)
  if body.passwordProfile then body.passwordProfile, body.lastPasswordChangeDateTime = nil, clock.iso(ctx.now) end
  ctx.store:change_user(ctx.user, body)
  return relation.done(ctx, ("update %s %s"):format(ctx.user.id, table.concat(names, ",")))
end

local function revoke(ctx)
  ctx.store:change_user(ctx.user, { signInSessionsValidFromDateTime = clock.iso(ctx.now) })
  ctx.actions[#ctx.actions + 1] = "revoke " .. ctx.user.id
  return reply.ok { ["@odata.context"] = ctx.base .. "/$metadata#Edm.Boolean", value = true }
end

local PASSWORD_METHOD <const> = "28c10230-6103-485e-b985-444c60001490"

local function reset_password(ctx)
  if ctx.caller.kind ~= "delegated" or ctx.user.id == ctx.caller.user.id then return denied(ctx) end
  if ctx.params.method ~= PASSWORD_METHOD then return reply.no_such_object(ctx, ctx.params.method) end
  local body, no = relation.body(ctx)
  if not body then return no end
  ctx.actions[#ctx.actions + 1] = "reset_password " .. ctx.user.id
  local made = not body.newPassword and random.stream(ctx.seed, relation.KINDS.created, ctx.n)
    :text(12, "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789") or nil
  local answer = reply.ok(made and { newPassword = made } or {})
  answer.status = 202
  answer.headers.Location = ("%s/users/%s/authentication/operations/%s"):format(ctx.base, ctx.user.id, ctx.request_id)
  return answer
end

-- ---- deleting -----------------------------------------------------------------------------------

local function delete(ctx)
  ctx.store:delete_user(ctx.user)
  return relation.done(ctx, "delete_user " .. ctx.user.id)
end

--- The deleted user a path names, who is not purged; or nil and 404.
local function find_deleted(ctx)
  local index = random.index(ctx.seed, people.KIND, ctx.params.item)
  if index and ctx.store.gone[index] and not ctx.store:get("purged/" .. index) then return ctx.store:user(index) end
  return nil, reply.no_such_object(ctx, ctx.params.item)
end

local function on_deleted(run)
  return function(ctx)
    local user, no = find_deleted(ctx)
    if not user then return no end
    return run(ctx, user)
  end
end

local function list_deleted(ctx)
  local records = {}
  for index in pairs(ctx.store.gone) do
    if not ctx.store:get("purged/" .. index) then records[#records + 1] = ctx.store:user(index) end
  end
  table.sort(records, function(a, b) return a.index < b.index end)
  return relation.list(ctx, users.resource, "directory/deletedItems/microsoft.graph.user", records)
end

local function get_deleted(ctx, user)
  return odata.one(ctx, users.resource, "directoryObjects", user)
end

local function restore(ctx, user)
  ctx.store:restore_user(user)
  ctx.actions[#ctx.actions + 1] = "restore " .. user.id
  return reply.ok(json.ordered({ ["@odata.type"] = "#microsoft.graph.user", id = user.id,
    userPrincipalName = user.userPrincipalName }, { "@odata.type", "id", "userPrincipalName" }))
end

local function purge(ctx, user)
  ctx.store:set("purged/" .. user.index, true)
  return relation.done(ctx, "purge " .. user.id)
end

-- ---- manager and reports ------------------------------------------------------------------------

-- Who is whose manager from the start: eight to one.
local function first_manager(index)
  return index ~= people.ADMIN and math.max(1, (index - 3) // 8 + 1) or nil
end

local function manager_of(store, user)
  local index = store:get("manager/" .. user.index)
  if index == nil then index = user.index == 1 and people.ADMIN or first_manager(user.index) end
  return index and not store.gone[index] and store:user(index) or nil
end

local function get_manager(ctx)
  local manager = manager_of(ctx.store, ctx.user)
  if not manager then return reply.no_such_object(ctx, "manager") end
  return odata.one(ctx, users.resource, "directoryObjects", manager)
end

local function set_manager(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  if ctx.user.synced then return mastered_elsewhere(ctx) end
  local id = relation.reference(body)
  local manager = id and ctx.store:find_user(id)
  if not manager then return reply.no_such_object(ctx, tostring(id)) end
  ctx.store:set("manager/" .. ctx.user.index, manager.index)
  return relation.done(ctx, ("set_manager %s %s"):format(ctx.user.id, manager.id))
end

local function remove_manager(ctx)
  if not manager_of(ctx.store, ctx.user) then return reply.no_such_object(ctx, "manager") end
  ctx.store:set("manager/" .. ctx.user.index, false)
  return relation.done(ctx, "remove_manager " .. ctx.user.id)
end

local function direct_reports(ctx)
  local records, store = {}, ctx.store
  local user, position = store:next_user(1)
  while user do
    local manager = manager_of(store, user)
    if manager and manager.index == ctx.user.index then records[#records + 1] = user end
    user, position = store:next_user(position)
  end
  return relation.list(ctx, users.resource, "directoryObjects", records)
end

local READ = { "User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All" }
local REVOKE = { "User.RevokeSessions.All", "User.ReadWrite.All", "Directory.ReadWrite.All" }
local DELETE = { "User.DeleteRestore.All", "User.ReadWrite.All", "Directory.ReadWrite.All" }
local CHANGE = { "User.ReadWrite.All", "Directory.ReadWrite.All", "User.EnableDisableAccount.All",
  "User-PasswordProfile.ReadWrite.All" }
local METHODS = { "UserAuthenticationMethod.ReadWrite.All" }
local DELETED <const> = "directory/deletedItems/"

local function directory(method, path, scopes, run)
  return { method, path, service = "directory", scopes = scopes, run = run }
end

M.routes = {
  directory("PATCH", "users/{user}", CHANGE, update),
  directory("DELETE", "users/{user}", DELETE, guarded(delete)),
  directory("POST", "users/{user}/revokeSignInSessions", REVOKE, revoke),
  directory("POST", "users/{user}/authentication/methods/{method}/resetPassword", METHODS, guarded(reset_password)),
  directory("GET", "users/{user}/manager", READ, get_manager),
  directory("PUT", "users/{user}/manager/$ref", WRITE, set_manager),
  directory("DELETE", "users/{user}/manager/$ref", WRITE, remove_manager),
  directory("GET", "users/{user}/directReports", READ, direct_reports),
  directory("GET", DELETED .. "microsoft.graph.user", READ, list_deleted),
  directory("GET", DELETED .. "{item}", READ, on_deleted(get_deleted)),
  directory("POST", DELETED .. "{item}/restore", DELETE, on_deleted(restore)),
  directory("DELETE", DELETED .. "{item}", DELETE, on_deleted(purge)),
}

return M
