-- lua/msgraph/sim/routes/apps.lua - Intune's app protection, and what risk detection is told.
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local REGISTRATION = relation.resource("microsoft.graph.managedAppRegistration",
  "@odata.type id userId deviceTag deviceName appIdentifier")

local OPENED <const> = 600 -- seconds after which everybody has opened his Outlook again

-- Outlook on each phone; a device's tag is good for all of its apps.
local function registrations(ctx)
  local out = {}
  for _, device in ipairs(ctx.store:devices_of(ctx.user, ctx.now)) do
    local wiped = ctx.store:get("apps_wiped/" .. device.index)
    if device.platform.phone and not (wiped and ctx.now >= wiped + OPENED) then
      out[#out + 1] = { ["@odata.type"] = "#microsoft.graph.iosManagedAppRegistration",
        id = random.id(ctx.seed, relation.KINDS.registration, device.index), userId = ctx.user.id,
        deviceTag = random.id(ctx.seed, relation.KINDS.device_tag, device.index), deviceName = device.model,
        appIdentifier = { bundleId = "com.microsoft.Office.Outlook" } }
    end
  end
  return out
end

local function list_registrations(ctx)
  return relation.list(ctx, REGISTRATION, "managedAppRegistrations", registrations(ctx))
end

local function wipe_app_data(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  if type(body.deviceTag) ~= "string" then return reply.intune_error(ctx, 400, "BadRequest", "deviceTag is missing") end
  local index = random.index(ctx.seed, relation.KINDS.device_tag, body.deviceTag)
  if index then ctx.store:set("apps_wiped/" .. index, ctx.now) end
  return relation.done(ctx, ("wipe_app_data %s %s"):format(ctx.user.id, body.deviceTag))
end

local function confirm_compromised(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  for _, id in ipairs(type(body.userIds) == "table" and body.userIds or {}) do
    if not ctx.store:find_user(tostring(id)) then return reply.no_such_object(ctx, tostring(id)) end
    ctx.actions[#ctx.actions + 1] = "confirm_compromised " .. id
  end
  return reply.no_content()
end

M.routes = {
  { "GET", "users/{user}/managedAppRegistrations", service = "intune",
    scopes = { "DeviceManagementApps.Read.All", "DeviceManagementApps.ReadWrite.All" }, run = list_registrations },
  { "POST", "users/{user}/wipeManagedAppRegistrationsByDeviceTag", service = "intune",
    scopes = { "DeviceManagementApps.ReadWrite.All" }, run = wipe_app_data },
  { "POST", "identityProtection/riskyUsers/confirmCompromised", service = "directory",
    scopes = { "IdentityRiskyUser.ReadWrite.All" }, run = confirm_compromised },
}

return M
