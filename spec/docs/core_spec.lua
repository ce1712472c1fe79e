--- docs/types/core.lua says what the C module exports: no more, no less.
local core = require "msgraph.core"
local helper = require "spec.support.helper"

local text = helper.read_file(helper.ROOT .. "docs/types/core.lua")

local function declared(owner)
  local names = {}
  for name in text:gmatch("\nfunction " .. owner .. "[.:]([%w_]+)") do names[name] = true end
  for name in text:gmatch("\n" .. owner .. "%.([%w_]+) = nil") do names[name] = true end
  return names
end

local function exported(index)
  local names = {}
  for name in pairs(index) do names[name] = true end
  return names
end

describe("docs/types/core.lua", function()
  it("names everything the module exports", function()
    assert.same(exported(core), declared "core")
  end)

  it("names every method of its handles", function()
    local registry = debug.getregistry()
    for _, class in ipairs { "Child", "Credential", "Loopback", "Origin", "Parts", "Store", "Transport" } do
      assert.same(exported(registry["msgraph.core." .. class].__index), declared(class), class)
    end
  end)

  it("names every transport code", function()
    for code in pairs(core.codes) do
      assert.is_truthy(text:find('"' .. code .. '"', 1, true) or code == "forked", code)
    end
  end)
end)
