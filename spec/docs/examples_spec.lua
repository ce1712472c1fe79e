--- Every Lua example of the documentation runs, as a program of its own, against a simulated tenant. One
--- that requires nothing goes on where the example before it ended.
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"

local function pages()
  return helper.sh(("cd %s && ls README.md docs/*.md"):format(helper.quote(helper.ROOT))):gmatch "%S+"
end

local function examples(text)
  return text:gmatch "\n```lua\n(.-)\n```"
end

-- What the examples do needs these.
local SCOPES = { "DeviceManagementManagedDevices.PrivilegedOperations.All", "DeviceManagementManagedDevices.Read.All",
  "User.Read.All", "GroupMember.Read.All" }

describe("the documentation", function()
  local tenant

  setup(function() tenant = assert(sim.start { users = 30, seed = 1, speed = 3600 }) end)
  teardown(function() tenant:stop() end)

  local function run(program)
    local path = helper.tmp() .. "/example.lua"
    helper.write_file(path, program)
    return helper.sh(("env -u MSGRAPH_STORE -u MSGRAPH_PROFILE XDG_STATE_HOME=%s MSGRAPH_ENDPOINT=%s "
      .. "MSGRAPH_CA_FILE=%s MSGRAPH_ACCESS_TOKEN=%s AZURE_POD_IDENTITY_AUTHORITY_HOST=http://127.0.0.1:9 lua5.4 %s")
      :format(helper.tmp(), tenant.endpoint, tenant.ca_file, tenant:token { scopes = SCOPES }, path))
  end

  for page in pages() do
    local n, before = 0, ""
    for example in examples(helper.read_file(helper.ROOT .. page)) do
      local program = (example:find("require", 1, true) and "" or before .. "\n") .. example
      n, before = n + 1, program
      it(("%s: example %d runs"):format(page, n), function() run(program) end)
    end
  end

  it("shows the main call, which does what it says", function()
    local program
    for example in examples(helper.read_file(helper.ROOT .. "README.md")) do
      program = program or example:find("graph.remove_all_devices", 1, true) and example
    end
    local before = #tenant:requests { method = "POST" }
    assert.equal("queued: each device leaves when it next checks in\n", run(program))
    assert.equal(before + 1, #tenant:requests { method = "POST" })
  end)
end)
