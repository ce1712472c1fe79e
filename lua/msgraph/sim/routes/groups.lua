-- lua/msgraph/sim/routes/groups.lua - groups: members, owners, and the trap between the two.
local groups = require "msgraph.sim.groups"
local json = require "msgraph.sim.json"
local owned = require "msgraph.sim.routes.owned"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"
local users = require "msgraph.sim.routes.users"
local odata = require "msgraph.sim.odata"

local M = {}

---@type msgraph.sim.Resource
M.resource = relation.resource("microsoft.graph.group",
  "id displayName groupTypes mailEnabled securityEnabled mail onPremisesSyncEnabled onPremisesSecurityIdentifier "
    .. "isAssignableToRole membershipRule visibility", { known = "@odata.type description mailNickname "
    .. "assignedLicenses", filters = "displayName id", directory = true })

local function record_of(group)
  return {
    ["@odata.type"] = "#microsoft.graph.group", id = group.id, displayName = group.displayName,
    groupTypes = json.array(group.types), mailEnabled = group.mail or group.types[1] == "Unified" or false,
    securityEnabled = not group.cast.distribution and group.types[1] ~= "Unified",
    onPremisesSyncEnabled = group.synced or nil,
    onPremisesSecurityIdentifier = group.synced
      and ("S-1-5-21-1004336348-1177238915-682003330-%d"):format(900 + group.index) or nil,
    isAssignableToRole = group.role_assignable or nil,
    membershipRule = group.dynamic and 'user.city -eq "Berlin"' or nil, visibility = "Private",
  }
end
M.record_of = record_of

--- The group a path names, or nil and the answer.
local function find(ctx)
  local group = groups.find(ctx.seed, ctx.params.group)
  if group then return group end
  return nil, reply.no_such_object(ctx, ctx.params.group)
end

local function on_group(run)
  return function(ctx)
    local group, no = find(ctx)
    if not group then return no end
    return run(ctx, group)
  end
end

local function get_group(ctx, group)
  return odata.one(ctx, M.resource, "groups", record_of(group))
end

local function list_groups(ctx)
  local records = {}
  for index = 1, groups.count(ctx.store) do records[index] = record_of(groups.group(ctx.seed, index)) end
  return relation.list(ctx, M.resource, "groups", records)
end

-- ---- lists --------------------------------------------------------------------------------------

local CAST_NEEDS <const> = "The specified cast only works with the request header 'ConsistencyLevel: eventual' and "
  .. "$count=true."

local function list_users(ctx, group, is_in)
  local store = ctx.store
  local function walk(position)
    local user, after = store:next_user(position)
    while user and not is_in(store, group, user) do user, after = store:next_user(after) end
    return user, after
  end
  return odata.list(ctx, users.resource, "directoryObjects", walk, 1, store.size)
end

--- Who is in a group that holds another is in that other one.
local function list_members(ctx, group)
  if not group.holds then return list_users(ctx, group, groups.is_member) end
  return relation.list(ctx, M.resource, "directoryObjects", { record_of(groups.group(ctx.seed, group.holds)) })
end

--- A cast of what is listed is an advanced query (FACTS 2.5).
local function list_user_members(ctx, group)
  local query = odata.query(ctx.query)
  if (ctx.headers.consistencylevel or ""):lower() ~= "eventual" or query["$count"] ~= "true" then
    return reply.error(ctx, 400, "Request_UnsupportedQuery", CAST_NEEDS)
  end
  return list_users(ctx, group, groups.is_within)
end

local function list_owners(ctx, group)
  local records = {}
  for i, index in ipairs(groups.owners(ctx.store, group)) do records[i] = ctx.store:user(index) end
  return relation.list(ctx, users.resource, "directoryObjects", records)
end

local MEMBERSHIPS = relation.resource("microsoft.graph.directoryObject", "@odata.type " .. table.concat(
  M.resource.default, " "), { known = "roleTemplateId", directory = true })

local function groups_of(ctx)
  local records = {}
  for i, group in ipairs(groups.of(ctx.store, ctx.user)) do records[i] = record_of(group) end
  return records
end

local function member_of(ctx)
  return relation.list(ctx, MEMBERSHIPS, "directoryObjects", groups_of(ctx))
end

--- A cast of what is listed is an advanced query (FACTS 2.5).
local function groups_member_of(ctx)
  local query = odata.query(ctx.query)
  if (ctx.headers.consistencylevel or ""):lower() ~= "eventual" or query["$count"] ~= "true" then
    return reply.error(ctx, 400, "Request_UnsupportedQuery", CAST_NEEDS)
  end
  return relation.list(ctx, M.resource, "groups", groups_of(ctx))
end

local function owned_objects(ctx)
  local records = {}
  for index = 1, groups.count(ctx.store) do
    local group = groups.group(ctx.seed, index)
    for _, owner in ipairs(groups.owners(ctx.store, group)) do
      if owner == ctx.user.index then records[#records + 1] = record_of(group) end
    end
  end
  table.move(owned.of_user(ctx), 1, 2, #records + 1, records)
  return relation.list(ctx, MEMBERSHIPS, "directoryObjects", records)
end

-- ---- changes ------------------------------------------------------------------------------------

local function bad(ctx, message)
  return reply.error(ctx, 400, "Request_BadRequest", message)
end

--- Why a group takes no change of its members from here, as an answer; nil: it does (FACTS 2.5).
local function refusal(ctx, group)
  if group.dynamic then -- seen: said as if it were a matter of permissions
    return reply.error(ctx, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
  elseif group.mail then
    return bad(ctx, "Cannot Update a mail-enabled security groups and or distribution list.")
  elseif group.synced then
    return bad(ctx, "Unable to update the specified properties for on-premises mastered Directory Sync objects or "
      .. "objects currently undergoing migration.")
  elseif group.role_assignable and not ctx.caller.scopes["RoleManagement.ReadWrite.Directory"] then
    return reply.error(ctx, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
  end
end

local ABSENT <const> = "One or more removed object references do not exist for the following modified properties: '%s'."
local PRESENT <const> = "One or more added object references already exist for the following modified properties: '%s'."

--- The user whom the body or the path names, by object id.
local function referenced(ctx, id)
  local user = id and ctx.store:find_user(id)
  if user and user.id == id:lower() then return user end
  return nil, reply.no_such_object(ctx, tostring(id))
end

local function user_in_body(ctx)
  local body, no = relation.body(ctx)
  if not body then return nil, no end
  return referenced(ctx, relation.reference(body))
end

local function add_member(ctx, group)
  local user, no = user_in_body(ctx)
  no = no or refusal(ctx, group)
  if no then return no end
  if groups.is_member(ctx.store, group, user) then return bad(ctx, PRESENT:format "members") end
  groups.set_member(ctx.store, group, user, true)
  return relation.done(ctx, ("add_member %s %s"):format(group.id, user.id))
end

local function remove_member(ctx, group)
  local user, no = referenced(ctx, ctx.params.member)
  no = no or refusal(ctx, group)
  if no then return no end
  if not groups.is_member(ctx.store, group, user) then return bad(ctx, ABSENT:format "members") end
  groups.set_member(ctx.store, group, user, false)
  return relation.done(ctx, ("remove_member %s %s"):format(group.id, user.id))
end

local function position_of(list, index)
  for at, value in ipairs(list) do
    if value == index then return at end
  end
end

local function add_owner(ctx, group)
  local user, no = user_in_body(ctx)
  if not user then return no end
  local owners = groups.owners(ctx.store, group)
  if position_of(owners, user.index) then return bad(ctx, PRESENT:format "owners") end
  owners[#owners + 1] = user.index
  groups.set_owners(ctx.store, group, owners)
  return relation.done(ctx, ("add_owner %s %s"):format(group.id, user.id))
end

local function remove_owner(ctx, group)
  local user, no = referenced(ctx, ctx.params.member)
  if not user then return no end
  local owners = groups.owners(ctx.store, group)
  local at = position_of(owners, user.index)
  if not at then return bad(ctx, ABSENT:format "owners") end
  if #owners == 1 then
    return bad(ctx, "The group must have at least one owner, hence this owner cannot be removed.")
  end
  table.remove(owners, at)
  groups.set_owners(ctx.store, group, owners)
  return relation.done(ctx, ("remove_owner %s %s"):format(group.id, user.id))
end

--- Without /$ref the user goes, not the membership (FACTS 0.4).
local function delete_the_user(ctx)
  local user, no = referenced(ctx, ctx.params.member)
  if not user then return no end
  ctx.store:delete_user(user)
  return relation.done(ctx, "delete_user " .. user.id)
end

M.READ = { "GroupMember.Read.All", "GroupMember.ReadWrite.All", "Group.Read.All", "Group.ReadWrite.All",
  "Directory.Read.All", "Directory.ReadWrite.All" }
local MEMBERS = { "GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All" }
local OWNERS = { "Group.ReadWrite.All", "Directory.ReadWrite.All" }
local READ_USER = { "User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All" }
local DELETE_USER = { "User.DeleteRestore.All", "User.ReadWrite.All", "Directory.ReadWrite.All" }

local function directory(method, path, scopes, run)
  return { method, path, service = "directory", scopes = scopes, run = run }
end

M.routes = {
  directory("GET", "groups", M.READ, list_groups),
  directory("GET", "groups/{group}", M.READ, on_group(get_group)),
  directory("GET", "groups/{group}/transitiveMembers/microsoft.graph.user", M.READ, on_group(list_user_members)),
  directory("GET", "groups/{group}/members", M.READ, on_group(list_members)),
  directory("POST", "groups/{group}/members/$ref", MEMBERS, on_group(add_member)),
  directory("DELETE", "groups/{group}/members/{member}/$ref", MEMBERS, on_group(remove_member)),
  directory("DELETE", "groups/{group}/members/{member}", DELETE_USER, on_group(delete_the_user)),
  directory("GET", "groups/{group}/owners", M.READ, on_group(list_owners)),
  directory("POST", "groups/{group}/owners/$ref", OWNERS, on_group(add_owner)),
  directory("DELETE", "groups/{group}/owners/{member}/$ref", OWNERS, on_group(remove_owner)),
  directory("DELETE", "groups/{group}/owners/{member}", DELETE_USER, on_group(delete_the_user)),
  directory("GET", "users/{user}/memberOf", M.READ, member_of),
  directory("GET", "users/{user}/memberOf/microsoft.graph.group", M.READ, groups_member_of),
  directory("GET", "users/{user}/ownedObjects", READ_USER, owned_objects),
}

return M
