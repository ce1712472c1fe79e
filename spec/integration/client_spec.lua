local graph = require "msgraph"
local helper = require "spec.support.helper"
local wire = require "spec.support.wire"

local UUID = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"

describe("the bytes of the action", function()
  local server, client

  setup(function()
    server = helper.server(helper.answer("204 No Content"))
    client = helper.client(server.endpoint)
  end)
  teardown(function()
    client:close()
    server:stop()
  end)

  local function last()
    local requests = server:requests()
    return requests[#requests], #requests
  end

  it("are these and no others", function()
    assert.is_true(client:remove_all_devices("ada@contoso.com"))
    local raw = last()
    local line, headers, body = wire.parse(raw)
    local id = wire.header(raw, "client-request-id")
    assert.equal("POST /v1.0/users/ada%40contoso.com/removeAllDevicesFromManagement HTTP/1.1", line)
    assert.matches(UUID, id)
    local expected = { "Accept: application/json", "Authorization: Bearer " .. helper.TOKEN, "Content-Length: 0",
      "Host: 127.0.0.1:" .. server.port, "client-request-id: " .. id }
    table.sort(expected)
    assert.same(expected, headers)
    assert.equal("", body)
  end)

  it("carry a new client-request-id each time", function()
    client:remove_all_devices("ada@contoso.com")
    local first = wire.header(last(), "client-request-id")
    client:remove_all_devices("ada@contoso.com")
    assert.not_equal(first, wire.header(last(), "client-request-id"))
  end)

  for _, case in ipairs {
    { "a guest's principal name",  "bo_fabrikam.com#EXT#@contoso.com",     "bo_fabrikam.com%23EXT%23%40contoso.com" },
    { "a space",                   "ada lovelace@contoso.com",             "ada%20lovelace%40contoso.com" },
    { "a plus",                    "ada+test@contoso.com",                 "ada%2Btest%40contoso.com" },
    { "a percent sign",            "ada%40contoso.com",                    "ada%2540contoso.com" },
    { "UTF-8",                     "jürgen@contoso.com",                   "j%C3%BCrgen%40contoso.com" },
    { "a slash",                   "a/b",                                  "a%2Fb" },
    { "dots and slashes",          "../../me",                             "..%2F..%2Fme" },
    { "a question mark",           "a?b=c&d",                              "a%3Fb%3Dc%26d" },
    { "a backslash, a quote",      "a\\b'c\"",                             "a%5Cb%27c%22" },
    { "an object id",              "87d349ed-44d7-43e1-9a83-5f2406dee5bd", "87d349ed-44d7-43e1-9a83-5f2406dee5bd" },
    { "three dots",                "...",                                  "..." },
    { "what only begins with me",  "me@contoso.com",                       "me%40contoso.com" },
  } do
    it("escape " .. case[1], function()
      assert.is_true(client:remove_all_devices(case[2]))
      assert.equal("POST /v1.0/users/" .. case[3] .. "/removeAllDevicesFromManagement HTTP/1.1", (wire.parse(last())))
    end)
  end

  it("go to /me when that is asked for", function()
    assert.is_true(client:remove_all_devices("me", { allow_me = true }))
    assert.equal("POST /v1.0/me/removeAllDevicesFromManagement HTTP/1.1", (wire.parse(last())))
  end)

  it("are the same over the default client", function()
    local own <close> = helper.server(helper.answer("204 No Content"))
    local out = helper.sh(("MSGRAPH_ACCESS_TOKEN=%s MSGRAPH_ENDPOINT=%s MSGRAPH_CA_FILE=%s %s -e %s"):format(
      helper.TOKEN, own.endpoint, helper.certs() .. "/ca.pem", helper.LUA,
      helper.quote [[print(require("msgraph").remove_all_devices("ada@contoso.com"))]]))
    assert.matches("^true", out)
    local raw = own:requests()[1]
    assert.equal("POST /v1.0/users/ada%40contoso.com/removeAllDevicesFromManagement HTTP/1.1", (wire.parse(raw)))
    assert.equal("Bearer " .. helper.TOKEN, wire.header(raw, "Authorization"))
  end)

  for _, case in ipairs {
    { "nothing",             nil,                 "must be a string, got nil" },
    { "an empty string",     "",                  "user is empty" },
    { "blanks",              "  ",                "user is blank" },
    { "a dot",               ".",                 'is "%."' },
    { "two dots",            "..",                'is "%.%."' },
    { "me",                  "me",                "allow_me = true" },
    { "ME",                  "ME",                "allow_me = true" },
    { "me between blanks",   " Me ",              "allow_me = true" },
    { "a line end",          "ada\n@contoso.com", "control character" },
    { "a NUL",               "ada\0",             "control character" },
    { "no UTF-8",            "ada\xff",           "UTF%-8" },
    { "a number",            42,                  "got the number 42" },
    { "a table",             { "ada" },           "got table" },
    { "a boolean",           true,                "got boolean" },
  } do
    it("never leave for " .. case[1] .. ", and the caller is told what to do", function()
      local _, before = last()
      for _, call in ipairs { function() client:remove_all_devices(case[2]) end,
        function() graph.remove_all_devices(case[2]) end } do
        local ok, message = pcall(call)
        assert.is_false(ok)
        assert.matches("^spec/integration/client_spec.lua:%d+: remove_all_devices: ", message)
        assert.matches(case[3], message)
        assert.is_truthy(message:find("give the object id", 1, true) or message:find("allow_me", 1, true))
      end
      assert.equal(before, select(2, last()))
    end)
  end

  for _, case in ipairs {
    { { alow_me = true },   "did you mean 'allow_me'" },
    { { wait = "soon" },    'wait must be like "90s"' },
    { { wait = "-5s" },     "wait must be" },
    { { wait = -1 },        "wait must be" },
    { { wait = 0 / 0 },     "wait must be" },
    { { wait = {} },        "wait must be" },
    { { wait = "2 h" },     "wait must be" },
    { { on_change = "x" },  "'on_change' must be a function" },
    { "2h",                 "options must be a table" },
  } do
    it("never leave with a wrong option: " .. case[2], function()
      local _, before = last()
      assert.error_matches(function() client:remove_all_devices("ada@contoso.com", case[1]) end, case[2])
      assert.equal(before, select(2, last()))
    end)
  end
end)

describe("a request", function()
  local server, client

  before_each(function()
    server = helper.server(helper.json_answer("200 OK", '{"value":[],"n":null,"count":3}',
      { ["request-id"] = "server-7", ["X-Thing"] = "some value" }))
    client = helper.client(server.endpoint)
  end)
  after_each(function()
    client:close()
    server:stop()
  end)

  local function sent(i)
    return server:requests()[i or 1]
  end

  it("with get returns the decoded body", function()
    local body = assert(client:get("/users"))
    assert.same({}, body.value)
    assert.equal(graph.null, body.n)
    assert.equal("integer", math.type(body.count))
    assert.equal("GET /v1.0/users HTTP/1.1", (wire.parse(sent())))
    assert.is_nil(wire.header(sent(), "Content-Length"))
  end)

  for _, case in ipairs {
    { "/users",                "/v1.0/users" },
    { "/v1.0/users",           "/v1.0/users" },
    { "/beta/users?$top=1",    "/beta/users?$top=1" },
    { "/v1.0beta",             "/v1.0/v1.0beta" },
  } do
    it("to " .. case[1] .. " goes to " .. case[2], function()
      assert(client:get(case[1]))
      assert.equal("GET " .. case[2] .. " HTTP/1.1", (wire.parse(sent())))
    end)
  end

  it("to a full URL of the endpoint goes there as it stands", function()
    assert(client:get(server.endpoint .. "/v1.0/users?$skiptoken=a%2Bb~X"))
    assert.equal("GET /v1.0/users?$skiptoken=a%2Bb~X HTTP/1.1", (wire.parse(sent())))
  end)

  it("encodes and sorts its query", function()
    assert(client:get("/users", { query = { ["$top"] = 5, ["$filter"] = "displayName eq 'A & B'", flag = true,
      ["a b"] = "ü", half = 0.5 } }))
    assert.equal("GET /v1.0/users?$filter=displayName%20eq%20%27A%20%26%20B%27&$top=5&a%20b=%C3%BC&flag=true&half=0.5"
      .. " HTTP/1.1", (wire.parse(sent())))
  end)

  it("adds its query to one in the path, and none when it is empty", function()
    assert(client:get("/users?$top=1", { query = { a = 1 } }))
    assert(client:get("/users", { query = {} }))
    assert.equal("GET /v1.0/users?$top=1&a=1 HTTP/1.1", (wire.parse(sent(1))))
    assert.equal("GET /v1.0/users HTTP/1.1", (wire.parse(sent(2))))
  end)

  it("sends a table as JSON", function()
    assert(client:patch("/users/x", { accountEnabled = false, otherMails = graph.array(), city = graph.null }))
    local line, _, body = wire.parse(sent())
    assert.equal("PATCH /v1.0/users/x HTTP/1.1", line)
    assert.same({ accountEnabled = false, city = graph.null, otherMails = {} }, require("cjson").decode(body))
    assert.truthy(body:find('"otherMails":[]', 1, true))
    assert.equal("application/json", wire.header(sent(), "Content-Type"))
    assert.equal(tostring(#body), wire.header(sent(), "Content-Length"))
  end)

  it("sends a string as it is, with the type given", function()
    assert(client:put("/me/photo/$value", "\0\1binary", { headers = { ["content-type"] = "image/png" } }))
    local _, _, body = wire.parse(sent())
    assert.equal("\0\1binary", body)
    assert.equal("image/png", wire.header(sent(), "Content-Type"))
  end)

  it("sends delete without a body, and more headers", function()
    assert(client:delete("/users/x", { headers = { ["If-Match"] = "W/1" } }))
    assert.equal("DELETE /v1.0/users/x HTTP/1.1", (wire.parse(sent())))
    assert.equal("W/1", wire.header(sent(), "If-Match"))
  end)

  it("as a whole gives status, headers in any case, and both ids", function()
    local response = assert(client:request { method = "get", path = "/users",
      headers = { ["client-request-id"] = "mine-1" } })
    assert.equal(200, response.status)
    assert.equal(3, response.body.count)
    assert.equal("some value", response.headers["x-thing"])
    assert.equal("some value", response.headers["X-THING"])
    assert.is_nil(response.headers.missing)
    assert.equal("server-7", response.request_id)
    assert.equal("mine-1", wire.header(sent(), "client-request-id"))
    assert.equal("mine-1", response.client_request_id)
    local names = {}
    for name, value in pairs(response.headers) do names[name:lower()] = value end
    assert.equal("application/json", names["content-type"])
    assert.matches("200, request%-id server%-7", tostring(response))
  end)

  it("leaves the options it was given alone", function()
    local headers = setmetatable({}, { __newindex = function() error("written to") end })
    assert(client:post("/x", { a = 1 }, setmetatable({ headers = headers },
      { __newindex = function() error("written to") end })))
  end)

  it("keeps its connection for the next", function()
    local before = helper.descriptors()
    for _ = 1, 5 do assert(client:get("/users")) end
    assert.is_true(helper.descriptors() - before <= 2)
  end)

  for _, case in ipairs {
    { "a path that is none",       function(c) c:get(nil) end,                             "path must be a string" },
    { "a path without a slash",    function(c) c:get("users") end,                         "must begin with /" },
    { "an unknown option",         function(c) c:get("/x", { querry = {} }) end,           "did you mean 'query'" },
    { "an option of another type", function(c) c:get("/x", { deadline = "5" }) end,        "must be a number" },
    { "a query of tables",         function(c) c:get("/x", { query = { a = {} } }) end,    "query parameter 'a'" },
    { "a body that is no JSON",    function(c) c:post("/x", { f = print }) end,            "cannot encode f" },
    { "a body without a type",     function(c) c:post("/x", "text") end,                   "Content%-Type" },
    { "a body of a number",        function(c) c:post("/x", 5) end,                        "body must be a table" },
    { "no method",                 function(c) c:request { path = "/x" } end,              "'method' is missing" },
    { "an unknown field",          function(c) c:request { method = "GET", pth = "/x" } end, "did you mean 'path'" },
    { "a space in the path of request", function(c) c:request { method = "GET", path = "/a b" } end, "request: " },
    { "a header of ours", function(c) c:get("/x", { headers = { Authorization = "x" } }) end, "Authorization" },
    { "a space in the path",       function(c) c:get("/users/a b") end,                    "get: .*must be escaped" },
  } do
    it("raises for " .. case[1], function()
      local ok, message = pcall(case[2], client)
      assert.is_false(ok)
      assert.matches("^spec/integration/client_spec.lua:%d+: %l+: ", message) -- where the caller stands
      assert.matches(case[3], message)
      assert.equal(0, #server:requests())
    end)
  end

  it("inside a task is the same", function()
    assert.equal(3, graph.run(function() return client:get("/users").count end))
  end)

  it("after close is refused", function()
    client:close()
    client:close()
    local body, err = client:get("/users")
    assert.is_nil(body)
    assert.equal("closed", err.code)
    assert.equal("not_sent", err.phase)
  end)
end)

describe("a client", function()
  it("closes with its variable, and gives every descriptor back", function()
    local server <close> = helper.server(helper.answer("204 No Content"))
    local before = helper.descriptors()
    do
      local client <close> = helper.client(server.endpoint)
      assert.is_true(client:post("/x"))
      assert.is_true(helper.descriptors() > before)
    end
    assert.equal(before, helper.descriptors())
  end)

  it("that is only collected is closed all the same", function()
    local server <close> = helper.server(helper.answer("204 No Content"))
    local before = helper.descriptors()
    do
      local client = helper.client(server.endpoint)
      assert.is_true(client:post("/x"))
    end
    collectgarbage()
    collectgarbage()
    graph.sleep(0)
    assert.equal(before, helper.descriptors())
  end)

  it("ends its requests when it closes, and leaves another's alone", function()
    local server <close> = helper.server { { after = "hang" } }
    local other <close> = helper.server(helper.json_answer("200 OK", "{}"))
    local client, kept = helper.client(server.endpoint), helper.client(other.endpoint)
    graph.run(function()
      local waiting = graph.spawn(function() return client:get("/slow") end)
      graph.sleep(0.05)
      client:close()
      local body, err = waiting:join()
      assert.is_nil(body)
      assert.equal("cancelled", err.kind)
      assert.is_table(kept:get("/x"))
    end)
    kept:close()
  end)

  it("is refused for an endpoint that is not HTTPS, or more than an origin", function()
    for _, endpoint in ipairs { "http://127.0.0.1:1", "https://user@127.0.0.1", "https://127.0.0.1/path", "graph",
      "" } do
      local client, err = graph.connect { endpoint = endpoint, auth = graph.auth.token "x" }
      assert.is_nil(client, endpoint)
      assert.equal("invalid", err.kind)
    end
  end)

  it("shows neither its token nor where it keeps it", function()
    local client <close> = helper.client("https://127.0.0.1:1")
    assert.equal("msgraph.Client(https://127.0.0.1:1)", tostring(client))
    assert.is_true(helper.silent(client))
    assert.is_true(helper.silent(tostring(client.origin)))
  end)
end)

describe("the token", function()
  it("does not follow a redirect to another origin, nor within one", function()
    local elsewhere <close> = helper.server(helper.json_answer("200 OK", '{"stolen":true}'))
    for _, status in ipairs { "301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent" } do
      local location = elsewhere.endpoint .. "/v1.0/users"
      local server <close> = helper.server(helper.answer(status, "", { Location = location }))
      local client <close> = helper.client(server.endpoint)
      local body, err = client:get("/users")
      assert.is_nil(body)
      assert.equal("protocol", err.kind)
      assert.equal("redirect", err.code)
      assert.is_truthy(err.hint:find(elsewhere.endpoint, 1, true))
      local ok, refused = client:remove_all_devices("ada@contoso.com")
      assert.is_nil(ok)
      assert.equal("redirect", refused.code)
      assert.equal(2, #server:requests())
    end
    assert.same({}, elsewhere:requests())
  end)

  it("goes to no other origin in a full URL", function()
    local elsewhere <close> = helper.server(helper.json_answer("200 OK", "{}"))
    local server <close> = helper.server(helper.json_answer("200 OK", "{}"))
    local client <close> = helper.client(server.endpoint)
    for _, url in ipairs { elsewhere.endpoint .. "/v1.0/users",
      server.endpoint .. "@" .. elsewhere.endpoint:sub(9) .. "/x",
      server.endpoint:gsub("https", "http") .. "/x", "https://127.0.0.1/x", "https://localhost:" .. server.port .. "/x",
      server.endpoint .. ".evil.example/x", "ftp://127.0.0.1:" .. server.port .. "/x" } do
      local body, err = client:get(url)
      assert.is_nil(body, url)
      assert.equal("invalid", err.kind, url)
    end
    assert.same({}, elsewhere:requests())
    assert.same({}, server:requests())
  end)
end)
