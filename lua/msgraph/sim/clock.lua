-- lua/msgraph/sim/clock.lua - the tenant's time.
--
-- It starts at a fixed date unless told otherwise, so that nothing in a tenant depends on the day a
-- spec runs, and passes `speed` times as fast as the clock handed in; `advance` moves it by hand.
local M = {}

local Clock = {}
Clock.__index = Clock

local WEEKDAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }

--- Friday, 4 September 2026, 08:00:00 UTC, in Unix seconds: when a tenant begins.
M.START = 1788508800

---@class msgraph.sim.Clock
---@param source fun(): number monotonic seconds
---@param speed number tenant seconds per second of the source
---@param start? number Unix seconds when it begins; default M.START
---@return msgraph.sim.Clock
function M.new(source, speed, start)
  return setmetatable({ source = source, speed = speed, start = start or M.START, begun = source(), advanced = 0 },
    Clock)
end

--- Unix seconds, with fraction.
---@return number
function Clock:now()
  return self.start + (self.source() - self.begun) * self.speed + self.advanced
end

---@param seconds number
function Clock:advance(seconds)
  self.advanced = self.advanced + seconds
end

local function fields(time)
  return os.date("!*t", math.floor(time))
end

--- "2026-09-04T08:00:00Z", the form of Graph's Edm.DateTimeOffset.
---@param time number Unix seconds
function M.iso(time)
  return M.naive(time) .. "Z"
end

--- "2026-09-04T08:00:00", the form in innerError.
---@param time number Unix seconds
function M.naive(time)
  local d = fields(time)
  return string.format("%04d-%02d-%02dT%02d:%02d:%02d", d.year, d.month, d.day, d.hour, d.min, d.sec)
end

--- "Fri, 04 Sep 2026 08:00:00 GMT", the form of HTTP (RFC 9110 5.6.7), whatever the locale.
---@param time number Unix seconds
function M.http(time)
  local d = fields(time)
  return string.format("%s, %02d %s %04d %02d:%02d:%02d GMT",
    WEEKDAYS[d.wday], d.day, MONTHS[d.month], d.year, d.hour, d.min, d.sec)
end

return M
