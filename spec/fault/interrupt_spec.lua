local helper = require "spec.support.helper"

-- Runs a script in a process of its own and interrupts it when it says "ready".
local function interrupt(script)
  local path = helper.tmp() .. "/interrupted.lua"
  helper.write_file(path, script)
  local out = helper.tmp() .. "/interrupted.out"
  return helper.sh(([[
    rm -f %s; %s %s >%s 2>&1 & pid=$!
    for i in $(seq 100); do grep -q ready %s 2>/dev/null && break; sleep 0.05; done
    kill -INT $pid; wait $pid; echo "exit $?" >>%s; cat %s
  ]]):format(out, helper.LUA, path, out, out, out, out))
end

describe("an interrupt (Ctrl-C)", function()
  it("ends a run at once: its tasks' variables are closed, and the process ends", function()
    local server <close> = helper.server { { after = "hang" } }
    local out = interrupt(([[
      local graph = require "msgraph"
      io.stdout:setvbuf("no")
      local client = assert(graph.connect { endpoint = %q, ca_file = %q, auth = graph.auth.token "x" })
      graph.run(function()
        graph.spawn(function()
          local _ <close> = setmetatable({}, { __close = function() print("closed") end })
          client:get("/never")
        end)
        graph.sleep(0.1)
        print("ready")
        graph.sleep(60)
      end)
    ]]):format(server.endpoint, helper.certs() .. "/ca.pem"))
    assert.matches("ready\nclosed\n", out)
    assert.matches("interrupted!", out)
    assert.matches("exit 1", out)
  end)

  it("leaves a loop that goes on", function()
    local server <close> = helper.server {
      { after = "hang" },
      { bytes = helper.answer("204 No Content"), after = "keep" },
    }
    local out = interrupt(([[
      local graph = require "msgraph"
      io.stdout:setvbuf("no")
      local client = assert(graph.connect { endpoint = %q, ca_file = %q, auth = graph.auth.token "x" })
      print("ready")
      print(pcall(client.post, client, "/never"))
      print(client:post("/again"))
    ]]):format(server.endpoint, helper.certs() .. "/ca.pem"))
    assert.matches("ready\nfalse\t[^\n]*interrupted!\ntrue", out)
    assert.matches("exit 0", out)
  end)
end)
