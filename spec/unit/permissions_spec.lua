local graph = require "msgraph"
local helper = require "spec.support.helper"
local index = require "msgraph.permissions.index"
local permissions = require "msgraph.permissions"

local REMOVE = "/users/{user-id}/removeAllDevicesFromManagement"
local PRIVILEGED = "DeviceManagementManagedDevices.PrivilegedOperations.All"

local function path_of(method, path)
  local needs = permissions.find(method, path)
  return needs and needs.path
end

describe("permissions.find", function()
  for _, case in ipairs {
    { "GET", "/users/{id}", "/users/{user-id}" },
    { "get", "/users/ada@contoso.com?$select=id", "/users/{user-id}" },
    { "GET", "/v1.0/users/ada%40contoso.com/", "/users/{user-id}" },
    { "GET", "/beta/users('ada@contoso.com')", "/users/{user-id}" },
    { "GET", "https://graph.microsoft.com/v1.0/users", "/users" },
    { "GET", "/users/$count", "/users" },
    { "GET", "/me", "/users/{user-id}" },
    { "GET", "/me/manager", "/users/{user-id}/manager" },
    { "DELETE", "/users/u/manager/$ref", "/users/{user-id}/manager/$ref" },
    { "POST", "/users/u/RemoveAllDevicesFromManagement", REMOVE },
    { "POST", "/users/u/microsoft.graph.removeAllDevicesFromManagement", REMOVE },
    { "POST", "/deviceManagement/detectedApps/a/managedDevices/d/users/u/removeAllDevicesFromManagement", REMOVE },
    { "PATCH", "/devices(deviceId='x')", "/devices/{device-id}" },
    { "GET", "/users/u/memberOf/microsoft.graph.group", "/users/{user-id}/memberOf" },
    { "GET", "/directory/deletedItems/microsoft.graph.user", "/directory/deletedItems/microsoft.graph.user" },
    { "GET", "/directory/deletedItems/x", "/directory/deletedItems/{directoryObject-id}" },
    { "DELETE", "/users/u/mailFolders('inbox')/messageRules/r",
      "/users/{user-id}/mailFolders/inbox/messageRules/{messageRule-id}" },
  } do
    it(("knows %s %s"):format(case[1], case[2]), function() assert.equal(case[3], path_of(case[1], case[2])) end)
  end

  for _, case in ipairs {
    { "GET", "" }, { "GET", "/" }, { "GET", "/nowhere" }, { "TRACE", "/users" }, { "", "/users" },
    { "GET", "/users/a/b/c/d/e/f" }, { "POST", "/users/{id}" }, { "GET", "?" }, { "GET", "/microsoft.graph.user" },
  } do
    it(("does not know %q %q"):format(case[1], case[2]), function() assert.is_nil(path_of(case[1], case[2])) end)
  end

  it("gives the least of each kind, and all that would do", function()
    local needs = permissions.find("PATCH", "/devices/d")
    assert.same({ delegated = "Directory.AccessAsUser.All", application = "Device.ReadWrite.All" }, needs.least)
    assert.same({ "Directory.AccessAsUser.All" }, needs.all.delegated)
    assert.equal(needs.least.application, needs.all.application[1])
    assert.matches("Entra role", needs.note)
  end)

  it("gives none where Microsoft publishes none", function()
    local needs = permissions.find("POST", "/users/u/authentication/methods/m/resetPassword")
    assert.is_nil(needs.least.application)
    assert.same({}, needs.all.application)
  end)

  it("is graph.permissions", function()
    assert.equal(PRIVILEGED, graph.permissions("POST", REMOVE).least.application)
  end)

  it("raises where the caller stands for what is no string", function()
    local ok, message = pcall(function() graph.permissions("GET") end)
    assert.is_false(ok)
    assert.matches("permissions_spec.lua:%d+: permissions: method and path must be strings", message)
  end)

  it("knows the ids of an app registration", function()
    assert.same({ resource = "00000003-0000-0000-c000-000000000000", delegated = "3404d2bf-2b13-457e-a330-c24615765193",
      application = "5b07b0dd-2377-4e44-a38d-703f09a0dc3c" }, permissions.ids(PRIVILEGED))
    assert.is_nil(permissions.ids("Nothing.At.All"))
  end)
end)

describe("the index", function()
  it("finds every request of its own", function()
    for _, row in ipairs(index.operations) do assert.equal(row[2], path_of(row[1], row[2]), row[1] .. " " .. row[2]) end
  end)

  it("has the least first, without the misspelt one", function()
    for _, row in ipairs(index.operations) do
      local needs = permissions.find(row[1], row[2])
      assert.is_true(needs.least.delegated ~= nil, row[2])
      for _, kind in ipairs { "delegated", "application" } do
        assert.equal(needs.least[kind], needs.all[kind][1])
        for _, name in ipairs(needs.all[kind]) do assert.is_nil(name:find("Privilig", 1, true)) end
      end
    end
  end)

  it("is not loaded before it is asked", function()
    local out = helper.sh(([[cd %s && %s -e 'require "msgraph"; print(package.loaded["msgraph.permissions.index"])']])
      :format(helper.quote(helper.ROOT .. "."), helper.LUA))
    assert.equal("nil\n", out)
  end)
end)

describe("msgraph permissions", function()
  local function run(words)
    return helper.sh(("cd %s && %s bin/msgraph permissions %s; echo $?")
      :format(helper.quote(helper.ROOT .. "."), helper.LUA, words))
  end

  it("prints what is needed, and how to get it", function()
    local out = run "patch '/devices/{id}'"
    assert.matches("^PATCH /devices/{device%-id}\n  delegated  Directory.AccessAsUser.All\n", out)
    assert.matches("\n  application  Device.ReadWrite.All\n +Directory.ReadWrite.All\n", out)
    assert.matches("api%-permissions 1138cb37%-bd11%-4084%-a2b7%-9f71582aeddb=Role\n", out)
    assert.matches("\n0\n$", out)
  end)

  it("says where there is no way", function()
    assert.matches("application  none", run "DELETE '/devices/d/registeredOwners/u/$ref'")
  end)

  it("says what it does not know, and ends with 20", function()
    local out = run "GET /nowhere"
    assert.matches("GET /nowhere is not in the index", out)
    assert.matches("\n20\n$", out)
  end)
end)
