-- lua/msgraph/cli/approve.lua
--- `msgraph approve`: somebody has read a plan, and says so in its file. Asks nobody: nothing is sent.
local shell = require "msgraph.cli.shell"
local show = require "msgraph.cli.show"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "approve",
  summary = "Approve a plan: bind a name to exactly what it says.",
  exits = { "done", "stale", "usage", "internal", "stopped" },
}

M.DESCRIPTION = [[
Adds an approval to the file of a plan. It holds for the plan's hash: a plan that is made anew has to be approved anew.
The name is as good as the file is safe: it is a note of who decided, not a signature.]]

M.EXAMPLES = [[
Examples:
  msgraph approve friday.plan --as "Grace Hopper"]]

function M.describe(command)
  command:argument "plan":argname "<plan>":description "A file of `msgraph plan`."
  command:option "--as":argname "<name>":count(1):description "Who approves."
end

function M.run(args)
  local ob = require "msgraph.offboard"
  if not args.as:find("%S") or args.as:find("%c") or not utf8.len(args.as) then
    return "usage", "--as: a name is expected"
  end
  local plan, err = ob.load_plan(args.plan)
  if not plan then return show.ending(err) end
  local ok
  ok, err = ob.approve(plan, args.as)
  if not ok then return show.ending(err) end
  ok, err = ob.save_plan(plan, args.plan)
  if not ok then return "stopped", terminal.clean(err.message) end
  local summary = plan.body.summary
  terminal.out(("%s approves %s: %d operations on %d people, %d tasks by hand\n"):format(terminal.clean(args.as),
    shell.quote(args.plan), summary.operations, summary.people - summary.refused, summary.hand_offs))
  terminal.out(plan.plan_hash .. "\n")
  terminal.note("next: " .. shell.command { "apply", args.plan })
  return "done"
end

return M
