-- lua/msgraph/cli/recap.lua
--- What became of each user, told honestly: as lines, as JSON, as a recap with the next command.
--
-- Every user ends in exactly one state; what nobody knows is called unknown, never failed or done.
local errors = require "msgraph.cli.errors"
local json = require "msgraph.json"
local pretty = require "msgraph.cli.pretty"
local shell = require "msgraph.cli.shell"
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {}

---@class msgraph.cli.Item: msgraph.cli.User
---@field state? "sending"|"watching"|"queued"|"gone"|"unfinished"|"failed"|"unknown"|"not_sent"
---@field result? msgraph.RemoveResult  with --wait
---@field watched? { order: string[], by_id: table<string, msgraph.Device> }  while they are watched
---@field err? msgraph.Error

-- What a state counts as, and its colour.
local STATES = {
  queued = { "done", "green" }, gone = { "done", "green" }, unfinished = { "unfinished", "yellow" },
  failed = { "failed", "red" }, unknown = { "unknown", "yellow" }, not_sent = { "not_sent", "yellow" },
}
local COUNTS = { "done", "unfinished", "failed", "unknown", "not_sent" }

--- The state that an answer of remove_all_devices means.
---@param result true|msgraph.RemoveResult?
---@param err? msgraph.Error
---@return string
function M.judge(result, err)
  if result == true then return "queued" end
  if result then return result.failed + result.pending == 0 and "gone" or "unfinished" end
  return errors.is_unknown(err) and "unknown" or "failed"
end

--- How many users ended how.
---@param items msgraph.cli.Item[]
---@return table<string, integer>
function M.count(items)
  local counts = {}
  for _, name in ipairs(COUNTS) do counts[name] = 0 end
  for _, item in ipairs(items) do
    local state = STATES[item.state]
    if state then counts[state[1]] = counts[state[1]] + 1 end
  end
  return counts
end

-- ---- a user's lines -----------------------------------------------------------------------------

local function plural(n, word)
  return ("%d %s%s"):format(n, word, n == 1 and "" or "s")
end

local function describe_result(result)
  if #result.devices == 0 then return "had no devices" end
  local parts = {}
  for _, outcome in ipairs { "gone", "failed", "pending" } do
    if result[outcome] > 0 then parts[#parts + 1] = ("%d %s"):format(result[outcome], outcome) end
  end
  return ("%s: %s"):format(plural(#result.devices, "device"), table.concat(parts, ", "))
end

-- Devices a person must look at.
local function open_devices(result)
  local rows = {}
  for _, device in ipairs(result.devices) do
    if device.outcome ~= "gone" then
      rows[#rows + 1] = { device.outcome, terminal.clean(device.name or device.id),
        terminal.clean(device.platform or ""), terminal.clean(device.detail or device.state or "") }
    end
  end
  return table_of.format(rows, "    ")
end

local function detail_of(item)
  if item.result then
    local early = item.result.error and "; watching ended early: " .. errors.brief(item.result.error) or ""
    return describe_result(item.result) .. early
  end
  if item.err then return errors.brief(item.err) end
  if item.state == "queued" then return "accepted" end
  return "the answer was not waited for"
end

--- The lines of a user that is done with.
---@param item msgraph.cli.Item
---@param width integer of the column with the user
---@return string
function M.lines(item, width)
  local word = terminal.paint(table_of.pad(item.state, 10), STATES[item.state][2])
  local line = ("%s  %s  %s\n"):format(table_of.pad(terminal.clean(item.user), width), word, detail_of(item))
  return terminal.scrub(line) .. (item.result and open_devices(item.result) or "")
end

-- ---- JSON ---------------------------------------------------------------------------------------

local ERROR_FIELDS = { "kind", "code", "reason", "message", "status", "request_id", "client_request_id", "retry_after",
  "retry_at", "attempts", "permissions", "hint" }

local function plain_error(err)
  if not err then return nil end
  local out = {}
  for _, name in ipairs(ERROR_FIELDS) do out[name] = err[name] end
  out.message, out.hint = terminal.scrub(out.message or ""), out.hint and terminal.scrub(out.hint)
  return out
end

--- A user as a line of JSON.
---@param item msgraph.cli.Item
---@return string
function M.json_line(item)
  local result = item.result or {}
  return pretty.line(json.encode {
    type = "user", user = item.user, state = item.state, error = plain_error(item.err or result.error),
    devices = result.devices and json.array(result.devices),
    gone = result.gone, failed = result.failed, pending = result.pending,
  }) .. "\n"
end

--- The closing line of JSON.
---@param items msgraph.cli.Item[]
---@param outcome string
---@return string
function M.json_summary(items, outcome)
  local summary = M.count(items)
  summary.type, summary.users, summary.outcome = "summary", #items, outcome
  return pretty.line(json.encode(summary)) .. "\n"
end

-- ---- the recap ----------------------------------------------------------------------------------

local MOST_INLINE <const> = 5 -- users named in a command; more go through a file

-- Writes the users to a file only we can read: a list of thousands is lost on a screen.
local function save(users)
  local ok, name = pcall(os.tmpname)
  local file = ok and io.open(name, "w")
  if not file then return nil end
  local written = file:write(table.concat(users, "\n"), "\n")
  return file:close() and written and name
end

local function append(words, more)
  return table.move(more, 1, #more, #words + 1, words)
end

-- A command for some of the users: with the list they came from where that is all of them.
local function command_for(some, run, flags)
  local words = append({ "remove-all-devices" }, flags)
  local users = {}
  for i, item in ipairs(some) do users[i] = item.user end
  if #users <= MOST_INLINE then return shell.command(append(words, users)) end
  local given = run.args.file
  if #some == #run.items and given and given ~= "-" then
    return shell.command(append(append(words, run.args.users), { "--file", given }))
  end
  local saved = save(users)
  return shell.command(append(words, saved and { "--file", saved } or users))
end

local function of_state(items, state)
  local some = {}
  for _, item in ipairs(items) do
    if item.state == state then some[#some + 1] = item end
  end
  return some
end

-- Flags that say the same again.
local function same_flags(run)
  local flags, args = append({}, run.connection), run.args
  if args.wait then append(flags, { "--wait", args.wait }) end
  if args.concurrency ~= 16 then append(flags, { "--concurrency", tostring(args.concurrency) }) end
  if args.json then append(flags, { "--json" }) end
  if args.yes then append(flags, { "--yes" }) end
  return flags
end

local function dry_flags(run)
  return { "--dry-run", table.unpack(run.connection) }
end

-- What to do about some users: why, and the command.
local function advice(lines, some, why, run, flags)
  if #some == 0 then return end
  lines[#lines + 1] = ("%s:\n  %s"):format(why, command_for(some, run, flags))
end

-- What to do about what went wrong, once for each code; of the unknown the recap itself tells.
local function hints(lines, items)
  local seen = {}
  for _, item in ipairs(items) do
    local err = item.err or item.result and item.result.error
    if err and err.hint and err.kind ~= "ambiguous" and err.kind ~= "server" and not seen[err.code] then
      seen[err.code] = true
      lines[#lines + 1] = ("%s: %s"):format(err.code, err.hint)
    end
  end
end

--- The recap: how many ended how, and what to type next.
---@param run table { items, args, connection: string[] }
---@return string
function M.text(run)
  local counts, parts = M.count(run.items), {}
  for _, name in ipairs(COUNTS) do
    if name ~= "unfinished" or run.args.wait then
      parts[#parts + 1] = ("%d %s"):format(counts[name], (name:gsub("_", " ")))
    end
  end
  local lines = { ("%s: %s"):format(plural(#run.items, "user"), table.concat(parts, ", ")) }
  hints(lines, run.items)
  local unknown, again = of_state(run.items, "unknown"), of_state(run.items, "failed")
  local left, unfinished = of_state(run.items, "not_sent"), of_state(run.items, "unfinished")
  advice(lines, unknown, "Unknown, it may have been done: look at the devices before repeating it "
    .. "(retirePending and retireIssued are on their way)", run, dry_flags(run))
  advice(lines, unfinished, "Accepted, but not every device has left: see later what is still there", run,
    dry_flags(run))
  advice(lines, again, "Failed, nothing was done: once the cause is mended, try them again", run, same_flags(run))
  advice(lines, left, "Not sent: go on with them", run, same_flags(run))
  if #lines == 1 and not run.args.wait and run.args.file ~= "-" then
    advice(lines, of_state(run.items, "queued"), "Queued: each device retires when it next checks in. See what is "
      .. "still there", run, dry_flags(run))
  end
  return terminal.scrub(table.concat(lines, "\n")) .. "\n"
end

--- How the command ends.
---@param run table { items, interrupted?, output_lost?, refused? }
---@return string outcome
function M.outcome(run)
  local counts = M.count(run.items)
  if run.interrupted then return "interrupted" end
  if run.output_lost then return "stopped" end
  if run.refused then return "auth" end
  if counts.unknown + counts.unfinished > 0 then return "human" end
  if counts.failed == 0 then return "done" end
  for _, item in ipairs(run.items) do
    if item.state ~= "failed" or errors.outcome(item.err) ~= "auth" then return "failed" end
  end
  return "auth"
end

return M
