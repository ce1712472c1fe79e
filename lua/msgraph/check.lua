-- lua/msgraph/check.lua
--- Whether all is in place for work: connection, clock, sign-in, permissions, licence. Data for programs;
--- `msgraph doctor` prints it.
--
-- It changes nothing: it signs in and reads the tenant's licences, and one device where those do not tell. The
-- answer to that read, a refusal as well, also shows that Graph is there, and what time it is there.
local core = require "msgraph.core"
local http_date = require "msgraph.http_date"
local permissions = require "msgraph.permissions"
local response = require "msgraph.response"

local M = {}

---@class msgraph.Check
---@field name "sign_in"|"connection"|"clock"|"permissions"|"licence"
---@field state "ok"|"warning"|"failed"|"unknown"  "unknown": it could not be found out
---@field message string   one line, for people
---@field hint? string     what to do
---@field err? msgraph.Error what was met
---@field [string] any     what was found, see each below

local LICENCES = { method = "GET", target = "/v1.0/subscribedSkus" }

local function from_error(name, state, err)
  return { name = name, state = state, message = err.message, hint = err.hint, err = err }
end

-- ---- sign_in ------------------------------------------------------------------------------------

--- Signs in. `identity`: msgraph.Who.
---@package
---@param client msgraph.Client
---@return msgraph.Check
function M.sign_in(client)
  local who, err = client:whoami()
  if not who then return from_error("sign_in", "failed", err) end
  local name = who.username or who.app_name or who.app_id
  return { name = "sign_in", state = "ok", identity = who,
    message = ("as %s%s, from %s"):format(name or "an account that the token does not name",
      who.tenant_id and ", tenant " .. who.tenant_id or "", who.source or who.kind) }
end

-- ---- connection ---------------------------------------------------------------------------------

local NO_CONNECTION = { network = true, timeout = true, protocol = true }

local function check_connection(client, raw, err)
  if raw then
    local curl = core.curl()
    return { name = "connection", state = "ok", tls = curl.ssl, http_version = raw.http_version,
      message = ("%s answers over TLS (%s) and HTTP/%s"):format(client.endpoint, curl.ssl, raw.http_version) }
  end
  return from_error("connection", NO_CONNECTION[err.kind] and "failed" or "unknown", err)
end

-- ---- clock --------------------------------------------------------------------------------------

local SKEW_WARN <const>, SKEW_FAIL <const> = 60, 300 -- seconds; Entra accepts assertions five minutes off

--- Holds this machine's clock against a server's. `offset`: seconds that ours is ahead.
---@package
---@param there? integer the server's, Unix seconds
---@param from integer ours before it was asked
---@param to integer ours after it answered: within, nobody can tell
---@return msgraph.Check
function M.clock(there, from, to)
  if not there then return { name = "clock", state = "unknown", message = "no answer told the time" } end
  local offset = there < from and from - there or there > to and to - there or 0
  local off = math.abs(offset)
  local state = off > SKEW_FAIL and "failed" or off > SKEW_WARN and "warning" or "ok"
  return { name = "clock", state = state, offset = offset,
    message = ("%d s %s the server's"):format(off, offset < 0 and "behind" or "ahead of"),
    hint = state ~= "ok" and "set this machine's clock: timedatectl set-ntp true" or nil }
end

-- ---- permissions --------------------------------------------------------------------------------

-- What each command needs; any one of its permissions will do.
local DEVICES <const> = "DeviceManagementManagedDevices."
local NEEDS = {
  { "remove-all-devices", "failed", { DEVICES .. "PrivilegedOperations.All" } },
  { "--wait, --dry-run", "warning", { DEVICES .. "Read.All", DEVICES .. "ReadWrite.All" } },
}

local function advice_for(client)
  local url = client.opened.consent_url
  return url and "add it to the app registration, then have an administrator open " .. url
    or "add it to the app registration, and have an administrator consent"
end

local function granted_to(who)
  local granted = {}
  for _, list in ipairs { who.scopes, who.roles } do
    for _, name in ipairs(list) do
      granted[#granted + 1], granted[name] = name, true
    end
  end
  return granted
end

--- What the token allows, as far as the main job needs it; one check for each command.
---@package
---@param client msgraph.Client
---@param who? msgraph.Who
---@return msgraph.Check[] each with `granted`, a list, also by name
function M.permissions(client, who)
  if not who or not who.scopes then
    return { { name = "permissions", state = "unknown", message = "the token does not say which it has",
      hint = "see what a dry run says: msgraph remove-all-devices --dry-run USER" } }
  end
  local checks, granted = {}, granted_to(who)
  for i, need in ipairs(NEEDS) do
    local ok = permissions.suffice(granted, need[3])
    checks[i] = { name = "permissions", state = ok and "ok" or need[2], granted = granted,
      message = ("%s: %s%s"):format(need[1], need[3][1], ok and "" or " is missing"),
      hint = not ok and advice_for(client) or nil }
  end
  return checks
end

-- ---- licence ------------------------------------------------------------------------------------

local ALIVE = { Enabled = true, Warning = true } -- Warning: the period of grace

-- Intune's service plans all begin so: INTUNE_A, INTUNE_EDU, INTUNE_SMBIZ, ...
local function has_intune(sku)
  if not ALIVE[sku.capabilityStatus] then return false end
  for _, plan in ipairs(type(sku.servicePlans) == "table" and sku.servicePlans or {}) do
    if type(plan.servicePlanName) == "string" and plan.servicePlanName:find("^INTUNE_")
      and plan.provisioningStatus ~= "Disabled" then
      return true
    end
  end
  return false
end

-- Part numbers of the licences with Intune in them; nil where they may not be read.
local function intune_skus(raw, err)
  local body
  if raw then body, err = response.read(raw, LICENCES) end
  if err then return nil, err end
  local skus = {}
  for _, sku in ipairs(type(body) == "table" and type(body.value) == "table" and body.value or {}) do
    if has_intune(sku) then skus[#skus + 1] = sku.skuPartNumber end
  end
  return skus
end

local function licence(state, message, more)
  local check = more or {}
  check.name, check.state, check.message = "licence", state, message
  return check
end

-- Intune refuses every request of a tenant without a licence.
local function ask_intune(client, skus, err)
  local page, refusal = client:get("/deviceManagement/managedDevices", { select = { "id" }, top = 1 })
  if page then return licence("ok", "Intune answers for this tenant", { skus = skus }) end
  if refusal.reason == "license_missing" then return from_error("licence", "failed", refusal) end
  if skus then
    return licence("failed", "no licence of the tenant has Intune in it", { skus = skus,
      hint = "check which tenant this is; without Intune there are no managed devices" })
  end
  return licence("unknown", "can not be told: " .. err.message, { err = err,
    hint = "to look at licences, the token needs LicenseAssignment.Read.All" })
end

local function judge_licence(client, raw, err)
  local skus
  skus, err = intune_skus(raw, err)
  if skus and skus[1] then
    return licence("ok", ("the tenant has Intune (%s)"):format(table.concat(skus, ", ")), { skus = skus })
  elseif err and err.kind ~= "forbidden" then
    return from_error("licence", "unknown", err)
  end
  return ask_intune(client, skus, err)
end

--- Whether the tenant has Intune. `skus`: part numbers of the licences with it, where they may be read.
---@package
---@param client msgraph.Client one that is signed in
---@return msgraph.Check
function M.licence(client)
  return judge_licence(client, client:exchange(LICENCES))
end

-- ---- all of them --------------------------------------------------------------------------------

--- Checks what work needs, in this order: sign_in, connection, clock, permissions (one or more), licence.
---@param client msgraph.Client
---@return msgraph.Check[] checks the first of each also by name: `checks.clock`
---@return boolean ok none of them failed
function M.run(client)
  local checks = { M.sign_in(client) }
  local from, raw, err = os.time(), nil, checks[1].err
  if not err then raw, err = client:exchange(LICENCES) end
  local there = raw and http_date.parse(core.header(raw.headers, "Date"))
  checks[2], checks[3] = check_connection(client, raw, err), M.clock(there, from, os.time())
  for _, check in ipairs(M.permissions(client, checks[1].identity)) do checks[#checks + 1] = check end
  checks[#checks + 1] = judge_licence(client, raw, err)
  local ok = true
  for _, check in ipairs(checks) do
    checks[check.name] = checks[check.name] or check
    ok = ok and check.state ~= "failed"
  end
  return checks, ok
end

return M
