-- lua/msgraph/cli/terminal.lua
--- Where text goes: results to stdout, everything else to stderr, whole lines only.
--
-- Colours and the status line are for terminals alone. What goes to stderr is cleaned of tokens,
-- and foreign text of control characters: a device's name is written by its user.
local M = {}

--- Raised by `out` when stdout takes no more: `reason`, and `closed` when its reader has gone.
---@class msgraph.cli.OutputLost
---@field reason string
---@field closed boolean
M.OutputLost = { __name = "msgraph.cli.OutputLost" }

local EPIPE <const> = 32
local ENXIO <const> = 6
local CLEAR <const> = "\r\27[K"

local function read_all(path)
  local file = io.open(path, "r")
  local text = file and file:read("a")
  if file then file:close() end
  return text
end

-- Lua cannot ask isatty(3), and the child process that could would inherit the token. On Linux a
-- terminal is what is open both ways, cannot seek and is no socket; when in doubt: no.
local function is_terminal(fd, file)
  local info = read_all("/proc/self/fdinfo/" .. fd)
  local flags = info and tonumber(info:match("flags:%s*(%d+)"), 8)
  if not flags or flags & 3 ~= 2 or file:seek() then return false end
  local probe, _, errno = io.open("/proc/self/fd/" .. fd, "r")
  if probe then probe:close() end
  return errno ~= ENXIO
end

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

local known = {} -- what was found out about stdin, stdout, stderr

local function look(name, fd)
  if known[name] == nil then known[name] = is_terminal(fd, io[name]) end
  return known[name]
end

--- Whether a person sits there to be asked.
---@return boolean
function M.can_ask()
  return look("stdin", 0) and look("stderr", 2)
end

--- Whether results are read from a screen.
---@return boolean
function M.shows_results()
  return look("stdout", 1)
end

local COLOURS = { red = "31", green = "32", yellow = "33", bold = "1" }

--- Text in a colour, where stdout wants one.
---@param text string
---@param colour "red"|"green"|"yellow"|"bold"
---@return string
function M.paint(text, colour)
  if known.colour == nil then known.colour = M.wants_colour(os.getenv, M.shows_results()) end
  return known.colour and ("\27[%sm%s\27[0m"):format(COLOURS[colour], text) or text
end

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

local status_shown = false

local function clear_status()
  if not status_shown then return end
  status_shown = false
  io.stderr:write(CLEAR)
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

--- Leaves the line on which a terminal has echoed ^C.
function M.leave_line()
  if look("stderr", 2) then io.stderr:write("\n") end
  status_shown = false
end

--- Shows what is going on, in place, on a terminal that can; the next line written replaces it.
---@param text string short
---@return boolean shown
function M.status(text)
  if not look("stderr", 2) or os.getenv "TERM" == "dumb" then return false end
  io.stderr:write(CLEAR .. M.scrub(text))
  status_shown = true
  return true
end

return M
