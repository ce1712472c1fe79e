-- spec/integration/managed_identity_spec.lua
--- Managed identities on each kind of host, played by a simulated tenant over plain HTTP (Service Fabric: over TLS).
local graph = require "msgraph"
local helper = require "spec.support.helper"
local program = require "spec.support.program"
local sim = require "msgraph.sim"

local ADA <const> = "/users/ada@contoso.com"
local ARC_KEYS <const> = "/var/opt/azcmagent/tokens"

describe("a managed identity", function()
  local tenant, environment
  local getenv = os.getenv

  before_each(function()
    tenant = assert(sim.start { users = 30 }) -- its clock is not ours
    environment = {}
    os.getenv = function(name) -- luacheck: ignore 122
      if environment[name] then return environment[name] end
      return getenv(name)
    end
  end)

  after_each(function()
    os.getenv = getenv -- luacheck: ignore 122
    tenant:stop()
  end)

  local function connect(opts)
    return graph.connect { auth = graph.auth.managed_identity(opts), endpoint = tenant.endpoint,
      ca_file = tenant.ca_file }
  end

  local function run_on(host)
    environment = tenant:environment(host, { key_directory = helper.tmp() })
  end

  local function read(opts)
    local client <close> = assert(connect(opts))
    return client:get(ADA)
  end

  --- Every answer of the hosts' endpoints, in order.
  local function answers()
    local out = {}
    for i, request in ipairs(tenant:token_requests { grant = "managed_identity" }) do out[i] = request.status end
    return out
  end

  -- ---- where there is one -----------------------------------------------------------------------------

  for _, host in ipairs { "imds", "app_service", "azure_ml", "service_fabric", "cloud_shell" } do
    it("is used on " .. host .. ", with one token for many requests", function()
      run_on(host)
      local client <close> = assert(connect())
      for _ = 1, 3 do assert.equal("ada@contoso.com", assert(client:get(ADA)).userPrincipalName) end
      local log = tenant:token_requests { grant = "managed_identity" }
      assert.equal(1, #log)
      assert.same({ host, 200 }, { log[1].endpoint, log[1].status })
    end)
  end

  for _, case in ipairs {
    { "imds", "client_id" }, { "imds", "object_id" }, { "imds", "resource_id" },
    { "app_service", "client_id" }, { "app_service", "object_id" }, { "app_service", "resource_id" },
    { "azure_ml", "client_id" },
  } do
    it(("is chosen on %s by %s"):format(case[1], case[2]), function()
      run_on(case[1])
      local app = tenant:app { managed_identity = true }
      assert(read { [case[2]] = app[case[2]] })
      assert.equal(app.client_id, tenant:token_requests()[1].client_id)
    end)
  end

  it("is the one a workspace names, where the author names none", function()
    run_on "azure_ml"
    local app = tenant:app { managed_identity = true }
    environment.DEFAULT_IDENTITY_CLIENT_ID = app.client_id
    assert(read())
    assert.equal(app.client_id, tenant:token_requests()[1].client_id)
  end)

  for _, host in ipairs { "azure_arc", "cloud_shell", "service_fabric" } do
    it("can not be chosen on " .. host, function()
      run_on(host)
      local client, err = connect { client_id = "00000000-0000-0000-0000-000000000001" }
      assert.is_nil(client)
      assert.equal("bad_option", err.code)
      assert.matches("client_id: no identity can be chosen by it on " .. host, err.message)
      assert.same({}, answers())
    end)
  end

  -- ---- where something is wrong ---------------------------------------------------------------------------

  it("is asked for again while it is being assigned", function()
    run_on "imds"
    tenant:fault { kind = "status", status = 404, path = "metadata" }
    assert(read())
    assert.same({ 404, 200 }, answers())
  end)

  it("is asked for again when the answer breaks off", function()
    run_on "app_service"
    tenant:fault { kind = "cut_body", path = "msi" }
    assert(read())
    assert.same({ 200, 200 }, answers())
  end)

  it("that is none is asked for once", function()
    run_on "imds"
    local user, err = read { client_id = "00000000-0000-0000-0000-000000000001" }
    assert.is_nil(user)
    assert.same({ "auth", "managed_identity", "not_sent" }, { err.kind, err.code, err.phase })
    assert.matches("answered HTTP 400: invalid_request: Identity not found", err.message)
    assert.matches("assign one to it", err.hint)
    assert.same({ 400 }, answers())
  end)

  it("is not given for another host's secret, and no error shows it", function()
    run_on "app_service"
    environment.IDENTITY_HEADER = "another-secret-of-a-host"
    local user, err = read()
    assert.is_nil(user)
    assert.same({ "managed_identity", { 401 } }, { err.code, answers() })
    assert.is_nil(tostring(err):find("another-secret", 1, true))
  end)

  it("is not asked of a server with another certificate", function()
    run_on "service_fabric"
    environment.IDENTITY_SERVER_THUMBPRINT = ("AB"):rep(20)
    local user, err = read()
    assert.is_nil(user)
    assert.equal("tls_untrusted", err.code)
    assert.same({}, answers())
  end)

  it("is missed where nobody answers", function()
    environment.AZURE_POD_IDENTITY_AUTHORITY_HOST = "http://127.0.0.1:1"
    local user, err = read()
    assert.is_nil(user)
    assert.same({ "network", "connect", "not_sent" }, { err.kind, err.code, err.phase })
    assert.matches("no managed identity at http://127.0.0.1:1", err.message, 1, true)
    assert.matches("this is the Azure host you take it for", err.hint)
  end)

  it("is an error of connect where a variable is no URL", function()
    environment.IDENTITY_ENDPOINT, environment.IDENTITY_HEADER = "127.0.0.1", "s"
    local client, err = connect()
    assert.is_nil(client)
    assert.same({ "bad_option", true }, { err.code, err.message:find("endpoint: ", 1, true) ~= nil })
  end)

  it("makes nobody read a file outside of Azure Arc's folder", function()
    run_on "azure_arc"
    local user, err = read()
    assert.is_nil(user)
    assert.same({ "managed_identity", { 401 } }, { err.code, answers() })
    assert.matches("names a file that is no key in " .. ARC_KEYS, err.message, 1, true)
  end)

  -- ---- in a process of its own ------------------------------------------------------------------------------

  -- Gets a token on each host that is named, then speaks to the tenant as to any other server.
  local SCRIPT <const> = [[
    local core, managed, sim = require "msgraph.core", require "msgraph.auth.managed", require "msgraph.sim"
    local tenant <close> = assert(sim.start { users = 1 })
    local transport <close> = assert(core.transport())

    local function finish()
      while assert(transport:step(1)) == 0 do end
      local _, answer, failure = transport:take()
      return answer and answer.status or failure.code .. " " .. failure.message
    end

    for _, host in ipairs(arg) do
      local env = tenant:environment(host, { key_directory = "/var/opt/azcmagent/tokens" })
      local found = managed.find(function(name) return env[name] end, function() return false end)
      local credential = assert(core.credential(managed.settings({}, "https://graph.microsoft.com/.default", found)))
      assert(transport:sign_in(credential, "token"))
      finish()
      local answers = {}
      for i, request in ipairs(tenant:token_requests { endpoint = host }) do answers[i] = request.status end
      print(host, table.concat(answers, " "))
    end
    local credential = assert(core.credential { token = tenant:token() })
    local origin = assert(core.origin { endpoint = tenant.endpoint, ca_file = tenant.ca_file, credential = credential })
    assert(transport:submit(origin, { method = "GET", target = "/v1.0/users" }))
    print("graph", finish())
  ]]

  local function script()
    local path = helper.tmp() .. "/managed.lua"
    helper.write_file(path, SCRIPT)
    return path
  end

  it("is never asked for through a proxy", function()
    local dead = "http://127.0.0.1:1"
    local ran = program.run(
      { helper.LUA, script(), "imds", "app_service", "azure_ml", "service_fabric", "cloud_shell" },
      { http_proxy = dead, https_proxy = dead, HTTPS_PROXY = dead, ALL_PROXY = dead, NO_PROXY = "", no_proxy = "" })
    assert.equal("", ran.err)
    local hosts, others = ran.out:match("^(.*)graph\t(.*)$")
    assert.equal("imds\t200\napp_service\t200\nazure_ml\t200\nservice_fabric\t200\ncloud_shell\t200\n", hosts)
    assert.matches("^connect ", others) -- there, the proxy was believed
  end)

  it("is proved to Azure Arc with a key from its folder", function()
    local enter = "mount -t tmpfs none /var/opt && mkdir -p " .. ARC_KEYS
    if not os.execute("unshare -rm sh -c " .. helper.quote(enter) .. " >/dev/null 2>&1") then
      return pending "this system lets nobody mount a folder of his own"
    end
    local ran = program.run { "unshare", "-rm", "sh", "-c", enter .. ' && exec "$@"', "sh", helper.LUA, script(),
      "azure_arc" }
    assert.same({ "", "azure_arc\t401 200\ngraph\t200\n" }, { ran.err, ran.out })
  end)
end)
