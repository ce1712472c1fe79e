-- spec/integration/bulk_spec.lua - batched calls under the published limits, in a time that passes faster.
local helper = require "spec.support.helper"
local program = require "spec.support.program"

local FAST <const> = "25" -- times

describe("graph.map with batch, under the published limits", function()
  it("has less than one call in a hundred refused: its parts wait here, at the gate", function()
    local core = assert(package.searchpath("msgraph.core", package.cpath))
    local clock = core:gsub("lua/msgraph/core%.so$", "bench/fast_clock.so")
    local run = program.run({ os.getenv "LUA" or "lua5.4", helper.ROOT .. "spec/support/bulk.lua", "1200" },
      { LD_PRELOAD = clock, FAST = FAST })
    local counted = assert(load(run.out), run.err)()
    assert.equal(0, counted.failed, run.err)
    assert.equal(7 * 1200 + counted.refused, counted.calls)
    assert.is_true(counted.refused > 0, "the limit was never met")
    assert.is_true(counted.refused < counted.calls / 100, counted.refused .. " of " .. counted.calls)
    assert.is_true(counted.batches < counted.calls / 2, counted.batches .. " batches")
  end)
end)
