-- lua/msgraph/check.lua
--- Whether all is in place for work: connection, clock, sign-in, permissions, licence. Data for programs;
--- `msgraph doctor` prints it.
--
-- It changes nothing: it signs in and reads the tenant's licences once. The answer to that read, a refusal
-- as well, also shows that Graph is there, and what time it is there.
local core = require "msgraph.core"
local response = require "msgraph.response"

local M = {}

---@class msgraph.Check
---@field name "sign_in"|"connection"|"clock"|"permissions"|"licence"
---@field state "ok"|"warning"|"failed"|"unknown"  "unknown": it could not be found out
---@field message string   one line, for people
---@field hint? string     what to do
---@field err? msgraph.Error what was met
---@field [string] any     what was found, see each below

local NEEDED = "DeviceManagementManagedDevices.PrivilegedOperations.All" -- of the main job (FACTS 1)
local CLOCK_LEEWAY = 300 -- seconds that Entra and Graph forgive
local LICENCES = { method = "GET", target = "/v1.0/subscribedSkus" }

local function from_error(name, state, err)
  return { name = name, state = state, message = err.message, hint = err.hint, err = err }
end

-- ---- sign_in ------------------------------------------------------------------------------------

local function check_sign_in(client)
  local who, err = client:whoami()
  if not who then return from_error("sign_in", "failed", err) end
  local name = who.username or who.app_name or who.app_id
  return { name = "sign_in", state = "ok", identity = who,
    message = name and ("signed in as %s"):format(name) or "there is a token; it does not say whose" }
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

local MONTHS = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11,
  Dec = 12 }

-- Days from 1970-01-01 to a date (the proleptic Gregorian calendar, years counted from March).
local function days_to(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469
end

--- Unix seconds of an HTTP date in the form that servers have to send (RFC 9110 5.6.7).
---@package
---@param text? string
---@return integer?
function M.unix_time(text)
  local day, month, year, hour, minute, second =
    (text or ""):match("^%a+, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$")
  if not MONTHS[month] then return nil end
  return days_to(tonumber(year), MONTHS[month], tonumber(day)) * 86400 + hour * 3600 + minute * 60 + second | 0
end

-- `offset`: seconds that this machine's clock is ahead of Graph's.
local function check_clock(raw, sent_at)
  local there = raw and M.unix_time(core.header(raw.headers, "Date"))
  if not there then return { name = "clock", state = "unknown", message = "no answer told the time" } end
  local offset = 0 -- within the time the request took, nobody can tell
  if there < sent_at - 1 then offset = sent_at - there elseif there > os.time() + 1 then offset = os.time() - there end
  if math.abs(offset) <= CLOCK_LEEWAY then
    return { name = "clock", state = "ok", offset = offset,
      message = offset == 0 and "the clock is right" or ("the clock is %+d s off"):format(offset) }
  end
  return { name = "clock", state = "warning", offset = offset,
    message = ("this machine's clock is %d s %s"):format(math.abs(offset), offset > 0 and "ahead" or "behind"),
    hint = "set the clock (NTP): certificates and tokens are judged by it" }
end

-- ---- permissions --------------------------------------------------------------------------------

-- `granted`: what the token holds; `missing`: what the main job needs besides.
local function check_permissions(who)
  if not who or not who.scopes then
    return { name = "permissions", state = "unknown", message = "the token does not say what it allows" }
  end
  local granted, held = {}, {}
  for _, list in ipairs { who.scopes, who.roles } do
    for _, name in ipairs(list) do
      granted[#granted + 1], held[name] = name, true
    end
  end
  local ok = held[NEEDED]
  return { name = "permissions", state = ok and "ok" or "warning", granted = granted, missing = ok and {} or { NEEDED },
    message = ok and ("%d permissions, among them %s"):format(#granted, NEEDED)
      or ("to remove devices, the token lacks %s"):format(NEEDED),
    hint = not ok and "add it to the app registration, have an administrator consent, sign in again" or nil }
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

-- `skus`: part numbers of the licences with Intune in them.
local function check_licence(raw, err)
  local body
  if raw then body, err = response.read(raw, LICENCES) end
  if err then
    local check = from_error("licence", "unknown", err)
    if err.kind == "forbidden" then check.hint = "to look at licences, the token needs LicenseAssignment.Read.All" end
    return check
  end
  local skus = {}
  for _, sku in ipairs(type(body) == "table" and type(body.value) == "table" and body.value or {}) do
    if has_intune(sku) then skus[#skus + 1] = sku.skuPartNumber end
  end
  if #skus > 0 then
    return { name = "licence", state = "ok", skus = skus,
      message = ("the tenant has Intune (%s)"):format(table.concat(skus, ", ")) }
  end
  return { name = "licence", state = "failed", skus = skus, message = "no licence of the tenant has Intune in it",
    hint = "check which tenant this is; without Intune there are no managed devices" }
end

--- Checks what work needs, in this order: sign_in, connection, clock, permissions, licence.
---@param client msgraph.Client
---@return msgraph.Check[] checks also by name: `checks.clock`
---@return boolean ok none of them failed
function M.run(client)
  local signed_in = check_sign_in(client)
  local sent_at, raw, err = os.time(), nil, signed_in.err
  if not err then raw, err = client:exchange(LICENCES) end
  local checks = { signed_in, check_connection(client, raw, err), check_clock(raw, sent_at),
    check_permissions(signed_in.identity), check_licence(raw, err) }
  local ok = true
  for _, check in ipairs(checks) do
    checks[check.name] = check
    ok = ok and check.state ~= "failed"
  end
  return checks, ok
end

return M
