-- lua/msgraph/calls.lua
--- Every call of the resources, one row each: what is sent, and what it does when it is sent again.
--
-- The methods of client:user(…), client:group(…) and the others are made from this table (msgraph.resources), the
-- permissions of each come from the index (msgraph.permissions, by method and path), and docs/resources.md is
-- compared with it. Facts: FACTS 2.1 to 2.10. Fields keep Graph's own names.
local json = require "msgraph.json"

local M = {}

---@class msgraph.Call
---@field [1] string        method
---@field [2] string|fun(given: any): string, string  path below the resource, or with a ^ from the root; {id} is the
---                         resource's, other {names} are arguments, in this order
---@field effect "read"|"converge"|"command"|"once"  converge: brings about a state, twice is as good as once; command:
---                         acts each time; once: makes something, and a second one when sent again
---@field again string      a key of M.AGAIN: what sending it again answers. Of reads: nothing
---@field about string
---@field list? boolean     answers all items of the list
---@field pick? string      answers this property of the body
---@field query? table      options of the request, msgraph.RequestOpts; {id} stands for the resource's
---@field takes? table<string, string>|string  the last argument: a table of these fields (all optional but `needs`), or
---                         "table": any properties; "string", "list"
---@field needs? string[]   fields that must be there
---@field body? table|fun(given: any, of: msgraph.CallContext): table
---@field permissions? string[]  these together, where they are less than what the path in general needs, or more
---@field by_object_id? boolean  the resource's object id is needed, a principal name does not do

---@class msgraph.CallContext
---@field id string         the resource's id, as given
---@field link fun(id: string): table  what names another object in a body

-- ---- again --------------------------------------------------------------------------------------

-- A reason says more than that it is not there: no_mailbox, say.
local function is_gone(err) return err.kind == "not_found" and not err.reason end

--- What a second sending answers, and how to see in an Error that nothing was left to do.
M.AGAIN = {
  same = { "the same answer" },
  gone = { "404: it is gone", is_gone },
  unlinked = { "400 `not_there` or 404: the link is gone", function(err)
    return err.reason == "not_there" or is_gone(err)
  end },
  linked = { "400 `already_there`", function(err) return err.reason == "already_there" end },
  unlicensed = { "400 `license_not_assigned`", function(err) return err.reason == "license_not_assigned" end },
  unassigned = { "400 `role_not_assigned`", function(err) return err.reason == "role_not_assigned" end },
  acts = { "acts again" },
  doubles = { "makes a second one: look first" },
}

-- ---- bodies -------------------------------------------------------------------------------------

local function link_given(given, of) return of.link(given) end
local function link_self(_, of) return of.link(of.id) end

local function as_it_is(given) return given end

local function under(name)
  return function(given) return { [name] = given } end
end

local function role_removal(given, of)
  return { action = "adminRemove", principalId = of.id, roleDefinitionId = given.roleDefinitionId,
    directoryScopeId = given.directoryScopeId or "/", justification = given.justification }
end

local ROLE = { roleDefinitionId = "string", directoryScopeId = "string", justification = "string" }
local ROLE_NEEDS = { "roleDefinitionId" }
local MINE = { filter = "principalId eq '{id}'" }
local COMMENT = { comment = "string" }

-- "#microsoft.graph.phoneAuthenticationMethod" to "phoneMethods": the name of the collection it is deleted from.
local function method_path(method)
  local kind = type(method) == "table" and tostring(method["@odata.type"]):match("([%w]+)AuthenticationMethod$")
  if not kind or type(method.id) ~= "string" then error("a method of authentication_methods() is expected", 0) end
  if kind == "password" then error("a password is not deleted: set_password replaces it", 0) end
  return ("/authentication/%sMethods/{method}"):format(kind), method.id
end

local SWITCH = { "User.EnableDisableAccount.All", "User.Read.All" } -- of the property accountEnabled (FACTS 2.1)

local PASSWORD_METHOD <const> = "28c10230-6103-485e-b985-444c60001490" -- the same for everybody (FACTS 2.1)

-- ---- users --------------------------------------------------------------------------------------

M.user = { root = "/users/{id}", allow_me = true }

M.user.account = {
  get = { "GET", "", permissions = { "User.Read.All" }, effect = "read",
    about = "the user; `select` what is not sent by itself, such as accountEnabled" },
  update = { "PATCH", "", takes = "table", body = as_it_is, effect = "converge", again = "same",
    about = "sets properties" },
  disable = { "PATCH", "", body = { accountEnabled = false }, permissions = SWITCH, effect = "converge", again = "same",
    about = "blocks sign-in; tokens already issued live on" },
  enable = { "PATCH", "", body = { accountEnabled = true }, permissions = SWITCH, effect = "converge", again = "same",
    about = "allows sign-in" },
  revoke_sessions = { "POST", "/revokeSignInSessions", effect = "converge", again = "same",
    about = "ends refresh tokens and browser sessions, within minutes; not those of guests at home" },
  set_password = { "PATCH", "", takes = { password = "string", forceChangePasswordNextSignIn = "boolean" },
    needs = { "password" }, body = under "passwordProfile", permissions = { "User-PasswordProfile.ReadWrite.All" },
    effect = "converge", again = "same",
    about = "sets the password; an app needs a role above the user's too" },
  reset_password = { "POST", "/authentication/methods/" .. PASSWORD_METHOD .. "/resetPassword",
    takes = { newPassword = "string" }, body = as_it_is, effect = "command", again = "acts",
    about = "resets the password, to one made up by Entra where none is given; delegated only" },
  delete = { "DELETE", "", effect = "converge", again = "gone", about = "deletes; for 30 days it can be restored" },
}

M.user.people = {
  manager = { "GET", "/manager", effect = "read", about = "the manager; 404 when there is none" },
  set_manager = { "PUT", "/manager/$ref", takes = "string", body = link_given, effect = "converge", again = "same",
    about = "gives the user a manager, by object id" },
  remove_manager = { "DELETE", "/manager/$ref", effect = "converge", again = "gone", about = "takes the manager away" },
  direct_reports = { "GET", "/directReports", list = true, effect = "read", about = "whom the user manages" },
}

M.user.licenses = {
  licenses = { "GET", "", pick = "licenseAssignmentStates", query = { select = "id,licenseAssignmentStates" },
    permissions = { "User.Read.All" }, effect = "read",
    about = "each `skuId`, with `assignedByGroup` where it comes with a group" },
  assign_licenses = { "POST", "/assignLicense", takes = "list", effect = "converge", again = "same",
    body = function(given) return { addLicenses = json.array(given), removeLicenses = json.array() } end,
    about = "gives licences: a list of { skuId =, disabledPlans = }" },
  remove_licenses = { "POST", "/assignLicense", takes = "list", effect = "converge", again = "unlicensed",
    body = function(given) return { addLicenses = json.array(), removeLicenses = json.array(given) } end,
    about = "takes direct licences away: a list of skuIds, all in one call" },
  reprocess_licenses = { "POST", "/reprocessLicenseAssignment", effect = "converge", again = "same",
    about = "works out group licences anew" },
}

M.user.groups = {
  memberships = { "GET", "/memberOf", list = true, effect = "read",
    about = "groups, roles and administrative units the user is directly in" },
  groups = { "GET", "/memberOf/microsoft.graph.group", list = true, query = { count = true }, effect = "read",
    about = "the groups among them, from an index that may lag" },
  add_to_group = { "POST", "^/groups/{group}/members/$ref", body = link_self, by_object_id = true, effect = "converge",
    again = "linked", about = "makes the user a member" },
  remove_from_group = { "DELETE", "^/groups/{group}/members/{id}/$ref", by_object_id = true, effect = "converge",
    again = "unlinked", about = "ends the membership; the user stays" },
  owned_objects = { "GET", "/ownedObjects", list = true, effect = "read",
    about = "groups, applications and service principals the user owns" },
}

M.user.roles = {
  role_assignments = { "GET", "^/roleManagement/directory/roleAssignments", list = true, query = MINE,
    by_object_id = true, effect = "read", about = "directory roles, custom and scoped ones too" },
  remove_role_assignment = { "DELETE", "^/roleManagement/directory/roleAssignments/{assignment}", effect = "converge",
    again = "gone", about = "takes a role away that was assigned without PIM" },
  active_roles = { "GET", "^/roleManagement/directory/roleAssignmentScheduleInstances", list = true, query = MINE,
    by_object_id = true, effect = "read", about = "roles that are active through PIM" },
  remove_active_role = { "POST", "^/roleManagement/directory/roleAssignmentScheduleRequests", takes = ROLE,
    needs = ROLE_NEEDS, body = role_removal, by_object_id = true, effect = "converge", again = "unassigned",
    about = "takes one of them away" },
  eligible_roles = { "GET", "^/roleManagement/directory/roleEligibilityScheduleInstances", list = true, query = MINE,
    by_object_id = true, effect = "read", about = "roles the user may activate through PIM" },
  remove_eligible_role = { "POST", "^/roleManagement/directory/roleEligibilityScheduleRequests", takes = ROLE,
    needs = ROLE_NEEDS, body = role_removal, by_object_id = true, effect = "converge", again = "unassigned",
    about = "takes one of them away" },
  scoped_roles = { "GET", "/scopedRoleMemberOf", list = true, effect = "read",
    about = "roles within administrative units" },
}

M.user.consents = {
  app_role_assignments = { "GET", "/appRoleAssignments", list = true, effect = "read",
    about = "apps the user is assigned to; those whose `principalId` is a group end with the membership" },
  remove_app_role_assignment = { "DELETE", "/appRoleAssignments/{assignment}", effect = "converge", again = "gone",
    about = "ends one" },
  oauth_grants = { "GET", "/oauth2PermissionGrants", list = true, effect = "read",
    about = "consents the user gave to apps" },
  remove_oauth_grant = { "DELETE", "^/oauth2PermissionGrants/{grant}", effect = "converge", again = "gone",
    about = "withdraws one; tokens already issued live on" },
}

M.user.methods = {
  authentication_methods = { "GET", "/authentication/methods", list = true, effect = "read",
    about = "how the user signs in; `@odata.type` tells the kind" },
  delete_authentication_method = { "DELETE", method_path, effect = "converge", again = "gone",
    about = "deletes one of them; not the password, and the default one last" },
}

M.user.devices = {
  registered_devices = { "GET", "/registeredDevices", list = true, effect = "read", about = "Entra devices in use" },
  owned_devices = { "GET", "/ownedDevices", list = true, effect = "read",
    about = "Entra devices owned; many are registered too: go by `id`" },
  managed_devices = { "GET", "/managedDevices", list = true, effect = "read", about = "Intune devices" },
  app_registrations = { "GET", "/managedAppRegistrations", list = true, effect = "read",
    about = "apps under app protection, each with its `deviceTag`" },
  wipe_app_data = { "POST", "/wipeManagedAppRegistrationsByDeviceTag", takes = "string", body = under "deviceTag",
    effect = "command", again = "acts", about = "wipes the company's data in the apps of one `deviceTag`" },
}

M.user.mailbox = {
  mailbox_settings = { "GET", "/mailboxSettings", effect = "read", about = "automatic replies, time zone, language" },
  set_auto_reply = { "PATCH", "/mailboxSettings", body = under "automaticRepliesSetting", effect = "converge",
    again = "same", about = "sets the automatic reply",
    takes = { status = "string", externalAudience = "string", internalReplyMessage = "string",
      externalReplyMessage = "string", scheduledStartDateTime = "table", scheduledEndDateTime = "table" },
    needs = { "status" } },
  inbox_rules = { "GET", "/mailFolders/inbox/messageRules", list = true, effect = "read",
    about = "rules of the inbox" },
  create_inbox_rule = { "POST", "/mailFolders/inbox/messageRules", takes = "table", body = as_it_is, effect = "once",
    again = "doubles", about = "makes a rule" },
  delete_inbox_rule = { "DELETE", "/mailFolders/inbox/messageRules/{rule}", effect = "converge", again = "gone",
    about = "deletes one" },
  send_mail = { "POST", "/sendMail", takes = { message = "table", saveToSentItems = "boolean" }, needs = { "message" },
    body = as_it_is, effect = "once", again = "doubles", about = "sends a mail from this mailbox" },
}

M.user.calendar = {
  calendar_view = { "GET", "/calendarView", list = true, effect = "read",
    about = "events between `query = { startDateTime =, endDateTime = }`; `isOrganizer` tells whose they are" },
  cancel_event = { "POST", "/events/{event}/cancel", takes = COMMENT, body = as_it_is, effect = "converge",
    again = "gone", about = "cancels a meeting, of a series the whole; organizer only" },
  decline_event = { "POST", "/events/{event}/decline", takes = { comment = "string", sendResponse = "boolean" },
    body = as_it_is, effect = "converge", again = "gone", about = "declines a meeting of somebody else's" },
  delete_event = { "DELETE", "/events/{event}", effect = "converge", again = "gone",
    about = "deletes an event; in the organizer's calendar that cancels it" },
  calendar_permissions = { "GET", "/calendar/calendarPermissions", list = true, effect = "read",
    about = "who may see the calendar" },
  add_calendar_permission = { "POST", "/calendar/calendarPermissions", takes = "table", body = as_it_is,
    effect = "once", again = "doubles", about = "lets somebody in" },
  remove_calendar_permission = { "DELETE", "/calendar/calendarPermissions/{permission}", effect = "converge",
    again = "gone", about = "shuts somebody out" },
}

M.user.work = {
  drive = { "GET", "/drive", effect = "read", about = "the OneDrive; 404 when there is none" },
  teams = { "GET", "/joinedTeams", list = true, effect = "read",
    about = "teams; with a delegated token one's own only" },
}

-- ---- groups and applications --------------------------------------------------------------------

M.group = { root = "/groups/{id}" }
M.group.links = {
  get = { "GET", "", effect = "read", about = "the group; `groupTypes`, `mailEnabled`, `onPremisesSyncEnabled`, "
    .. "`isAssignableToRole` tell who may change it" },
  members = { "GET", "/members", list = true, effect = "read", about = "its direct members" },
  add_member = { "POST", "/members/$ref", takes = "string", body = link_given, effect = "converge", again = "linked",
    about = "adds one, by object id" },
  remove_member = { "DELETE", "/members/{member}/$ref", effect = "converge", again = "unlinked",
    about = "ends a membership; the member stays" },
  owners = { "GET", "/owners", list = true, effect = "read", about = "its owners" },
  add_owner = { "POST", "/owners/$ref", takes = "string", body = link_given, effect = "converge", again = "linked",
    about = "adds one, by object id" },
  remove_owner = { "DELETE", "/owners/{owner}/$ref", effect = "converge", again = "unlinked",
    about = "ends an ownership; the last owner stays" },
}

local function owned(root)
  return { root = root, links = {
    owners = M.group.links.owners, add_owner = M.group.links.add_owner,
    remove_owner = { "DELETE", "/owners/{owner}/$ref", effect = "converge", again = "unlinked",
      about = "ends an ownership" },
  } }
end

M.application = owned "/applications/{id}"
M.service_principal = owned "/servicePrincipals/{id}"

M.directory_role = { root = "/directoryRoles/{id}" }
M.directory_role.links = {
  remove_member = { "DELETE", "/members/{member}/$ref", effect = "converge", again = "unlinked",
    about = "takes the role from somebody; of tenant-wide assignments only" },
}

-- ---- devices ------------------------------------------------------------------------------------

M.device = { root = "/devices/{id}" }
M.device.device = {
  get = { "GET", "", effect = "read", about = "the Entra device" },
  disable = { "PATCH", "", body = { accountEnabled = false }, effect = "converge", again = "same",
    about = "keeps the device from signing in" },
  enable = { "PATCH", "", body = { accountEnabled = true }, effect = "converge", again = "same",
    about = "lets it again" },
  delete = { "DELETE", "", effect = "converge", again = "gone",
    about = "deletes it, with the BitLocker keys kept there" },
  registered_owners = { "GET", "/registeredOwners", list = true, effect = "read", about = "its owners" },
  remove_registered_owner = { "DELETE", "/registeredOwners/{owner}/$ref", effect = "converge", again = "unlinked",
    about = "ends an ownership; delegated only" },
  remove_registered_user = { "DELETE", "/registeredUsers/{user}/$ref", effect = "converge", again = "unlinked",
    about = "ends a registration; delegated only" },
}

local function command(action, about, takes, body)
  return { "POST", "/" .. action, takes = takes, body = body, effect = "command", again = "acts", about = about }
end

M.managed_device = { root = "/deviceManagement/managedDevices/{id}" }
M.managed_device.device = {
  get = { "GET", "", effect = "read", about = "the Intune device: `managementState`, `deviceActionResults`" },
  retire = command("retire", "takes company data off and ends management, at the next check-in"),
  wipe = command("wipe", "resets the device, at the next check-in", { keepEnrollmentData = "boolean",
    keepUserData = "boolean", macOsUnlockCode = "string", persistEsimDataPlan = "boolean" }, as_it_is),
  remote_lock = command("remoteLock", "locks the screen"),
  sync = command("syncDevice", "asks it to check in"),
  reset_passcode = command("resetPasscode", "takes the passcode off, or sets a new one"),
  bypass_activation_lock = command("bypassActivationLock", "lifts Apple's activation lock: before a wipe"),
  delete_shared_user = command("deleteUserFromSharedAppleDevice", "takes a user off a shared iPad, by principal name",
    "string", under "userPrincipalName"),
  delete = { "DELETE", "", effect = "converge", again = "gone", about = "deletes the record, and retires the device" },
}

-- ---- what was deleted, teams, drives, the tenant ------------------------------------------------

M.deleted = { root = "/directory/deletedItems/{id}" }
M.deleted.item = {
  get = { "GET", "", effect = "read", about = "the deleted user, group or application" },
  restore = { "POST", "/restore", effect = "converge", again = "gone", about = "brings it back, within 30 days" },
  purge = { "DELETE", "", effect = "converge", again = "gone", about = "deletes it for good" },
}

M.team = { root = "/teams/{id}" }
M.team.members = {
  members = { "GET", "/members", list = true, effect = "read", about = "memberships: their `id` is not the user's" },
  remove_member = { "DELETE", "/members/{membership}", effect = "converge", again = "gone",
    about = "ends a membership, by its own id" },
}

M.drive = { root = "/drives/{id}" }
M.drive.items = {
  permissions = { "GET", "/items/{item}/permissions", list = true, effect = "read",
    about = "who may open an item; \"root\" is the whole drive" },
  invite = { "POST", "/items/{item}/invite", takes = { recipients = "table", roles = "table", requireSignIn = "boolean",
      sendInvitation = "boolean", message = "string" }, needs = { "recipients", "roles" }, body = as_it_is,
    effect = "once", again = "doubles", about = "lets people open an item" },
  remove_permission = { "DELETE", "/items/{item}/permissions/{permission}", effect = "converge", again = "gone",
    about = "shuts people out; not where `inheritedFrom` is set" },
  copy = { "POST", "/items/{item}/copy", takes = { parentReference = "table", name = "string" },
    needs = { "parentReference" }, body = as_it_is, effect = "once", again = "doubles",
    about = "copies an item; goes on after the answer" },
}

M.tenant = { root = "" }
M.tenant.lists = {
  deleted_users = { "GET", "/directory/deletedItems/microsoft.graph.user", list = true, effect = "read",
    about = "users of the last 30 days" },
  subscribed_skus = { "GET", "/subscribedSkus", list = true, effect = "read", about = "licences: `skuId` and name" },
  directory_roles = { "GET", "/directoryRoles", list = true, effect = "read", about = "roles in use" },
  managed_devices = { "GET", "/deviceManagement/managedDevices", list = true, effect = "read",
    about = "all Intune devices" },
  confirm_compromised = { "POST", "/identityProtection/riskyUsers/confirmCompromised", takes = "list",
    body = function(given) return { userIds = json.array(given) } end, effect = "converge", again = "same",
    about = "marks users as risky, by object ids" },
}

return M
