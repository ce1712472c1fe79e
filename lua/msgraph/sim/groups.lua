-- lua/msgraph/sim/groups.lua - the tenant's groups, who is in them and who owns them.
--
-- One of each kind that an offboarding meets. Members follow from the seed, and from what was changed.
local people = require "msgraph.sim.people"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"

local M = {}

local KINDS = relation.KINDS

-- `share`: of the employees who are in it. Ada is in all of those that have one, Grace owns each, and Ada what says so.
local CAST = {
  { name = "All Company", unified = true, share = 1 },
  { name = "Engineering", share = 0.4, ada_owns = true },
  { name = "Licensed: Office 365 E3", share = 0.3, licenses = true },
  { name = "Everyone in Berlin", dynamic = true, share = 0.2 },
  { name = "Announcements", mail = true, distribution = true, share = 0.5 },
  { name = "Finance", mail = true, share = 0.1 },
  { name = "Corp File Servers", synced = true, share = 0.3 },
  { name = "Tier 0", role_assignable = true, share = 0, grace_in = true },
  { name = "Project Apollo", unified = true, team = true, share = 0.2, ada_owns = true, sole_owner = true },
  { name = "VPN", share = 0.6 },
  { name = "Blocked", share = 0 },
  { name = "Product", share = 0, holds = 2 }, -- Engineering is in it, and nobody else
}
local MORE <const> = { share = 0.02 } -- those of Store:get "more_groups"

---@class msgraph.sim.Group
---@field index integer
---@field id string
---@field displayName string
---@field dynamic? boolean   refuses members by hand
---@field mail? boolean      Exchange's
---@field synced? boolean    comes from an on-premises directory

---@param seed integer
---@return msgraph.sim.Group?
function M.group(seed, index)
  local cast = CAST[index] or index > #CAST and MORE
  if not cast then return nil end
  local types = {}
  if cast.unified then types[#types + 1] = "Unified" end
  if cast.dynamic then types[#types + 1] = "DynamicMembership" end
  return {
    index = index, cast = cast, id = random.id(seed, KINDS.group, index), types = types,
    displayName = cast.name or ("Project %d"):format(index), holds = cast.holds,
    dynamic = cast.dynamic, mail = cast.mail, synced = cast.synced, role_assignable = cast.role_assignable,
    team = cast.unified and index > 1, licenses = cast.licenses,
  }
end

--- How many groups there are.
---@return integer
function M.count(store)
  return #CAST + (store:get "more_groups" or 0)
end

---@param id string
---@return msgraph.sim.Group?
function M.find(seed, id)
  local index = random.index(seed, KINDS.group, id)
  return index and M.group(seed, index)
end

--- The group whose licence its members inherit.
function M.licensing(seed)
  return M.group(seed, 3)
end

-- ---- members ------------------------------------------------------------------------------------

local ADA <const>, GRACE <const> = 1, people.ADMIN

local function from_the_start(seed, group, user)
  local cast = group.cast
  if user.index == ADA then return cast.share > 0 end
  if user.index == GRACE and cast.grace_in then return true end
  if user.guest then return false end
  return random.stream(seed, KINDS.member, user.index << 8 | group.index):chance(cast.share)
end

local function key(group, user)
  return "member/" .. group.index .. "/" .. user.index
end

---@return boolean
function M.is_member(store, group, user)
  local changed = store:get(key(group, user))
  if changed ~= nil then return changed end
  return from_the_start(store.seed, group, user)
end

--- Whether a user is in a group, or in one that is in it.
---@return boolean
function M.is_within(store, group, user)
  return M.is_member(store, group, user)
    or group.holds ~= nil and M.is_member(store, M.group(store.seed, group.holds), user)
end

function M.set_member(store, group, user, is_in)
  store:set(key(group, user), is_in)
  store:note("groups", { group = group.index, member = user.index, is_in = is_in })
end

--- The groups a user is in.
---@return msgraph.sim.Group[]
function M.of(store, user)
  local out = {}
  for index = 1, M.count(store) do
    local group = M.group(store.seed, index)
    if M.is_member(store, group, user) then out[#out + 1] = group end
  end
  return out
end

-- ---- owners -------------------------------------------------------------------------------------

--- Numbers of the users who own a group, deleted ones not among them.
---@return integer[]
function M.owners(store, group)
  local owners = store:get("owners/" .. group.index)
  if not owners then
    owners = group.cast.sole_owner and { ADA } or group.cast.ada_owns and { ADA, GRACE } or { GRACE }
    store:set("owners/" .. group.index, owners)
  end
  local out = {}
  for _, index in ipairs(owners) do
    if store:user(index) and not store.gone[index] then out[#out + 1] = index end
  end
  return out
end

function M.set_owners(store, group, owners)
  store:set("owners/" .. group.index, owners)
end

return M
