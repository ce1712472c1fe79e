--- `msgraph` with its waits cut short: what takes a service a minute to show takes a spec a fifth of a second, and a
--- lease that lasts a minute lasts two seconds. The code is the code that ships; only the numbers are others.
local actions = require "msgraph.offboard.actions"
local outcome = require "msgraph.offboard.outcome"
local recover = require "msgraph.offboard.recover"
local worker = require "msgraph.offboard.journal.worker"

worker.T_REQ, worker.SKEW, worker.LEASE, worker.BEAT, worker.GRACE = 500, 200, 2000, 500, 700
for _, action in ipairs(actions.list) do action.settle = 0.2 end
recover.SETTLE = 0.2
outcome.backoff = function() return 100 end

-- The passwords it makes, for a spec to look for.
local ledger = os.getenv "MSGRAPH_SPEC_PASSWORDS"
if ledger then
  local secret = require "msgraph.offboard.secret"
  local body = secret.body
  function secret.body(desired)
    local text = body(desired)
    local file = assert(io.open(ledger, "a"))
    file:write(desired.secret and require("msgraph.json").decode(text).passwordProfile.password .. "\n" or "")
    file:close()
    return text
  end
end

if os.getenv "MSGRAPH_SPEC_DIE" then require("spec.support.mortal").watch() end

os.exit(require("msgraph.cli").main(arg), true)
