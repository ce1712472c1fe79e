-- spec/support/program.lua
--- Runs programs as a user's shell does: arguments, environment, standard input; two outputs and a code.
local helper = require "spec.support.helper"
local secrets = require "spec.support.secrets"

local M = {}

-- Nothing of whoever runs the specs may show through.
local CLEAN = {
  "MSGRAPH_ACCESS_TOKEN", "MSGRAPH_ENDPOINT", "MSGRAPH_CA_FILE", "MSGRAPH_CLOUD", "MSGRAPH_SHARED_GATE", "NO_COLOR",
  "CLICOLOR_FORCE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH",
  "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", "MSGRAPH_STORE", "MSGRAPH_STORE_KEY", "MSGRAPH_STORE_KEY_FD",
  "MSGRAPH_PROFILE", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "DBUS_SESSION_BUS_ADDRESS",
  "MSI_ENDPOINT", "IDENTITY_ENDPOINT", "XDG_RUNTIME_DIR",
}

-- No host with an identity, and nobody who signed in, unless a spec says so: no packet leaves this machine.
local function defaults()
  return { AZURE_POD_IDENTITY_AUTHORITY_HOST = "http://127.0.0.1:9", XDG_STATE_HOME = helper.tmp() .. "/state" }
end

local count = 0

local function command_of(words, env)
  local parts = { "env" }
  for _, name in ipairs(CLEAN) do parts[#parts + 1] = "-u " .. name end
  local all = defaults()
  for name, value in pairs(env or {}) do all[name] = value end
  for name, value in pairs(all) do parts[#parts + 1] = name .. "=" .. helper.quote(value) end
  for _, word in ipairs(words) do parts[#parts + 1] = helper.quote(word) end
  return table.concat(parts, " ")
end

local function new_base()
  count = count + 1
  return helper.tmp() .. "/program" .. count
end

-- `how` and `code` as os.execute tells them; a signal is told as a shell does.
local function outcome(base, how, code)
  if how == "signal" then code = 128 + code end
  local it = { code = code, out = helper.read_file(base .. ".out"), err = helper.read_file(base .. ".err") }
  secrets.saw { it.err, (it.out:gsub("export MSGRAPH_ACCESS_TOKEN=[^\n]*", "")) } -- what `msgraph sim` is asked for
  return it
end

--- The environment in which msgraph talks to a simulated tenant.
---@param tenant msgraph.sim.Running
---@param token? string
function M.env_of(tenant, token)
  return { MSGRAPH_ENDPOINT = tenant.endpoint, MSGRAPH_CA_FILE = tenant.ca_file,
    MSGRAPH_ACCESS_TOKEN = token or tenant:token { expires_in = 1e9 } }
end

--- Runs a shell command line in that environment.
---@param line string
---@param env? table<string, string>
---@param input? string
---@return { code: integer, out: string, err: string }
function M.shell(line, env, input)
  local base = new_base()
  helper.write_file(base .. ".in", input or "")
  local command = command_of({ "sh", "-c", line }, env)
  local _, how, code = os.execute(("%s <%s.in >%s.out 2>%s.err"):format(command, base, base, base))
  return outcome(base, how, code)
end

--- Runs a program.
---@param words string[]
---@param env? table<string, string>
---@param input? string
---@return { code: integer, out: string, err: string }
function M.run(words, env, input)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = helper.quote(word) end
  return M.shell(table.concat(quoted, " "), env, input)
end

--- Runs a program on a terminal of its own, where `input` is typed; both outputs are one.
---@return { code: integer, out: string }
function M.on_terminal(words, env, input)
  local quoted = {}
  for i, word in ipairs(words) do quoted[i] = helper.quote(word) end
  local line = "script -qec " .. helper.quote(table.concat(quoted, " ")) .. " /dev/null"
  local all = { TERM = "xterm" }
  for name, value in pairs(env or {}) do all[name] = value end
  return M.shell(line, all, input)
end

local Started = {}
Started.__index = Started

--- Starts a program and does not wait.
function M.start(words, env)
  local base = new_base()
  helper.write_file(base .. ".out", "")
  helper.write_file(base .. ".err", "")
  local command = ("echo $$; exec %s </dev/null >%s.out 2>%s.err"):format(command_of(words, env), base, base)
  local pipe = assert(io.popen(command))
  return setmetatable({ pipe = pipe, pid = assert(pipe:read("l")), base = base }, Started)
end

--- What it has written so far.
function Started:output()
  return helper.read_file(self.base .. ".out"), helper.read_file(self.base .. ".err")
end

function Started:interrupt()
  helper.sh("kill -INT " .. self.pid)
end

--- Waits for its end.
function Started:wait()
  local _, how, code = self.pipe:close()
  self.pipe = nil
  return outcome(self.base, how, code)
end

function Started:__close()
  if not self.pipe then return end
  os.execute("kill " .. self.pid .. " 2>/dev/null")
  self.pipe:close()
end

--- Waits until a condition holds: an event, looked for; not a time.
function M.await(condition)
  for _ = 1, 600 do
    local value = condition()
    if value then return value end
    os.execute("sleep 0.05")
  end
  error("the condition waited for did not come", 2)
end

return M
