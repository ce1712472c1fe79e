-- lua/msgraph/cli/check.lua
--- `msgraph check`: whether a workflow is right, as far as that shows without a tenant. Nothing is sent.
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "check",
  summary = "Check a workflow file for mistakes, without a tenant.",
  exits = { "done", "failed", "internal" },
}

M.DESCRIPTION = [[
Compiles a workflow and runs its description: typing errors, names that are not declared (in functions that have not run
as well), options that are none, parameters that do not exist. Each mistake is a line with its file and line.]]

M.EXAMPLES = [[
Examples:
  msgraph check leaver.lua]]

function M.describe(command)
  command:argument "workflow":argname "<workflow.lua>":description "The workflow: docs/workflows.md."
end

local function words_of(set)
  local out = {}
  for name in pairs(set) do out[#out + 1] = name end
  table.sort(out)
  return #out > 0 and table.concat(out, ", ") or "none"
end

local function stage_line(stage)
  local names = {}
  for i, use in ipairs(stage.uses or {}) do names[i] = use.action.id end
  return ("  %s: %s\n"):format(stage.name, stage.step and "an own step" or table.concat(names, ", "))
end

-- What is allowed and yet seldom meant.
local function warn_of(wf)
  for _, stage in ipairs(wf.stages) do
    local step = stage.step
    if step and not step.probe then
      terminal.note(("note: step '%s' has no probe: when its outcome is not known, %s"):format(stage.name,
        step.effect == "converge" and "it is sent again" or "a person has to look"))
    end
  end
end

function M.run(args)
  local wf, err, problems = require("msgraph.offboard").load(args.workflow)
  if not wf then
    for i = 1, #(problems or {}) - 1 do terminal.note(terminal.clean(problems[i])) end
    return "failed", terminal.clean(problems and problems[#problems] or err.message)
  end
  terminal.out(("%s, version %d, is right\n"):format(wf.name, wf.version))
  terminal.out(("  parameters: %s\n"):format(words_of(wf.params)))
  for _, stage in ipairs(wf.stages) do terminal.out(stage_line(stage)) end
  warn_of(wf)
  return "done"
end

return M
