-- spec/unit/batch_part_spec.lua
local again = require "msgraph.batch.again"
local base64 = require "msgraph.batch.base64"
local json = require "msgraph.json"
local part = require "msgraph.batch.part"
local requests = require "msgraph.request"

local ENDPOINT = "https://graph.microsoft.com"

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

  it("knows the object it writes to, and the mailbox", function()
    for _, case in ipairs {
      { "PATCH", "/users/Ada@contoso.com", "users/ada@contoso.com" },
      { "POST", "/users('Ada@contoso.com')/revokeSignInSessions", "users/ada@contoso.com" },
      { "POST", "/groups/1/members/$ref", "groups/1" },
      { "GET", "/users/ada" },
      { "POST", "/users" },
      { "POST", "/deviceManagement/managedDevices/1/retire" },
      { "GET", "/users/Ada/mailFolders/inbox/messages", nil, "ada" },
      { "POST", "/me/sendMail", "users/me", "me" },
    } do
      local item = item_of(case[1], case[2])
      assert.equal(case[3], item.object, case[2])
      assert.equal(case[4], item.mailbox, case[2])
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
  for _, case in ipairs {
    { "throttled, whatever it is", 429, 7, false, 7 },
    { "throttled without a word", 429, nil, false, 1 },
    { "refused until later", 503, 3, false, 3 },
    { "after a fault, if it may", 503, nil, true, 0.05 },
    { "not after a fault, if it may not", 503, nil, false, nil },
    { "without an answer, if it may", nil, nil, true, 0.05 },
    { "without an answer not, if it may not", nil, nil, false, nil },
    { "when the batch says it failed with another", 424, nil, false, 0.05 },
    { "not when it is refused", 404, nil, true, nil },
    { "after a fault not before it is asked to", 500, 7, true, 7 },
    { "after it failed with another neither", 424, 7, false, 7 },
  } do
    it(case[1], function() assert.equal(case[5], again.wait({}, case[2], case[3], case[4], 0)) end)
  end

  it("never earlier than asked, and not for ever", function()
    for seed = 1, 50 do
      local met, times = {}, 0
      while true do
        local hint = (seed * 7 + times * 3) % 40 / 4
        local wait = again.wait(met, 429, hint, false, seed / 51)
        if not wait then break end
        assert.is_true(wait >= hint)
        times = times + 1
      end
      assert.equal(7, times)
    end
  end)

  it("does not believe three hints of next to nothing in a row", function()
    local met = {}
    again.wait(met, 429, 0, false, 0)
    again.wait(met, 429, 0, false, 0)
    assert.equal(4, again.wait(met, 429, 0, false, 0))
    again.wait(met, 500, nil, true, 0)
    assert.equal(0, again.wait(met, 429, 0, false, 0))
  end)
end)
