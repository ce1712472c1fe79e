-- lua/msgraph/offboard/actions/roles.lua
--- Directory roles: assigned for good, active through PIM, and those that could be activated.
local records = require "msgraph.offboard.records"

local remove = {
  id = "roles.remove_all", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "takes away directory roles: assigned, active through PIM, and eligible",
  reads = { "role_assignments", "active_roles", "eligible_roles" },
  calls = { "DELETE /roleManagement/directory/roleAssignments/{id}",
    "POST /roleManagement/directory/roleAssignmentScheduleRequests",
    "POST /roleManagement/directory/roleEligibilityScheduleRequests", "GET /directoryRoles" },
  already = { not_found = true, role_not_assigned = true, role_already_assigned = true, conflicting_object = true },
  hand_off = { pim_policy = "PIM's rules do not allow it as it was: assign it in the Entra admin center, within them" },
}

local JUSTIFICATION <const> = "offboarding"
local RESTORE <const> = "offboarding undone"

local function scope_of(record) return record.directoryScopeId or "/" end

local function role_key(record) return record.roleDefinitionId .. " " .. scope_of(record) end

-- Roles by the id of their definition, as far as the tenant uses them.
local function role_names(ctx)
  local names = {}
  for _, role in ipairs(ctx:shared("role_names", "/directoryRoles")) do
    names[role.roleTemplateId] = role.displayName
  end
  return names
end

-- The schedule as it was, in PIM's words.
local function assigned_again(ctx, record, path)
  local ends = record.endDateTime
  return { method = "POST", effect = "converge", path = path, body = {
    action = "adminAssign", principalId = ctx.user.id, roleDefinitionId = record.roleDefinitionId,
    directoryScopeId = scope_of(record), justification = RESTORE, scheduleInfo = { startDateTime = record.startDateTime,
      expiration = { type = ends and "afterDateTime" or "noExpiration", endDateTime = ends } } } }
end

local function through_pim(ctx, record, name, how)
  local removal = { roleDefinitionId = record.roleDefinitionId, directoryScopeId = scope_of(record),
    justification = JUSTIFICATION }
  local request = ctx.thing:request(("remove_%s_role"):format(how), removal)
  local activated = record.assignmentType == "Activated" -- by the user, for some hours
  ctx:op { key = how .. "/" .. record.id, target = record.id, name = name, request = request,
    inverse = not activated and assigned_again(ctx, record, request.path) or nil,
    nothing_to_undo = activated and "whoever is eligible activates it again" or nil,
    label = how == "active" and ("Take away the role %s (PIM)"):format(name)
      or ("Take away the eligibility for the role %s"):format(name) }
end

local function assigned(ctx, record, name)
  ctx:op { target = record.id, name = name, request = ctx.thing:request("remove_role_assignment", record.id),
    inverse = { method = "POST", effect = "converge", path = "/roleManagement/directory/roleAssignments", body = {
      principalId = ctx.user.id, roleDefinitionId = record.roleDefinitionId, directoryScopeId = scope_of(record) } },
    label = ("Take away the role %s"):format(name) }
end

function remove.plan(ctx)
  local active, eligible = ctx:read "active_roles", ctx:read "eligible_roles"
  local assignments = ctx:read "role_assignments"
  if #active + #eligible + #assignments == 0 then return ctx:unchanged("no directory roles") end
  local names, by_pim = role_names(ctx), {}
  local function name_of(record) return names[record.roleDefinitionId] or record.roleDefinitionId end
  for _, record in ipairs(active) do
    by_pim[role_key(record)] = true
    through_pim(ctx, record, name_of(record), "active")
  end
  for _, record in ipairs(assignments) do -- PIM's own are listed here too, and refused
    if not by_pim[role_key(record)] then assigned(ctx, record, name_of(record)) end
  end
  for _, record in ipairs(eligible) do through_pim(ctx, record, name_of(record), "eligible") end
end

local LISTS = { active = "roleAssignmentScheduleInstances", eligible = "roleEligibilityScheduleInstances" }

local function list_of(op) return LISTS[op.key:match("/(%a+)/[^/]+$")] or "roleAssignments" end

function remove.probe(g, op)
  local list = g.list("/roleManagement/directory/" .. list_of(op),
    { filter = g.filter("principalId eq ?", op.subject_id) })
  for _, record in ipairs(list) do
    if record.id == op.target_id then return "no" end
  end
  return "yes"
end

-- Assigned again, it has an id of its own.
function remove.back(g, op)
  return records.has(g.list("/roleManagement/directory/" .. list_of(op),
    { filter = g.filter("principalId eq ?", op.subject_id) }), op.desired.body,
    { "principalId", "roleDefinitionId", "directoryScopeId" })
end

return { remove }
