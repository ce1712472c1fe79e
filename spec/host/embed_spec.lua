--- Inside a plain C program: its allocator, its memory limit, several states in several threads.
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"

local BUILD = helper.ROOT .. "build/" .. (os.getenv "FLAVOUR" or "release")
local EMBED = ("LUA_CPATH='%s/lua/?.so;;' %s/spec/host/embed"):format(BUILD, BUILD)

local SCRIPT = [[
local graph = require "msgraph"
local SAME = { endpoint = %q, ca_file = %q, auth = graph.auth.token(%q) }
local client <close> = assert(graph.connect(SAME))
%s
]]

describe("a C program that embeds Lua", function()
  local tenant

  setup(function() tenant = assert(sim.start { users = 3000, seed = 3 }) end)
  teardown(function() tenant:stop() end)

  local function embed(limit, threads, body)
    local path = helper.tmp() .. "/embed.lua"
    helper.write_file(path, SCRIPT:format(tenant.endpoint, tenant.ca_file, tenant:token(), body))
    return helper.sh(("%s %d %d %s"):format(EMBED, limit, threads, path)) -- raises for memory not given back
  end

  it("runs the main job with its own allocator", function()
    assert.equal("1: true\n", embed(0, 1, "return assert(client:remove_all_devices 'ada@contoso.com')"))
  end)

  it("keeps within its memory limit, and says so when it can not", function()
    local list = "local n = 0 for i = 1, %d do n = n + #assert(client:get('/users?$top=999')).value end return n"
    assert.equal("1: 3996\n", embed(6 << 20, 1, list:format(4)))
    local greedy = "local kept = {} for i = 1, 9 do kept[i] = client:get('/users?$top=999') end return #kept"
    local out = embed(1 << 20, 1, greedy)
    assert.matches("^1: error: not enough memory", out)
  end)

  it("runs in several states and threads at once", function()
    local out = embed(0, 8, [[
      local users = {}
      for i = 1, 50 do users[i] = "ada@contoso.com" end
      local results = graph.map(users, { concurrency = 8 }, function(u) return client:remove_all_devices(u) end)
      return #results]])
    local ok = 0
    for _ in out:gmatch "%d: 50\n" do ok = ok + 1 end
    assert.equal(8, ok, out)
  end)

  it("signs in in several states and threads at once", function()
    local app = tenant:app { secret = true }
    local before = #tenant:token_requests()
    local out = embed(0, 8, ([[
      local own <close> = assert(graph.connect { endpoint = SAME.endpoint, authority = SAME.endpoint,
        ca_file = SAME.ca_file, auth = graph.auth.client_secret {
          tenant_id = %q, client_id = %q, client_secret = %q } })
      local users = {}
      for i = 1, 50 do users[i] = "/users/ada@contoso.com" end
      return #graph.map(users, { concurrency = 8 }, function(path) return own:get(path) end)]])
      :format(tenant.tenant_id, app.client_id, app.client_secret))
    assert.equal(8, select(2, out:gsub("%d: 50\n", "")), out)
    assert.equal(before + 8, #tenant:token_requests()) -- one for each state
  end)

  it("is refused in a child of its process, and the parent goes on", function()
    local out = embed(0, 1, [[
      assert(client:get "/users/ada@contoso.com")
      local said = in_child(function() return client:get "/users" end)
      assert(client:get "/users/ada@contoso.com") -- the kept connection still stands
      return said]])
    assert.matches("^1: .*another process", out)
  end)

  it("may connect anew in the child", function()
    local out = embed(0, 1, [[
      assert(client:get "/users/ada@contoso.com")
      return in_child(function()
        local own <close> = assert(graph.connect(SAME))
        return assert(own:get "/users/ada@contoso.com").userPrincipalName
      end)]])
    assert.equal("1: ada@contoso.com\n", out)
  end)
end)
