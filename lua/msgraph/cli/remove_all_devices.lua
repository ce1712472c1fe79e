-- lua/msgraph/cli/remove_all_devices.lua
--- `msgraph remove-all-devices`: the main job, for one user or a list of leavers.
local batch = require "msgraph.cli.batch"
local connection = require "msgraph.cli.connection"
local devices = require "msgraph.devices"
local dry_run = require "msgraph.cli.dry_run"
local prompt = require "msgraph.cli.prompt"
local errors = require "msgraph.cli.errors"
local recap = require "msgraph.cli.recap"
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"
local users = require "msgraph.cli.users"

local M = {
  name = "remove-all-devices",
  summary = "Take all devices of users out of Intune's management.",
  exits = { "done", "failed", "human", "auth", "usage", "internal", "stopped", "interrupted" },
}

M.DESCRIPTION = [[
Asks Intune to retire every device of each user (removeAllDevicesFromManagement). Company data and settings
leave a device when it next checks in; personal data stays. It cannot be undone: a device must enrol again.

It asks first on a terminal, and needs --yes elsewhere. Results go to stdout, everything else to stderr.]]

M.EXAMPLES = [[
Examples:
  msgraph remove-all-devices --dry-run ada@contoso.com
  msgraph remove-all-devices ada@contoso.com --wait 2h
  msgraph remove-all-devices --file leavers.csv --yes --json > result.jsonl

Permissions (Microsoft Graph, with an administrator's consent):
  DeviceManagementManagedDevices.PrivilegedOperations.All   for the action itself
  DeviceManagementManagedDevices.Read.All                   for --wait, and the devices of --dry-run
The tenant needs an active Intune licence; signed in as a user, that user needs an Intune role as well.
]] .. "\n" .. connection.HELP

local MOST_CONCURRENT <const> = 256

local function whole_number(text)
  local value = math.tointeger(tonumber(text))
  if value and value >= 1 and value <= MOST_CONCURRENT then return value end
  return nil, ("'%s' is no whole number from 1 to %d"):format(text, MOST_CONCURRENT)
end

local function duration(text)
  local ok = pcall(devices.check, "somebody", { wait = text }, 0)
  if ok then return text end
  return nil, ("'%s' is no duration such as 90s, 15m, 2h or 1d"):format(text)
end

function M.describe(command)
  command:argument "users":argname "<user>":args "*":description "Object id or principal name."
  command:option "--file":argname "<file>"
    :description "A CSV with a column userPrincipalName, id or user, or a user a line; - is stdin."
  command:option "--wait":argname "<time>":convert(duration)
    :description "Watch devices until they are gone or have failed, at most so long: 90s, 15m, 2h."
  command:option "--concurrency":argname "<n>":convert(whole_number):default "16"
    :description "How many users at a time."
  command:flag "--dry-run":description "Change nothing: show each request, and the devices it would hit."
  command:flag "--json":description "A JSON object a line for each user, and one that sums up."
  command:flag "--yes":description "Do not ask."
  connection.describe(command)
end

-- ---- while it runs ------------------------------------------------------------------------------

local PROGRESS_EVERY <const> = 5 -- seconds, where lines cannot be replaced

local function progress(run)
  if run.settled == #run.items then return end
  local text = ("%d of %d users, %d under way, %d failed"):format(run.settled, #run.items, run.under_way, run.failed)
  if terminal.status(text) or os.time() - run.last_progress < PROGRESS_EVERY then return end
  run.last_progress = os.time()
  terminal.note(text)
end

-- A reader that has gone, or a full disk: begin no more, and tell so at the end.
local function print_result(run, text)
  if run.output_lost then return end
  local ok, lost = terminal.try_out(text)
  if ok then return end
  run.output_lost, run.batch.stopped = lost, true
end

local function report(run, item)
  print_result(run, run.args.json and recap.json_line(item) or recap.lines(item, run.width))
end

local function show_device(item, device)
  if device.outcome == "pending" then return end
  terminal.note(terminal.clean(("%s: %s (%s) %s%s"):format(item.user, device.name or device.id,
    device.platform or "?", device.outcome, device.detail and ", " .. device.detail or "")))
end

-- From the first device on, the action is accepted; what is seen is kept, for Ctrl-C may end the watch.
local function watch(run, item, device)
  local watched = item.watched or { order = {}, by_id = {} }
  if not watched.by_id[device.id] then table.insert(watched.order, device.id) end
  watched.by_id[device.id] = device
  item.state, item.watched = "watching", watched
  show_device(item, device)
  progress(run)
end

local function send(run, item)
  item.state, run.under_way = "sending", run.under_way + 1
  progress(run)
  local result, err = run.client:remove_all_devices(item.user, {
    wait = run.args.wait,
    on_change = run.args.wait and function(device) watch(run, item, device) end or nil,
  })
  item.state, item.err = recap.judge(result, err), err
  item.result = type(result) == "table" and result or nil
  run.under_way, run.settled = run.under_way - 1, run.settled + 1
  if item.state == "failed" then run.failed = run.failed + 1 end
  report(run, item)
  if err and errors.stops_all(err) then run.refused, run.batch.stopped = true, true end
  progress(run)
end

-- ---- the end ------------------------------------------------------------------------------------

local function result_of(watched)
  local result = { devices = {}, gone = 0, failed = 0, pending = 0 }
  for i, id in ipairs(watched.order) do
    local device = watched.by_id[id]
    result.devices[i] = device
    result[device.outcome] = result[device.outcome] + 1
  end
  return result
end

-- Every user who has no answer yet gets a state that is true.
local function settle_rest(run)
  for _, item in ipairs(run.items) do
    if item.state == "watching" then
      item.result = result_of(item.watched)
      item.state = recap.judge(item.result)
      report(run, item)
    elseif item.state == "sending" then
      item.state = "unknown"
      report(run, item)
    elseif not item.state then
      item.state = "not_sent"
      if run.args.json then report(run, item) end
    end
  end
end

local function finish(run)
  settle_rest(run)
  local outcome = recap.outcome(run)
  if run.args.json then print_result(run, recap.json_summary(run.items, outcome)) end
  local text = recap.text(run)
  if run.args.json or run.output_lost then
    terminal.note((text:gsub("\n$", "")))
  else
    print_result(run, text)
  end
  if run.output_lost then
    local lost = run.output_lost
    return "stopped", not lost.closed and "the results could not be written: " .. lost.reason or nil
  end
  return outcome
end

local function under_way(run)
  local names = {}
  for _, item in ipairs(run.items) do
    if item.state == "sending" then names[#names + 1] = terminal.clean(item.user) end
  end
  return names
end

local function on_interrupt(run)
  run.interrupted = true
  terminal.leave_line()
  local names = under_way(run)
  if #names == 0 then return terminal.note("interrupted") end
  terminal.note(("interrupted: waiting a moment for what is under way (%s); Ctrl-C again leaves it unknown")
    :format(table.concat(names, ", ")))
end

local function apply(run)
  run.batch = batch.new(run.items, run.args.concurrency, function(item) send(run, item) end)
  local ok, problem = pcall(batch.run, run.batch, function() return #under_way(run) > 0 end,
    function() on_interrupt(run) end)
  if ok then return finish(run) end
  run.output_lost = run.output_lost or { reason = "an internal error came first", closed = true }
  finish(run) -- on stderr: what was done must be known, whatever went wrong here
  error(problem, 0)
end

local FIRST_NAMES <const> = 5

local function ask(run)
  local n, names = #run.items, {}
  for i = 1, math.min(n, FIRST_NAMES) do names[i] = terminal.clean(run.items[i].user) end
  local more = n > FIRST_NAMES and (" and %d more"):format(n - FIRST_NAMES) or ""
  local what = ("retire all devices of %d user%s at %s"):format(n, n == 1 and "" or "s", run.client.endpoint)
  return prompt.agreed(run.args.yes, what, ("%s\n  %s%s\nGo ahead?"):format(what:gsub("^r", "R"),
    table.concat(names, ", "), more))
end

local function widest(items)
  local width = 0
  for _, item in ipairs(items) do width = math.max(width, table_of.width(item.user)) end
  return math.min(width, 48)
end

function M.run(args)
  local items, reason, duplicates = users.gather(args.users, args.file)
  if not items then return "usage", reason end
  for _, line in ipairs(duplicates) do terminal.note("left out: " .. terminal.clean(line)) end
  local client <close>, outcome, message = connection.open(args)
  if not client then return outcome, message end
  local run = { args = args, items = items, client = client, connection = connection.words(args),
    width = widest(items), last_progress = os.time(), under_way = 0, settled = 0, failed = 0 }
  if args.dry_run then return dry_run.run(run) end
  local go, refusal = ask(run)
  if refusal then return "usage", refusal end
  if not go then return "stopped", "nothing was sent" end
  return apply(run)
end

return M
