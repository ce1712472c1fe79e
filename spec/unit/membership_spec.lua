local membership = require "msgraph.membership"

describe("a DELETE that would delete the object at the end of a link", function()
  for _, path in ipairs {
    "/groups/g/members/u", "/v1.0/groups/g/members/u", "/beta/groups/g/members/u/", "groups/g/members/u",
    "https://graph.microsoft.com/v1.0/groups/g/members/u", "/groups/g/owners/u?x=1", "/groups/g/members/u#x",
    "/groups/g/Members/U", "/groups('g')/members('u')", "/groups/g/members(u)", "/groups/g/%6dembers/u",
    "/groups/g//members//u", "/groups/g/members/microsoft.graph.user/u", "/groups/g/members/u/microsoft.graph.user",
    "/groups/g/members/graph.user/u", "/groups/g/members/u/graph.user", "//groups/g/members/u", "/groups/g/members/u//",
    "/groups/g/members%2Fu", "/groups/g/members/graph.smith@contoso.com", "/GROUPS/G/MEMBERS/U",
    "/groups/g/members/microsoft.graph.x@contoso.com",
    "/directoryRoles/r/members/u", "/directoryRoles/roleTemplateId=x/members/u", "/applications/a/owners/u",
    "/servicePrincipals/s/owners/u", "/devices/d/registeredOwners/u", "/devices/d/registeredUsers/u",
    "/users/u/memberOf/g", "/me/memberOf/g", "/users/u/ownedObjects/o", "/users/u/ownedDevices/d",
    "/users/u/directReports/r", "/users/u/manager", "/administrativeUnits/a/members/u",
    "/directory/administrativeUnits/a/members/u", "/users/u/manager?$ref", "/groups/g/members/u?$ref",
    "/groups/g/members(id=('u'))", "/groups/g/./members/./u",
  } do
    it("is found: " .. path, function()
      local reason = membership.mistake("DELETE", path)
      assert.is_string(reason)
      assert.matches("append /$ref", reason, 1, true)
      assert.matches("delete_object_itself", reason, 1, true)
      assert.equal(reason, membership.mistake("delete", path))
    end)
  end

  for _, path in ipairs {
    "/groups/g/members/u/$ref", "/groups/g/members/u/$ref/", "/groups/g/members/u/%24ref",
    "/groups/g/members/$ref?@id=x",
    "/users/u/manager/$ref", "/users/u", "/groups/g", "/teams/t/members/m", "/teams/t/channels/c/members/m",
    "/groups/g/team/members/m", "/teams/t/primaryChannel/members/m", "/chats/c/members/m",
    "/me/joinedTeams/t/members/m",
    "/users/u/appRoleAssignments/a", "/oauth2PermissionGrants/g", "/devices/d", "", "/",
    "/roleManagement/directory/roleAssignments/x", "/users/u/authentication/phoneMethods/p",
  } do
    it("is not found: " .. path, function() assert.is_nil(membership.mistake("DELETE", path)) end)
  end

  it("is a DELETE, or stands in a batch", function()
    for _, method in ipairs { "GET", "POST", "PATCH", "PUT", "HEAD" } do
      assert.is_nil(membership.mistake(method, "/groups/g/members/u"))
    end
    local body = { requests = { { method = "GET", url = "/users" },
      { method = "DELETE", url = "/groups/g/members/u" } } }
    assert.is_string(membership.mistake("POST", "/$batch", body))
    assert.is_string(membership.mistake("POST", "/v1.0/%24batch",
      '{"requests":[{"method":"DELETE","url":"groups/g/owners/u"}]}'))
    assert.is_string(membership.mistake("POST", "/$batch", '\xEF\xBB\xBF{"Requests":[{"Method":"DELETE","URL":'
      .. '"./groups/g/owners/u","method":"GET","url":"/users"}]}'))
    for _, name in ipairs { "X-HTTP-Method", "x-http-method-override", "X-Method-Override" } do
      local hidden = { method = "POST", url = "/groups/g/members/u", headers = { [name] = "DELETE" } }
      assert.is_string(membership.mistake("POST", "/$batch", { requests = { hidden } }))
    end
    body.requests[2].url = "/groups/g/members/u/$ref"
    assert.is_nil(membership.mistake("POST", "/$batch", body))
    for _, odd in ipairs { 5, "x", "5", {}, { requests = 5 },
      { requests = { 5, {}, { method = 1, url = 2 }, { method = "GET", url = "/users", headers = 7 } } } } do
      assert.is_nil(membership.mistake("POST", "/$batch", odd))
    end
  end)
end)
