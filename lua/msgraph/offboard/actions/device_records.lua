--- What is kept about devices: keys, before they leave; records, once they have left.
local devices = require "msgraph.offboard.devices"
local intune = require "msgraph.offboard.intune"

-- ---- keys ---------------------------------------------------------------------------------------

local check_keys = {
  id = "devices.check_keys", version = 1, effect = "converge", danger = "safe", settle = 0,
  about = "says which Windows devices have a BitLocker key and a local administrator's password kept; no key is read",
  reads = { "registered_devices", "owned_devices" },
  calls = { "GET /informationProtection/bitlocker/recoveryKeys", "GET /directory/deviceLocalCredentials/{id}" },
}

local NO_KEY <const> = "no BitLocker key of it is kept: whatever is on its disk is lost with the last account on it. "
  .. "Have it back up its key, then resolve this"

-- Without $select neither answer holds a key or a password; only that there is one is remembered.
local function has_key(g, device)
  local filter = g.filter("deviceId eq ?", device.deviceId)
  return #g.list("/informationProtection/bitlocker/recoveryKeys", { filter = filter }) > 0
end

local function has_password(g, device)
  return g.get("/directory/deviceLocalCredentials/%s", device.deviceId, { select = { "id" } }) ~= nil
end

function check_keys.plan(ctx)
  local any = false
  for _, device in ipairs(devices.of_directory(ctx)) do
    if devices.is_windows(device) then
      any = true
      local laps = has_password(ctx.reader, device) and "its local administrator's password is kept"
        or "no local password is kept"
      if has_key(ctx.reader, device) then
        ctx:unchanged(("%s: its BitLocker key is kept, %s"):format(device.displayName, laps), device.id)
      else
        ctx:hand_off { target = device.id, name = device.displayName, system = "intune", task = "back-up-recovery-key",
          why = ("%s (%s)"):format(NO_KEY, laps) }
      end
    end
  end
  if not any then ctx:unchanged("no Windows devices") end
end

-- Whether a person has had the key backed up.
function check_keys.probe(g, op)
  local device = g.get("/devices/%s", op.target_id, { select = { "id", "deviceId" } })
  return device and has_key(g, device) and "yes" or "no"
end

-- ---- records ------------------------------------------------------------------------------------

local AUTOPILOT <const> = "/deviceManagement/windowsAutopilotDeviceIdentities"

local delete = {
  id = "devices.delete_records", version = 1, effect = "converge", danger = "irreversible", settle = 60,
  about = "deletes what Entra and Autopilot know of devices, once Intune says that they have left",
  reads = { "registered_devices", "owned_devices", "managed_devices" },
  calls = { "DELETE /devices/{id}", "GET " .. AUTOPILOT, "DELETE " .. AUTOPILOT .. "/{id}",
    "DELETE /deviceManagement/managedDevices/{id}" },
  options = {
    pending = { type = "boolean", about = "also of devices that were asked to leave before this plan and have not yet: "
      .. "Intune forgets them, and takes them out when they check in; default false" },
  },
  already = { not_found = true },
  hand_off = { approval_required = intune.APPROVAL },
}

local LOST <const> = "the device has to be enrolled again; BitLocker keys kept with it are lost"
local NOT_YET <const> = "the device has not left Intune yet: resolve this as redo when it has"

local function path_of(ctx, id) return ctx.reader.path("/deviceManagement/managedDevices/%s", id) end

-- Nothing is deleted of a device while Intune still knows it: it could not be told to leave any more.
local function guard_of(ctx, managed)
  return managed and { path = path_of(ctx, managed.id) .. "?$select=id", gone = NOT_YET } or nil
end

local function is_leaving(ctx, managed)
  return intune.LEAVING[managed.managementState] or ctx:has_op("intune.retire", managed.id)
    or ctx:has_op("intune.wipe", managed.id) or ctx:has_op("devices.retire_all", ctx.user.id)
end

local function delete_of_intune(ctx, managed)
  return ctx:op { key = "intune/" .. managed.id, target = managed.id, name = managed.deviceName, no_inverse = LOST,
    request = ctx.client:managed_device(managed.id):request("delete"),
    guard = { path = path_of(ctx, managed.id) .. "?$select=id,userId,managementState",
      expect = { userId = managed.userId, managementState = managed.managementState } },
    label = ("Delete Intune's record of %s, which has not checked in"):format(managed.deviceName) }
end

-- Identities by serial number and by the device's id, made once for each list.
local index_of = setmetatable({}, { __mode = "k" })

local function identity_of(ctx, device, managed)
  if not devices.is_windows(device) then return nil end
  local list = ctx:shared("autopilot", AUTOPILOT)
  local index = index_of[list]
  if not index then
    index = {}
    for _, identity in ipairs(list) do
      for _, name in ipairs { "serialNumber", "azureActiveDirectoryDeviceId" } do
        if identity[name] and identity[name] ~= "" then index[identity[name]] = identity end
      end
    end
    index_of[list] = index
  end
  return managed and index[managed.serialNumber] or index[device.deviceId]
end

-- Autopilot first: its identity holds on to the device object. Two objects may be of one machine.
local function delete_of_autopilot(ctx, device, managed, deps)
  local identity = identity_of(ctx, device, managed)
  if not identity or ctx:has_op("devices.delete_records", identity.id) then return nil end
  return ctx:op { key = "autopilot/" .. identity.id, target = identity.id, name = identity.serialNumber,
    request = { method = "DELETE", path = ctx.reader.path(AUTOPILOT .. "/%s", identity.id) }, deps = deps,
    guard = guard_of(ctx, managed), no_inverse = LOST,
    label = ("Take %s out of Autopilot"):format(device.displayName) }.key
end

local function delete_one(ctx, device, managed, opts)
  local deps = {}
  if managed and opts.pending and intune.LEAVING[managed.managementState] then
    deps[1] = delete_of_intune(ctx, managed).key
  end
  deps[#deps + 1] = delete_of_autopilot(ctx, device, managed, { table.unpack(deps) })
  ctx:op { key = "entra/" .. device.id, target = device.id, name = device.displayName, deps = deps,
    request = ctx.client:device(device.id):request("delete"), guard = guard_of(ctx, managed), no_inverse = LOST,
    label = ("Delete the device %s from the directory"):format(device.displayName) }
end

function delete.plan(ctx, opts)
  local list, managed_by = devices.of_directory(ctx), {}
  for _, managed in ipairs(ctx:read "managed_devices") do managed_by[managed.azureADDeviceId or ""] = managed end
  if #list == 0 then return ctx:unchanged("no devices in the directory") end
  for _, device in ipairs(list) do
    local managed = managed_by[device.deviceId]
    if device.onPremisesSyncEnabled == true then
      ctx:hand_off { target = device.id, name = device.displayName, system = "active-directory", task = "delete-device",
        why = "the device comes from Active Directory, and goes when its computer account is deleted there" }
    elseif managed and not is_leaving(ctx, managed) then
      ctx:skip(("%s is managed by Intune: retire it first"):format(device.displayName), device.id)
    else
      delete_one(ctx, device, managed, opts)
    end
  end
end

function delete.probe(g, op)
  return g.get(op.desired.path or g.path("/devices/%s", op.target_id)) and "no" or "yes"
end

return { check_keys, delete }
