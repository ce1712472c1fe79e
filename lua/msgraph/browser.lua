-- lua/msgraph/browser.lua
--- Opens a URL in the user's browser, where there is one.
--
-- What the user named in BROWSER comes first, then the opener of Windows where this is its Linux, then the desktop's.
-- The URL is an argument of its own and never part of a command line.
local core = require "msgraph.core"
local loop = require "msgraph.loop"

local M = {}

-- Leaves the browser to itself: it has to outlive us, and what xdg-open runs may stay in the foreground.
local LAUNCH <const> = [["$@" </dev/null >/dev/null 2>&1 &]]
local LAUNCH_TURNS <const>, TURN <const> = 500, 0.01 -- seconds; a shell that takes longer is stuck

local function is_set(getenv, name)
  local value = getenv(name)
  return value ~= nil and value ~= ""
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- The program's full path, nil when it is nowhere.
local function find(name, getenv)
  if name:find("/", 1, true) then return exists(name) and name or nil end
  for folder in (getenv "PATH" or ""):gmatch("[^:]+") do
    local path = folder .. "/" .. name
    if exists(path) then return path end
  end
end

-- The command lines that may do, best first. BROWSER: several apart by colons, each a program and its arguments.
local function candidates(getenv)
  local lines = {}
  for line in (getenv "BROWSER" or ""):gmatch("[^:]+") do lines[#lines + 1] = line end
  if is_set(getenv, "WSL_DISTRO_NAME") then lines[#lines + 1] = "wslview" end
  if is_set(getenv, "DISPLAY") or is_set(getenv, "WAYLAND_DISPLAY") then lines[#lines + 1] = "xdg-open" end
  return lines
end

-- The words of the first that is installed; nil: no browser here.
local function choose(getenv)
  for _, line in ipairs(candidates(getenv)) do
    local words = {}
    for word in line:gmatch("%S+") do words[#words + 1] = word end
    local path = words[1] and find(words[1], getenv)
    if path then
      words[1] = path
      return words
    end
  end
end

-- Puts the URL where "%s" is, or at the end.
local function add_url(words, url)
  local placed = false
  for i = 2, #words do
    words[i] = words[i]:gsub("%%s", function()
      placed = true
      return url
    end)
  end
  if not placed then words[#words + 1] = url end
end

--- Tells whether there is a browser to open.
---@param getenv? fun(name: string): string? default os.getenv
---@return boolean
function M.available(getenv)
  return choose(getenv or os.getenv) ~= nil
end

--- Opens a URL; waits as `graph.sleep` does, for a moment. Whether a page then appears nobody can tell: show the
--- URL, too.
---@param url string "https://..." or "http://..."
---@param getenv? fun(name: string): string? default os.getenv
---@return boolean started false: there is no browser, or it could not be started
function M.open(url, getenv)
  if type(url) ~= "string" or not url:find("^https?://") then
    error("bad argument #1 to 'open' (a URL expected)", 2)
  end
  local words = choose(getenv or os.getenv)
  if not words then return false end
  add_url(words, url)
  local child <close> = core.child { "sh", "-c", LAUNCH, "sh", table.unpack(words) }
  for _ = 1, child and LAUNCH_TURNS or 0 do
    local state, status = child:step()
    if state ~= "running" then return state == "ended" and status == 0 end
    loop.sleep(TURN)
  end
  return false
end

return M
