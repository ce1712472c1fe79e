--- `msgraph resume`: goes on with a run that was killed, interrupted or halted, or works on it beside another process.
local apply = require "msgraph.cli.apply"
local connection = require "msgraph.cli.connection"
local runs = require "msgraph.cli.runs"

local M = {
  name = "resume",
  summary = "Go on with a run: after a crash, Ctrl-C, a halt, or to help another process.",
  exits = apply.exits,
}

M.DESCRIPTION = [[
Goes on with a run. What was under way when it stopped is read first and sent again only where that is safe; what nobody
can tell is left to you (msgraph resolve). A halted run begins to count failures anew. Always safe to repeat.]]

M.EXAMPLES = [[
Examples:
  msgraph resume --journal friday.journal
  msgraph resume 7c9e6679 --journal friday.journal

]] .. connection.HELP

function M.describe(command)
  runs.describe(command)
  runs.describe_quiet(command)
  command:option "--take-in":argname "<file>":description "Outcomes that a full disk kept out of the journal."
  connection.describe(command)
end

function M.run(args)
  local run = require "msgraph.offboard.run"
  local journal <close>, problem = runs.open_journal(args)
  if not journal then return runs.ending(problem) end
  local run_id, outcome, message = runs.find(journal, args.run)
  if not run_id then return outcome, message end
  local client <close>, how, why = connection.open(args)
  if not client then return how, why end
  local status, err = journal:status(run_id)
  local ok
  if status then ok, err = run.check_tenant(client, status.run.tenant_id) end
  if ok and args.take_in then ok, err = journal:take_in(args.take_in) end
  if ok then ok, err = run.reopen(journal, run_id, apply.actor()) end
  if not ok then return runs.ending(err) end
  return runs.work(client, journal, run_id, args)
end

return M
