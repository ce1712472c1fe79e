-- lua/msgraph/cli/init.lua
--- The command line: picks the command, and says how it ended.
--
-- A command returns the name of its outcome and, where there is one, a message; what a program that
-- started us sees is the number beside that name here, and nowhere else.
local argparse = require "argparse"
local batch = require "msgraph.cli.batch"
local core = require "msgraph.core"
local offboard = require "msgraph.cli.offboard"
local terminal = require "msgraph.cli.terminal"

local M = {}

--- Every way a command ends. 0 says that all was done: never a timeout, never a half.
M.EXITS = {
  done        = { 0,   "done" },
  changes     = { 2,   "with --detailed-exitcode: the plan has something to do" },
  failed      = { 20,  "finished, something failed" },
  human       = { 21,  "finished, a person must look: unknown outcomes, or devices still there when --wait was over" },
  halted      = { 22,  "halted: a limit of the workflow was reached; what can be typed next is printed" },
  stale       = { 23,  "the plan has expired, or was changed after it was made; nothing was sent" },
  caps        = { 24,  "the plan exceeds the limits of its workflow, or nobody approved it; nothing was sent" },
  auth        = { 30,  "authentication or a missing permission stopped it" },
  usage       = { 64,  "the command line, its files or the environment are wrong; nothing was sent" },
  internal    = { 70,  "a bug in msgraph" },
  stopped     = { 75,  "stopped before its end: you said no, Ctrl-C, it waits, or what was done could not be written" },
  interrupted = { 130, "interrupted by Ctrl-C; what was done and what to type next is printed" },
}

local COMMANDS = {
  "login", "logout", "whoami", "profiles", "doctor", "remove_all_devices", "request", "permissions", "plan",
  "show", "approve", "apply", "resume", "status", "verify", "resolve", "handoffs", "restore", "report", "check",
  "actions", "sim",
  "completion",
}
for i, name in ipairs(COMMANDS) do
  COMMANDS[i] = require("msgraph.cli." .. name)
end

local REPORT = [[
This is a bug in msgraph. Please open an issue in its repository with the lines above; there is no token in them.]]

-- ---- help ---------------------------------------------------------------------------------------

local function exit_codes(names)
  local lines = { "Exit codes:" }
  for _, name in ipairs(names) do lines[#lines + 1] = ("  %-4d %s"):format(table.unpack(M.EXITS[name])) end
  return table.concat(lines, "\n")
end

-- Raised out of argparse: `help` to print, or what is wrong as `usage` and where as `at`.
local Stop = {}

local function stop(fields)
  error(setmetatable(fields, Stop), 0)
end

local function add_help(parser)
  parser:add_help(false)
  parser:flag "-h --help":description "Show this help.":action(function() stop { help = parser } end)
  parser:help_description_margin(28):usage_max_width(100)
end

local ABOUT = "Takes people out of a Microsoft 365 tenant: plans it, does it, goes on after anything, proves it."

local FIRST_STEPS = [[
Begin here:
  msgraph sim > tenant.env                               a simulated tenant, to try things on
  msgraph login --tenant contoso.com --client-id ID      signs you in, once
  msgraph plan leaver.lua --users leavers.csv            what a workflow would do: changes nothing
  msgraph show | doctor --plan | approve | apply         the plan: read it, check it, answer for it, do it
  msgraph status | resume | verify | report              the run: where it stands, go on, is it so, what is left
  msgraph remove-all-devices --dry-run ada@contoso.com   devices alone: shows what would happen
  msgraph help apply                                     options, examples, exit codes

A service signs in with AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or has a token in
MSGRAPH_ACCESS_TOKEN; no option takes them.]]

local function version()
  local curl = core.curl()
  return ("msgraph %s (%s, libcurl %s, %s)\n"):format(core.version, _VERSION, curl.version, curl.ssl)
end

local function new_parser()
  local parser = argparse("msgraph", ABOUT, FIRST_STEPS)
  parser:add_help(false):command_target "command":require_command(false)
  add_help(parser)
  parser:flag "--version":description "Show the versions of msgraph, Lua, libcurl and TLS."
    :action(function() stop { text = version() } end)
  local by_name = {}
  for _, command in ipairs(COMMANDS) do
    local sub = parser:command(command.name):summary(command.summary):description(command.DESCRIPTION)
    sub:epilog(command.EXAMPLES .. "\n\n" .. exit_codes(command.exits))
    command.describe(sub)
    add_help(sub)
    by_name[command.name] = sub
  end
  local help = parser:command "help":summary "Show the help of a command.":description "Shows the help of a command."
  help:argument "topic":args "?":argname "<command>":description "Default: all of msgraph."
  add_help(help)
  parser.error = function(at, message) stop { at = at, usage = message } end
  return parser, by_name
end

-- ---- running ------------------------------------------------------------------------------------

local function names_of_commands()
  local names = {}
  for i, command in ipairs(COMMANDS) do names[i] = command.name end
  return table.concat(names, ", ") .. ", help"
end

local function run_help(topic, parser, by_name)
  local wanted = topic and by_name[topic] or not topic and parser
  if not wanted then
    return "usage", ("no command '%s'; there are %s"):format(terminal.clean(topic), names_of_commands())
  end
  terminal.out(wanted:get_help() .. "\n")
  return "done"
end

local function run(argv)
  local parser, by_name = new_parser()
  local args = parser:parse(argv)
  if args.command == "help" then return run_help(args.topic, parser, by_name) end
  for _, command in ipairs(COMMANDS) do
    if command.name == args.command then
      local problem = offboard.missing(command.name)
      if problem then return "usage", problem end
      return command.run(args, parser)
    end
  end
  terminal.note(parser:get_help())
  return "usage"
end

local function usage_message(problem)
  local message = problem.usage:gsub("\nDid you mean", "; did you mean")
  if message:find("unknown command", 1, true) and not message:find("did you mean", 1, true) then
    message = ("%s; there are %s"):format(message, names_of_commands())
  end
  if message == "missing option '--journal'" then
    message = message .. ": the file that apply wrote beside the plan, --journal friday.journal"
  end
  local name = problem.at._name
  return ("%s\nSee: msgraph help%s"):format(terminal.clean(message), name == "msgraph" and "" or " " .. name)
end

-- How a raised value ends the command.
local function ending(problem)
  local class = getmetatable(problem)
  if class == Stop and problem.usage then return "usage", usage_message(problem) end
  if class == Stop then
    terminal.out(problem.text or problem.help:get_help() .. "\n")
    return "done"
  end
  if class == terminal.OutputLost then
    return "stopped", not problem.closed and "the results could not be written: " .. problem.reason or nil
  end
  if batch.is_interrupt(problem) then
    terminal.leave_line()
    return "interrupted", "interrupted"
  end
  return "internal", ("%s\n%s"):format(tostring(problem), REPORT)
end

local function with_traceback(problem)
  if type(problem) ~= "string" or batch.is_interrupt(problem) then return problem end
  return debug.traceback(problem, 2)
end

--- Runs a command line.
---@param argv string[]
---@return integer exit code
function M.main(argv)
  local ok, outcome, message = xpcall(run, with_traceback, argv)
  while not ok do ok, outcome, message = pcall(ending, outcome) end
  if message then terminal.note("msgraph: " .. message) end
  return M.EXITS[outcome][1]
end

return M
