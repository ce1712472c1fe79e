local graph = require "msgraph"
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"

describe("ten thousand calls through graph.map", function()
  local COUNT <const> = 10000
  local ROOM <const> = os.getenv "ASAN_OPTIONS" and 96 or 32 -- MiB; the sanitizer keeps what was freed

  local tenant, client

  setup(function()
    tenant = assert(sim.start { users = 50, seed = 1, speed = 0 })
    local token = tenant:token { expires_in = 1e6 }
    client = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
      auth = graph.auth.token(token) })
  end)
  teardown(function()
    client:close()
    tenant:stop()
  end)

  local function call(_, i)
    return client:remove_all_devices(i % 100 == 0 and "nobody@contoso.com" or "ada@contoso.com")
  end

  local function items(n)
    local i = 0
    return function()
      i = i + 1
      if i <= n then return i end
    end
  end

  -- In a function of its own: what its frame held is garbage when it has returned.
  local function ten_thousand()
    local before = helper.resident()
    local results, failures = graph.map(items(COUNT), { concurrency = 64 }, call)
    assert.equal(COUNT, results.n)
    local failed = 0
    for _, err in pairs(failures) do
      failed = failed + 1
      assert.equal("not_found", err.kind)
    end
    assert.equal(COUNT // 100, failed)
    assert.is_true(helper.resident() - before < ROOM * 1024, "resident memory")
  end

  it("leave no descriptor, no memory and no handle behind", function()
    local idle = helper.descriptors()
    graph.map(items(200), { concurrency = 64 }, call) -- what is kept on purpose: connections, caches
    local lua = collectgarbage("count")
    ten_thousand()
    assert.is_true(helper.descriptors() - idle < 2 * 64 + 8, "more than one connection each, of two ends")
    assert.is_true(collectgarbage("count") - lua < 128, "Lua memory")
    client:close()
    -- the tenant runs in this process: its ends of the connections close in its own time
    local left = helper.descriptors()
    for _ = 1, 100 do
      if left < idle then break end
      graph.sleep(0.02)
      left = helper.descriptors()
    end
    assert.is_true(left < idle, ("%d descriptors, %d before"):format(left, idle))
  end)
end)

describe("tasks over a tenant", function()
  it("share one loop, whichever client they use", function()
    local tenant <close> = assert(sim.start { users = 50, seed = 1, speed = 0, latency = 0.05 })
    local function connect()
      return assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
        auth = graph.auth.token(tenant:token()) })
    end
    local a <close>, b = connect(), connect()
    local names = graph.run(function()
      local one = graph.spawn(function() return a:get("/users/ada@contoso.com").displayName end)
      local two = graph.spawn(function() return b:get("/users/ada@contoso.com").displayName end)
      return { one:join(), (two:join()) }
    end)
    b:close()
    assert.equal(names[1], names[2])
  end)

  it("read all pages by their nextLinks", function()
    local tenant <close> = assert(sim.start { users = 50, seed = 1, speed = 0 })
    local client <close> = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    local seen, path = 0, "/users?$top=7"
    while path do
      local page = assert(client:get(path))
      seen, path = seen + #page.value, page["@odata.nextLink"]
    end
    assert.equal(#tenant:users(), seen)
  end)

  it("are cancelled with their request", function()
    local tenant <close> = assert(sim.start { users = 50, seed = 1, speed = 0 })
    local client <close> = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    tenant:fault { kind = "stall", method = "GET", bytes = 1 }
    graph.run(function()
      local stuck = graph.spawn(function() return client:get("/users") end)
      graph.sleep(0.1)
      assert.is_true(stuck:cancel())
      local ok, err = pcall(stuck.join, stuck)
      assert.is_false(ok)
      assert.equal("cancelled", err.kind)
      assert.is_table(client:get("/users"))
    end)
  end)

  -- In a callback of a C function a task can not yield: the call waits there, and nobody's answer is mixed up.
  it("wait where they can not yield, and get their own answers", function()
    local tenant <close> = assert(sim.start { users = 50, seed = 1, speed = 0 })
    local client <close> = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    graph.run(function()
      local name
      local text = ("ada"):gsub("ada", function(who)
        name = assert(client:get("/users/" .. who .. "%40contoso.com")).displayName
        return name
      end)
      assert.equal("Ada Lovelace", name)
      assert.equal(name, text)
      local ok, err = client:remove_all_devices("nobody@contoso.com")
      assert.is_nil(ok)
      assert.equal("not_found", err.kind)
    end)
  end)

  it("may ask once more while they end, in a __close", function()
    local tenant <close> = assert(sim.start { users = 50, seed = 1, speed = 0 })
    local client <close> = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    local last
    local ok, problem = pcall(graph.run, function()
      local _ <close> = setmetatable({}, { __close = function() last = client:get("/users/ada%40contoso.com") end })
      error("on purpose", 0)
    end)
    assert.is_false(ok)
    assert.matches("on purpose", problem)
    assert.equal("Ada Lovelace", last.displayName)
  end)

  it("send nothing more once they are cancelled", function()
    local tenant <close> = assert(sim.start { users = 50, seed = 1, speed = 0 })
    local client <close> = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    graph.run(function()
      local task
      task = graph.spawn(function()
        coroutine.wrap(function() task:cancel() end)() -- from further up its own stack
        pcall(client.remove_all_devices, client, "ada@contoso.com")
        client:remove_all_devices("ada@contoso.com")
      end)
      assert.is_false(pcall(task.join, task))
    end)
    assert.equal(0, #tenant:requests { method = "POST" })
  end)
end)
