--- docs/types/core.lua says what the C module exports: no more, no less.
local core = require "msgraph.core"
local exports = require "spec.support.exports"

local text = exports.page "core"

describe("docs/types/core.lua", function()
  it("names everything the module exports", function()
    assert.same(exports.exported(core), exports.declared(text, "core"))
  end)

  it("names every method of its handles", function()
    for _, class in ipairs { "Child", "Credential", "Loopback", "Origin", "Parts", "Store", "Transport" } do
      assert.same(exports.methods("msgraph.core." .. class), exports.declared(text, class), class)
    end
  end)

  it("names every transport code", function()
    for code in pairs(core.codes) do
      assert.is_truthy(text:find('"' .. code .. '"', 1, true) or code == "forked", code)
    end
  end)
end)
