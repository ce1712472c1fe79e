-- spec/unit/sim_batch_spec.lua
local base64 = require "msgraph.sim.login.base64"
local cjson = require "cjson"
local tenants = require "msgraph.sim.tenant"

local ADA = "/users/ada@contoso.com"
local ACTION = ADA .. "/removeAllDevicesFromManagement"
local JSON = { ["Content-Type"] = "application/json" }

local function get(id, url, depends_on)
  return { id = id, method = "GET", url = url or ADA, dependsOn = depends_on and { depends_on } }
end

local function post(id, url, depends_on)
  return { id = id, method = "POST", url = url or ACTION, headers = JSON, body = {},
    dependsOn = depends_on and { depends_on } }
end

describe("the simulated $batch", function()
  local tenant, token

  before_each(function()
    tenant = tenants.new({ users = 30 }, function() return 0 end)
    token = tenant:token()
  end)

  local function send(document, version)
    local body = type(document) == "string" and document or cjson.encode { requests = document }
    local answer = tenant:answer { method = "POST", target = (version or "/v1.0") .. "/$batch", body = body,
      headers = { host = "graph.test", authorization = "Bearer " .. token, ["content-length"] = tostring(#body) } }
    local decoded = cjson.decode(answer.body)
    local by_id, order = {}, {}
    for _, part in ipairs(decoded.responses or {}) do
      by_id[part.id], order[#order + 1] = part, part.id
    end
    return answer, by_id, order, decoded
  end

  it("answers each part as the request it is, and logs it so", function()
    local answer, parts = send { get("a"), post("b"), get("c", "/users/nobody") }
    assert.equal(200, answer.status)
    assert.equal("Ada Lovelace", parts.a.body.displayName)
    assert.same({ 204, 404 }, { parts.b.status, parts.c.status })
    assert.is_nil(parts.b.body)
    assert.equal("Request_ResourceNotFound", parts.c.body.error.code)
    local log = tenant:requests()
    assert.equal(4, #log)
    assert.is_nil(log[1].batch)
    for i = 2, 4 do assert.equal(1, log[i].batch) end
    assert.equal(5, #tenant:requests({ method = "POST", batch = 1 })[1].actions)
  end)

  it("speaks beta as well, and takes urls without a slash", function()
    local _, parts = send({ get("a", "users/ada@contoso.com") }, "/beta")
    assert.equal(200, parts.a.status)
    assert.equal("/beta" .. ADA, tenant:requests()[2].path)
  end)

  it("answers in an order of its own, and runs side by side what may", function()
    local list = {}
    for i = 1, 20 do list[i] = get(tostring(i), "/users/" .. i) end
    local _, _, order = send(list)
    local ran = {}
    for i, entry in ipairs(tenant:requests()) do ran[i] = entry.path:match "%d+$" end
    local straight = {}
    for i = 1, 20 do straight[i] = tostring(i) end
    assert.not_same(straight, order)
    assert.not_same(straight, table.move(ran, 2, 21, 1, {}))
    table.sort(order)
    table.sort(straight)
    assert.same(straight, order)
  end)

  local chain = { get("1"), get("2", nil, "1"), get("3", nil, "2") }
  local star = { get("1"), get("2", nil, "1"), get("3", nil, "1") }
  local lone = { get("1"), get("2", nil, "1"), get("3") }

  for what, list in pairs { ["a chain"] = chain, ["all on one"] = star, ["some on one"] = lone } do
    it("takes " .. what, function() assert.equal(200, send(list).status) end)
  end

  for what, case in pairs {
    ["more than twenty"] = { (function()
      local list = {}
      for i = 1, 21 do list[i] = get(tostring(i)) end
      return list
    end)(), "MaximumValueExceeded" },
    ["an id twice, in another letter case"] = { { get("a"), get("A") } },
    ["a part without id"] = { { { method = "GET", url = ADA } } },
    ["an id that is no text"] = { { { id = 1, method = "GET", url = ADA } } },
    ["a part without method"] = { { { id = "1", url = ADA } } },
    ["a url that is not relative"] = { { get("1", "https://graph.test/v1.0/users") } },
    ["a batch in a batch"] = { { get("1"), post("2", "/$batch") } },
    ["a body without its type"] = { { { id = "1", method = "POST", url = ACTION, body = {} } } },
    ["a dependency that is not there"] = { { get("1", nil, "7") } },
    ["a part that depends on itself"] = { { get("1", nil, "1") } },
    ["a graph of dependencies"] = { { get("1"), get("2", nil, "1"), get("3", nil, "2"), get("4", nil, "1") } },
    ["two that are depended on"] = { { get("1"), get("2"), get("3", nil, "1"), get("4", nil, "2") } },
    ["no requests"] = { "{}" },
    ["no JSON"] = { "{" },
  } do
    it("refuses as a whole " .. what, function()
      local answer, _, _, decoded = send(case[1])
      assert.equal(400, answer.status)
      assert.equal(case[2] or "BadRequest", decoded.error.code)
      assert.equal(1, #tenant:requests())
    end)
  end

  it("fails what depends on a failure with 424, all along the chain", function()
    local _, parts = send { get("1", "/users/nobody"), post("2", nil, "1"), post("3", nil, "2") }
    assert.same({ 404, 424, 424 }, { parts["1"].status, parts["2"].status, parts["3"].status })
    assert.equal(0, #tenant:requests { method = "POST", batch = 1 })
  end)

  it("fails a POST without a body, and bytes that are no base64", function()
    local png = { ["content-type"] = "image/png" }
    local _, parts = send { { id = "1", method = "POST", url = ACTION },
      { id = "2", method = "PUT", url = ADA .. "/photo/$value", headers = png, body = "?" } }
    assert.same({ 400, 400 }, { parts["1"].status, parts["2"].status })
    local _, more = send { { id = "1", method = "POST", url = ACTION, headers = png, body = base64.url "\255\254" } }
    assert.equal(204, more["1"].status)
  end)

  it("asks each part for its own permission, with the batch's token", function()
    token = tenant:token { scopes = { "User.Read.All" } }
    local answer, parts = send { get("1"), post("2") }
    assert.equal(200, answer.status)
    assert.same({ 200, 403 }, { parts["1"].status, parts["2"].status })
    token = "none"
    assert.equal(401, (send { get("1") }).status)
  end)

  it("gives a part its own client-request-id, headers and faults", function()
    tenant:fault { kind = "status", status = 429, retry_after = "2.5", path = "nobody" }
    tenant:fault { kind = "reset_after", path = "removeAll" }
    tenant:fault { kind = "latency", seconds = 2, path = "ada@contoso.com$" }
    local own = get("3")
    own.headers = { ["client-request-id"] = "mine" }
    local answer, parts = send { get("1", "/users/nobody"), post("2"), own }
    assert.equal("2.5", parts["1"].headers["Retry-After"])
    assert.is_nil(parts["2"])
    assert.equal("mine", parts["3"].headers["client-request-id"])
    assert.equal(2000, answer.delay_ms)
    assert.equal(5, #tenant:requests({ method = "POST", batch = 1 })[1].actions)
  end)

  it("sends bytes as base64", function()
    tenant:fault { kind = "not_json", path = "ada" }
    local _, parts = send { get("1") }
    assert.matches("^<!DOCTYPE html>", base64.decode(parts["1"].body))
  end)
end)
