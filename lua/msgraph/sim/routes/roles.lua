-- lua/msgraph/sim/routes/roles.lua - directory roles: assigned for good, active and eligible through PIM (FACTS 2.6).
--
-- What is assigned again gets an id of its own.
local filters = require "msgraph.sim.filter"
local identity = require "msgraph.sim.identity"
local odata = require "msgraph.sim.odata"
local people = require "msgraph.sim.people"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local KINDS = relation.KINDS

-- Role templates, the same in every tenant (Microsoft's published ids).
local ROLES = {
  { name = "Global Administrator", template = "62e90394-69f5-4237-9190-012177145e10" },
  { name = "User Administrator", template = "fe930be7-5e62-47db-91af-98c3a49a38b1" },
  { name = "Intune Administrator", template = "3a2c62db-5318-420d-8d74-23affee5d9d5" },
  { name = "Helpdesk Administrator", template = "729827e3-9c14-49f7-bb1b-9608f156bbb8" },
}

local function role_named(name)
  for _, role in ipairs(ROLES) do
    if role.name == name then return role end
  end
end

-- ---- who has which ------------------------------------------------------------------------------

local function assignment(seed, kind, user, role)
  return { id = random.id(seed, KINDS[kind], user.index), principalId = user.id, roleDefinitionId = role.template,
    directoryScopeId = "/" }
end

local function direct(store, user)
  local role = role_named(user.role)
  return role and { assignment(store.seed, "assignment", user, role) } or {}
end

--- Every administrator of the cast and a few others may become Intune Administrator.
local function eligible(store, user)
  return user.admin and { assignment(store.seed, "eligible", user, role_named "Intune Administrator") } or {}
end

--- The first administrator has activated one.
local function active(store, user)
  local role = role_named "User Administrator"
  if user.index ~= people.ADMIN then return {} end
  local record = assignment(store.seed, "active", user, role)
  record.assignmentType = "Activated"
  return { record }
end

local SOURCES = {
  assignment = { prefix = "role/", of = direct }, eligible = { prefix = "eligible/", of = eligible },
  active = { prefix = "active/", of = active },
}

local function of_user(store, source, user)
  local records = relation.remaining(store, source.prefix, source.of(store, user))
  return table.move(relation.added(store, source.prefix, user), 1, 99, #records + 1, records)
end

local function resource(kind, more)
  return relation.resource("microsoft.graph.unifiedRole" .. kind,
    "id principalId roleDefinitionId directoryScopeId " .. more, { filters = "principalId roleDefinitionId" })
end

local RESOURCES = {
  assignment = resource("Assignment", ""),
  active = resource("AssignmentScheduleInstance", "assignmentType startDateTime endDateTime"),
  eligible = resource("EligibilityScheduleInstance", "startDateTime endDateTime"),
}

--- Those of one principal: the service wants no filter, the tenant has no list of everybody's.
local function lister(name)
  return function(ctx)
    local conditions = filters.read(odata.query(ctx.query)["$filter"] or "") or {}
    for _, condition in ipairs(conditions) do
      local user = condition.property == "principalId" and ctx.store:find_user(tostring(condition.value))
      if user then
        return relation.list(ctx, RESOURCES[name], "roleManagement/directory", of_user(ctx.store, SOURCES[name], user))
      end
    end
    local records, user, position = {}, ctx.store:next_user(1)
    while user do
      if user.admin then table.move(of_user(ctx.store, SOURCES[name], user), 1, 9, #records + 1, records) end
      user, position = ctx.store:next_user(position)
    end
    return relation.list(ctx, RESOURCES[name], "roleManagement/directory", records)
  end
end

-- ---- changes ------------------------------------------------------------------------------------

local PRESENT <const> = "A conflicting object with one or more of the specified property values is present in the "
  .. "directory."

-- Whether a user has a role already.
local function holds(ctx, source, user, role_id)
  for _, record in ipairs(of_user(ctx.store, source, user)) do
    if record.roleDefinitionId == role_id then return true end
  end
  return false
end

local function add(ctx, source, user, body)
  return relation.add(ctx, source.prefix, user, { principalId = user.id, roleDefinitionId = body.roleDefinitionId,
    directoryScopeId = body.directoryScopeId or "/" })
end

local function add_assignment(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  local user = ctx.store:find_user(tostring(body.principalId))
  if not user then return reply.no_such_object(ctx, tostring(body.principalId)) end
  if holds(ctx, SOURCES.assignment, user, body.roleDefinitionId) then
    return reply.error(ctx, 400, "Request_BadRequest", PRESENT)
  end
  ctx.actions[#ctx.actions + 1] = "add_role " .. user.id
  local answer = reply.ok(add(ctx, SOURCES.assignment, user, body))
  answer.status = 201
  return answer
end

local function remove_assignment(ctx)
  if relation.remove_added(ctx, "role/", ctx.params.assignment) then
    return relation.done(ctx, "remove_role " .. ctx.params.assignment)
  end
  local index = random.index(ctx.seed, KINDS.assignment, ctx.params.assignment)
  local user = index and ctx.store:user(index)
  if not user then return reply.no_such_object(ctx, ctx.params.assignment) end
  return relation.remove(ctx, "role/", direct(ctx.store, user), ctx.params.assignment, "remove_role")
end

local function scheduled(ctx, name, user, body, verb, status)
  ctx.actions[#ctx.actions + 1] = ("%s_%s_role %s"):format(verb, name, user.id)
  local answer = reply.ok { id = ctx.request_id, action = body.action, principalId = user.id,
    roleDefinitionId = body.roleDefinitionId, status = status }
  answer.status = 201
  return answer
end

local function unschedule(ctx, name, source, user, body)
  for _, record in ipairs(user and of_user(ctx.store, source, user) or {}) do
    if record.roleDefinitionId == body.roleDefinitionId then
      if not relation.remove_added(ctx, source.prefix, record.id) then
        ctx.store:set(source.prefix .. record.id, true)
      end
      return scheduled(ctx, name, user, body, "remove", "Revoked")
    end
  end
  return reply.error(ctx, 400, "RoleAssignmentDoesNotExist", "The Role assignment does not exist.")
end

local ASSIGN = { "RoleEligibilitySchedule.ReadWrite.Directory", "RoleAssignmentSchedule.ReadWrite.Directory",
  "RoleManagement.ReadWrite.Directory" }

local function assign(ctx, name, source, user, body)
  if not identity.any(ctx.caller.scopes, ASSIGN) then
    return reply.error(ctx, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
  elseif not user then
    return reply.no_such_object(ctx, tostring(body.principalId))
  elseif holds(ctx, source, user, body.roleDefinitionId) then
    return reply.error(ctx, 400, "RoleAssignmentExists", "The Role assignment already exists.")
  end
  add(ctx, source, user, body)
  return scheduled(ctx, name, user, body, "add", "Provisioned")
end

local SCHEDULE = { adminRemove = unschedule, adminAssign = assign }

--- A request to PIM: adminRemove and adminAssign are what we know.
local function schedule(name)
  local source = SOURCES[name]
  return function(ctx)
    local body, no = relation.body(ctx)
    if not body then return no end
    local run = SCHEDULE[body.action]
    if not run then return reply.error(ctx, 400, "InvalidScheduleRequest", "The action is not supported here.") end
    return run(ctx, name, source, ctx.store:find_user(tostring(body.principalId)), body)
  end
end

-- ---- directoryRoles -----------------------------------------------------------------------------

local ROLE = relation.resource("microsoft.graph.directoryRole", "id displayName roleTemplateId")

local function list_roles(ctx)
  local records = {}
  for i, role in ipairs(ROLES) do
    records[i] = { id = random.id(ctx.seed, KINDS.role, i), displayName = role.name, roleTemplateId = role.template }
  end
  return relation.list(ctx, ROLE, "directoryRoles", records)
end

local function remove_member(ctx)
  local role = ROLES[random.index(ctx.seed, KINDS.role, ctx.params.role) or 0]
  local user = role and ctx.store:find_user(ctx.params.member)
  if not user or user.role ~= role.name then return reply.no_such_object(ctx, ctx.params.member) end
  local record = direct(ctx.store, user)[1]
  return relation.remove(ctx, "role/", { record }, record.id, "remove_role")
end

local function scoped(ctx)
  return relation.list(ctx, ROLE, "scopedRoleMemberships", {})
end

local READ = { "RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory", "Directory.Read.All" }
local WRITE = { "RoleManagement.ReadWrite.Directory" }
local ACTIVE = { "RoleAssignmentSchedule.Read.Directory", table.unpack(READ) }
local ELIGIBLE = { "RoleEligibilitySchedule.Read.Directory", table.unpack(READ) }
local REMOVE_ACTIVE = { "RoleAssignmentSchedule.Remove.Directory", "RoleAssignmentSchedule.ReadWrite.Directory",
  "RoleManagement.ReadWrite.Directory" }
local REMOVE_ELIGIBLE = { "RoleEligibilitySchedule.ReadWrite.Directory", "RoleManagement.ReadWrite.Directory" }
local SCOPED = { "Directory.Read.All", "Directory.ReadWrite.All" }
local ROOT <const> = "roleManagement/directory/"

local function directory(method, path, scopes, run)
  return { method, path, service = "directory", scopes = scopes, run = run }
end

M.routes = {
  directory("GET", "directoryRoles", READ, list_roles),
  directory("DELETE", "directoryRoles/{role}/members/{member}/$ref", WRITE, remove_member),
  directory("GET", ROOT .. "roleAssignments", READ, lister "assignment"),
  directory("POST", ROOT .. "roleAssignments", WRITE, add_assignment),
  directory("DELETE", ROOT .. "roleAssignments/{assignment}", WRITE, remove_assignment),
  directory("GET", ROOT .. "roleAssignmentScheduleInstances", ACTIVE, lister "active"),
  directory("POST", ROOT .. "roleAssignmentScheduleRequests", REMOVE_ACTIVE, schedule "active"),
  directory("GET", ROOT .. "roleEligibilityScheduleInstances", ELIGIBLE, lister "eligible"),
  directory("POST", ROOT .. "roleEligibilityScheduleRequests", REMOVE_ELIGIBLE, schedule "eligible"),
  directory("GET", "users/{user}/scopedRoleMemberOf", SCOPED, scoped),
}


return M
