-- lua/msgraph/cli/profiles.lua
--- `msgraph profiles`: the sign-ins that are kept here.
local errors = require "msgraph.cli.errors"
local graph_errors = require "msgraph.errors"
local json = require "msgraph.json"
local pretty = require "msgraph.cli.pretty"
local profiles = require "msgraph.auth.profile"
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "profiles",
  summary = "List who is signed in.",
  exits = { "done", "auth", "usage", "internal", "interrupted" },
}

M.DESCRIPTION = "Lists the profiles of `msgraph login`; * marks the one that is used where none is named. Asks nobody."

M.EXAMPLES = [[
Examples:
  msgraph profiles
  MSGRAPH_PROFILE=test msgraph whoami]]

function M.describe(command)
  command:flag "--json":description "A JSON object a line for each profile."
end

local function look(name, current)
  local row = { profile = name, current = name == current }
  local profile, failure = profiles.open(name)
  local sign_in
  if profile then sign_in, failure = profiles.read(profile) end
  if not sign_in then
    row.state, row.problem = "unreadable", graph_errors.from_failure(failure).message
    return row
  end
  row.state = sign_in.has_refresh_token and "signed_in" or "signed_out"
  row.username, row.tenant_id = sign_in.username, sign_in.tenant_id
  row.path, row.key = profile.path, profiles.KEYS[profile.key]
  profile.store:close()
  return row
end

local WORDS = { signed_in = "signed in", signed_out = "signed out", unreadable = "can not be read" }

local function show(rows)
  local cells = {}
  for i, row in ipairs(rows) do
    cells[i] = { row.current and "*" or " ", row.profile, WORDS[row.state], terminal.clean(row.username or "-"),
      terminal.clean(row.tenant_id or "-"), terminal.clean(row.problem or "") }
  end
  return table_of.format(cells)
end

function M.run(args)
  local names, failure = profiles.list()
  local current
  if names then current, failure = profiles.name() end
  if not names or not current then
    local err = graph_errors.from_failure(failure)
    return errors.outcome(err), errors.text(err)
  end
  local rows = {}
  for i, name in ipairs(names) do rows[i] = look(name, current) end
  if args.json then
    for _, row in ipairs(rows) do terminal.out(pretty.line(json.encode(row)) .. "\n") end
  elseif #rows == 0 then
    terminal.note("nobody has signed in here: msgraph login")
  else
    terminal.out(show(rows))
  end
  return "done"
end

return M
