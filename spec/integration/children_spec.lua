--- What the programs we start could show to others on the machine: their command line and environment, in /proc.
local helper = require "spec.support.helper"
local program = require "spec.support.program"
local sign_in = require "spec.support.sign_in"
local sim = require "msgraph.sim"

-- Whoever runs this has secrets in his environment, and signs in by the Azure CLI and in a browser.
local SCRIPT = [[
local graph = require "msgraph"
for _, auth in ipairs { graph.auth.azure_cli {}, graph.auth.auth_code { client_id = arg[1] } } do
  local client <close> = assert(graph.connect { auth = auth, tenant_id = arg[2] })
  local user, err = client:get "/users/ada@contoso.com"
  print(user and user.userPrincipalName or err)
end
]]

-- Notes what can be seen of it.
local SPY = [[#!/bin/sh
tr '\0' '\n' </proc/$$/cmdline >>FOLDER/seen
tr '\0' '\n' </proc/$$/environ >>FOLDER/seen
]]

it("show no secret", function()
  local tenant <close> = assert(sim.start { users = 5, start = os.time() })
  local app = tenant:app { public = true, scopes = { "User.Read.All" } }
  tenant:sign_in { user = "ada@contoso.com" }
  local ledger, folder = sign_in.ledger(), helper.tmp() .. "/children"

  local function spy(name, body)
    helper.write_file(folder .. "/" .. name, SPY:gsub("FOLDER", folder) .. body)
    helper.sh(("chmod +x %s/%s"):format(folder, name))
  end

  helper.sh("mkdir " .. folder)
  spy("az", ([[echo '{"accessToken": "%s", "expires_on": %d}']]):format(ledger:secret(tenant:token()),
    os.time() + 3600))
  spy("browser", ('exec curl -sS -L --cacert %s -o /dev/null "$1"'):format(tenant.ca_file))
  helper.write_file(folder .. "/script.lua", SCRIPT)
  local ran = program.run({ helper.LUA, folder .. "/script.lua", app.client_id, tenant.tenant_id }, {
    PATH = folder .. ":" .. os.getenv "PATH", BROWSER = "browser", MSGRAPH_ENDPOINT = tenant.endpoint,
    MSGRAPH_CA_FILE = tenant.ca_file, AZURE_AUTHORITY_HOST = tenant.authority,
    MSGRAPH_ACCESS_TOKEN = ledger:secret(tenant:token()),
    AZURE_CLIENT_SECRET = ledger:secret "a secret in the environment",
    AZURE_CLIENT_CERTIFICATE_PASSWORD = ledger:secret "a password in the environment",
  })
  assert.equal("ada@contoso.com\nada@contoso.com\n", ran.out, ran.err)

  local seen = ledger:saw(helper.read_file(folder .. "/seen"))
  for _, mark in ipairs { "get-access-token", "code_challenge=", "AZURE_AUTHORITY_HOST=" } do
    assert.is_truthy(seen:find(mark, 1, true), mark)
  end
  ledger:check()
end)
