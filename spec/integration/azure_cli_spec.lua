--- The Azure CLI's sign-in. `az` here is a script that answers as the real one does; what it is called with is kept.
local helper = require "spec.support.helper"
local program = require "spec.support.program"
local sim = require "msgraph.sim"

local ADA = "ada@contoso.com"
local SCRIPT = [[
local json = require "msgraph.json"
local graph = require "msgraph"
local auth = %s
local client <close> = assert(graph.connect { auth = auth, tenant_id = os.getenv "TENANT" })
for _ = 1, 2 do
  local user, err = client:get "/users/ada@contoso.com"
  print(user and user.userPrincipalName or err.code .. ": " .. tostring(err))
end
]]

local tenant, folder

setup(function() tenant = assert(sim.start { users = 5 }) end)
teardown(function() tenant:stop() end)

before_each(function()
  folder = helper.tmp() .. "/az-" .. tostring({}):match("0x(%x+)")
  helper.sh("mkdir -p " .. helper.quote(folder))
end)

local function az(body)
  local path = folder .. "/az"
  helper.write_file(path, "#!/bin/sh\necho \"$@\" >>" .. helper.quote(folder .. "/called") .. "\n" .. body)
  helper.sh("chmod +x " .. helper.quote(path))
end

local function token_json(expiry)
  return ([[cat <<END
{"accessToken": "%s", %s, "subscription": "s", "tenant": "t", "tokenType": "Bearer"}
END
]]):format(tenant:token(), expiry)
end

local function run(auth)
  local script = folder .. "/script.lua"
  helper.write_file(script, SCRIPT:format(auth or "graph.auth.azure_cli {}"))
  local env = { PATH = folder .. ":" .. os.getenv "PATH", MSGRAPH_ENDPOINT = tenant.endpoint,
    MSGRAPH_CA_FILE = tenant.ca_file }
  return program.run({ "lua5.4", script }, env)
end

describe("the Azure CLI", function()
  it("is asked once for a token of the cloud's Graph", function()
    az(token_json(('"expires_on": %d'):format(os.time() + 3600)))
    assert.equal(("%s\n%s\n"):format(ADA, ADA), run().out)
    assert.equal("account get-access-token --output json --resource https://graph.microsoft.com\n",
      helper.read_file(folder .. "/called"))
  end)

  it("of before 2.54 says the expiry in local time", function()
    az(token_json(('"expiresOn": "%s.123456"'):format(os.date("%Y-%m-%d %H:%M:%S", os.time() + 3600))))
    assert.equal(("%s\n%s\n"):format(ADA, ADA), run().out)
  end)

  it("is asked for the tenant that is named", function()
    az(token_json(('"expires_on": %d'):format(os.time() + 3600)))
    run "graph.auth.azure_cli { tenant_id = 'contoso.com' }"
    assert.matches("--tenant contoso.com", helper.read_file(folder .. "/called"), 1, true)
  end)

  it("that nobody signed in to says so in az's words", function()
    az "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1\n"
    assert.matches("azure_cli: .*status 1: Please run 'az login'", run().out)
  end)

  it("that prints no token, or one that has expired, is an Error", function()
    az "echo '{}'\n"
    assert.matches("bad_answer: .*no token", run().out)
    az(token_json(('"expires_on": %d'):format(os.time() - 1)))
    assert.matches("bad_answer: .*no token", run().out)
  end)

  it("is the last source of a client that is told nothing", function()
    az(token_json(('"expires_on": %d'):format(os.time() + 3600)))
    assert.equal(("%s\n%s\n"):format(ADA, ADA), run("nil").out)
  end)
end)
