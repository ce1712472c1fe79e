-- lua/msgraph/sim/routes/group_changes.lua - groups/delta: groups, and who came into them and who went.
--
-- A group comes with its members, unless the selection leaves them out; with many of them in parts, each of which is
-- the whole group with other members.
local delta = require "msgraph.sim.delta"
local group_routes = require "msgraph.sim.routes.groups"
local groups = require "msgraph.sim.groups"
local json = require "msgraph.sim.json"
local odata = require "msgraph.sim.odata"

local M = {}

local RESOURCE = { known = odata.set "members" }
for name in pairs(group_routes.resource.known) do RESOURCE.known[name] = true end
setmetatable(RESOURCE, { __index = group_routes.resource })

local PART <const> = 20 -- members
local ROOM <const> = 1 << 24 -- positions of one group: where its next member is looked for

local MEMBER, REMOVED_MEMBER = { "@odata.type", "id" }, { "@odata.type", "id", "@removed" }
local REASON = { "reason" }

local function member(kind, id, is_in)
  if is_in then return json.ordered({ ["@odata.type"] = "#microsoft.graph." .. kind, id = id }, MEMBER) end
  return json.ordered({ ["@odata.type"] = "#microsoft.graph." .. kind, id = id,
    ["@removed"] = json.ordered({ reason = "deleted" }, REASON) }, REMOVED_MEMBER)
end

local function next_user_in(store, group, position)
  repeat
    local user, after = store:next_user(position)
    if not user or groups.is_member(store, group, user) then return user, after end
    position = after
  until false
end

-- Up to PART members from a position on, and the position to go on from; nil: there are no more.
local function members_from(store, group, position)
  if group.holds then return { member("group", groups.group(store.seed, group.holds).id, true) } end
  local members = {}
  local user, after = next_user_in(store, group, position)
  while user and #members < PART do
    members[#members + 1], position = member("user", user.id, true), after
    user, after = next_user_in(store, group, position)
  end
  return members, user and position
end

local function part(names, entry)
  local record, own = group_routes.record_of(entry.group), {}
  for _, name in ipairs(names) do
    if name ~= "members" then own[#own + 1] = name end
  end
  if entry.members[1] and (names == RESOURCE.default or #own < #names) then
    record["members@delta"] = json.array(entry.members)
    own[#own + 1] = "members@delta"
  end
  return odata.item(RESOURCE, record, own)
end

local function groups_delta(ctx)
  local store = ctx.store
  local function walk(position)
    local index = math.max(position // ROOM, 1)
    if index > groups.count(store) then return nil, position end
    local group = groups.group(ctx.seed, index)
    local members, more = members_from(store, group, math.max(position % ROOM, 1))
    return { group = group, members = members }, more and index * ROOM + more or (index + 1) * ROOM
  end
  local function change(names, changed)
    return part(names, { group = groups.group(ctx.seed, changed.group),
      members = { member("user", store:user(changed.member).id, changed.is_in) } })
  end
  return delta.answer(ctx, { set = "groups", resource = RESOURCE, changes = store.changes.groups, walk = walk,
    item = part, change = change })
end

M.routes = { { "GET", "groups/delta", service = "directory", scopes = group_routes.READ, run = groups_delta } }

return M
