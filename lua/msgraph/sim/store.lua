-- lua/msgraph/sim/store.lua - one tenant's users and devices, and what has become of them.
--
-- Nothing is stored but what changed. A user or a device is made from the seed when it is asked
-- for, so a tenant of any size starts at once; how far a retire has come is worked out from the time
-- it was asked for, so no timer runs.
local random = require "msgraph.sim.random"
local people = require "msgraph.sim.people"
local hardware = require "msgraph.sim.hardware"

local M = {}

local Store = {}
Store.__index = Store

--- User -> the store that made it.
M.of = setmetatable({}, { __mode = "k" })

--- Things made lately: as many as a page or two, so that polling the same user costs nothing.
local CACHE <const> = 4096

--- Remembers what `make` gave under a key.
local function new_cache(make)
  local things, n = {}, 0
  return function(key, ...)
    local thing = things[key]
    if not thing then
      if n == CACHE then things, n = {}, 0 end
      thing, n = make(...), n + 1
      things[key] = thing
    end
    return thing
  end
end

---@class msgraph.sim.Store
---@param seed integer
---@param users integer how many
---@return msgraph.sim.Store
function M.new(seed, users)
  return setmetatable({
    seed = seed, size = users,
    asked = {}, wiped = {}, deleted = {}, -- devices by index: when to leave; by a wipe; their record is gone
    changed = {}, gone = {}, -- users by index: properties that differ now; deleted
    facts = {}, -- key -> what is not as the seed has it: see msgraph.sim.relation
    changes = { users = {}, groups = {} }, -- in their order: indexes of users; { group =, member =, is_in = }
    users = new_cache(people.user), hardware = new_cache(hardware.device),
  }, Store)
end

-- ---- users -----------------------------------------------------------------------------------

--- The user with this number, deleted ones as well, or nil past the end.
---@return msgraph.sim.User?
function Store:user(index)
  if index < 1 or index > self.size then return nil end
  local user = self.users(index, self.seed, index)
  if not user.devices then
    user.devices, M.of[user] = hardware.count(self.seed, user), self
  end
  for name, value in pairs(self.changed[index] or {}) do user[name] = value end
  return user
end

--- Takes down a change for those who ask for changes.
---@param set "users"|"groups"
---@param change any
function Store:note(set, change)
  local changes = self.changes[set]
  changes[#changes + 1] = change
end

--- Gives a user other properties.
---@param user msgraph.sim.User
---@param properties table
function Store:change_user(user, properties)
  self.changed[user.index] = self.changed[user.index] or {}
  for name, value in pairs(properties) do self.changed[user.index][name] = value end
  self:note("users", user.index)
end

--- Deletes a user; his devices stay with Intune.
---@param user msgraph.sim.User
function Store:delete_user(user)
  self.gone[user.index] = true
  self:note("users", user.index)
end

--- Brings a deleted user back.
---@param user msgraph.sim.User
function Store:restore_user(user)
  self.gone[user.index] = nil
  self:note("users", user.index)
end

--- What is known beside what the seed says; nil: nothing.
---@param key string
---@return any
function Store:get(key)
  return self.facts[key]
end

---@param key string
---@param value any
function Store:set(key, value)
  self.facts[key] = value
end

--- The user with this object id or principal name, in any letter case.
---@param key string
---@return msgraph.sim.User?
function Store:find_user(key)
  local index = random.index(self.seed, people.KIND, key)
  local upn = not index and key:lower()
  index = index or people.index_of(upn)
  local user = index and not self.gone[index] and self:user(index)
  return user and (not upn or user.userPrincipalName:lower() == upn) and user or nil
end

-- ---- devices ---------------------------------------------------------------------------------

---@class msgraph.sim.Retire  or a wipe
---@field name "retire"|"wipe"
---@field state string       managementState
---@field action string      actionState of the retire
---@field started number     Unix seconds
---@field updated number     Unix seconds

--- How far a retire or wipe asked for at `asked` has come by now: nil when the device has left.
---@param device msgraph.sim.Hardware
---@param name "retire"|"wipe"
---@param asked number
---@param now number
---@return msgraph.sim.Retire?
local function progress(device, name, asked, now)
  local function at(state, action, updated)
    return { name = name, state = state, action = action, started = asked, updated = updated }
  end
  if name == "retire" and device.outcome == "notSupported" then return at("managed", "notSupported", asked) end
  local check_in = hardware.next_check_in(device, asked)
  if not check_in or now < check_in then return at(name .. "Pending", "pending", asked) end
  local done = check_in + device.work
  if now < done then return at(name .. "Issued", "active", check_in) end
  if device.outcome == "fails" then return at(name .. "Failed", "failed", done) end
  return nil
end

--- How far a remote lock has come: only phones, tablets and Macs know one.
local function lock_progress(device, asked, now)
  if device.platform.os == "Windows" then return { action = "notSupported", started = asked, updated = asked } end
  local check_in = hardware.next_check_in(device, asked)
  local is_done = check_in and now >= check_in
  return { action = is_done and "done" or "pending", started = asked, updated = is_done and check_in or asked }
end

---@class msgraph.sim.Device: msgraph.sim.Hardware
---@field managementState string
---@field retire? msgraph.sim.Retire
---@field lock? { action: string, started: number, updated: number }  of a remote lock
---@field lastSync number   Unix seconds

--- A user's device as it is now, or nil when there is none or it has left.
---@return msgraph.sim.Device?
function Store:device_of(user, ordinal, now)
  if ordinal < 1 or ordinal > user.devices then return nil end
  local index = user.index * hardware.PER_USER + ordinal
  if self.deleted[index] then return nil end
  local device, asked = self.hardware(index, self.seed, user, ordinal), self.asked[index]
  device.retire = asked and progress(device, self.wiped[index] and "wipe" or "retire", asked, now)
  device.enrolled = self:get("enrolled/" .. index) or device.enrolled
  if asked and not device.retire then return nil end
  local locked = self:get("lock/" .. index)
  device.lock = locked and lock_progress(device, locked, now)
  device.managementState = device.retire and device.retire.state or "managed"
  device.lastSync = hardware.last_check_in(device, now)
  return device
end

---@return msgraph.sim.Device[]
function Store:devices_of(user, now)
  local devices = {}
  for ordinal = 1, user.devices do
    devices[#devices + 1] = self:device_of(user, ordinal, now)
  end
  return devices
end

---@param id string
---@return msgraph.sim.Device?
function Store:find_device(id, now)
  local index = random.index(self.seed, hardware.KIND, id)
  local user = index and self:user(index // hardware.PER_USER)
  return user and self:device_of(user, index % hardware.PER_USER, now) or nil
end

local ON_ITS_WAY = { retirePending = true, retireIssued = true, wipePending = true, wipeIssued = true }

--- Asks a device to retire, or to wipe itself. While it is on its way already, nothing changes.
---@param device msgraph.sim.Device
---@param wipe? boolean
function Store:retire(device, now, wipe)
  if ON_ITS_WAY[device.managementState] then return end
  self.asked[device.index], self.wiped[device.index] = now, wipe or nil
end

--- Enrols a device anew.
---@param device msgraph.sim.Device
function Store:enroll(device, now)
  self:set("enrolled/" .. device.index, now)
  device.properties = nil -- those that were shown
end

--- Removes a device's record at once.
---@param device msgraph.sim.Device
function Store:delete(device)
  self.deleted[device.index] = true
end

-- ---- walking: a position is a number that only grows ------------------------------------------

--- The first user at or after a position, and the position after it.
---@return msgraph.sim.User?
---@return integer next
function Store:next_user(position)
  while self.gone[position] do position = position + 1 end
  return self:user(position), position + 1
end

--- The first device at or after a position, and the position after it.
---@return msgraph.sim.Device?
---@return integer next
function Store:next_device(position, now)
  local index, ordinal = position // hardware.PER_USER, position % hardware.PER_USER
  local user = self:user(math.max(index, 1))
  while user do
    for n = math.max(ordinal, 1), user.devices do
      local device = self:device_of(user, n, now)
      if device then return device, device.index + 1 end
    end
    user, ordinal = self:user(user.index + 1), 1
  end
  return nil, (self.size + 1) * hardware.PER_USER
end

--- Positions of a user, and of a user's devices: first, last.
function Store.user_range(user)
  return user.index, user.index
end

function Store.device_range(user)
  return user.index * hardware.PER_USER, user.index * hardware.PER_USER + hardware.PER_USER - 1
end

return M
