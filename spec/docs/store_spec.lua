--- docs/types/store.lua says what the store module exports: no more, no less.
local exports = require "spec.support.exports"
local helper = require "spec.support.helper"
local store = require "msgraph.store"

local text = exports.page "store"

describe("docs/types/store.lua", function()
  it("names everything the module exports", function()
    assert.same(exports.exported(store), exports.declared(text, "store"))
  end)

  it("names every method of its handles", function()
    for _, class in ipairs { "Db", "Presence" } do
      assert.same(exports.methods("msgraph.store." .. class), exports.declared(text, class), class)
    end
  end)
end)

describe("docs/journal.md", function()
  it("names every table and column", function()
    local page = helper.read_file(helper.ROOT .. "docs/journal.md")
    for _, t in ipairs(require("msgraph.offboard.journal.schema").TABLES) do
      local row = page:match("\n| `" .. t.name .. "` |[^\n]*")
      assert.is_string(row, t.name)
      for column in (", " .. t.columns:gsub("%b()", "")):gmatch(",%s+([%l_]+) [ITB]") do
        assert.is_truthy(row:find("`" .. column .. "`", 1, true), t.name .. "." .. column)
      end
    end
  end)
end)
