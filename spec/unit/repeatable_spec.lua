local repeatable = require "msgraph.repeatable"

describe("a request that may be sent twice", function()
  for _, case in ipairs {
    { "GET", "/users/1", true },
    { "get", "/users/1", true },
    { "PATCH", "/users/1", true },
    { "DELETE", "/users/1", true },
    { "POST", "/users", false },
    { "POST", "/users/1/getMemberGroups", true },
    { "POST", "/users/1/microsoft.graph.getMemberGroups", true },
    { "POST", "/users/1/checkMemberObjects/", true },
    { "POST", "https://graph.microsoft.com/beta/directoryObjects/getByIds?$select=id", true },
    { "POST", "/users/1/revokeSignInSessions", true },
    { "POST", "/users/1/assignLicense", true },
    { "POST", "/me/drive/root:/a.txt:/createUploadSession", true },
    { "POST", "/users/$query", true },
    { "POST", "/groups/1/members/$ref", true },
    { "POST", "/users/1/removeAllDevicesFromManagement", false },
    { "POST", "/users/getByIds/sendMail", false },
    { "POST", "/users/1/sendMail?x=/getByIds", false },
    { "POST", "", false },
    { "POST", "getByIds", true },
    { "LINK", "/users/getByIds", false },
  } do
    it(("%s %s: %s"):format(case[1], case[2], case[3]), function()
      assert.equal(case[3], repeatable.is(case[1], case[2]))
    end)
  end

  local function batch(...)
    local requests = {}
    for i, item in ipairs { ... } do requests[i] = { id = tostring(i), method = item[1], url = item[2] } end
    return repeatable.is("POST", "/$batch", { requests = requests })
  end

  it("is a batch of such", function()
    assert.is_true(batch({ "GET", "/users/1" }, { "PATCH", "users/1" }, { "POST", "/users/1/assignLicense" }))
  end)

  it("is no batch with another in it, nor one that cannot be looked into", function()
    assert.is_false(batch({ "GET", "/users/1" }, { "POST", "/users" }))
    assert.is_false(repeatable.is("POST", "/$batch", '{"requests":[]}'))
    assert.is_false(repeatable.is("POST", "/$batch", { requests = { "x" } }))
    assert.is_false(repeatable.is("POST", "/$batch", { requests = { {} } }))
    assert.is_false(repeatable.is("POST", "/$batch"))
  end)
end)
