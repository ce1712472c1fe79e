-- lua/msgraph/init.lua
--- Microsoft Graph for Lua: the front door.
--
-- `require` does no work: the default client is made when it is first used. What is the caller's
-- mistake raises; what is the world's is returned as nil, msgraph.Error.
local auth = require "msgraph.auth"
local client = require "msgraph.client"
local core = require "msgraph.core"
local devices = require "msgraph.devices"
local errors = require "msgraph.errors"
local host = require "msgraph.host"
local json = require "msgraph.json"
local query = require "msgraph.query"
local task = require "msgraph.task"

---@class msgraph
local M = {
  --- Version of this library, "0.1.0".
  version = core.version,
  --- The class of every error returned: `graph.Error.is(value)`.
  Error = errors.Error,
  --- JSON null.
  null = json.null,
  --- Marks a table as a JSON array, even when empty.
  array = json.array,
  --- Makes a client: see msgraph.ConnectOpts.
  connect = client.connect,
  --- Credentials: see docs/auth.md.
  auth = {
    token = auth.token, client_secret = auth.client_secret, certificate = auth.certificate,
    workload_identity = auth.workload_identity, refresh_token = auth.refresh_token,
    device_code = auth.device_code, auth_code = auth.auth_code, on_behalf_of = auth.on_behalf_of,
    managed_identity = auth.managed_identity, callback = auth.callback, azure_cli = auth.azure_cli,
    stored = auth.stored, default = auth.default,
  },
  --- Literals of a filter: see docs/queries.md.
  filter = query.filter,
  quote = query.quote,
  date = query.date,
  --- Which permission a request needs: `graph.permissions("GET", "/users/{id}")`, see msgraph.Needs.
  ---@return msgraph.Needs?
  permissions = function(...) return require("msgraph.permissions").find(...) end, -- most programs never ask
  run = task.run,
  spawn = task.spawn,
  map = task.map,
  sleep = task.sleep,
}

host.install(M)

local default -- the client from the environment

local function default_client()
  if default and not default.closed then return default end
  local err
  default, err = client.connect()
  return default, err
end

--- Takes all devices of a user out of management, with the client that the environment describes:
--- MSGRAPH_ACCESS_TOKEN or AZURE_TENANT_ID, AZURE_CLIENT_ID and one of AZURE_CLIENT_SECRET,
--- AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE; and MSGRAPH_CLOUD, MSGRAPH_ENDPOINT,
--- MSGRAPH_CA_FILE where needed.
---@param user string object id or principal name
---@param opts? msgraph.RemoveOpts
---@return true|msgraph.RemoveResult? done as client:remove_all_devices
---@return msgraph.Error?
function M.remove_all_devices(user, opts)
  devices.check(user, opts, 2)
  local c, err = default_client()
  if not c then return nil, err end
  return c:remove_all_devices(user, opts)
end

--- Escapes text as one segment of a path: `"/users/" .. graph.segment(upn) .. "/manager"`.
---@param text string
---@return string segment raises for what can not be one: "", ".", "..", control characters, no UTF-8
function M.segment(text)
  if type(text) ~= "string" then error(("segment: a string is expected, got %s"):format(type(text)), 2) end
  local segment, reason = core.segment(text)
  if not segment then error(("segment: %q %s"):format(text, reason), 2) end
  return segment
end

return M
