-- spec/unit/managed_identity_spec.lua
--- Which host a process runs on, by its environment; and what graph.auth.managed_identity takes.
local auth = require "msgraph.auth"
local graph = require "msgraph"
local managed = require "msgraph.auth.managed"

local function find(env, himds)
  return managed.find(function(name) return env[name] end, function(path)
    return himds == true and path == "/opt/azcmagent/bin/himds"
  end)
end

local IDENTITY <const> = "http://127.0.0.1:41000/msi/token"
local IMDS <const> = "http://169.254.169.254/metadata/identity/oauth2/token"

describe("the host a process runs on", function()
  for _, case in ipairs {
    { "a virtual machine, when nothing tells", {}, { host = "imds", endpoint = IMDS } },
    { "a virtual machine, with its service elsewhere", { AZURE_POD_IDENTITY_AUTHORITY_HOST = "http://127.0.0.1:80/" },
      { host = "imds", endpoint = "http://127.0.0.1:80/metadata/identity/oauth2/token" } },
    { "App Service", { IDENTITY_ENDPOINT = IDENTITY, IDENTITY_HEADER = "s" },
      { host = "app_service", endpoint = IDENTITY, secret = "s" } },
    { "Service Fabric, which has a thumbprint too",
      { IDENTITY_ENDPOINT = IDENTITY, IDENTITY_HEADER = "s", IDENTITY_SERVER_THUMBPRINT = "AB" },
      { host = "service_fabric", endpoint = IDENTITY, secret = "s", thumbprint = "AB" } },
    { "Azure Arc", { IDENTITY_ENDPOINT = IDENTITY, IMDS_ENDPOINT = "http://localhost:40342" },
      { host = "azure_arc", endpoint = IDENTITY } },
    { "Azure Machine Learning", { MSI_ENDPOINT = IDENTITY, MSI_SECRET = "s", DEFAULT_IDENTITY_CLIENT_ID = "c" },
      { host = "azure_ml", endpoint = IDENTITY, secret = "s", client_id = "c" } },
    { "Cloud Shell", { MSI_ENDPOINT = IDENTITY }, { host = "cloud_shell", endpoint = IDENTITY } },
    { "App Service, which once had other variables",
      { IDENTITY_ENDPOINT = IDENTITY, IDENTITY_HEADER = "s", MSI_ENDPOINT = "http://old", MSI_SECRET = "s" },
      { host = "app_service", endpoint = IDENTITY, secret = "s" } },
    { "a virtual machine, where all variables are empty",
      { IDENTITY_ENDPOINT = "", IDENTITY_HEADER = "", MSI_ENDPOINT = "", AZURE_POD_IDENTITY_AUTHORITY_HOST = "" },
      { host = "imds", endpoint = IMDS } },
  } do
    it("is " .. case[1], function() assert.same(case[3], find(case[2])) end)
  end

  it("is Azure Arc where its agent is installed, unless a variable says otherwise", function()
    assert.same({ host = "azure_arc", endpoint = "http://127.0.0.1:40342/metadata/identity/oauth2/token" },
      find({}, true))
    assert.equal("cloud_shell", find({ MSI_ENDPOINT = IDENTITY }, true).host)
  end)
end)

describe("what the core is told", function()
  local SCOPE <const> = "https://graph.microsoft.us/.default"
  local ML <const> = { host = "azure_ml", endpoint = IDENTITY, secret = "s", client_id = "default" }

  it("names Graph as a resource, not as a scope", function()
    assert.same({ grant = "managed_identity", host = "imds", endpoint = IMDS, resource = "https://graph.microsoft.us" },
      managed.settings({}, SCOPE, find {}))
  end)

  it("has the host's own choice of identity only where the author makes none", function()
    assert.equal("default", managed.settings({}, SCOPE, ML).client_id)
    assert.equal("mine", managed.settings({ client_id = "mine" }, SCOPE, ML).client_id)
    assert.is_nil(managed.settings({ object_id = "mine" }, SCOPE, ML).client_id)
  end)
end)

describe("graph.auth.managed_identity", function()
  it("takes one id, or none", function()
    assert.is_true(auth.is(graph.auth.managed_identity()))
    for _, name in ipairs { "client_id", "object_id", "resource_id" } do
      assert.is_true(auth.is(graph.auth.managed_identity { [name] = "x" }))
    end
    assert.equal("msgraph.Credential(managed_identity, ***)", tostring(graph.auth.managed_identity {}))
  end)

  for _, case in ipairs {
    { "two ids", { client_id = "a", object_id = "b" }, "options 'client_id' and 'object_id' exclude each other" },
    { "an option of others", { tenant_id = "t" }, "unknown option 'tenant_id'" },
    { "an empty id", { client_id = "" }, "option 'client_id' is empty" },
    { "what is no id", { resource_id = 5 }, "option 'resource_id' must be a string, got number" },
    { "what is no table", "id", "a table is expected, got string" },
  } do
    it("raises for " .. case[1], function()
      assert.error_matches(function() graph.auth.managed_identity(case[2]) end,
        "auth.managed_identity: " .. case[3])
    end)
  end
end)
