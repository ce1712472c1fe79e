--- An error never looks like the end of a list.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local json = require "msgraph.json"
local sim = require "msgraph.sim"

-- Reads a list to its end, or to the Error it raises.
local function read(iterator)
  local items = {}
  local ok, err = pcall(function()
    for item in iterator do items[#items + 1] = item end
  end)
  if ok then return items end
  assert.is_true(graph.Error.is(err), tostring(err))
  return items, err
end

describe("a list of a hostile service", function()
  local tenant, client

  before_each(function()
    tenant = assert(sim.start { users = 50, speed = 0 })
    client = helper.client(tenant.endpoint, { ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token()) })
  end)
  after_each(function()
    client:close()
    tenant:stop()
  end)

  local function spoil(page, after, times)
    tenant:fault { kind = "page", page = page, path = "users", after = after or 1, times = times or 1 }
  end

  it("goes on over empty pages", function()
    spoil("empty", 0, 3)
    local items, err = read(client:items("/users", { top = 10 }))
    assert.is_nil(err)
    assert.equal(50, #items)
    assert.equal(8, #tenant:requests())
  end)

  it("is asked for by names that exist", function()
    assert.error_matches(function() spoil "odd" end, "page must be empty, repeat")
  end)

  it("gives up when more than ten pages in a row are empty", function()
    spoil("empty", 2, 10)
    assert.equal(50, #read(client:items("/users", { top = 10 })))
    tenant:clear_faults()
    spoil("empty", 2, math.huge)
    local items, err = read(client:items("/users", { top = 10 }))
    assert.equal(20, #items)
    assert.equal("no_progress", err.code)
    assert.equal("protocol", err.kind)
    assert.matches("11 pages in a row were empty", err.message)
  end)

  for _, page in ipairs { "repeat", "cycle" } do
    it("ends with an error when a link comes again: " .. page, function()
      spoil(page)
      local items, err = read(client:items("/users", { top = 10 }))
      assert.equal(20, #items)
      assert.equal("no_progress", err.code)
      assert.matches("followed before", err.message)
      assert.equal(2, #tenant:requests())
    end)
  end

  it("that ends before all came that were counted ends with an error, once the items are handed out", function()
    spoil("short", 2, math.huge)
    local items, err = read(client:items("/users", { top = 10, count = true }))
    assert.equal(30, #items)
    assert.equal("incomplete", err.code)
    assert.equal("protocol", err.kind)
    assert.matches("after 30 of 50 items", err.message)
    assert.same({ done = true, page = 3, count = 30, total = 50 }, err.checkpoint)
    assert.equal(3, #tenant:requests())
    tenant:clear_faults()
    spoil("short", 1, math.huge)
    local all
    all, err = client:list("/users?$count=true", { top = 10, headers = { ConsistencyLevel = "eventual" } })
    assert.is_nil(all)
    assert.equal("incomplete", err.code)
    tenant:clear_faults()
    assert.equal(15, #assert(client:list("/users", { top = 10, count = true, limit = 15 })))
  end)

  it("is found short by a process that goes on with it, too", function()
    local from
    for page in client:pages("/users", { top = 10, count = true }) do
      from = page.checkpoint
      if page.number == 2 then break end
    end
    spoil("short", 1, math.huge)
    local items, err = read(client:items("/users", { count = true, from = json.decode(json.encode(from)) }))
    assert.equal(20, #items)
    assert.matches("after 40 of 50 items", err.message)
  end)

  it("never sees its token at another host", function()
    spoil "foreign"
    local items, err = read(client:items("/users", { top = 10 }))
    assert.equal(20, #items)
    assert.equal("foreign_url", err.code)
    assert.equal(2, err.checkpoint.page)
    assert.equal(2, #tenant:requests())
  end)

  it("ends with the service's error when a link is refused", function()
    spoil "refused"
    local items, err = read(client:items("/users", { top = 10 }))
    assert.equal(20, #items)
    assert.equal(400, err.status)
    assert.matches("^page 3: ", err.message)
    assert.matches("^invalid: page 3: ", tostring(err))
  end)

  for _, fault in ipairs {
    { kind = "reset_before" }, { kind = "reset_after" }, { kind = "cut_body" }, { kind = "not_json" },
    { kind = "status", status = 503 }, { kind = "status", status = 404 }, { kind = "status", status = 429 },
  } do
    local what = fault.kind .. (fault.status or "")
    it(("raises when a page is lost (%s), and can go on from there"):format(what), function()
      fault.path, fault.after = "users", 2
      tenant:fault(fault)
      local items, err = read(client:items("/users", { top = 10, retry = false }))
      assert.equal(20, #items)
      assert.equal("GET", err.method)
      assert.equal(2, err.checkpoint.page)
      local rest = read(client:items("/users", { top = 10, from = err.checkpoint }))
      assert.equal(30, #rest)
      assert.not_equal(items[20].id, rest[1].id)
    end)
  end

  it("raises inside a task, after it has been fetched ahead, and nothing is lost", function()
    tenant:fault { kind = "status", status = 503, path = "users", after = 2 }
    local items, err = graph.run(function() return read(client:items("/users", { top = 10, retry = false })) end)
    assert.equal(20, #items)
    assert.equal("server", err.kind)
    assert.equal(3, #tenant:requests())
  end)

  it("raises out of run, map and join as the Error itself", function()
    local function fail() tenant:fault { kind = "status", status = 503, path = "users" } end
    local function walk() for _ in client:items("/users", { retry = false }) do end end
    fail()
    local ok, err = pcall(graph.run, walk)
    assert.is_false(ok)
    assert.equal("server", err.kind)
    fail()
    ok, err = pcall(graph.map, client:items("/users", { retry = false }), {}, function() end)
    assert.is_false(ok)
    assert.equal("server", err.kind)
    fail()
    graph.run(function()
      ok, err = pcall(function() graph.spawn(walk):join() end)
    end)
    assert.is_false(ok)
    assert.equal("server", err.kind)
  end)

  it("may be asked again after an error, by the same iterator", function()
    tenant:fault { kind = "reset_before", path = "users", after = 2 }
    local users = client:items("/users", { top = 10, retry = false })
    assert.equal(20, #read(users))
    assert.equal(30, #read(users))
  end)

  for who, retry in pairs { ["the core"] = true, ["its reader"] = false } do
    it("goes on from a clean answer's link when a page was lost and asked for again by " .. who, function()
      tenant:fault { kind = "reset_after", path = "users", after = 1 }
      local users = client:items("/users", { top = 10, select = "id", retry = retry })
      local first = #read(users)
      assert.equal(50, first + #read(users))
      local requests = tenant:requests()
      assert.equal(requests[2].query, requests[3].query) -- the retry
      assert.equal(requests[2].query, requests[4].query) -- once more, for a link of its own
      assert.not_equal(requests[2].query, requests[5].query)
      assert.equal(5 + 2, #requests)
    end)
  end

  it("goes on after a page that was refused for a while", function()
    tenant:fault { kind = "status", status = 429, retry_after = "0.01", path = "users", after = 1 }
    assert.equal(50, #read(client:items("/users", { top = 10 })))
    assert.equal(5 + 1, #tenant:requests())
  end)

  it("is over with its client", function()
    local users = client:items("/users", { top = 10 })
    users()
    client:close()
    local items, err = read(users)
    assert.equal(9, #items)
    assert.equal("closed", err.code)
  end)

  it("may not be led astray by a checkpoint", function()
    local stray = { link = "https://graph.example.com/x", page = 1, count = 1 }
    local items, err = read(client:items("/users", { from = stray }))
    assert.same({}, items)
    assert.equal("foreign_url", err.code)
    assert.equal(0, #tenant:requests())
  end)

  it("is closed for good once it was left", function()
    local users = client:items("/users", { top = 10 })
    users()
    users:close()
    users:close()
    assert.is_nil(users())
    assert.equal(1, #tenant:requests())
  end)
end)

describe("an answer", function()
  for name, body in pairs {
    ["without value"] = "{}", ["with a text for value"] = '{"value":"x"}', ["that is a list itself"] = "[1]",
    ["that is text"] = '"x"', ["that is null"] = "null",
    ["with an object for value"] = '{"value":{"id":"x"}}',
    ["with a number for a link"] = '{"value":[],"@odata.nextLink":1}',
    ["with an empty link"] = '{"value":[],"@odata.nextLink":""}',
    ["with a link that is none"] = '{"value":[],"@odata.nextLink":{"href":"x"}}',
  } do
    it(name .. " is no list, and no end of one", function()
      local server <close> = helper.server(helper.json_answer("200 OK", body))
      local client <close> = helper.client(server.endpoint)
      local _, err = read(client:items("/users"))
      assert.equal("not_a_list", err.code)
      assert.equal("protocol", err.kind)
      assert.is_nil((client:list("/users")))
    end)
  end

  it("that skips some is counted with them", function()
    local body = '{"@odata.count":5,"value":[{"id":"3"},{"id":"4"},{"id":"5"}]}'
    local server <close> = helper.server(helper.json_answer("200 OK", body))
    local client <close> = helper.client(server.endpoint)
    assert.equal(3, #assert(client:list("/users/1/messages", { skip = 2, count = true })))
    assert.equal(3, #assert(client:list("/users/1/messages?$skip=2", { count = true })))
    assert.equal(3, #assert(client:list("/users/1/messages?%24skip=2&%24count=true")))
    assert.equal(3, #assert(client:list("/users/1/messages", { query = { ["$skip"] = 2, ["$count"] = true } })))
    assert.is_nil((client:list("/users/1/messages?%24count=true")))
    assert.is_nil((client:list("/users/1/messages", { query = { ["$count"] = true } })))
    local _, err = client:list("/users/1/messages", { skip = 1, count = true })
    assert.equal("incomplete", err.code)
    assert.equal(3, #assert(client:list("/users/1/messages")))
  end)

  it("without content is no list", function()
    local server <close> = helper.server(helper.answer("204 No Content"))
    local client <close> = helper.client(server.endpoint)
    assert.equal("not_a_list", select(2, read(client:items("/users"))).code)
  end)

  it("with null for a link is the end", function()
    local body = '{"value":[1,"two",false,3],"@odata.nextLink":null}'
    local server <close> = helper.server(helper.json_answer("200 OK", body))
    local client <close> = helper.client(server.endpoint)
    assert.same({ 1, "two", false, 3 }, read(client:items("/users")))
  end)

  it("to a delta that ends without a deltaLink is no end", function()
    local server <close> = helper.server(helper.json_answer("200 OK", '{"value":[{"id":"1"}]}'))
    local client <close> = helper.client(server.endpoint)
    local items, err = read(client:delta("/users/delta"))
    assert.equal(0, #items)
    assert.equal("not_a_list", err.code)
    assert.matches("neither a nextLink nor a deltaLink", err.message)
  end)
end)

describe("a link", function()
  it("is followed byte for byte, with the headers of the first request", function()
    local odd = "/v1.0/users?$skiptoken=a%2fB%20c'd!~*();:@,/?&x=%c3%a4&$top=1&&"
    local page = json.encode { value = graph.array(), ["@odata.nextLink"] = odd }
    local server <close> = helper.server {
      { bytes = helper.json_answer("200 OK", page) }, { bytes = helper.json_answer("200 OK", '{"value":[1]}') },
    }
    local client <close> = helper.client(server.endpoint)
    assert.same({ 1 }, read(client:items("/users", { headers = { ["X-Own"] = "yes" } })))
    read(client:items("/users", { from = { link = server.endpoint .. odd } }))
    local requests = server:requests()
    assert.matches("\r\nX%-Own: yes\r\n", requests[2])
    for i = 2, 3 do assert.equal("GET " .. odd .. " HTTP/1.1", requests[i]:match("^[^\r]*")) end
  end)

  for name, link in pairs {
    ["of another host"] = "https://graph.example.com/v1.0/users?$skiptoken=1",
    ["with our host as user"] = "https://HOST@graph.example.com/v1.0/users",
    ["with our host as user and password"] = "https://HOST:x@graph.example.com/v1.0/users",
    ["of another port"] = "https://127.0.0.1:1/v1.0/users",
    ["without TLS"] = "http://HOST/v1.0/users",
    ["whose host only begins like ours"] = "https://HOST.example.com/v1.0/users",
    ["that is no URL"] = "nonsense",
  } do
    it(name .. " is an error, and not followed", function()
      local server <close> = helper.server(helper.answer("500 Error"))
      local client <close> = helper.client(server.endpoint)
      local foreign = link:gsub("HOST", "127.0.0.1:" .. server.port)
      local items, err = read(client:items("/users", { from = { link = foreign } }))
      assert.same({}, items)
      assert.is_truthy(err, "a quiet end")
      assert.equal("not_sent", err.phase)
      assert.equal(0, #server:requests())
    end)
  end
end)

describe("a retry of the core's", function()
  -- A client whose core says how often it sent a page.
  local function walk(attempts, pages)
    local sent = {}
    local client = { endpoint = "https://x" }
    require("msgraph.paging").install(client, {}, function(_, path) return { target = path } end)
    function client.exchange(_, request)
      sent[#sent + 1] = request.target
      local page = pages[request.target]
      return { status = 200, body = json.encode(page), headers = "Content-Type: application/json\r\n",
        attempts = table.remove(attempts, 1) }
    end
    return read(client:items("/1")), sent
  end

  local LOST = { { code = "reset", phase = "sent" }, { status = 200 } }
  local REFUSED = { { status = 429 }, { code = "connect", phase = "not_sent" }, { status = 200 } }
  local PAGES = { ["/1"] = { value = { 1 }, ["@odata.nextLink"] = "/2" }, ["/2"] = { value = { 2 } } }

  it("after a lost try gives no link to go on from: the page is asked for once more", function()
    local items, sent = walk({ LOST }, PAGES)
    assert.same({ 1, 2 }, items)
    assert.same({ "/1", "/1", "/2" }, sent)
  end)

  it("after a refusal is as good as a first try, and the last page needs no link", function()
    assert.same({ "/1", "/2" }, select(2, walk({ REFUSED, LOST }, PAGES)))
  end)

  it("that never becomes clean is believed at last", function()
    assert.same({ "/1", "/1", "/1", "/2" }, select(2, walk({ LOST, LOST, LOST }, PAGES)))
  end)
end)
