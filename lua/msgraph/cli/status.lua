--- `msgraph status`: where a run stands, by stage. Asks nobody: only the journal is read.
local offboard = require "msgraph.cli.offboard"
local runs = require "msgraph.cli.runs"
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "status",
  summary = "Show where a run stands, while it runs or after.",
  exits = { "done", "usage", "internal", "stopped" },
}

M.DESCRIPTION = [[Shows a run by stage, who is at work on it, and how many people are at which state. Nothing is sent.]]

M.EXAMPLES = [[
Examples:
  msgraph status --journal friday.journal]]

function M.describe(command) runs.describe(command) end

local function show_stages(status)
  local rows = { { "STAGE", "OPERATIONS" } }
  for _, stage in ipairs(status.stages) do
    local named = status.run.options.stages[stage.stage + 1]
    local recap = offboard.report.recap(stage.ops):gsub("%S+=0 ?", "")
    rows[#rows + 1] = { named and named.name or tostring(stage.stage), recap }
  end
  terminal.out(table_of.format(rows, ""))
end

local function show_people(status)
  local parts = {}
  for state, n in pairs(status.subjects) do parts[#parts + 1] = ("%s=%d"):format(state, n) end
  table.sort(parts)
  terminal.out(("people: %s; at work: %d\n"):format(table.concat(parts, " "), #status.workers))
end

function M.run(args)
  local journal <close>, err = runs.open_journal(args, true)
  if not journal then return runs.ending(err) end
  local run_id, outcome, message = runs.find(journal, args.run)
  if not run_id then return outcome, message end
  local status, problem = journal:status(run_id)
  if not status then return runs.ending(problem) end
  terminal.out(("run %s: %s, wave %d of %d\n"):format(run_id, status.run.state, status.run.current_wave + 1,
    status.run.last_wave + 1))
  show_stages(status)
  show_people(status)
  runs.recap(journal, run_id, args)
  return "done"
end

return M
