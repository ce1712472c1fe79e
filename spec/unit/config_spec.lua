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
  it("missing gives an error that says what to set", function()
    for _, getenv in ipairs { env {}, env { MSGRAPH_ACCESS_TOKEN = "" } } do
      local settings, err = config.resolve({}, getenv)
      assert.is_nil(settings)
      assert.equal("auth", err.kind)
      assert.equal("no_token", err.code)
      assert.matches("MSGRAPH_ACCESS_TOKEN", err.hint)
      assert.matches("graph.auth.token", err.hint)
    end
  end)

  it("given wins over the environment's", function()
    assert.equal("abc", config.resolve({ auth = auth.token "abc" }, env(TOKEN)).token)
  end)

  it("may have spaces and line ends around it", function()
    assert.equal("abc", config.resolve({}, env { MSGRAPH_ACCESS_TOKEN = " abc\r\n" }).token)
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
      http_version = "2" }, with_token { MSGRAPH_CA_FILE = "/ca.pem" })
    assert.same({ endpoint = "https://graph.microsoft.com", token = helper.TOKEN, ca_file = "/ca.pem",
      connect_timeout = 1, first_byte_timeout = 2, stall_timeout = 3, max_body = 4, http_version = "2" }, settings)
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
