-- lua/msgraph/sim/replica.lua - what reads see while writes take their time to arrive.
--
-- A second store, to which every write is done once more, as many seconds later as reads lag behind. Stores are
-- made from the seed, so the same writes in the same order make the same store.
local M = {}

local Replica = {}
Replica.__index = Replica

---@class msgraph.sim.Replica
---@param store msgraph.sim.Store one as it is before the first write
---@param lag number seconds of tenant time
---@return msgraph.sim.Replica
function M.new(store, lag)
  return setmetatable({ store = store, lag = lag, writes = {}, first = 1, last = 0 }, Replica)
end

--- Takes a write to be done when its time has come.
---@param now number
---@param write fun(store: msgraph.sim.Store)
function Replica:add(now, write)
  self.last = self.last + 1
  self.writes[self.last] = { due = now + self.lag, write = write }
end

--- The store as reads see it now.
---@param now number
---@return msgraph.sim.Store
function Replica:at(now)
  while self.first <= self.last and self.writes[self.first].due <= now do
    local write = self.writes[self.first].write
    self.writes[self.first] = nil
    self.first = self.first + 1
    write(self.store)
  end
  return self.store
end

return M
