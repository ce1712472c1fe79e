-- spec/support/exports.lua
--- What a C module exports, beside what its page under docs/types declares.
local helper = require "spec.support.helper"

local M = {}

--- The text of a page.
---@param name string "core"
function M.page(name)
  return helper.read_file(helper.ROOT .. "docs/types/" .. name .. ".lua")
end

--- Names that a page declares of an owner: functions, methods, and values set to nil.
---@return table<string, true>
function M.declared(text, owner)
  local names = {}
  for name in text:gmatch("\nfunction " .. owner .. "[.:]([%w_]+)") do names[name] = true end
  for name in text:gmatch("\n" .. owner .. "%.([%w_]+) = nil") do names[name] = true end
  return names
end

--- Names that a module, or a handle's __index, has.
---@return table<string, true>
function M.exported(index)
  local names = {}
  for name in pairs(index) do names[name] = true end
  return names
end

--- The methods of a handle, by its name in the registry.
---@param class string "msgraph.core.Transport"
function M.methods(class)
  return M.exported(debug.getregistry()[class].__index)
end

return M
