-- lua/msgraph/cli/prompt.lua
--- Asks before something is changed.
local terminal = require "msgraph.cli.terminal"

local M = {}

--- Asks a person. Everything but a clear yes is a no, the end of input included.
---@param question string
---@return boolean
function M.confirm(question)
  io.stderr:write(terminal.scrub(question), " [y/N] ")
  local answer = io.stdin:read("l")
  if not answer then io.stderr:write("\n") end
  answer = (answer or ""):lower():match("^%s*(.-)%s*$")
  return answer == "y" or answer == "yes"
end

--- Whether to go on: `--yes` was given, or a person says so.
---@param yes boolean?
---@param what string what would happen: "retire all devices of 3 users"
---@param question string
---@return boolean
---@return string? refusal why not, when nobody could be asked
function M.agreed(yes, what, question)
  if yes then return true end
  if terminal.can_ask() then return M.confirm(question), nil end
  return false, ("this would %s, and there is no terminal to ask on: say --yes to go ahead"):format(what)
end

return M
