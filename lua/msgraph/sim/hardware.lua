-- lua/msgraph/sim/hardware.lua - the devices people enrol, and how each takes a retire.
--
-- Platforms and effects are those of Microsoft's page on wiping and retiring (Intune,
-- remote-actions/devices-wipe): fully managed and dedicated Android only support wipe.
local random = require "msgraph.sim.random"
local clock = require "msgraph.sim.clock"

local M = {}

--- Kind of ids and streams (msgraph.sim.random).
M.KIND = 2

--- Ordinals of one user's devices: 1 to 7; a device's index is user index * 8 + ordinal.
M.PER_USER = 8

local DAY <const> = 24 * 60 * 60

local ANDROID <const> = "googleCloudDevicePolicyController"

-- `entra`: what becomes of the device's object in Entra when it is retired.
local PLATFORMS = {
  ios = { os = "iOS", version = { "18.6", "26.0.1", "17.7.2" }, maker = "Apple", owner = "personal",
    model = { "iPhone 15", "iPhone 16 Pro", "iPhone SE" }, agent = "mdm", enrollment = "appleUserEnrollment",
    entra = "kept", phone = true },
  ipados = { os = "iPadOS", version = { "18.6", "26.0.1" }, maker = "Apple", owner = "company",
    model = { "iPad Pro 11-inch", "iPad Air" }, agent = "mdm", enrollment = "appleBulkWithUser", entra = "kept",
    supervised = true },
  macos = { os = "macOS", version = { "15.6.1", "26.0" }, maker = "Apple", owner = "company",
    model = { "MacBook Pro", "MacBook Air" }, agent = "mdm", enrollment = "appleBulkWithUser", entra = "kept" },
  windows_joined = { os = "Windows", version = { "10.0.26100.4946", "10.0.22631.5768" },
    maker = "Microsoft Corporation", owner = "company", model = { "Surface Laptop 7", "Surface Pro 11" }, agent = "mdm",
    enrollment = "windowsAzureADJoin", entra = "removed" },
  windows_registered = { os = "Windows", version = { "10.0.22631.5768", "10.0.19045.6216" }, maker = "LENOVO",
    owner = "personal", model = { "ThinkPad X1 Carbon", "IdeaPad 5" }, agent = "mdm", enrollment = "userEnrollment",
    entra = "removed" },
  android_administrator = { os = "Android", version = { "10", "11" }, maker = "samsung", owner = "personal",
    model = { "SM-T510", "SM-G973F" }, agent = "mdm", enrollment = "userEnrollment", entra = "removed", phone = true },
  android_work_profile = { os = "AndroidForWork", version = { "15", "16" }, maker = "Google", owner = "personal",
    model = { "Pixel 8", "Pixel 9a" }, agent = ANDROID, enrollment = "userEnrollment", entra = "kept", phone = true },
  android_corporate_work_profile = { os = "AndroidEnterprise", version = { "15", "16" }, maker = "samsung",
    owner = "company", model = { "SM-S921B", "SM-A556B" }, agent = ANDROID, enrollment = "unknownFutureValue",
    entra = "kept", phone = true },
  android_fully_managed = { os = "AndroidEnterprise", version = { "14", "15" }, maker = "Zebra Technologies",
    owner = "company", model = { "TC58", "TC22" }, agent = ANDROID, enrollment = "unknownFutureValue", entra = "kept",
    wipe_only = true },
  android_dedicated = { os = "AndroidEnterprise", version = { "13", "14" }, maker = "Honeywell", owner = "company",
    model = { "CT45", "EDA52" }, agent = ANDROID, enrollment = "unknownFutureValue", entra = "kept",
    wipe_only = true, profile = "Warehouse kiosk" },
}

-- What people have, by frequency.
local DRAW = {
  "ios", "ios", "ios", "ios", "windows_joined", "windows_joined", "windows_joined", "windows_joined", "windows_joined",
  "macos", "macos", "ipados", "ipados", "windows_registered", "windows_registered", "android_work_profile",
  "android_work_profile", "android_corporate_work_profile", "android_administrator", "android_fully_managed",
  "android_dedicated",
}

local COUNTS = { 0, 1, 1, 1, 2, 2, 2, 3, 3, 4 }

-- The cast's devices (msgraph.sim.people): by user number. `every` is the check-in interval in seconds,
-- false for a device that never checks in.
local CAST = {
  {
    { platform = "ios", every = 120 }, { platform = "windows_joined", every = 240 },
    { platform = "macos", every = 420 }, { platform = "android_work_profile", every = 600 },
    { platform = "ipados", every = 840 },
  },
  { { platform = "windows_joined", every = 300 } },
  { { platform = "windows_registered", every = 480 }, { platform = "android_corporate_work_profile", every = 360 } },
  {},
  {
    { platform = "android_fully_managed", every = 300 }, { platform = "android_dedicated", every = 600 },
    { platform = "android_administrator", every = 540 },
  },
  {},
  {
    { platform = "ios", every = false }, { platform = "windows_joined", every = 300, fails = true },
    { platform = "macos", every = 6 * DAY },
  },
}

--- How many devices a user begins with.
---@param seed integer
---@param user msgraph.sim.User
---@return integer
function M.count(seed, user)
  if CAST[user.index] then return #CAST[user.index] end
  if not user.licensed then return 0 end
  return random.stream(seed, M.KIND, user.index * M.PER_USER):pick(COUNTS)
end

local function draw_interval(stream)
  if stream:chance(0.88) then return stream:int(120, 840) end -- on and connected: under 15 minutes
  if stream:chance(0.7) then return stream:int(2 * DAY, 12 * DAY) end
  return false
end

local function draw_habits(stream)
  return { platform = stream:pick(DRAW), every = draw_interval(stream), fails = stream:chance(0.03) }
end

---@class msgraph.sim.Hardware          what about a device never changes
---@field index integer
---@field id string
---@field kind string                   "ios", "windows_joined", ...: a key of PLATFORMS
---@field every integer|false           seconds between check-ins, false: never
---@field phase integer                 Unix seconds of some check-in
---@field outcome "leaves"|"fails"|"notSupported"  what a retire comes to
---@field work integer                  seconds from the check-in until the device has done it

--- Device `ordinal` of a user.
---@param seed integer
---@param user msgraph.sim.User
---@param ordinal integer 1 .. M.count(seed, user)
---@return msgraph.sim.Hardware
function M.device(seed, user, ordinal)
  local index = user.index * M.PER_USER + ordinal
  local stream = random.stream(seed, M.KIND, index)
  local habits = CAST[user.index] and CAST[user.index][ordinal] or draw_habits(stream)
  local platform = PLATFORMS[habits.platform]
  return {
    index = index, user = user, seed = seed, kind = habits.platform, platform = platform,
    id = random.id(seed, M.KIND, index),
    every = habits.every,
    phase = clock.START - (habits.every and stream:int(1, habits.every) or stream:int(40 * DAY, 200 * DAY)),
    work = stream:int(20, 90),
    outcome = platform.wipe_only and "notSupported" or habits.fails and "fails" or "leaves",
    model = stream:pick(platform.model), version = stream:pick(platform.version),
    enrolled = clock.START - stream:int(201 * DAY, 900 * DAY),
    compliant = stream:chance(0.93),
  }
end

--- The first check-in after a time, or nil for a device that does not check in any more.
---@param device msgraph.sim.Hardware
---@param time number Unix seconds
---@return integer?
function M.next_check_in(device, time)
  if not device.every then return nil end
  return device.phase + ((time - device.phase) // device.every + 1) * device.every
end

---@param device msgraph.sim.Hardware
---@param time number Unix seconds
---@return number
function M.last_check_in(device, time)
  if not device.every then return device.phase end
  return device.phase + (time - device.phase) // device.every * device.every
end

--- The properties of Graph's managedDevice that never change.
---@param device msgraph.sim.Hardware
---@return table
function M.properties(device)
  local stream = random.stream(device.seed, M.KIND + 1, device.index)
  local platform, user = device.platform, device.user
  local storage = stream:pick { 64, 128, 256, 512 } << 30
  return {
    id = device.id, userId = user.id, userPrincipalName = user.userPrincipalName,
    userDisplayName = user.displayName, emailAddress = user.mail,
    deviceName = user.givenName .. "'s " .. device.model,
    managedDeviceName = user.givenName .. "_" .. platform.os .. "_" .. stream:hex(8),
    managedDeviceOwnerType = platform.owner, operatingSystem = platform.os, osVersion = device.version,
    manufacturer = platform.maker, model = device.model,
    serialNumber = stream:hex(12),
    imei = platform.phone and string.format("35%013d", stream:int(0, 9999999999999)) or "",
    wiFiMacAddress = stream:hex(12), ethernetMacAddress = platform.os == "Windows" and stream:hex(12) or nil,
    azureADDeviceId = random.id(device.seed, M.KIND + 1, device.index), azureADRegistered = true,
    deviceEnrollmentType = platform.enrollment, deviceRegistrationState = "registered",
    managementAgent = platform.agent, enrollmentProfileName = platform.profile,
    enrolledDateTime = clock.iso(device.enrolled),
    managementCertificateExpirationDate = clock.iso(device.enrolled + 1000 * DAY),
    complianceState = device.compliant and "compliant" or "noncompliant",
    complianceGracePeriodExpirationDateTime = "9999-12-31T23:59:59Z",
    jailBroken = platform.maker == "Apple" and "False" or "Unknown",
    isEncrypted = true, isSupervised = platform.supervised or false,
    easActivated = false, easActivationDateTime = "0001-01-01T00:00:00Z", exchangeAccessState = "none",
    exchangeAccessStateReason = "none", exchangeLastSuccessfulSyncDateTime = "0001-01-01T00:00:00Z",
    partnerReportedThreatState = "unknown", deviceCategoryDisplayName = "Unknown",
    totalStorageSpaceInBytes = storage, freeStorageSpaceInBytes = storage // stream:int(2, 9),
    physicalMemoryInBytes = 0,
    phoneNumber = "", subscriberCarrier = "", meid = "", udid = "", iccid = "", notes = "",
  }
end

return M
