-- spec/unit/batch_part_spec.lua
local base64 = require "msgraph.batch.base64"
local core = require "msgraph.core"
local json = require "msgraph.json"
local part = require "msgraph.batch.part"
local requests = require "msgraph.request"

local ENDPOINT = "https://graph.microsoft.com"
local TOO_LATE, IN_TIME = 0, 3600

local client = { endpoint = ENDPOINT, origin = assert(core.origin { endpoint = ENDPOINT,
  credential = assert(core.credential { token = "a-token" }) }) }

local function item_of(method, path, body, opts)
  local item = part.item(requests.build(method, path, body, opts), client)
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
      {"id":"x","status":200},{"id":"3"},{"status":200},{"id":"2","status":500},{"id":"21","status":200}]}]]
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
  local function judge(status, hint, repeatable, left)
    return client.origin:part("POST", "/v1.0/x", repeatable):judge(status, hint, left or IN_TIME, 0)
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
      assert.same({ wait = case[5], may_have_acted = case.acted, ambiguous = case.ambiguous }, verdict)
      assert.is_nil(judge(case[2], case[3], case[4], TOO_LATE).wait)
    end)
  end

  it("not beyond its deadline, and says when it would have been", function()
    assert.same({ retry_in = 7 }, judge(429, 7, false, 6.9))
  end)

  it("by the rules and counts of one request: eight times throttled, then no more", function()
    local one = client.origin:part("GET", "/v1.0/users", true)
    for _ = 1, 7 do assert.equal(3, one:judge(429, 3, IN_TIME, 0).wait) end
    assert.same({}, one:judge(429, 3, IN_TIME, 0))
  end)

  it("out of the budget of all requests to its origin", function()
    local origin = assert(core.origin { endpoint = ENDPOINT, credential = assert(core.credential { token = "b" }) })
    local function read() return origin:part("GET", "/v1.0/users", true) end
    for _ = 1, 500 // 14 do assert.equal(0.05, read():judge(502, nil, IN_TIME, 0).wait) end
    assert.same({ retry_budget = true, may_have_acted = true }, read():judge(502, nil, IN_TIME, 0))
    for _ = 1, 4 do read():answer(200) end -- each gives one back
    assert.equal(0.05, read():judge(502, nil, IN_TIME, 0).wait)
  end)
end)

describe("a part at the throttle gate", function()
  local tokens = 0

  -- An origin with a gate of its own.
  local function origin()
    tokens = tokens + 1
    local credential = assert(core.credential { token = "gate-" .. tokens })
    return assert(core.origin { endpoint = ENDPOINT, credential = credential })
  end

  local function part_of(from, method, path) return (from:part(method or "GET", "/v1.0" .. (path or "/users"), true)) end

  it("is held up by another's refusal, on its own side of its own service", function()
    local from = origin()
    local first = part_of(from)
    assert.is_nil(first:admit())
    assert.is_nil(first:admit()) -- it is under way already
    first:answer(429, 60, { ["Retry-After"] = "60" })
    assert.is_true(first:admit() > core.now() + 59)
    assert.is_true(part_of(from):admit() > core.now() + 59)
    assert.is_nil(part_of(from, "PATCH", "/users/1"):admit())
    assert.is_nil(part_of(from, "GET", "/users/1/managedDevices"):admit())
  end)

  it("closes what the service names, whatever the spelling of its header", function()
    local from = origin()
    local first = part_of(from)
    first:admit()
    first:answer(429, 60, { ["X-MS-Throttle-Scope"] = "Tenant_Application/ReadWrite/app/tenant" })
    assert.is_number(part_of(from, "PATCH", "/users/1"):admit())
  end)

  it("leaves room when it is withdrawn, answered, closed or forgotten", function()
    local from = origin()
    local function mail() return part_of(from, "GET", "/users/ada/messages") end
    for _, ending in ipairs { "withdraw", "answer", "close", "forget" } do
      local four = { mail(), mail(), mail(), mail() }
      for _, one in ipairs(four) do assert.is_nil(one:admit(), ending) end
      assert.is_number(mail():admit())
      for i, one in ipairs(four) do
        if one[ending] then one[ending](one) end
        four[i] = nil
      end
      collectgarbage()
    end
    assert.is_nil(mail():admit())
  end)

  it("has the lane of those that are held up with it", function()
    local from = origin()
    local function lane(method, path)
      return (select(2, from:part(method, "/v1.0" .. path, true)))
    end
    assert.equal(lane("GET", "/users"), lane("GET", "/groups"))
    assert.equal(lane("GET", "/users/Ada/events"), lane("GET", "/users/ada/messages"))
    assert.are_not.equal(lane("GET", "/users"), lane("PATCH", "/users/1"))
    assert.are_not.equal(lane("GET", "/users/ada/events"), lane("GET", "/users/grace/events"))
  end)

  it("outlives its origin", function()
    local from = origin()
    local one = part_of(from)
    from:close()
    assert.is_nil(one:admit())
    one:close()
    one:close()
    assert.error_matches(function() one:admit() end, "part is closed")
    assert.error_matches(function() part_of(from) end, "origin is closed")
  end)
end)
