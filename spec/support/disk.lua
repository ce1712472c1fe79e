-- spec/support/disk.lua
--- Small file systems, to be filled or made read-only.
local helper = require "spec.support.helper"

local M = {}

--- A file system of this size: its folder, and what unmounts it when its variable ends; nil where none may be mounted.
---@param size string "1m"
---@return string? folder
---@return table? unmount
function M.mount(size)
  local folder = helper.sh("mktemp -d"):match "%S+"
  if not os.execute(("mount -t tmpfs -o size=%s none %s 2>/dev/null"):format(size, folder)) then
    os.execute("rmdir " .. folder)
    return nil
  end
  local function unmount() os.execute(("umount -l %s && rmdir %s"):format(folder, folder)) end
  return folder, setmetatable({}, { __close = unmount })
end

--- Leaves no byte of it free.
function M.fill(folder)
  os.execute(("cat /dev/zero >%s/fill 2>/dev/null"):format(folder))
end

--- Undoes fill.
function M.empty(folder)
  assert(os.remove(folder .. "/fill"))
end

return M
