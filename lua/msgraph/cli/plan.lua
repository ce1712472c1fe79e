-- lua/msgraph/cli/plan.lua
--- `msgraph plan`: reads what is, and writes down what a workflow would do about it. Changes nothing.
local connection = require "msgraph.cli.connection"
local errors = require "msgraph.cli.errors"
local shell = require "msgraph.cli.shell"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "plan",
  summary = "Plan a workflow for people: what would be done to whom.",
  exits = { "done", "changes", "failed", "caps", "auth", "usage", "internal", "stopped", "interrupted" },
}

M.DESCRIPTION = [[
Reads the accounts of the people, compares them with what the workflow wants, and writes a plan: every request that
would be sent, what needs a person, and what is left alone and why. Nothing in the tenant is changed.]]

M.EXAMPLES = [[
Examples:
  msgraph plan leaver.lua --users leavers.csv --param ticket=INC4711 -o friday.plan
  msgraph plan contain.lua --user ada@contoso.com -o now.plan
  msgraph plan leaver.lua --users leavers.csv --only stage=contain,devices --except danger=irreversible
  msgraph show friday.plan

]] .. connection.HELP

--- Options that say which part is meant.
---@package
function M.describe_selection(command)
  command:option "--only":argname "<what>":count "*"
    :description "Only this: stage=…, action=…, danger=… or user=…, several with commas; may be repeated."
  command:option "--except":argname "<what>":count "*":description "All but this; may be repeated."
end

function M.describe(command)
  command:argument "workflow":argname "<workflow.lua>":description "The workflow: docs/workflows.md."
  command:option "--users":argname "<file>"
    :description "People: CSV with a column userPrincipalName, id or mail; or a name a line; - is standard input."
  command:option "--user":argname "<name>":count "*":description "One person, instead of a file; may be repeated."
  command:option "--param":argname "<name=value>":count "*":description "A parameter of the workflow; may be repeated."
  M.describe_selection(command)
  command:option "-o --output":argname "<file>":description "Where the plan goes. Default: <name of the workflow>.plan"
  command:flag "--detailed-exitcode":description "End with 2 when there is something to do."
  connection.describe(command)
end

local function params_of(words)
  local out = {}
  for _, word in ipairs(words) do
    local name, value = word:match("^([%w_-]+)=(.*)$")
    if not name then return nil, ("--param %s: name=value is expected"):format(terminal.clean(word)) end
    if out[name] then return nil, ("--param %s is given twice"):format(name) end
    out[name] = value
  end
  return out
end

local OUTCOMES = { workflow = "usage", selection = "usage", subjects = "usage", plan_file = "stopped", limits = "caps" }

--- How a command ends that met this error of a workflow or plan.
---@package
---@param err msgraph.Error
---@return string outcome
---@return string message
function M.ending(err)
  local outcome = OUTCOMES[err.code]
  if outcome then return outcome, terminal.clean(err.message) end
  return errors.outcome(err), errors.text(err)
end

local function people_of(args)
  if args.users and args.user[1] then return nil, "--users and --user are given: one of them" end
  return args.users or args.user[1] and args.user or nil
end

--- Writes a plan to where the options say, and tells of it.
---@package
---@param args table
---@param plan msgraph.offboard.Plan
---@param ending string of the file's name, where none was given
---@return string outcome
---@return string? message
function M.write(args, plan, ending)
  local path = args.output or plan.body.workflow.name .. ending
  local ok, err = require("msgraph.offboard").save_plan(plan, path)
  if not ok then return M.ending(err) end
  terminal.out(require("msgraph.offboard.show").summary(plan))
  terminal.note(("written to %s\nnext: %s"):format(terminal.clean(path), shell.command { "show", path }))
  local summary = plan.body.summary
  local work = summary.operations + summary.hand_offs
  return args.detailed_exitcode and work > 0 and "changes" or "done"
end

local function told(done, total) terminal.status(("read: %d of %d people"):format(done, total)) end

function M.run(args)
  local ob = require "msgraph.offboard"
  local params, people, reason, err, wf
  params, reason = params_of(args.param)
  if not params then return "usage", reason end
  people, reason = people_of(args)
  if reason then return "usage", reason end
  wf, err = ob.load(args.workflow)
  if not wf then return M.ending(err) end
  local client <close>, outcome, message = connection.open(args)
  if not client then return outcome, message end
  terminal.status "reading who they are"
  local plan
  plan, err = ob.plan(wf, people, { client = client, params = params, only = args.only, except = args.except,
    on = told })
  if not plan then return M.ending(err) end
  return M.write(args, plan, ".plan")
end

return M
