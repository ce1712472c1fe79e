-- lua/msgraph/sim/routes/work.lua - OneDrive and Teams (FACTS 2.10).
local groups = require "msgraph.sim.groups"
local json = require "msgraph.sim.json"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local KINDS = relation.KINDS

-- ---- OneDrive -----------------------------------------------------------------------------------

local function not_found(ctx)
  return reply.error(ctx, 404, "itemNotFound", "The resource could not be found.")
end

--- Who has no licence never had a OneDrive set up.
local function get_drive(ctx)
  if not ctx.user.licensed then return not_found(ctx) end
  return reply.ok(json.ordered({ id = random.id(ctx.seed, KINDS.drive, ctx.user.index), driveType = "business",
    name = "OneDrive" }, { "id", "driveType", "name" }))
end

local PERMISSION = relation.resource("microsoft.graph.permission", "id roles grantedToV2 inheritedFrom")

-- Whoever has access to the whole drive: the owner, and who was let in. Items are not kept apart.
local function permissions(ctx, index)
  local out = { { id = random.id(ctx.seed, KINDS.drive_permission, index), roles = json.array { "owner" },
    grantedToV2 = { user = { id = ctx.store:user(index).id } } } }
  for _, record in ipairs(ctx.store:get("drive/" .. index) or {}) do out[#out + 1] = record end
  return out
end

local function on_drive(run)
  return function(ctx)
    local index = random.index(ctx.seed, KINDS.drive, ctx.params.drive)
    if not index or not ctx.store:user(index) then return not_found(ctx) end
    return run(ctx, index)
  end
end

local function list_permissions(ctx, index)
  return relation.list(ctx, PERMISSION, "permissions", permissions(ctx, index))
end

-- Somebody who was let in before keeps his permission, with other roles.
local function let_in(ctx, index, recipient, roles, n)
  local user = ctx.store:find_user(recipient.objectId or recipient.email or "") or {}
  local records = relation.kept(ctx.store, "drive/" .. index)
  for _, record in ipairs(records) do
    if user.id and record.grantedToV2.user.id == user.id then
      record.roles = json.array(roles)
      return record
    end
  end
  records[#records + 1] = { id = random.id(ctx.seed, KINDS.drive_permission, (ctx.n << 20) + n),
    roles = json.array(roles),
    grantedToV2 = { user = { id = user.id, displayName = user.displayName, email = recipient.email } } }
  return records[#records]
end

local function invite(ctx, index)
  local body, no = relation.body(ctx)
  if not body then return no end
  if type(body.recipients) ~= "table" or type(body.roles) ~= "table" then
    return reply.error(ctx, 400, "invalidRequest", "The request is malformed or incorrect.")
  end
  local added = {}
  for i, recipient in ipairs(body.recipients) do added[i] = let_in(ctx, index, recipient, body.roles, i) end
  ctx.actions[#ctx.actions + 1] = "invite " .. ctx.params.drive
  return reply.ok { value = json.array(added) }
end

local function remove_permission(ctx, index)
  for at, record in ipairs(ctx.store:get("drive/" .. index) or {}) do
    if record.id == ctx.params.permission then
      table.remove(ctx.store:get("drive/" .. index), at)
      return relation.done(ctx, "remove_permission " .. record.id)
    end
  end
  return not_found(ctx)
end

local function copy(ctx)
  ctx.actions[#ctx.actions + 1] = "copy " .. ctx.params.drive
  return { status = 202, headers = { Location = ctx.origin .. "/monitor/" .. ctx.request_id }, body = "" }
end

-- ---- Teams --------------------------------------------------------------------------------------

local TEAM = relation.resource("microsoft.graph.team", "id displayName isArchived")
local MEMBER = relation.resource("microsoft.graph.conversationMember", "@odata.type id roles displayName userId")

local function joined_teams(ctx)
  local records = {}
  for _, group in ipairs(groups.of(ctx.store, ctx.user)) do
    if group.team then
      records[#records + 1] = { id = group.id, displayName = group.displayName, isArchived = false }
    end
  end
  return relation.list(ctx, TEAM, "teams", records)
end

local function on_team(run)
  return function(ctx)
    local group = groups.find(ctx.seed, ctx.params.team)
    if not group or not group.team then
      return reply.error(ctx, 404, "NotFound", "No team found with Group Id " .. ctx.params.team)
    end
    return run(ctx, group)
  end
end

local MOST <const> = 1 << 40

local function list_members(ctx, group)
  local records, owners = {}, {}
  for _, index in ipairs(groups.owners(ctx.store, group)) do owners[index] = true end
  local user, position = ctx.store:next_user(1)
  while user do
    if groups.is_member(ctx.store, group, user) then
      records[#records + 1] = { ["@odata.type"] = "#microsoft.graph.aadUserConversationMember",
        id = random.id(ctx.seed, KINDS.membership, group.index * MOST + user.index), displayName = user.displayName,
        userId = user.id, roles = json.array(owners[user.index] and { "owner" } or {}) }
    end
    user, position = ctx.store:next_user(position)
  end
  return relation.list(ctx, MEMBER, "teams('" .. group.id .. "')/members", records)
end

local function remove_member(ctx, group)
  local index = random.index(ctx.seed, KINDS.membership, ctx.params.membership)
  local user = index and index // MOST == group.index and ctx.store:user(index % MOST)
  if not user or not groups.is_member(ctx.store, group, user) then
    return reply.error(ctx, 404, "NotFound", "Member not found.")
  end
  groups.set_member(ctx.store, group, user, false)
  return relation.done(ctx, ("remove_team_member %s %s"):format(group.id, user.id))
end

local READ_FILES = { "Files.Read.All", "Files.ReadWrite.All", "Sites.Read.All", "Sites.ReadWrite.All" }
local FILES = { "Files.ReadWrite.All", "Sites.ReadWrite.All" }
local READ_TEAMS = { "Team.ReadBasic.All", "Directory.Read.All", "Directory.ReadWrite.All" }
local READ_MEMBERS = { "TeamMember.Read.All", "TeamMember.ReadWrite.All" }
local MEMBERS = { "TeamMember.ReadWriteNonOwnerRole.All", "TeamMember.ReadWrite.All" }

local function directory(method, path, scopes, run)
  return { method, path, service = "directory", scopes = scopes, run = run }
end

M.routes = {
  directory("GET", "users/{user}/drive", READ_FILES, get_drive),
  directory("GET", "drives/{drive}/items/{item}/permissions", READ_FILES, on_drive(list_permissions)),
  directory("POST", "drives/{drive}/items/{item}/invite", FILES, on_drive(invite)),
  directory("DELETE", "drives/{drive}/items/{item}/permissions/{permission}", FILES, on_drive(remove_permission)),
  directory("POST", "drives/{drive}/items/{item}/copy", FILES, on_drive(copy)),
  directory("GET", "users/{user}/joinedTeams", READ_TEAMS, joined_teams),
  directory("GET", "teams/{team}/members", READ_MEMBERS, on_team(list_members)),
  directory("DELETE", "teams/{team}/members/{membership}", MEMBERS, on_team(remove_member)),
}

return M
