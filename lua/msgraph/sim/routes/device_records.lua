-- lua/msgraph/sim/routes/device_records.lua - what is kept about devices: Autopilot's identities, recovery keys, local
-- passwords. Windows machines joined by the company have all three.
local hardware = require "msgraph.sim.hardware"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local KINDS = relation.KINDS

local function hardware_of(store, index)
  local user = store:user(index // hardware.PER_USER)
  local ordinal = index % hardware.PER_USER
  if not user or ordinal < 1 or ordinal > user.devices then return nil end
  local device = store.hardware(index, store.seed, user, ordinal)
  return device.kind == "windows_joined" and device or nil
end

-- ---- Autopilot ----------------------------------------------------------------------------------

local IDENTITY = relation.resource("microsoft.graph.windowsAutopilotDeviceIdentity",
  "id serialNumber model manufacturer azureActiveDirectoryDeviceId userPrincipalName")

local function identity_of(store, index)
  local device = hardware_of(store, index)
  if not device or store:get("autopilot_deleted/" .. index) then return nil end
  local properties = hardware.properties(device)
  return { id = random.id(store.seed, KINDS.autopilot, index), serialNumber = properties.serialNumber,
    model = properties.model, manufacturer = properties.manufacturer,
    azureActiveDirectoryDeviceId = properties.azureADDeviceId, userPrincipalName = device.user.userPrincipalName }
end

local function list_identities(ctx)
  local records, store = {}, ctx.store
  local user, position = store:next_user(1)
  while user do
    for ordinal = 1, user.devices do
      records[#records + 1] = identity_of(store, user.index * hardware.PER_USER + ordinal)
    end
    user, position = store:next_user(position)
  end
  return relation.list(ctx, IDENTITY, "deviceManagement/windowsAutopilotDeviceIdentities", records)
end

local function on_identity(run)
  return function(ctx)
    local index = random.index(ctx.seed, KINDS.autopilot, ctx.params.identity)
    local identity = index and identity_of(ctx.store, index)
    if not identity then return reply.intune_error(ctx, 404, "ResourceNotFound", "Device not found") end
    return run(ctx, identity, index)
  end
end

local function get_identity(ctx, identity)
  return odata.one(ctx, IDENTITY, "deviceManagement/windowsAutopilotDeviceIdentities", identity)
end

-- A device that Intune still manages has to leave it first.
local function delete_identity(ctx, identity, index)
  local user = ctx.store:user(index // hardware.PER_USER)
  if ctx.store:device_of(user, index % hardware.PER_USER, ctx.now) then
    return reply.intune_error(ctx, 400, "BadRequest", "The device has to be deleted from Intune first")
  end
  ctx.store:set("autopilot_deleted/" .. index, true)
  return relation.done(ctx, "delete_autopilot " .. identity.id)
end

-- ---- keys ---------------------------------------------------------------------------------------

local KEY = relation.resource("microsoft.graph.bitlockerRecoveryKey", "id createdDateTime volumeType deviceId",
  { known = "key", filters = "deviceId" })

--- A key is shown to nobody who does not select it.
local function list_keys(ctx)
  local records = {}
  local device_id = (odata.query(ctx.query)["$filter"] or ""):match "deviceId eq '([^']*)'"
  local index = device_id and random.index(ctx.seed, hardware.KIND + 1, device_id)
  if index and hardware_of(ctx.store, index) then
    records[1] = { id = random.id(ctx.seed, KINDS.recovery_key, index), createdDateTime = "2025-03-01T08:00:00Z",
      volumeType = "1", deviceId = device_id, key = "111111-222222-333333-444444-555555-666666-777777-888888" }
  end
  return relation.list(ctx, KEY, "informationProtection/bitlocker/recoveryKeys", records)
end

local PASSWORD = relation.resource("microsoft.graph.deviceLocalCredentialInfo",
  "id deviceName lastBackupDateTime refreshDateTime", { known = "credentials" })

local function get_password(ctx)
  local index = random.index(ctx.seed, hardware.KIND + 1, ctx.params.device)
  local device = index and hardware_of(ctx.store, index)
  if not device then return reply.no_such_object(ctx, ctx.params.device) end
  return odata.one(ctx, PASSWORD, "directory/deviceLocalCredentials", { id = ctx.params.device,
    deviceName = hardware.properties(device).deviceName, lastBackupDateTime = "2026-08-01T08:00:00Z",
    refreshDateTime = "2026-09-10T08:00:00Z" })
end

local READ_IDENTITIES = { "DeviceManagementServiceConfig.Read.All", "DeviceManagementServiceConfig.ReadWrite.All" }
local IDENTITIES = { "DeviceManagementServiceConfig.ReadWrite.All" }
local AUTOPILOT <const> = "deviceManagement/windowsAutopilotDeviceIdentities"

M.routes = {
  { "GET", AUTOPILOT, service = "intune", scopes = READ_IDENTITIES, run = list_identities },
  { "GET", AUTOPILOT .. "/{identity}", service = "intune", scopes = READ_IDENTITIES, run = on_identity(get_identity) },
  { "DELETE", AUTOPILOT .. "/{identity}", service = "intune", scopes = IDENTITIES, run = on_identity(delete_identity) },
  { "GET", "informationProtection/bitlocker/recoveryKeys", service = "directory",
    scopes = { "BitlockerKey.ReadBasic.All", "BitlockerKey.Read.All" }, run = list_keys },
  { "GET", "directory/deviceLocalCredentials/{device}", service = "directory",
    scopes = { "DeviceLocalCredential.ReadBasic.All", "DeviceLocalCredential.Read.All" }, run = get_password },
}

return M
