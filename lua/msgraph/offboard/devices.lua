--- Device objects of the directory, as actions share them.
local M = {}

--- Those the user owns or has registered; the two overlap.
---@param ctx msgraph.offboard.Context of an action that reads registered_devices and owned_devices
---@return table[]
function M.of_directory(ctx)
  local out, seen = {}, {}
  for _, name in ipairs { "registered_devices", "owned_devices" } do
    for _, device in ipairs(ctx:read(name)) do
      if not seen[device.id] then
        seen[device.id], out[#out + 1] = true, device
      end
    end
  end
  return out
end

---@param device table of either world
---@return boolean
function M.is_windows(device) return tostring(device.operatingSystem):find "^Windows" ~= nil end

return M
