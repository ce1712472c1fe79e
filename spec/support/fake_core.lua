-- spec/support/fake_core.lua
--- A transport and a clock the spec turns: stands in for msgraph.core under loop.lua and task.lua.
--
-- A request is a table { after = seconds, answer = any, failure = any }; it finishes on the fake
-- clock, and waiting costs no time.
local M = {}

local Transport = {}
Transport.__index = Transport

function Transport:submit(_, request)
  local core = self.core
  core.ids = core.ids + 1
  self.pending[core.ids] = { at = core.clock + (request.after or 0), request = request }
  core.sent = core.sent + 1
  core.most_pending = math.max(core.most_pending, self:count())
  return core.ids
end

function Transport:count()
  local n = 0
  for _ in pairs(self.pending) do n = n + 1 end
  return n
end

local function finish(self, id, response, failure)
  self.pending[id] = nil
  self.finished[#self.finished + 1] = { id, response, failure }
end

function Transport:earliest(limit)
  local first
  for id, one in pairs(self.pending) do
    local best = first and self.pending[first]
    if one.at <= limit and (not best or one.at < best.at or one.at == best.at and id < first) then first = id end
  end
  return first
end

function Transport:step(wait)
  local core = self.core
  if core.on_step then core.on_step() end
  if #self.finished > 0 then return #self.finished end
  local first = self:earliest(core.clock + wait)
  if not first then
    core.clock = core.clock + wait
    return 0
  end
  core.clock = math.max(core.clock, self.pending[first].at)
  while first do
    finish(self, first, self.pending[first].request.answer or { id = first }, self.pending[first].request.failure)
    first = self:earliest(core.clock)
  end
  return #self.finished
end

function Transport:take()
  local one = table.remove(self.finished, 1)
  if one then return one[1], not one[3] and one[2] or nil, one[3] end
end

function Transport:cancel(id)
  if not self.pending[id] then return false end
  self.core.cancelled = self.core.cancelled + 1
  finish(self, id, nil, { code = "cancelled", kind = "cancelled", message = "cancelled", phase = "sent" })
  return true
end

function Transport:pollfd() return self.core.ids end
-- As the core does: in the child of a fork every call of the parent's transport raises.
function Transport:timeout()
  if self.process ~= self.core.process then error("made by another process") end
end

function Transport:wake(at)
  self.core.wakes_at = at
end

function Transport:close()
  self.core.open = self.core.open - 1
end

--- Fresh loop, task and devices modules over a fresh fake.
---@return table core, table loop, table task, table devices
function M.new()
  local core = { clock = 0, ids = 0, sent = 0, most_pending = 0, cancelled = 0, open = 0, process = 1 }
  function core.now() return core.clock end
  function core.transport()
    core.open = core.open + 1
    return setmetatable({ core = core, process = core.process, pending = {}, finished = {} }, Transport)
  end
  core.segment = require("msgraph.core").segment
  local names, saved = { "msgraph.core", "msgraph.loop", "msgraph.task", "msgraph.devices" }, {}
  for _, name in ipairs(names) do saved[name], package.loaded[name] = package.loaded[name], nil end
  package.loaded["msgraph.core"] = core
  local loop, task, devices = require "msgraph.loop", require "msgraph.task", require "msgraph.devices"
  for _, name in ipairs(names) do package.loaded[name] = saved[name] end
  return core, loop, task, devices
end

return M
