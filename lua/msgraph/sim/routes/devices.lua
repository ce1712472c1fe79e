-- lua/msgraph/sim/routes/devices.lua - Intune: managed devices, and how they leave management.
local clock = require "msgraph.sim.clock"
local hardware = require "msgraph.sim.hardware"
local json = require "msgraph.sim.json"
local odata = require "msgraph.sim.odata"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local RESULT = { "actionName", "actionState", "startDateTime", "lastUpdatedDateTime" }

local function result(name, progress)
  return json.ordered({ actionName = name, actionState = progress.action,
    startDateTime = clock.iso(progress.started), lastUpdatedDateTime = clock.iso(progress.updated) }, RESULT)
end

-- Properties that change; the rest is hardware's.
local COMPUTED = {
  managementState = function(device) return device.managementState end,
  lastSyncDateTime = function(device) return clock.iso(device.lastSync) end,
  deviceActionResults = function(device)
    local out = {}
    if device.retire then out[1] = result(device.retire.name, device.retire) end
    if device.lock then out[#out + 1] = result("remoteLock", device.lock) end
    return json.array(out)
  end,
}

local function value(device, name)
  if COMPUTED[name] then return COMPUTED[name](device) end
  device.properties = device.properties or hardware.properties(device)
  return device.properties[name]
end

--- The positions of the devices of the one user that `property` eq `text` speaks of.
local function of_user(property)
  return function(store, text)
    local user = store:find_user(text)
    if user and user[property]:lower() == text:lower() then return store.device_range(user) end
  end
end

---@type msgraph.sim.Resource
M.resource = {
  type = "microsoft.graph.managedDevice",
  default = {
    "id", "userId", "deviceName", "managedDeviceOwnerType", "enrolledDateTime", "lastSyncDateTime", "operatingSystem",
    "complianceState", "jailBroken", "managementAgent", "osVersion", "easActivated", "easDeviceId",
    "easActivationDateTime", "azureADRegistered", "deviceEnrollmentType", "activationLockBypassCode", "emailAddress",
    "azureADDeviceId", "deviceRegistrationState", "deviceCategoryDisplayName", "isSupervised",
    "exchangeLastSuccessfulSyncDateTime", "exchangeAccessState", "exchangeAccessStateReason",
    "remoteAssistanceSessionUrl", "remoteAssistanceSessionErrorDetails", "isEncrypted", "userPrincipalName", "model",
    "manufacturer", "imei", "complianceGracePeriodExpirationDateTime", "serialNumber", "phoneNumber",
    "androidSecurityPatchLevel", "userDisplayName", "configurationManagerClientEnabledFeatures", "wiFiMacAddress",
    "deviceHealthAttestationState", "subscriberCarrier", "meid", "totalStorageSpaceInBytes",
    "freeStorageSpaceInBytes", "managedDeviceName", "partnerReportedThreatState", "requireUserEnrollmentApproval",
    "managementCertificateExpirationDate", "iccid", "udid", "notes", "ethernetMacAddress", "physicalMemoryInBytes",
    "enrollmentProfileName", "managementState", "deviceActionResults",
  },
  value = value,
  page = 1000, max_page = 1000, clamp = true,
  filters = {
    userId = { eq = true }, userPrincipalName = { eq = true }, operatingSystem = { eq = true },
    azureADDeviceId = { eq = true }, deviceName = { eq = true, startswith = true }, managementState = { eq = true },
  },
  narrow = { userId = of_user "id", userPrincipalName = of_user "userPrincipalName" },
  refuse = function(ctx, message) return reply.intune_error(ctx, 400, "BadRequest", message) end,
}
M.resource.known = odata.set(table.concat(M.resource.default, " "))

local READ = {
  "DeviceManagementManagedDevices.Read.All", "DeviceManagementManagedDevices.ReadWrite.All",
  "DeviceManagementConfiguration.Read.All", "DeviceManagementConfiguration.ReadWrite.All",
}
local WRITE = { "DeviceManagementManagedDevices.ReadWrite.All", "DeviceManagementConfiguration.ReadWrite.All" }
local PRIVILEGED = { "DeviceManagementManagedDevices.PrivilegedOperations.All" }

-- Roles that let a signed-in user see devices, and act on them.
local READERS = {
  "Intune Administrator", "Global Administrator", "Help Desk Operator", "Read Only Operator", "Global Reader",
}
local OPERATORS = { "Intune Administrator", "Global Administrator", "Help Desk Operator" }

local function walk(ctx)
  return function(position) return ctx.store:next_device(position, ctx.now) end
end

local function list_devices(ctx)
  return odata.list(ctx, M.resource, "deviceManagement/managedDevices", walk(ctx), 0, math.maxinteger)
end

local function list_user_devices(ctx)
  local first, last = ctx.store.device_range(ctx.user)
  local set = "users('" .. ctx.user.id .. "')/managedDevices"
  return odata.list(ctx, M.resource, set, walk(ctx), first, last)
end

--- The device a path names, or nil and the answer: an id that is no GUID is 400, an unknown one 404.
local function find_device(ctx)
  local id = ctx.params.device
  local device = ctx.store:find_device(id, ctx.now)
  if device then return device end
  if not id:find("^%x+%-%x+%-%x+%-%x+%-%x+$") or #id ~= 36 then
    return nil, reply.intune_error(ctx, 400, "InternalError", "An error has occurred")
  end
  return nil, reply.intune_error(ctx, 404, "ResourceNotFound", "Device with id " .. id .. " not found")
end

local function get_device(ctx)
  local device, refusal = find_device(ctx)
  if not device then return refusal end
  return odata.one(ctx, M.resource, "deviceManagement/managedDevices", device)
end

local function apply_retire(ctx, device)
  ctx.actions[#ctx.actions + 1] = "retire " .. device.id
  ctx.store:retire(device, ctx.now)
end

--- Multi Admin Approval: refused until a second administrator has approved (tenant:require_approval).
local function unapproved(ctx, action)
  local status = ctx.store:get("approval/" .. action)
  return status and reply.intune_error(ctx, status, status == 403 and "Forbidden" or "BadRequest",
    "The request needs approval: header x-msft-approval-justification is missing")
end

local function retire_device(ctx)
  local device, refusal = find_device(ctx)
  refusal = refusal or unapproved(ctx, "retire")
  if refusal then return refusal end
  apply_retire(ctx, device)
  return reply.no_content()
end

-- What is somebody's own but for one profile is not the company's to wipe (FACTS 2.2).
local NOT_WIPED = { appleUserEnrollment = true }

local function wipe_device(ctx)
  local device, refusal = find_device(ctx)
  refusal = refusal or unapproved(ctx, "wipe")
  if refusal then return refusal end
  if NOT_WIPED[device.platform.enrollment] or device.platform.os == "AndroidForWork" then
    return reply.intune_error(ctx, 400, "BadRequest", "The action is not supported on this device")
  end
  ctx.actions[#ctx.actions + 1] = "wipe " .. device.id
  ctx.store:retire(device, ctx.now, true)
  return reply.no_content()
end

local function lock_device(ctx)
  local device, refusal = find_device(ctx)
  if not device then return refusal end
  ctx.store:set("lock/" .. device.index, ctx.now)
  return relation.done(ctx, "remoteLock " .. device.id)
end

--- What the simulated device does of the rest is not kept; the log has what was asked.
local function asked(action)
  return function(ctx)
    local device, refusal = find_device(ctx)
    if not device then return refusal end
    ctx.actions[#ctx.actions + 1] = action .. " " .. device.id
    return reply.no_content()
  end
end

local function delete_device(ctx)
  local device, refusal = find_device(ctx)
  if not device then return refusal end
  ctx.actions[#ctx.actions + 1] = "delete " .. device.id
  ctx.store:delete(device)
  return reply.no_content()
end

--- The core action: 204 says that every device of the user has been asked to retire.
local function remove_all_devices(ctx)
  for _, device in ipairs(ctx.store:devices_of(ctx.user, ctx.now)) do apply_retire(ctx, device) end
  return reply.no_content()
end

--- In Microsoft's OpenAPI, not in the service.
local function no_route(ctx)
  return reply.error(ctx, 404, "No method match route template",
    "No OData route exists that match template ~/entityset/key/navigation/key with http verb " .. ctx.method
      .. " for request /DeviceFE/StatelessDeviceFEService/users('" .. ctx.params.user .. "')/managedDevices('"
      .. ctx.params.device .. "').")
end

local function intune(method, path, scopes, roles, run)
  return { method, path, service = "intune", scopes = scopes, roles = roles, run = run }
end

local LONG <const> = "deviceManagement/detectedApps/{app}/managedDevices/{any}/"

M.routes = {
  intune("POST", "users/{user}/removeAllDevicesFromManagement", PRIVILEGED, OPERATORS, remove_all_devices),
  intune("POST", LONG .. "users/{user}/removeAllDevicesFromManagement", PRIVILEGED, OPERATORS, remove_all_devices),
  intune("GET", "users/{user}/managedDevices", READ, READERS, list_user_devices),
  intune("DELETE", "users/{user}/managedDevices/{device}", WRITE, OPERATORS, no_route),
  intune("GET", "deviceManagement/managedDevices", READ, READERS, list_devices),
  intune("GET", "deviceManagement/managedDevices/{device}", READ, READERS, get_device),
  intune("DELETE", "deviceManagement/managedDevices/{device}", WRITE, OPERATORS, delete_device),
  intune("POST", "deviceManagement/managedDevices/{device}/retire", PRIVILEGED, OPERATORS, retire_device),
  intune("POST", "deviceManagement/managedDevices/{device}/wipe", PRIVILEGED, OPERATORS, wipe_device),
  intune("POST", "deviceManagement/managedDevices/{device}/remoteLock", PRIVILEGED, OPERATORS, lock_device),
}

for _, action in ipairs { "syncDevice", "resetPasscode", "bypassActivationLock", "deleteUserFromSharedAppleDevice" } do
  M.routes[#M.routes + 1] = intune("POST", "deviceManagement/managedDevices/{device}/" .. action, PRIVILEGED, OPERATORS,
    asked(action))
end

return M
