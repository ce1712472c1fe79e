-- lua/msgraph/auth/profile.lua
--- Named profiles: who signed in with `msgraph login`, one file each (docs/store.md), and where the file's key is.
--
-- The folder is MSGRAPH_STORE, else XDG_STATE_HOME/msgraph, else ~/.local/state/msgraph. The key comes from what is
-- set in the environment, else from the desktop's keeper of secrets, else from the kernel. It never becomes a string
-- of ours: it goes from one program's output to another's input, and to the core.
local core = require "msgraph.core"
local program = require "msgraph.auth.program"

local M = {}

local DEFAULT <const> = "default"
local LONGEST <const> = 64
local ENDING <const> = ".sign-in" -- the store keeps a lock and at times a new file beside it, under longer names
local KEY_TIME <const> = 60 -- seconds: the desktop may ask its user to open the keeper

local LOOKUP <const> = { "secret-tool", "lookup", "application", "msgraph" }
local MAKE <const> = "head -c 32 /dev/urandom | base64 | secret-tool store --label=msgraph application msgraph"

---@class msgraph.auth.Profile
---@field name string
---@field path string
---@field key "environment"|"descriptor"|"none"|"secret_service"|"keyring"
---@field store msgraph.core.Store

--- Where a key is, in words.
M.KEYS = {
  environment = "the variable MSGRAPH_STORE_KEY", descriptor = "the descriptor MSGRAPH_STORE_KEY_FD",
  none = "none: plaintext", secret_service = "secret-tool (the desktop's secrets)", keyring = "the kernel's keyring",
}

local function failed(message, code)
  return { kind = "auth", code = code or "store", phase = "not_sent", message = message }
end

-- An unset variable and an empty one are the same.
local function read(getenv, name)
  local value = getenv(name)
  return value ~= "" and value or nil
end

-- ---- names and places -----------------------------------------------------------------------------

--- Which profile is meant.
---@param name? string default MSGRAPH_PROFILE, "default"
---@param getenv? fun(name: string): string? default os.getenv
---@return string? name
---@return msgraph.core.Failure?
function M.name(name, getenv)
  name = name or read(getenv or os.getenv, "MSGRAPH_PROFILE") or DEFAULT
  if #name <= LONGEST and name:find "^%w[%w._-]*$" then return name end
  return nil, { kind = "invalid", code = "bad_option", phase = "not_sent", message = ("no name of a profile: '%s' "
    .. "(letters, digits, '.', '_', '-'; a letter or digit first; at most %d)"):format(name:sub(1, LONGEST), LONGEST) }
end

--- The folder with all profiles.
---@param getenv? fun(name: string): string? default os.getenv
---@return string? folder
---@return msgraph.core.Failure?
function M.folder(getenv)
  getenv = getenv or os.getenv
  local state, home = read(getenv, "XDG_STATE_HOME"), read(getenv, "HOME")
  if state and state:sub(1, 1) ~= "/" then state = nil end -- as the XDG specification wants it
  local folder = read(getenv, "MSGRAPH_STORE") or state and state .. "/msgraph"
    or home and home .. "/.local/state/msgraph"
  if folder then return (folder:gsub("(.)/+$", "%1")) end
  return nil, failed "there is no folder for sign-ins: set HOME or MSGRAPH_STORE"
end

local function path_of(folder, name)
  return folder .. "/" .. name .. ENDING
end

-- Its first line; nil where there is no file, "" where it can not be read.
local function header(path)
  local file, _, errno = io.open(path, "rb")
  if not file then return errno ~= 2 and "" or nil end -- ENOENT
  local line = file:read "l"
  file:close()
  return line or ""
end

--- Whether there is a file: somebody signed in, or out.
---@param name string
---@return boolean
function M.exists(name)
  local folder = M.folder()
  return folder ~= nil and header(path_of(folder, name)) ~= nil
end

--- All profiles there are files of, by name.
---@return string[]? names
---@return msgraph.core.Failure?
function M.list()
  local folder, failure = M.folder()
  if not folder then return nil, failure end
  local child <close>, problem = core.child { "ls", "-A", "--", folder }
  if not child then return nil, problem end
  local _, slow = program.wait(child, KEY_TIME)
  if slow then return nil, slow end
  local names = {}
  for line in child:output():gmatch "[^\n]+" do -- nothing where there is no folder yet
    local name = line:match "^(%w[%w._-]*)%.sign%-in$"
    if name then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- ---- keys -----------------------------------------------------------------------------------------

local function is_installed(name, getenv)
  for folder in (getenv "PATH" or ""):gmatch "[^:]+" do
    local file = io.open(folder .. "/" .. name, "rb")
    if file then
      file:close()
      return true
    end
  end
  return false
end

--- Where the key of a file to come is: never nowhere.
---@param getenv? fun(name: string): string? default os.getenv
---@return string key one of M.KEYS
function M.key_to_write(getenv)
  getenv = getenv or os.getenv
  if read(getenv, "MSGRAPH_STORE_KEY") then return "environment" end
  if read(getenv, "MSGRAPH_STORE_KEY_FD") then return "descriptor" end
  if read(getenv, "DBUS_SESSION_BUS_ADDRESS") and is_installed("secret-tool", getenv) then return "secret_service" end
  return "keyring"
end

--- Where the key of a file is. What is set wins over what the file says: whoever can write the file must not choose.
---@param path string
---@param getenv? fun(name: string): string? default os.getenv
---@return string key one of M.KEYS
function M.key_of(path, getenv)
  local key = M.key_to_write(getenv)
  if key == "environment" or key == "descriptor" then return key end
  return (header(path) or ""):find "^msgraph sign%-in %d+ plaintext$" and "none" or key
end

-- A program that has ended well, or nil, failure.
local function finished(words)
  local child, failure = core.child(words)
  if not child then return nil, failure end
  local status, slow = program.wait(child, KEY_TIME)
  if status == 0 then return child end
  local said = child:stderr():match "[^\r\n]+"
  child:close()
  return nil, slow or failed(("%s ended with status %d%s"):format(words[1], status, said and ": " .. said or ""))
end

-- The program that printed the desktop's key, which is made where there is none and somebody signs in.
local function look_up(make)
  local child, failure = finished(LOOKUP)
  if child or not make then return child, failure end
  local made
  made, failure = finished { "sh", "-c", MAKE }
  if not made then return nil, failure end
  made:close()
  return finished(LOOKUP)
end

local function open_store(path, key, make)
  if key ~= "secret_service" then return core.store { path = path, key = key } end
  local child, failure = look_up(make)
  if not child then return nil, failure end
  local guard <close> = child -- luacheck: ignore 211
  return core.store { path = path, key = child }
end

-- Says which key it was.
local function told(failure, key)
  failure.message = ("%s (its key: %s)"):format(failure.message, M.KEYS[key])
  return failure
end

--- Opens a profile's store.
---@param name string as M.name has it
---@param key? string one of M.KEYS; default: as M.key_of tells
---@param make? boolean make the desktop's key where there is none
---@return msgraph.auth.Profile?
---@return msgraph.core.Failure?
function M.open(name, key, make)
  local folder, failure = M.folder()
  if not folder then return nil, failure end
  local profile = { name = name, path = path_of(folder, name) }
  profile.key = key or M.key_of(profile.path)
  profile.store, failure = open_store(profile.path, profile.key, make)
  if profile.store then return profile end
  return nil, told(failure, profile.key)
end

--- What a profile holds.
---@param profile msgraph.auth.Profile
---@return msgraph.core.SignIn?
---@return msgraph.core.Failure?
function M.read(profile)
  local sign_in, failure = profile.store:read()
  if sign_in then return sign_in end
  return nil, told(failure, profile.key)
end

--- Whether its file is, or is not, kept in plaintext as `key` says.
---@param profile msgraph.auth.Profile
---@return boolean
function M.is_kept_so(profile)
  local line = header(profile.path)
  return line == nil or (line:find "plaintext$" ~= nil) == (profile.key == "none")
end

return M
