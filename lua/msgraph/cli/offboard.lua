-- lua/msgraph/cli/offboard.lua
--- What the commands of offboarding stand on, which is installed apart from the client: loaded when one of them runs.
local M = setmetatable({}, { __index = function(_, name) return require("msgraph.offboard." .. name) end })

local COMMANDS = {
  plan = true, show = true, approve = true, apply = true, resume = true, status = true, verify = true, resolve = true,
  handoffs = true, restore = true, report = true, check = true, actions = true,
}

--- Why a command can not run here; nil when it can.
---@param name string
---@return string? problem
function M.missing(name)
  if not COMMANDS[name] or pcall(require, "msgraph.store") then return nil end
  return "offboarding is not installed (the rock msgraph-offboard, or `make install-offboard`)"
end

return M
