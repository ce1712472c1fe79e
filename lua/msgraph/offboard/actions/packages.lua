--- Access packages: what entitlement management has assigned.
local remove = {
  id = "access_packages.remove_all", version = 1, effect = "command", danger = "disruptive", settle = 30,
  about = "ends the assignments of access packages, and with them what came in the packages",
  reads = { "access_packages" },
  calls = { "POST /identityGovernance/entitlementManagement/assignmentRequests" },
  already = { not_found = true },
}

local function name_of(assignment)
  local package = assignment.accessPackage
  return type(package) == "table" and package.displayName or assignment.id
end

function remove.plan(ctx)
  local list = ctx:read "access_packages"
  if #list == 0 then return ctx:unchanged("no access packages") end
  for _, assignment in ipairs(list) do
    ctx:op { target = assignment.id, name = name_of(assignment),
      request = { method = "POST", path = "/identityGovernance/entitlementManagement/assignmentRequests",
        body = { requestType = "adminRemove", assignment = { id = assignment.id } } },
      no_inverse = "the package has to be assigned again, by its policy",
      label = ("Take away the access package %s"):format(name_of(assignment)) }
  end
end

-- The request is worked off: until then the assignment stays delivered, and what was asked is not shown with it.
function remove.probe(g, op)
  local list = g.list("/identityGovernance/entitlementManagement/assignments",
    { filter = g.filter("target/objectId eq ? and state eq 'delivered'", op.subject_id) })
  for _, assignment in ipairs(list) do
    if assignment.id == op.target_id then return "no" end
  end
  return "yes"
end

return { remove }
