-- lua/msgraph/cli/live.lua
--- Shows a run while it is worked on, by this process or any other: the journal is looked at now and then. On a
--- terminal the lines are replaced in place; elsewhere a line is written when there is something to tell.
local core = require "msgraph.core"
local graph = require "msgraph"
local progress = require "msgraph.cli.progress"
local terminal = require "msgraph.cli.terminal"

local M = {}

local LOOK_EVERY <const> = 0.5 -- seconds
local LINE_EVERY <const> = 5 -- seconds, where lines can not be replaced
local RECENT <const> = 3 -- of what went wrong, are kept in sight
local SHARE <const> = 50 -- looking takes at most one part in so many of the time

---@class msgraph.cli.Live
---@field found? msgraph.journal.Progress the last that was seen
local Live = {}
Live.__index = Live

-- ---- on a terminal ------------------------------------------------------------------------------

local function draw(self, columns, rows)
  local texts = {}
  for i, line in ipairs(progress.lines(self, columns)) do
    if i == rows then break end
    texts[i] = line.colour and terminal.paint_note(line.text, line.colour) or line.text
  end
  terminal.status(table.concat(texts, "\n"))
end

-- ---- elsewhere ----------------------------------------------------------------------------------

local function log(text) terminal.note(os.date "!%Y-%m-%dT%H:%M:%SZ " .. text) end

local function write(self, trouble)
  for _, item in ipairs(trouble) do log(progress.trouble(item)) end
  local line = progress.line(self)
  local soon = self.written and core.now() - self.written_at < LINE_EVERY and not self.over
  if soon or line == self.written then return end
  log(line)
  self.written, self.written_at = line, core.now()
end

-- ---- looking ------------------------------------------------------------------------------------

--- Looks, and shows what there is to see.
---@return msgraph.journal.Progress? found
---@return msgraph.Error?
function Live:look()
  local found, err = self.journal:progress(self.run_id, self.found and self.found.seq)
  if not found then return nil, err end
  self.from = self.from or { now = found.now, settled = progress.settled(found) }
  self.found, self.pace, self.eta = found, progress.pace(self.from, found)
  for _, item in ipairs(found.trouble) do
    table.insert(self.recent, item)
    if #self.recent > RECENT then table.remove(self.recent, 1) end
  end
  local columns, rows = terminal.room()
  if columns then draw(self, columns, rows) else write(self, found.trouble) end
  return found
end

--- Looks until `over()` says so, or the journal can not be read.
---@param over fun(found: msgraph.journal.Progress): boolean
---@return true?
---@return msgraph.Error?
function Live:follow(over)
  while true do
    local began = core.now()
    local found, err = self:look()
    if not found then return nil, err end
    if over(found) then return true end
    graph.sleep(math.max(LOOK_EVERY, (core.now() - began) * SHARE))
  end
end

--- Looks a last time; what is shown stays.
function Live:finish()
  self.over = true
  self:look()
  if terminal.room() then terminal.leave_line() end
end

--- A view of a run.
---@param journal msgraph.Journal
---@param run_id string
---@return msgraph.cli.Live
function M.new(journal, run_id)
  return setmetatable({ journal = journal, run_id = run_id, recent = {} }, Live)
end

return M
