local cli_errors = require "msgraph.cli.errors"
local errors = require "msgraph.errors"
local helper = require "spec.support.helper"
local json = require "msgraph.json"

local TAIL = " - Operation ID (for customer support): 00000000-0000-0000-0000-000000000000 - Activity ID: "
  .. "22a9d448-e273-4a1d-b06f-c9e005fc6fe9 - Url: https://fef.unit.manage.microsoft.com/x?api-version=2025"
local ACTION = "/v1.0/users/ada%40contoso.com/removeAllDevicesFromManagement"
local PRIVILEGED = "DeviceManagementManagedDevices.PrivilegedOperations.All"

-- Intune's document in a string.
local function intune(message, more)
  local document = { _version = 3, Message = message .. TAIL, CustomApiErrorPhrase = "", RetryAfter = json.null,
    ErrorSourceService = "", HttpHeaders = "{}" }
  for key, value in pairs(more or {}) do document[key] = value end
  return json.encode(document)
end

local function graph_body(code, message, inner)
  return json.encode { error = { code = code, message = message, innerError = inner } }
end

local function of(status, body, fields)
  local response = { status = status, body = body or "", client_request_id = "sent-1" }
  for key, value in pairs(fields or {}) do response[key] = value end
  local request = { method = (fields or {}).method or "POST", target = (fields or {}).target or ACTION }
  return errors.from_status(response, request, function(name) return ((fields or {}).headers or {})[name] end)
end

-- The codes of msgraph.core, from the page that is its contract.
local function transport_codes()
  local source = helper.read_file(helper.ROOT .. "docs/types/core.lua")
  local codes = {}
  for code in source:match("@field code string(.-)@field kind"):gmatch('"([%w_]+)"') do codes[code] = true end
  assert(codes.dns and codes.internal, "docs/types/core.lua lists no codes")
  return codes
end

describe("the kind of a status", function()
  for status, kind in pairs {
    [400] = "invalid", [401] = "auth", [402] = "invalid", [403] = "forbidden", [404] = "not_found", [405] = "invalid",
    [407] = "auth", [408] = "timeout", [409] = "conflict", [410] = "invalid", [412] = "conflict", [413] = "invalid",
    [422] = "invalid", [423] = "invalid", [429] = "throttled", [500] = "server", [501] = "server", [502] = "server",
    [503] = "server", [504] = "server", [507] = "server", [509] = "throttled", [301] = "protocol", [304] = "protocol",
    [307] = "protocol", [100] = "protocol",
  } do
    it(("%d is %s"):format(status, kind), function() assert.equal(kind, of(status).kind) end)
  end
end)

describe("an error body of Graph", function()
  it("gives the code, the message and the ids", function()
    local err = of(404, graph_body("Request_ResourceNotFound", "Resource 'x' does not exist.",
      { date = "2026-01-01T00:00:00", ["request-id"] = "r-1", ["client-request-id"] = "c-1" }))
    assert.equal("Request_ResourceNotFound", err.code)
    assert.equal("Resource 'x' does not exist.", err.message)
    assert.equal("r-1", err.request_id)
    assert.equal("sent-1", err.client_request_id)
    assert.matches("check the id", err.hint)
    assert.equal("POST", err.method)
    assert.equal(ACTION, err.path)
  end)

  it("gives the deepest code and the whole chain, with either spelling", function()
    local err = of(400, json.encode { error = { code = "outer", message = "Outer.",
      innererror = { code = "middle", message = "Middle.", innerError = { code = "deepest" } } } })
    assert.equal("deepest", err.code)
    assert.equal("Outer.", err.message)
    assert.same({ { code = "outer", message = "Outer." }, { code = "middle", message = "Middle." },
      { code = "deepest" } }, err.inner)
  end)

  it("prefers a word to a deeper number", function()
    assert.equal("TooManyRequests", of(429, graph_body("TooManyRequests", "Slow down", { code = "429" })).code)
  end)

  it("keeps details apart from the chain's code", function()
    local err = of(400, json.encode { error = { code = "Request_BadRequest", message = "Two things.",
      details = { { code = "A", message = "one" }, { code = "B", message = "two", target = "mail" }, 7, {} } } })
    assert.equal("Request_BadRequest", err.code)
    assert.same({ { code = "Request_BadRequest", message = "Two things." } }, err.inner)
    assert.same({ { code = "A", message = "one" }, { code = "B", message = "two", target = "mail" } }, err.details)
  end)

  it("prefers the server's id in the header", function()
    local err = of(500, graph_body("x", "y", { ["request-id"] = "body" }), { request_id = "header" })
    assert.equal("header", err.request_id)
  end)

  it("stands an empty code", function()
    local err = of(403, graph_body("", "You do not have the required permissions."))
    assert.equal("http_403", err.code)
    assert.equal("You do not have the required permissions.", err.message)
  end)

  it("reads OAuth's shape", function()
    local err = of(400, json.encode { error = "invalid_grant", error_description = "AADSTS70000: no.\r\nTrace ID: x" })
    assert.equal("invalid_grant", err.code)
    assert.equal("AADSTS70000: no. Trace ID: x", err.message)
    err = of(400, json.encode { error = "interaction_required", suberror = "consent_required" })
    assert.equal("consent_required", err.inner[1].suberror)
  end)

  it("reads OData's older shape, and what stands without an envelope", function()
    local err = of(400, json.encode { ["odata.error"] = { code = "Request_BadRequest",
      message = { lang = "en", value = "Invalid object." } } })
    assert.same({ "Request_BadRequest", "Invalid object." }, { err.code, err.message })
    err = of(404, json.encode { Message = "No HTTP resource was found.", MessageDetail = "No type was found." })
    assert.same({ "http_404", "No HTTP resource was found." }, { err.code, err.message })
    err = of(400, json.encode { code = "itemNotFound", message = "Gone." })
    assert.same({ "itemNotFound", "Gone." }, { err.code, err.message })
  end)

  it("tells when and where it was answered", function()
    local err = of(503, "", { headers = { Date = "Mon, 23 Nov 2026 10:00:00 GMT",
      ["x-ms-ags-diagnostic"] = '{"ServerInfo":{"DataCenter":"West Europe","Slice":"E","Ring":"5","ScaleUnit":"004",'
        .. '"RoleInstance":"AM4PEPF00027A61"}}' } })
    assert.equal("Mon, 23 Nov 2026 10:00:00 GMT", err.date)
    assert.equal("West Europe, ring 5, AM4PEPF00027A61", err.ags)
    for _, odd in ipairs { "", "x", "[]", '{"ServerInfo":5}', '{"ServerInfo":{"DataCenter":7}}' } do
      assert.is_nil(of(503, "", { headers = { ["x-ms-ags-diagnostic"] = odd } }).ags)
    end
  end)
end)

describe("an error body of Intune", function()
  it("is decoded out of its string, the tail apart", function()
    local err = of(400, graph_body("BadRequest", intune "An error has occurred"))
    assert.equal("BadRequest", err.code)
    assert.equal("An error has occurred", err.message)
    assert.matches("Activity ID: 22a9d448", err.inner[2].detail)
    assert.equal("invalid", err.kind)
  end)

  it("is decoded through two strings, as Intune sends a missing role", function()
    local err = of(401, graph_body("UnknownError",
      json.encode { ErrorCode = "Forbidden", Message = intune "An error has occurred", Target = json.null }))
    assert.equal("Forbidden", err.code)
    assert.equal("role_missing", err.reason)
    assert.equal("forbidden", err.kind)
    assert.equal(401, err.status)
    assert.matches("Intune Administrator", err.hint)
  end)

  it("names the scopes that are missing", function()
    local err = of(403, graph_body("Forbidden", intune("Application is not authorized to perform this operation. "
      .. "Application must have one of the following scopes: " .. PRIVILEGED)))
    assert.equal("scope_missing", err.reason)
    assert.same({ least = { delegated = PRIVILEGED, application = PRIVILEGED },
      all = { delegated = { PRIVILEGED }, application = { PRIVILEGED } } }, err.permissions)
    assert.matches(PRIVILEGED, err.hint, 1, true)
    assert.matches("administrator", err.hint)
  end)

  it("names several scopes, and mends the spelling old pages have", function()
    local err = of(403, graph_body("Forbidden", intune("Application must have one of the following scopes: "
      .. "DeviceManagementManagedDevices.PriviligedOperation.All, DeviceManagementApps.Read.All")))
    assert.same({ PRIVILEGED, "DeviceManagementApps.Read.All" }, err.permissions.all.application)
    assert.equal(PRIVILEGED, err.permissions.least.delegated)
  end)

  it("takes the least of those named that is the least known, or else the first", function()
    local function least(names)
      return of(403, graph_body("Forbidden", intune("Application must have one of the following scopes: " .. names)),
        { method = "GET", target = "/v1.0/users/u/managedDevices" }).permissions.least.application
    end
    assert.equal("DeviceManagementManagedDevices.Read.All",
      least "DeviceManagementManagedDevices.ReadWrite.All, DeviceManagementManagedDevices.Read.All")
    assert.equal("User-Mail.ReadWrite.All", least "User-Mail.ReadWrite.All, Directory.ReadWrite.All.")
  end)

  it("tells a missing role (403) from a missing scope", function()
    local err = of(403, graph_body("Forbidden", intune "An error has occurred"))
    assert.equal("role_missing", err.reason)
    assert.equal(PRIVILEGED, err.permissions.least.delegated)
  end)

  for _, case in ipairs {
    { 400, graph_body("BadRequest", "Request not applicable to target tenant.") },
    { 403, graph_body("Forbidden", intune "Request not applicable to target tenant.") },
    { 403, graph_body("Forbidden", intune "The tenant has no valid Intune license") },
  } do
    it("tells a missing licence: " .. case[1] .. case[2]:sub(1, 60), function()
      local err = of(case[1], case[2])
      assert.equal("license_missing", err.reason)
      assert.equal("forbidden", err.kind)
      assert.matches("licence", err.hint)
      assert.is_nil(err.permissions)
    end)
  end

  it("does not take any talk of licences for a tenant without Intune", function()
    assert.is_nil(of(400, graph_body("Request_BadRequest", "The license is of no use here")).reason)
  end)
end)

describe("a 403 that says little", function()
  it("names the permission the action needs", function()
    local err = of(403, graph_body("Authorization_RequestDenied", "Insufficient privileges to complete the operation."))
    assert.same({ delegated = PRIVILEGED, application = PRIVILEGED }, err.permissions.least)
    assert.matches(PRIVILEGED, err.hint, 1, true)
    assert.is_nil(err.reason)
  end)

  it("names one for each kind of token where they differ", function()
    local err = of(403, "", { method = "PATCH", target = "/v1.0/devices/d" })
    assert.same({ delegated = "Directory.AccessAsUser.All", application = "Device.ReadWrite.All" },
      err.permissions.least)
    assert.matches("delegated Directory.AccessAsUser.All, application Device.ReadWrite.All", err.hint, 1, true)
    err = of(403, "", { method = "DELETE", target = "/v1.0/devices/d/registeredOwners/u/$ref" })
    assert.is_nil(err.permissions.least.application)
    assert.matches("application none", err.hint, 1, true)
  end)

  it("names none where none is known", function()
    local err = of(403, "", { method = "GET", target = "/v1.0/nowhere" })
    assert.is_nil(err.permissions)
    assert.equal(errors.HINTS.forbidden, err.hint)
  end)

  it("does so for the list of devices", function()
    local err = of(403, "", { method = "GET", target = "/v1.0/users/u/managedDevices?$select=id" })
    assert.equal("DeviceManagementManagedDevices.Read.All", err.permissions.least.application)
    assert.equal("/v1.0/users/u/managedDevices", err.path)
  end)
end)

describe("a refusal that only its words explain", function()
  for _, case in ipairs {
    { "inherited_license", 400, "Request_BadRequest",
      "User license is inherited from a group membership and it cannot be removed directly from the user." },
    { "license_not_assigned", 400, "Request_BadRequest", "User does not have a corresponding license." },
    { "license_dependency", 400, "Request_BadRequest",
      "License assignment failed because service plan f544 depends on the service plan(s) 3047" },
    { "mail_enabled_group", 400, "Request_BadRequest",
      "Cannot Update a mail-enabled security groups and or distribution list." },
    { "synced_object", 400, "Request_BadRequest", "Unable to update the specified properties for on-premises mastered "
      .. "Directory Sync objects or objects currently undergoing migration." },
    { "last_owner", 400, "Request_BadRequest",
      "The group must have at least one owner, hence this owner cannot be removed." },
    { "already_there", 400, "Request_BadRequest",
      "One or more added object references already exist for the following modified properties: 'owners'." },
    { "already_there", 400, "Request_BadRequest", "Permission being assigned already exists on the object" },
    { "already_there", 409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists." },
    { "conflicting_object", 400, "Request_BadRequest",
      "A conflicting object with one or more of the specified property values is present in the directory." },
    { "no_seat", 400, "Request_BadRequest", "Subscription with SKU 6fd2 does not have any available licenses." },
    { "no_usage_location", 400, "Request_BadRequest",
      "License assignment cannot be done for user with invalid usage location." },
    { "pim_policy", 400, "RoleAssignmentRequestPolicyValidationFailed",
      'The following policy rules failed: ["ExpirationRule"]' },
    { "not_there", 400, "Request_BadRequest",
      "One or more removed object references do not exist for the following modified properties: 'members'." },
    { "role_not_assigned", 400, "RoleAssignmentDoesNotExist", "The Role assignment does not exist." },
    { "role_already_assigned", 400, "RoleAssignmentExists", "The Role assignment already exists." },
    { "default_method", 400, "badRequest", "Cannot delete default method with other methods configured." },
    { "default_method", 400, "badRequest", "The requested authentication method id of [x] matches the user's current "
      .. "default authentication method, and cannot be deleted" },
    { "not_organizer", 400, "ErrorAccessDenied",
      "Your request can't be completed. You need to be an organizer to cancel a meeting." },
    { "no_mailbox", 404, "MailboxNotEnabledForRESTAPI", "REST API is not yet supported for this mailbox." },
    { "no_mailbox", 404, "ResourceNotFound",
      "The mailbox is either inactive, soft-deleted, or is hosted on-premise." },
  } do
    it(("has the reason %s: %s"):format(case[1], case[4]:sub(1, 50)), function()
      local err = of(case[2], graph_body(case[3], case[4]))
      assert.equal(case[1], err.reason)
      assert.equal(case[3], err.code)
      assert.equal(errors.kind_of_status(case[2]), err.kind)
      assert.equal(errors.HINTS[case[1]], err.hint)
    end)
  end

  for _, status in ipairs { 400, 403 } do
    it(("has the reason approval_required with %d, and no permission would help"):format(status), function()
      local err = of(status, graph_body("BadRequest",
        intune "Header 'x-msft-approval-justification' is required to request approval"))
      assert.same({ "approval_required", "forbidden" }, { err.reason, err.kind })
      assert.is_nil(err.permissions)
      assert.matches("another administrator", err.hint)
    end)
  end

  it("has a hint for every reason", function()
    for _, row in ipairs(require("msgraph.errors.reasons").TABLE) do assert.is_string(errors.HINTS[row.reason]) end
  end)
end)

describe("bodies at random", function()
  local WORDS = { '"error"', '"message"', '"code"', '"innerError"', '"details"', '"Message"', '"odata.error"', ":", ",",
    "{", "}", "[", "]", "null", "true", "5", "1e999", '"x"', '""', '"{\\"Message\\":"', '"\\u0000"', "\255", " ", "\0",
    '"target"', '"request-id"', '"error_description"', '"suberror"', '"ErrorCode"', "-", "e", "\\" }

  -- A value of JSON, with the names an error has and anything for their values.
  local function value(depth)
    local kind = math.random(depth > 4 and 5 or 7)
    if kind == 1 then return json.null elseif kind == 2 then return math.random(9) elseif kind == 3 then return true end
    if kind == 4 then return ("x"):rep(math.random(0, 3)) elseif kind == 5 then return '{"Message":"{"}' end
    local out = {}
    if kind == 6 then
      for i = 1, math.random(0, 3) do out[i] = value(depth + 1) end
      return json.array(out)
    end
    for _ = 1, math.random(0, 4) do out[WORDS[math.random(7)]:sub(2, -2)] = value(depth + 1) end
    return out
  end

  local function soup()
    local out = {}
    for i = 1, math.random(0, 30) do out[i] = WORDS[math.random(#WORDS)] end
    return table.concat(out)
  end

  local function nested() -- a document in the message, as Intune has it
    return json.encode { error = { code = "x", message = json.encode(value(1)), details = value(1),
      innerError = value(1) } }
  end

  for name, make in pairs { soup = soup, values = function() return json.encode(value(1)) end, nested = nested } do
    it("never raise, and make an error of one short line: " .. name, function()
      math.randomseed(20261123)
      for _ = 1, 3000 do
        local body = make()
        local err = of(({ 400, 401, 403, 404, 500 })[math.random(5)], body)
        assert.is_true(#err.code > 0 and #err.message > 0 and #tostring(err) < 1600, body)
        assert.is_nil(tostring(err):find("%c"), body)
      end
    end)
  end
end)

describe("a body that is no error body", function()
  for _, case in ipairs {
    { "nothing",               "" },
    { "broken JSON",           '{"error":{"code":"x","mess' },
    { "JSON of another shape", '[1,2,3]' },
    { "a JSON string",         '"oops"' },
    { "null",                  "null" },
    { "wrong types",           '{"error":{"code":5,"message":{"a":1},"innerError":"x","details":7}}' },
    { "details of no tables",  '{"error":{"code":"","message":"","details":[1,null,"x"]}}' },
    { "an error of null",      '{"error":null}' },
    { "a message of JSON null", '{"error":{"code":"x","message":"null"}}' },
    { "a broken inner string", '{"error":{"code":"x","message":"{\\"Message\\": 5"}}' },
    { "bytes",                 "\0\1\255\254" },
    { "deep nesting",          ("["):rep(100000) },
    { "much text",             ("word "):rep(500000) },
    { "a huge document",       '{"error":{"code":"x","message":"' .. ("y"):rep(3000000) .. '"}}' },
  } do
    it("still makes an error of one short line: " .. case[1], function()
      local err = of(500, case[2])
      assert.equal("server", err.kind)
      assert.is_true(#err.message > 0 and #err.message < 500)
      assert.is_nil(tostring(err):find("[%c]"))
      assert.is_true(#tostring(err) < 1200)
    end)
  end

  it("keeps a message that nests documents without end", function()
    local message = "the core of it"
    for _ = 1, 12 do message = json.encode { Message = message } end
    assert.is_string(of(400, graph_body("x", message)).message)
  end)

  it("keeps plain text", function()
    assert.equal("upstream connect error", of(503, "upstream connect\r\n error").message)
  end)

  it("gives a web page's title, and names what is in between", function()
    local err = of(502, "<!DOCTYPE html>\n<html><head><title>Corporate\nProxy</title></head></html>",
      { headers = { ["Content-Type"] = "text/html; charset=utf-8" } })
    assert.equal("html_page", err.code)
    assert.equal("Corporate Proxy", err.message)
    assert.matches("proxy", err.hint)
    assert.equal("server", err.kind)
  end)

  it("cuts at a character, not inside one", function()
    local err = of(500, ("é"):rep(1000))
    assert.is_truthy(utf8.len(err.message))
  end)
end)

describe("throttling", function()
  it("carries how long to wait, and until when", function()
    local before = os.time()
    local err = of(429, graph_body("TooManyRequests", "Slow down"), { retry_after = 2.128 })
    assert.equal("throttled", err.kind)
    assert.equal(2.128, err.retry_after)
    assert.is_true(err.retry_at >= before + 3)
    assert.matches("retry after 2.128 s", tostring(err))
  end)

  it("says when to come back where the server did not: when the wait that did not fit would be over", function()
    local before = os.time()
    local err = of(429, "", { retry_in = 40.5 })
    assert.is_nil(err.retry_after)
    assert.is_true(err.retry_at >= before + 41)
    err = errors.from_failure({ code = "reset", kind = "network", phase = "sent", message = "x", retry_in = 3 })
    assert.is_true(err.retry_at >= before + 3)
  end)
end)

describe("the attempts", function()
  it("are told one by one, the last with the Error's code", function()
    local err = of(503, graph_body("Busy", "Later"), { attempts = {
      { code = "reset", phase = "sent" }, { status = 503, phase = "answered", waited = 0.2 } } })
    assert.same({ { code = "reset", phase = "sent" },
      { code = "Busy", status = 503, phase = "answered", waited = 0.2 } }, err.attempts)
    assert.matches("HTTP 503, Busy, 2 attempts", tostring(err))
    assert.matches("HTTP 503, Busy, 2 attempts", cli_errors.brief(err))
    assert.is_nil(tostring(of(503)):find("attempts", 1, true))
  end)

  it("that the budget ended say so", function()
    local err = of(502, "", { retry_budget = true })
    assert.is_true(err.retry_budget)
    assert.matches("no more retries: too many have failed lately", tostring(err))
  end)
end)

describe("a redirect", function()
  it("names the host it pointed to, not the path", function()
    local err = of(302, "", { headers = { Location = "https://user:pw@evil.example/steal?code=1" } })
    assert.equal("redirect", err.code)
    assert.matches("https://evil.example", err.hint, 1, true)
    assert.is_nil(tostring(err):find("steal", 1, true))
    assert.is_nil(tostring(err):find("pw@", 1, true))
  end)

  it("without a Location is one too", function() assert.equal("redirect", of(307).code) end)
end)

describe("a failure of the transport", function()
  local function failure(code, kind, phase, target)
    return errors.from_failure({ code = code, kind = kind, phase = phase, message = "a sentence",
      client_request_id = "sent-1" }, { method = "POST", target = target or ACTION })
  end

  it("keeps what the core says", function()
    local err = failure("tls_untrusted", "network", "not_sent")
    assert.equal("network", err.kind)
    assert.equal("tls_untrusted", err.code)
    assert.equal("not_sent", err.phase)
    assert.matches("MSGRAPH_CA_FILE", err.hint)
    assert.same({ { phase = "not_sent", code = "tls_untrusted" } }, err.attempts)
  end)

  it("that leaves it open whether the action was done says to list the devices", function()
    local err = failure("reset", "ambiguous", "sent")
    assert.matches("list the devices %(GET /v1.0/users/ada%%40contoso.com/managedDevices%) before repeating", err.hint)
  end)

  it("that leaves another request open says to read first", function()
    assert.matches("read the state before repeating", failure("reset", "ambiguous", "sent", "/v1.0/x").hint)
  end)

  it("has a hint for every code of the core", function()
    for code in pairs(transport_codes()) do assert.is_string(errors.HINTS[code], code) end
  end)
end)

describe("a refused sign-in", function()
  -- The sentence as Entra writes it: ids and a time behind it, on the line or on lines of their own.
  local function refused(word, text, fields)
    local failure = { code = "token_refused", kind = "auth", phase = "not_sent", word = word,
      message = ("no token was given: %s: %s"):format(word, text) }
    for name, value in pairs(fields or {}) do failure[name] = value end
    return errors.from_failure(failure, { method = "POST", target = ACTION })
  end

  it("has OAuth's word for its code, and stays of kind auth", function()
    for _, word in ipairs { "invalid_client", "temporarily_unavailable", "a_word_of_tomorrow" } do
      local err = refused(word, "AADSTS99999: something.")
      assert.equal("auth", err.kind)
      assert.equal(word, err.code)
      assert.matches("AADSTS99999: something.", err.message, 1, true)
      assert.is_string(err.hint)
      assert.equal("not_sent", err.phase)
      assert.equal(ACTION, err.path)
    end
  end)

  for _, case in ipairs {
    { "invalid_client",       7000215, "its value is wanted, not its id" },
    { "invalid_client",       7000222, "has expired: add a new one" },
    { "invalid_client",       700027,  "certificate is uploaded" },
    { "invalid_client",       700024,  "clock" },
    { "invalid_client",       7000218, "wants a credential" },
    { "invalid_client",       700213,  "federated credential" },
    { "unauthorized_client",  700016,  "tenant_id, client_id and the cloud" },
    { "invalid_request",      90002,   "tenant_id, client_id and the cloud" },
    { "invalid_request",      50194,   "id or domain as tenant_id" },
    { "invalid_grant",        65001,   "adminconsent" },
    { "invalid_grant",        50173,   "sign in again" },
    { "invalid_grant",        500131,  "made for this app" },
    { "interaction_required", 50076,   "second factor" },
    { "interaction_required", 53003,   "conditional access" },
    { "invalid_scope",        70011,   "scope" },
    { "invalid_request",      50011,   "http://localhost" },
    { "invalid_grant",        70018,   "start the sign%-in again" },
  } do
    it(("says what to do about AADSTS%d"):format(case[2]), function()
      assert.matches(case[3], refused(case[1], ("AADSTS%d: x"):format(case[2])).hint)
    end)
  end

  it("is explained by its suberror, and by its number where that says more", function()
    local function hint(suberror, text) return refused("invalid_grant", text, { subword = suberror }).hint end
    assert.matches("adminconsent", hint("consent_required", "AADSTS70000: x"))
    assert.matches("password has expired", hint("user_password_expired", "x"))
    assert.matches("second factor", hint("basic_action", "AADSTS50076: x"))
    assert.matches("interactively: msgraph login", hint("basic_action", "AADSTS1: x"))
    assert.matches("sign in again", hint("bad_token", "x"))
    assert.equal(errors.HINTS.invalid_grant, hint("a_word_of_tomorrow", "x"))
  end)

  it("has the whole address at which to consent, where it is known", function()
    local url = "https://login.example/contoso.com/adminconsent?client_id=a"
    local function hint(text, known)
      return errors.from_failure({ code = "token_refused", kind = "auth", phase = "not_sent", word = "invalid_grant",
        message = text }, nil, nil, known).hint
    end
    for _, number in ipairs { 65001, 65004, 90094 } do
      assert.matches("open " .. url .. ", then", hint(("AADSTS%d: x"):format(number), url), 1, true)
    end
    assert.matches("{authority}/{tenant_id}/adminconsent?client_id={client_id}", hint "AADSTS65001: x", 1, true)
    assert.is_nil(hint("AADSTS50076: x", url):find("adminconsent", 1, true))
  end)

  it("is explained by its word where the number is unknown or missing", function()
    assert.equal(errors.HINTS.invalid_grant, refused("invalid_grant", "AADSTS1: x").hint)
    assert.equal(errors.HINTS.invalid_grant, refused("invalid_grant", "AADSTS" .. ("9"):rep(60) .. ": x").hint)
    assert.equal(errors.HINTS.invalid_grant, refused("invalid_grant", "no number at all").hint)
    assert.equal(errors.HINTS.token_refused, refused("new_word", "no number at all").hint)
  end)

  it("goes by the word, not by the number, for what it is", function()
    assert.equal("auth", refused("invalid_client", "AADSTS90033: x").kind)
    assert.equal("invalid_client", refused("invalid_client", "AADSTS90033: x").code)
  end)

  it("leaves Entra's ids and time away", function()
    for _, tail in ipairs { " Trace ID: 1a Correlation ID: 2b Timestamp: 2026-09-04 08:00:00Z",
      "\r\nTrace ID: 1a\r\nCorrelation ID: 2b", " Trace ID" } do
      assert.equal("no token was given: invalid_client: AADSTS7000215: Wrong.",
        refused("invalid_client", "AADSTS7000215: Wrong." .. tail).message)
    end
  end)

  it("without a word is a service that failed, or a given token that expired", function()
    local err = refused(nil, "https://login.example answered HTTP 503")
    assert.equal("token_refused", err.code)
    assert.matches("try again later", err.hint)
  end)

  it("never shows a token, wherever the service puts it", function()
    for _, err in ipairs { refused("invalid_grant", "bad token " .. helper.TOKEN), refused(helper.TOKEN, "x") } do
      assert.is_true(helper.silent(err))
      assert.is_true(helper.silent(tostring(err)))
      assert.is_nil(tostring(err):find("%c"))
    end
  end)

  local function unreached(code, kind, message, login)
    return errors.from_failure({ code = code, kind = kind, phase = "not_sent", message = message },
      { method = "GET", target = "/v1.0/users" }, login)
  end

  it("is told from a Graph that cannot be reached, where the message names the host", function()
    local err = unreached("dns", "network", "Could not resolve host: login.example", "login.example")
    assert.equal("network", err.kind)
    assert.equal("dns", err.code)
    assert.matches("^the sign%-in failed: ", err.message)
    assert.matches("^this is about the sign%-in host.*does not resolve", err.hint)
    for _, login in ipairs { "login.example", false } do
      err = unreached("dns", "network", "Could not resolve host: graph.example", login)
      assert.equal("Could not resolve host: graph.example", err.message)
      assert.equal(errors.HINTS.dns, err.hint)
    end
  end)
end)

describe("a server error to a POST", function()
  it("that leaves it open whether it was acted on is ambiguous, and says both", function()
    local err = of(504, "", { ambiguous = true })
    assert.equal("ambiguous", err.kind)
    assert.matches("a fault of the service: .*; .*list the devices", err.hint)
  end)

  it("that was refused before, or may be repeated, is none", function()
    assert.equal("server", of(504).kind)
    assert.is_nil(of(504).hint:find("list the devices", 1, true))
  end)
end)

describe("msgraph.Error", function()
  it("is known as such, and nothing else is", function()
    assert.is_true(errors.Error.is(of(500)))
    for _, value in ipairs { {}, "x", 5, setmetatable({}, {}) } do assert.is_false(errors.Error.is(value)) end
  end)

  it("reads as one line with what it was about and the hint", function()
    local err = of(403, graph_body("Authorization_RequestDenied", "Insufficient\r\nprivileges"), { request_id = "r-9" })
    assert.equal("forbidden: Insufficient privileges (POST " .. ACTION
      .. ", HTTP 403, Authorization_RequestDenied, request-id r-9) - " .. err.hint, tostring(err))
    assert.equal("x: " .. tostring(err), "x: " .. err)
  end)

  it("never shows a token that a server echoes", function()
    for _, body in ipairs {
      "you sent Authorization: Bearer " .. helper.TOKEN,
      graph_body("x", "bad token " .. helper.TOKEN, { code = helper.TOKEN }),
      "<html><title>" .. helper.TOKEN .. "</title></html>",
      json.encode { error = { code = "x", message = json.encode { Message = "Bearer " .. helper.TOKEN } } },
      json.encode { error = { code = "x", message = "y", details = { { code = "z", message = helper.TOKEN } } } },
    } do
      local err = of(401, body)
      assert.is_true(helper.silent(err), body)
      assert.is_true(helper.silent(tostring(err)), body)
    end
  end)

  it("hides an opaque token behind the word Bearer", function()
    assert.is_nil(of(401, "got Bearer abc.DEF-123_~+/== today").message:find("abc", 1, true))
  end)
end)

describe("docs/errors.md", function()
  local page = helper.read_file(helper.ROOT .. "docs/errors.md")

  local function first_column(title)
    local section = page:match("\n## " .. title .. "\n(.-)\n## ") or page:match("\n## " .. title .. "\n(.*)$")
    local names = {}
    for name in section:gmatch("\n| `([%w_]+)` |") do names[name] = true end
    return names
  end

  it("lists every kind, and no other", function()
    local kinds = {}
    for _, kind in ipairs(errors.KINDS) do kinds[kind] = true end
    assert.same(kinds, first_column "Kinds")
  end)

  it("lists every code the core has", function()
    local listed = first_column "Codes of the transport"
    for code in pairs(transport_codes()) do assert.is_true(listed[code], code) end
  end)

  it("lists everything that has a hint, and nothing else", function()
    local expected, listed = {}, {}
    for name in pairs(errors.HINTS) do expected[name] = true end
    for _, title in ipairs { "Kinds", "Reasons of a refusal", "Codes of the transport", "Codes of this library",
      "Codes of the journal", "Codes of sign%-in", "Codes of Graph" } do
      for name in pairs(first_column(title)) do listed[name] = true end
    end
    assert.same(expected, listed)
  end)

  it("lists every number of Entra's that has a hint, and no other", function()
    local section, listed = page:match("\n## Entra's numbers\n(.-)\n## "), {}
    for cell in section:gmatch("\n| (%d[%d, ]*) |") do
      for number in cell:gmatch("%d+") do listed[tonumber(number)] = true end
    end
    local expected = {}
    for number in pairs(require("msgraph.aadsts").NUMBERS) do expected[number] = true end
    assert.same(expected, listed)
  end)

  it("answers in every row what happened, what to do and whether a retry is safe", function()
    local rows = 0
    for row in page:gmatch("\n(| `[%w_]+` |[^\n]*)") do
      rows = rows + 1
      local cells = {}
      for cell in row:gmatch("| *([^|]-) *%f[|]") do cells[#cells + 1] = cell end
      assert.equal(4, #cells, row)
      for _, cell in ipairs(cells) do assert.is_true(#cell > 0, row) end
    end
    local hints = 0
    for _ in pairs(errors.HINTS) do hints = hints + 1 end
    assert.is_true(rows >= hints)
  end)
end)
