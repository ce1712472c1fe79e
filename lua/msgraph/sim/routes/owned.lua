-- lua/msgraph/sim/routes/owned.lua - applications and service principals: who owns them. Ada owns each.
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"
local users = require "msgraph.sim.routes.users"

local M = {}

local ADA <const>, APPS <const> = 1, 8 -- of relation.KINDS.app, those numbered up to here have owners

local function find(ctx)
  local index = random.index(ctx.seed, relation.KINDS.app, ctx.params.app)
  if index and index >= 1 and index <= APPS then return index end
  return nil, reply.no_such_object(ctx, ctx.params.app)
end

-- Numbers of the users who own it.
local function owners_of(ctx, index)
  local owners = relation.kept(ctx.store, "app_owners/" .. index)
  if not owners.known then owners.known, owners[1] = true, ADA end
  return owners
end

local function position_of(owners, user)
  for at, index in ipairs(owners) do
    if index == user.index then return at end
  end
end

local function on_app(run)
  return function(ctx)
    local index, no = find(ctx)
    if not index then return no end
    return run(ctx, owners_of(ctx, index))
  end
end

local function list(ctx, owners)
  local records = {}
  for i, index in ipairs(owners) do records[i] = ctx.store:user(index) end
  return relation.list(ctx, users.resource, "directoryObjects", records)
end

local function add(ctx, owners)
  local body, no = relation.body(ctx)
  if not body then return no end
  local user = ctx.store:find_user(relation.reference(body) or "")
  if not user then return reply.no_such_object(ctx, tostring(relation.reference(body))) end
  if position_of(owners, user) then
    return reply.error(ctx, 400, "Request_BadRequest",
      "One or more added object references already exist for the following modified properties: 'owners'.")
  end
  owners[#owners + 1] = user.index
  return relation.done(ctx, ("add_owner %s %s"):format(ctx.params.app, user.id))
end

local function remove(ctx, owners)
  local user = ctx.store:find_user(ctx.params.member)
  local at = user and position_of(owners, user)
  if not at then return reply.no_such_object(ctx, ctx.params.member) end
  table.remove(owners, at)
  return relation.done(ctx, ("remove_owner %s %s"):format(ctx.params.app, user.id))
end

--- What a user owns of them, as ownedObjects has it: one application, and one service principal.
---@return table[]
function M.of_user(ctx)
  local out = {}
  for index, kind in ipairs { "application", "servicePrincipal" } do
    if position_of(owners_of(ctx, index), ctx.user) then
      out[#out + 1] = { ["@odata.type"] = "#microsoft.graph." .. kind,
        id = random.id(ctx.seed, relation.KINDS.app, index), displayName = index == 1 and "Timesheets" or "Payroll" }
    end
  end
  return out
end

local READ = { "Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All" }
local WRITE = { "Application.ReadWrite.All", "Directory.ReadWrite.All" }

M.routes = {}
for _, root in ipairs { "applications/{app}/owners", "servicePrincipals/{app}/owners" } do
  for _, route in ipairs {
    { "GET", root, scopes = READ, run = on_app(list) },
    { "POST", root .. "/$ref", scopes = WRITE, run = on_app(add) },
    { "DELETE", root .. "/{member}/$ref", scopes = WRITE, run = on_app(remove) },
  } do
    route.service = "directory"
    M.routes[#M.routes + 1] = route
  end
end

return M
