local errors = require "msgraph.errors"
local fake = require "spec.support.fake_core"

local LIST = "^/v1%.0/users/ada%%40contoso%.com/managedDevices%?%$select="
local ONE = "^/v1%.0/deviceManagement/managedDevices/([^?]+)%?%$select="

describe("remove_all_devices with wait", function()
  local core, devices, tenant, client

  -- A tenant of one user: `tenant.devices` by id, `tenant.at` = { {seconds, function}, ... } to change it.
  before_each(function()
    local modules = table.pack(fake.new())
    core, devices = modules[1], modules[4]
    tenant = { order = { "d1", "d2" }, posts = 0, lists = {}, refusals = {}, changes = {} }
    tenant.devices = {
      d1 = { id = "d1", deviceName = "LAPTOP-1", operatingSystem = "Windows", managementState = "managed" },
      d2 = { id = "d2", deviceName = "PHONE-2", operatingSystem = "iOS", managementState = "managed" },
    }
    client = { read = function() return true end }

    local function turn()
      while tenant.changes[1] and tenant.changes[1][1] <= core.clock do table.remove(tenant.changes, 1)[2]() end
    end

    function client.exchange(_, request)
      tenant.posts = tenant.posts + 1
      tenant.target, tenant.posted_at = request.target, core.clock
      if tenant.post_error then return nil, tenant.post_error end
      return { status = 204, body = "" }
    end

    function client.get(_, target)
      turn()
      local refusal = table.remove(tenant.refusals, 1)
      if refusal then return nil, refusal end
      local id = target:match(ONE)
      if id then
        if tenant.devices[id] then return tenant.devices[id] end
        return nil, errors.new { kind = "not_found", code = "ResourceNotFound", message = "gone", status = 404 }
      end
      error("unexpected " .. target)
    end

    function client.list(_, target)
      turn()
      local refusal = table.remove(tenant.refusals, 1)
      if refusal then return nil, refusal end
      assert(target:match(LIST), target)
      tenant.lists[#tenant.lists + 1] = core.clock
      local value = {}
      for _, key in ipairs(tenant.order) do
        if tenant.devices[key] and not (tenant.hidden or {})[key] then value[#value + 1] = tenant.devices[key] end
      end
      return value
    end
  end)

  local function remove(wait, on_change)
    return devices.remove_all_devices(client, "ada@contoso.com", { wait = wait or "1h", on_change = on_change })
  end

  local function failure(kind, fields)
    local all = { kind = kind, code = kind, message = kind }
    for key, value in pairs(fields or {}) do all[key] = value end
    return errors.new(all)
  end

  it("lists, posts once, and tells of every device when it has gone", function()
    tenant.changes = {
      { 2, function() tenant.devices.d1.managementState = "retirePending" end },
      { 5, function() tenant.devices.d1 = nil end },
      { 300, function() tenant.devices.d2 = nil end },
    }
    local result = assert(remove())
    assert.equal(1, tenant.posts)
    assert.equal("/v1.0/users/ada%40contoso.com/removeAllDevicesFromManagement", tenant.target)
    assert.same({ gone = 2, failed = 0, pending = 0, devices = {
      { id = "d1", name = "LAPTOP-1", platform = "Windows", outcome = "gone", state = "retirePending" },
      { id = "d2", name = "PHONE-2", platform = "iOS", outcome = "gone", state = "managed" },
    } }, result)
  end)

  it("asks fast at first and never slower than once a minute", function()
    local result = remove("30m")
    assert.equal(2, result.pending)
    assert.equal(1800, core.clock)
    assert.equal(1, tenant.lists[2])
    for i = 3, #tenant.lists do
      local pause = tenant.lists[i] - tenant.lists[i - 1]
      assert.is_true(pause <= 60)
      if i < #tenant.lists then assert.is_true(pause >= tenant.lists[i - 1] - tenant.lists[i - 2]) end
    end
  end)

  it("reports what is still there when the time is over", function()
    tenant.changes = { { 3, function() tenant.devices.d1 = nil end } }
    local result = remove(10)
    assert.same({ 1, 1, 0 }, { result.gone, result.pending, result.failed })
    assert.equal(10, core.clock)
  end)

  it("posts even for a user without devices", function()
    tenant.devices = {}
    assert.same({ devices = {}, gone = 0, failed = 0, pending = 0 }, remove())
    assert.equal(1, tenant.posts)
    assert.equal(0, core.clock)
  end)

  for _, state in ipairs { "retireFailed", "retireCanceled" } do
    it("takes the state " .. state .. " for a failure", function()
      tenant.changes = {
        { 2, function() tenant.devices.d1.managementState = state end },
        { 2, function() tenant.devices.d2 = nil end },
      }
      local result = remove()
      assert.same({ 1, 1, 0 }, { result.gone, result.failed, result.pending })
      assert.equal(state, result.devices[1].state)
      assert.equal(state, result.devices[1].detail)
    end)
  end

  it("takes a failure that was there before for an old one, until it is new", function()
    tenant.order = { "d1" }
    tenant.devices.d1.managementState = "retireFailed"
    assert.equal(1, remove(30).pending)
    tenant.changes = {
      { core.clock + 5, function() tenant.devices.d1.managementState = "retirePending" end },
      { core.clock + 20, function() tenant.devices.d1.managementState = "retireFailed" end },
    }
    assert.equal(1, remove(600).failed)
  end)

  for _, state in ipairs { "failed", "notSupported", "canceled" } do
    it("takes the result " .. state .. " of a retire for a failure, when it is newer than the list before", function()
      local old = { actionName = "retire", actionState = state, startDateTime = "2026-01-01T00:00:00Z",
        lastUpdatedDateTime = "2026-01-01T00:00:00Z" }
      tenant.order = { "d1" }
      tenant.devices.d1.deviceActionResults = { old, { actionName = "locateDevice", actionState = "failed" } }
      assert.equal(1, remove(30).pending)
      tenant.changes = { { core.clock + 5, function()
        tenant.devices.d1.deviceActionResults = { old, { actionName = "retire", actionState = state,
          startDateTime = "2026-08-01T00:00:00Z", lastUpdatedDateTime = "2026-08-01T00:00:09Z" } }
      end } }
      local result = remove(600)
      assert.equal(1, result.failed)
      assert.equal("retire: " .. state, result.devices[1].detail)
    end)
  end

  it("does not take a device for gone that a lagging list leaves out", function()
    tenant.changes = {
      { 1, function() tenant.hidden = { d1 = true } end },
      { 9, function() tenant.devices.d1 = nil end },
    }
    local seen = {}
    local result = remove(60, function(device) seen[device.id .. " " .. device.outcome] = core.clock end)
    assert.same({ 1, 1 }, { result.gone, result.pending })
    assert.is_true(seen["d1 gone"] >= 9)
  end)

  for _, kind in ipairs { "network", "timeout", "throttled", "server", "protocol" } do
    it("goes on after a passing failure of a read: " .. kind, function()
      tenant.changes = { { 3, function() tenant.devices = {} end } }
      core.on_step = function()
        if tenant.posts == 1 and #tenant.lists == 1 and not tenant.refused then
          tenant.refused = true
          tenant.refusals = { failure(kind) }
        end
      end
      local result = remove()
      assert.is_true(tenant.refused)
      assert.equal(2, result.gone)
      assert.is_nil(result.error)
    end)
  end

  it("waits as long as it is told to", function()
    core.on_step = function()
      if #tenant.lists == 1 and not tenant.refused then
        tenant.refused = true
        tenant.refusals = { failure("throttled", { retry_after = 40 }) }
        tenant.devices = {}
      end
    end
    assert.equal(2, remove().gone)
    assert.equal(41, tenant.lists[2])
  end)

  it("does not look again before it is told to, be it at the very end", function()
    core.on_step = function()
      if #tenant.lists == 1 and not tenant.refused then
        tenant.refused = true
        tenant.refusals = { failure("throttled", { retry_after = 40 }) }
      end
    end
    local result = remove "30s"
    assert.equal(2, result.pending)
    assert.equal("throttled", result.error.kind)
    assert.equal(1, #tenant.lists)
  end)

  it("ends with what it knows when a failure will not pass", function()
    core.on_step = function()
      if core.clock >= 20 then tenant.refusals = { failure("auth") } end
    end
    tenant.changes = { { 2, function() tenant.devices.d1 = nil end } }
    local result = remove()
    assert.same({ 1, 1 }, { result.gone, result.pending })
    assert.equal("auth", result.error.kind)
    assert.is_true(core.clock < 60)
  end)

  for name, listed in pairs {
    ["no table"] = { "text" },
    ["a device without an id"] = { { deviceName = "x" } },
    ["a device whose id is no segment"] = { { id = ".." } },
  } do
    it("sends nothing when the list holds " .. name, function()
      client.list = function() return listed end
      local result, err = remove()
      assert.is_nil(result)
      assert.equal("protocol", err.kind)
      assert.equal(0, tenant.posts)
    end)
  end

  it("sends nothing when the devices cannot be listed", function()
    tenant.refusals = { failure("forbidden") }
    local result, err = remove()
    assert.is_nil(result)
    assert.equal("forbidden", err.kind)
    assert.matches("the action was not sent", err.message)
    assert.equal(0, tenant.posts)
  end)

  it("returns the Error of a POST that failed or may have, and does not watch", function()
    for _, kind in ipairs { "ambiguous", "forbidden" } do
      tenant.post_error = failure(kind)
      local result, err = remove()
      assert.is_nil(result)
      assert.equal(tenant.post_error, err)
    end
    assert.equal(2, #tenant.lists)
  end)

  it("tells of each device at first and at every change", function()
    local seen = {}
    tenant.changes = {
      { 2, function() tenant.devices.d1.managementState = "retirePending" end },
      { 30, function() tenant.devices = {} end },
    }
    remove("1h", function(device) seen[#seen + 1] = ("%s %s %s"):format(device.id, device.outcome, device.state) end)
    assert.same({ "d1 pending managed", "d2 pending managed", "d1 pending retirePending", "d1 gone retirePending",
      "d2 gone managed" }, seen)
  end)

  for text, seconds in pairs { ["90s"] = 90, ["15m"] = 900, ["2h"] = 7200, ["1d"] = 86400, ["1.5m"] = 90 } do
    it("reads " .. text, function()
      remove(text)
      assert.equal(seconds, core.clock)
    end)
  end
end)
