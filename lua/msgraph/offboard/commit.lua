--- Group commit: what several tasks want written at the same moment is written in one transaction.
local loop = require "msgraph.loop"
local task = require "msgraph.task"

local M = {}

---@class msgraph.offboard.Commit
local Commit = {}
Commit.__index = Commit

local BUSY_TRIES <const> = 50 -- of another process that holds the journal, 100 ms each

local function write(self, items)
  for _ = 1, BUSY_TRIES do
    local results, err = self.write(items)
    if not err or err.code ~= "journal_busy" then return results, err end
    task.sleep(0.1)
  end
  return self.write(items)
end

local function flush(self)
  loop.rest() -- whoever is about to want something written, does so first
  local slots, items = self.slots, {}
  self.slots = {}
  for i, slot in ipairs(slots) do items[i] = slot.item end
  local ok, results, err = pcall(write, self, items)
  for i, slot in ipairs(slots) do
    if not ok then
      slot.problem = results
    else
      slot.result, slot.err = results and (results == true or results[i]), err
    end
    loop.wake(slot.waiter)
  end
end

--- Has an item written and waits until it is. Raises what the writing raised.
---@param item table
---@return any? result its own, where the writer returns a list
---@return msgraph.Error?
function Commit:put(item)
  local slot = { item = item }
  self.slots[#self.slots + 1] = slot
  if #self.slots == 1 then task.spawn(flush, self) end
  loop.wait_for(function(waiter) slot.waiter = waiter end)
  if slot.problem then error(slot.problem, 0) end
  return slot.result, slot.err
end

---@param fn fun(items: table[]): true|table[]?, msgraph.Error?
---@return msgraph.offboard.Commit
function M.new(fn)
  return setmetatable({ write = fn, slots = {} }, Commit)
end

return M
