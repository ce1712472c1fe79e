-- spec/integration/batch_spec.lua
local graph = require "msgraph"
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"

local ADA = "/users/ada@contoso.com"
local ACTION = ADA .. "/removeAllDevicesFromManagement"
local YEAR = 365 * 24 * 3600

local function start(opts)
  local all = { users = 90, seed = 1, speed = 0 }
  for name, value in pairs(opts or {}) do all[name] = value end
  return assert(sim.start(all))
end

local function connect(tenant, token)
  token = token or {}
  token.expires_in = YEAR
  return assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
    auth = graph.auth.token(tenant:token(token)) })
end

local function ids(tenant)
  local out = {}
  for i, user in ipairs(tenant:users()) do out[i] = user.id end
  return out
end

-- How many parts each batch had, in the order in which they were sent; requests sent alone count as 0.
local function sent(tenant)
  local sizes, place = {}, {}
  for _, entry in ipairs(tenant:requests()) do
    if not entry.batch then
      sizes[#sizes + 1] = 0
      place[entry.n] = #sizes
    else
      sizes[place[entry.batch]] = sizes[place[entry.batch]] + 1
    end
  end
  return sizes
end

local function total(sizes)
  local sum = 0
  for _, size in ipairs(sizes) do sum = sum + math.max(size, 1) end
  return sum
end

describe("client:batch", function()
  it("sends requests together and gives results and errors at their places", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local results, errors = client:batch {
      { method = "GET", path = ADA, query = { ["$select"] = "displayName,accountEnabled" } },
      { method = "post", path = ACTION },
      { method = "GET", path = "/users/nobody@contoso.com" },
    }
    assert.same({ 3 }, sent(tenant))
    assert.equal(3, results.n)
    assert.equal("Ada Lovelace", results[1].body.displayName)
    assert.equal(200, results[1].status)
    assert.matches("json", results[1].headers["content-type"])
    assert.is_string(results[1].request_id)
    assert.equal(204, results[2].status)
    assert.is_true(results[2].body)
    assert.is_nil(results[3])
    assert.equal("not_found", errors[3].kind)
    assert.equal("Request_ResourceNotFound", errors[3].code)
    assert.equal("/v1.0/users/nobody@contoso.com", errors[3].path)
    assert.is_nil(errors[1] or errors[2])
  end)

  it("has the same errors as direct calls", function()
    local tenant <close> = start()
    local client <close> = connect(tenant, { scopes = { "User.Read.All" } })
    local _, direct = client:post(ACTION)
    local _, errors = client:batch { { method = "POST", path = ACTION }, { method = "GET", path = ADA } }
    for _, field in ipairs { "kind", "code", "reason", "message", "status", "method", "path", "phase", "hint" } do
      assert.equal(direct[field], errors[1][field], field)
    end
    assert.same(direct.permissions, errors[1].permissions)
  end)

  it("fills batches of twenty", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local list = {}
    for i, id in ipairs(ids(tenant)) do list[i] = { method = "GET", path = "/users/" .. id } end
    local results, errors = client:batch(list)
    assert.is_nil(next(errors))
    local sizes = sent(tenant)
    table.sort(sizes)
    assert.same({ 10, 20, 20, 20, 20 }, sizes)
    for i, id in ipairs(ids(tenant)) do assert.equal(id, results[i].body.id) end
  end)

  it("keeps the order that dependencies ask for, whatever their graph", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local results, errors = client:batch {
      { method = "GET", path = "/users/3", id = "last", depends_on = { "left", "right" } },
      { method = "GET", path = ADA, id = "root" },
      { method = "GET", path = ADA .. "?$select=id", id = "left", depends_on = "root" },
      { method = "GET", path = ADA .. "?$select=mail", id = "right", depends_on = 2 },
    }
    assert.equal("not_found", errors[1].kind) -- user 3 there is none
    local order = {}
    for _, entry in ipairs(tenant:requests()) do
      if entry.path ~= "/v1.0/$batch" then order[#order + 1] = entry.path .. entry.query end
    end
    assert.equal("/v1.0" .. ADA, order[1])
    assert.equal("/v1.0/users/3", order[4])
    assert.equal(200, results[2].status)
  end)

  it("does not send what depends on a failure, nor what depends on that", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local _, errors = client:batch {
      { method = "GET", path = "/users/nobody", id = "a" },
      { method = "POST", path = ACTION, id = "b", depends_on = "a" },
      { method = "POST", path = ACTION, depends_on = "b" },
    }
    assert.equal("not_found", errors[1].kind)
    for i = 2, 3 do
      assert.equal("failed_dependency", errors[i].code)
      assert.equal("not_sent", errors[i].phase)
    end
    assert.equal(0, #tenant:requests { path = "/v1.0" .. ACTION })
  end)

  it("sends one request as the call it is", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local results = client:batch { { method = "POST", path = ACTION } }
    assert.equal(204, results[1].status)
    assert.equal("/v1.0" .. ACTION, tenant:requests()[1].path)
    assert.equal(0, client:batch({}).n)
  end)

  it("sends what cannot be a part alone, and the rest together", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local _, errors = client:batch {
      { method = "GET", path = ADA },
      { method = "GET", path = "https://evil.example/v1.0/users" },
      { method = "GET", path = "/users" },
      { method = "GET", path = "/users/../x" },
    }
    assert.same({ 2 }, sent(tenant))
    assert.equal("foreign_url", errors[2].code)
    assert.equal("bad_request", errors[4].code)
  end)

  it("keeps v1.0 and beta apart", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local list = {}
    for i = 1, 4 do list[i] = { method = "GET", path = (i % 2 == 0 and "/beta" or "") .. ADA } end
    client:batch(list)
    local targets = {}
    for _, entry in ipairs(tenant:requests { method = "POST" }) do targets[#targets + 1] = entry.path end
    assert.same({ "/v1.0/$batch", "/beta/$batch" }, targets)
  end)

  it("sends a throttled part again, not before its hint, and no other", function()
    local tenant <close> = start { speed = 1 }
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 429, retry_after = "0.4", path = "removeAll" }
    local results, errors = client:batch { { method = "POST", path = ACTION }, { method = "GET", path = ADA } }
    assert.is_nil(next(errors))
    assert.same({ 2, 0 }, sent(tenant))
    local tries = tenant:requests { path = "/v1.0" .. ACTION }
    assert.equal(2, #tries)
    assert.is_true(tries[2].at - tries[1].at >= 0.4)
    local first, second = table.unpack(results[1].attempts)
    assert.same({ status = 429, phase = "answered" }, first)
    assert.equal(204, second.status)
    assert.is_true(second.waited >= 0.4)
    assert.equal(second.waited, results[1].waited)
  end)

  it("gives up at once when the hint is later than the deadline", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 429, retry_after = "100", path = "removeAll" }
    local list = { { method = "POST", path = ACTION }, { method = "GET", path = ADA } }
    local _, errors = client:batch(list, { deadline = 9 })
    assert.equal("throttled", errors[1].kind)
    assert.equal(100, errors[1].retry_after)
    assert.is_true(errors[1].retry_at >= os.time() + 99)
    assert.equal(1, #tenant:requests { path = "/v1.0" .. ACTION })
  end)

  it("halves a batch that is too large as a whole, down to direct calls", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 413, path = "%$batch$", times = 6 }
    local list = {}
    for i, id in ipairs(ids(tenant)) do list[i] = { method = "GET", path = "/users/" .. id } end
    local results, errors = client:batch(table.move(list, 1, 8, 1, {}))
    assert.is_nil(next(errors))
    for i = 1, 8 do assert.equal(list[i].path, "/users/" .. results[i].body.id) end
  end)

  it("finds the one part that spoils a batch", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local list = { { method = "PUT", path = "/users/1", headers = { ["Content-Type"] = "text/plain" }, body = "" } }
    for i = 2, 6 do list[i] = { method = "GET", path = ADA } end
    tenant:fault { kind = "status", status = 400, path = "%$batch$", times = 2 }
    local results, errors = client:batch(list)
    assert.equal(1, #table.pack(next(errors)) - 1)
    for i = 2, 6 do assert.equal(200, results[i].status) end
  end)

  it("writes to one user in the order of the list", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local list = {}
    for i = 1, 12 do list[i] = { method = "POST", path = ACTION, headers = { ["client-request-id"] = "w" .. i } } end
    local _, errors = client:batch(list)
    assert.is_nil(next(errors))
    for i, entry in ipairs(tenant:requests { path = "/v1.0" .. ACTION }) do
      assert.equal("w" .. i, entry.client_request_id)
    end
    assert.same({ 12 }, sent(tenant))
  end)

  it("carries a body as it is, and reads text", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "not_json", path = "nobody" }
    local _, errors = client:batch { { method = "GET", path = "/users/nobody" }, { method = "GET", path = ADA } }
    assert.equal("html_page", errors[1].code)
  end)

  for what, case in pairs {
    ["a cycle"] = { { { method = "GET", path = "/a", id = "x", depends_on = "y" },
      { method = "GET", path = "/b", id = "y", depends_on = "x" } }, "circle: 'x' on 'y' on 'x'" },
    ["itself"] = { { { method = "GET", path = "/a", depends_on = 1 } }, "circle: request 1 on request 1" },
    ["an unknown id"] = { { { method = "GET", path = "/a", id = "x", depends_on = { "z" } } },
      "'x' depends on 'z', which is not in the batch" },
    ["an id twice"] = { { { method = "GET", path = "/a", id = "x" }, { method = "GET", path = "/b", id = "x" } },
      "the id 'x' is given twice, to requests 1 and 2" },
    ["no method"] = { { { path = "/a" } }, "request 1: 'method' is missing" },
    ["a wrong path"] = { { { method = "GET", path = "users", id = "x" } }, "'x': path 'users' must begin with /" },
    ["a misspelt field"] = { { { method = "GET", path = "/a", dependsOn = "x" } }, "did you mean 'depends_on'" },
    ["a request that is none"] = { { "GET /users" }, "request 1 must be a table, got string" },
  } do
    it("raises for " .. what .. " and sends nothing", function()
      local tenant <close> = start()
      local client <close> = connect(tenant)
      local ok, problem = pcall(function() client:batch(case[1]) end)
      assert.is_false(ok)
      assert.matches("batch_spec.lua:%d+: batch: ", problem)
      assert.matches(case[2], problem, 1, true)
      assert.equal(0, #tenant:requests())
    end)
  end

  it("raises for a list with a hole, and for a deadline that is none", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local ask = { method = "GET", path = ADA }
    local function check(expected, fn)
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.matches("^spec/integration/batch_spec.lua:%d+: " .. expected, message)
    end
    check("batch: request 2 must be a table, got nil", function() client:batch { ask, nil, ask } end)
    for _, seconds in ipairs { 0, -1, 0 / 0, 1e9 } do
      check("batch: 'deadline' must be", function() client:batch({ ask, ask }, { deadline = seconds }) end)
      check("get: 'deadline' must be", function() client:get(ADA, { deadline = seconds }) end)
      check("items: 'deadline' must be", function() client:items(ADA, { deadline = seconds }) end)
    end
    assert.equal(0, #tenant:requests())
  end)

  it("raises for options that are none", function()
    local client <close> = helper.client "https://127.0.0.1:1"
    assert.error_matches(function() client:batch({}, { retries = 3 }) end, "unknown option 'retries'")
    assert.error_matches(function() client:batch "x" end, "a list of requests is expected")
  end)
end)

describe("graph.map with batch", function()
  it("lets single calls travel together", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local users = ids(tenant)
    local results, errors = graph.map(users, { batch = true }, function(id) return client:remove_all_devices(id) end)
    assert.equal(90, results.n)
    assert.is_nil(next(errors))
    for i = 1, 90 do assert.is_true(results[i]) end
    local sizes = sent(tenant)
    assert.equal(90, total(sizes))
    assert.is_true(#sizes <= 6, #sizes .. " batches for ninety calls")
    for _, id in ipairs(users) do assert.equal(1, #tenant:requests { user = id }) end
  end)

  it("gives each call its own value or Error, as a direct call would", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local _, direct = client:remove_all_devices "nobody@contoso.com"
    local list = { "nobody@contoso.com", "ada@contoso.com", "grace@contoso.com" }
    local results, errors = graph.map(list, { batch = true }, function(user) return client:remove_all_devices(user) end)
    assert.is_true(results[2])
    assert.equal(direct.kind, errors[1].kind)
    assert.equal(direct.message, errors[1].message)
    assert.equal(direct.path, errors[1].path)
    assert.is_true(graph.Error.is(errors[1]))
  end)

  it("gathers the calls of tasks that are started in it, round by round", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    graph.map(ids(tenant), { batch = true, concurrency = 10 }, function(id)
      local read = graph.spawn(function() return assert(client:get("/users/" .. id)) end)
      assert(client:get("/users/" .. id .. "/managedDevices"))
      return read:join().id == id
    end)
    local sizes = sent(tenant)
    assert.equal(180, total(sizes))
    assert.is_true(#sizes <= 24, #sizes .. " batches for 180 calls, twenty at a time")
  end)

  it("keeps the writes of one user in order", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local list = {}
    for i = 1, 60 do list[i] = { user = i % 3 + 1, n = i } end
    graph.map(list, { batch = true, concurrency = 30 }, function(item)
      return client:request { method = "POST", path = "/users/u" .. item.user .. "/x",
        headers = { ["client-request-id"] = tostring(item.n) } }
    end)
    local last = {}
    for _, entry in ipairs(tenant:requests()) do
      local user = entry.path:match "^/v1.0/users/(u%d)/x$"
      if user then
        local n = tonumber(entry.client_request_id)
        assert.is_true(n > (last[user] or 0), "a write overtook another")
        last[user] = n
      end
    end
    assert.same({ u1 = 60, u2 = 58, u3 = 59 }, last)
  end)

  it("sends a single call as it is, and calls of others not at all in batches", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    graph.map({ 1 }, { batch = true }, function() return client:get(ADA) end)
    graph.map({ 1, 2, 3 }, nil, function() return client:get(ADA) end)
    graph.map({ 1, 2 }, { batch = true }, function()
      return graph.run(function() return client:get(ADA) end)
    end)
    assert.same({ 0, 0, 0, 0, 0, 0 }, sent(tenant))
  end)

  it("does not line up calls that travel alone", function()
    local tenant <close> = start { latency = 3600 }
    local client <close> = connect(tenant)
    local list = {}
    for i = 1, 20 do list[i] = i end
    local function call() return client:get(ADA, { deadline = 60 }) end
    local mapped = graph.spawn(graph.map, list, { batch = true }, call)
    for _ = 1, 300 do
      graph.sleep(0.1)
      if #tenant:requests() == 20 then break end
    end
    assert.equal(20, #sent(tenant)) -- though none was answered
    mapped:cancel()
  end)

  it("goes on while tasks only give way to each other", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local done, turns = 0, 0
    graph.map({ 1, 2, 3 }, { batch = true }, function(i)
      if i == 3 then
        while done < 2 do
          turns = turns + 1
          coroutine.yield()
        end
        return true
      end
      local user = assert(client:get(ADA))
      done = done + 1
      return user
    end)
    assert.equal(2, done)
    assert.same({ 2 }, sent(tenant))
  end)

  it("sends by each client its own", function()
    local tenant <close> = start()
    local one <close> = connect(tenant)
    local other <close> = connect(tenant, { scopes = { "User.Read" } })
    local results = graph.map({ one, other, one, other }, { batch = true }, function(client) return client:get(ADA) end)
    assert.is_table(results[1])
    assert.is_nil(results[2])
    assert.same({ 2, 2 }, sent(tenant))
  end)

  it("works under a host's loop", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local finished = graph.spawn(function()
      return graph.map(ids(tenant), { batch = true }, function(id) return client:get("/users/" .. id) end)
    end)
    local turns = 0
    while not finished:ended() do
      turns = turns + 1
      assert(client:step(0.2))
      assert.is_true(turns < 1000)
    end
    assert.equal(90, finished:join().n)
    assert.equal(90, total(sent(tenant)))
  end)

  it("raises for an option that is none", function()
    assert.error_matches(function() graph.map({}, { batch = 20 }, print) end, "batch must be a boolean, got number")
  end)
end)
