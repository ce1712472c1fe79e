--- Inside cqueues' loop: the module is an object that cqueues can poll.
local graph = require "msgraph"
local sim = require "msgraph.sim"

describe("in cqueues' loop", function()
  local cqueues = require "cqueues"

  it("requests go on while the host's coroutines do", function()
    local tenant <close> = assert(sim.start { users = 5, latency = 0.3 })
    local client <close> = assert(graph.connect {
      endpoint = tenant.endpoint, ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token()),
    })
    local loop, ticks, ended, value = cqueues.new(), 0, false, nil

    loop:wrap(function()
      local task = graph.spawn(function()
        graph.sleep(0.05)
        value = client:get("/users/ada@contoso.com")
      end)
      while not task:ended() do
        cqueues.poll(graph)
        assert(graph.step())
      end
      ended = true
    end)
    loop:wrap(function()
      while not ended do
        cqueues.sleep(0.01)
        ticks = ticks + 1
      end
    end)
    assert(loop:loop())

    assert.equal("ada@contoso.com", value.userPrincipalName)
    assert.is_true(ticks >= 10, "the host's coroutine ran " .. ticks .. " times")
  end)
end)
