--- A long run of leavers that meets everything that can happen to a sign-in, and asks nobody.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local sign_in = require "spec.support.sign_in"
local sim = require "msgraph.sim"

local LEAVERS <const> = 300
local LIFE <const> = 3600 -- seconds, of a token

-- Two attempts are any token request's; the rest is waited out.
local OUTAGE <const> = { kind = "status", status = 503, path = "oauth2", times = 3 }

-- A tenant, an app of it with a certificate, the certificate's file, and a client that signs in with it.
local function start(opts)
  local tenant = assert(sim.start { users = opts.users, start = os.time(), token_lifetime = LIFE })
  local app = tenant:app { certificate = helper.read_file(sign_in.pair "first" .. ".crt") }
  local path = helper.tmp() .. "/certificate.pem"
  helper.write_file(path, helper.read_file((sign_in.certificate("first", "pem"))))
  local client = assert(graph.connect {
    endpoint = tenant.endpoint, ca_file = tenant.ca_file, authority = tenant.authority,
    tenant_id = tenant.tenant_id, client_id = app.client_id, auth = graph.auth.certificate { certificate = path },
  })
  return tenant, app, path, client
end

-- Those of the first so many who have a device; and of how many devices that makes.
local function leavers_of(tenant, count)
  local names, devices = {}, 0
  for _, user in ipairs(tenant:users { licensed = true }) do
    if user.devices > 0 and #names < count then
      names[#names + 1] = user.userPrincipalName
      devices = devices + user.devices
    end
  end
  return names, devices
end

-- How often each action was applied.
local function actions(tenant)
  local times = {}
  for _, entry in ipairs(tenant:requests { method = "POST" }) do
    for _, action in ipairs(entry.actions) do times[action] = (times[action] or 0) + 1 end
  end
  return times
end

describe("a run of hundreds of leavers", function()
  it("outlives token lives, a revoked session, a rotated certificate and an outage, and acts once", function()
    local started, app, path, connected = start { users = 2 * LEAVERS }
    local tenant <close> = started
    local client <close> = connected
    local names, devices = leavers_of(tenant, LEAVERS)
    assert.equal(LEAVERS, #names)

    local function expire() tenant:advance(LIFE + 1) end
    local events = {
      [50] = expire,
      [100] = expire,
      [150] = function() tenant:revoke(app.client_id) end,
      [200] = function()
        helper.write_file(path, helper.read_file((sign_in.certificate("second", "pem"))))
        tenant:set_credentials(app.client_id, { certificate = helper.read_file(sign_in.pair "second" .. ".crt") })
        expire()
      end,
      [250] = function()
        tenant:fault(OUTAGE)
        expire()
      end,
    }
    local count = 0
    local _, failures = graph.map(names, { concurrency = 16 }, function(name)
      count = count + 1
      if events[count] then events[count]() end
      return client:remove_all_devices(name)
    end)
    for _, err in pairs(failures) do error(tostring(err)) end

    local acted = 0
    for action, times in pairs(actions(tenant)) do
      assert.equal(1, times, action)
      acted = acted + 1
    end
    assert.equal(devices, acted)
    assert.equal(OUTAGE.times, #tenant:token_requests { status = 503 })
    assert.equal(6, #tenant:token_requests { status = 200 })
  end)
end)

describe("an outage of the sign-in service", function()
  local READ <const> = "/users?$top=1"
  local tenant, client, _

  before_each(function()
    tenant, _, _, client = start { users = 5 }
    assert(client:get(READ))
    tenant:advance(LIFE + 1)
  end)
  after_each(function()
    client:close()
    tenant:stop()
  end)

  it("is waited out by all who need the next token, with one request at a time", function()
    tenant:fault(OUTAGE)
    local items = {}
    for i = 1, 16 do items[i] = i end
    local _, failures = graph.map(items, { concurrency = 16 }, function() return client:get(READ) end)
    assert.same({}, failures)
    assert.equal(OUTAGE.times, #tenant:token_requests { status = 503 })
    assert.equal(2, #tenant:token_requests { status = 200 })
  end)

  for name, rule in pairs {
    ["503"] = { kind = "status", status = 503, path = "oauth2", times = math.huge },
    ["a lost connection"] = { kind = "reset_before", path = "oauth2", times = math.huge },
  } do
    it("is an Error that says so when the deadline comes first: " .. name, function()
      tenant:fault(rule)
      local user, err = client:get(READ, { deadline = 2 })
      assert.is_nil(user)
      assert.equal("not_sent", err.phase)
      assert.equal(rule.status and "temporarily_unavailable" or "reset", err.code)
      assert.matches(rule.status and "answered HTTP 503" or "while signing in at", err.message)
      tenant:clear_faults()
      assert(client:get(READ)) -- and is over when it is over
    end)
  end

  it("that is a refusal is not waited out", function()
    tenant:fault { kind = "status", status = 400, code = "invalid_grant", path = "oauth2", times = math.huge }
    assert.is_nil((client:get(READ)))
    assert.equal(1, #tenant:token_requests { status = 400 })
  end)
end)
