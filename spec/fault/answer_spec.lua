local graph = require "msgraph"
local helper = require "spec.support.helper"
local json = require "msgraph.json"

local PRIVILEGED = "DeviceManagementManagedDevices.PrivilegedOperations.All"

local function intune(message)
  return json.encode { _version = 3, CustomApiErrorPhrase = "", Message = message
    .. " - Operation ID (for customer support): 00000000-0000-0000-0000-000000000000 - Activity ID: "
    .. "22a9d448-e273-4a1d-b06f-c9e005fc6fe9 - Url: https://fef.unit.manage.microsoft.com/x" }
end

local function body_of(code, message)
  return json.encode { error = { code = code, message = message,
    innerError = { date = "2026-08-01T10:00:00", ["request-id"] = "in-body", ["client-request-id"] = "c" } } }
end

-- Calls the action on a server with one answer, once: spec/fault/retry_spec.lua is about more attempts.
local function call(bytes)
  local server <close> = helper.server(bytes)
  local client <close> = helper.client(server.endpoint)
  local ok, err = client:remove_all_devices("ada@contoso.com", { retry = false })
  assert.equal(1, #server:requests(), "sent more than once")
  if err then
    assert.is_true(graph.Error.is(err))
    assert.is_true(helper.silent(err))
    assert.is_true(helper.silent(tostring(err)))
    assert.equal("answered", err.phase)
  end
  return ok, err
end

describe("success", function()
  for _, status in ipairs { "200 OK", "201 Created", "202 Accepted", "204 No Content", "299 Whatever" } do
    it("is " .. status, function() assert.is_true((call(helper.answer(status)))) end)
  end

  it("is a 200 with JSON", function()
    assert.is_true((call(helper.json_answer("200 OK", '{"value":true}'))))
  end)
end)

describe("a refusal", function()
  for _, case in ipairs {
    { "401 Unauthorized", body_of("InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."),
      "auth", "InvalidAuthenticationToken", nil, "get a new one" },
    { "403 Forbidden", body_of("Forbidden", intune("Application is not authorized to perform this operation. "
      .. "Application must have one of the following scopes: " .. PRIVILEGED)),
      "forbidden", "Forbidden", "scope_missing", "DeviceManagementManagedDevices%.PrivilegedOperations%.All" },
    { "403 Forbidden", body_of("UnknownError",
        json.encode { ErrorCode = "Forbidden", Message = intune "An error has occurred" }),
      "forbidden", "Forbidden", "role_missing", "Intune Administrator" },
    { "403 Forbidden", body_of("Forbidden", intune "Request not applicable to target tenant."),
      "forbidden", "Forbidden", "license_missing", "Intune licence" },
    { "404 Not Found", body_of("Request_ResourceNotFound", "Resource 'ada' does not exist."),
      "not_found", "Request_ResourceNotFound", nil, "check the id" },
    { "409 Conflict", body_of("Directory_ConcurrencyViolation", "Concurrency violation."),
      "conflict", "Directory_ConcurrencyViolation", nil, "one after the other" },
    { "429 Too Many Requests", body_of("TooManyRequests", "Please retry again later."),
      "throttled", "TooManyRequests", nil, "retry_after" },
    { "400 Bad Request", body_of("BadRequest", intune "An error has occurred"),
      "invalid", "BadRequest", nil, "mend it" },
    { "500 Internal Server Error", body_of("InternalServerError", "Oops."),
      "ambiguous", "InternalServerError", nil, "list the devices" },
    { "503 Service Unavailable", "", "server", "http_503", nil, "try again later" },
    { "504 Gateway Timeout", body_of("UnknownError", ""), "ambiguous", "UnknownError", nil, "list the devices" },
  } do
    local status, body, kind, code, reason, hint = table.unpack(case, 1, 6)
    it(("%s, %s"):format(status, reason or code), function()
      local ok, err = call(helper.json_answer(status, body, { ["request-id"] = "in-header", ["Retry-After"] = "7" }))
      assert.is_nil(ok)
      assert.equal(kind, err.kind, tostring(err))
      assert.equal(code, err.code)
      assert.equal(reason, err.reason)
      assert.matches(hint, err.hint)
      assert.equal(tonumber(status:match("%d+")), err.status)
      assert.equal("in-header", err.request_id)
      assert.is_string(err.client_request_id)
      assert.equal(7, err.retry_after)
      assert.equal("table", type(err.inner))
    end)
  end
end)

describe("a web page", function()
  local PAGE = "<!DOCTYPE html><html><head><title>Sign in to Wi-Fi</title></head><body>hello</body></html>"

  for _, case in ipairs {
    { "200 OK", "text/html",   "protocol" },
    { "200 OK", nil,           "protocol" },
    { "403 Forbidden", "text/html", "forbidden" },
    { "502 Bad Gateway", "text/html; charset=utf-8", "ambiguous" },
  } do
    it(("with %s and type %s is an Error that says so"):format(case[1], case[2]), function()
      local ok, err = call(helper.answer(case[1], PAGE, { ["Content-Type"] = case[2] }))
      assert.is_nil(ok)
      assert.equal(case[3], err.kind)
      assert.equal("html_page", err.code)
      assert.matches("Sign in to Wi%-Fi", err.message)
      assert.matches("proxy", err.hint)
    end)
  end

  it("is what a caller gets who asks for it", function()
    local server <close> = helper.server(helper.answer("200 OK", PAGE, { ["Content-Type"] = "text/html" }))
    local client <close> = helper.client(server.endpoint)
    assert.equal(PAGE, client:get("/me/onenote/pages/x/content", { headers = { Accept = "text/html" } }))
  end)
end)

describe("a success that is not JSON", function()
  it("is no success of the action", function()
    local ok, err = call(helper.answer("200 OK", "OK", { ["Content-Type"] = "text/plain" }))
    assert.is_nil(ok)
    assert.equal("not_json", err.code)
    assert.equal("protocol", err.kind)
  end)

  for _, body in ipairs { "{", "OK", "{'a':1}", "\xff\xfe", ("["):rep(100000) } do
    it(("is an Error where JSON was said: %q"):format(body:sub(1, 10)), function()
      local ok, err = call(helper.json_answer("200 OK", body))
      assert.is_nil(ok)
      assert.equal("not_json", err.code)
    end)
  end

  it("is the text for get, as Graph's $count sends it", function()
    local server <close> = helper.server(helper.answer("200 OK", "5", { ["Content-Type"] = "text/plain" }))
    local client <close> = helper.client(server.endpoint)
    assert.equal("5", client:get("/users/$count"))
  end)

  it("is the bytes for a picture", function()
    local server <close> = helper.server(helper.answer("200 OK", "\0\1\2", { ["Content-Type"] = "image/jpeg" }))
    local client <close> = helper.client(server.endpoint)
    assert.equal("\0\1\2", client:get("/me/photo/$value"))
  end)
end)

describe("a server that echoes what it was sent", function()
  it("makes no Error that shows the token", function()
    for _, status in ipairs { "401 Unauthorized", "500 Internal Server Error", "302 Found" } do
      local _, err = call(helper.answer(status, "You sent Authorization: Bearer " .. helper.TOKEN,
        { ["Content-Type"] = "text/plain", Location = "https://elsewhere.example/?token=" .. helper.TOKEN }))
      assert.is_true(graph.Error.is(err))
    end
  end)

  it("nor an opaque one, which looks like nothing in particular", function()
    local opaque = "0123456789abcdef.not-a-jwt"
    local server <close> = helper.server(helper.answer("500 X", "you sent " .. opaque .. " and " .. opaque))
    local client <close> = helper.client(server.endpoint, { auth = graph.auth.token(opaque) })
    local _, err = client:get("/users", { retry = false })
    assert.is_nil(tostring(err):find(opaque, 1, true))
    assert.matches("you sent %*%*%* and %*%*%*", tostring(err))
  end)
end)
