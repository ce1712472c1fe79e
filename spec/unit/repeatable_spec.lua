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
    { "POST", "/users/1/events", false },
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

describe("a new event", function()
  local EVENT = { subject = "Handover", start = {}, ["end"] = {} }

  for _, path in ipairs { "/users/1/events", "/me/events", "/beta/users/1/calendars/2/events?x=y",
    "https://graph.microsoft.com/v1.0/users('1')/calendar/events" } do
    it("is known again by its transactionId, one for each: " .. path, function()
      local one, two = repeatable.known_again("POST", path, EVENT), repeatable.known_again("POST", path, EVENT)
      assert.matches("^" .. ("%x"):rep(32) .. "$", one.transactionId)
      assert.not_equal(one.transactionId, two.transactionId)
      assert.equal("Handover", one.subject)
      assert.is_nil(EVENT.transactionId)
      assert.is_true(repeatable.is("POST", path, one))
      assert.is_false(repeatable.is("POST", path, EVENT))
    end)
  end

  it("keeps the transactionId that its author wrote, and one that is none makes nothing repeatable", function()
    local theirs = { transactionId = "theirs" }
    assert.equal(theirs, repeatable.known_again("POST", "/me/events", theirs))
    assert.is_true(repeatable.is("POST", "/me/events", theirs))
    for _, other in ipairs { "", 1, true } do
      assert.is_false(repeatable.is("POST", "/me/events", { transactionId = other }))
    end
  end)

  it("is nothing else: other methods, other collections, other bodies go as they are", function()
    for _, case in ipairs { { "PATCH", "/users/1/events" }, { "POST", "/groups/1/events" },
      { "POST", "/users/1/messages" }, { "POST", "/users/1/events/2/cancel" },
      { "POST", "/solutions/virtualEvents/events" } } do
      assert.equal(EVENT, repeatable.known_again(case[1], case[2], EVENT))
    end
    assert.equal("{}", repeatable.known_again("POST", "/me/events", "{}"))
    assert.is_nil(repeatable.known_again("POST", "/me/events", nil))
  end)

  it("in a batch is repeatable once it is known again", function()
    local function batch(body)
      return repeatable.is("POST", "/$batch", { requests = { { method = "POST", url = "/me/events", body = body } } })
    end
    assert.is_true(batch { transactionId = "1" })
    assert.is_false(batch {})
  end)
end)
