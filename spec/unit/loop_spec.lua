local fake = require "spec.support.fake_core"

describe("the loop", function()
  local core, loop, task
  local owner = {}

  before_each(function()
    core, loop, task = fake.new()
    assert(loop.open(owner))
  end)

  local function request(fields)
    return loop.exchange({}, fields, owner)
  end

  it("waits outside of tasks, and yields inside", function()
    assert.equal("outside", request { after = 5, answer = "outside" })
    assert.equal(5, core.clock)
    assert.equal("inside", task.run(function() return request { after = 5, answer = "inside" } end))
    assert.equal(10, core.clock)
  end)

  it("hands on a failure", function()
    local response, failure = request { failure = { code = "reset" } }
    assert.is_nil(response)
    assert.equal("reset", failure.code)
  end)

  it("lets tasks go on while somebody outside waits", function()
    local steps = {}
    task.spawn(function()
      for i = 1, 3 do
        request { after = 1 }
        steps[#steps + 1] = i
      end
    end)
    request { after = 10 }
    assert.same({ 1, 2, 3 }, steps)
    assert.equal(10, core.clock)
  end)

  it("lets a task rest until no other can go on", function()
    local order = {}
    task.run(function()
      for name, waits in pairs { slow = 2, quick = 0 } do
        task.spawn(function()
          if waits > 0 then request { after = waits } end
          coroutine.yield()
          order[#order + 1] = name
        end)
      end
      loop.rest()
      order[#order + 1] = "rested"
      loop.rest()
      order[#order + 1] = "rested again"
    end)
    assert.same({ "quick", "rested", "rested again", "slow" }, order)
    assert.equal(2, core.clock)
  end)

  it("lets nobody rest for ever while others only give way", function()
    local rested = false
    task.run(function()
      task.spawn(function()
        while not rested do coroutine.yield() end
      end)
      loop.rest()
      rested = true
    end)
    assert.is_true(rested)
  end)

  it("wakes a host for a task that rests", function()
    local rested = task.spawn(function() loop.rest() end)
    loop.step(0)
    assert.equal(0, loop.timeout())
    loop.step(0)
    loop.step(0)
    assert.is_true(rested:ended())
  end)

  it("waits in a foreign coroutine of a task without resuming other tasks inside it", function()
    local order = {}
    task.run(function()
      task.spawn(function()
        request { after = 1 }
        order[#order + 1] = "other"
      end)
      local generator = coroutine.wrap(function()
        for i = 1, 2 do coroutine.yield(request { after = 3, answer = i }) end
      end)
      order[#order + 1] = generator()
      order[#order + 1] = generator()
    end)
    assert.same({ 1, 2, "other" }, order)
  end)

  it("takes a hundred tasks that wait in foreign coroutines", function()
    local numbers = {}
    for i = 1, 100 do numbers[i] = i end
    local results = task.map(numbers, { concurrency = 100 }, function(i)
      return coroutine.wrap(function() return request { after = 1, answer = i } end)()
    end)
    assert.equal(100, results[100])
  end)

  it("sleeps in order, with requests in between", function()
    local order = {}
    task.run(function()
      for _, seconds in ipairs { 3, 1, 2, 5, 4 } do
        task.spawn(function()
          task.sleep(seconds)
          order[#order + 1] = seconds
        end)
      end
      request { after = 2.5 }
      order[#order + 1] = "request"
    end)
    assert.same({ 1, 2, "request", 3, 4, 5 }, order)
    assert.equal(5, core.clock)
  end)

  it("keeps a heap of many timers in order", function()
    local seen, state = {}, 7
    task.run(function()
      for _ = 1, 500 do
        state = (state * 1103515245 + 12345) % 2147483648
        local seconds = state % 1000
        task.spawn(function()
          task.sleep(seconds)
          seen[#seen + 1] = seconds
        end)
      end
    end)
    assert.equal(500, #seen)
    for i = 2, #seen do assert.is_true(seen[i - 1] <= seen[i]) end
  end)

  it("sleeps outside of tasks without a client", function()
    loop.close(owner)
    assert.equal(0, core.open)
    task.sleep(7)
    assert.equal(7, core.clock)
    assert.equal(0, core.open)
  end)

  it("is not held open by the timer of a task that was cancelled", function()
    task.run(function()
      local sleeper = task.spawn(task.sleep, 1000)
      task.sleep(1)
      sleeper:cancel()
    end)
    assert.is_nil(loop.timeout())
    loop.close(owner)
    assert.equal(0, core.open)
    assert.equal(1, core.clock)
  end)

  it("is not held open by tasks that were cancelled in its queues", function()
    local woken = task.spawn(task.sleep, 1)
    loop.step(0) -- it sleeps
    core.clock = 1
    local canceller = task.spawn(function() woken:cancel() end) -- begins once `woken` stands in the queue
    core.on_step = function() core.clock = 2 end
    loop.step(0)
    core.on_step = nil
    canceller:cancel()
    task.spawn(task.sleep, 1000):cancel() -- before it began
    loop.close(owner)
    assert.equal(0, core.open)
  end)

  it("cancels a request whose waiter was interrupted, and goes on", function()
    core.on_step = function() error("interrupted") end
    assert.has_error(function() request { after = 5 } end)
    core.on_step = nil
    assert.equal(1, core.cancelled)
    assert.equal("again", request { after = 1, answer = "again" })
  end)

  it("ends all tasks of a run that is interrupted, and closes their variables", function()
    local closed = 0
    local steps = 0
    core.on_step = function()
      steps = steps + 1
      if steps == 4 then error("interrupted") end
    end
    assert.has_error(function()
      task.run(function()
        for _ = 1, 3 do
          task.spawn(function()
            local _ <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
            while true do request { after = 1 } end
          end)
        end
      end)
    end)
    core.on_step = nil
    assert.equal(3, closed)
    assert.equal("fine", task.run(function() return request { after = 1, answer = "fine" } end))
  end)

  it("closes the transport with the last client, and opens a new one", function()
    local second = {}
    assert(loop.open(second))
    loop.close(second)
    assert.equal(1, core.open)
    loop.close(owner)
    assert.equal(0, core.open)
    assert(loop.open(owner))
    assert.equal("new", request { answer = "new" })
    loop.close(owner)
    assert.equal(0, core.open)
  end)

  it("ends the requests of a client that closes, and no other's", function()
    local mine, theirs = {}, {}
    assert(loop.open(mine))
    assert(loop.open(theirs))
    local failure, answer
    task.run(function()
      task.spawn(function() failure = select(2, loop.exchange({}, { after = 9 }, mine)) end)
      task.spawn(function() answer = loop.exchange({}, { after = 9, answer = "kept" }, theirs) end)
      task.sleep(1)
      loop.close(mine)
    end)
    assert.equal("cancelled", failure.code)
    assert.equal("kept", answer)
  end)

  it("gives the transport back after a client was forgotten", function()
    owner = nil
    collectgarbage()
    task.sleep(0)
    owner = {}
    assert.equal(0, core.open)
  end)

  it("begins anew in the child of a fork", function()
    task.spawn(request, { after = 5 })
    task.spawn(task.sleep, 5)
    request { after = 1 }
    core.process = 2 -- as if forked here
    loop.close(owner)
    assert(loop.open(owner))
    assert.equal("child", request { after = 1, answer = "child" })
    assert.equal(2, core.clock)
    loop.close(owner)
    assert.equal(0, core.open)
  end)

  it("tells a host when to come back", function()
    assert.is_nil(loop.timeout())
    local done
    task.spawn(function()
      task.sleep(4)
      done = true
    end)
    assert.equal(0, loop.timeout())
    assert.equal(core.clock, core.wakes_at)
    assert(loop.step(0))
    assert.equal(4, loop.timeout())
    assert.equal(4, core.wakes_at)
    assert(loop.step(3))
    assert.is_nil(done)
    assert(loop.step(3))
    assert.is_true(done)
    assert.is_nil(loop.timeout())
    assert.is_nil(core.wakes_at)
  end)

  it("raises when every task waits for another", function()
    local a, b
    local ok, message = pcall(task.run, function()
      a = task.spawn(function() b:join() end)
      b = task.spawn(function() a:join() end)
    end)
    assert.is_false(ok)
    assert.matches("deadlock", message)
  end)
end)
