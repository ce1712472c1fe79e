-- lua/msgraph/offboard/actions/groups.lua
--- Groups: the user leaves them, and what he owns gets an owner who stays.
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
    return powershell.command(verb, { Identity = group.displayName, Members = ctx.user.onPremisesSamAccountName
      or ctx.user.userPrincipalName })
  end
  return verb and powershell.command(verb, { Identity = group.id, Member = ctx.user.id })
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
    if kind == "plain" then
      util.leave(ctx, group)
    elseif kind ~= "other" then
      hand_off_group(ctx, group, kind)
    end
    if kind ~= "other" then count = count + 1 end
  end
  if count == 0 then ctx:unchanged("in no groups") end
end

-- ---- ownership ----------------------------------------------------------------------------------

-- Owners who do not leave with the same plan, the user himself apart.
local function staying_owners(ctx, group)
  local staying = 0
  for _, owner in ipairs(ctx:shared("owners/" .. group.id, "/groups/%s/owners", group.id, { select = { "id" } })) do
    if owner.id ~= ctx.user.id and not ctx.leaving[owner.id] then staying = staying + 1 end
  end
  return staying
end

local function remove_owner(ctx, group, deps)
  local thing = ctx.client:group(group.id)
  ctx:op { key = "owner/" .. group.id, target = group.id, name = group.displayName, deps = deps,
    request = thing:request("remove_owner", ctx.user.id), inverse = thing:request("add_owner", ctx.user.id),
    label = ("Stop owning %s"):format(group.displayName) }
end

local function transfer(ctx, group, successor)
  local thing = ctx.client:group(group.id)
  local added = ctx:op { key = "successor/" .. group.id, target = group.id, name = group.displayName,
    request = thing:request("add_owner", successor.id), inverse = thing:request("remove_owner", successor.id),
    label = ("Make %s the owner of %s"):format(successor.label, group.displayName) }
  remove_owner(ctx, group, { added.key })
end

local function is_group(object)
  return object["@odata.type"] == "#microsoft.graph.group"
end

local UNKNOWN <const> = "nobody else owns it, and who should take it over is not known, or leaves as well"
local UNNAMED <const> = "nobody else owns it, and the workflow names no successor"

local function leave_owned(ctx, opts)
  for _, group in ipairs(ctx:read "owned_objects") do
    if is_group(group) then
      local successor = opts.transfer_sole_ownership_to and ctx:who(opts.transfer_sole_ownership_to)
      if staying_owners(ctx, group) > 0 then
        remove_owner(ctx, group)
      elseif successor then
        transfer(ctx, group, successor)
      else
        ctx:hand_off { key = "owner/" .. group.id, target = group.id, name = group.displayName, system = "entra",
          task = "transfer-ownership", why = opts.transfer_sole_ownership_to and UNKNOWN or UNNAMED }
      end
    end
  end
end

function leave.plan(ctx, opts)
  leave_groups(ctx)
  leave_owned(ctx, opts)
end

-- A membership, an ownership that ends, or one that a successor gets.
function leave.probe(g, op)
  local role = op.key:match("/(%a+)/[^/]+$")
  local list = role and "owners" or "members"
  local wanted = role == "successor" and g.last_id(op.desired.body) or op.subject_id
  for _, object in ipairs(g.list("/groups/%s/" .. list, op.target_id, { select = { "id" } })) do
    if object.id == wanted then return role == "successor" and "yes" or "no" end
  end
  return role == "successor" and "no" or "yes"
end

return { leave }
