-- lua/msgraph/offboard/actions/licenses.lua
--- Licences: direct ones in one call, those of a group by leaving it. Last in a workflow: a mailbox without a licence
--- is deleted after a time.
local json = require "msgraph.json"
local util = require "msgraph.offboard.groups"

local remove = {
  id = "licenses.remove_all", version = 1, effect = "converge", danger = "destructive", settle = 15,
  about = "takes away direct licences, and leaves the groups that others come with",
  reads = { "memberships" },
  calls = { "POST /users/{id}/assignLicense", "DELETE /groups/{id}/members/{id}/$ref", "GET /subscribedSkus" },
  options = {
    via = { type = "words", values = { "direct", "group" }, default = { "direct", "group" },
      about = "which: \"direct\", \"group\"; default both" },
  },
  already = { license_not_assigned = true, not_there = true, not_found = true },
  hand_off = {
    inherited_license = "it comes with a group: leave the group",
    license_dependency = "another licence builds on it: take that one away as well",
    no_seat = "no seat of it is free: buy or free one, then resolve this as redo",
    no_usage_location = "the account has no usage location: set one, then resolve this as redo",
    mail_enabled_group = "Exchange is master of the group it comes with",
    synced_object = "Active Directory is master of the group it comes with",
  },
}

local function sku_names(ctx)
  local names = {}
  for _, sku in ipairs(ctx:shared("skus", "/subscribedSkus")) do names[sku.skuId] = sku.skuPartNumber end
  return names
end

-- Direct licences and, by group, those that come with one.
local function split(states)
  local direct, by_group = {}, {}
  for _, state in ipairs(type(states) == "table" and states or {}) do
    local group = state.assignedByGroup
    if not group or group == json.null then
      direct[#direct + 1] = state
    else
      by_group[group] = by_group[group] or {}
      table.insert(by_group[group], state)
    end
  end
  table.sort(direct, function(a, b) return a.skuId < b.skuId end)
  return direct, by_group
end

local function names_of(states, names)
  local out = {}
  for i, state in ipairs(states) do out[i] = names[state.skuId] or state.skuId end
  return table.concat(out, ", ")
end

-- All in one call: calls for one user collide, and plans that build on each other go together (FACTS 2.4).
local function remove_direct(ctx, states, names)
  local skus, back = {}, {}
  for i, state in ipairs(states) do
    skus[i] = state.skuId
    back[i] = { skuId = state.skuId, disabledPlans = json.array(state.disabledPlans) }
  end
  ctx:op { key = "direct/" .. ctx.user.id, target = ctx.user.id, name = ctx.user.userPrincipalName,
    request = ctx.thing:request("remove_licenses", skus), inverse = ctx.thing:request("assign_licenses", back),
    label = ("Take away licences: %s"):format(names_of(states, names)) }
end

local function remove_inherited(ctx, by_group, names)
  for _, group in ipairs(ctx:read "memberships") do
    local states = by_group[group.id]
    local what = states and names_of(states, names)
    if states and ctx:has_op("groups.leave_all", group.id) then
      ctx:skip(("%s comes with the group %s, and goes with it"):format(what, group.displayName), group.id)
    elseif states and util.kind(group) == "plain" then
      util.leave(ctx, group)
    elseif states then
      ctx:hand_off { target = group.id, name = group.displayName, system = "entra", task = "remove-group-license",
        why = ("%s comes with this group, which is not left through Graph"):format(what) }
    end
  end
end

local function has(words, wanted)
  for _, word in ipairs(words) do
    if word == wanted then return true end
  end
  return false
end

function remove.plan(ctx, opts)
  local direct, by_group = split(ctx.user.licenseAssignmentStates)
  if #direct == 0 and not next(by_group) then return ctx:unchanged("no licences") end
  local names = sku_names(ctx)
  if #direct > 0 and has(opts.via, "direct") then remove_direct(ctx, direct, names) end
  if has(opts.via, "group") then remove_inherited(ctx, by_group, names) end
end

local function is_group(op) return op.target_id ~= op.subject_id end

local function has_direct(g, op)
  local user = g.get("/users/%s", op.subject_id, { select = { "id", "licenseAssignmentStates" } })
  return user ~= nil and #split(user.licenseAssignmentStates) > 0
end

function remove.probe(g, op)
  if is_group(op) then return util.has_left(g, op) end
  return has_direct(g, op) and "no" or "yes"
end

function remove.back(g, op)
  if is_group(op) then return util.is_back(g, op) end
  return has_direct(g, op) and "yes" or "no"
end

return { remove }
