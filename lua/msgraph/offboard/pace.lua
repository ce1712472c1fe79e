--- When an operation may be sent for which the throttle gate is shut.
--
-- What waits in the gate waits with its deadline running, its person claimed and its intent on the disk. So the gate is
-- asked before anything is written, and where it is shut for long, the operation is given a place in line: a time at
-- which it has its turn if the service lets through what is published. Until then its person is given back and others
-- go on: sign-in is blocked for everybody while phones are removed, of which five in ten seconds are allowed. The gate
-- has the last word: who finds it shut when his turn comes goes to the end of the line.
local core = require "msgraph.core"
local query = require "msgraph.query"

local M = {}

local SOON <const> = 2000 -- ms; so long may be waited in the gate

---@class msgraph.offboard.Pace
---@field package parts msgraph.core.Parts
---@field package lines table<integer, integer> load to the last place given, ms
---@field package places table<string, integer>
local Pace = {}
Pace.__index = Pace

-- For how many ms the gate is shut; what is held up together; ms between two of the kind at the published rate.
local function ask(parts, desired)
  local target = query.target(desired.method, desired.path)
  local load = core.load(desired.method, target)
  local part, at = parts:admit(load)
  if part then parts:withdraw(part) end
  return at and (at - core.now()) * 1000 or 0, load, core.spacing(desired.method, target)
end

--- When an operation has its turn.
---@param key string its name: its place is kept under it
---@param desired { method: string, path: string }
---@param now integer ms
---@return integer? at ms; nil: now
function Pace:wait(key, desired, now)
  local place = self.places[key]
  if place and place > now then return place end
  local shut, load, spacing = ask(self.parts, desired)
  local last = self.lines[load] or 0
  if shut <= SOON and (place or last <= now) then
    self.places[key] = nil
    return nil
  end
  place = math.ceil(math.max(now + shut, last + spacing))
  self.places[key], self.lines[load] = place, place
  return place
end

---@param client msgraph.Client
---@return msgraph.offboard.Pace
function M.new(client)
  return setmetatable({ parts = client.origin:parts(), lines = {}, places = {} }, Pace)
end

return M
