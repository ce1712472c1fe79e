-- lua/msgraph/sim/routes/licenses.lua - licences of a user: read, given, taken away (FACTS 2.4).
local json = require "msgraph.sim.json"
local licenses = require "msgraph.sim.licenses"
local odata = require "msgraph.sim.odata"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"
local users = require "msgraph.sim.routes.users"

local M = {}

local NAMES = { [licenses.WITH_INTUNE] = "EMS", [licenses.WITHOUT] = "ENTERPRISEPACK" }
local DETAILS = relation.resource("microsoft.graph.licenseDetails", "id skuId skuPartNumber servicePlans")
local SKUS = relation.resource("microsoft.graph.subscribedSku", "id skuId skuPartNumber capabilityStatus consumedUnits")

local function list_details(ctx)
  local records, seen = {}, {}
  for _, held in ipairs(licenses.all(ctx.user)) do
    if not seen[held.skuId] then
      records[#records + 1] = { id = held.skuId, skuId = held.skuId, skuPartNumber = NAMES[held.skuId],
        servicePlans = json.array {} }
    end
    seen[held.skuId] = true
  end
  return relation.list(ctx, DETAILS, "users('" .. ctx.user.id .. "')/licenseDetails", records)
end

local function list_skus(ctx)
  local records = {}
  for _, sku in ipairs { licenses.WITH_INTUNE, licenses.WITHOUT } do
    records[#records + 1] = { id = sku, skuId = sku, skuPartNumber = NAMES[sku], capabilityStatus = "Enabled",
      consumedUnits = 0 }
  end
  return relation.list(ctx, SKUS, "subscribedSkus", records)
end

local function bad(ctx, message)
  return reply.error(ctx, 400, "Request_BadRequest", message)
end

local function has(list, wanted)
  for _, value in ipairs(list) do
    if value == wanted then return true end
  end
  return false
end

local function is_inherited(user, sku)
  for _, held in ipairs(licenses.all(user)) do
    if held.skuId == sku and held.group then return true end
  end
  return false
end

--- Why these cannot be taken away, as an answer.
local function removal_fault(ctx, remove)
  local direct = licenses.direct(ctx.user)
  for _, sku in ipairs(remove) do
    if not has(direct, sku) then
      return bad(ctx, is_inherited(ctx.user, sku)
        and "User license is inherited from a group membership and it cannot be removed directly from the user."
        or "User does not have a corresponding license.")
    end
  end
end

local function addition_fault(ctx, add)
  for _, license in ipairs(add) do
    if type(license) ~= "table" or not NAMES[license.skuId] then
      return bad(ctx, "License " .. tostring(license.skuId) .. " does not correspond to a valid company License.")
    end
  end
end

local function assign(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  local add, remove = body.addLicenses, body.removeLicenses
  if type(add) ~= "table" or type(remove) ~= "table" then
    return bad(ctx, "One or more parameters of the operation 'assignLicense' are missing from the request payload.")
  end
  no = removal_fault(ctx, remove) or addition_fault(ctx, add)
  if no then return no end
  local skus = {}
  for _, sku in ipairs(licenses.direct(ctx.user)) do
    if not has(remove, sku) then skus[#skus + 1] = sku end
  end
  for _, license in ipairs(add) do
    if not has(skus, license.skuId) then skus[#skus + 1] = license.skuId end
  end
  ctx.store:change_user(ctx.user, { skus = skus })
  for _, sku in ipairs(remove) do ctx.actions[#ctx.actions + 1] = ("remove_license %s %s"):format(ctx.user.id, sku) end
  for _, license in ipairs(add) do
    ctx.actions[#ctx.actions + 1] = ("assign_license %s %s"):format(ctx.user.id, license.skuId)
  end
  return odata.one(ctx, users.resource, "users", ctx.store:user(ctx.user.index))
end

local function reprocess(ctx)
  ctx.actions[#ctx.actions + 1] = "reprocess_licenses " .. ctx.user.id
  return odata.one(ctx, users.resource, "users", ctx.user)
end

local READ = { "LicenseAssignment.Read.All", "LicenseAssignment.ReadWrite.All", "User.Read.All", "User.ReadWrite.All",
  "Directory.Read.All", "Directory.ReadWrite.All" }
local WRITE = { "LicenseAssignment.ReadWrite.All", "User.ReadWrite.All", "Directory.ReadWrite.All" }
local REPROCESS = { "User.ReadWrite.All", "Directory.ReadWrite.All" }

M.routes = {
  { "GET", "users/{user}/licenseDetails", service = "directory", scopes = READ, run = list_details },
  { "GET", "subscribedSkus", service = "directory", scopes = READ, run = list_skus },
  { "POST", "users/{user}/assignLicense", service = "directory", scopes = WRITE, run = assign },
  { "POST", "users/{user}/reprocessLicenseAssignment", service = "directory", scopes = REPROCESS, run = reprocess },
}

return M
