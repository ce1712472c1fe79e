--- Whether what was planned may still be done: a read of a person, or of what an operation is about, says what it said
-- when that was planned, or what this run has made of it since.
local json = require "msgraph.json"
local recover = require "msgraph.offboard.recover"
local states = require "msgraph.offboard.journal.states"
local store = require "msgraph.store"

local M = {}

local GONE <const> = "it is gone"

local function same(a, b)
  if a == json.null then a = nil end
  if b == json.null then b = nil end
  return a == b
end

-- The values a property may have: as planned, or as operations of this run have set it or may have.
local function allowed(subject, name, planned)
  local values = { planned }
  for _, op in ipairs(subject.ops) do
    local set = op.desired.sets and op.desired.sets[name]
    if set ~= nil and states.WELL[op.state] then
      values = { set }
    elseif set ~= nil and op.attempts > 0 then
      values[#values + 1] = set
    end
  end
  return values
end

local function holds(subject, name, planned, found)
  for _, value in ipairs(subject and allowed(subject, name, planned) or { planned }) do
    if same(value, found) then return true end
  end
  return false
end

-- Until when a read may not show yet what this run has set, Unix ms.
local function shown_from(subject, name)
  local from = 0
  for _, op in ipairs(subject and subject.ops or {}) do
    local has_set = op.desired.sets and op.desired.sets[name] ~= nil and op.attempts > 0
    if has_set then from = math.max(from, (op.intent_at or 0) + math.ceil(recover.settle_of(op) * 1000)) end
  end
  return from
end

--- Why a guard does not hold.
---@param client msgraph.Client
---@param guard { path: string, expect: table?, gone: string? } gone: what to say while the thing is still there
---@param subject? msgraph.journal.Subject whose operations may have set what is compared
---@return string? why nil: it holds, or that can not be told
---@return msgraph.Error? err it could not be read
---@return integer? again_at Unix ms: a replica may have answered that does not know of our own writes
function M.broken(client, guard, subject)
  local body, err = client:get(guard.path)
  if err and err.kind == "not_found" then return not guard.gone and GONE or nil end
  if err then return nil, err end
  if guard.gone then return guard.gone end
  for name, planned in pairs(guard.expect) do
    if not holds(subject, name, planned, body[name]) then
      local from = shown_from(subject, name)
      if from > store.now() then return nil, nil, from end
      return ("%s is not what it was when this was planned"):format(name)
    end
  end
end

--- What a guard that does not hold makes of an operation: what was to be deleted, and is gone, is as it should be.
---@param why string of M.broken
---@return "unchanged"|"needs_human"|"drifted"
function M.state_of(op, why)
  local is_its_own = op.desired.method == "DELETE" and (op.guard.path or ""):match "^[^?]*" == op.desired.path
  if why == GONE and is_its_own then return "unchanged" end
  return op.guard.gone and "needs_human" or "drifted"
end

return M
