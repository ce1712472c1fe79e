-- lua/msgraph/sim/limits.lua - the published limits: who may ask how much, and what a refusal says.
--
-- Every limit counts in windows of the tenant's clock, one after the other, each beginning at a multiple of
-- its length. A request is counted where all of its limits have room; otherwise the first that has none refuses
-- it until its window ends. Numbers, headers and units: FACTS 4, from Microsoft's throttling-limits page.
local M = {}

local Limits = {}
Limits.__index = Limits

-- ---- which service ---------------------------------------------------------------------------

local function set(words)
  local out = {}
  for word in words:gmatch "%S+" do out[word] = true end
  return out
end

local MAILBOX = set [[messages mailfolders mailboxsettings sendmail calendar calendars calendarview events contacts
  contactfolders inferenceclassification outlook conversations threads]]
local INTUNE = set [[manageddevices removealldevicesfrommanagement managedappregistrations
  wipemanagedappregistrationsbydevicetag]]
local TEAMS = set "joinedteams teamwork chats team"
local DIRECTORY = set [[users groups administrativeunits applications contacts devices directory directoryobjects
  directoryroles domains oauth2permissiongrants organization rolemanagement serviceprincipals subscribedskus identity]]

local function of_object(segments)
  local nav = segments[3] or ""
  if nav == "authentication" then return "reports" end
  if INTUNE[nav] then return "intune" end
  if MAILBOX[nav] then return "outlook", segments[2] end
  if TEAMS[nav] then return "teams", nav == "team" and segments[2] or nil end
  if nav == "drive" or nav == "drives" or nav == "sites" then return "files" end
  return "identity"
end

-- The service, and the mailbox or team where limits count by it.
local function service_of(segments)
  local root = segments[1] or ""
  if root == "users" or root == "groups" then return of_object(segments) end
  if root == "devicemanagement" then
    -- detectedApps/{id}/managedDevices/{id}/users/{id}/removeAllDevicesFromManagement is another group's
    return segments[2] == "manageddevices" and "intune_devices" or "intune"
  end
  if root == "deviceappmanagement" then return "intune" end
  if root == "teams" then return "teams", segments[2] end
  if root == "chats" or root == "teamwork" then return "teams" end
  if root == "reports" or root == "auditlogs" then return "reports" end
  if root == "identityprotection" or root == "identity" and segments[2] == "conditionalaccess" then
    return "protection"
  end
  return DIRECTORY[root] and "identity" or "other"
end

local function segments_of(path)
  local out = {}
  for segment in path:lower():gmatch "/([^/]+)" do out[#out + 1] = segment:gsub("^microsoft%.graph%.", "") end
  table.remove(out, 1) -- the version
  if out[1] == "me" then table.insert(out, 1, "users") end
  return out
end

-- ---- resource units --------------------------------------------------------------------------

-- Method, first segment (or "*"), third: units, and how many $select takes off. Unlisted: 1.
local COSTS = {
  ["GET users memberof"] = 2, ["GET users transitivememberof"] = 2, ["GET users ownedobjects"] = 2,
  ["GET users licensedetails"] = 2, ["GET groups members"] = 3, ["GET groups transitivemembers"] = 5,
  ["GET serviceprincipals approleassignments"] = 2,
  ["POST * getmembergroups"] = 2, ["POST * getmemberobjects"] = 2,
  ["POST * checkmembergroups"] = 4, ["POST * checkmemberobjects"] = 4,
}

local function listed(method, segments)
  local root, nav = segments[1] or "", segments[3] or ""
  if method == "POST" and root == "directoryobjects" and segments[2] == "getbyids" then return 5, 3 end
  if method == "GET" and root == "oauth2permissiongrants" then return 2 end
  if method == "GET" and root == "subscribedskus" then return 3 end
  if method == "GET" and root == "users" and #segments == 1 then return 2 end
  return COSTS[method .. " " .. root .. " " .. nav] or COSTS[method .. " * " .. nav]
end

local function has(query, name)
  return query:find("^%$" .. name .. "=") or query:find("&%$" .. name .. "=")
end

-- Units of a request, and whether it writes.
local function cost_of(method, segments, query)
  query = query:gsub("%%24", "$")
  local units, selected = listed(method, segments)
  local write = method ~= "GET" and method ~= "HEAD" and not units
  if write then return 1, true end
  local top = tonumber(query:match "%$top=(%d+)")
  units = (units or 1) - (has(query, "select") and (selected or 1) or 0) + (has(query, "expand") and 1 or 0)
    - (top and top < 20 and 1 or 0)
  return math.max(units, 1), false
end

-- ---- the limits ------------------------------------------------------------------------------

-- By whom it counts, what counts ("Read" and "Write" what reads and writes, "ReadWrite" both), how much of it
-- in how many seconds. `units`: resource units, not requests.
local REASON = { Read = "ReadLimitExceeded", Write = "WriteLimitExceeded", ReadWrite = "RequestLimitExceeded" }

local function limit(by, side, amount, seconds, more)
  local self = { by = by, side = side, amount = amount, seconds = seconds, reason = REASON[side] }
  for name, value in pairs(more or {}) do self[name] = value end
  return self
end

local UNITS = { units = true, reason = "ResourceUnitLimitExceeded" }
local BOTH <const>, APP <const>, TENANT <const> = "Tenant_Application", "Application", "Tenant"
local ANYTHING = limit(APP, "ReadWrite", 130000, 10)

-- Tenants of fewer than 50 users, up to 500, and above.
local function identity_units(users)
  return users < 50 and 3500 or users <= 500 and 5000 or 8000
end

local ONLY = {
  members = { only = function(method, segments) return method == "GET" and segments[3] == "members" end },
  joined = { only = function(_, segments) return segments[3] == "joinedteams" end },
  reads = { only = function(_, segments) return segments[3] ~= "joinedteams" and segments[3] ~= "members" end },
  deletes = { only = function(method) return method == "DELETE" end },
  writes = { only = function(method) return method ~= "DELETE" end },
  member_adds = { only = function(method, segments) return method == "POST" and segments[3] == "members" end },
}

local function table_for(users)
  local services = {
    identity = {
      limit(BOTH, "ReadWrite", identity_units(users), 10, UNITS), limit(BOTH, "Write", 3000, 150),
      limit(APP, "ReadWrite", 150000, 20, UNITS), limit(APP, "Write", 35000, 300), limit(TENANT, "Write", 18000, 300),
    },
    reports = { limit(BOTH, "ReadWrite", 5, 10), limit(APP, "ReadWrite", 122, 10) },
    protection = { limit(TENANT, "ReadWrite", 1, 1, { silent = true }) },
    intune_devices = {
      limit(BOTH, "Write", 200, 20), limit(TENANT, "Write", 400, 20),
      limit(BOTH, "ReadWrite", 2000, 20), limit(TENANT, "ReadWrite", 4000, 20),
    },
    intune = {
      limit(BOTH, "Write", 100, 20), limit(TENANT, "Write", 200, 20),
      limit(BOTH, "ReadWrite", 1000, 20), limit(TENANT, "ReadWrite", 2000, 20),
    },
    outlook = { limit("Resource", "ReadWrite", 10000, 600), at_once = 4 },
    teams = {
      limit(BOTH, "Read", 30, 1, ONLY.joined), limit(BOTH, "Read", 60, 1, ONLY.members),
      limit(BOTH, "Read", 30, 1, ONLY.reads), limit(BOTH, "Write", 30, 1, ONLY.writes),
      limit(BOTH, "Write", 15, 1, ONLY.deletes), limit("Resource", "ReadWrite", 4, 1),
      limit("Resource", "Write", 4, 60, ONLY.member_adds),
    },
    files = {}, other = {},
  }
  for _, rules in pairs(services) do rules[#rules + 1] = ANYTHING end -- one for all of them
  return services
end

---@class msgraph.sim.LimitOpts
---@field scale? number  every amount times this, at least 1; default 1

---@class msgraph.sim.Limits
---@param opts boolean|"documented"|msgraph.sim.LimitOpts
---@param tenant { id: string, users: integer, speed: number, latency: number }
---@return msgraph.sim.Limits? nil when none are wanted
function M.new(opts, tenant)
  if not opts then return nil end
  local scale = type(opts) == "table" and opts.scale or 1
  return setmetatable({ scale = scale, tenant = tenant, services = table_for(tenant.users), windows = {}, ends = {} },
    Limits)
end

-- ---- counting --------------------------------------------------------------------------------

local function key_of(self, rule, who)
  if rule.by == BOTH then return who.app .. " " .. self.tenant.id end
  return rule.by == APP and who.app or rule.by == TENANT and self.tenant.id or who.resource
end

-- The window of a limit for this caller: how much of it is used, and when it ends.
local function window_of(self, rule, key, now)
  local windows = self.windows[rule] or {}
  self.windows[rule] = windows
  local window = windows[key]
  if not window or now >= window.ends then
    window = { used = 0, ends = (now // rule.seconds + 1) * rule.seconds }
    windows[key] = window
  end
  return window
end

local function applies(rule, request)
  local side = rule.side == "ReadWrite" or rule.side == (request.write and "Write" or "Read")
  return side and not (rule.by == "Resource" and not request.who.resource)
    and not (rule.only and not rule.only(request.method, request.segments))
end

-- What the limits of a request have left: a list of windows to count it in, or the limit that is used up.
local function find_room(self, rules, request, now)
  local room = {}
  for _, rule in ipairs(rules) do
    if applies(rule, request) then
      local window = window_of(self, rule, key_of(self, rule, request.who), now)
      local amount, most = rule.units and request.units or 1, math.max(rule.amount * self.scale, 1)
      if window.used + amount > most then return nil, rule, window end
      room[#room + 1] = { window, amount, most }
    end
  end
  return room
end

-- Seconds of the client's, whole ones where its clock is the tenant's.
local function wait(self, seconds)
  local speed = self.tenant.speed
  if speed == 1 or speed == 0 then return ("%d"):format(math.ceil(seconds)) end
  return ("%.3f"):format(math.ceil(seconds / speed * 1000) / 1000)
end

local function refusal(self, rule, who, seconds)
  local by = rule.by == "Resource" and BOTH or rule.by
  local id = rule.by == "Resource" and who.resource or self.tenant.id
  return {
    retry_after = not rule.silent and wait(self, seconds) or nil,
    scope = ("%s/%s/%s/%s"):format(by, rule.side, who.app, id), reason = rule.reason,
  }
end

-- A mailbox has this many requests under way, each from its arrival until its answer is sent.
local function is_crowded(self, key, most, now)
  local alive = {}
  for _, ends in ipairs(self.ends[key] or {}) do
    if ends > now then alive[#alive + 1] = ends end
  end
  self.ends[key] = alive
  if #alive >= most then return true end
  alive[#alive + 1] = now + self.tenant.latency * math.max(self.tenant.speed, 1)
  return false
end

---@class msgraph.sim.Refusal
---@field retry_after? string  of the header, in the client's seconds
---@field scope string         x-ms-throttle-scope
---@field reason string        x-ms-throttle-information

--- Counts a request, or refuses it.
---@param ctx msgraph.sim.Context
---@return msgraph.sim.Refusal? nil: it may go on
---@return integer? units what it costs the identity service
---@return number? share  of that service's limit that is nearest, what is used up
function Limits:count(ctx)
  local segments = segments_of(ctx.path)
  local service, resource = service_of(segments)
  local units, write = cost_of(ctx.method, segments, ctx.query)
  local who = { app = ctx.caller.client_id or "00000000-0000-0000-0000-000000000000", resource = resource }
  local request = { method = ctx.method, segments = segments, units = units, write = write, who = who }
  local rules = self.services[service]
  local room, rule, window = find_room(self, rules, request, ctx.now)
  if not room then return refusal(self, rule, who, window.ends - ctx.now) end
  if rules.at_once and is_crowded(self, who.app .. " " .. resource, rules.at_once, ctx.now) then
    return refusal(self, { by = "Resource", side = "ReadWrite", reason = "ConcurrencyLimitExceeded" }, who, 1)
  end
  local share = 0
  for _, entry in ipairs(room) do
    entry[1].used = entry[1].used + entry[2]
    share = math.max(share, entry[1].used / entry[3])
  end
  if service == "identity" then return nil, units, share end
end

-- ---- how fast it may go ----------------------------------------------------------------------

--- How long requests take at least, at the rate of the limit that lets the fewest of them through. Limits of one
--- mailbox or team are left out.
---@param requests { method: string, path: string, query: string }[]
---@param users integer how many the tenant has
---@return number seconds
---@return string? limit "reports: 5 in 10 s"
function M.least_seconds(requests, users)
  local services, used, longest, name = table_for(users), {}, 0, nil
  for _, r in ipairs(requests) do
    local segments = segments_of(r.path)
    local service = service_of(segments)
    local units, write = cost_of(r.method, segments, r.query)
    local request = { method = r.method, segments = segments, write = write, who = {} }
    for _, rule in ipairs(services[service]) do
      if applies(rule, request) then used[rule] = (used[rule] or 0) + (rule.units and units or 1) end
    end
  end
  for service, rules in pairs(services) do
    for _, rule in ipairs(rules) do
      local seconds = (used[rule] or 0) / rule.amount * rule.seconds
      if seconds > longest then
        longest, name = seconds, ("%s: %d in %d s"):format(service, rule.amount, rule.seconds)
      end
    end
  end
  return longest, name
end

return M
