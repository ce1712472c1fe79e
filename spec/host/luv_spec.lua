--- Inside luv's loop: one poll handle on our descriptor, and nothing of the host's is held up.
local graph = require "msgraph"
local sim = require "msgraph.sim"

describe("in luv's loop", function()
  local uv = require "luv"

  -- Requests that take 0.3 s each, while a timer of the host's ticks.
  it("requests go on while the host's timers tick", function()
    local tenant <close> = assert(sim.start { users = 5, latency = 0.3 })
    local client <close> = assert(graph.connect {
      endpoint = tenant.endpoint, ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token()),
    })
    local ticks, done, err = 0, 0, nil

    local poll = uv.new_poll(graph.pollfd())
    poll:start("r", function() assert(graph.step()) end)
    local timer = uv.new_timer()
    timer:start(10, 10, function() ticks = ticks + 1 end)

    graph.spawn(function()
      local users = { "ada@contoso.com", "nobody@contoso.com", "ada@contoso.com" }
      local results, errors = graph.map(users, nil, function(user) return client:remove_all_devices(user) end)
      done, err = results.n, errors[2]
      graph.sleep(0.05) -- a time of ours wakes the host's loop as well
      poll:stop()
      timer:stop()
    end)
    uv.run()
    poll:close()
    timer:close()
    uv.run()

    assert.equal(3, done)
    assert.equal("not_found", err.kind)
    assert.is_true(ticks >= 10, "the host's timer ticked " .. ticks .. " times")
  end)

  it("a task started before the first client is woken through the descriptor", function()
    local tenant <close> = assert(sim.start { users = 5 })
    local ran, other = false, nil
    local task = graph.spawn(function() graph.sleep(3600) end)
    graph.spawn(function() ran = not pcall(task.join, task) end)
    local _ <close> = assert(graph.connect {
      endpoint = tenant.endpoint, ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token()),
    })
    local poll, timer = uv.new_poll(graph.pollfd()), uv.new_timer()
    poll:start("r", function()
      assert(graph.step())
      if ran then poll:stop() end
    end)
    timer:start(50, 0, function() other = task:cancel() end) -- from a callback of the host's
    uv.run()
    poll:close()
    timer:close()
    uv.run()
    assert.is_true(ran and other)
  end)
end)
