-- spec/support/secrets.lua
--- The secrets of a whole run, and the texts it left: none may show in the other.
--
-- Where $MSGRAPH_SPEC_LEDGER names a folder (spec/run makes it), whatever is loaded there is watched: each secret that
-- is handed to the core, or that a simulated tenant hands out, goes to its file `forms` in every form in which it could
-- show; each Error that is made, and what programs print, goes to `texts`. When all is over spec/run looks for the
-- first in the second and in the logs.
local M = {}

local SHORTEST <const> = 12 -- bytes; a form that is shorter is found in innocent words

local folder = os.getenv "MSGRAPH_SPEC_LEDGER"
local files, noted = {}, {}

local function append(name, text)
  if not files[name] then
    files[name] = assert(io.open(folder .. "/" .. name, "a"))
    files[name]:setvbuf("line") -- others write there as well
  end
  files[name]:write(text .. "\n")
end

local function escape(text)
  return (text:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

--- The forms in which a secret could show: itself, escaped, as base64 at each of three places in a text.
---@param secret string
---@return string[]
function M.forms(secret)
  local base64 = require "msgraph.sim.login.base64"
  local form = escape(secret)
  local out = { secret, form, (form:gsub("%%20", "+")), (form:gsub("%%%x%x", string.lower)) }
  for lead = 0, 2 do
    local text = base64.encode(("\0"):rep(lead) .. secret):sub(lead > 0 and 5 or 1, -5)
    out[#out + 1] = text
    out[#out + 1] = text:gsub("%+", "-"):gsub("/", "_")
  end
  return out
end

--- Notes a secret; what is none is let pass. Returns it.
function M.secret(secret)
  if not folder or type(secret) ~= "string" or #secret < SHORTEST or noted[secret] then return secret end
  noted[secret] = true
  for _, form in ipairs(M.forms(secret)) do
    if #form >= SHORTEST and not form:find("[\r\n]") then append("forms", form) end
  end
  return secret
end

local function collect(value, out, seen)
  if type(value) == "string" then out[value] = true end
  if type(value) ~= "table" or seen[value] then return end
  seen[value] = true
  out[tostring(value)] = true
  for key, inner in next, value do
    collect(key, out, seen)
    collect(inner, out, seen)
  end
end

--- All strings in a value, and what its tables say when they are printed, as the keys of a table.
function M.texts(value, out)
  out = out or {}
  collect(value, out, {})
  return out
end

--- Notes what somebody could have seen: a text, an Error, a table of such; returns it.
function M.saw(value)
  if not folder then return value end
  for text in pairs(M.texts(value)) do append("texts", text) end
  return value
end

-- ---- watching ---------------------------------------------------------------------------------------

local function after(module, name, act)
  local original = module[name]
  module[name] = function(...)
    local results = table.pack(original(...))
    act(results[1], ...)
    return table.unpack(results, 1, results.n)
  end
end

local ours = {} -- functions of ours: types of C are made once, and not for each spec file

-- A module that is loaded -> what is done to it. Each spec file loads its own.
local HOOKS = {
  ["msgraph.core"] = function(core)
    after(core, "credential", function(_, options)
      for _, name in ipairs { "client_secret", "password", "refresh_token", "assertion", "token", "secret" } do
        M.secret(options[name])
      end
    end)
  end,
  ["msgraph.errors"] = function(errors) after(errors, "new", M.saw) end,
  -- below the functions that say where a mistake was made: these must not see us
  ["msgraph.sim.server"] = function(server)
    after(server, "start", function(tenant)
      local methods = tenant and getmetatable(tenant).__index
      if not methods or ours[methods.control] then return end
      after(methods, "control", function(answer)
        for secret in (answer or ""):gmatch '"[%w_]*secret":"(.-)"' do M.secret(secret) end
        for token in (answer or ""):gmatch '"(eyJ[%w_.-]+)"' do M.secret(token) end
      end)
      ours[methods.control] = true
    end)
  end,
}

--- Watches what is loaded from now on.
function M.watch()
  if not folder then return end
  local load = require
  _G.require = function(name)
    local loaded = package.loaded[name] ~= nil
    local module, from = load(name)
    if not loaded and HOOKS[name] then HOOKS[name](module) end
    return module, from
  end
end

--- Notes the encrypted files of sign-ins below a folder.
function M.saw_stores(path)
  if not folder then return end
  local pipe = assert(io.popen(("grep -rlaE '^msgraph sign-in 1 aes' '%s'"):format(path)))
  for name in pipe:lines() do
    local file = io.open(name, "rb")
    if file then
      M.saw(file:read "a")
      file:close()
    end
  end
  pipe:close()
end

return M
