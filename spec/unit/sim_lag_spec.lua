--- Reads that lag behind writes, and chaos from a seed.
local cjson = require "cjson"
local sim = require "msgraph.sim"
local tenants = require "msgraph.sim.tenant"

local ADA = "/v1.0/users/ada@contoso.com"

local function new(opts)
  local tenant = tenants.new(opts, function() return 0 end)
  local token = tenant:token { scopes = { "User.ReadWrite.All", "DeviceManagementManagedDevices.ReadWrite.All",
    "DeviceManagementManagedDevices.PrivilegedOperations.All" } }
  local function ask(method, target, body)
    local answer = tenant:answer { method = method, target = target, body = body or "", headers = {
      host = "graph.test", authorization = "Bearer " .. token, ["content-length"] = "0" } }
    local ok, decoded = pcall(cjson.decode, answer.body)
    return ok and decoded or nil, answer
  end
  return tenant, ask
end

describe("a tenant whose reads lag", function()
  local function states(ask)
    local out = {}
    for i, device in ipairs(ask("GET", ADA .. "/managedDevices").value) do out[i] = device.managementState end
    return out
  end

  it("shows what a request did when its time has come, and does it at once", function()
    local tenant, ask = new { read_lag = 10 }
    local before = states(ask)
    local _, answer = ask("POST", ADA .. "/removeAllDevicesFromManagement")
    assert.equal(204, answer.status)
    assert.same({}, tenant:devices { userPrincipalName = "ada@contoso.com", managementState = "managed" })
    tenant:advance(9.9)
    assert.same(before, states(ask))
    tenant:advance(0.1)
    assert.not_same(before, states(ask))
    for _, state in ipairs(states(ask)) do assert.not_equal("managed", state) end
  end)

  it("refuses a read of what is there, and shows what is gone, until then", function()
    local tenant, ask = new { read_lag = 60 }
    local device = ask("GET", ADA .. "/managedDevices").value[1]
    local path = "/v1.0/deviceManagement/managedDevices/" .. device.id
    assert.equal(204, select(2, ask("DELETE", path)).status)
    assert.equal(404, select(2, ask("DELETE", path)).status) -- writes see it at once
    assert.equal(200, select(2, ask("GET", path)).status)
    tenant:advance(60)
    assert.equal(404, select(2, ask("GET", path)).status)
  end)

  it("lags behind an administrator as well, in lists and delta", function()
    local tenant, ask = new { read_lag = 5, users = 10 }
    tenant:change_user { who = "ada@contoso.com", properties = { displayName = "Countess" } }
    tenant:delete_user "grace@contoso.com"
    assert.not_equal("Countess", ask("GET", ADA).displayName)
    assert.equal(10, #ask("GET", "/v1.0/users").value)
    assert.equal(10, #ask("GET", "/v1.0/users/delta").value)
    tenant:advance(5)
    assert.equal("Countess", ask("GET", ADA).displayName)
    assert.equal(9, #ask("GET", "/v1.0/users").value)
    assert.equal(9, #ask("GET", "/v1.0/users/delta").value)
  end)

  it("comes to the same end as one that does not lag", function()
    local late, ask_late = new { read_lag = 3, users = 20 }
    local prompt, ask_prompt = new { users = 20 }
    for _, user in ipairs(prompt:users()) do
      for _, one in ipairs { { late, ask_late }, { prompt, ask_prompt } } do
        one[2]("POST", "/v1.0/users/" .. user.id .. "/removeAllDevicesFromManagement")
        one[1]:advance(7)
      end
    end
    late:advance(3000)
    prompt:advance(3000)
    local left = ask_prompt("GET", "/v1.0/deviceManagement/managedDevices").value
    assert.is_true(#left > 0)
    assert.same(left, ask_late("GET", "/v1.0/deviceManagement/managedDevices").value)
  end)

  it("counts a write that did nothing as none, and each once in the log", function()
    local tenant, ask = new { read_lag = 1 }
    ask("POST", ADA .. "/removeAllDevicesFromManagement")
    tenant:advance(2)
    ask("GET", ADA)
    assert.equal(5, #tenant:requests()[1].actions)
    assert.equal(2, #tenant:requests())
  end)
end)

describe("chaos", function()
  local function history(opts, n)
    local tenant, ask = new(opts)
    local out, dates = {}, {}
    for i = 1, n do
      local decoded, a = ask("GET", "/v1.0/users?$top=3")
      out[i] = ("%s %s %s %s %s"):format(a.status, a.reset, a.cut_at, a.headers["Retry-After"],
        decoded and decoded.value and #decoded.value)
      dates[#dates + 1] = a.headers.Date
    end
    return out, dates, tenant
  end

  it("is the same for the same seed, and another for another", function()
    local one = history({ chaos = { rate = 0.5, seed = 7 } }, 200)
    assert.same(one, (history({ chaos = { rate = 0.5, seed = 7 } }, 200)))
    assert.not_same(one, (history({ chaos = { rate = 0.5, seed = 8 } }, 200)))
    assert.same(one, (history({ chaos = { rate = 0.5, seed = 7 }, seed = 1 }, 200)))
  end)

  it("strikes as often as told", function()
    for _, rate in ipairs { 0, 0.1, 0.5, 1 } do
      local _, _, tenant = history({ chaos = { rate = rate } }, 1000)
      local struck = 0
      for _, entry in ipairs(tenant:requests()) do struck = struck + (entry.fault and 1 or 0) end
      assert.is_true(math.abs(struck - 1000 * rate) <= 60, ("%d of 1000 at %g"):format(struck, rate))
    end
  end)

  it("knows every way to go wrong", function()
    local seen, dates = history({ chaos = { rate = 1 } }, 400)
    local all = table.concat(seen, "\n")
    for _, pattern in ipairs {
      "429 nil nil 0%.%d%d%d", "429 nil nil %a%a%a, 04 Sep 2026 08:00:01 GMT", "429 nil nil nil",
      "503 nil nil 0%.%d%d%d", "500 nil", "502 nil", "503 nil nil nil", "504 nil", "nil true", "200 true",
      "200 nil %d+",
      "200 nil nil nil 0", "200 nil nil nil 3",
    } do
      assert.matches(pattern, all)
    end
    local odd = 0
    for _, date in ipairs(dates) do odd = odd + (date ~= "Fri, 04 Sep 2026 08:00:00 GMT" and 1 or 0) end
    assert.is_true(odd > 10 and odd < 100)
  end)

  it("leaves the sign-in alone, and ends when faults are cleared", function()
    local tenant, ask = new { chaos = { rate = 1 } }
    local answer = tenant:answer { method = "POST", target = "/contoso.com/oauth2/v2.0/token", headers = {},
      body = "" }
    assert.equal(400, answer.status)
    tenant:clear_faults()
    assert.equal(200, select(2, ask("GET", "/v1.0/users")).status)
  end)

  it("and lag are refused where they make no sense", function()
    for _, opts in ipairs { { chaos = {} }, { chaos = { rate = 2 } }, { chaos = { rate = 0.5, sed = 1 } },
      { chaos = { rate = 0.1, seed = 0.5 } }, { read_lag = -1 } } do
      assert.error_matches(function() sim.start(opts) end, "option '")
    end
  end)
end)
