-- lua/msgraph/batch/plan.lua
--- Which requests travel together, and in which order. Pure: no I/O, the time is handed in.
--
-- Graph takes three shapes of batch and refuses every other as a whole (FACTS 5): no part depends on
-- another; each part on the one before it; all on the first. Any graph of dependencies becomes a row
-- of such batches: what waits for nothing goes side by side; where a train (a chain, or a first part
-- with those that wait for it) carries at least as much as that, the train goes.
--
-- Two things hold an item back. What it `needs` must have succeeded. What it comes `after` must have
-- ended, either way: an earlier write to the same directory object, since the service refuses two at
-- once (FACTS 0.15) and runs the parts of a batch in any order.
local M = {}

local SIZE = 20 -- parts in a batch (FACTS 5)
local PER_MAILBOX = 4 -- requests to one mailbox at a time (FACTS 4, 5)

---@class msgraph.batch.Item
---@field version? string      "v1.0", "beta"; nil: it travels alone
---@field needs? msgraph.batch.Item[]  must have succeeded before it is acted on
---@field object? string       the directory object it writes to
---@field mailbox? string      the mailbox it reads or writes
---@field due? number          not before this time
---@field most? integer        travels with so many at most, itself counted
---@field state "waiting"|"flying"|"done"|"failed"
---@field parent? msgraph.batch.Item  the part before it, while it flies in a train
---@field package after? msgraph.batch.Item
---@field package riders? msgraph.batch.Item[]  those that wait for it

---@class msgraph.batch.Plan
---@field waiting integer how many wait
local Plan = {}
Plan.__index = Plan

---@return msgraph.batch.Plan
function M.new()
  local plan = setmetatable({ waiting = 0, writers = {}, mailboxes = {} }, Plan)
  plan.next, plan.prev = plan, plan -- a ring with the plan as its end
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
  link(self, item, self)
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

local function new_batch(plan, shape)
  return { plan = plan, shape = shape, size = SIZE }
end

local function has_room(batch, item)
  local first, most = batch[1], item.most
  if first and item.version ~= first.version or #batch >= batch.size or most and #batch >= most then return false end
  local mailbox = item.mailbox
  if not mailbox then return true end
  local aboard = batch.mailboxes and batch.mailboxes[mailbox] or 0
  return (batch.plan.mailboxes[mailbox] or 0) + aboard < PER_MAILBOX
end

local function board(batch, item)
  batch[#batch + 1] = item
  if not item.version then
    batch.size = 1
  elseif item.most and item.most < batch.size then
    batch.size = item.most
  end
  local mailbox = item.mailbox
  if not mailbox then return end
  batch.mailboxes = batch.mailboxes or {}
  batch.mailboxes[mailbox] = (batch.mailboxes[mailbox] or 0) + 1
end

local function may_ride(batch, item, aboard, now)
  return item.state == "waiting" and (item.due or 0) <= now and not is_held(item, aboard) and has_room(batch, item)
end

-- Each part on the one before.
local function chain_from(plan, item, now)
  local batch, aboard = new_batch(plan, "chain"), {}
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
local function star_from(plan, item, now)
  local batch, aboard = new_batch(plan, "star"), { [item] = true }
  board(batch, item)
  for _, rider in ipairs(item.riders) do
    if may_ride(batch, rider, aboard, now) then board(batch, rider) end
  end
  return batch
end

-- The longest train that one of these could pull, if it carries as much as they do.
local function train_instead(plan, abreast, now)
  local best = abreast
  for i = 1, #abreast do
    local item = abreast[i]
    if item.riders then
      local chain, star = chain_from(plan, item, now), star_from(plan, item, now)
      local train = #star > #chain and star or chain
      if #train > 1 and #train >= #best then best = train end
    end
  end
  return best
end

local function depart(plan, batch)
  local shape, first = batch.shape, batch[1]
  for i = 1, #batch do
    local item = batch[i]
    unlink(plan, item)
    item.state = "flying"
    if shape and i > 1 then item.parent = shape == "chain" and batch[i - 1] or first end
    local mailbox = item.mailbox
    if mailbox then plan.mailboxes[mailbox] = (plan.mailboxes[mailbox] or 0) + 1 end
  end
  return batch
end

local NOBODY = {}

-- Those that wait for nothing, oldest first; and when the next may go that waits for a time.
local function abreast(plan, now)
  local batch, due = new_batch(plan), nil
  local item = plan.next
  while item ~= plan and #batch < batch.size do
    if (item.due or 0) > now then
      due = due and due < item.due and due or item.due
    elseif has_room(batch, item) and not is_held(item, NOBODY) then
      board(batch, item)
    end
    item = item.next
  end
  return batch, due
end

--- The next batch that may go now; its items fly from now on.
---@param now number
---@return msgraph.batch.Item[]? batch each item with its `parent`, the part it depends on, if any
---@return number? due without a batch: when it is worth asking again, nil when nobody waits for a time
function Plan:take(now)
  local batch, due = abreast(self, now)
  if #batch == 0 then return nil, due end
  return depart(self, train_instead(self, batch, now))
end

-- ---- items come back ----------------------------------------------------------------------------

local function land(plan, item)
  item.parent = nil
  if item.state == "waiting" then return unlink(plan, item) end
  local mailbox = item.mailbox
  if not mailbox then return end
  local count = plan.mailboxes[mailbox] - 1
  plan.mailboxes[mailbox] = count > 0 and count or nil
end

--- An item that flew goes again, before the others.
---@param item msgraph.batch.Item
---@param due? number not before
function Plan:again(item, due)
  land(self, item)
  item.due = due
  link(self, item, self.next)
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
      if before then ride(rider, before) end
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
