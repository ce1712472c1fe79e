-- lua/msgraph/cli/show.lua
--- `msgraph show`: a plan, to be read before it is approved. Asks nobody: nothing is sent.
local shell = require "msgraph.cli.shell"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "show",
  summary = "Show a plan: who, what, and what needs a person.",
  exits = { "done", "stale", "usage", "internal", "stopped" },
}

M.DESCRIPTION = [[
Shows what a plan would do to each person, what is left to be done by hand and with which commands, and what is not
done and why. No token is needed and nothing is sent.]]

M.EXAMPLES = [[
Examples:
  msgraph show friday.plan
  msgraph show friday.plan --json | jq '.summary']]

function M.describe(command)
  command:argument "plan":argname "<plan>":description "A file of `msgraph plan`."
  command:flag "--json":description "The plan as one JSON object, with its hash and approvals: docs/plan.md."
end

--- The command that approves a plan.
---@package
---@param path string
---@return string
function M.approve_command(path) return shell.command { "approve", path, "--as", "YOUR NAME" } end

local OUTCOMES = { plan_file = "usage", plan_newer = "usage", plan_tampered = "stale", plan_expired = "stale" }

--- How a command ends that could not use a plan.
---@package
---@param err msgraph.Error
---@return string outcome
---@return string message
function M.ending(err) return OUTCOMES[err.code], terminal.clean(err.message) end

-- The plan's own bytes: nothing is lost by reading and writing it again.
local function as_json(plan)
  local canonical, array = require "msgraph.offboard.canonical", require("msgraph.json").array
  return ('{"approvals":%s,"plan_hash":%s,"subjects":[%s],%s\n'):format(canonical.encode(array(plan.approvals)),
    canonical.encode(plan.plan_hash), table.concat(plan.people, ","), plan.head:sub(2))
end

function M.run(args)
  local ob = require "msgraph.offboard"
  local plan, err = ob.load_plan(args.plan)
  if not plan then return M.ending(err) end
  terminal.out(args.json and as_json(plan) or ob.show(plan))
  local fresh
  fresh, err = ob.check_age(plan)
  if args.json then return "done" end
  local approved = require("msgraph.offboard.plan").is_approved(plan)
  terminal.note(not fresh and "note: " .. err.message or "next: " .. (approved and shell.command { "apply", args.plan }
    or M.approve_command(args.plan)))
  return "done"
end

return M
