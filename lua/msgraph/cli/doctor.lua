-- lua/msgraph/cli/doctor.lua
--- `msgraph doctor`: looks at everything a run needs, before one begins. Changes nothing.
local auth = require "msgraph.auth"
local check = require "msgraph.check"
local config = require "msgraph.config"
local connection = require "msgraph.cli.connection"
local core = require "msgraph.core"
local errors = require "msgraph.cli.errors"
local graph = require "msgraph"
local graph_errors = require "msgraph.errors"
local http_date = require "msgraph.http_date"
local json = require "msgraph.json"
local loop = require "msgraph.loop"
local pretty = require "msgraph.cli.pretty"
local profiles = require "msgraph.auth.profile"
local offboard = require "msgraph.cli.offboard"
local shell = require "msgraph.cli.shell"
local show = require "msgraph.cli.show"
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "doctor",
  summary = "Check what a run needs: network, clock, sign-in, permissions, licence.",
  exits = { "done", "failed", "auth", "usage", "internal", "interrupted" },
}

M.DESCRIPTION = [[
Looks at what remove-all-devices needs and tells, a line each, what is well, what may hurt and what fails, and what to
do about it. With --plan: what applying that plan needs, with each permission that is missing and for which action.
Reads one device at most, and changes nothing.]]

M.EXAMPLES = [[
Examples:
  msgraph doctor
  msgraph doctor --plan friday.plan
  msgraph doctor --profile test --json
]] .. "\n" .. connection.HELP

function M.describe(command)
  command:option "--plan":argname "<plan>":description "A file of `msgraph plan`: could it be applied?"
  command:flag "--json":description "A JSON object a line for each check."
  connection.describe(command)
end

-- ---- what is told ---------------------------------------------------------------------------------

local COLOURS = { ok = "green", warn = "yellow", fail = "red" }
local NAME_WIDTH <const> = 12

-- `advice`: what to do, where there is something. `outcome`: how the command ends because of it.
local function tell(run, name, state, text, advice, outcome)
  if state == "fail" then run.outcome = run.outcome ~= "auth" and outcome or run.outcome end
  if run.json then
    return terminal.out(pretty.line(json.encode { check = name, state = state, text = terminal.clean(text),
      advice = advice and terminal.clean(advice) }) .. "\n")
  end
  local line = ("%s  %s  %s\n"):format(terminal.paint(table_of.pad(state, 4), COLOURS[state]),
    table_of.pad(name, NAME_WIDTH), terminal.clean(text))
  terminal.out(terminal.scrub(line .. (advice and "      " .. terminal.clean(advice) .. "\n" or "")))
end

local function tell_error(run, name, err)
  tell(run, name, "fail", errors.line(err), err.hint, errors.outcome(err) == "auth" and "auth" or "failed")
end

-- ---- this machine ---------------------------------------------------------------------------------

local function check_library(run)
  local curl = core.curl()
  tell(run, "library", "ok", ("msgraph %s, libcurl %s, %s, HTTP/%s"):format(core.version, curl.version, curl.ssl,
    curl.http))
end

-- What libcurl looks at for https; the name and password in it are nobody's business.
local function check_proxy(run)
  local found = {}
  for _, name in ipairs { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY" } do
    local value = os.getenv(name) or ""
    if value ~= "" then found[#found + 1] = name .. "=" .. value:gsub("//[^/]*@", "//***@"):gsub("^[^/]*@", "***@") end
  end
  tell(run, "proxy", "ok", #found > 0 and table.concat(found, ", ") or "none in the environment")
end

local function check_store(run, name)
  local profile, failure, sign_in
  name, failure = profiles.name(name)
  if name and not profiles.exists(name) then
    return tell(run, "store", "ok", ("nothing is kept for profile %s"):format(name))
  end
  if name then profile, failure = profiles.open(name) end
  if profile then sign_in, failure = profiles.read(profile) end
  if not sign_in then return tell_error(run, "store", graph_errors.from_failure(failure)) end
  local text = ("%s, %s, its key: %s"):format(profile.path,
    sign_in.has_refresh_token and "signed in" or "signed out", profiles.KEYS[profile.key])
  if profile.key ~= "none" then return tell(run, "store", "ok", text) end
  tell(run, "store", "warn", text, "to have it encrypted: msgraph logout, then msgraph login")
end

-- ---- the way there --------------------------------------------------------------------------------

local PROBE_TIME <const> = 15

-- Any answer will do: it came over TLS that was verified.
local function probe(url, ca_file)
  local origin, failure = core.origin { endpoint = url, ca_file = ca_file,
    credential = assert(core.credential { token = "none" }) }
  if not origin then return nil, failure end
  local guard <close> = origin -- luacheck: ignore 211
  return loop.exchange(origin, { method = "GET", target = "/", retry = false, deadline = PROBE_TIME }, origin)
end

local function check_host(run, name, url, ca_file)
  local raw, failure = probe(url, ca_file)
  if not raw then return tell_error(run, name, graph_errors.from_failure(failure)) end
  tell(run, name, "ok", ("%s answers over TLS, trusted by %s"):format(url, ca_file or "the system's authorities"))
  run.server_time = run.server_time or http_date.parse(core.header(raw.headers, "Date"))
  run.local_time = run.local_time or os.time()
end

-- What the library found, as a line: its `outcome` where it failed.
local STATES = { ok = "ok", warning = "warn", unknown = "warn", failed = "fail" }

local function tell_check(run, name, found, outcome)
  if found.state == "failed" and found.err then return tell_error(run, name, found.err) end
  tell(run, name, STATES[found.state], found.message, found.hint, outcome)
end

local function check_clock(run)
  if not run.server_time then return end -- nobody answered, which has been told
  tell_check(run, "clock", check.clock(run.server_time, run.local_time, run.local_time), "failed")
end

-- ---- the sign-in ----------------------------------------------------------------------------------

local function check_sign_in(run, client)
  local found = check.sign_in(client)
  tell_check(run, "sign-in", found)
  return found.identity
end

local function check_permissions(run, client, who)
  for _, found in ipairs(check.permissions(client, who)) do tell_check(run, "permissions", found, "auth") end
end

-- ---- a plan -------------------------------------------------------------------------------------

-- Whether the file could be applied, as far as it tells itself.
local function check_plan(run, path)
  local plan, err = offboard.plan.load(path)
  local ok = plan
  if plan then ok, err = offboard.plan.check_age(plan) end
  if not ok then return tell_error(run, "plan", err) end
  local approved = offboard.plan.is_approved(plan)
  tell(run, "plan", approved and "ok" or "warn", ("%s: %d operations, good until %s%s"):format(path,
    plan.body.summary.operations, os.date("!%Y-%m-%d %H:%M UTC", plan.body.expires_at),
    approved and "" or ", not approved yet"), not approved and show.approve_command(path) or nil)
  return plan
end

local function how_to_grant(need)
  local method, path = need.call:match "^(%S+) (%S+)$"
  return "how to add it: " .. shell.command { "permissions", method, path }
end

local function check_needs(run, plan, who)
  local missing, kind = offboard.needs.missing(plan, who)
  if not missing then return tell(run, "permissions", "warn", offboard.needs.OPAQUE) end
  for _, need in ipairs(missing) do
    tell(run, "permissions", "fail", offboard.needs.line(need, kind), how_to_grant(need), "auth")
  end
  if not missing[1] then tell(run, "permissions", "ok", "the token has all that the plan takes") end
end

-- Whether anything of Intune's is in it.
local function has_devices(plan)
  for action in pairs(plan.body.summary.by_action) do
    if action:find "^intune%." or action:find "^devices%." then return true end
  end
  return false
end

-- ---- all of it ------------------------------------------------------------------------------------

-- Where it signs in: as the credential says; where there is none yet, as it would.
local ELSEWHERE = { token = true, callback = true, managed_identity = true, azure_cli = true }

local function authority_of(client, identity)
  local opened = client.opened
  if opened.chosen then opened = opened.chosen() or opened end
  return opened.authority or not ELSEWHERE[opened.kind] and identity.authority or nil
end

function M.run(args)
  local problem = args.plan and offboard.missing "plan"
  if problem then return "usage", problem end
  local run = { json = args.json, outcome = "done" }
  check_library(run)
  check_proxy(run)
  check_store(run, args.profile)
  local opts = { endpoint = args.endpoint, ca_file = args.ca_file, cloud = args.cloud, auth = auth.token "none" }
  local settings, err = config.resolve(opts)
  opts.auth = args.profile and graph.auth.stored { profile = args.profile } or nil
  local client <close>, failed = graph.connect(opts)
  if not settings then
    tell_error(run, "settings", err)
    return run.outcome
  end
  local who = client and check_sign_in(run, client)
  if not client then tell_error(run, "sign-in", failed) end
  local authority = client and authority_of(client, settings.identity)
  if authority then check_host(run, "sign-in host", authority, settings.ca_file) end
  check_host(run, "Graph", settings.endpoint, settings.ca_file)
  check_clock(run)
  local plan = args.plan and check_plan(run, args.plan)
  if not who then return run.outcome end
  if plan then check_needs(run, plan, who) elseif not args.plan then check_permissions(run, client, who) end
  if not args.plan or plan and has_devices(plan) then tell_check(run, "licence", check.licence(client), "auth") end
  return run.outcome
end

return M
