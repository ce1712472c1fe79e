-- lua/msgraph/http_date.lua
--- Reads the date of an HTTP answer (RFC 9110 5.6.7, the form that is sent).
local M = {}

local MONTHS = {}
for i, name in ipairs { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" } do
  MONTHS[name] = i
end

-- Days from 1970-01-01 to a day of the Gregorian calendar, counted in years that begin in March.
local function days(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719469
end

---@param text? string "Sun, 06 Nov 1994 08:49:37 GMT"
---@return integer? seconds of Unix time; nil: it is no such date
function M.parse(text)
  local day, name, year, hour, minute, second = (text or ""):match
    "^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"
  local month = MONTHS[name]
  if not month then return nil end
  day, year = math.tointeger(day), math.tointeger(year)
  return days(year, month, day) * 86400 + tonumber(hour) * 3600 + tonumber(minute) * 60 + tonumber(second)
end

return M
