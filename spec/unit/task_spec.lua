local errors = require "msgraph.errors"
local fake = require "spec.support.fake_core"

describe("tasks", function()
  local core, loop, task

  before_each(function()
    core, loop, task = fake.new()
    assert(loop.open(task)) -- somebody holds it open
  end)

  local function request(fields)
    return loop.exchange({}, fields, task)
  end

  local function closing(fn)
    return setmetatable({}, { __close = fn })
  end

  describe("run", function()
    it("returns what the function returned, nils included", function()
      assert.same(table.pack(1, nil, 3, nil), table.pack(task.run(function(...) return ... end, 1, nil, 3, nil)))
    end)

    it("waits for every task it started", function()
      local ended = 0
      task.run(function()
        for i = 1, 5 do
          task.spawn(function()
            task.sleep(i)
            task.spawn(function()
              task.sleep(i)
              ended = ended + 1
            end)
          end)
        end
      end)
      assert.equal(5, ended)
      assert.equal(10, core.clock)
    end)

    it("raises a text with the traceback of where it happened", function()
      local function culprit() error("it broke") end
      local ok, message = pcall(task.run, function()
        culprit()
        return true
      end)
      assert.is_false(ok)
      assert.matches("it broke.*traceback.*'culprit'", message)
    end)

    it("raises an error object as it is", function()
      local err = errors.new { kind = "server", code = "x", message = "m" }
      local ok, raised = pcall(task.run, function() error(err) end)
      assert.is_false(ok)
      assert.equal(err, raised)
    end)

    it("raises what a task raised that nobody joined, after all have ended", function()
      local ended = false
      local ok, message = pcall(task.run, function()
        task.spawn(error, "lost", 0)
        task.spawn(function()
          task.sleep(9)
          ended = true
        end)
      end)
      assert.is_false(ok)
      assert.matches("lost", message)
      assert.is_true(ended)
    end)

    it("runs inside run, as a part of it", function()
      local order = {}
      task.run(function()
        task.spawn(function()
          task.sleep(1)
          order[#order + 1] = "beside"
        end)
        assert.equal("inner", task.run(function()
          task.spawn(function() task.sleep(5) end)
          return "inner"
        end))
        assert.equal(5, core.clock)
        order[#order + 1] = "after"
      end)
      assert.same({ "beside", "after" }, order)
    end)

    it("closes the variables of a task that raised", function()
      local closed = false
      pcall(task.run, function()
        local _ <close> = closing(function() closed = true end)
        error("x")
      end)
      assert.is_true(closed)
    end)

    it("lets a plain yield give way", function()
      local order = {}
      task.run(function()
        for i = 1, 2 do
          task.spawn(function()
            for step = 1, 2 do
              order[#order + 1] = i .. "." .. step
              coroutine.yield()
            end
          end)
        end
      end)
      assert.same({ "1.1", "2.1", "1.2", "2.2" }, order)
    end)
  end)

  describe("join", function()
    it("returns the results, before and after the end, inside and outside", function()
      local one = task.spawn(function(x)
        task.sleep(2)
        return x, nil, "z"
      end, "a")
      assert.same(table.pack("a", nil, "z"), table.pack(one:join()))
      assert.same(table.pack("a", nil, "z"), table.pack(one:join()))
      assert.equal("a", task.run(function() return (one:join()) end))
    end)

    it("raises what the task raised, and then run does not", function()
      task.run(function()
        local one = task.spawn(error, "seen", 0)
        local ok, message = pcall(one.join, one)
        assert.is_false(ok)
        assert.matches("seen", message)
      end)
    end)

    it("raises for a task that joins itself", function()
      local one
      one = task.spawn(function() one:join() end)
      assert.error_matches(function() one:join() end, "cannot join itself")
    end)
  end)

  describe("cancel", function()
    it("ends the task where it waits, cancels its request, closes its variables", function()
      local closed, went_on = false, false
      task.run(function()
        local one = task.spawn(function()
          local _ <close> = closing(function() closed = true end)
          pcall(request, { after = 100 })
          went_on = true
        end)
        task.sleep(1)
        assert.is_true(one:cancel())
        assert.is_false(one:cancel())
        assert.is_true(one:ended())
        local ok, err = pcall(one.join, one)
        assert.is_false(ok)
        assert.is_true(errors.Error.is(err))
        assert.equal("cancelled", err.kind)
        assert.matches("acted on", err.hint)
      end)
      assert.is_true(closed)
      assert.is_false(went_on)
      assert.equal(1, core.cancelled)
      assert.equal(1, core.clock)
    end)

    it("is seen by nobody who does not join", function()
      assert.has_no.errors(function()
        task.run(function() task.spawn(task.sleep, 50):cancel() end)
      end)
    end)

    it("ends a sleeping task, and a task that never ran", function()
      task.run(function()
        local sleeper = task.spawn(task.sleep, 1000)
        task.sleep(1)
        sleeper:cancel()
        task.spawn(error, "never"):cancel()
      end)
      assert.equal(1, core.clock)
    end)

    it("ends the tasks of a run inside", function()
      local closed = 0
      task.run(function()
        local outer = task.spawn(function()
          task.run(function()
            local _ <close> = closing(function() closed = closed + 1 end)
            task.sleep(1000)
          end)
        end)
        task.sleep(1)
        outer:cancel()
      end)
      assert.equal(1, closed)
      assert.equal(1, core.clock)
    end)

    it("lets a task cancel itself", function()
      local one
      one = task.spawn(function()
        one:cancel()
        error("unreachable")
      end)
      local ok, err = pcall(one.join, one)
      assert.is_false(ok)
      assert.equal("cancelled", err.kind)
    end)
  end)

  describe("map", function()
    local function numbers(n)
      local list = {}
      for i = 1, n do list[i] = i end
      return list
    end

    it("keeps the order of the input, errors apart", function()
      local results, failures = task.map(numbers(50), { concurrency = 7 }, function(i)
        task.sleep((i * 37) % 11)
        if i % 10 == 0 then return nil, "no " .. i end
        return i * 2
      end)
      assert.equal(50, results.n)
      assert.equal(98, results[49])
      assert.is_nil(results[50])
      assert.same({ [10] = "no 10", [20] = "no 20", [30] = "no 30", [40] = "no 40", [50] = "no 50" }, failures)
    end)

    it("keeps at most `concurrency` under way, and that many coroutines", function()
      task.map(numbers(100), { concurrency = 8 }, function(i) return request { after = i % 5 + 1 } end)
      assert.equal(8, core.most_pending)
      assert.equal(100, core.sent)
    end)

    it("takes no more workers than items, and no items at all", function()
      assert.same({ { n = 0 }, {} }, { task.map({}, { concurrency = 64 }, error) })
      assert.same({ { 5, n = 1 }, {} }, { task.map({ 5 }, nil, function(x) return x end) })
    end)

    it("passes the index, and keeps false as a value", function()
      local results, failures = task.map({ "a", "b" }, nil, function(_, i) return i == 2 and "b" or false, "note" end)
      assert.same({ false, "b", n = 2 }, results)
      assert.same({}, failures)
    end)

    it("takes an iterator that waits itself, one call of it at a time", function()
      local inside, i = 0, 0
      local results = task.map(function()
        inside = inside + 1
        assert(inside == 1, "the iterator was called twice at once")
        request { after = 1 }
        inside = inside - 1
        i = i + 1
        if i <= 20 then return i end
      end, { concurrency = 4 }, function(x)
        task.sleep(3)
        return x
      end)
      assert.same(numbers(20), { table.unpack(results, 1, results.n) })
      assert.equal(20, results.n)
    end)

    it("stops beginning items when fn raises, waits for those under way, raises again", function()
      local begun, ended = 0, 0
      local ok, message = pcall(task.map, numbers(100), { concurrency = 4 }, function(i)
        begun = begun + 1
        task.sleep(i)
        if i == 2 then error("fell over") end
        ended = ended + 1
      end)
      assert.is_false(ok)
      assert.matches("fell over", message)
      assert.equal(5, begun)
      assert.equal(4, ended)
    end)

    it("raises what the iterator raises", function()
      assert.error_matches(function() task.map(function() error("no more rows") end, nil, print) end, "no more rows")
    end)

    it("runs inside a task and inside another map", function()
      local results = task.run(function()
        return (task.map({ 1, 2 }, nil, function(a)
          local inner = task.map({ 10, 20 }, nil, function(b)
            task.sleep(1)
            return a * b
          end)
          return inner[1] + inner[2]
        end))
      end)
      assert.same({ 30, 60, n = 2 }, results)
    end)

    for _, case in ipairs {
      { "an unknown option",      { {}, { concurency = 3 }, print }, "unknown option 'concurency'" },
      { "a concurrency of none",  { {}, { concurrency = 0 }, print }, "whole number from 1" },
      { "a missing function",     { {}, nil, nil },                  "bad argument #3" },
      { "no list",                { 5, nil, print },                 "bad argument #1" },
    } do
      it("raises for " .. case[1], function()
        assert.error_matches(function() task.map(table.unpack(case[2], 1, 3)) end, case[3])
      end)
    end
  end)

  it("refuses a time that is none", function()
    for _, seconds in ipairs { -1, 0 / 0, math.huge, "1" } do
      assert.error_matches(function() task.sleep(seconds) end, "seconds expected")
    end
  end)

  it("warns of a task outside of run that failed and was lost", function()
    local said = {}
    local warn = _G.warn
    _G.warn = function(...) said[#said + 1] = table.concat { ... } end
    task.spawn(error, "nobody listens", 0)
    task.sleep(1)
    collectgarbage()
    collectgarbage()
    _G.warn = warn
    assert.equal(1, #said)
    assert.matches("nobody listens", said[1])
  end)
end)
