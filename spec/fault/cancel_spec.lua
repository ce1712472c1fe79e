--- A thousand tasks cancelled wherever they are, drawn from a seed: nothing of them stays.
local core = require "msgraph.core"
local engines = require "msgraph.batch.engine"
local graph = require "msgraph"
local helper = require "spec.support.helper"
local loop = require "msgraph.loop"
local program = require "spec.support.program"
local random = require "msgraph.sim.random"
local sim = require "msgraph.sim"

-- What the loop holds: requests and timers that are waited for, tasks to resume or to begin.
local function held()
  local found = {}
  local function look(fn)
    for i = 1, math.huge do
      local name, value = debug.getupvalue(fn, i)
      if not name then return end
      if type(value) == "function" and debug.getinfo(value, "S").source:find "loop%.lua$" and not found[value] then
        found[value] = true
        look(value)
      elseif name == "waiting" or name == "timers" or name == "ready" or name == "fresh" then
        found[name] = value
      elseif name == "asked" then
        found.asked = value
      end
    end
  end
  for _, fn in pairs(loop) do look(fn) end
  local function size(list) -- a task that has ended may stand in a queue until the next turn passes over it
    local n = 0
    for _, one in pairs(list) do n = n + (one and not one.done and 1 or 0) end
    return n
  end
  local alive = 0
  for _, timer in ipairs(found.timers) do alive = alive + (timer.waiter and 1 or 0) end
  return { waiting = size(found.waiting), asked = found.asked, timers = alive, ready = size(found.ready),
    fresh = size(found.fresh) }
end

local NOTHING = { waiting = 0, asked = 0, timers = 0, ready = 0, fresh = 0 }

local open_variables = 0

local function variable()
  open_variables = open_variables + 1
  return setmetatable({}, { __close = function() open_variables = open_variables - 1 end })
end

-- What a task does: all that can be waited for.
local WORK = {
  function(client, user)
    client:get("/users/" .. user.id)
    client:remove_all_devices(user.id)
  end,
  function(client)
    local n = 0
    for _ in client:items("/users", { top = 40, select = { "id" } }) do
      local _ <close> = variable()
      n = n + 1
      if n == 150 then break end
    end
  end,
  function(client)
    local opts = { dedupe = "last", select = { "id" }, headers = { Prefer = "odata.maxpagesize=300" } }
    local users <close> = client:delta("/users/delta", opts)
    for _ = 1, 3 do
      local _ <close> = variable()
      users()
      graph.sleep(0.001)
    end
  end,
  function(client, user)
    client:batch { { method = "GET", path = "/users/" .. user.id }, { method = "GET", path = "/users/nobody" },
      { id = "last", method = "GET", path = "/users/" .. user.id .. "/managedDevices", depends_on = 1 } }
  end,
  function(client, user)
    graph.sleep(0.01)
    graph.map({ 1, 2, 3 }, { batch = true }, function() return client:get("/users/" .. user.id) end)
    graph.sleep(0.01)
  end,
}

local function work(client, user, i)
  local _ <close> = variable()
  pcall(WORK[i % #WORK + 1], client, user) -- pages raise; a cancelled task ends through a pcall as well
end

-- Starts a task for each user and cancels one after the other, at moments of the seed's choice.
local function round(client, users, seed)
  local stream, ended = random.stream(seed, 1, 1), { done = 0, cancelled = 0 }
  graph.run(function()
    local tasks = {}
    for i, user in ipairs(users) do tasks[i] = graph.spawn(work, client, user, i) end
    while #tasks > 0 do
      local at = stream:int(1, #tasks)
      local how = tasks[at]:cancel() and "cancelled" or "done"
      ended[how] = ended[how] + 1
      tasks[at] = tasks[#tasks]
      tasks[#tasks] = nil
      if stream:chance(0.2) then graph.sleep(stream:int(0, 5) / 1000) end
    end
  end)
  return ended
end

describe("a thousand tasks, cancelled at random points", function()
  it("take their memory with them", function()
    -- not in this process
    local tenant <close> = program.start { helper.ROOT .. "bin/msgraph", "sim", "--users", "1000" }
    program.await(function() return tenant:output():find "TOKEN=[^\n]+\n" end)
    local function exported(name) return tenant:output():match(name .. "='([^']*)'") end
    local client <close> = helper.client(exported "ENDPOINT", { ca_file = exported "CA_FILE",
      auth = graph.auth.token(exported "ACCESS_TOKEN") })
    local users = client:list("/users", { top = 999, select = { "id" } })
    -- the allocator settles within some rounds; what leaks does so in each
    local grown = {}
    for seed = 1, 8 do
      local lua, whole = collectgarbage "count", helper.resident()
      round(client, users, seed)
      collectgarbage()
      collectgarbage()
      if seed > 2 then grown[#grown + 1] = math.max(collectgarbage "count" - lua, helper.resident() - whole) end
      if grown[#grown] and grown[#grown] < 512 then break end
    end
    assert.is_true(grown[#grown] < 512, "KiB more after each round: " .. table.concat(grown, ", "))
    assert.same(NOTHING, held())
  end)

  for _, seed in ipairs { 1, 2 } do
    it("leave nothing behind: seed " .. seed, function()
      local tenant <close> = assert(sim.start { users = 1000, seed = seed, latency = 0.005,
        chaos = { rate = 0.2, seed = seed } })
      local users, before = tenant:users(), nil -- luacheck: ignore
      do
        local client <close> = helper.client(tenant.endpoint, { ca_file = tenant.ca_file,
          auth = graph.auth.token(tenant:token()) })
        before = helper.descriptors()
        local ended = round(client, users, seed)
        assert.equal(1000, ended.done + ended.cancelled)
        assert.is_true(ended.done > 0 and ended.cancelled > 200, ended.done .. " done")
        assert.equal(0, open_variables)
        assert.same(NOTHING, held())
        tenant:clear_faults()
        assert.is_table(assert(client:get "/users?$top=1")) -- it goes on working
        assert.same(NOTHING, held())
      end
      program.await(function() return helper.descriptors() <= before end) -- the tenant closes its ends as well

      local acted, last = {}, 0
      local refused = { status = true, reset_before = true }
      for _, entry in ipairs(tenant:requests()) do
        assert.is_true(entry.n > last)
        last = entry.n
        if entry.path:find "removeAll" and not refused[entry.fault] then
          assert.is_nil(acted[entry.path], "acted on twice: " .. entry.path)
          acted[entry.path] = true
        end
      end
      assert.is_true(next(acted) ~= nil)
    end)
  end
end)

describe("tasks that wait for a retry", function()
  it("end at once when they are cancelled, all of them", function()
    local tenant <close> = assert(sim.start { users = 3 })
    tenant:fault { kind = "status", status = 429, retry_after = 60, times = math.huge }
    local client <close> = helper.client(tenant.endpoint, { ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    local before, asked = core.now(), nil
    graph.run(function()
      local tasks = {}
      for i = 1, 100 do tasks[i] = graph.spawn(function() return client:get "/users" end) end
      while held().waiting == 0 or #tenant:requests() == 0 do graph.sleep(0.01) end
      graph.sleep(0.2)
      asked = #tenant:requests()
      for _, task in ipairs(tasks) do
        assert.is_true(task:cancel())
        local ok, err = pcall(task.join, task)
        assert.is_false(ok)
        assert.equal("cancelled", err.kind)
      end
    end)
    assert.is_true(core.now() - before < 30)
    assert.same(NOTHING, held())
    graph.sleep(0.1)
    assert.equal(asked, #tenant:requests())
  end)
end)

describe("batches that are cancelled before they have set off", function()
  it("leave nobody at the throttle gate", function()
    local tenant <close> = assert(sim.start { users = 1 })
    local client <close> = helper.client(tenant.endpoint, { ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    local MAIL <const> = "/v1.0/users/ada/messages" -- four at once

    -- As a map that has had good answers: two batches go at once.
    local function send_two()
      local engine = engines.new(client, loop.enclosing().scope)
      engine.limit = 2
      for _ = 1, 4 do engine:add { method = "GET", target = MAIL } end
      for _ = 1, 20 do engine:add { method = "GET", target = "/v1.0/users/ada" } end
      engine:pump()
    end

    collectgarbage "stop" -- which would find them, some time
    for turns = 0, 4 do
      graph.run(function()
        local sender = graph.spawn(graph.run, send_two)
        graph.spawn(function()
          for _ = 1, turns do coroutine.yield() end
          assert.is_true(sender:cancel())
        end)
      end)
    end
    local parts, admitted = client.origin:parts(), 0
    for _ = 1, 4 do admitted = admitted + (parts:admit(core.load("GET", MAIL)) and 1 or 0) end
    collectgarbage "restart"
    assert.equal(4, admitted)
  end)
end)
