local helper = require "spec.support.helper"

-- Runs the command line in this process; what it writes to stderr is caught.
local function main(argv)
  -- luacheck: push ignore 122
  local written, real = {}, io.stderr
  io.stderr = { write = function(self, ...)
    for _, text in ipairs { ... } do written[#written + 1] = text end
    return self
  end, seek = function() return 0 end }
  local ok, code = pcall(require("msgraph.cli").main, argv)
  io.stderr = real
  -- luacheck: pop
  assert(ok, code)
  return code, table.concat(written)
end

describe("the command line", function()
  local request = require "msgraph.cli.request"
  local run = request.run
  after_each(function() request.run = run end)

  it("ends a bug with 70, a traceback, where to report it, and without a token", function()
    request.run = function() error("oops with " .. helper.TOKEN) end
    local code, text = main { "request", "GET", "/users" }
    assert.equal(70, code)
    assert.matches("oops with %*%*%*", text)
    assert.matches("stack traceback", text)
    assert.matches("open an issue", text)
    assert.is_true(helper.silent(text))
  end)

  it("takes Ctrl-C for what it is", function()
    request.run = function() error("loop.lua:1: interrupted!", 0) end
    assert.equal(130, (main { "request", "GET", "/users" }))
  end)

  it("says nothing when the reader of its output has gone", function()
    local terminal = require "msgraph.cli.terminal"
    request.run = function() error(setmetatable({ reason = "Broken pipe", closed = true }, terminal.OutputLost), 0) end
    local code, text = main { "request", "GET", "/users" }
    assert.same({ 75, "" }, { code, text })
  end)
end)
