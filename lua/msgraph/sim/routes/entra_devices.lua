-- lua/msgraph/sim/routes/entra_devices.lua - device objects of the directory (FACTS 2.3).
--
-- There is one for each device a user ever enrolled; it stays when Intune's record goes.
local hardware = require "msgraph.sim.hardware"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"
local users = require "msgraph.sim.routes.users"

local M = {}

local KINDS = relation.KINDS

local function record_of(store, user, ordinal)
  local index = user.index * hardware.PER_USER + ordinal
  local properties = hardware.properties(store.hardware(index, store.seed, user, ordinal))
  return {
    ["@odata.type"] = "#microsoft.graph.device", id = random.id(store.seed, KINDS.entra_device, index),
    deviceId = properties.azureADDeviceId, displayName = properties.deviceName,
    operatingSystem = properties.operatingSystem, isManaged = true, user = user, index = index,
    accountEnabled = not store:get("device_disabled/" .. index),
  }
end

local function of_user(store, user)
  local out = {}
  for ordinal = 1, user.devices do
    local record = record_of(store, user, ordinal)
    if not store:get("device_deleted/" .. record.index) then out[#out + 1] = record end
  end
  return out
end

-- By object id, or as deviceId='...', which is Intune's azureADDeviceId.
local function index_of(seed, key)
  local device_id = key:match("^deviceId='(.*)'$")
  if device_id then return random.index(seed, hardware.KIND + 1, device_id) end
  return random.index(seed, KINDS.entra_device, key)
end

local function find(ctx)
  local store, index = ctx.store, index_of(ctx.seed, ctx.params.device)
  local user = index and store:user(index // hardware.PER_USER)
  local ordinal = index and index % hardware.PER_USER
  if not user or ordinal < 1 or ordinal > user.devices or store:get("device_deleted/" .. index) then
    return nil, reply.no_such_object(ctx, ctx.params.device)
  end
  return record_of(store, user, ordinal)
end

local function on_device(run)
  return function(ctx)
    local record, no = find(ctx)
    if not record then return no end
    return run(ctx, record)
  end
end

local DEVICE = relation.resource("microsoft.graph.device",
  "id accountEnabled deviceId displayName operatingSystem isManaged onPremisesSyncEnabled", { known = "@odata.type" })
local OBJECT = relation.resource("microsoft.graph.directoryObject",
  "@odata.type " .. table.concat(DEVICE.default, " "), { directory = true })

local function list_of_user(ctx)
  return relation.list(ctx, OBJECT, "directoryObjects", of_user(ctx.store, ctx.user))
end

local function get_device(ctx, record)
  return odata.one(ctx, DEVICE, "devices", record)
end

local function update(ctx, record)
  local body, no = relation.body(ctx)
  if not body then return no end
  if type(body.accountEnabled) ~= "boolean" then
    return reply.error(ctx, 400, "Request_BadRequest", "One or more properties contains invalid values.")
  end
  ctx.store:set("device_disabled/" .. record.index, not body.accountEnabled)
  return relation.done(ctx, (body.accountEnabled and "enable_device " or "disable_device ") .. record.id)
end

local function delete(ctx, record)
  ctx.store:set("device_deleted/" .. record.index, true)
  return relation.done(ctx, "delete_device " .. record.id)
end

-- `link`: "owner" or "user"; the same person is both.
local function linked(ctx, record, link)
  return not ctx.store:get(("device_no_%s/%d"):format(link, record.index)) and { record.user } or {}
end

local function list_owners(ctx, record)
  return relation.list(ctx, users.resource, "directoryObjects", linked(ctx, record, "owner"))
end

local function unlink(link)
  return on_device(function(ctx, record)
    local person = linked(ctx, record, link)[1]
    if not person or person.id ~= ctx.params.member then return reply.no_such_object(ctx, ctx.params.member) end
    ctx.store:set(("device_no_%s/%d"):format(link, record.index), true)
    return relation.done(ctx, ("remove_registered_%s %s"):format(link, record.id))
  end)
end

local READ_USER = { "User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All" }
local READ = { "Device.Read.All", "Device.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All" }
local WRITE = { "Device.ReadWrite.All", "Directory.AccessAsUser.All", "Directory.ReadWrite.All" }
local DELEGATED = { "Directory.AccessAsUser.All" }

local function directory(method, path, scopes, run)
  return { method, path, service = "directory", scopes = scopes, run = run }
end

M.routes = {
  directory("GET", "users/{user}/registeredDevices", READ_USER, list_of_user),
  directory("GET", "users/{user}/ownedDevices", READ_USER, list_of_user),
  directory("GET", "devices/{device}", READ, on_device(get_device)),
  directory("PATCH", "devices/{device}", WRITE, on_device(update)),
  directory("DELETE", "devices/{device}", WRITE, on_device(delete)),
  directory("GET", "devices/{device}/registeredOwners", READ, on_device(list_owners)),
  directory("DELETE", "devices/{device}/registeredOwners/{member}/$ref", DELEGATED, unlink "owner"),
  directory("DELETE", "devices/{device}/registeredUsers/{member}/$ref", DELEGATED, unlink "user"),
}

return M
