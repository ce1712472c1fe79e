-- lua/msgraph/offboard/actions/groups.lua
--- Groups: the user leaves them, what he owns gets an owner who stays; and one that he is put into.
local ownership = require "msgraph.offboard.ownership"
local powershell = require "msgraph.offboard.powershell"
local util = require "msgraph.offboard.groups"

local leave = {
  id = "groups.leave_all", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "ends every membership and ownership of groups; a group that only he owns gets a new owner first",
  reads = { "memberships", "owned_objects" },
  calls = { "DELETE /groups/{id}/members/{id}/$ref", "POST /groups/{id}/owners/$ref",
    "DELETE /groups/{id}/owners/{id}/$ref", "GET /groups/{id}/owners" },
  options = {
    transfer_sole_ownership_to = { type = "user",
      about = "who owns what only leavers own; without it, that is a hand-off" },
  },
  already = { not_there = true, already_there = true, not_found = true },
  hand_off = {
    last_owner = "a group keeps its last owner: make somebody else one, then remove this one",
    mail_enabled_group = "Exchange is master of this group", synced_object = "Active Directory is master of this group",
  },
}

-- ---- membership ---------------------------------------------------------------------------------

local HAND_OFFS = {
  dynamic = { "entra",
    "a rule decides who is in it: it goes when the account no longer fits, or with a change of the rule" },
  synced = { "active-directory", "Active Directory is master of this group", "Remove-ADGroupMember" },
  exchange = { "exchange", "Exchange is master of this group", "Remove-DistributionGroupMember" },
}

local function command_for(ctx, group, verb)
  if verb == "Remove-ADGroupMember" then
    local sid, member = group.onPremisesSecurityIdentifier, ctx.user.onPremisesSecurityIdentifier
    if type(sid) ~= "string" or type(member) ~= "string" then return nil end
    return powershell.command(verb, { Identity = sid, Members = member, Confirm = false })
  end
  return verb and powershell.command(verb, { Identity = group.id, Member = ctx.user.id, Confirm = false,
    BypassSecurityGroupManagerCheck = true })
end

local function hand_off_group(ctx, group, kind)
  local system, why, verb = table.unpack(HAND_OFFS[kind])
  ctx:hand_off { target = group.id, name = group.displayName, system = system, task = "leave-group", why = why,
    powershell = command_for(ctx, group, verb) }
end

local function leave_groups(ctx)
  local count = 0
  for _, group in ipairs(ctx:read "memberships") do
    local kind = util.kind(group)
    if ctx.person.kept and ctx.person.kept[group.id] then
      ctx:skip(("%s is what groups.add put him into"):format(group.displayName), group.id)
    elseif kind == "plain" then
      util.leave(ctx, group)
    elseif kind ~= "other" then
      hand_off_group(ctx, group, kind)
    end
    if kind ~= "other" then count = count + 1 end
  end
  if count == 0 then ctx:unchanged("in no groups") end
end

-- ---- both ---------------------------------------------------------------------------------------

function leave.plan(ctx, opts)
  leave_groups(ctx)
  for _, object in ipairs(ctx:read "owned_objects") do
    if object["@odata.type"] == "#microsoft.graph.group" then
      ownership.give_up(ctx, object, opts.transfer_sole_ownership_to)
    end
  end
end

local function is_ownership(op) return op.key:find "/%a+/[^/]+$" ~= nil end

function leave.probe(g, op)
  return (is_ownership(op) and ownership.probe or util.has_left)(g, op)
end

function leave.back(g, op)
  return (is_ownership(op) and ownership.back or util.is_back)(g, op)
end

-- ---- joining ------------------------------------------------------------------------------------

local join = {
  id = "groups.add", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "makes the user a member of a group, such as one that conditional access blocks",
  reads = { "memberships" },
  calls = { "POST /groups/{id}/members/$ref", "GET /groups" },
  options = { group = { type = "string", required = true, about = "its name, or its object id" } },
  already = { already_there = true, not_there = true },
  hand_off = leave.hand_off,
}

local GROUP <const> = { "id", "displayName", "groupTypes", "mailEnabled", "onPremisesSyncEnabled" }
local IS_ID <const> = "^%x+%-%x+%-%x+%-%x+%-%x+$"

-- The one group of that name or id.
local function group_of(ctx, name)
  local filter = ctx.reader.filter(name:find(IS_ID) and "id eq ?" or "displayName eq ?", name)
  local found = ctx:shared("group/" .. name, "/groups", { filter = filter, select = GROUP })
  if #found == 1 then return found[1] end
  ctx:fail(("groups.add: %d groups are named %q: %s"):format(#found, name, #found == 0 and "check the name"
    or "give the object id"))
end

function join.plan(ctx, opts)
  local group = group_of(ctx, opts.group)
  ctx.person.kept = ctx.person.kept or {}
  ctx.person.kept[group.id] = true
  for _, membership in ipairs(ctx:read "memberships") do
    if membership.id == group.id then return ctx:unchanged(("in %s already"):format(group.displayName), group.id) end
  end
  group["@odata.type"] = "#microsoft.graph.group"
  local kind = util.kind(group)
  if kind ~= "plain" then
    ctx:fail(("groups.add: %s takes no members through Graph (%s)"):format(group.displayName, HAND_OFFS[kind][2]))
  end
  local thing = ctx.client:group(group.id)
  ctx:op { target = group.id, name = group.displayName, request = thing:request("add_member", ctx.user.id),
    inverse = thing:request("remove_member", ctx.user.id), label = ("Join %s"):format(group.displayName) }
end

function join.probe(g, op)
  for _, membership in ipairs(g.list("/users/%s/memberOf", op.subject_id, { select = { "id" } })) do
    if membership.id == op.target_id then return "yes" end
  end
  return "no"
end

return { leave, join }
