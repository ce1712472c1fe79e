-- lua/msgraph/sim/host.lua - a tenant in the server's thread, and how whoever started it speaks to it: in JSON.
local cjson = require("cjson").new()
local tenants = require "msgraph.sim.tenant"

cjson.encode_invalid_numbers(true) -- math.huge, for faults without end
cjson.encode_sparse_array(true)

local M = {}

--- What `control` may call.
local CONTROL = {
  token = true, users = true, devices = true, requests = true, fault = true, clear_faults = true, advance = true,
  date = true, now = true, tenant_id = true, app = true, set_credentials = true, sign_in = true, revoke = true,
  policy = true, expire_secret = true, remove_consent = true, token_requests = true,
  machine_endpoint = true,
  change_user = true, delete_user = true, add_groups = true, enroll_device = true, require_approval = true,
  groups = true, application_id = true, unused = true,
}

--- lua-cjson reads every number as a float; whole ones are integers to us.
local function with_integers(value)
  if type(value) == "table" then
    for key, item in pairs(value) do value[key] = with_integers(item) end
  elseif math.type(value) == "float" then
    return math.tointeger(value) or value
  end
  return value
end

--- JSON as the control channel speaks it.
function M.decode(text)
  return with_integers(cjson.decode(text))
end

function M.encode(value)
  return cjson.encode(value)
end

local function join_headers(headers)
  local parts = {}
  for name, value in pairs(headers) do parts[#parts + 1] = name .. "\0" .. value .. "\0" end
  table.sort(parts)
  return table.concat(parts)
end

--- Called once by the server, in the Lua state of its thread.
---@param options string JSON of msgraph.sim.TenantOpts, or of `{ "replay": file }`
---@param now fun(): number
---@return function answer fun(method, target, headers, body?): table what csrc/sim/sim_tenant.c reads
---@return function control fun(json: string): string  {"call": name, "arg": value} -> {"result": value}
function M.open(options, now)
  local opts = M.decode(options)
  local tenant = opts.replay and require("msgraph.sim.replay").new(opts) or tenants.new(opts, now)

  local function answer(method, target, headers, body, plain)
    local a = tenant:answer { method = method, target = target, headers = headers, body = body, plain = plain }
    a.headers = join_headers(a.headers)
    a.status = a.status or 0
    a.reset = a.reset and 1 or 0
    return a
  end

  local function control(json)
    local command = M.decode(json)
    if not CONTROL[command.call] then error("unknown command: " .. tostring(command.call), 0) end
    return M.encode { result = tenant[command.call](tenant, command.arg) }
  end

  return answer, control
end

return M
