--- docs/resources.md has a row for each call, with its permission and what sending it again does.
local calls = require "msgraph.calls"
local helper = require "spec.support.helper"
local permissions = require "msgraph.permissions"

local page = helper.read_file(helper.ROOT .. "docs/resources.md")

-- The part of the page about one kind of thing.
local function section(kind)
  local at = assert(page:find(("\n`client:%s("):format(kind), 1, true), kind)
  return page:sub(at, (page:find("\n## ", at, true) or #page + 1) - 1)
end

-- Name of a method to its row, as cells.
local function rows_of(text)
  local rows = {}
  for row in text:gmatch("\n(| `[%w_]+%([^\n]*)") do
    local cells = {}
    for cell in row:gmatch("| (.-) %f[|]") do cells[#cells + 1] = cell end
    rows[row:match("`([%w_]+)%(")] = cells
  end
  return rows
end

local function permission_cell(kind, call)
  if type(call[2]) == "function" then return "`UserAuthMethod-*.ReadWrite.All`" end
  if call.permissions then return "`" .. table.concat(call.permissions, "` and `") .. "`" end
  local path = call[2]:find("^%^") and call[2]:sub(2) or calls[kind].root .. call[2]
  local least = permissions.find(call[1], path).least
  if least.delegated == least.application then return ("`%s`"):format(least.delegated) end
  return ("`%s`; app %s"):format(least.delegated, least.application and "`" .. least.application .. "`" or "none")
end

describe("docs/resources.md", function()
  for kind, topics in pairs(calls) do
    if topics.root then
      it("tells of every method of a " .. kind .. ", and of no other", function()
        local rows = rows_of(section(kind))
        for _, list in pairs(topics) do
          for name, call in pairs(type(list) == "table" and list or {}) do
            local row = assert(rows[name], name)
            rows[name] = nil
            assert.equal(call.about, row[2], name)
            assert.equal(permission_cell(kind, call), row[3], name)
            assert.equal(call.effect == "read" and "" or calls.AGAIN[call.again][1], row[4], name)
          end
        end
        assert.is_nil(next(rows))
      end)
    end
  end
end)

describe("docs/types/resources.lua", function()
  local types = helper.read_file(helper.ROOT .. "docs/types/resources.lua")

  it("has a field for every method of every thing, and no other", function()
    for kind, topics in pairs(calls) do
      if topics.root then
        local maker = ("\n%%-%%-%%-@field %s fun%%([^\n]*: msgraph%%.(%%u%%w+)\n"):format(kind)
        local class = assert(types:match(maker), kind)
        local pattern = ("\n%%-%%-%%-@class msgraph%%.%s: msgraph%%.Thing\n(.-\n)\n"):format(class)
        local fields = assert((types .. "\n\n"):match(pattern), class)
        local listed = {}
        for name in fields:gmatch("%-%-%-@field ([%w_]+) fun%(") do listed[name] = true end
        for _, list in pairs(topics) do
          for name, call in pairs(type(list) == "table" and list or {}) do
            assert.is_true(listed[name], name)
            assert.is_truthy(fields:find(call.about, 1, true), name)
            listed[name] = nil
          end
        end
        assert.same({}, listed)
      end
    end
  end)
end)

describe("a client", function()
  it("has a method for each kind of thing", function()
    local Client = require "msgraph.client".Client
    for kind, rows in pairs(calls) do
      if rows.root then assert.is_function(Client[kind], kind) end
    end
  end)
end)
