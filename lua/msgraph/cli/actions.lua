-- lua/msgraph/cli/actions.lua
--- `msgraph actions`: the catalogue of what a workflow can have done. Nothing is sent.
local tables = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "actions",
  summary = "List what a workflow can have done.",
  exits = { "done", "usage", "internal" },
}

M.DESCRIPTION = [[
Lists the actions with their effect and danger; with the name of one, its options and permissions.]]

M.EXAMPLES = [[
Examples:
  msgraph actions
  msgraph actions groups.leave_all
  msgraph actions --json

effect   converge: twice is as good as once; command: acts each time, a read shows it; once: never sent twice
danger   safe, disruptive, destructive, irreversible]]

function M.describe(command)
  command:argument "action":args "?":argname "<action>":description "Default: all."
  command:flag "--json":description "As JSON."
end

-- With what it reads.
local function calls_of(action)
  local reads, calls = require "msgraph.offboard.reads", {}
  for i, call in ipairs(action.calls) do calls[i] = call end
  for _, name in ipairs(action.reads or {}) do calls[#calls + 1] = reads.call(name) end
  return calls
end

local function options_of(action)
  local names, rows = {}, {}
  for name in pairs(action.options or {}) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do rows[i] = { name, action.options[name].type, action.options[name].about } end
  return rows
end

local function record_of(catalogue, action)
  local json, options = require "msgraph.json", {}
  for i, row in ipairs(options_of(action)) do options[i] = { name = row[1], type = row[2], about = row[3] } end
  local needs = catalogue.permissions(calls_of(action))
  return { id = action.id, version = action.version, effect = action.effect, danger = action.danger,
    about = action.about,
    options = json.array(options), tasks = json.array(action.tasks), permissions = {
      delegated = json.array(needs.delegated), application = json.array(needs.application) } }
end

local function show_json(catalogue, list)
  local json, out = require "msgraph.json", {}
  for i, action in ipairs(list) do out[i] = record_of(catalogue, action) end
  terminal.out(require("msgraph.offboard.canonical").encode(json.array(out)) .. "\n")
end

local function show_one(catalogue, action)
  terminal.out(("%s (%s, %s): %s\n"):format(action.id, action.effect, action.danger, action.about))
  if action.options then terminal.out("options:\n" .. tables.format(options_of(action), "  ")) end
  if action.tasks then terminal.out("tasks: " .. table.concat(action.tasks, ", ") .. "\n") end
  local needs = catalogue.permissions(calls_of(action))
  for _, kind in ipairs { "delegated", "application" } do
    terminal.out(("permissions, %s: %s\n"):format(kind, #needs[kind] > 0 and table.concat(needs[kind], ", ") or "none"))
  end
end

local function show_all(list)
  local rows = { { "action", "effect", "danger", "what it does" } }
  for _, action in ipairs(list) do rows[#rows + 1] = { action.id, action.effect, action.danger, action.about } end
  terminal.out(tables.format(rows))
end

function M.run(args)
  local catalogue = require "msgraph.offboard.actions"
  local action = args.action and catalogue.find(args.action)
  if args.action and not action then
    local ids = {}
    for _, one in ipairs(catalogue.list) do ids[one.id] = true end
    return "usage", ("there is no action '%s' (did you mean '%s'?)"):format(terminal.clean(args.action),
      require("msgraph.config").nearest(args.action, ids))
  end
  local list = action and { action } or catalogue.list
  if args.json then
    show_json(catalogue, list)
  elseif action then
    show_one(catalogue, action)
  else
    show_all(list)
  end
  return "done"
end

return M
