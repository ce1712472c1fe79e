--- `msgraph verify`: whether what a run says it did is so. Reads only.
local connection = require "msgraph.cli.connection"
local offboard = require "msgraph.cli.offboard"
local runs = require "msgraph.cli.runs"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "verify",
  summary = "Read whether what a run did is so; changes nothing.",
  exits = { "done", "human", "auth", "usage", "internal", "stopped", "interrupted" },
}

M.DESCRIPTION = [[
Reads every operation that a run has done: verified (it is so), submitted (asked for, not there yet: a device that
has not checked in), drifted (it is not so, or no longer), unknown (no read tells). Nothing is changed, not even the
journal.]]

M.EXAMPLES = [[
Examples:
  msgraph verify --journal friday.journal

]] .. connection.HELP

function M.describe(command)
  runs.describe(command)
  connection.describe(command)
end

local function show(findings)
  local counts = {}
  for _, item in ipairs(findings) do
    counts[item.found] = (counts[item.found] or 0) + 1
    if item.found == "drifted" or item.found == "unknown" then
      terminal.out(("%-9s %s: %s%s\n"):format(item.found, terminal.clean(item.subject.label),
        terminal.clean(item.op.desired.label or item.op.op_key),
        item.err and " (" .. terminal.clean(item.err.message) .. ")" or ""))
    end
  end
  return counts
end

local function read(client, journal, run_id, status)
  return require("msgraph.offboard.verify").run { client = client, journal = journal, run_id = run_id,
    workflow = runs.workflow(status) }
end

function M.run(args)
  local journal <close>, err = runs.open_journal(args, true)
  if not journal then return runs.ending(err) end
  local run_id, outcome, message = runs.find(journal, args.run)
  if not run_id then return outcome, message end
  local client <close>, how, why = connection.open(args)
  if not client then return how, why end
  local status, problem = journal:status(run_id)
  if not status then return runs.ending(problem) end
  local ok
  ok, problem = require("msgraph.offboard.run").check_tenant(client, status.run.tenant_id)
  if not ok then return runs.ending(problem) end
  local counts = show(read(client, journal, run_id, status))
  terminal.out(offboard.report.recap(counts) .. "\n")
  local good = not counts.drifted and not counts.unknown
  terminal.out("next: " .. runs.command(good and counts.submitted and "verify" or "report", run_id, args, good
    and counts.submitted) .. "\n")
  return good and "done" or "human"
end

return M
