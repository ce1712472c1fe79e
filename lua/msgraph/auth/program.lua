-- lua/msgraph/auth/program.lua
--- Waits for another program's end as `graph.sleep` does. What it printed stays in the core.
local core = require "msgraph.core"
local loop = require "msgraph.loop"

local M = {}

local LOOK_AGAIN <const> = 0.05 -- seconds

---@param child msgraph.core.Child stays its owner's, to be closed
---@param seconds number it is given
---@return integer? status nil: it did not end in time, or failed
---@return msgraph.core.Failure?
function M.wait(child, seconds)
  local ends = core.now() + seconds
  while core.now() < ends do
    local state, status = child:step()
    if not state then return nil, status end
    if state == "ended" then return status end
    loop.sleep(LOOK_AGAIN)
  end
  return nil, { kind = "timeout", code = "timeout", phase = "not_sent",
    message = ("it did not end in %d s"):format(seconds) }
end

return M
