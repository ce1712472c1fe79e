-- lua/msgraph/cli/sim.lua
--- `msgraph sim`: a simulated tenant in the foreground, until Ctrl-C.
--
-- stdout carries the lines for the shell and nothing else, so that `msgraph sim > env` works.
local batch = require "msgraph.cli.batch"
local core = require "msgraph.core"
local graph = require "msgraph"
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "sim",
  summary = "Run a simulated tenant on this machine, to try things on.",
  exits = { "done", "failed", "usage", "internal" },
}

M.DESCRIPTION = [[
Serves a tenant of made-up users and devices on 127.0.0.1 until Ctrl-C. It prints three lines for the
shell: paste them into another terminal, and msgraph and your scripts talk to this tenant there.]]

M.EXAMPLES = [[
Examples:
  msgraph sim
  msgraph sim --users 500 --faults throttle,reset
  msgraph sim --replay friday.har
  msgraph sim > tenant.env        and in another terminal:  . ./tenant.env

Faults, each on one request in ten:
  throttle   429 with Retry-After           server   503 without one
  reset      acted on, then no answer       refuse   reset before it was acted on
  portal     a proxy's web page             slow     answers two seconds late

Permissions: the token printed holds what msgraph needs, and ends with the tenant.]]

local SHARE <const> = 0.1
local FOREVER <const> = 1e15 -- times
local FAULTS = {
  throttle = { kind = "status", status = 429, retry_after = 2 },
  server = { kind = "status", status = 503 },
  reset = { kind = "reset_after" },
  refuse = { kind = "reset_before" },
  portal = { kind = "not_json" },
  slow = { kind = "latency", seconds = 2 },
}
local FAULT_NAMES = "throttle, server, reset, refuse, portal, slow"

local TOKEN_SECONDS <const> = 10 * 365 * 24 * 3600 -- tenant time, which passes fast

local function number_from(low, high, integer)
  return function(text)
    local value = tonumber(text)
    if integer then value = math.tointeger(value) end
    if value and value >= low and value <= high then return value end
    return nil, ("'%s' is no %s from %d to %d"):format(text, integer and "whole number" or "number", low, high)
  end
end

local function faults_of(text)
  local rules = {}
  for name in text:gmatch("[^,]+") do
    local fault = FAULTS[name]
    if not fault then return nil, ("no fault '%s'; there are %s"):format(name, FAULT_NAMES) end
    local rule = { share = SHARE, times = FOREVER }
    for key, value in pairs(fault) do rule[key] = value end
    rules[#rules + 1] = rule
  end
  return rules
end

function M.describe(command)
  command:option "--users":argname "<n>":convert(number_from(1, 10000000, true))
    :description "How many users, default 50."
  command:option "--seed":argname "<n>":convert(number_from(0, 1 << 53, true))
    :description "Another seed, other people and devices; default 1."
  command:option "--port":argname "<n>":convert(number_from(0, 65535, true)):description "Default: a free one."
  command:option "--speed":argname "<n>":convert(number_from(0, 1000000))
    :description "Tenant seconds per second, default 60: devices check in within seconds."
  command:flag "--no-intune":description "A tenant without an Intune licence."
  command:option "--faults":argname "<list>":convert(faults_of):description "What goes wrong now and then; see below."
  command:option "--replay":argname "<file>"
    :description "No tenant: answer as in this capture (--trace), in its order."
end

-- ---- what is printed ----------------------------------------------------------------------------

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function exports(server, token)
  local lines = {
    { "MSGRAPH_ENDPOINT", server.endpoint },
    { "MSGRAPH_CA_FILE", server.ca_file },
    { "MSGRAPH_ACCESS_TOKEN", token },
  }
  for i, line in ipairs(lines) do lines[i] = ("export %s=%s\n"):format(line[1], quote(line[2])) end
  return table.concat(lines)
end

local MOST_SHOWN <const> = 6

local function describe_user(user)
  local words = {}
  if user.guest then words[#words + 1] = "guest" end
  if user.admin then words[#words + 1] = user.role end
  if user.synced then words[#words + 1] = "from on-premises" end
  if not user.accountEnabled then words[#words + 1] = "disabled" end
  return table.concat(words, ", ")
end

-- The first users, with what is special about each. They are the same in a tenant of any size, so
-- a small twin without a server tells.
local function some_users(args)
  local twin = require("msgraph.sim.tenant").new({ seed = args.seed, users = math.min(args.users or 50, MOST_SHOWN) },
    core.now)
  local count, rows = {}, {}
  for _, device in ipairs(twin:devices()) do count[device.userId] = (count[device.userId] or 0) + 1 end
  for i, user in ipairs(twin:users()) do
    local devices = count[user.id] or 0
    rows[i] = { user.userPrincipalName, ("%d device%s"):format(devices, devices == 1 and "" or "s"),
      describe_user(user) }
  end
  return rows
end

-- An action is a verb and an id; several at once are those of a user's devices: "retire 5 devices".
local function describe_actions(actions)
  local verb = actions[1]:match("^%S+"):gsub("_", " ")
  return "  " .. verb .. (#actions > 1 and (" %d devices"):format(#actions) or "")
end

local function describe_request(entry)
  local words = { ("%s %s %s"):format(entry.status or "---", entry.method, entry.path) }
  if entry.actions and entry.actions[1] then words[#words + 1] = describe_actions(entry.actions) end
  if entry.fault then words[#words + 1] = "  fault: " .. entry.fault end
  if not entry.actions and not entry.entry then words[#words + 1] = "  not in the capture" end
  return terminal.clean(table.concat(words))
end

-- ---- serving ------------------------------------------------------------------------------------

local MOST_AT_ONCE <const> = 50 -- lines in one look; more would only scroll by

-- Shows the requests from number `next_n` on; returns the number to go on with.
local function show_requests(tenant, next_n)
  for _ = 1, MOST_AT_ONCE do
    local entry = tenant:requests { n = next_n }[1]
    if not entry then return next_n end
    terminal.note(describe_request(entry))
    next_n = next_n + 1
  end
  local all = tenant:requests()
  local last = all[#all].n
  if last >= next_n then terminal.note(("... and %d more requests"):format(last - next_n + 1)) end
  return last + 1
end

-- An app that people sign in to; whoever is at the browser, an administrator at first, signs in at once.
local function login_command(tenant)
  local app = tenant:app { public = true }
  return ("msgraph login --authority %s --tenant %s --client-id %s"):format(tenant.authority, tenant.tenant_id,
    app.client_id)
end

local function banner(tenant, args)
  terminal.note(("A tenant at %s, %g times as fast as time%s. Ctrl-C ends it."):format(tenant.endpoint,
    args.speed or 60, args.no_intune and ", without Intune" or ""))
  local users = some_users(args)
  terminal.note((table_of.format(users, "  "):gsub("\n$", "")))
  terminal.note(terminal.shows_results()
    and "Paste these three lines into another terminal (shorter: msgraph sim > tenant.env), then try:"
    or "Three lines for the shell are written. In another terminal read them (. ./tenant.env), then try:")
  terminal.note("  msgraph remove-all-devices --dry-run " .. users[1][1])
  terminal.note("Or take the first two, and sign in:\n  " .. login_command(tenant))
end

-- Shows what is asked until Ctrl-C.
local function serve(server)
  local next_n = 1
  local ok, problem = pcall(function()
    while true do
      graph.sleep(0.2)
      next_n = show_requests(server, next_n)
    end
  end)
  if not ok and not batch.is_interrupt(problem) then error(problem, 0) end
  terminal.leave_line()
  terminal.note(("ended after %d request%s"):format(next_n - 1, next_n == 2 and "" or "s"))
  return "done"
end

local function run_replay(sim, args)
  if args.users or args.seed or args.speed or args.no_intune or args.faults then
    return "usage", "--replay answers as the capture does: it goes with --port only"
  end
  local server <close>, reason = sim.replay(args.replay, { port = args.port })
  if not server then return "failed", "the capture can not be replayed: " .. reason end
  terminal.note(("%s answers as in %s. Ctrl-C ends it."):format(server.endpoint, terminal.clean(args.replay)))
  terminal.out(exports(server, "replay"))
  return serve(server)
end

function M.run(args)
  local found, sim = pcall(require, "msgraph.sim")
  if not found then return "usage", "the simulator is not installed (the rock msgraph-sim, or `make install-sim`)" end
  if args.replay then return run_replay(sim, args) end
  local tenant <close>, reason = sim.start {
    users = args.users, seed = args.seed, port = args.port, speed = args.speed or 60, intune = not args.no_intune,
    start = os.time(),
  }
  if not tenant then return "failed", "the tenant could not be started: " .. reason end
  for _, rule in ipairs(args.faults or {}) do tenant:fault(rule) end
  banner(tenant, args)
  local scopes = require("msgraph.sim.spec").permissions()
  terminal.out(exports(tenant, tenant:token { expires_in = TOKEN_SECONDS, scopes = scopes }))
  return serve(tenant)
end

return M
