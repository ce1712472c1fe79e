-- spec/unit/batch_part_spec.lua
local base64 = require "msgraph.batch.base64"
local core = require "msgraph.core"
local json = require "msgraph.json"
local part = require "msgraph.batch.part"
local requests = require "msgraph.request"

local ENDPOINT = "https://graph.microsoft.com"
local TOO_LATE, IN_TIME = 0, 3600

local tokens = 0

-- One with a gate and a budget of its own.
local function new_origin()
  tokens = tokens + 1
  return assert(core.origin { endpoint = ENDPOINT, credential = assert(core.credential { token = "t" .. tokens }) })
end

local function item_of(method, path, body, opts)
  local item = part.item(requests.build(method, path, body, opts), ENDPOINT)
  return item, item.version and json.decode(part.write { item }).requests[1]
end

describe("a request as a part", function()
  it("has the direct call's URL, byte for byte, below the version", function()
    for _, case in ipairs {
      { "/users", { ["$filter"] = "displayName eq 'O''Neill & Söhne + #1'" } },
      { "/users/guest%23EXT%23@contoso.com/manager" },
      { "/beta/users", { ["$search"] = '"displayName:a+b"' } },
      { "/users?$select=id", { ["$top"] = 5 } },
    } do
      local direct = requests.build("GET", case[1], nil, { query = case[2] }).target
      local item, written = item_of("GET", case[1], nil, { query = case[2] })
      assert.equal(direct, "/" .. item.version .. written.url)
    end
  end)

  it("may be a link of the endpoint's own", function()
    local item, written = item_of("GET", ENDPOINT .. "/v1.0/users?$skiptoken=abc")
    assert.equal("v1.0", item.version)
    assert.equal("/users?$skiptoken=abc", written.url)
  end)

  it("carries a body with its type, and an empty object for a POST without", function()
    local json_type = { ["Content-Type"] = "application/json" }
    assert.same({ id = "1", method = "POST", url = "/x", headers = json_type, body = {} },
      select(2, item_of("POST", "/x")))
    assert.same({ id = "1", method = "POST", url = "/x", body = {},
      headers = { ["Content-Type"] = "application/json", Prefer = 'a="b"' } },
      select(2, item_of("POST", "/x", nil, { headers = { Prefer = 'a="b"' } })))
    assert.same({ id = "1", method = "PATCH", url = "/x", headers = { ["Content-Type"] = "application/json" },
      body = { accountEnabled = false } }, select(2, item_of("PATCH", "/x", { accountEnabled = false })))
    local _, png = item_of("PUT", "/x", "\137PNG\0\255", { headers = { ["content-type"] = "image/png" } })
    assert.equal("\137PNG\0\255", base64.decode(png.body))
  end)

  it("says when it is of low priority, unless its author has; what is urgent travels alone", function()
    local function headers_of(opts) return (select(2, item_of("GET", "/users", nil, opts)) or {}).headers end
    assert.same({ ["x-ms-throttle-priority"] = "Low" }, headers_of { priority = "low" })
    assert.same({ ["X-MS-Throttle-Priority"] = "Normal", A = "b" },
      headers_of { priority = "low", headers = { ["X-MS-Throttle-Priority"] = "Normal", A = "b" } })
    assert.is_nil(headers_of { priority = "normal" })
    assert.is_nil(item_of("GET", "/users", nil, { priority = "high" }).version)
  end)

  for what, make in pairs {
    ["a foreign link"] = function() return item_of("GET", "https://evil.example/v1.0/users") end,
    ["user info that looks like the endpoint"] = function()
      return item_of("GET", ENDPOINT .. ":x@evil.example/v1.0/users")
    end,
    ["a path that climbs"] = function() return item_of("GET", "/users/../me") end,
    ["a path that climbs in escapes"] = function() return item_of("GET", "/users/%2e%2E/me") end,
    ["a batch"] = function() return item_of("POST", "/$batch", { requests = {} }) end,
    ["quotes in the path"] = function() return item_of("GET", '/users","method":"DELETE') end,
    ["a space in the path"] = function() return item_of("GET", "/users?$filter=a eq b") end,
    ["a fragment"] = function() return item_of("GET", "/users#x") end,
    ["a header that is the client's"] = function()
      return item_of("GET", "/users", nil, { headers = { authorization = "Bearer x" } })
    end,
    ["a header of two lines"] = function() return item_of("GET", "/users", nil, { headers = { A = "b\r\nC: d" } }) end,
    ["JSON text that is none"] = function()
      return item_of("POST", "/x", '{}},{"id":"2"', { headers = { ["Content-Type"] = "application/json" } })
    end,
    ["a deadline of its own"] = function() return item_of("GET", "/users", nil, { deadline = 5 }) end,
    ["a limit of its own"] = function() return item_of("GET", "/users", nil, { max_body = 5 }) end,
    ["a method that is not Graph's"] = function() return item_of("HEAD", "/users") end,
  } do
    it("travels alone with " .. what, function() assert.is_nil(make().version) end)
  end

  it("knows the object it writes to", function()
    for _, case in ipairs {
      { "PATCH", "/users/Ada@contoso.com", "users/ada@contoso.com" },
      { "POST", "/users('Ada@contoso.com')/revokeSignInSessions", "users/ada@contoso.com" },
      { "POST", "/groups/1/members/$ref", "groups/1" },
      { "GET", "/users/ada" },
      { "POST", "/users" },
      { "POST", "/deviceManagement/managedDevices/1/retire" },
      { "GET", "/users/Ada/mailFolders/inbox/messages" },
      { "POST", "/me/sendMail", "users/me" },
    } do
      local item = item_of(case[1], case[2])
      assert.equal(case[3], item.object, case[2])
    end
  end)
end)

describe("a part of an answer", function()
  local outer = { status = 200, headers = "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n", http_version = "1.1",
    client_request_id = "ours", request_id = "theirs" }

  -- The parts of an answer to a batch of twenty, by place; nil when it is none.
  local function read(text)
    outer.body = text
    local batch, parts = {}, {}
    for i = 1, 20 do batch[i] = { answer = "of an earlier one" } end
    if not part.match(outer, batch) then return nil end
    for i, item in ipairs(batch) do parts[i] = item.answer end
    return parts
  end

  it("is found by its place, in any order; what is none is left out", function()
    local parts = read [[{"responses":[{"id":"2","status":204},{"id":"1","status":200,"body":{"a":1}},7,null,
      {"id":"x","status":200},{"id":"3"},{"status":200},{"id":"2","status":500},{"id":"21","status":200},
      {"id":"4","status":0},{"id":"5","status":102},{"id":"6","status":4294967496}]}]]
    assert.equal(204, part.read(parts[2], outer).status)
    assert.same({ a = 1 }, part.read(parts[1], outer).value)
    for i = 3, 20 do assert.is_false(parts[i]) end
  end)

  it("is none of an answer that is something else", function()
    for _, text in ipairs { "", "{}", "[]", "null", "<html>", '{"responses":"x"}', '{"error":{}}' } do
      assert.is_nil(read(text), text)
    end
  end)

  it("has headers by any spelling, ids of its own or the batch's, and its own hint", function()
    local parts = read [[{"responses":[{"id":"1","status":429,"headers":{"retry-after":"2.128","REQUEST-ID":"part"}},
      {"id":"2","status":503,"headers":{"Retry-After":7}},{"id":"3","status":204,"headers":null,"body":null}]}]]
    local first, second, third = part.read(parts[1], outer), part.read(parts[2], outer), part.read(parts[3], outer)
    assert.equal(2.128, first.retry_after)
    assert.equal("part", first.request_id)
    assert.equal("ours", first.client_request_id)
    assert.equal(7, second.retry_after)
    assert.equal("theirs", third.request_id)
    assert.equal("", third.body)
    assert.is_nil(third.value)
  end)

  it("has an error's body as text, and bytes out of base64", function()
    local text = [[{"responses":[{"id":"1","status":404,"body":{"error":{"code":"x"}}},
      {"id":"2","status":200,"headers":{"Content-Type":"image/png"},"body":"%s"}]}]]
    local parts = read(text:format(base64.encode "\137PNG"))
    assert.same({ error = { code = "x" } }, json.decode(part.read(parts[1], outer).body))
    assert.equal("\137PNG", part.read(parts[2], outer).body)
  end)
end)

describe("base64", function()
  it("gives back what it took", function()
    for length = 0, 40 do
      local bytes = {}
      for i = 1, length do bytes[i] = string.char((i * 37 + length * 101) % 256) end
      bytes = table.concat(bytes)
      assert.equal(bytes, base64.decode(base64.encode(bytes)))
      assert.equal(bytes, base64.decode((base64.encode(bytes):gsub("=", ""):gsub("-", "+"):gsub("_", "/"))))
    end
    assert.equal("Zm9vYg==", base64.encode "foob")
    assert.is_nil(base64.decode "a b")
    assert.is_nil(base64.decode "abcde")
  end)
end)

describe("a part goes again", function()
  local parts = new_origin():parts()

  local function judge(status, hint, repeatable, left)
    return parts:judge(nil, status, hint, repeatable, left or IN_TIME, 0)
  end

  for _, case in ipairs {
    { "throttled, whatever it is", 429, 7, false, 7 },
    { "throttled without a word", 429, nil, false, 1 },
    { "refused until later", 503, 3, false, 3 },
    { "after a fault, if it may", 503, nil, true, 0.05, acted = true },
    { "not after a fault, if it may not", 503, nil, false, nil, acted = true, ambiguous = true },
    { "without an answer, if it may", nil, nil, true, 0.05, acted = true },
    { "without an answer not, if it may not", nil, nil, false, nil, acted = true, ambiguous = true },
    { "when the batch says it failed with another", 424, nil, false, 0.05 },
    { "not when it is refused", 404, nil, true, nil },
    { "after a fault not before it is asked to", 500, 7, true, 7, acted = true },
    { "after it failed with another neither", 424, 7, false, 7 },
  } do
    it(case[1], function()
      local verdict = judge(case[2], case[3], case[4])
      verdict.met = nil
      assert.same({ wait = case[5], may_have_acted = case.acted, ambiguous = case.ambiguous }, verdict)
      assert.is_nil(judge(case[2], case[3], case[4], TOO_LATE).wait)
    end)
  end

  it("not beyond its deadline, and says when it would have been", function()
    assert.same({ retry_in = 7 }, judge(429, 7, false, 6.9))
  end)

  it("by the rules and counts of one request: eight times throttled, then no more", function()
    local met
    for _ = 1, 7 do
      local verdict = parts:judge(met, 429, 3, false, IN_TIME, 0)
      assert.equal(3, verdict.wait)
      met = verdict.met
    end
    assert.same({}, parts:judge(met, 429, 3, false, IN_TIME, 0))
  end)

  it("out of the budget of all requests to its origin", function()
    local own = new_origin():parts()
    local function fail() return own:judge(nil, 502, nil, true, IN_TIME, 0) end
    for _ = 1, 500 // 14 do assert.equal(0.05, fail().wait) end
    assert.same({ retry_budget = true, may_have_acted = true }, fail())
    local load = core.load("GET", "/v1.0/users")
    for _ = 1, 4 do own:answer(own:admit(load), 200) end -- each gives one back
    local met = fail().met
    assert.is_true(fail().retry_budget)
    own:answer(own:admit(load), 200, nil, nil, met) -- a retry that helped gives back its price
    assert.equal(0.05, fail().wait)
  end)
end)

describe("a part at the throttle gate", function()
  local READ, WRITE = core.load("GET", "/v1.0/users"), core.load("PATCH", "/v1.0/users/1")
  local MAIL = core.load("GET", "/v1.0/users/ada/messages")

  it("is held up by another's refusal, on its own side of its own service", function()
    local parts = new_origin():parts()
    parts:answer(parts:admit(READ), 429, 60, { ["Retry-After"] = "60" })
    local none, at = parts:admit(READ)
    assert.is_nil(none)
    assert.is_true(at > core.now() + 59)
    assert.is_truthy(parts:admit(WRITE))
    assert.is_truthy(parts:admit(core.load("GET", "/v1.0/users/1/managedDevices")))
  end)

  it("closes what the service names, whatever the spelling of its header", function()
    local parts = new_origin():parts()
    parts:answer(parts:admit(READ), 429, 60, { ["X-MS-Throttle-Scope"] = "Tenant_Application/ReadWrite/app/tenant" })
    assert.is_nil(parts:admit(WRITE))
  end)

  it("says nothing of the gate when it was not acted on: the probe is another's", function()
    local parts = new_origin():parts()
    parts:answer(parts:admit(READ), 429, 0)
    local probe = parts:admit(READ)
    assert.is_nil(parts:admit(READ))
    parts:answer(probe, 424)
    probe = parts:admit(READ)
    assert.is_nil(parts:admit(READ))
    parts:answer(probe, 200)
    assert.is_truthy(parts:admit(READ) and parts:admit(READ))
  end)

  it("makes room when it is withdrawn or answered, and all do when their parts are closed or forgotten", function()
    local origin = new_origin()
    local function four(parts)
      local list = {}
      for i = 1, 4 do list[i] = assert(parts:admit(MAIL)) end
      assert.is_nil((origin:parts():admit(MAIL)))
      return list
    end
    local parts = origin:parts()
    for _, n in ipairs(four(parts)) do parts:withdraw(n) end
    for _, n in ipairs(four(parts)) do parts:answer(n) end
    four(parts)
    parts:close()
    four(origin:parts())
    collectgarbage()
    four(origin:parts())
  end)

  it("has the load of those that are held up with it", function()
    local function load(path) return core.load("GET", "/v1.0" .. path) end
    assert.equal(load "/users/ada", load "/groups/1")
    assert.equal(load "/users/Ada/events", MAIL)
    assert.equal(MAIL, core.load("GET", ENDPOINT .. "/beta/users/ada/messages"))
    assert.are_not.equal(READ, WRITE)
    assert.are_not.equal(MAIL, load "/users/grace/messages")
  end)

  it("outlives its origin, and is none when closed", function()
    local origin = new_origin()
    local parts = origin:parts()
    origin:close()
    parts:answer(parts:admit(READ), 200)
    parts:close()
    parts:close()
    assert.error_matches(function() parts:admit(READ) end, "parts are closed")
    assert.error_matches(function() origin:parts() end, "origin is closed")
    assert.error_matches(function() new_origin():parts():admit(-1) end, "is no load")
    assert.error_matches(function() new_origin():parts():answer(128) end, "is no part's number")
  end)
end)
