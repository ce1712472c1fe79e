-- spec/fault/throttle_spec.lua - one refusal is every request's: what waits, what goes on, who is first.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local program = require "spec.support.program"
local sim = require "msgraph.sim"

local USERS <const>, DEVICES <const> = "/users", "/users/ada@contoso.com/managedDevices"
local ONE_AT_A_TIME <const> = "/identityProtection/riskyUsers"
local HINT <const> = 1.5

describe("a throttled service", function()
  local tenant, token

  local function connect(auth)
    return assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file, auth = auth or
      graph.auth.token(token) })
  end

  local function start(opts)
    tenant = assert(sim.start(opts))
    token = tenant:token()
    return connect()
  end

  --- Refuses one GET of the users; the gate knows when this returns.
  local function be_refused(client, hint)
    tenant:fault { kind = "status", status = 429, path = "/users$", retry_after = hint or HINT }
    local _, err = client:get(USERS, { retry = false })
    assert.equal(429, err.status)
  end

  local function refusal() return tenant:requests { status = 429 }[1] end

  -- What was asked for after the refusal: entries of the log.
  local function later(path)
    local out = {}
    for _, entry in ipairs(tenant:requests()) do
      if entry.n > refusal().n and entry.path == "/v1.0" .. path then out[#out + 1] = entry end
    end
    return out
  end

  after_each(function()
    if tenant then tenant:stop() end
    tenant = nil
  end)

  it("is asked nothing until its hint has passed, then once, then again by all", function()
    local client <close> = start { latency = 0.2 }
    be_refused(client)
    graph.map({ 1, 2, 3, 4, 5, 6 }, { concurrency = 6 }, function() assert(client:get(USERS)) end)
    local asked = later(USERS)
    assert.equal(6, #asked)
    assert.is_true(asked[1].at - refusal().at >= HINT)
    assert.is_true(asked[2].at - asked[1].at >= 0.2) -- the probe had its answer
  end)

  it("does not hold up another service, nor its own other side", function()
    local client <close> = start()
    be_refused(client)
    graph.run(function()
      local held = graph.spawn(client.get, client, USERS)
      assert(client:get(DEVICES))
      client:patch("/users/ada@contoso.com", { jobTitle = "Countess" }) -- whatever it says
      assert(held:join())
    end)
    local log = tenant:requests()
    assert.same({ "GET", "PATCH", "GET" }, { log[2].method, log[3].method, log[4].method })
    assert.is_true(log[4].at - log[1].at >= HINT)
  end)

  it("holds up every client of the app, and no other app's", function()
    local client <close> = start()
    local same <close> = connect()
    local other <close> = connect(graph.auth.token(tenant:token()))
    be_refused(client)
    graph.run(function()
      local held = graph.spawn(same.get, same, USERS)
      assert(other:get(USERS))
      assert.equal(1, #later(USERS))
      assert(held:join())
    end)
    assert.is_true(later(USERS)[2].at - refusal().at >= HINT)
  end)

  it("holds up the other processes that share a gate through a file", function()
    start():close()
    local shared_gate = helper.tmp() .. "/gate"
    local client <close> = assert(graph.connect {
      endpoint = tenant.endpoint, ca_file = tenant.ca_file, auth = graph.auth.token(token), shared_gate = shared_gate,
    })
    be_refused(client, 600)
    local function ask(gate, as)
      local env = program.env_of(tenant, as or token)
      env.MSGRAPH_SHARED_GATE = gate
      return program.run({ os.getenv "LUA" or "lua5.4", "-e", [[
        local client <close> = assert(require("msgraph").connect())
        local _, err = client:get("/users", { deadline = 5 })
        print(err and err.code)]] }, env).out
    end
    assert.equal("throttled\n", ask(shared_gate))
    assert.equal(0, #later(USERS))
    assert.equal("nil\n", ask(shared_gate, tenant:token())) -- another app, for all we know
    assert.equal("nil\n", ask())
  end)

  local function both(client, one, other)
    local results, errors = graph.map({ one, other }, { batch = true }, function(path) return client:get(path) end)
    assert.is_nil(next(errors))
    return results
  end

  it("holds up its parts of a batch, and lets the others travel", function()
    local client <close> = start()
    be_refused(client)
    local first, second = "/users/grace@contoso.com", "/users/ada@contoso.com"
    local results = graph.map({ first, DEVICES, second, DEVICES }, { batch = true }, function(path)
      return assert(client:get(path)) and tenant:now()
    end)
    assert.is_true(results[2] < results[1] and results[4] < results[3])
    local others = later(DEVICES)
    assert.equal(2, #others)
    assert.is_number(others[1].batch)
    for _, path in ipairs { first, second } do
      assert.is_true(later(path)[1].at - refusal().at >= HINT)
      assert.equal(1, #later(path))
    end
  end)

  it("that refuses a part of a batch is left alone by single calls too", function()
    local client <close> = start()
    tenant:fault { kind = "status", status = 429, path = "grace@contoso.com$", retry_after = HINT }
    graph.run(function()
      local batched = graph.spawn(both, client, "/users/grace@contoso.com", DEVICES)
      while not refusal() do graph.sleep(0.01) end
      graph.sleep(0.1)
      assert(client:get(USERS))
      batched:join()
    end)
    assert.is_true(later(USERS)[1].at - refusal().at >= HINT)
  end)

  it("is not waited for by a part longer than there is time", function()
    local client <close> = start()
    be_refused(client, 600)
    local before = os.time()
    local results, errors = client:batch {
      { method = "GET", path = USERS }, { method = "GET", path = DEVICES },
      { method = "GET", path = USERS, depends_on = 2 },
      { method = "GET", path = DEVICES, depends_on = 1 },
    }
    assert.equal(200, results[2].status)
    for _, i in ipairs { 1, 3 } do
      assert.same({ "throttled", "throttled", "not_sent" }, { errors[i].kind, errors[i].code, errors[i].phase })
      assert.is_true(errors[i].retry_at > before + 500)
    end
    assert.equal("failed_dependency", errors[4].code)
    assert.equal(0, #later(USERS))
    assert.is_true(os.time() - before < 60)
  end)

  it("has four parts at a mailbox at once, whatever travels", function()
    local client <close> = start { limits = true, latency = 0.1 }
    local calls = {}
    for i = 1, 12 do calls[i] = i % 3 == 0 and {} or { deadline = 60 } end -- those with a deadline travel alone
    graph.map(calls, { batch = true }, function(opts) client:get("/users/ada@contoso.com/mailFolders", opts) end)
    assert.equal(0, #tenant:requests { status = 429 })
    assert.equal(12, #tenant:requests { method = "GET" })
  end)

  it("is no concern of a file that others can read", function()
    start():close()
    local path = helper.tmp() .. "/open"
    local settings = {
      endpoint = tenant.endpoint, ca_file = tenant.ca_file, auth = graph.auth.token(token), shared_gate = path,
    }
    assert(graph.connect(settings)):close()
    helper.sh("chmod 644 " .. helper.quote(path) .. "-*")
    local client, err = graph.connect(settings)
    assert.is_nil(client)
    assert.equal("bad_option", err.code)
    assert.matches("shared_gate: .* chmod 600", err.message)
  end)

  it("is not waited for longer than there is time", function()
    local client <close> = start()
    be_refused(client, 600)
    local answer, err = client:get(USERS, { deadline = 60 })
    assert.is_nil(answer)
    assert.same({ "throttled", "throttled", "not_sent" }, { err.kind, err.code, err.phase })
    assert.is_true(err.retry_at > os.time() + 500)
    assert.equal(0, #later(USERS))
  end)

  -- Identity protection is asked once at a time. Who waits meanwhile is served in what order?
  local function order_of(waiting, name)
    local client <close> = start { latency = 0.1 }
    graph.run(function()
      graph.spawn(client.get, client, ONE_AT_A_TIME)
      graph.sleep(0.05)
      for _, opts in ipairs(waiting) do graph.spawn(client.get, client, ONE_AT_A_TIME, opts) end
    end)
    local order = {}
    for i, entry in ipairs(tenant:requests()) do order[i - 1] = entry.headers[name] or "-" end
    order[0] = nil
    return order
  end

  it("serves the urgent first and is told what is urgent", function()
    local waiting = {}
    for i, priority in ipairs { "low", "normal", "high", "low", "high" } do waiting[i] = { priority = priority } end
    assert.same({ "High", "High", "-", "Low", "Low" }, order_of(waiting, "x-ms-throttle-priority"))
  end)

  it("serves whoever has least time first", function()
    local waiting = {}
    for i, deadline in ipairs { 90, 30, 60 } do
      waiting[i] = { deadline = deadline, headers = { ["User-Agent"] = tostring(deadline) } }
    end
    assert.same({ "30", "60", "90" }, order_of(waiting, "user-agent"))
  end)

  it("is not asked by who no longer wants to", function()
    local client <close> = start()
    be_refused(client, 600)
    graph.run(function()
      local task = graph.spawn(client.get, client, USERS, { deadline = 3600 })
      graph.sleep(0.05)
      task:cancel()
    end)
    assert.equal(0, #later(USERS))
  end)

  it("is probed by another when the probe is given up", function()
    local client <close> = start()
    be_refused(client, 0.3)
    tenant:fault { kind = "latency", seconds = 5 }
    graph.run(function()
      local probe = graph.spawn(client.get, client, USERS, { deadline = 60 })
      local waits = graph.spawn(client.get, client, USERS)
      graph.sleep(0.6)
      assert.equal(1, #later(USERS))
      probe:cancel()
      assert(waits:join())
    end)
    assert.equal(2, #later(USERS))
  end)

  it("has four of its requests at a mailbox at once, and the rest wait here", function()
    local client <close> = start { limits = true, latency = 0.1 }
    graph.map({ 1, 2, 3, 4, 5, 6, 7, 8, 9 }, { concurrency = 9 }, function()
      client:get "/users/ada@contoso.com/mailFolders"
    end)
    assert.equal(9, #tenant:requests())
    assert.equal(0, #tenant:requests { status = 429 })
  end)

  it("closes what it names, be it more than was asked", function()
    local client <close> = start { limits = { scale = 0.004 }, users = 600 } -- 32 units in ten seconds
    graph.map({ 1, 2, 3, 4 }, { concurrency = 1 }, function()
      for _ = 1, 4 do client:get(USERS, { retry = false }) end
    end)
    local _, err = client:get(USERS, { retry = false })
    assert.equal("throttled", err.kind) -- ReadWrite: the units are used up
    _, err = client:patch("/users/ada@contoso.com", { jobTitle = "Countess" }, { deadline = 0.01 })
    assert.same({ "throttled", "not_sent" }, { err.code, err.phase })
  end)

  for _, priority in ipairs { "urgent", "", "Low" } do
    it(("is told no priority '%s'"):format(priority), function()
      local client <close> = start()
      assert.has_error(function() client:get(USERS, { priority = priority }) end,
        ("get: priority must be 'low', 'normal' or 'high', got '%s'"):format(priority))
    end)
  end
end)
