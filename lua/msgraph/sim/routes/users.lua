-- lua/msgraph/sim/routes/users.lua - users of the directory.
local clock = require "msgraph.sim.clock"
local delta = require "msgraph.sim.delta"
local json = require "msgraph.sim.json"
local licenses = require "msgraph.sim.licenses"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"
local reply = require "msgraph.sim.reply"

local M = {}

local DAY <const> = 24 * 60 * 60

-- The service plan of Intune, and one of Exchange (Microsoft's published product names).
local INTUNE_PLAN <const> = "c1ec4a95-1f05-45b3-a911-aa3fa01094f5"
local EXCHANGE_PLAN <const> = "efb87545-963c-4e0d-99df-69c6916d9eb0"

local LICENSE = { "disabledPlans", "skuId" }
local PLAN = { "assignedDateTime", "capabilityStatus", "service", "servicePlanId" }

local function created(user)
  return clock.iso(clock.START - user.age_days * DAY)
end

local function license(sku)
  return json.ordered({ disabledPlans = json.array {}, skuId = sku }, LICENSE)
end

-- One for each licence, though it may come in two ways.
local function assigned(user)
  local out, seen = {}, {}
  for _, held in ipairs(licenses.all(user)) do
    if not seen[held.skuId] then out[#out + 1] = license(held.skuId) end
    seen[held.skuId] = true
  end
  return json.array(out)
end

local STATE = { "skuId", "disabledPlans", "assignedByGroup", "state", "error", "lastUpdatedDateTime" }

local function states(user)
  local out = {}
  for i, held in ipairs(licenses.all(user)) do
    out[i] = json.ordered({ skuId = held.skuId, disabledPlans = json.array {}, assignedByGroup = held.group,
      state = "Active", error = "None", lastUpdatedDateTime = created(user) }, STATE)
  end
  return json.array(out)
end

local function plan(user, service, id)
  return json.ordered({ assignedDateTime = created(user), capabilityStatus = "Enabled", service = service,
    servicePlanId = id }, PLAN)
end

-- Properties that are worked out when they are asked for. Whatever stands neither here nor in the
-- record is null.
local COMPUTED = {
  businessPhones = function() return json.array {} end,
  createdDateTime = created,
  creationType = function(user) return user.guest and "Invitation" or nil end,
  externalUserState = function(user) return user.guest and "Accepted" or nil end,
  mailNickname = function(user) return user.userPrincipalName:match("^[^@]*"):gsub("#", "") end,
  onPremisesSyncEnabled = function(user) return user.synced or nil end,
  onPremisesDomainName = function(user) return user.synced and "corp.contoso.com" or nil end,
  onPremisesSamAccountName = function(user) return user.synced and "u" .. user.index or nil end,
  onPremisesSecurityIdentifier = function(user)
    return user.synced and ("S-1-5-21-1004336348-1177238915-682003330-%d"):format(1000 + user.index) or nil
  end,
  onPremisesImmutableId = function(user)
    return user.synced and random.stream(0, 3, user.index):text(22, "ABCDEFGHIJKLMNOPabcdefghijklmnop") .. "==" or nil
  end,
  otherMails = function(user) return json.array(user.guest and { user.mail } or {}) end,
  proxyAddresses = function(user) return json.array { "SMTP:" .. user.mail } end,
  assignedLicenses = assigned,
  licenseAssignmentStates = states,
  assignedPlans = function(user)
    if user.guest then return json.array {} end
    local plans = { plan(user, "exchange", EXCHANGE_PLAN) }
    if user.licensed then plans[2] = plan(user, "SCO", INTUNE_PLAN) end
    return json.array(plans)
  end,
}

local function find(store, key)
  local user = store:find_user(key)
  if user then return store.user_range(user) end
end

local EQUAL = odata.set "eq ne in"

---@type msgraph.sim.Resource
M.resource = {
  type = "microsoft.graph.user",
  known = odata.set [[
    aboutMe accountEnabled ageGroup assignedLicenses assignedPlans authorizationInfo birthday businessPhones city
    companyName consentProvidedForMinor country createdDateTime creationType customSecurityAttributes department
    deviceEnrollmentLimit displayName employeeHireDate employeeId employeeLeaveDateTime employeeOrgData employeeType
    externalUserState externalUserStateChangeDateTime faxNumber givenName hireDate id identities identityParentId
    imAddresses interests isManagementRestricted isResourceAccount jobTitle lastPasswordChangeDateTime
    legalAgeGroupClassification licenseAssignmentStates mail mailNickname mobilePhone mySite officeLocation
    onPremisesDistinguishedName onPremisesDomainName onPremisesExtensionAttributes onPremisesImmutableId
    onPremisesLastSyncDateTime onPremisesProvisioningErrors onPremisesSamAccountName onPremisesSecurityIdentifier
    onPremisesSyncEnabled onPremisesUserPrincipalName otherMails passwordPolicies passwordProfile pastProjects
    postalCode preferredDataLocation preferredLanguage preferredName provisionedPlans proxyAddresses responsibilities
    schools securityIdentifier serviceProvisioningErrors showInAddressList signInActivity
    signInSessionsValidFromDateTime skills state streetAddress surname usageLocation userPrincipalName userType
  ]],
  default = {
    "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation",
    "preferredLanguage", "surname", "userPrincipalName", "id",
  },
  value = function(user, name)
    local computed = COMPUTED[name]
    if computed then return (computed(user)) end
    return user[name]
  end,
  page = 100, max_page = 999,
  filters = {
    accountEnabled = EQUAL, id = EQUAL, userType = EQUAL, onPremisesSyncEnabled = EQUAL,
    userPrincipalName = odata.set "eq ne in startswith endswith", mail = odata.set "eq ne in endswith",
    displayName = odata.set "eq ne in startswith",
  },
  sorts = odata.set "displayName userPrincipalName",
  searches = odata.set "displayName mail userPrincipalName",
  narrow = { id = find, userPrincipalName = find },
  directory = true,
  refuse = function(ctx, message) return reply.error(ctx, 400, "Request_UnsupportedQuery", message) end,
}

local READ = {
  "User.Read.All", "User.ReadWrite.All", "User.ReadBasic.All", "Directory.Read.All", "Directory.ReadWrite.All",
  "DeviceManagementManagedDevices.Read.All", "DeviceManagementManagedDevices.ReadWrite.All",
}
local READ_SELF = table.move(READ, 1, #READ, 2, { "User.Read" })

local function walk(ctx)
  return function(position) return ctx.store:next_user(position) end
end

local function list_users(ctx)
  return odata.list(ctx, M.resource, "users", walk(ctx), 1, ctx.store.size)
end

local function count_users(ctx)
  return odata.count(ctx, M.resource, walk(ctx), 1, ctx.store.size)
end

local REMOVED = { "id", "@removed" }
local REASON = { "reason" }

local function users_delta(ctx)
  local store = ctx.store
  local function item(names, user) return odata.item(M.resource, user, names) end
  local function change(names, index)
    if not store.gone[index] then return item(names, store:user(index)) end
    local removed = json.ordered({ reason = "changed" }, REASON) -- a deleted user can be restored
    return json.ordered({ id = store:user(index).id, ["@removed"] = removed }, REMOVED)
  end
  return delta.answer(ctx, { set = "users", resource = M.resource, changes = store.changes.users, walk = walk(ctx),
    item = item, change = change })
end

local function get_user(ctx)
  return odata.one(ctx, M.resource, "users", ctx.user)
end

M.routes = {
  { "GET", "users", service = "directory", scopes = READ, run = list_users },
  { "GET", "users/$count", service = "directory", scopes = READ, run = count_users },
  { "GET", "users/delta", service = "directory", scopes = READ, run = users_delta },
  { "GET", "users/{user}", service = "directory", scopes = READ, scopes_self = READ_SELF, run = get_user },
}

return M
