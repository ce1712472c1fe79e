--- What became of a device that was asked to leave, or to lock itself.
--
-- 204 means accepted: a device acts when it next checks in. So these are commands, sent again only when a read shows
-- no trace of them.
local M = {}

--- managementState of a device that is leaving.
M.LEAVING = { retirePending = true, retireIssued = true, wipePending = true, wipeIssued = true,
  deletePending = true }

local FAILED = { retireFailed = true, wipeFailed = true }

M.APPROVAL = "Intune wants a second administrator to approve this (Multi Admin Approval): approve it in the "
  .. "Intune admin center, or exclude this app there, then resume"

-- actionName of what is asked for; the second is how Intune's own schema calls it.
local NAMES = {
  retire = { retire = true, removeCompanyData = true },
  wipe = { wipe = true, factoryReset = true },
  remoteLock = { remoteLock = true },
}

--- managementState that shows it, where one does.
local SHOWS = {
  retire = M.LEAVING,
  wipe = { wipePending = true, wipeIssued = true },
  remoteLock = {},
}

local SKEW <const> = 120 -- seconds by which Intune's clock may be behind ours

--- What a probe asks of a device.
M.STATE = { select = { "id", "managementState", "deviceActionResults" } }

--- The actionState of the last time a device was asked; nil: it was not.
---@param device table with deviceActionResults
---@param action "retire"|"wipe"|"remoteLock"
---@param is_since fun(text?: string, since: integer): string of msgraph.offboard.reader
---@param since? integer Unix seconds; default: whenever
---@return string?
function M.asked(device, action, is_since, since)
  local state
  for _, result in ipairs(device.deviceActionResults or {}) do
    if NAMES[action][result.actionName]
      and (not since or is_since(result.startDateTime, since - SKEW) ~= "no") then
      state = result.actionState
    end
  end
  return state
end

--- Whether a device has been asked since: one that can not do it is managed as before, but keeps a trace.
---@param g msgraph.offboard.Reader
---@param device? table nil: it has left
---@param since integer Unix seconds
---@param action "retire"|"wipe"
---@return "yes"|"no"|"pending"|"unknown"
function M.has_left(g, device, since, action)
  if not device then return "yes" end
  if SHOWS[action][device.managementState] then return "pending" end
  return (FAILED[device.managementState] or M.asked(device, action, g.is_since, since)) and "unknown" or "no"
end

return M
