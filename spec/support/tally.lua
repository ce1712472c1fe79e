-- spec/support/tally.lua
--- A busted output handler: prints what plainTerminal prints, and leaves the counts in a file.
--
-- `busted -o spec/support/tally.lua -Xoutput FILE` writes "passed failed skipped" to FILE when the run is
-- over, and notes what the run has left (see secrets.lua). A run that dies leaves no file, so it can not be taken for
-- one without failures; and the exit status of busted, which is the number of failures cut to eight bits, is not
-- needed.

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.plainTerminal"(options)

  local function write_counts()
    local file = assert(io.open(options.arguments[1], "w"))
    local failed = handler.failuresCount + handler.errorsCount
    assert(file:write(("%d %d %d\n"):format(handler.successesCount, failed, handler.pendingsCount)))
    assert(file:close())
    require("spec.support.secrets").saw_stores(require("spec.support.helper").tmp())
    return nil, true
  end

  busted.subscribe({ "suite", "end" }, write_counts)
  return handler
end
