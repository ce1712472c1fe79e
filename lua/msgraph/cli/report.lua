--- `msgraph report`: what became of a run, for people and for programs. Asks nobody: only the journal is read.
local core = require "msgraph.core"
local offboard = require "msgraph.cli.offboard"
local runs = require "msgraph.cli.runs"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "report",
  summary = "Tell what became of a run: what is left for people, and tables of all of it.",
  exits = { "done", "usage", "internal", "stopped" },
}

M.DESCRIPTION = [[
Prints what a person has to look at, and the recap. With --out, three files as well: results.csv (a row for each
person), ops.csv (a row for each operation, with the ids that Microsoft's support asks for) and events.jsonl (what
happened when; each event carries the hash of the one before it, and this says whether the chain is whole).]]

M.EXAMPLES = [[
Examples:
  msgraph report --journal friday.journal
  msgraph report --journal friday.journal --out friday-]]

function M.describe(command)
  runs.describe(command)
  command:option "--out":argname "<prefix>":description "Begin of the files' names: friday- makes friday-results.csv."
end

local FILES = { ["results.csv"] = "results_csv", ["ops.csv"] = "ops_csv", ["events.jsonl"] = "events_jsonl" }

local function write_files(journal, run_id, prefix)
  for _, name in ipairs { "results.csv", "ops.csv", "events.jsonl" } do
    local parts = {}
    offboard.report[FILES[name]](journal, run_id, function(text) parts[#parts + 1] = text end)
    local ok, reason = core.write_private(prefix .. name, table.concat(parts))
    if not ok then return nil, reason end
    terminal.out(("written: %s\n"):format(terminal.clean(prefix .. name)))
  end
  return true
end

local function show_points(points)
  if #points > 0 then terminal.out "for you:\n" end
  for _, point in ipairs(points) do
    terminal.out(("  %-7s %-14s %s: %s%s\n"):format(point.id, point.state, terminal.clean(point.label),
      terminal.clean(point.what), point.reason and ": " .. terminal.clean(point.reason) or ""))
    if point.powershell then terminal.out(("          %s\n"):format(terminal.clean(point.powershell))) end
  end
end

function M.run(args)
  local journal <close>, err = runs.open_journal(args, true)
  if not journal then return runs.ending(err) end
  local run_id, outcome, message = runs.find(journal, args.run)
  if not run_id then return outcome, message end
  local points = offboard.report.open_points(journal, run_id)
  show_points(points)
  local given, seen = offboard.report.commands(journal, run_id)
  if given > 0 then terminal.out(("commands: %d, seen to be carried out: %d\n"):format(given, seen)) end
  local chain, problem = journal:verify_events(run_id)
  if not chain then return runs.ending(problem) end
  terminal.out(("events: %d, last hash %s\n"):format(chain.count, chain.hash))
  if args.out then
    local ok, reason = write_files(journal, run_id, args.out)
    if not ok then return "stopped", reason end
  end
  args.first = points[1] and points[1].id
  runs.recap(journal, run_id, args)
  return "done"
end

return M
