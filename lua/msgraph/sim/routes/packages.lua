-- lua/msgraph/sim/routes/packages.lua - entitlement management: access packages. Ada has two of them.
local json = require "msgraph.sim.json"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local KINDS = relation.KINDS
local ADA <const> = 1
local NAMES <const> = { "Sales tools", "Partner portal" }
local WORKED_OFF <const> = 60 -- seconds until a removal is done

local ASSIGNMENT = relation.resource("microsoft.graph.accessPackageAssignment", "id state accessPackage")

-- Those that are delivered.
local function assignments_of(ctx, user)
  local out = {}
  for n, name in ipairs(user.index == ADA and NAMES or {}) do
    local id = random.id(ctx.seed, KINDS.package_assignment, n)
    local removed = ctx.store:get("package_removed/" .. id)
    if not removed or ctx.now < removed + WORKED_OFF then
      out[#out + 1] = { id = id, state = "delivered", accessPackage = json.ordered({
        id = random.id(ctx.seed, KINDS.package, n), displayName = name }, { "id", "displayName" }) }
    end
  end
  return out
end

local BY_TARGET <const> = "^target/objectId eq '([^']*)' and state eq 'delivered'$"

local function list(ctx)
  local id = (odata.query(ctx.query)["$filter"] or ""):match(BY_TARGET)
  local user = id and ctx.store:find_user(id)
  if not id then return reply.bad_request(ctx, "Invalid filter clause") end
  ctx.query = ctx.query:gsub("%$filter=[^&]*&?", ""):gsub("%$expand=accessPackage&?", "")
  return relation.list(ctx, ASSIGNMENT, "assignments", user and assignments_of(ctx, user) or {})
end

local REQUEST = { "id", "requestType", "state", "status" }

local function request(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  local id = type(body.assignment) == "table" and body.assignment.id
  if body.requestType ~= "adminRemove" or type(id) ~= "string" then
    return reply.error(ctx, 400, "InvalidModel", "The request is not supported.")
  elseif not random.index(ctx.seed, KINDS.package_assignment, id) then
    return reply.error(ctx, 404, "ResourceNotFound", "The assignment was not found.")
  elseif ctx.store:get("package_removed/" .. id) then
    return reply.error(ctx, 400, "ExistingOpenRequest", "There is an open request for this assignment.")
  end
  ctx.store:set("package_removed/" .. id, ctx.now)
  ctx.actions[#ctx.actions + 1] = "remove_package " .. id
  local answer = reply.ok(json.ordered({ id = ctx.request_id, requestType = "adminRemove", state = "submitted",
    status = "Accepted" }, REQUEST))
  answer.status = 201
  return answer
end

local ROOT <const> = "identityGovernance/entitlementManagement/"

M.routes = {
  { "GET", ROOT .. "assignments", service = "directory",
    scopes = { "EntitlementManagement.Read.All", "EntitlementManagement.ReadWrite.All" }, run = list },
  { "POST", ROOT .. "assignmentRequests", service = "directory", scopes = { "EntitlementManagement.ReadWrite.All" },
    run = request },
}

return M
