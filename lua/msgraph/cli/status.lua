--- `msgraph status`: where a run stands, once or while it runs. Asks nobody: only the journal is read.
local batch = require "msgraph.cli.batch"
local live = require "msgraph.cli.live"
local progress = require "msgraph.cli.progress"
local runs = require "msgraph.cli.runs"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "status",
  summary = "Show where a run stands, while it runs or after.",
  exits = { "done", "usage", "internal", "stopped" },
}

M.DESCRIPTION = [[
Shows a run by stage: how much is done, what is under way, what waits and what is left to a person. With --watch it
goes on showing that while another process works on it, until the run ends or Ctrl-C. Nothing is sent.]]

M.EXAMPLES = [[
Examples:
  msgraph status --journal friday.journal
  msgraph status --journal friday.journal --watch]]

function M.describe(command)
  runs.describe(command)
  command:flag "-w --watch":description "Until the run ends."
end

local function has_ended(found)
  return found.run.state == "done" or found.run.state == "halted"
end

-- Returns whether the run has ended. Ctrl-C is how one leaves a run that goes on.
local function watch(journal, run_id)
  local view = live.new(journal, run_id)
  local ok, ended, err = pcall(view.follow, view, has_ended)
  if not ok and not batch.is_interrupt(ended) then error(ended, 0) end
  view:finish()
  if ok then return ended, err end
  return false
end

-- Returns true once it is shown.
local function show(journal, run_id)
  local found, err = journal:progress(run_id)
  if not found then return nil, err end
  for _, line in ipairs(progress.lines({ found = found, recent = {} }, math.maxinteger)) do
    terminal.out((line.colour and terminal.paint(line.text, line.colour) or line.text) .. "\n")
  end
  return true
end

function M.run(args)
  local journal <close>, err = runs.open_journal(args, true)
  if not journal then return runs.ending(err) end
  local run_id, outcome, message = runs.find(journal, args.run)
  if not run_id then return outcome, message end
  local ok, problem = (args.watch and watch or show)(journal, run_id)
  if problem then return runs.ending(problem) end
  if ok then runs.recap(journal, run_id, args) end
  return "done"
end

return M
