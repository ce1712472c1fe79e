-- lua/msgraph/cli/progress.lua
--- How far a run is, in words: lines for a terminal, one for a log. Pure: what the journal tells goes in
--- (msgraph.journal.Progress), text comes out.
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {}

-- An estimate before this says more about the first requests than about the run.
local ETA_AFTER <const> = 15000 -- ms
local ETA_SHARE <const> = 0.05

local function plural(n, one, many) return ("%d %s"):format(n, n == 1 and one or many) end

local function duration(ms)
  local seconds = math.ceil(ms / 1000)
  if seconds < 100 then return ("%d s"):format(seconds) end
  if seconds < 100 * 60 then return ("%d min"):format((seconds + 30) // 60) end
  return ("%.1f h"):format(seconds / 3600)
end

-- ---- how fast -----------------------------------------------------------------------------------

local function is_over(stage) return stage.done + stage.human + stage.failed end

--- Operations that are settled, of how many.
---@param found msgraph.journal.Progress
---@return integer settled
---@return integer total
function M.settled(found)
  local settled, total = 0, 0
  for _, stage in ipairs(found.stages) do settled, total = settled + is_over(stage), total + stage.total end
  return settled, total
end

-- What is left to be done without a person, and without a wait that a stage is to begin with.
local function left(found)
  local open = 0
  for _, stage in ipairs(found.stages) do
    if stage.wait > 0 and open > 0 then break end
    open = open + stage.total - is_over(stage) - stage.held
  end
  return open
end

--- Throughput since a moment, and the time that what is left takes at that: nothing before there is enough to tell.
---@param from { now: integer, settled: integer } ms, and what was settled then
---@param found msgraph.journal.Progress
---@return number? per_second
---@return integer? eta ms
function M.pace(from, found)
  local settled, total = M.settled(found)
  local took, done = found.now - from.now, settled - from.settled
  if took < 1000 or done <= 0 then return nil end
  local eta = took >= ETA_AFTER and done >= ETA_SHARE * total and math.ceil(left(found) * took / done) or nil
  return done * 1000 / took, eta
end

-- ---- words --------------------------------------------------------------------------------------

local PARTS = { { "flying", "%d in flight" }, { "retrying", "%d to be sent again" }, { "unknown", "%d to be read" },
  { "failed", "%d failed" }, { "human", "%d left to a person" },
  { "held", "%d wait for a person" } }

local function parts_of(counts)
  local parts = {}
  for _, part in ipairs(PARTS) do
    local n = counts[part[1]]
    if n > 0 then parts[#parts + 1] = part[2]:format(n) end
  end
  return table.concat(parts, ", ")
end

local function colour_of(stage)
  if stage.failed > 0 then return "red" end
  if stage.human > 0 then return "yellow" end
  return stage.done == stage.total and "green" or nil
end

local STATES = { open = nil, draining = "stopping", halted = "halted", done = "ended" }

-- What is said of the run as a whole.
local function head(found)
  local run, parts = found.run, { "run " .. found.run.run_id:sub(1, 8) }
  parts[#parts + 1] = STATES[run.state]
  if run.last_wave > 0 then parts[#parts + 1] = ("wave %d of %d"):format(run.current_wave + 1, run.last_wave + 1) end
  parts[#parts + 1] = ("%d of %s"):format(found.settled_people, plural(found.people, "person", "people"))
  if found.waiting_people > 0 then
    parts[#parts] = parts[#parts] .. (" (%d wait for a person)"):format(found.waiting_people)
  end
  return table.concat(parts, ", ")
end

local function waits(found)
  local wait = found.retry_at and found.retry_at - found.now or 0
  if wait <= 0 then return found.throttled and "throttled by Graph" or nil end
  return (found.throttled and "throttled by Graph, goes on in %s" or "tries again in %s"):format(duration(wait))
end

-- Nothing but what has to be surely over before it is read: a resume rests for that.
local function only_reads(found)
  local flying, unknown = 0, 0
  for _, stage in ipairs(found.stages) do
    flying, unknown = flying + stage.flying + stage.retrying, unknown + stage.unknown
  end
  return flying == 0 and unknown > 0
end

local RESTS <const> = "rests %s until what was under way is surely over, then looks at it"

-- How fast, what holds it up, how long still.
local function tail(state)
  local found, parts = state.found, {}
  if found.run.state ~= "open" then return "" end
  if found.at_work == 0 then return "nobody is at work on it: msgraph resume" end
  if state.stopping then return "stopping: waits for what is under way" end
  if only_reads(found) then return RESTS:format(found.due_at and duration(found.due_at - found.now) or "a moment") end
  parts[#parts + 1] = state.pace and ("%.1f a second"):format(state.pace)
  parts[#parts + 1] = waits(found)
  parts[#parts + 1] = state.eta and state.eta > 0 and ("about %s left"):format(duration(state.eta)) or nil
  return table.concat(parts, ", ")
end

--- What went wrong, as a line.
---@param item { label: string, what: string, state: string, reason: string? }
---@return string
function M.trouble(item)
  return ("%s  %s: %s%s"):format(item.state:gsub("_", " "), terminal.clean(item.label), terminal.clean(item.what),
    item.reason and ": " .. terminal.clean(item.reason) or "")
end

-- ---- lines --------------------------------------------------------------------------------------

local function cut(text, width)
  if table_of.width(text) <= width then return text end
  local last = utf8.offset(text, width) or width
  return text:sub(1, last - 1) .. "…"
end

---@class msgraph.cli.Line
---@field text string
---@field colour? "red"|"green"|"yellow"|"bold"

--- A run as lines that fit a width.
---@param state { found: msgraph.journal.Progress, pace: number?, eta: integer?, stopping: boolean?, recent: table[] }
---   recent: what went wrong, the latest last
---@param width integer columns
---@return msgraph.cli.Line[]
function M.lines(state, width)
  local found, list, rows = state.found, {}, {}
  local function add(text, colour)
    if text ~= "" then list[#list + 1] = { text = cut(text, width), colour = colour } end
  end
  for i, stage in ipairs(found.stages) do
    rows[i] = { terminal.clean(stage.name), ("%d/%d"):format(stage.done, stage.total), parts_of(stage) }
  end
  add(head(found), "bold")
  local n = 0
  for row in table_of.format(rows, "  "):gmatch "[^\n]+" do
    n = n + 1
    add(row, colour_of(found.stages[n]))
  end
  add(tail(state))
  for _, item in ipairs(state.recent) do add("  " .. M.trouble(item), "red") end
  return list
end

--- A run as one line, for a log.
---@param state table as for lines
---@return string
function M.line(state)
  local found, stages, sums = state.found, {}, {}
  for i, stage in ipairs(found.stages) do
    stages[i] = ("%s %d/%d"):format(terminal.clean(stage.name), stage.done, stage.total)
    for _, part in ipairs(PARTS) do sums[part[1]] = (sums[part[1]] or 0) + stage[part[1]] end
  end
  local line = table.concat(stages, ", ")
  for _, more in ipairs { stages[1] and parts_of(sums) or "", tail(state) } do
    if more ~= "" then line = line .. "; " .. more end
  end
  return line
end

return M
