-- lua/msgraph/cli/terminal.lua
--- Where text goes: results to stdout, everything else to stderr, whole lines only.
--
-- Colours and the status line are for terminals alone. What goes to stderr is cleaned of tokens,
-- and foreign text of control characters: a device's name is written by its user.
local core = require "msgraph.core"

local M = {}

--- Raised by `out` when stdout takes no more: `reason`, and `closed` when its reader has gone.
---@class msgraph.cli.OutputLost
---@field reason string
---@field closed boolean
M.OutputLost = { __name = "msgraph.cli.OutputLost" }

local EPIPE <const> = 32

--- Whether to colour: NO_COLOR forbids, CLICOLOR_FORCE asks for it, else a terminal that is not dumb.
---@param getenv fun(name: string): string?
---@param terminal boolean
---@return boolean
function M.wants_colour(getenv, terminal)
  local never, force = getenv "NO_COLOR", getenv "CLICOLOR_FORCE"
  if never and never ~= "" then return false end
  if force and force ~= "" and force ~= "0" then return true end
  return terminal and getenv "TERM" ~= "dumb"
end

local STDIN <const>, STDOUT <const>, STDERR <const> = 0, 1, 2

local function is_terminal(fd) return core.terminal(fd) ~= nil end

--- Whether a person sits there to be asked.
---@return boolean
function M.can_ask()
  return is_terminal(STDIN) and is_terminal(STDERR)
end

--- Whether results are read from a screen.
---@return boolean
function M.shows_results()
  return is_terminal(STDOUT)
end

local COLOURS = { red = "31", green = "32", yellow = "33", bold = "1" }

local coloured = {} -- which of stdout and stderr are

local function paint(text, colour, fd)
  if coloured[fd] == nil then coloured[fd] = M.wants_colour(os.getenv, is_terminal(fd)) end
  return coloured[fd] and ("\27[%sm%s\27[0m"):format(COLOURS[colour], text) or text
end

--- Text in a colour, where stdout wants one.
---@param text string
---@param colour "red"|"green"|"yellow"|"bold"
---@return string
function M.paint(text, colour) return paint(text, colour, STDOUT) end

--- The same for stderr.
---@param text string
---@param colour "red"|"green"|"yellow"|"bold"
---@return string
function M.paint_note(text, colour) return paint(text, colour, STDERR) end

--- Foreign text fit for a line: no control characters, none of the 8-bit ones either.
---@param text any
---@return string
function M.clean(text)
  return (tostring(text):gsub("%c", "?"):gsub("\xC2[\x80-\x9F]", "?"))
end

local SECRETS = { "MSGRAPH_ACCESS_TOKEN", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD" }

--- Text without what looks like a token, or is a secret of the environment.
---@param text string
---@return string
function M.scrub(text)
  for _, name in ipairs(SECRETS) do
    local secret = (os.getenv(name) or ""):match("^%s*(.-)%s*$")
    while secret ~= "" do
      local first, last = text:find(secret, 1, true)
      if not first then break end
      text = text:sub(1, first - 1) .. "***" .. text:sub(last + 1)
    end
  end
  return (text:gsub("eyJ[%w_%-]+%.?[%w_%-]*%.?[%w_%-]*", "***"))
end

local shown = nil -- how many lines of status stand on the screen, the cursor at the end of the last

-- Back to the beginning of what is shown, and nothing from there on.
local function cleared()
  local up = shown and shown > 1 and ("\27[%dA"):format(shown - 1) or ""
  return shown and "\r" .. up .. "\27[J" or ""
end

local function clear_status()
  if shown then io.stderr:write(cleared()) end
  shown = nil
end

-- One write for the whole text, so that an interrupt leaves no half line.
local function write(text)
  io.stdout:setvbuf("full")
  local file, reason, errno = io.stdout:write(text)
  if file then file, reason, errno = io.stdout:flush() end
  if file then return true end
  return nil, setmetatable({ reason = reason, closed = errno == EPIPE }, M.OutputLost)
end

--- Writes results to stdout.
---@param text string with its line end
---@return boolean? ok
---@return msgraph.cli.OutputLost?
function M.try_out(text)
  clear_status()
  return write(text)
end

--- Writes results to stdout; raises OutputLost.
---@param text string with its line end
function M.out(text)
  local ok, lost = M.try_out(text)
  if not ok then error(lost, 0) end
end

--- Writes a line to stderr.
---@param line string without its line end
function M.note(line)
  clear_status()
  io.stderr:write(M.scrub(line) .. "\n")
end

--- Leaves the line on which a terminal has echoed ^C, and a status as it stands.
function M.leave_line()
  if is_terminal(STDERR) then io.stderr:write("\n") end
  shown = nil
end

--- How much room a status has.
---@return integer? columns nil: lines can not be replaced there
---@return integer? rows
function M.room()
  local columns, rows = core.terminal(STDERR)
  if not columns or os.getenv "TERM" == "dumb" then return nil end
  return columns > 0 and columns or 80, rows > 0 and rows or 24
end

local UNWRAPPED <const> = "\27[?7l%s\27[?7h" -- where a character is wider than it counts, the line is cut

--- Shows what is going on, in place, on a terminal that can; the next line written replaces it.
---@param text string a line, or several
---@return boolean shown
function M.status(text)
  if not M.room() then return false end
  io.stderr:write(cleared() .. UNWRAPPED:format(M.scrub(text)))
  shown = 1 + select(2, text:gsub("\n", ""))
  return true
end

return M
