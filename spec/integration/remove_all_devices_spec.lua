local graph = require "msgraph"
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"

local ADA = "ada@contoso.com"
local YEAR = 365 * 24 * 3600

local function start(opts)
  local all = { users = 50, seed = 1, speed = 600 }
  for name, value in pairs(opts or {}) do all[name] = value end
  return assert(sim.start(all))
end

local function connect(tenant, token)
  token = token or {}
  token.expires_in = token.expires_in or YEAR
  return assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
    auth = graph.auth.token(tenant:token(token)) })
end

local function action_of(tenant)
  local found = {}
  for _, entry in ipairs(tenant:requests { method = "POST" }) do found[#found + 1] = entry end
  return found
end

describe("remove_all_devices", function()
  it("is accepted, once, and retires every device of the user and no other", function()
    local tenant <close> = start { speed = 0 }
    local client <close> = connect(tenant)
    assert.is_true(client:remove_all_devices(ADA))
    local posts = action_of(tenant)
    assert.equal(1, #posts)
    assert.equal(204, posts[1].status)
    assert.equal(5, #posts[1].actions)
    assert.equal(0, posts[1].body_length)
    for _, device in ipairs(tenant:devices()) do
      local mine = device.userPrincipalName == ADA
      assert.equal(mine, device.managementState == "retirePending")
    end
  end)

  it("works by object id and for a guest's name", function()
    local tenant <close> = start { speed = 0 }
    local client <close> = connect(tenant)
    local guest = tenant:users({ guest = true })[1]
    assert.matches("#EXT#", guest.userPrincipalName, 1, true)
    assert.is_true(client:remove_all_devices(guest.userPrincipalName))
    assert.is_true(client:remove_all_devices(guest.id))
    local posts = action_of(tenant)
    assert.equal(guest.id, posts[1].user)
    assert.equal(guest.id, posts[2].user)
  end)

  it("with wait tells what became of each device", function()
    local tenant <close> = start { speed = 6000 }
    local client <close> = connect(tenant)
    local changes = 0
    local function count() changes = changes + 1 end
    local result = assert(client:remove_all_devices(ADA, { wait = "1m", on_change = count }))
    assert.same({ 5, 0, 0 }, { result.gone, result.failed, result.pending })
    assert.equal(5, #result.devices)
    for _, device in ipairs(result.devices) do
      assert.equal("gone", device.outcome)
      assert.is_string(device.name)
      assert.is_string(device.platform)
    end
    assert.is_true(changes >= 10)
    assert.equal(1, #action_of(tenant))
    assert.equal(0, #tenant:devices { userPrincipalName = ADA })
  end)

  it("with wait says pending for what has not checked in when the time is over", function()
    local tenant <close> = start { speed = 0 }
    local client <close> = connect(tenant)
    local result = assert(client:remove_all_devices(ADA, { wait = 0 }))
    assert.same({ 0, 0, 5 }, { result.gone, result.failed, result.pending })
  end)

  it("with wait survives what goes wrong while it watches", function()
    local tenant <close> = start { speed = 6000 }
    local client <close> = connect(tenant)
    for _, fault in ipairs {
      { kind = "status", status = 429, retry_after = 1, method = "GET", path = "managedDevices", after = 1 },
      { kind = "not_json", method = "GET", path = "managedDevices", after = 1 },
    } do tenant:fault(fault) end
    local result = assert(client:remove_all_devices(ADA, { wait = "1m" }))
    assert.equal(5, result.gone)
    assert.equal(1, #action_of(tenant))
  end)

  it("goes to the signed-in user's own devices when asked", function()
    local tenant <close> = start { speed = 0 }
    local client <close> = connect(tenant, { kind = "delegated", user = ADA, roles = { "Intune Administrator" } })
    assert.is_true(client:remove_all_devices("me", { allow_me = true }))
    assert.equal(5, #action_of(tenant)[1].actions)
  end)

  it("runs for many users at once", function()
    local tenant <close> = start { speed = 0 }
    local client <close> = connect(tenant)
    local names = {}
    for _, user in ipairs(tenant:users { licensed = true }) do names[#names + 1] = user.userPrincipalName end
    local results, failures = graph.map(names, { concurrency = 16 }, function(name)
      return client:remove_all_devices(name)
    end)
    assert.equal(#names, results.n)
    assert.same({}, failures)
    assert.equal(#names, #action_of(tenant))
  end)
end)

describe("remove_all_devices is refused", function()
  local function refusal(tenant, token, user)
    local client <close> = connect(tenant, token)
    local ok, err = client:remove_all_devices(user or ADA)
    assert.is_nil(ok)
    assert.is_true(helper.silent(err))
    assert.equal(0, #action_of(tenant)[1].actions)
    return err
  end

  it("without the permission, by its name", function()
    local tenant <close> = start { speed = 0 }
    local err = refusal(tenant, { scopes = { "DeviceManagementManagedDevices.Read.All" } })
    assert.same({ "forbidden", "scope_missing", 403 }, { err.kind, err.reason, err.status })
    assert.same({ "DeviceManagementManagedDevices.PrivilegedOperations.All" }, err.permissions.all.application)
    assert.matches("PrivilegedOperations.All", err.hint, 1, true)
    assert.is_string(err.request_id)
  end)

  it("without the role", function()
    local tenant <close> = start { speed = 0 }
    local err = refusal(tenant, { kind = "delegated", roles = {} })
    assert.same({ "forbidden", "role_missing" }, { err.kind, err.reason })
    assert.matches("Intune Administrator", err.hint)
  end)

  it("by a tenant without Intune", function()
    local tenant <close> = start { speed = 0, intune = false }
    local err = refusal(tenant)
    assert.same({ "forbidden", "license_missing" }, { err.kind, err.reason })
  end)

  it("for a user who is not there", function()
    local tenant <close> = start { speed = 0 }
    local err = refusal(tenant, nil, "nobody@contoso.com")
    assert.same({ "not_found", "Request_ResourceNotFound" }, { err.kind, err.code })
  end)

  it("with a token that has expired", function()
    local tenant <close> = start { speed = 0 }
    local client <close> = connect(tenant, { expires_in = 60 })
    tenant:advance(120)
    local _, err = client:remove_all_devices(ADA)
    assert.same({ "auth", "InvalidAuthenticationToken" }, { err.kind, err.code })
  end)
end)

describe("remove_all_devices when the network fails", function()
  for _, case in ipairs {
    { "before the service acted", { kind = "reset_before", method = "POST" }, 0 },
    { "after the service acted",  { kind = "reset_after", method = "POST" },  5 },
    { "in the answer",            { kind = "cut_body", method = "POST" },     5 },
  } do
    it("is ambiguous, and was sent once: " .. case[1], function()
      local tenant <close> = start { speed = 0 }
      local client <close> = connect(tenant)
      tenant:fault(case[2])
      local ok, err = client:remove_all_devices(ADA)
      assert.is_nil(ok)
      assert.equal("ambiguous", err.kind, tostring(err))
      assert.matches("list the devices", err.hint)
      local posts = action_of(tenant)
      assert.equal(1, #posts)
      assert.equal(case[3], #posts[1].actions)
    end)
  end

  it("is throttled with the time to wait", function()
    local tenant <close> = start { speed = 0 }
    local client <close> = connect(tenant)
    tenant:fault { kind = "status", status = 429, retry_after = 17, method = "POST" }
    local _, err = client:remove_all_devices(ADA, { retry = false })
    assert.same({ "throttled", "TooManyRequests", 17 }, { err.kind, err.code, err.retry_after })
  end)

  it("meets a portal's page", function()
    local tenant <close> = start { speed = 0 }
    local client <close> = connect(tenant)
    tenant:fault { kind = "not_json", method = "POST" }
    local ok, err = client:remove_all_devices(ADA)
    assert.is_nil(ok)
    assert.same({ "protocol", "html_page" }, { err.kind, err.code })
  end)
end)
