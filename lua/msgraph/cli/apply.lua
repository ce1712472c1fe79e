--- `msgraph apply`: does what a plan says, and writes down each step before it is taken.
local connection = require "msgraph.cli.connection"
local runs = require "msgraph.cli.runs"
local shell = require "msgraph.cli.shell"
local show = require "msgraph.cli.show"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "apply",
  summary = "Apply a plan; what is done and what is not is on the disk at every moment.",
  exits = { "done", "failed", "human", "halted", "stale", "caps", "auth", "usage", "internal", "stopped",
    "interrupted" },
}

M.DESCRIPTION = [[
Does what a plan says. Each request is written to a journal before it is sent and settled after it, so that a run that
was killed can be resumed, and nothing is done twice. Ctrl-C once ends what is under way and stops; twice stops now.

A plan with more than safe operations needs an approval: msgraph approve.]]

M.EXAMPLES = [[
Examples:
  msgraph apply friday.plan
  msgraph apply friday.plan --journal /var/lib/msgraph/friday.journal
  msgraph resume --journal friday.journal

]] .. connection.HELP

function M.describe(command)
  command:argument "plan":argname "<plan>":description "A file of `msgraph plan`."
  command:option "--journal":argname "<file>"
    :description "Where it is written down. Default: beside the plan, friday.journal; of a restore, the run's."
  command:flag "--by-role"
    :description "Apply although the token names too few permissions: a directory role of the app allows the rest."
  runs.describe_quiet(command)
  connection.describe(command)
end

local function journal_of(plan, path)
  return plan.body.restore and plan.body.restore.journal or runs.beside(path)
end

local function ending(err, args)
  local outcome, message = runs.ending(err)
  if err.run_id then message = message .. "\n  " .. runs.command("resume", err.run_id, args, true) end
  return outcome, message
end

local function actor() return os.getenv "USER" or "unknown" end
M.actor = actor ---@package

-- What the file itself tells against it.
local function check_plan(plan, path)
  local ob = require "msgraph.offboard"
  local ok, err = ob.check_age(plan)
  if not ok then return runs.ending(err) end
  if require("msgraph.offboard.plan").is_approved(plan) then return nil end
  return "caps", ("nobody has approved %s; nothing was sent\n  %s"):format(terminal.clean(path),
    show.approve_command(path))
end

-- What the token lacks.
local function check_permissions(client, plan, path)
  local needs = require "msgraph.offboard.needs"
  local who, err = client:whoami()
  if not who then return runs.ending(err) end
  local missing, kind = needs.missing(plan, who)
  if not missing then terminal.note("note: " .. needs.OPAQUE) end
  if not missing or not missing[1] then return nil end
  local lines = { ("the token lacks what %s takes; nothing was sent"):format(terminal.clean(path)) }
  for i, need in ipairs(missing) do lines[i + 1] = "  " .. needs.line(need, kind) end
  lines[#lines + 1] = "  how to add it: " .. shell.command { "doctor", "--plan", path }
  if kind == "application" then
    lines[#lines + 1] = "  if a directory role of the app allows it: " .. shell.command { "apply", "--by-role", path }
  end
  return "auth", table.concat(lines, "\n")
end

-- Where the plan was made for is where it is applied.
local function check_tenant(client, plan)
  if plan.body.endpoint == client.endpoint then
    return require("msgraph.offboard.run").check_tenant(client, plan.body.tenant_id or "unknown")
  end
  return nil, require("msgraph.errors").new { kind = "invalid", code = "other_tenant", phase = "not_sent",
    message = ("the plan is for %s, and you are connected to %s"):format(plan.body.endpoint, client.endpoint) }
end

function M.run(args)
  local ob, run = require "msgraph.offboard", require "msgraph.offboard.run"
  local plan, err = ob.load_plan(args.plan)
  if not plan then return runs.ending(err) end
  args.journal = args.journal or journal_of(plan, args.plan)
  local outcome, message = check_plan(plan, args.plan)
  if outcome then return outcome, message end
  local client <close>, how, why = connection.open(args)
  if not client then return how, why end
  if not args.by_role then outcome, message = check_permissions(client, plan, args.plan) end
  if outcome then return outcome, message end
  local ok
  ok, err = check_tenant(client, plan)
  if not ok then return runs.ending(err) end
  local journal <close>, problem = require("msgraph.offboard.journal").open(args.journal,
    { create = not plan.body.restore })
  if not journal then return runs.ending(problem) end
  local run_id
  run_id, err = run.start(journal, plan, actor())
  if not run_id then return ending(err, args) end
  if not args.quiet then terminal.note(("journal %s"):format(terminal.clean(args.journal))) end
  return runs.work(client, journal, run_id, args)
end

return M
