-- lua/msgraph/cli/logout.lua
--- `msgraph logout`: forgets a sign-in.
local connection = require "msgraph.cli.connection"
local errors = require "msgraph.cli.errors"
local graph_errors = require "msgraph.errors"
local profiles = require "msgraph.auth.profile"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "logout",
  summary = "Forget a sign-in.",
  exits = { "done", "auth", "usage", "internal", "interrupted" },
}

M.DESCRIPTION = [[
Forgets what `msgraph login` has kept, on this machine and for all processes; a renewal that is under way can not bring
it back. Also the way out where the file is damaged or its key is lost. Access tokens that are out stay good for the
hour they have; an administrator ends them with revokeSignInSessions.]]

M.EXAMPLES = [[
Examples:
  msgraph logout
  msgraph logout --profile test
  msgraph logout --all]]

function M.describe(command)
  command:mutex(
    command:option "--profile":argname "<name>":convert(connection.profile_name)
      :description "Which sign-in; default MSGRAPH_PROFILE, or \"default\".",
    command:flag "--all":description "All of them.")
end

-- Without its key the file can still be replaced.
local function open(name)
  local profile, failure = profiles.open(name)
  if profile then return profile end
  terminal.note(terminal.clean(failure.message))
  return profiles.open(name, "none")
end

local function sign_out(name)
  if not profiles.exists(name) then
    terminal.out(("nobody was signed in (profile %s)\n"):format(name))
    return true
  end
  local profile, failure = open(name)
  if not profile then return nil, failure end
  local guard <close> = profile.store -- luacheck: ignore 211
  local ok
  ok, failure = profile.store:sign_out()
  if not ok then return nil, failure end
  terminal.out(("signed out (profile %s)\n"):format(name))
  return true
end

local function wanted(args)
  if args.all then return profiles.list() end
  local name, failure = profiles.name(args.profile)
  return name and { name }, failure
end

function M.run(args)
  local names, failure = wanted(args)
  if not names then return "usage", failure.message end
  local outcome, texts = "done", {}
  for _, name in ipairs(names) do
    local ok, problem = sign_out(name)
    if not ok then
      local err = graph_errors.from_failure(problem)
      outcome, texts[#texts + 1] = errors.outcome(err), errors.text(err)
    end
  end
  return outcome, texts[1] and table.concat(texts, "\n") or nil
end

return M
