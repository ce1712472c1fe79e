-- lua/msgraph/devices.lua
--- removeAllDevicesFromManagement: a user's devices leave Intune's management.
--
-- The answer 204 means queued. Each device is retired when it next checks in, and may fail by
-- itself; `wait` watches the user's managed devices until each is gone or has failed.
local config = require "msgraph.config"
local core = require "msgraph.core"
local errors = require "msgraph.errors"
local loop = require "msgraph.loop"

local M = {}

---@class msgraph.Device                 what became of one device
---@field id string                      managed device id
---@field name? string
---@field platform? string               Intune's operatingSystem: "Windows", "iOS", ...
---@field outcome "gone"|"failed"|"pending"
---@field state? string                  managementState as last seen
---@field detail? string                 why it failed, where Intune tells

---@class msgraph.RemoveResult
---@field devices msgraph.Device[]
---@field gone integer
---@field failed integer
---@field pending integer
---@field error? msgraph.Error           why watching ended early; the action itself was accepted

---@class msgraph.RemoveOpts
---@field allow_me? boolean              let "me" stand for the signed-in user
---@field wait? string|number            how long to watch: "90s", "15m", "2h", "1d", or seconds
---@field on_change? fun(device: msgraph.Device) called for every device at first and whenever it changes
---@field retry? boolean                false: not sent again when it is throttled; default true, see docs/retry.md
local OPTIONS = { allow_me = "boolean", wait = "any", on_change = "function", retry = "boolean" }

local ACTION = "/removeAllDevicesFromManagement"
local FIELDS = "?$select=id,deviceName,operatingSystem,managementState,deviceActionResults"

-- ---- arguments ----------------------------------------------------------------------------------

local WHO = 'give the object id or principal name of one user, such as "ada@contoso.com"'

local function refusal(what)
  return nil, ("remove_all_devices: %s: %s"):format(what, WHO)
end

-- What the user is called in a path; nil and what is wrong with it.
local function path_of_user(user, opts)
  if type(user) ~= "string" then
    local given = type(user) == "number" and ("the number %s"):format(user) or type(user)
    return refusal(("user must be a string, got %s"):format(given))
  end
  if user:find "^%s*[Mm][Ee]%s*$" then
    if opts and opts.allow_me then return "/v1.0/me" end
    return nil, 'remove_all_devices: "me" is the signed-in user: pass { allow_me = true } if their devices shall go'
  end
  local segment, reason = core.segment(user)
  if segment then return "/v1.0/users/" .. segment end
  return refusal(user:find "%S" and ("user %q %s"):format(user:sub(1, 80), reason)
    or user == "" and "user is empty" or "user is blank")
end

local UNITS = { s = 1, m = 60, h = 3600, d = 86400 }

-- nil and what is wrong with it, too.
local function seconds_of(wait)
  local seconds = wait
  if type(wait) == "string" then
    local number, unit = wait:match("^(%d+%.?%d*)([smhd])$")
    seconds = number and tonumber(number) * UNITS[unit]
  end
  if type(seconds) == "number" and seconds >= 0 and seconds < math.huge then return seconds end
  return nil, ('remove_all_devices: wait must be like "90s", "15m", "2h", "1d" or a number of seconds, got %s')
    :format(type(wait) == "string" and ("%q"):format(wait) or tostring(wait))
end

--- The user's path and the seconds to wait; raises for arguments that cannot be meant, before anything is sent.
---@param user any
---@param opts any
---@param level integer stack level to blame, as `error` counts from the caller
---@return string path "/v1.0/users/ada%40contoso.com"
---@return number? seconds
function M.check(user, opts, level)
  if opts ~= nil then config.check(opts, OPTIONS, "remove_all_devices", level + 2) end
  local path, fault = path_of_user(user, opts)
  if not path then error(fault, level + 1) end
  if not opts or opts.wait == nil then return path end
  local seconds
  seconds, fault = seconds_of(opts.wait)
  if not seconds then error(fault, level + 1) end
  return path, seconds
end

-- ---- the action ---------------------------------------------------------------------------------

-- Any 2xx is success; a body that is no JSON is somebody else's answer.
local function act(client, path, retry)
  local request = { method = "POST", target = path .. ACTION, retry = retry }
  local raw, err = client:exchange(request)
  if not raw then return nil, err end
  local body
  body, err = client.read(raw, request)
  if body == nil then return nil, err end
  if type(body) ~= "string" then return true end
  return nil, errors.unreadable(raw, request, "not_json", "the answer to the action is not Graph's")
end

-- ---- watching -----------------------------------------------------------------------------------

-- JSON null is no text.
local function text(value)
  return type(value) == "string" and value or nil
end

-- The user's managed devices by id, and their ids in order.
local function list(client, path, opts)
  local devices, err = client:list(path .. "/managedDevices" .. FIELDS, opts)
  if not devices then return nil, err end
  local found, order = {}, {}
  for _, device in ipairs(devices) do
    local id = type(device) == "table" and device.id
    if type(id) ~= "string" or not core.segment(id) then
      return nil, errors.new { kind = "protocol", code = "not_json",
        message = "the list of devices holds a device without a usable id" }
    end
    if not found[id] then order[#order + 1] = id end
    found[id] = device
  end
  return found, order
end

local FAILED_STATES = { retireFailed = true, retireCanceled = true }
local FAILED_RESULTS = { failed = true, notSupported = true, canceled = true }

-- The results of retire on a device; a fingerprint tells an old one from a new one.
local function retire_results(device)
  local results = {}
  local reported = device.deviceActionResults
  for _, result in ipairs(type(reported) == "table" and reported or {}) do
    if type(result) == "table" and tostring(result.actionName):lower():find("retire", 1, true) then
      results[#results + 1] = { state = result.actionState,
        print = ("%s %s %s"):format(result.actionState, result.startDateTime, result.lastUpdatedDateTime) }
    end
  end
  return results
end

-- What we report, and what was there before the action: an old failure is not this one's.
local function new_watch(device)
  local known = {}
  for _, result in ipairs(retire_results(device)) do known[result.print] = true end
  return {
    known = known, before = device.managementState,
    report = { id = device.id, name = text(device.deviceName), platform = text(device.operatingSystem),
      outcome = "pending", state = text(device.managementState) },
  }
end

-- Why a device that is still there has failed; nil: it has not.
local function failure_of(watch, device)
  local state = device.managementState
  for _, result in ipairs(retire_results(device)) do
    if FAILED_RESULTS[result.state] and not watch.known[result.print] then
      return ("retire: %s"):format(result.state)
    end
  end
  if state ~= watch.before then watch.before = nil end -- it moved: the same state again is a new one
  if FAILED_STATES[state] and not watch.before then return state end
end

local ONCE = { retry = false } -- watching tries again by itself, in its own time

-- A device missing from the list is gone when it cannot be read either: lists lag.
local function is_gone(client, id)
  local segment = core.segment(id)
  local device, err = client:get("/v1.0/deviceManagement/managedDevices/" .. segment .. FIELDS, ONCE)
  if device then return false, nil, device end
  return err.kind == "not_found", err
end

local function update(client, watch, device)
  local report = watch.report
  local outcome, state, detail, err = "pending", report.state, nil, nil
  if not device then
    local gone
    gone, err, device = is_gone(client, report.id)
    if gone then outcome, err = "gone", nil end
  end
  if type(device) == "table" then
    detail, state = failure_of(watch, device), text(device.managementState)
    if detail then outcome = "failed" end
  end
  local changed = outcome ~= report.outcome or state ~= report.state
  report.outcome, report.state, report.detail = outcome, state, detail
  return changed, err
end

-- Looks once at every device that is still pending.
local function look(client, path, watches, on_change)
  local found, err = list(client, path, ONCE)
  if not found then return err end
  for _, watch in ipairs(watches) do
    if watch.report.outcome == "pending" then
      local changed, problem = update(client, watch, found[watch.report.id])
      if changed and on_change then on_change(watch.report) end
      if problem then return problem end
    end
  end
end

local TRANSIENT = { network = true, timeout = true, throttled = true, server = true, protocol = true }
local FIRST_PAUSE, LONGEST_PAUSE = 1, 60 -- seconds; a device checks in within minutes at best

local function any_pending(watches)
  for _, watch in ipairs(watches) do
    if watch.report.outcome == "pending" then return true end
  end
  return false
end

-- Polls until nothing is pending or the time is over; returns the error that ended it early.
local function watch_all(client, path, watches, seconds, on_change)
  local finish, pause, err = core.now() + seconds, FIRST_PAUSE, nil
  while any_pending(watches) do
    local left, asked = finish - core.now(), err and err.retry_after or 0
    if left <= 0 or asked > left then return err end -- never earlier than the service asks
    loop.sleep(math.min(left, math.max(pause, asked)))
    err = look(client, path, watches, on_change)
    if err and not TRANSIENT[err.kind] then return err end
    pause = math.min(LONGEST_PAUSE, pause * 1.5)
  end
end

local function summary(watches, err)
  local result = { devices = {}, gone = 0, failed = 0, pending = 0, error = err }
  for i, watch in ipairs(watches) do
    local outcome = watch.report.outcome
    result.devices[i] = watch.report
    result[outcome] = result[outcome] + 1
  end
  return result
end

local function act_and_watch(client, path, seconds, opts)
  local found, order = list(client, path, opts.retry == false and ONCE or nil)
  if not found then
    local err = order
    err.message = "the devices could not be listed, so the action was not sent: " .. err.message
    return nil, err
  end
  local watches = {}
  for i, id in ipairs(order) do watches[i] = new_watch(found[id]) end
  local ok, err = act(client, path, opts.retry)
  if not ok then return nil, err end
  if opts.on_change then
    for _, watch in ipairs(watches) do opts.on_change(watch.report) end
  end
  return summary(watches, watch_all(client, path, watches, seconds, opts.on_change))
end

--- Takes all devices of a user out of management (Intune's action removeAllDevicesFromManagement).
---
--- Needs DeviceManagementManagedDevices.PrivilegedOperations.All, an active Intune licence, and, signed
--- in as a user, an Intune role with the remote task Retire. With `wait` also
--- DeviceManagementManagedDevices.Read.All.
---@param client msgraph.Client
---@param user string object id or principal name
---@param opts? msgraph.RemoveOpts
---@return true|msgraph.RemoveResult? done true: accepted and queued; with `wait`: what became of each device
---@return msgraph.Error? kind "ambiguous": it may have been acted on, list the devices first.
---  Raises for a user or option that cannot be meant, before anything is sent
function M.remove_all_devices(client, user, opts)
  local path, seconds = M.check(user, opts, 2)
  if not seconds then return act(client, path, opts and opts.retry) end
  return act_and_watch(client, path, seconds, opts)
end

return M
