--- What each action plans for a state that was read; nothing is sent.
local actions = require "msgraph.offboard.actions"
local compile = require "msgraph.offboard.compile"
local graph = require "msgraph"
local json = require "msgraph.json"
local ob = require "msgraph.offboard"
local powershell = require "msgraph.offboard.powershell"
local secret = require "msgraph.offboard.secret"

local ME <const> = "11111111-1111-1111-1111-111111111111"
local OTHER <const> = "22222222-2222-2222-2222-222222222222"

describe("action", function()
  local client

  setup(function()
    client = assert(graph.connect { endpoint = "https://localhost:1", auth = graph.auth.token "t" })
  end)
  teardown(function() client:close() end)

  -- Plans one action for an account, from lists as they would be read.
  local function plan(use, account, data, shared)
    local wf = ob.workflow { name = "spec", version = 1, params = { heir = { type = "user" } } }
    wf:stage("s", rawget(use, 1) and use or { use })
    local user = { id = ME, userPrincipalName = "ada@contoso.com", displayName = "Ada", accountEnabled = true,
      userType = "Member" }
    for name, value in pairs(account or {}) do user[name] = value end
    local person = { id = ME, account = user, data = data or {}, ops = {}, notes = {}, keys = {} }
    local job = { workflow = wf, client = client, shared = {}, params = { heir = "Heir" }, leaving = { [ME] = true },
      reader = { list = function(path) return shared[path] end, path = require("msgraph.offboard.requests").path },
      people = { heir = { id = OTHER, displayName = "Heir" } } }
    job.reader.path = function(template, id) return (template:gsub("%%s", id)) end
    graph.run(compile.plan, job, person)
    return person
  end

  local function sent(person)
    local out = {}
    for i, op in ipairs(person.ops) do
      out[i] = op.desired.method and op.desired.method .. " " .. op.desired.path or "by hand: "
        .. op.desired.hand_off.task
    end
    return out
  end

  local a = ob.actions

  it("account.disable blocks sign-in, and knows the way back", function()
    local op = plan(a.account.disable).ops[1]
    assert.same({ "PATCH", "/users/" .. ME, '{"accountEnabled":false}' }, { op.desired.method, op.desired.path,
      op.desired.body })
    assert.equal('{"accountEnabled":true}', op.inverse.body)
    assert.same({ accountEnabled = false }, op.sets)
    assert.equal("s/account.disable/" .. ME, op.key)
    assert.same({}, plan(a.account.disable, { accountEnabled = false }).ops)
  end)

  it("account.disable leaves synced accounts to Active Directory", function()
    local op = plan(a.account.disable, { onPremisesSyncEnabled = true,
      onPremisesSecurityIdentifier = "S-1-5-21-7" }).ops[1]
    assert.equal("once", op.effect)
    assert.equal("Disable-ADAccount -Identity 'S-1-5-21-7'", op.desired.hand_off.powershell)
  end)

  it("password.randomize says how a password is made, and holds none", function()
    local op = plan(a.password.randomize).ops[1]
    assert.is_nil(op.desired.body:find('"password"', 1, true))
    local one, two = json.decode(secret.body(op.desired)), json.decode(secret.body(op.desired))
    assert.equal(32, #one.passwordProfile.password)
    assert.not_equal(one.passwordProfile.password, two.passwordProfile.password)
    for _, class in ipairs { "%l", "%u", "%d", "%p" } do assert.truthy(one.passwordProfile.password:find(class)) end
    assert.is_false(one.passwordProfile.forceChangePasswordNextSignIn)
    assert.same({}, plan(a.password.randomize, { userType = "Guest" }).ops)
  end)

  it("sessions.revoke ends sessions", function()
    assert.same({ "POST /users/" .. ME .. "/revokeSignInSessions" }, sent(plan(a.sessions.revoke)))
  end)

  it("auth_methods.remove_all takes phones last, the mobile after the alternate, and leaves the password", function()
    local function method(kind, id) return { ["@odata.type"] = "#microsoft.graph." .. kind .. "AuthenticationMethod",
      id = id } end
    local person = plan(a.auth_methods.remove_all, nil, { auth_methods = { method("password", "p"),
      method("phone", "3179e48a-750b-4051-897c-87b9720928f7"), method("phone", "b6332ec1-7057-4abe-9331-3d72feddfe41"),
      method("fido2", "f"), method("qrCodePin", "q") } })
    local base = "DELETE /users/" .. ME .. "/authentication/"
    assert.same({ base .. "fido2Methods/f", "by hand: remove-method",
      base .. "phoneMethods/b6332ec1-7057-4abe-9331-3d72feddfe41",
      base .. "phoneMethods/3179e48a-750b-4051-897c-87b9720928f7" }, sent(person))
    assert.same({ person.ops[1].key, person.ops[3].key }, person.ops[4].deps)
    assert.equal(0, #plan(a.auth_methods.remove_all, nil, { auth_methods = { method("password", "p") } }).ops)
  end)

  local function device(id, owner, state)
    return { id = id, userId = ME, deviceName = "dev " .. id, operatingSystem = "iOS", managedDeviceOwnerType = owner,
      enrolledDateTime = "2025-01-01T00:00:00Z", managementState = state or "managed" }
  end

  it("devices.retire_all is one command for all that stay", function()
    local person = plan(a.devices.retire_all, nil, { managed_devices = { device("a", "personal"), device("b",
      "company") } })
    assert.same({ "POST /users/" .. ME .. "/removeAllDevicesFromManagement" }, sent(person))
    assert.equal("command", person.ops[1].effect)
    assert.is_nil(person.ops[1].desired.body)
    assert.same({}, plan(a.devices.retire_all, nil, { managed_devices = { device("a", "personal",
      "retirePending") } }).ops)
    assert.same({}, plan(a.devices.retire_all, nil, { managed_devices = {} }).ops)
  end)

  it("intune.retire takes those that `where` chooses, guarded against enrolment by somebody else", function()
    local person = plan(a.intune.retire { where = function(d) return d.ownership == "personal" end }, nil,
      { managed_devices = { device("a", "personal"), device("b", "company"), device("c", "personal",
        "retireIssued") } })
    assert.same({ "POST /deviceManagement/managedDevices/a/retire" }, sent(person))
    assert.same({ userId = ME, enrolledDateTime = "2025-01-01T00:00:00Z" }, person.ops[1].guard.expect)
    assert.same({ "skipped", "unchanged" }, { person.notes[1].status, person.notes[2].status })
  end)

  it("entra_devices.disable takes owned and registered devices once", function()
    local person = plan(a.entra_devices.disable, nil, {
      registered_devices = { { id = "a", displayName = "A", accountEnabled = true }, { id = "b", displayName = "B",
        accountEnabled = false } },
      owned_devices = { { id = "a", displayName = "A", accountEnabled = true } } })
    assert.same({ "PATCH /devices/a" }, sent(person))
    assert.equal('{"accountEnabled":true}', person.ops[1].inverse.body)
  end)

  local function group(id, more)
    local out = { ["@odata.type"] = "#microsoft.graph.group", id = id, displayName = "group " .. id, groupTypes = {} }
    for name, value in pairs(more or {}) do out[name] = value end
    return out
  end

  it("groups.leave_all leaves by the link, never by the user, and hands off what Graph refuses", function()
    local person = plan(a.groups.leave_all, nil, { owned_objects = {}, memberships = {
      group "plain", group("team", { groupTypes = { "Unified" }, mailEnabled = true }),
      group("dynamic", { groupTypes = { "DynamicMembership" } }), group("mail", { mailEnabled = true }),
      group("synced", { onPremisesSyncEnabled = true }), { ["@odata.type"] = "#microsoft.graph.directoryRole",
        id = "r" } } })
    assert.same({ "DELETE /groups/plain/members/" .. ME .. "/$ref", "DELETE /groups/team/members/" .. ME .. "/$ref",
      "by hand: leave-group", "by hand: leave-group", "by hand: leave-group" }, sent(person))
    assert.equal("POST", person.ops[1].inverse.method)
    assert.equal("Remove-DistributionGroupMember -Identity 'mail' -BypassSecurityGroupManagerCheck:$true "
      .. "-Confirm:$false -Member '" .. ME .. "'", person.ops[4].desired.hand_off.powershell)
    assert.is_nil(person.ops[5].desired.hand_off.powershell) -- who is not of Active Directory is in no group of it
    local synced = group("synced", { onPremisesSyncEnabled = true, onPremisesSecurityIdentifier = "S-1-5-21-9" })
    person = plan(a.groups.leave_all, { onPremisesSecurityIdentifier = "S-1-5-21-7" }, { owned_objects = {},
      memberships = { synced } })
    assert.equal("Remove-ADGroupMember -Identity 'S-1-5-21-9' -Confirm:$false -Members 'S-1-5-21-7'",
      person.ops[1].desired.hand_off.powershell)
  end)

  it("groups.leave_all gives what only leavers own to somebody first", function()
    local data = { memberships = {}, owned_objects = { group "sole", group "shared" } }
    local owners = { ["/groups/%s/owners"] = { { id = ME } } }
    local person = plan(a.groups.leave_all { transfer_sole_ownership_to = ob.param "heir" }, nil, data, owners)
    assert.same({ "POST /groups/sole/owners/$ref", "DELETE /groups/sole/owners/" .. ME .. "/$ref" },
      { sent(person)[1], sent(person)[2] })
    assert.same({ person.ops[1].key }, person.ops[2].deps)
    assert.truthy(person.ops[1].desired.body:find(OTHER, 1, true))
    assert.same({ "by hand: transfer-ownership", "by hand: transfer-ownership" },
      sent(plan(a.groups.leave_all, nil, data, owners)))
    owners["/groups/%s/owners"] = { { id = ME }, { id = OTHER } }
    assert.same({ "DELETE /groups/sole/owners/" .. ME .. "/$ref", "DELETE /groups/shared/owners/" .. ME .. "/$ref" },
      sent(plan(a.groups.leave_all, nil, data, owners)))
  end)

  it("roles.remove_all goes through PIM for what PIM has given", function()
    local function role(id, definition) return { id = id, roleDefinitionId = definition, directoryScopeId = "/" } end
    local person = plan(a.roles.remove_all, nil, { role_assignments = { role("a1", "x"), role("a2", "y") },
      active_roles = { role("p1", "y") }, eligible_roles = { role("e1", "z") } },
      { ["/directoryRoles"] = { { roleTemplateId = "x", displayName = "X Administrator" } } })
    assert.same({ "POST /roleManagement/directory/roleAssignmentScheduleRequests",
      "DELETE /roleManagement/directory/roleAssignments/a1",
      "POST /roleManagement/directory/roleEligibilityScheduleRequests" }, sent(person))
    assert.equal("Take away the role X Administrator", person.ops[2].label)
    assert.equal("adminRemove", json.decode(person.ops[1].desired.body).action)
  end)

  it("app_roles.remove_all leaves to groups what comes with them", function()
    local person = plan(a.app_roles.remove_all, nil, { app_role_assignments = {
      { id = "own", principalId = ME, resourceId = "r", appRoleId = "0", resourceDisplayName = "Wiki" },
      { id = "theirs", principalId = "g", principalDisplayName = "VPN", resourceDisplayName = "Travel" } } })
    assert.same({ "DELETE /users/" .. ME .. "/appRoleAssignments/own" }, sent(person))
    assert.truthy(person.notes[1].why:find "comes with the group VPN")
  end)

  it("grants.remove_all withdraws consents, and could give them back", function()
    local person = plan(a.grants.remove_all, nil, { oauth_grants = { { id = "g", clientId = "c",
      consentType = "Principal",
      principalId = ME, resourceId = "r", scope = " User.Read" } } },
      { ["/servicePrincipals"] = { { id = "c", displayName = "Wiki" } } })
    assert.same({ "DELETE /oauth2PermissionGrants/g" }, sent(person))
    assert.equal("Withdraw the consent to Wiki (User.Read)", person.ops[1].label)
    assert.equal(" User.Read", json.decode(person.ops[1].inverse.body).scope)
  end)

  local STATES = { { skuId = "s2" }, { skuId = "s1", disabledPlans = { "d" } }, { skuId = "s3",
    assignedByGroup = "plain" },
    { skuId = "s4", assignedByGroup = "dynamic" } }
  local MEMBERSHIPS = { group "plain", group("dynamic", { groupTypes = { "DynamicMembership" } }) }
  local SKUS = { ["/subscribedSkus"] = { { skuId = "s1", skuPartNumber = "EMS" } } }

  it("licenses.remove_all takes direct ones in one call and leaves groups for the others", function()
    local person = plan(a.licenses.remove_all, { licenseAssignmentStates = STATES }, { memberships = MEMBERSHIPS },
      SKUS)
    assert.same({ "POST /users/" .. ME .. "/assignLicense", "DELETE /groups/plain/members/" .. ME .. "/$ref",
      "by hand: remove-group-license" }, sent(person))
    assert.equal('{"addLicenses":[],"removeLicenses":["s1","s2"]}', person.ops[1].desired.body)
    assert.equal('{"addLicenses":[{"disabledPlans":["d"],"skuId":"s1"},{"disabledPlans":[],"skuId":"s2"}],'
      .. '"removeLicenses":[]}',
      person.ops[1].inverse.body)
  end)

  it("licenses.remove_all leaves no group twice, and only direct ones alone when told so", function()
    local data = { memberships = MEMBERSHIPS, owned_objects = {} }
    local person = plan({ a.groups.leave_all, a.licenses.remove_all { via = { "group" } } },
      { licenseAssignmentStates = STATES }, data, SKUS)
    assert.same({ "DELETE /groups/plain/members/" .. ME .. "/$ref", "by hand: leave-group" },
      { table.unpack(sent(person), 1, 2) })
    assert.equal(2, #person.ops)
    local direct = plan(a.licenses.remove_all { via = { "direct" } }, { licenseAssignmentStates = STATES }, data, SKUS)
    assert.equal(1, #direct.ops)
  end)

  it("handoff.exchange is a list of commands, and nothing is sent", function()
    local person = plan(a.handoff.exchange { "convert-to-shared", grant_full_access = ob.param "heir" })
    assert.same({ "by hand: convert-to-shared", "by hand: grant-full-access" }, sent(person))
    assert.equal("Set-Mailbox -Identity '" .. ME .. "' -Type 'Shared'", person.ops[1].desired.hand_off.powershell)
    assert.equal("Add-MailboxPermission -Identity '" .. ME .. "' -AccessRights 'FullAccess' -User '" .. OTHER .. "'",
      person.ops[2].desired.hand_off.powershell)
  end)
end)

describe("the catalogue", function()
  it("says of every action what it is, and finds the permission of every call", function()
    for _, action in ipairs(actions.list) do
      assert.truthy(({ converge = true, command = true, once = true })[action.effect], action.id)
      assert.truthy(action.about and action.version and action.settle and action.plan and action.probe, action.id)
      for _, call in ipairs(action.calls) do
        local needs = actions.permissions { call }
        assert.truthy(needs.delegated[1] or needs.application[1], action.id .. ": " .. call)
      end
    end
  end)

  it("finds the permission of every read", function()
    local reads = require "msgraph.offboard.reads"
    for name in pairs(reads.reads) do
      assert.truthy(actions.permissions({ reads.call(name) }).application[1], name)
    end
  end)
end)

describe("a command for PowerShell", function()
  it("keeps a text a text, whatever quotes it has", function()
    assert.equal("'O''Brien; Remove-Item *'", powershell.quote "O'Brien; Remove-Item *")
    assert.equal("'a\u{2019}\u{2019}b'", powershell.quote "a\u{2019}b")
    assert.equal("'a b'", powershell.quote "a\nb")
  end)
end)
