-- lua/msgraph/offboard/needs.lua
--- Which permissions carrying out a plan takes, and which of them a token lacks, by action. Asks nobody.
--
-- What counts is what the plan would send: an action that has nothing to do for anybody needs nothing. Requests that
-- the index does not know (own steps may have such) are not judged.
local actions = require "msgraph.offboard.actions"
local permissions = require "msgraph.permissions"
local reads = require "msgraph.offboard.reads"

local M = {}

M.OPAQUE = "the token does not say which permissions it has: whether they suffice shows when they are used"

---@class msgraph.offboard.Need
---@field action string  of the catalogue, or the name of an own step's stage
---@field call string    "PATCH /users/{user-id}"
---@field least? string  the least privileged permission that would do; nil: none of this kind of token would
---@field any string[]   all that would do

local ID <const> = "%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x"

-- Tells each request that may be sent or read for the plan, once for each action: call(action, method, path).
local function each_call(body, call)
  local seen = {}
  local function once(action, method, path)
    local key = ("%s %s %s"):format(action, method, path:gsub("%?.*$", ""):gsub(ID, "{id}"))
    if not seen[key] then
      seen[key] = true
      call(action, method, path)
    end
  end
  for _, subject in ipairs(body.subjects) do
    for _, op in ipairs(subject.ops) do
      local action = actions.find(op.action)
      local name = action and action.id or op.stage
      if op.desired.method then once(name, op.desired.method, op.desired.path) end
      if op.guard and op.guard.path then once(name, "GET", op.guard.path) end
      for _, read in ipairs(op.desired.method and action and action.reads or {}) do
        once(name, reads.call(read):match "^(%S+) (%S+)$")
      end
    end
  end
end

-- The kind of token, and what it was granted.
local function granted_to(who)
  local kind = #who.scopes > 0 and "delegated" or "application"
  local granted = {}
  for _, name in ipairs(kind == "delegated" and who.scopes or who.roles) do granted[name] = true end
  return kind, granted
end

--- What a token lacks for a plan.
---@param plan msgraph.offboard.Plan
---@param who msgraph.Who of client:whoami()
---@return msgraph.offboard.Need[]? missing sorted by action; nil: the token does not say which permissions it has
---@return string? kind "delegated" or "application"
function M.missing(plan, who)
  if not who.scopes then return nil end
  local kind, granted = granted_to(who)
  local missing, seen = {}, {}
  each_call(plan.body, function(action, method, path)
    local needs = permissions.find(method, path)
    local call = needs and needs.method .. " " .. needs.path
    if not needs or seen[action .. call] or permissions.suffice(granted, needs.all[kind]) then return end
    seen[action .. call] = true
    missing[#missing + 1] = { action = action, call = call, least = needs.least[kind], any = needs.all[kind] }
  end)
  table.sort(missing, function(a, b) return a.action .. a.call < b.action .. b.call end)
  return missing, kind
end

--- A need as a line: "account.disable: PATCH /users/{user-id} needs User.EnableDisableAccount.All".
---@param need msgraph.offboard.Need
---@param kind string
---@return string
function M.line(need, kind)
  if not need.least then return ("%s: %s can not be sent with %s token"):format(need.action, need.call,
    kind == "delegated" and "a delegated" or "an application's") end
  return ("%s: %s needs %s%s"):format(need.action, need.call, need.least, #need.any > 1 and " or a greater one" or "")
end

return M
