--- `msgraph verify`: whether what a run says it did is so. Reads only, and tells the journal what it saw.
local apply = require "msgraph.cli.apply"
local connection = require "msgraph.cli.connection"
local offboard = require "msgraph.cli.offboard"
local runs = require "msgraph.cli.runs"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "verify",
  summary = "Read whether what a run did is so; changes nothing in the tenant.",
  exits = { "done", "human", "auth", "usage", "internal", "stopped", "interrupted" },
}

M.DESCRIPTION = [[
Reads every operation that a run has done, or left to people: verified (it is so), submitted (asked for, not there
yet: a device that has not checked in), drifted (it is not so, or no longer), unknown (no read tells), changed (none
does, but a person said it is done), human (left to people, and nothing shows it done). Nothing is changed in the
tenant. What is verified is written to the journal, so that status and report tell it, and resume goes on with what
waited for it.]]

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
        item.err and " (" .. terminal.clean(item.err.message) .. ")" or item.found == "unknown" and " (no read tells)"
        or ""))
    end
  end
  return counts
end

local function told(done, total) terminal.status(("read: %d of %d operations"):format(done, total)) end

local function read(client, journal, run_id, status)
  return require("msgraph.offboard.verify").run { client = client, journal = journal, run_id = run_id,
    workflow = require("msgraph.offboard.run").workflow(status.run.options), on = told }
end

-- To be told of what is seen; read alone where it can not be written.
local function open_journal(args)
  local journal, err = runs.open_journal(args)
  if journal or err.code ~= "journal_readonly" then return journal, err end
  terminal.note("the journal can not be written: what is seen is shown here alone")
  return runs.open_journal(args, true)
end

-- Who waited for a person's work may go on by now.
local function next_of(journal, run_id, args, good, counts)
  if journal:status(run_id).run.state ~= "done" then return runs.command("resume", run_id, args, true) end
  local again = good and counts.submitted
  return runs.command(again and "verify" or "report", run_id, args, again)
end

local function record(journal, run_id, findings)
  local count, err = require("msgraph.offboard.verify").record(journal, run_id, findings, apply.actor())
  if count or err.code == "journal_readonly" then return true end
  return nil, err
end

function M.run(args)
  local journal <close>, err = open_journal(args)
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
  local findings = read(client, journal, run_id, status)
  local counts = show(findings)
  terminal.out(offboard.report.recap(counts) .. "\n")
  ok, problem = record(journal, run_id, findings)
  if not ok then return runs.ending(problem) end
  local good = not counts.drifted and not counts.unknown
  terminal.out("next: " .. next_of(journal, run_id, args, good, counts) .. "\n")
  return good and "done" or "human"
end

return M
