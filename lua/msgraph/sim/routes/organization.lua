-- lua/msgraph/sim/routes/organization.lua - the tenant itself.
local relation = require "msgraph.sim.relation"

local M = {}

local RESOURCE = relation.resource("microsoft.graph.organization", "id displayName tenantType")

local function list(ctx)
  return relation.list(ctx, RESOURCE, "organization",
    { { id = ctx.tenant_id, displayName = "Contoso", tenantType = "AAD" } })
end

local READ = { "User.Read", "Organization.Read.All", "Directory.Read.All", "User.Read.All", "Directory.ReadWrite.All",
  "User.ReadWrite.All" }

M.routes = { { "GET", "organization", service = "directory", scopes = READ, run = list } }

return M
