--- `msgraph restore`: plans the way back from a run. Changes nothing: it is shown, approved and applied as any plan.
local connection = require "msgraph.cli.connection"
local plan = require "msgraph.cli.plan"
local runs = require "msgraph.cli.runs"

local M = {
  name = "restore",
  summary = "Plan the way back from a run: what can be undone, and what a person has to.",
  exits = { "done", "changes", "failed", "auth", "usage", "internal", "stopped", "interrupted" },
}

M.DESCRIPTION = [[
Reads what a run has done and what is so now, and writes a plan that brings people back to what they were before: the
inverse of each operation, the last one first. What somebody has changed since is left alone; what Graph has no way back
for (a password, a retired device) is listed for a person. Nothing is changed: read the plan, approve it, apply it. It
goes into the same journal, and ends what the run has left to do for these people.]]

M.EXAMPLES = [[
Examples:
  msgraph restore --journal friday.journal --user ada@contoso.com -o ada.plan
  msgraph show ada.plan
  msgraph approve ada.plan --as "Grace Hopper"
  msgraph apply ada.plan

]] .. connection.HELP

function M.describe(command)
  runs.describe(command, "The run, or the beginning of its id. Default: the newest that is no restore.")
  command:option "--user":argname "<name>":count "*":description "Only this person; may be repeated."
  plan.describe_selection(command)
  command:option "-o --output":argname "<file>"
    :description "Where the plan goes. Default: <name of the workflow>.restore.plan"
  command:flag "--detailed-exitcode":description "End with 2 when there is something to do."
  connection.describe(command)
end

local function only_of(args)
  local only = { table.unpack(args.only) }
  for _, name in ipairs(args.user) do only[#only + 1] = "user=" .. name end
  return only
end

local function make(client, journal, run_id, args)
  local run = require "msgraph.offboard.run"
  local status, err = journal:status(run_id)
  local ok
  if status then ok, err = run.check_tenant(client, status.run.tenant_id) end
  if not ok then return nil, err end
  return require("msgraph.offboard.restore").plan { client = client, journal = journal, run_id = run_id,
    only = only_of(args), except = args.except, workflow = run.workflow(status.run.options) }
end

function M.run(args)
  local journal <close>, problem = runs.open_journal(args, true)
  if not journal then return runs.ending(problem) end
  local run_id, outcome, message = runs.find(journal, args.run, "apply")
  if not run_id then return outcome, message end
  local client <close>, how, why = connection.open(args)
  if not client then return how, why end
  local made, err = make(client, journal, run_id, args)
  if not made then return runs.ending(err) end
  return plan.write(args, made, ".restore.plan")
end

return M
