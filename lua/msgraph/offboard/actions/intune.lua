--- Intune: devices that are chosen, one by one.
local intune = require "msgraph.offboard.intune"

local WHERE <const> = "function(device, params, user): whether this one. A device has id, name, platform, "
  .. "ownership (\"personal\", \"company\"), model, serial, state"

local function path_of(ctx, device) return ctx.reader.path("/deviceManagement/managedDevices/%s", device.id) end

-- A device as `where` sees it.
local function shown(device)
  return {
    id = device.id, name = device.deviceName, platform = device.operatingSystem, model = device.model,
    ownership = device.managedDeviceOwnerType, serial = device.serialNumber, state = device.managementState,
  }
end

-- Enrolled again, it is somebody else's.
local function guard_of(ctx, device)
  return { path = path_of(ctx, device) .. "?$select=id,userId,enrolledDateTime",
    expect = { userId = device.userId, enrolledDateTime = device.enrolledDateTime } }
end

-- Plans for each device that is chosen. `refuse(device)` says why one is left out all the same.
local function each_chosen(ctx, opts, refuse, plan)
  local devices = ctx:read "managed_devices"
  if #devices == 0 then return ctx:unchanged("no managed devices") end
  for _, device in ipairs(devices) do
    local status, why = refuse(device)
    if status == "unchanged" then
      ctx:unchanged(why, device.id)
    elseif opts.where and not ctx:call(opts.where, shown(device), ctx:params_copy(), ctx:user_copy()) then
      ctx:skip(device.deviceName .. " is not chosen by `where`", device.id)
    elseif status then
      ctx:skip(why, device.id)
    else
      plan(device)
    end
  end
end

-- Why a device is not asked to leave; `other` is what may ask it already, in the same plan.
local function stays(ctx, device, other)
  if intune.LEAVING[device.managementState] then return "unchanged", device.deviceName .. " is leaving already" end
  if ctx:has_op(other, device.id) then return "skipped", ("%s is left to %s"):format(device.deviceName, other) end
end

-- Plans one call for a device. `op`: what becomes of it on the way back, filled in here.
local function ask(ctx, device, word, op, call, ...)
  op.target, op.name, op.guard = device.id, device.deviceName, guard_of(ctx, device)
  op.request = ctx.client:managed_device(device.id):request(call, ...)
  op.label = ("%s %s (%s)"):format(word, device.deviceName, device.operatingSystem)
  ctx:op(op)
end

local function probe_of(action)
  return function(g, op, since)
    local device = g.get("/deviceManagement/managedDevices/%s", op.target_id, intune.STATE)
    return intune.has_left(g, device, since, action)
  end
end

-- ---- retire -------------------------------------------------------------------------------------

local retire = {
  id = "intune.retire", version = 1, effect = "command", danger = "destructive", settle = 60,
  about = "retires the devices that `where` chooses, one by one",
  reads = { "managed_devices" },
  calls = { "POST /deviceManagement/managedDevices/{id}/retire" },
  options = { where = { type = "function", about = WHERE .. "; default: all" } },
  already = { not_found = true },
  hand_off = { approval_required = intune.APPROVAL },
}

function retire.plan(ctx, opts)
  each_chosen(ctx, opts, function(device) return stays(ctx, device, "intune.wipe") end, function(device)
    ask(ctx, device, "Retire", { no_inverse = "the device has to be enrolled again" }, "retire")
  end)
end

retire.probe = probe_of "retire"

-- ---- wipe ---------------------------------------------------------------------------------------

local wipe = {
  id = "intune.wipe", version = 1, effect = "command", danger = "irreversible", settle = 60,
  about = "resets the devices that `where` chooses to as they left the factory, with all that is on them",
  reads = { "managed_devices" },
  calls = { "POST /deviceManagement/managedDevices/{id}/wipe" },
  options = {
    where = { type = "function", required = true, about = WHERE },
    keep_user_data = { type = "boolean", about = "Windows: what the user has in his folders stays; default false" },
  },
  already = { not_found = true },
  hand_off = { approval_required = intune.APPROVAL },
}

-- Where the company has but a part of the device, it has no right to the rest (FACTS 2.2).
local function is_partly_ours(device)
  local enrollment = tostring(device.deviceEnrollmentType)
  return enrollment:find "^appleUserEnrollment" ~= nil or device.operatingSystem == "AndroidForWork"
end

function wipe.plan(ctx, opts)
  local function refuse(device)
    if is_partly_ours(device) then
      return "skipped", device.deviceName .. " can not be wiped, only the company's part retired: use intune.retire"
    end
    return stays(ctx, device, "intune.retire")
  end
  each_chosen(ctx, opts, refuse, function(device)
    ask(ctx, device, "Wipe", { no_inverse = "what is on the device is lost" }, "wipe",
      { keepUserData = opts.keep_user_data or false })
  end)
end

wipe.probe = probe_of "wipe"

-- ---- lock ---------------------------------------------------------------------------------------

local lock = {
  id = "intune.lock", version = 1, effect = "command", danger = "disruptive", settle = 60,
  about = "locks the screens of the devices that `where` chooses; not every platform can",
  reads = { "managed_devices" },
  calls = { "POST /deviceManagement/managedDevices/{id}/remoteLock" },
  options = { where = { type = "function", about = WHERE .. "; default: all" } },
}

local ON_ITS_WAY = { pending = true, active = true, none = true }

function lock.plan(ctx, opts)
  local function refuse(device)
    if intune.LEAVING[device.managementState] then return "unchanged", device.deviceName .. " is leaving already" end
    if ON_ITS_WAY[intune.asked(device, "remoteLock", ctx.reader.is_since)] then
      return "unchanged", device.deviceName .. " is asked to lock already"
    end
  end
  each_chosen(ctx, opts, refuse, function(device)
    ask(ctx, device, "Lock", { nothing_to_undo = "whoever knows the passcode unlocks it" }, "remote_lock")
  end)
end

local LOCKED = { done = "yes", pending = "pending", active = "pending", none = "pending" }

function lock.probe(g, op, since)
  local device = g.get("/deviceManagement/managedDevices/%s", op.target_id, intune.STATE)
  local state = device and intune.asked(device, "remoteLock", g.is_since, since)
  if not state then return device and "no" or "unknown" end
  return LOCKED[state] or "unknown"
end

-- ---- app protection -----------------------------------------------------------------------------

local wipe_apps = {
  id = "intune.wipe_apps", version = 1, effect = "converge", danger = "destructive", settle = 60,
  about = "wipes the company's data in apps under app protection, when each is next opened; own devices as well",
  reads = { "app_registrations" },
  calls = { "POST /users/{id}/wipeManagedAppRegistrationsByDeviceTag" },
}

-- One request for each tag, which a device's apps have in common.
function wipe_apps.plan(ctx)
  local seen = {}
  for _, app in ipairs(ctx:read "app_registrations") do
    local tag = app.deviceTag
    if tag and not seen[tag] then
      seen[tag] = true
      ctx:op { target = tag, name = app.deviceName, request = ctx.thing:request("wipe_app_data", tag),
        label = ("Wipe the company's data in the apps on %s"):format(app.deviceName or tag),
        nothing_to_undo = "who signs in there again gets it again" }
    end
  end
  if not next(seen) then ctx:unchanged("no apps under app protection") end
end

-- It goes when the app is opened; until then nothing shows that it was asked for, and asking again is harmless.
function wipe_apps.probe(g, op)
  for _, app in ipairs(g.list("/users/%s/managedAppRegistrations", op.subject_id)) do
    if app.deviceTag == op.target_id then return "unknown" end
  end
  return "yes"
end

return { retire, wipe, lock, wipe_apps }
