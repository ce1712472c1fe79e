-- spec/fault/batch_spec.lua
local graph = require "msgraph"
local helper = require "spec.support.helper"
local loop = require "msgraph.loop"
local sim = require "msgraph.sim"

local ADA, GRACE = "/users/ada@contoso.com", "/users/grace@contoso.com"
local ACTION = "/removeAllDevicesFromManagement"
local YEAR = 365 * 24 * 3600

local function start(opts)
  local all = { users = 90, seed = 1, speed = 0 }
  for name, value in pairs(opts or {}) do all[name] = value end
  return assert(sim.start(all))
end

local function connect(tenant, scopes)
  return assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
    auth = graph.auth.token(tenant:token { expires_in = YEAR, scopes = scopes }) })
end

local function post(user) return { method = "POST", path = user .. ACTION } end
local function get(user) return { method = "GET", path = user } end

-- How often the action was applied to each user, by the tenant's own account.
local function applied(tenant)
  local count = {}
  for _, entry in ipairs(tenant:requests { method = "POST" }) do
    if entry.actions[1] then count[entry.user] = (count[entry.user] or 0) + 1 end
  end
  return count
end

local function check_never_twice(tenant)
  for user, times in pairs(applied(tenant)) do assert.equal(1, times, "applied twice to " .. user) end
end

describe("a batch that is reset after it was acted on", function()
  it("was done by the first attempt where the second finds it done", function()
    local tenant <close> = start()
    local client <close> = connect(tenant, { "DeviceManagementManagedDevices.ReadWrite.All" })
    local list = {}
    for i = 1, 3 do
      list[i] = { method = "DELETE", path = "/deviceManagement/managedDevices/" .. tenant:devices()[i].id }
    end
    tenant:fault { kind = "reset_after", path = "%$batch$" }
    local results, errors = client:batch(list)
    assert.is_nil(next(errors))
    for i = 1, 3 do
      assert.equal(204, results[i].status)
      assert.same({ "reset", 404 }, { results[i].attempts[1].code, results[i].attempts[2].status })
      assert.is_true(results[i].waited > 0)
    end
    assert.are_not.equal(results[1].attempts, results[2].attempts)
  end)

  it("gives a list no link to go on from: the page is asked for once more", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "reset_after", path = "%$batch$" }
    local counts = graph.map({ 1, 2 }, { batch = true }, function()
      local n = 0
      for _ in client:items("/users", { select = "id", top = 50, prefetch = false }) do n = n + 1 end
      return n
    end)
    assert.same({ 90, 90, n = 2 }, counts)
    assert.equal(8, #tenant:requests { method = "GET" }) -- each has two pages, the first of them three times
  end)

  it("leaves actions ambiguous and reads again what may be read again", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "reset_after", path = "%$batch$" }
    local results, errors = client:batch { post(ADA), get(ADA), post(GRACE), get(GRACE) }
    for _, i in ipairs { 1, 3 } do
      assert.is_nil(results[i])
      assert.equal("ambiguous", errors[i].kind)
      assert.equal("sent", errors[i].phase)
      assert.matches("/managedDevices%) before repeating", errors[i].hint)
    end
    for _, i in ipairs { 2, 4 } do
      assert.equal(200, results[i].status)
      assert.equal(2, #results[i].attempts)
      assert.equal("reset", results[i].attempts[1].code)
    end
    check_never_twice(tenant)
  end)

  it("is ambiguous for every call of a map, and applied once", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "reset_after", path = "%$batch$", times = 2, after = 1 }
    local users, kinds = {}, {}
    for i, user in ipairs(tenant:users()) do users[i] = user.id end
    local results, errors = graph.map(users, { batch = true }, function(id) return client:remove_all_devices(id) end)
    for i = 1, results.n do
      local kind = results[i] and "done" or errors[i].kind
      kinds[kind] = (kinds[kind] or 0) + 1
    end
    assert.equal(results.n, (kinds.done or 0) + (kinds.ambiguous or 0))
    assert.is_true(kinds.ambiguous >= 20 and kinds.done >= 20)
    check_never_twice(tenant)
  end)
end)

describe("a batch that never arrived", function()
  it("is the network's fault for every part", function()
    local client <close> = helper.client("https://127.0.0.1:" .. helper.closed_port())
    local _, errors = client:batch { post(ADA), get(ADA) }
    for i = 1, 2 do
      assert.equal("network", errors[i].kind)
      assert.equal("connect", errors[i].code)
      assert.equal("not_sent", errors[i].phase)
    end
    assert.equal("/v1.0" .. ADA .. ACTION, errors[1].path)
  end)

  it("is closed with the client", function()
    local tenant <close> = start()
    local client = connect(tenant)
    client:close()
    local _, errors = client:batch { post(ADA), get(ADA) }
    assert.equal("closed", errors[1].code)
    assert.equal("closed", errors[2].code)
  end)
end)

describe("a part without an answer", function()
  it("is ambiguous when it may not be repeated, and never is", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "reset_after", path = "ada.*" .. ACTION }
    local results, errors = client:batch { post(ADA), post(GRACE), get(ADA) }
    assert.equal("ambiguous", errors[1].kind)
    assert.equal("no_answer", errors[1].code)
    assert.is_string(errors[1].client_request_id)
    assert.equal(204, results[2].status)
    assert.equal(200, results[3].status)
    check_never_twice(tenant)
  end)

  it("is asked again when it may be, a few times", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "reset_before", path = "ada@contoso.com$", times = math.huge }
    tenant:fault { kind = "reset_before", path = "grace@contoso.com$" }
    local results, errors = client:batch { get(ADA), get(GRACE), get "/users?$top=1" }
    assert.equal(200, results[2].status)
    assert.equal(200, results[3].status)
    assert.is_true(#errors[1].attempts > 1)
  end)

  it("takes those along that depend on it", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "reset_after", path = ACTION }
    local first, second = post(ADA), get(GRACE)
    second.depends_on = 1
    local _, errors = client:batch { first, second }
    assert.equal("ambiguous", errors[1].kind)
    assert.equal("failed_dependency", errors[2].code)
  end)
end)

describe("a part that failed", function()
  it("holds up its train no longer than it lasts: riders go again with it", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 429, retry_after = "0.2", path = "ada@contoso.com$" }
    local a, b, c = get(ADA), post(ADA), get(GRACE)
    b.depends_on, c.depends_on = 1, 2
    local results, errors = client:batch { a, b, c }
    assert.is_nil(next(errors))
    assert.equal(204, results[2].status)
    assert.equal(1, #tenant:requests { path = "/v1.0" .. ADA .. ACTION })
    check_never_twice(tenant)
  end)

  it("does not keep the next write to the same user from going", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 400, path = ACTION }
    local results, errors = client:batch { post(ADA), post(ADA), post(GRACE) }
    assert.equal("invalid", errors[1].kind)
    assert.equal(204, results[2].status)
    assert.equal(204, results[3].status)
    check_never_twice(tenant)
  end)

  it("with 503 is repeated with a hint, without one only if it may be", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 503, retry_after = "0.1", path = "ada.*" .. ACTION }
    tenant:fault { kind = "status", status = 503, path = "grace.*" .. ACTION }
    tenant:fault { kind = "status", status = 503, path = "grace@contoso.com$" }
    local results, errors = client:batch { post(ADA), post(GRACE), get(GRACE) }
    assert.equal(204, results[1].status)
    assert.equal("ambiguous", errors[2].kind)
    assert.equal(503, errors[2].status)
    assert.equal(200, results[3].status)
  end)

  it("is done when a second attempt finds what the first one did", function()
    local tenant <close> = start()
    local client <close> = connect(tenant, { "DeviceManagementManagedDevices.ReadWrite.All", "User.Read.All" })
    local device = "/deviceManagement/managedDevices/" .. tenant:devices()[1].id
    tenant:fault { kind = "reset_after", path = "managedDevices/" }
    local results, errors = client:batch { { method = "DELETE", path = device }, get(ADA) }
    assert.is_nil(next(errors))
    assert.equal(204, results[1].status)
    assert.same({ "sent", "answered" }, { results[1].attempts[1].phase, results[1].attempts[2].phase })
    assert.is_true(results[1].waited > 0)
  end)

  it("is not sent again where the author says so", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 429, retry_after = "0.1", path = "ada@contoso.com$", times = 2 }
    tenant:fault { kind = "status", status = 503, path = "grace@contoso.com$", times = 2 }
    local _, errors = client:batch({ get(ADA), get(GRACE) }, { retry = false })
    assert.equal("throttled", errors[1].kind)
    assert.equal("server", errors[2].kind)
    assert.equal(2, #tenant:requests { method = "GET" })
    local _, single = graph.map({ ADA, GRACE }, { batch = true }, function(user)
      return client:get(user, { retry = false })
    end)
    assert.equal("throttled", single[1].kind)
    assert.equal("server", single[2].kind)
    assert.equal(4, #tenant:requests { method = "GET" })
  end)
end)

describe("a part whose token is refused", function()
  local PARTS = helper.json_answer("200 OK", [[{"responses":[{"id":"2","status":200,"body":{"id":"grace"}},
    {"id":"1","status":401,"headers":{"WWW-Authenticate":"Bearer error=\"invalid_token\""},
    "body":{"error":{"code":"x"}}}]}]])
  local CHALLENGE = helper.json_answer("401 Unauthorized", "{}",
    { ["WWW-Authenticate"] = 'Bearer error="invalid_token"' })

  it("goes once more, as a call of its own, with a new token", function()
    local server <close> = helper.server { { bytes = PARTS }, { bytes = CHALLENGE },
      { bytes = helper.answer("204 No Content") } }
    local tokens = 0
    local client <close> = helper.client(server.endpoint, { auth = graph.auth.callback(function()
      tokens = tokens + 1
      return "token-" .. tokens
    end) })
    local results, errors = client:batch { post(ADA), get(GRACE) }
    assert.is_nil(next(errors))
    assert.equal(204, results[1].status)
    assert.equal(401, results[1].attempts[1].status)
    assert.equal("grace", results[2].body.id)
    local sent = server:requests()
    assert.equal(3, #sent)
    assert.matches("^POST /v1.0/users/ada@contoso.com", sent[3])
    assert.matches("token%-2", sent[3])
  end)

  it("is an Error when that one is refused as well", function()
    local server <close> = helper.server { { bytes = PARTS }, { bytes = CHALLENGE } }
    local client <close> = helper.client(server.endpoint)
    local _, errors = client:batch { post(ADA), get(GRACE) }
    assert.equal("auth", errors[1].kind)
    assert.is_nil(errors[2])
    assert.equal(2, #server:requests())
  end)
end)

describe("a token's function that uses the very client", function()
  it("is told so in a map with batch as well", function()
    local tenant <close> = start()
    local client
    client = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
      auth = graph.auth.callback(function() return nil, tostring(select(2, client:get(ADA))) end) })
    local _, errors = graph.map({ ADA, GRACE }, { batch = true }, function(user) return client:get(user) end)
    assert.matches("used the very client", errors[1].message)
    assert.matches("used the very client", errors[2].message)
    client:close()
  end)
end)

describe("a batch whose answer is too large", function()
  it("is divided, since each part may be as large; what may not be repeated is ambiguous", function()
    local tenant <close> = start()
    local whole <close> = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file, max_body = 3000,
      auth = graph.auth.token(tenant:token { expires_in = YEAR }) })
    local results, errors = whole:batch { get "/users?$top=3", get "/users?$top=4", post(ADA), get "/users?$top=90" }
    assert.equal(3, #results[1].body.value)
    assert.equal(4, #results[2].body.value)
    assert.equal("ambiguous", errors[3].kind)
    assert.equal("body_too_large", errors[3].code)
    assert.equal("protocol", errors[4].kind)
    assert.equal("body_too_large", errors[4].code)
    check_never_twice(tenant)
  end)
end)

describe("a batch that is throttled as a whole", function()
  it("is not sent again part by part after the core has given up", function()
    local sent = 0
    local real <close> = helper.client "https://127.0.0.1:1"
    local client = { endpoint = real.endpoint, origin = real.origin }
    function client.deliver()
      sent = sent + 1
      return { status = 429, headers = "Retry-After: 0\r\n", body = "", retry_after = 0 }
    end
    local results, errors = require("msgraph.batch").batch(client, { post(ADA), get(GRACE) }, { deadline = 1 })
    assert.is_nil(next(results, "n"))
    assert.equal("throttled", errors[2].kind)
    assert.equal(1, sent)
  end)
end)

describe("an answer that is none", function()
  it("leaves actions ambiguous", function()
    local server <close> = helper.server { { bytes = helper.json_answer("200 OK", '{"value":[]}'), after = "keep" } }
    local client <close> = helper.client(server.endpoint)
    local _, errors = client:batch { post(ADA), post(GRACE) }
    assert.equal("ambiguous", errors[1].kind)
    assert.equal("ambiguous", errors[2].kind)
    assert.equal(1, #server:requests())
  end)

  it("with parts of nobody's, twice or broken does not confuse", function()
    local server <close> = helper.server { { after = "keep", bytes = helper.json_answer("200 OK", [[{"responses":[
      {"id":"7","status":204},{"id":"2","status":204},{"id":"2","status":500},{"id":null,"status":204},
      {"id":"1","status":"204"},"x"]}]]) } }
    local client <close> = helper.client(server.endpoint)
    local results, errors = client:batch { post(ADA), post(GRACE) }
    assert.equal("ambiguous", errors[1].kind)
    assert.equal(204, results[2].status)
  end)

  it("of status 424 is read all the same", function()
    local server <close> = helper.server { { after = "keep", bytes = helper.json_answer("424 Failed Dependency",
      '{"responses":[{"id":"1","status":204},{"id":"2","status":404,"body":{"error":{"code":"Gone"}}}]}') } }
    local client <close> = helper.client(server.endpoint)
    local results, errors = client:batch { post(ADA), post(GRACE) }
    assert.equal(204, results[1].status)
    assert.equal("Gone", errors[2].code)
  end)

  it("never shows the token", function()
    local body = ('{"responses":[{"id":"1","status":400,"body":{"error":{"code":"x","message":"%s"}}},'
      .. '{"id":"2","status":204}]}'):format(helper.TOKEN)
    local server <close> = helper.server { { after = "keep", bytes = helper.json_answer("200 OK", body) } }
    local client <close> = helper.client(server.endpoint)
    local _, errors = client:batch { post(ADA), post(GRACE) }
    assert.is_true(helper.silent(errors[1]))
    assert.is_true(helper.silent(tostring(errors[1])))
  end)
end)

describe("a cancelled task in a map with batch", function()
  local function collected()
    collectgarbage()
    collectgarbage()
    return collectgarbage "count"
  end

  it("sends nothing when it was not sent yet, and the others go on", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local results = graph.map({ 1, 2, 3 }, { batch = true }, function(i)
      if i ~= 2 then return client:get(ADA) end
      local task = graph.spawn(function() return client:remove_all_devices "ada@contoso.com" end)
      graph.spawn(function() task:cancel() end) -- runs before the calls of this moment leave
      local ok, err = pcall(task.join, task)
      return not ok and err
    end)
    assert.equal("cancelled", results[2].kind)
    assert.is_nil(results[2].hint:find("may have been acted on", 1, true))
    assert.equal(0, #tenant:requests { path = "/v1.0" .. ADA .. ACTION })
    assert.equal("Ada Lovelace", results[3].displayName)
  end)

  it("sends nothing when its batch is made up and has not set off", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local users = tenant:users()
    graph.map({ 1 }, { batch = true }, function()
      local function all(count, call)
        local tasks = {}
        for i = 1, count do tasks[i] = graph.spawn(call, users[i].id) end
        return tasks
      end
      for _, task in ipairs(all(60, function(id) return client:get("/users/" .. id) end)) do task:join() end
      local tasks = all(45, function(id) return client:remove_all_devices(id) end)
      graph.spawn(function() -- goes on after the engine has made up its batches, before they leave
        loop.rest()
        tasks[1]:cancel()
      end)
      for i = 2, 45 do assert.is_true((tasks[i]:join())) end
      return true
    end)
    assert.equal(0, #tenant:requests { method = "POST", user = users[1].id })
    assert.equal(1, #tenant:requests { method = "POST", user = users[2].id })
  end)

  it("does not hold up the map that waits for others", function()
    local tenant <close> = start { latency = 0.3 }
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 429, retry_after = "60", path = ACTION }
    local before = os.time()
    graph.map({ 1, 2 }, { batch = true }, function(i)
      if i == 1 then return client:get(ADA) end
      local task = graph.spawn(function() return client:remove_all_devices "ada@contoso.com" end)
      graph.sleep(1)
      local slow = graph.spawn(function() return client:get(GRACE) end)
      graph.sleep(0)
      task:cancel()
      return slow:join()
    end)
    assert.is_true(os.time() - before < 30)
  end)

  it("returns at once while it waits on a retry, and the map with it", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 429, retry_after = "60", path = ACTION, times = math.huge }
    local before = os.time()
    graph.map({ 1, 2 }, { batch = true }, function(i)
      local user = i == 1 and "ada@contoso.com" or "grace@contoso.com"
      local task = graph.spawn(function() return client:remove_all_devices(user) end)
      graph.sleep(0.3)
      task:cancel()
      return true
    end)
    assert.is_true(os.time() - before < 30)
    assert.equal(2, #tenant:requests { status = 429 })
  end)

  it("ends the batch when nobody waits for it any more", function()
    local tenant <close> = start { latency = 600 }
    local client <close> = connect(tenant)
    local before = os.time()
    graph.map({ 1, 2 }, { batch = true }, function()
      local task = graph.spawn(function() return client:remove_all_devices "ada@contoso.com" end)
      graph.sleep(0.3)
      task:cancel()
      local _, err = pcall(task.join, task)
      assert.matches("may have been acted on", err.hint)
      return true
    end)
    assert.is_true(os.time() - before < 60)
    assert.equal(0, #tenant:requests { method = "POST", batch = 2 })
  end)

  it("leaves nothing behind: two thousand tasks, half of them cancelled at random points", function()
    local tenant <close> = start()
    local client <close> = connect(tenant)
    local descriptors, memory
    local seed = 1
    local function random(n)
      seed = seed * 1103515245 + 12345 & 0x7fffffff
      return seed // 65536 % n
    end
    local function round()
      graph.map({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, { batch = true }, function()
        local tasks = {}
        for i = 1, 10 do tasks[i] = graph.spawn(function() return client:get(i % 2 == 0 and ADA or GRACE) end) end
        for _ = 1, random(6) do graph.sleep(0) end
        for _, task in ipairs(tasks) do
          if random(2) == 0 then task:cancel() else task:join() end
        end
        return true
      end)
    end
    for i = 1, 20 do
      round()
      if i == 10 then descriptors, memory = helper.descriptors(), collected() end
    end
    for _ = 1, 200 do -- the tenant closes its ends in its own time
      if math.abs(helper.descriptors() - descriptors) <= 1 then break end
      graph.sleep(0.05)
    end
    assert.is_true(math.abs(helper.descriptors() - descriptors) <= 1)
    assert.is_true(collected() - memory < 100, collected() - memory .. " KiB more")
    assert.is_table(client:get(ADA))
  end)

  it("ends with the map that an error ends", function()
    local tenant <close> = start { latency = 1 }
    local client <close> = connect(tenant)
    local outer = graph.spawn(function()
      graph.map({ 1, 2, 3 }, { batch = true }, function() return client:get(ADA) end)
    end)
    graph.sleep(0.2)
    assert.is_true(outer:cancel())
    assert.error(function() outer:join() end)
    assert.is_table(client:get(GRACE))
  end)
end)
