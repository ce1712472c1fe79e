-- lua/msgraph/offboard/reads.lua
--- What can be known about a person: one request each, made for many people at once.
--
-- The properties named here are what a plan remembers of a person (the snapshot), and all an action sees.
local errors = require "msgraph.errors"
local json = require "msgraph.json"
local query = require "msgraph.query"

local M = {}

--- Of the account itself; read when people are found.
M.ACCOUNT = { "id", "userPrincipalName", "displayName", "mail", "accountEnabled", "userType", "department", "jobTitle",
  "onPremisesSyncEnabled", "onPremisesSecurityIdentifier", "licenseAssignmentStates" }

local PATIENCE <const> = 3600 -- seconds that a scarce read may wait for its turn

local function of_principal(id) return query.filter("principalId eq ?", id) end

local DEVICE <const> = { "id", "deviceId", "displayName", "accountEnabled", "operatingSystem", "onPremisesSyncEnabled" }

local function of_target(id) return query.filter("target/objectId eq ? and state eq 'delivered'", id) end

local YEAR <const> = 365 * 24 * 60 * 60

local function coming_year()
  local now = os.time()
  return { startDateTime = tostring(query.date(now)), endDateTime = tostring(query.date(now + YEAR)) }
end

-- What is nobody else's business is no meeting. Who is invited is not remembered.
local function is_own_meeting(event)
  local invited = type(event.attendees) == "table" and #event.attendees > 0
  event.attendees = nil
  return invited and event.isOrganizer == true and event.isCancelled ~= true
end

---@class msgraph.offboard.Read
---@field path string       with {id}
---@field select? string[]
---@field one? boolean      one object, or none; else a list
---@field maybe? boolean    of a list: 404 says that there is none, and no mistake
---@field filter? fun(id: string): string
---@field expand? string
---@field query? fun(): table
---@field keep? fun(record: table): boolean  of a list: what is worth remembering; may take from the record
---@field scarce? boolean   so few are allowed (5 in 10 s, FACTS 4) that it waits in the throttle gate, by itself
---@type table<string, msgraph.offboard.Read>
M.reads = {
  manager = { path = "/users/{id}/manager", one = true, select = { "id", "displayName", "userPrincipalName", "mail",
    "onPremisesSecurityIdentifier" } },
  memberships = { path = "/users/{id}/memberOf", select = { "id", "displayName", "groupTypes", "mailEnabled",
    "onPremisesSyncEnabled", "onPremisesSecurityIdentifier", "isAssignableToRole" } },
  owned_objects = { path = "/users/{id}/ownedObjects", select = { "id", "displayName" } },
  auth_methods = { path = "/users/{id}/authentication/methods", scarce = true },
  managed_devices = { path = "/users/{id}/managedDevices", select = { "id", "userId", "deviceName", "operatingSystem",
    "managedDeviceOwnerType", "enrolledDateTime", "managementState", "model", "serialNumber", "azureADDeviceId",
    "deviceEnrollmentType", "deviceActionResults" } },
  registered_devices = { path = "/users/{id}/registeredDevices", select = DEVICE },
  owned_devices = { path = "/users/{id}/ownedDevices", select = DEVICE },
  role_assignments = { path = "/roleManagement/directory/roleAssignments", filter = of_principal },
  active_roles = { path = "/roleManagement/directory/roleAssignmentScheduleInstances", filter = of_principal },
  eligible_roles = { path = "/roleManagement/directory/roleEligibilityScheduleInstances", filter = of_principal },
  app_role_assignments = { path = "/users/{id}/appRoleAssignments" },
  oauth_grants = { path = "/users/{id}/oauth2PermissionGrants" },
  app_registrations = { path = "/users/{id}/managedAppRegistrations" },
  access_packages = { path = "/identityGovernance/entitlementManagement/assignments", filter = of_target,
    expand = "accessPackage" },
  mailbox_settings = { path = "/users/{id}/mailboxSettings", one = true },
  meetings = { path = "/users/{id}/calendarView", maybe = true, query = coming_year, keep = is_own_meeting,
    select = { "id", "subject", "isOrganizer", "isCancelled", "seriesMasterId", "attendees" } },
  drive = { path = "/users/{id}/drive", one = true, select = { "id", "driveType" } },
  direct_reports = { path = "/users/{id}/directReports", select = { "id", "displayName", "userPrincipalName",
    "onPremisesSyncEnabled", "onPremisesSecurityIdentifier" } },
  inbox_rules = { path = "/users/{id}/mailFolders/inbox/messageRules", maybe = true },
}

--- The request a read makes, for the permissions' index.
---@param name string
---@return string "GET /users/{id}/memberOf"
function M.call(name) return "GET " .. M.reads[name].path end

local function fetch(g, row, id)
  local opts = { select = row.select, expand = row.expand, filter = row.filter and row.filter(id),
    query = row.query and row.query(), deadline = row.scarce and PATIENCE }
  local template, used = row.path:gsub("{id}", "%%s")
  local read = row.one and g.get or g.list
  if used == 0 then return read(template, opts) end
  return read(template, id, opts)
end

local function kept(list, keep)
  local out = {}
  for _, record in ipairs(list) do
    if keep(record) then out[#out + 1] = record end
  end
  return json.array(out)
end

--- Reads; raises the msgraph.Error.
---@param g msgraph.offboard.Reader
---@param name string
---@param id string object id
---@return table? value a list, or one object; nil: there is none
function M.read(g, name, id)
  local row = M.reads[name]
  local ok, found = pcall(fetch, g, row, id)
  if not ok then
    if row.maybe and errors.Error.is(found) and found.kind == "not_found" then return nil end
    error(found, 0)
  end
  return row.keep and kept(found, row.keep) or found
end

return M
