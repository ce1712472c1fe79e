--- `msgraph handoffs`: the work of a run that only people can do, given out and taken back in.
local apply = require "msgraph.cli.apply"
local core = require "msgraph.core"
local offboard = require "msgraph.cli.offboard"
local runs = require "msgraph.cli.runs"
local shell = require "msgraph.cli.shell"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "handoffs",
  summary = "Write work lists of what only people can do, and take in what became of it.",
  exits = { "done", "usage", "internal", "stopped" },
}

M.DESCRIPTION = [[
Prints the open work of a run that Graph can not do: a page for each system. With --out, files instead: the pages
(friday-exchange.md, friday-ad.md), and a script for Exchange Online and for Active Directory (friday-exchange.ps1) that
does each task once, notes what became of it in friday-exchange-results.csv, and may be run again. With --take-in,
such a file is read back in, all of it or nothing; msgraph resume then goes on with what waited for it.]]

M.EXAMPLES = [[
Examples:
  msgraph handoffs --journal friday.journal --out friday-
  powershell -File friday-exchange.ps1
  msgraph handoffs --journal friday.journal --take-in friday-exchange-results.csv
  msgraph resume --journal friday.journal]]

function M.describe(command)
  runs.describe(command)
  command:mutex(
    command:option "--out":argname "<prefix>":description "Begin of the files' names, friday- say.",
    command:option "--take-in":argname "<file>":description "Results, as a script wrote them.")
end

-- ---- giving out ---------------------------------------------------------------------------------

local SHORT = { ["active-directory"] = "ad" }

local function take_in_command(run_id, args, base)
  return runs.command("handoffs", run_id, args) .. " --take-in " .. shell.quote(base .. "-results.csv")
end

local function head_of(run_id, args, base)
  local head = { ("Run %s. Tell what became of a task with its number:"):format(run_id), "",
    "    " .. runs.command("resolve", run_id, args) .. " NUMBER --as done --note '…'" }
  if base then
    local script = base:match "[^/]*$" .. ".ps1"
    table.move({ "", ("Or run `%s`, which does those that have a command, and then:"):format(script), "",
      "    " .. take_in_command(run_id, args, base) }, 1, 4, #head + 1, head)
  end
  return head
end

local function write(path, text)
  local ok, reason = core.write_private(path, text)
  if ok then terminal.out(("written: %s\n"):format(terminal.clean(path))) end
  return ok, reason
end

local function write_list(list, run_id, tenant_id, args)
  local base = args.out .. (SHORT[list.system] or list.system)
  local script = offboard.worklist.script(list, run_id, tenant_id)
  local ok, reason = write(base .. ".md", offboard.worklist.page(list, head_of(run_id, args, script and base)))
  if ok and script then
    ok, reason = write(base .. ".ps1", script)
    if ok then terminal.out("run it, then: " .. take_in_command(run_id, args, base) .. "\n") end
  end
  return ok, reason
end

local function give_out(journal, run_id, args)
  local status, err = journal:status(run_id)
  if not status then return runs.ending(err) end
  local lists = offboard.worklist.of(journal, run_id)
  if #lists == 0 then terminal.out "nothing is left for people to do\n" end
  for _, list in ipairs(lists) do
    if args.out then
      local ok, reason = write_list(list, run_id, status.plan.tenant_id, args)
      if not ok then return "stopped", reason end
    else
      terminal.out(offboard.worklist.page(list, head_of(run_id, args)) .. "\n")
    end
  end
  return "done"
end

-- ---- taking in ----------------------------------------------------------------------------------

local function take_in(journal, run_id, args)
  local results, err = offboard.results.read(journal, run_id, args.take_in)
  if not results then return runs.ending(err) end
  local count
  count, err = journal:hand_in { run_id = run_id, actor = apply.actor(), results = results }
  if not count then return runs.ending(err) end
  for _, item in ipairs(results) do
    if not item.done then
      terminal.out(("failed  %s: %s: %s\n"):format(terminal.clean(item.label), terminal.clean(item.what),
        terminal.clean(item.message)))
    end
  end
  terminal.out(("taken in: %d done, %d failed, %d known before\n"):format(count.done, count.failed, count.known))
  runs.recap(journal, run_id, args)
  return "done"
end

function M.run(args)
  local journal <close>, err = runs.open_journal(args, not args.take_in)
  if not journal then return runs.ending(err) end
  local run_id, outcome, message = runs.find(journal, args.run)
  if not run_id then return outcome, message end
  return (args.take_in and take_in or give_out)(journal, run_id, args)
end

return M
