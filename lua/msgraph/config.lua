-- lua/msgraph/config.lua
--- Options of `graph.connect`: checked, completed from the environment, never written to.
--
-- An explicit option wins over the environment. A wrong option is the caller's mistake and raises;
-- a wrong environment is the world's and is returned.
local auth = require "msgraph.auth"
local errors = require "msgraph.errors"

local M = {}

--- Cloud to Graph endpoint. Microsoft's deployments page of 2025-01; Bleu and Delos as MSAL has them.
M.CLOUDS = {
  global = "https://graph.microsoft.com",
  usgov = "https://graph.microsoft.us",
  dod = "https://dod-graph.microsoft.us",
  china = "https://microsoftgraph.chinacloudapi.cn",
  bleu = "https://graph.svc.sovcloud.fr",
  delos = "https://graph.svc.sovcloud.de",
}
--- Cloud to sign-in authority (FACTS 6.5).
M.AUTHORITIES = {
  global = "https://login.microsoftonline.com",
  usgov = "https://login.microsoftonline.us",
  dod = "https://login.microsoftonline.us",
  china = "https://login.chinacloudapi.cn",
  bleu = "https://login.sovcloud-identity.fr",
  delos = "https://login.sovcloud-identity.de",
}
local CLOUD_NAMES = "global, usgov, dod, china, bleu, delos"

---@class msgraph.ConnectOpts
---@field auth? msgraph.Credential       default: from the environment, see docs/auth.md
---@field tenant_id? string              id or domain to sign in at; AZURE_TENANT_ID
---@field client_id? string              the app registration's; AZURE_CLIENT_ID
---@field authority? string              instead of the cloud's sign-in host; AZURE_AUTHORITY_HOST
---@field cloud? string                  "global" (default), "usgov", "dod", "china", "bleu", "delos"; MSGRAPH_CLOUD
---@field endpoint? string               "https://host[:port]" instead of the cloud's; MSGRAPH_ENDPOINT
---@field ca_file? string                PEM bundle of trusted authorities instead of the system's; MSGRAPH_CA_FILE
---@field http_version? "1.1"|"2"        default: what the libcurl at hand can be trusted with
---@field connect_timeout? number        seconds for DNS, TCP and TLS together, default 10
---@field first_byte_timeout? number     seconds from connected to the first byte of an answer, default 60
---@field stall_timeout? number          seconds without a byte once an answer has begun, default 20
---@field max_body? integer              bytes of an answer accepted, default 64 MiB
---@field shared_gate? string            file through which processes share what they know of throttling, see
---                                      docs/throttling.md; MSGRAPH_SHARED_GATE; default: none
---@field log? fun(record: msgraph.LogRecord)  is told of every request that ended, see docs/insight.md
---@field capture? string                file that every request and answer is written to: name.har or name.jsonl
---@field traceparent? string            W3C trace context that the requests belong to
local CONNECT = {
  auth = "table", tenant_id = "string", client_id = "string", authority = "string", cloud = "string",
  endpoint = "string", ca_file = "string", http_version = "string", connect_timeout = "number",
  first_byte_timeout = "number", stall_timeout = "number", max_body = "number", shared_gate = "string",
  log = "function", capture = "string", traceparent = "string",
}

-- Edits between two words (Levenshtein), to name what was probably meant.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal
    diagonal, row[0] = row[0], i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

--- The name that was probably meant.
---@package
---@param name string
---@param allowed table<string, any>
---@return string?
local function nearest(name, allowed)
  local best, least
  for candidate in pairs(allowed) do
    local edits = distance(name, candidate)
    if not least or edits < least or edits == least and candidate < best then best, least = candidate, edits end
  end
  return best
end
M.nearest = nearest

--- Checks an options table against `allowed` (name to type); a mistake raises at the caller's caller.
---@param opts table?
---@param allowed table<string, string>
---@param where string the function's name, for the message
---@param level? integer stack level to blame, as seen from here; default 3
function M.check(opts, allowed, where, level)
  if opts == nil then return end
  level = level or 3
  if type(opts) ~= "table" then
    error(("%s: options must be a table, got %s"):format(where, type(opts)), level)
  end
  for name, value in pairs(opts) do
    local expected = allowed[name]
    if not expected then
      local meant = type(name) == "string" and nearest(name, allowed)
      local hint = meant and (" (did you mean '%s'?)"):format(meant) or ""
      error(("%s: unknown option '%s'%s"):format(where, tostring(name), hint), level)
    end
    if expected ~= "any" and type(value) ~= expected then
      error(("%s: option '%s' must be a %s, got %s"):format(where, name, expected, type(value)), level)
    end
  end
end

local function environment_error(name, reason)
  return errors.new { kind = "invalid", code = "bad_environment", message = ("%s: %s"):format(name, reason) }
end

-- An unset variable and an empty one are the same.
local function read_env(getenv, name)
  local value = getenv(name)
  return value ~= "" and value or nil
end

-- What the environment can sign in with, in this order: kind of credential, its options' variables, and
-- those it may have.
local SOURCES = {
  { "client_secret", { client_secret = "AZURE_CLIENT_SECRET" } },
  { "certificate", { certificate = "AZURE_CLIENT_CERTIFICATE_PATH" },
    { password = "AZURE_CLIENT_CERTIFICATE_PASSWORD" } },
  { "workload_identity", { assertion_file = "AZURE_FEDERATED_TOKEN_FILE" } },
}

-- The variables a way to sign in lacks.
local function lacks(source, value)
  local missing = {}
  for _, name in ipairs { "AZURE_TENANT_ID", "AZURE_CLIENT_ID", (select(2, next(source[2]))) } do
    if not value(name) then missing[#missing + 1] = name end
  end
  return missing
end

-- Names what each way lacks, so that one can see which was nearly there.
local function no_credential(value)
  local ways = { "token lacks MSGRAPH_ACCESS_TOKEN" }
  for _, source in ipairs(SOURCES) do
    ways[#ways + 1] = ("%s lacks %s"):format(source[1], table.concat(lacks(source, value), ", "))
  end
  return errors.new {
    kind = "auth", code = "no_token",
    message = ("there is nothing to sign in with (%s)"):format(table.concat(ways, "; ")),
  }
end

local function make(source, value)
  local opts = {}
  for _, variables in ipairs { source[2], source[3] or {} } do
    for option, name in pairs(variables) do opts[option] = value(name) end
  end
  local credential, problem = auth.make(source[1], opts)
  if credential then return credential end
  local option = problem:match("option '([%w_]+)'")
  return nil, environment_error(source[2][option] or source[3][option], (problem:gsub("^option '[%w_]+' ", "it ")))
end

--- The credential that the environment has: a token, a secret, a certificate, a federated token's file.
---@package
---@param known { tenant_id?: string, client_id?: string } what is said elsewhere
---@param getenv fun(name: string): string?
---@return msgraph.Credential?
---@return msgraph.Error? code "no_token": there is none; "bad_environment": one that can not be used
function M.from_environment(known, getenv)
  local function value(name)
    if name == "AZURE_TENANT_ID" and known.tenant_id then return known.tenant_id end
    if name == "AZURE_CLIENT_ID" and known.client_id then return known.client_id end
    return read_env(getenv, name)
  end
  local token = value "MSGRAPH_ACCESS_TOKEN"
  if token then
    local credential, reason = auth.from_token(token)
    if not credential then return nil, environment_error("MSGRAPH_ACCESS_TOKEN", reason) end
    return credential
  end
  for _, source in ipairs(SOURCES) do
    if #lacks(source, value) == 0 then return make(source, value) end
  end
  return nil, no_credential(value)
end

-- With nothing in the environment the other sources are looked at, when the first request needs a token.
local function find_credential(opts, getenv)
  if opts.auth then return opts.auth end
  local credential, err = M.from_environment(opts, getenv)
  if err and err.code == "no_token" then return auth.default() end
  return credential, err
end

--- The cloud whose own an endpoint is.
---@package
---@param endpoint? string
---@return string?
function M.cloud_of(endpoint)
  local wanted = endpoint and endpoint:lower():gsub("/$", "")
  for cloud, own in pairs(M.CLOUDS) do
    if wanted == own then return cloud end
  end
end

local function find_cloud(opts, getenv)
  local cloud = opts.cloud or M.cloud_of(opts.endpoint) or read_env(getenv, "MSGRAPH_CLOUD")
    or M.cloud_of(read_env(getenv, "MSGRAPH_ENDPOINT")) or "global"
  if M.CLOUDS[cloud] then return cloud end
  return nil, environment_error("MSGRAPH_CLOUD", ("no cloud '%s'; there are %s"):format(cloud, CLOUD_NAMES))
end

local function find_endpoint(opts, getenv, cloud)
  return opts.endpoint or not opts.cloud and read_env(getenv, "MSGRAPH_ENDPOINT") or M.CLOUDS[cloud]
end

-- AZURE_AUTHORITY_HOST may be a bare host, and often ends in a slash.
local function find_authority(opts, getenv, cloud)
  local host = not opts.cloud and read_env(getenv, "AZURE_AUTHORITY_HOST")
  local from_env = host and ((host:find("://", 1, true) and "" or "https://") .. host):gsub("/$", "")
  return opts.authority or from_env or M.AUTHORITIES[cloud]
end

--- Options and environment to what the core's origin takes.
---@param opts? msgraph.ConnectOpts
---@param getenv? fun(name: string): string? default os.getenv
---@return table? settings for core.origin, with `auth` and `identity` (see msgraph.auth) instead of its credential;
--- raises for a wrong option
---@return msgraph.Error? for a missing credential or a wrong environment
function M.resolve(opts, getenv)
  opts, getenv = opts or {}, getenv or os.getenv
  M.check(opts, CONNECT, "connect", 4)
  if opts.auth and not auth.is(opts.auth) then
    error("connect: option 'auth' must come from graph.auth, as in graph.auth.token \"...\"", 3)
  end
  if opts.cloud and not M.CLOUDS[opts.cloud] then
    error(("connect: no cloud '%s'; there are %s"):format(opts.cloud, CLOUD_NAMES), 3)
  end
  if opts.capture and not opts.capture:find "%.har$" and not opts.capture:find "%.jsonl$" then
    error("connect: option 'capture' must name a file that ends in .har or .jsonl", 3)
  end
  if opts.traceparent and not require("msgraph.trace").is_traceparent(opts.traceparent) then
    error("connect: option 'traceparent' is none: 00-, 32 hex digits, -, 16 hex digits, -, 2 hex digits", 3)
  end
  local cloud, err = find_cloud(opts, getenv)
  if not cloud then return nil, err end
  local credential
  credential, err = find_credential(opts, getenv)
  if not credential then return nil, err end
  local ca_file = opts.ca_file or read_env(getenv, "MSGRAPH_CA_FILE")
  return {
    endpoint = find_endpoint(opts, getenv, cloud), auth = credential,
    identity = {
      tenant_id = opts.tenant_id or read_env(getenv, "AZURE_TENANT_ID"),
      client_id = opts.client_id or read_env(getenv, "AZURE_CLIENT_ID"),
      authority = find_authority(opts, getenv, cloud), scope = M.CLOUDS[cloud] .. "/.default", ca_file = ca_file,
    },
    ca_file = ca_file, http_version = opts.http_version, connect_timeout = opts.connect_timeout,
    first_byte_timeout = opts.first_byte_timeout, stall_timeout = opts.stall_timeout, max_body = opts.max_body,
    shared_gate = opts.shared_gate or read_env(getenv, "MSGRAPH_SHARED_GATE"),
    log = opts.log, capture = opts.capture, traceparent = opts.traceparent,
  }
end

return M
