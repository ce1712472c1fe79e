local batch = require "msgraph.cli.batch"
local graph = require "msgraph"

local function never() return false end
local function nothing() end

describe("a batch", function()
  it("acts on every item, so many at a time", function()
    local busy, most, seen = 0, 0, {}
    local b = batch.new({ 1, 2, 3, 4, 5, 6, 7 }, 3, function(item)
      busy = busy + 1
      most = math.max(most, busy)
      graph.sleep(0)
      seen[#seen + 1] = item
      busy = busy - 1
    end)
    assert.is_true(batch.run(b, never, nothing))
    table.sort(seen)
    assert.same({ 1, 2, 3, 4, 5, 6, 7 }, seen)
    assert.equal(3, most)
  end)

  it("begins no more once it is told to stop", function()
    local seen = {}
    local b
    b = batch.new({ 1, 2, 3, 4 }, 1, function(item)
      seen[#seen + 1] = item
      if item == 2 then b.stopped = true end
    end)
    assert.is_true(batch.run(b, never, nothing))
    assert.same({ 1, 2 }, seen)
  end)

  -- What lua does at Ctrl-C: an error at the next instruction of the main coroutine.
  local function interrupt(main)
    debug.sethook(main, function()
      debug.sethook(main)
      error("interrupted!", 0)
    end, "", 1)
  end

  it("lets what is under way end when it is interrupted, and begins no more", function()
    local main, ended, told = coroutine.running(), {}, 0
    local b = batch.new({ 1, 2, 3, 4 }, 2, function(item)
      if item == 2 then interrupt(main) end
      graph.sleep(0.02)
      ended[#ended + 1] = item
    end)
    assert.is_false(batch.run(b, function() return #ended < 2 end, function() told = told + 1 end))
    table.sort(ended)
    assert.same({ 1, 2 }, ended)
    assert.equal(1, told)
  end)

  it("does not wait for ever for what is under way", function()
    local main = coroutine.running()
    local b = batch.new({ 1, 2 }, 2, function(item)
      if item == 2 then interrupt(main) end
      graph.sleep(0.1)
    end)
    b.grace = 0.01
    assert.is_false(batch.run(b, function() return true end, nothing))
    graph.sleep(0.2) -- the tasks left behind end: other specs count what is open
  end)

  it("stops at a bug, and raises it with where it was", function()
    local seen = {}
    local b = batch.new({ 1, 2, 3 }, 1, function(item)
      seen[#seen + 1] = item
      if item == 2 then error("a bug") end
    end)
    local ok, problem = pcall(batch.run, b, never, nothing)
    assert.is_false(ok)
    assert.matches("a bug", problem)
    assert.matches("cli_batch_spec", problem)
    assert.same({ 1, 2 }, seen)
  end)
end)
