--- `msgraph resolve`: a person says what became of an operation that nobody else can settle.
local apply = require "msgraph.cli.apply"
local runs = require "msgraph.cli.runs"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "resolve",
  summary = "Say what became of an operation: done, to be done again, or not at all.",
  exits = { "done", "usage", "internal", "stopped" },
}

M.DESCRIPTION = [[
Settles what only a person can: done (it is done), redo (have it sent again), skip (it is not to be done). The
operation is named as in `msgraph report`: 17.4, the fourth of the seventeenth person; 17 alone is the person. It is
written to the journal with your name and note. Nothing is sent: msgraph resume goes on.]]

M.EXAMPLES = [[
Examples:
  msgraph resolve 7c9e6679 17.4 --journal friday.journal --as done --note "mailbox converted, INC4711"]]

function M.describe(command)
  command:argument "run":argname "<run>":description "The run, or the beginning of its id."
  command:argument "op":argname "<operation>":description "As in `msgraph report`: 17.4"
  command:option "--journal":argname "<file>":count(1):description "The journal: what apply wrote beside the plan."
  command:option "--as":argname "<what>":count(1):choices { "done", "redo", "skip" }:description "done, redo or skip."
  command:option "--note":argname "<text>":count(1):description "Why; for whoever reads the report."
end

-- The key of operation `n` of a person.
local function key_of(journal, run_id, subj, n)
  for subject in journal:subjects(run_id) do
    if subject.subj == subj then return subject.ops[n] and subject.ops[n].op_key end
  end
end

function M.run(args)
  local subj, n = args.op:match "^(%d+)%.(%d+)$"
  subj, n = math.tointeger(tonumber(subj or args.op)), math.tointeger(tonumber(n))
  if not subj then return "usage", "an operation is named as in the report: 17.4" end
  if not n and args.as == "done" then return "usage", "done is said of an operation, 17.4, not of a person" end
  if not utf8.len(args.note) then return "usage", "--note: it is not UTF-8" end
  local journal <close>, err = runs.open_journal(args)
  if not journal then return runs.ending(err) end
  local run_id, outcome, message = runs.find(journal, args.run)
  if not run_id then return outcome, message end
  local key = n and key_of(journal, run_id, subj, n)
  if n and not key then return "usage", ("there is no operation %s in this run"):format(terminal.clean(args.op)) end
  local ok, problem = journal:resolve { run_id = run_id, subj = subj, op_key = key, as = args.as, note = args.note,
    actor = apply.actor() }
  if not ok then return runs.ending(problem) end
  runs.recap(journal, run_id, args)
  return "done"
end

return M
