local auth = require "msgraph.auth"
local config = require "msgraph.config"
local helper = require "spec.support.helper"

local function env(values)
  return function(name) return values[name] end
end

local TOKEN = { MSGRAPH_ACCESS_TOKEN = helper.TOKEN }

local function with_token(values)
  local all = { MSGRAPH_ACCESS_TOKEN = helper.TOKEN }
  for name, value in pairs(values) do all[name] = value end
  return env(all)
end

describe("the endpoint", function()
  for cloud, endpoint in pairs {
    global = "https://graph.microsoft.com", usgov = "https://graph.microsoft.us",
    dod = "https://dod-graph.microsoft.us",
    china = "https://microsoftgraph.chinacloudapi.cn", bleu = "https://graph.svc.sovcloud.fr",
    delos = "https://graph.svc.sovcloud.de",
  } do
    it("of cloud " .. cloud, function()
      assert.equal(endpoint, config.resolve({ cloud = cloud }, env(TOKEN)).endpoint)
      assert.equal(endpoint, config.resolve({}, with_token { MSGRAPH_CLOUD = cloud }).endpoint)
    end)
  end

  it("is the global cloud's by default", function()
    assert.equal("https://graph.microsoft.com", config.resolve(nil, env(TOKEN)).endpoint)
  end)

  it("is what is said explicitly, then the environment", function()
    local getenv = with_token { MSGRAPH_ENDPOINT = "https://env", MSGRAPH_CLOUD = "china" }
    assert.equal("https://env", config.resolve({}, getenv).endpoint)
    assert.equal("https://mine", config.resolve({ endpoint = "https://mine" }, getenv).endpoint)
    assert.equal("https://graph.microsoft.us", config.resolve({ cloud = "usgov" }, getenv).endpoint)
  end)

  it("of an unknown cloud raises with the list; from the environment it is returned", function()
    assert.error_matches(function() config.resolve({ cloud = "Global" }, env(TOKEN)) end,
      "no cloud 'Global'; there are global, usgov, dod, china, bleu, delos")
    local settings, err = config.resolve({}, with_token { MSGRAPH_CLOUD = "mars" })
    assert.is_nil(settings)
    assert.equal("bad_environment", err.code)
    assert.matches("MSGRAPH_CLOUD: no cloud 'mars'", err.message)
  end)
end)

describe("the token", function()
  it("missing leaves it to the other sources", function()
    for _, getenv in ipairs { env {}, env { MSGRAPH_ACCESS_TOKEN = "" } } do
      assert.equal("default", config.resolve({}, getenv).auth.kind)
    end
  end)

  it("missing in the environment gives an error that says what to set", function()
    for _, getenv in ipairs { env {}, env { MSGRAPH_ACCESS_TOKEN = "" } } do
      local credential, err = config.from_environment({}, getenv)
      assert.is_nil(credential)
      assert.equal("auth", err.kind)
      assert.equal("no_token", err.code)
      assert.matches("MSGRAPH_ACCESS_TOKEN", err.hint)
      assert.matches("AZURE_CLIENT_SECRET", err.hint)
      assert.matches("graph.auth.token", err.hint)
    end
  end)

  it("given wins over the environment's", function()
    local mine = auth.token "abc"
    assert.equal(mine, config.resolve({ auth = mine }, env(TOKEN)).auth)
  end)

  it("may have spaces and line ends around it", function()
    assert.equal("token", config.resolve({}, env { MSGRAPH_ACCESS_TOKEN = " abc\r\n" }).auth.kind)
  end)

  for _, token in ipairs { "", "  ", "Bearer abc", "a b", "a\nb", "a\0b", "é" } do
    it(("%q is refused"):format(token), function()
      assert.error_matches(function() auth.token(token) end, "the token cannot be used")
      if token ~= "" then
        local _, err = config.resolve({}, env { MSGRAPH_ACCESS_TOKEN = token })
        assert.equal("bad_environment", err.code)
      end
    end)
  end

  it("is refused when it is no string", function()
    assert.error_matches(function() auth.token(5) end, "a string is expected, got number")
    assert.error_matches(function() config.resolve({ auth = "abc" }, env {}) end, "'auth' must be a table")
    assert.error_matches(function() config.resolve({ auth = {} }, env {}) end, "must come from graph.auth")
  end)

  it("does not show in the credential, nor in a refusal", function()
    local credential = auth.token(helper.TOKEN)
    assert.is_true(helper.silent(credential))
    assert.is_true(helper.silent(tostring(credential)))
    local _, message = pcall(auth.token, helper.TOKEN .. " x")
    assert.is_true(helper.silent(message))
  end)
end)

describe("options", function()
  for _, case in ipairs {
    { { endpiont = "x" },         "unknown option 'endpiont' %(did you mean 'endpoint'%?%)" },
    { { cafile = "x" },           "did you mean 'ca_file'" },
    { { [5] = "x" },              "unknown option '5'" },
    { { connect_timeout = "5s" }, "'connect_timeout' must be a number, got string" },
    { "token",                    "options must be a table, got string" },
  } do
    it("wrong ones raise: " .. case[2], function()
      assert.error_matches(function() config.resolve(case[1], env(TOKEN)) end, case[2])
    end)
  end

  it("are never written to", function()
    local opts = setmetatable({}, { __newindex = function() error("written to") end })
    assert.is_table(config.resolve(opts, env(TOKEN)))
  end)

  it("reach the core", function()
    local settings = config.resolve({ connect_timeout = 1, first_byte_timeout = 2, stall_timeout = 3, max_body = 4,
      http_version = "2" }, with_token { MSGRAPH_CA_FILE = "/ca.pem", MSGRAPH_SHARED_GATE = "/run/gate" })
    settings.auth = settings.auth.kind
    assert.same({ endpoint = "https://graph.microsoft.com", auth = "token", ca_file = "/ca.pem",
      identity = { authority = "https://login.microsoftonline.com", scope = "https://graph.microsoft.com/.default",
        ca_file = "/ca.pem" },
      connect_timeout = 1, first_byte_timeout = 2, stall_timeout = 3, max_body = 4, http_version = "2",
      shared_gate = "/run/gate" }, settings)
  end)
end)

describe("what the environment signs in with", function()
  local WHO = { AZURE_TENANT_ID = "contoso.com", AZURE_CLIENT_ID = "app" }
  local WAYS = {
    client_secret = { AZURE_CLIENT_SECRET = "s3cret" },
    certificate = { AZURE_CLIENT_CERTIFICATE_PATH = "/c.pem" },
    workload_identity = { AZURE_FEDERATED_TOKEN_FILE = "/token" },
    token = { MSGRAPH_ACCESS_TOKEN = "abc" },
  }

  local function with(...)
    local all = {}
    for _, values in ipairs { ... } do
      for name, value in pairs(values) do all[name] = value end
    end
    return env(all)
  end

  it("is whatever is there", function()
    for kind, values in pairs(WAYS) do
      assert.equal(kind, config.resolve({}, with(WHO, values)).auth.kind)
    end
  end)

  it("is the first of a token, a secret, a certificate, a federated token", function()
    local order, found = { "token", "client_secret", "certificate", "workload_identity" }, {}
    for first = 1, #order do
      local sets = { WHO }
      for i = first, #order do sets[#sets + 1] = WAYS[order[i]] end
      found[first] = config.resolve({}, with(table.unpack(sets))).auth.kind
    end
    assert.same(order, found)
  end)

  it("takes tenant and client from options as well, which win", function()
    local settings = config.resolve({ tenant_id = "t", client_id = "c" }, env(WAYS.client_secret))
    assert.equal("client_secret", settings.auth.kind)
    assert.equal("t", settings.identity.tenant_id)
    settings = config.resolve({ tenant_id = "t" }, with(WHO, WAYS.client_secret))
    assert.equal("t", settings.identity.tenant_id)
    assert.equal("app", settings.identity.client_id)
  end)

  it("is nothing when only half is there: the message names what each way lacks", function()
    local _, err = config.from_environment({}, env { AZURE_TENANT_ID = "contoso.com", AZURE_CLIENT_SECRET = "s3cret" })
    assert.equal("no_token", err.code)
    assert.matches("token lacks MSGRAPH_ACCESS_TOKEN", err.message, 1, true)
    assert.matches("client_secret lacks AZURE_CLIENT_ID;", err.message, 1, true)
    assert.matches("certificate lacks AZURE_CLIENT_ID, AZURE_CLIENT_CERTIFICATE_PATH;", err.message, 1, true)
    assert.matches("workload_identity lacks AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE)", err.message, 1, true)
    assert.is_nil(tostring(err):find("s3cret", 1, true))
    _, err = config.from_environment({}, env(WHO))
    assert.matches("client_secret lacks AZURE_CLIENT_SECRET;", err.message, 1, true)
  end)

  it("passes over a way that lacks something for one that is whole", function()
    local settings = config.resolve({}, with(WHO, WAYS.workload_identity, { AZURE_CLIENT_CERTIFICATE_PASSWORD = "x" }))
    assert.equal("workload_identity", settings.auth.kind)
  end)

  it("is named, not shown, when it cannot be used", function()
    local _, err = config.resolve({}, with(WHO, { AZURE_CLIENT_SECRET = "s3cret\n" }))
    assert.equal("bad_environment", err.code)
    assert.matches("^AZURE_CLIENT_SECRET: it holds a line end", err.message)
    assert.is_nil(tostring(err):find("s3cret", 1, true))
    _, err = config.resolve({}, with(WHO, WAYS.certificate, { AZURE_CLIENT_CERTIFICATE_PASSWORD = "a\tb" }))
    assert.matches("^AZURE_CLIENT_CERTIFICATE_PASSWORD: it holds", err.message)
  end)
end)

describe("where to sign in", function()
  local function identity(opts, values)
    return config.resolve(opts, with_token(values or {})).identity
  end

  for cloud, hosts in pairs {
    global = { "login.microsoftonline.com", "graph.microsoft.com" },
    usgov = { "login.microsoftonline.us", "graph.microsoft.us" },
    dod = { "login.microsoftonline.us", "dod-graph.microsoft.us" },
    china = { "login.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn" },
    bleu = { "login.sovcloud-identity.fr", "graph.svc.sovcloud.fr" },
    delos = { "login.sovcloud-identity.de", "graph.svc.sovcloud.de" },
  } do
    it("and for what, follows from the cloud: " .. cloud, function()
      local expected = { authority = "https://" .. hosts[1], scope = "https://" .. hosts[2] .. "/.default" }
      assert.same(expected, identity { cloud = cloud })
      assert.same(expected, identity({}, { MSGRAPH_CLOUD = cloud }))
      assert.same(expected, identity { endpoint = "https://" .. hosts[2] })
      assert.same(expected, identity { endpoint = "https://" .. hosts[2] .. "/" })
      assert.same(expected, identity({}, { MSGRAPH_ENDPOINT = "https://" .. hosts[2]:upper() }))
    end)
  end

  it("is what is said explicitly, then the environment, then the cloud's", function()
    local values = { AZURE_AUTHORITY_HOST = "https://env.example", MSGRAPH_CLOUD = "usgov" }
    assert.equal("https://mine.example", identity({ authority = "https://mine.example" }, values).authority)
    assert.equal("https://env.example", identity({}, values).authority)
    assert.equal("https://graph.microsoft.us/.default", identity({}, values).scope)
    assert.equal("https://login.chinacloudapi.cn", identity({ cloud = "china" }, values).authority)
  end)

  it("may be written in AZURE_AUTHORITY_HOST with a slash, and without https", function()
    for _, text in ipairs { "https://env.example/", "https://env.example", "env.example", "env.example/" } do
      assert.equal("https://env.example", identity({}, { AZURE_AUTHORITY_HOST = text }).authority)
    end
  end)

  it("is the public cloud's for a private endpoint", function()
    assert.equal("https://graph.microsoft.com/.default", identity({ endpoint = "https://127.0.0.1:1" }).scope)
  end)
end)

describe("require", function()
  it("does no work: no transport, no client, no environment", function()
    local out = helper.sh(("env -u MSGRAPH_ACCESS_TOKEN %s -e %s"):format(helper.LUA, helper.quote [[
      local before = io.popen("ls /proc/" .. io.open("/proc/self/stat"):read("n") .. "/fd | wc -l"):read("n")
      os.getenv = function() error("looked at the environment") end
      require "msgraph"
      local after = io.popen("ls /proc/" .. io.open("/proc/self/stat"):read("n") .. "/fd | wc -l"):read("n")
      print(after - before <= 2)]]))
    assert.matches("true", out)
  end)
end)
