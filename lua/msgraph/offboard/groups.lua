-- lua/msgraph/offboard/groups.lua
--- What kind of group it is, and how a membership ends: for every action that ends one.
local M = {}

local function has_type(group, wanted)
  for _, kind in ipairs(type(group.groupTypes) == "table" and group.groupTypes or {}) do
    if kind == wanted then return true end
  end
  return false
end

--- Who may change its members (FACTS 2.5).
---@param object table of memberOf
---@return "plain"|"dynamic"|"synced"|"exchange"|"other" kind other: no group at all (a role, an administrative unit)
function M.kind(object)
  if object["@odata.type"] ~= "#microsoft.graph.group" then return "other" end
  if has_type(object, "DynamicMembership") then return "dynamic" end
  if object.onPremisesSyncEnabled == true then return "synced" end
  if object.mailEnabled == true and not has_type(object, "Unified") then return "exchange" end
  return "plain"
end

--- Ends a membership. The path ends in /$ref: without it the user would be deleted (FACTS 0.4).
---@param ctx msgraph.offboard.Context
---@param group table
---@return table op
function M.leave(ctx, group)
  local thing = ctx.client:group(group.id)
  return ctx:op {
    target = group.id, name = group.displayName, request = thing:request("remove_member", ctx.user.id),
    inverse = thing:request("add_member", ctx.user.id), label = ("Leave %s"):format(group.displayName),
    about = group.isAssignableToRole == true and "needs RoleManagement.ReadWrite.Directory as well" or nil,
  }
end

--- Whether a membership has ended. Asked of the person: a group may have thousands of members.
---@return "yes"|"no"
function M.has_left(g, op)
  for _, group in ipairs(g.list("/users/%s/memberOf", op.subject_id, { select = { "id" } })) do
    if group.id == op.target_id then return "no" end
  end
  return "yes"
end

--- Whether somebody is a member again.
---@return "yes"|"no"|"gone"
function M.is_back(g, op)
  if M.has_left(g, op) == "no" then return "yes" end
  return g.get("/groups/%s", op.target_id, { select = { "id" } }) and "no" or "gone"
end

return M
