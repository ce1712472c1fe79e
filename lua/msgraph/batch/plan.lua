-- lua/msgraph/batch/plan.lua
--- Which requests travel together, and in which order. Pure: no I/O; the time and the throttle gate are handed in.
--
-- Graph takes three shapes of batch and refuses every other as a whole (FACTS 5): no part depends on
-- another; each part on the one before it; all on the first. Any graph of dependencies becomes a row
-- of such batches: what waits for nothing goes side by side; where a train (a chain, or a first part
-- with those that wait for it) carries at least as much as that, the train goes.
--
-- Three things hold an item back. What it `needs` must have succeeded. What it comes `after` must have
-- ended, either way: an earlier write to the same directory object, since the service refuses two at
-- once (FACTS 0.15) and runs the parts of a batch in any order. And the gate must admit it: whatever flies
-- has been admitted, and nothing else is.
local M = {}

local SIZE = 20 -- parts in a batch (FACTS 5)
local LOW_TURN = 8 -- one batch in so many is filled with those of low priority first, so that they do not starve

---@class msgraph.batch.Item
---@field version? string      "v1.0", "beta"; nil: it travels alone
---@field needs? msgraph.batch.Item[]  must have succeeded before it is acted on
---@field object? string       the directory object it writes to
---@field due? number          not before this time
---@field low? boolean         goes when no other wants to
---@field most? integer        travels with so many at most, itself counted
---@field state "waiting"|"flying"|"done"|"failed"
---@field parent? msgraph.batch.Item  the part before it, while it flies in a train
---@field package after? msgraph.batch.Item
---@field package riders? msgraph.batch.Item[]  those that wait for it

---@class msgraph.batch.Gate
---@field admit fun(gate: msgraph.batch.Gate, item: msgraph.batch.Item): number? nil: it goes; else when to ask again
---@field withdraw fun(gate: msgraph.batch.Gate, item: msgraph.batch.Item) it was admitted, and does not go

---@class msgraph.batch.Plan
---@field waiting integer how many wait
---@field package gate msgraph.batch.Gate
local Plan = {}
Plan.__index = Plan

---@param gate msgraph.batch.Gate
---@return msgraph.batch.Plan
function M.new(gate)
  local low = {} -- where those of low priority begin
  local plan = setmetatable({ waiting = 0, writers = {}, gate = gate, turn = 0, low = low }, Plan)
  plan.next, plan.prev, low.next, low.prev = low, low, plan, plan -- a ring with the plan as its end
  return plan
end

local function link(plan, item, before)
  item.next, item.prev = before, before.prev
  before.prev.next, before.prev = item, item
  item.state = "waiting"
  plan.waiting = plan.waiting + 1
end

local function unlink(plan, item)
  item.prev.next, item.next.prev = item.next, item.prev
  item.next, item.prev = nil, nil
  plan.waiting = plan.waiting - 1
end

local function has_ended(item)
  return item.state == "done" or item.state == "failed"
end

local function ride(item, on)
  local riders = on.riders or {}
  on.riders = riders
  if riders[#riders] ~= item then riders[#riders + 1] = item end -- needed twice is needed
end

--- Takes an item in. What it needs has been added before.
---@param item msgraph.batch.Item
function Plan:add(item)
  link(self, item, item.low and self or self.low)
  if item.needs then
    for _, needed in ipairs(item.needs) do ride(item, needed) end
  end
  local object = item.object
  if not object then return end
  local writer = self.writers[object]
  if writer then
    item.after = writer
    ride(item, writer)
  end
  self.writers[object] = item
end

local function does_need(item, wanted)
  for _, needed in ipairs(item.needs or {}) do
    if needed == wanted then return true end
  end
  return false
end

-- Whether something holds the item back that is not aboard the same train.
local function is_held(item, aboard)
  local after, needs = item.after, item.needs
  if after and not aboard[after] then return true end
  if not needs then return false end
  for _, needed in ipairs(needs) do
    if needed.state ~= "done" and not aboard[needed] then return true end
  end
  return false
end

-- ---- a batch is filled --------------------------------------------------------------------------

local function new_batch(shape)
  return { shape = shape, size = SIZE }
end

local function has_room(batch, item)
  local first, most = batch[1], item.most
  return not (first and item.version ~= first.version or #batch >= batch.size or most and #batch >= most)
end

local function board(batch, item)
  batch[#batch + 1] = item
  if not item.version then
    batch.size = 1
  elseif item.most and item.most < batch.size then
    batch.size = item.most
  end
end

local function may_ride(batch, item, aboard, now)
  return item.state == "waiting" and (item.due or 0) <= now and not is_held(item, aboard) and has_room(batch, item)
end

-- Each part on the one before.
local function chain_from(item, now)
  local batch, aboard = new_batch "chain", {}
  while item do
    board(batch, item)
    aboard[item] = true
    local riders
    riders, item = item.riders, nil
    for _, rider in ipairs(riders or {}) do
      if may_ride(batch, rider, aboard, now) then
        item = rider
        break
      end
    end
  end
  return batch
end

-- All on the first.
local function star_from(item, now)
  local batch, aboard = new_batch "star", { [item] = true }
  board(batch, item)
  for _, rider in ipairs(item.riders) do
    if may_ride(batch, rider, aboard, now) then board(batch, rider) end
  end
  return batch
end

-- The longest train that one of these could pull, if it carries as much as they do.
local function train_instead(abreast, now)
  local best = abreast
  for i = 1, #abreast do
    local item = abreast[i]
    if item.riders then
      local chain, star = chain_from(item, now), star_from(item, now)
      local train = #star > #chain and star or chain
      if #train > 1 and #train >= #best then best = train end
    end
  end
  return best
end

-- Whether the gate lets all go that ride on a train's first, which it has admitted; else none of them.
local function admit_riders(gate, train)
  for i = 2, #train do
    if gate:admit(train[i]) then
      for n = 2, i - 1 do gate:withdraw(train[n]) end
      return false
    end
  end
  return true
end

local function choose(gate, abreast, now)
  local train = train_instead(abreast, now)
  if train == abreast or not admit_riders(gate, train) then return abreast end
  for i = 1, #abreast do
    if abreast[i] ~= train[1] then gate:withdraw(abreast[i]) end
  end
  return train
end

local function depart(plan, batch)
  local shape, first = batch.shape, batch[1]
  for i = 1, #batch do
    local item = batch[i]
    unlink(plan, item)
    item.state = "flying"
    if shape and i > 1 then item.parent = shape == "chain" and batch[i - 1] or first end
  end
  return batch
end

local NOBODY = {}

-- Those that wait for nothing, oldest first; and when the next may go that waits for a time. Begins behind `start`.
local function abreast(plan, now, start)
  local gate, batch, due = plan.gate, new_batch(), nil
  local item = start.next
  while item ~= start and #batch < batch.size do
    local at = item.due
    if not at or at <= now then
      at = nil
      if item.state and has_room(batch, item) and not is_held(item, NOBODY) then
        at = gate:admit(item)
        if not at then board(batch, item) end
      end
    end
    if at and (not due or at < due) then due = at end
    item = item.next
  end
  return batch, due
end

--- The next batch that may go now; its items fly from now on.
---@param now number
---@return msgraph.batch.Item[]? batch each item with its `parent`, the part it depends on, if any
---@return number? due without a batch: when it is worth asking again, nil when nobody waits for a time
function Plan:take(now)
  local batch, due = abreast(self, now, (self.turn + 1) % LOW_TURN == 0 and self.low or self)
  if #batch == 0 then return nil, due end
  self.turn = self.turn + 1
  return depart(self, choose(self.gate, batch, now))
end

-- ---- items come back ----------------------------------------------------------------------------

local function land(plan, item)
  item.parent = nil
  if item.state == "waiting" then unlink(plan, item) end
end

--- An item that flew goes again, before the others of its priority.
---@param item msgraph.batch.Item
---@param due? number not before
function Plan:again(item, due)
  land(self, item)
  item.due = due
  link(self, item, item.low and self.low.next or self.next)
end

-- Those that came after an item come after what it came after: it may end first, unsent.
local function hand_on(plan, item)
  local before, object = item.after, item.object
  if before and has_ended(before) then before = nil end
  if plan.writers[object] == item then plan.writers[object] = before end
  item.after = nil
  if not item.riders then return end
  for _, rider in ipairs(item.riders) do
    if rider.after == item then
      rider.after = before
      if before and not does_need(rider, before) then ride(rider, before) end -- else it does already
    end
  end
end

--- An item has ended, whether it flew or waited.
---@param item msgraph.batch.Item
---@param ok boolean
---@return msgraph.batch.Item[]? lost those that needed it: the caller finishes them as well
function Plan:finish(item, ok)
  land(self, item)
  item.state = ok and "done" or "failed"
  if item.object then hand_on(self, item) end
  if ok or not item.riders then return nil end
  local lost
  for _, rider in ipairs(item.riders) do
    if rider.state == "waiting" and does_need(rider, item) then
      lost = lost or {}
      lost[#lost + 1] = rider
    end
  end
  return lost
end

return M
