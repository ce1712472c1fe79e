-- lua/msgraph/sim/faults.lua - what goes wrong, on request.
--
-- A rule waits for requests it matches, lets `after` of them pass, then spoils `times` of them. Chaos needs no rules:
-- whether a request is spoilt, and how, follows from its seed and the number of the request.
local random = require "msgraph.sim.random"

local M = {}

local Faults = {}
Faults.__index = Faults

local KIND_OF_STREAM <const> = 20
local KIND_OF_CHAOS <const> = 21

---@class msgraph.sim.Fault
---@field kind "status"|"reset_before"|"reset_after"|"cut_body"|"stall"|"not_json"|"latency"|"page"|"skew"
---@field method? string         "GET", "POST", ...; default any
---@field path? string           Lua pattern, found anywhere in the path as sent; default any
---@field times? integer         how often; default 1, math.huge for ever
---@field after? integer         how many matching requests pass first; default 0
---@field share? number          of the matching requests, drawn from the seed, 0 to 1; default 1, all
---@field status? integer        of "status" (default 429) and "not_json" (default 200)
---@field code? string           error code of "status"; default the one usual for the status
---@field message? string        error message of "status"
---@field claims? string         of "status" 401 and 403 of Graph: JSON of a claims challenge; default none
---@field retry_after? string|number  value of Retry-After, sent as it stands; default none
---@field bytes? integer         of "cut_body" and "stall": how much of the body arrives; default half
---@field seconds? number        of "stall" (default 3600), "latency" (default 1) and "skew" (default 3600)
---@field page? "empty"|"repeat"|"cycle"|"foreign"|"refused"|"short"  of "page": what a list's answer becomes

local FIELDS = {
  kind = "string", method = "string", path = "string", times = "number", after = "number", share = "number",
  status = "number", code = "string", message = "string", bytes = "number", seconds = "number",
  page = "string", claims = "string",
}

local KINDS = {
  status = true, reset_before = true, reset_after = true, cut_body = true, stall = true, not_json = true,
  latency = true, page = true, skew = true,
}

local PAGES = { empty = true, ["repeat"] = true, cycle = true, foreign = true, refused = true, short = true }

--- Raises for a rule that could never work.
local function check(rule)
  for name, value in pairs(rule) do
    local wanted = FIELDS[name]
    if name == "retry_after" then
      wanted = type(value) == "number" and "number" or "string"
    end
    if not wanted then error("fault: unknown field '" .. tostring(name) .. "'", 0) end
    if type(value) ~= wanted then
      error("fault: field '" .. name .. "' is a " .. type(value) .. ", not a " .. wanted, 0)
    end
  end
  if not KINDS[rule.kind] then error("fault: unknown kind '" .. tostring(rule.kind) .. "'", 0) end
  if rule.kind == "page" and not PAGES[rule.page] then
    error("fault: page must be empty, repeat, cycle, foreign, refused or short, not " .. tostring(rule.page), 0)
  end
  if rule.path then string.find("", rule.path) end -- raises for a malformed pattern
end

---@class msgraph.sim.Faults
---@param seed integer
---@param chaos? msgraph.sim.Chaos
---@return msgraph.sim.Faults
function M.new(seed, chaos)
  return setmetatable({ rules = {}, chaos = chaos, stream = random.stream(seed, KIND_OF_STREAM, 0) }, Faults)
end

---@param rule msgraph.sim.Fault
function Faults:add(rule)
  check(rule)
  local own = { left = rule.times or 1, passing = rule.after or 0 }
  self.rules[#self.rules + 1] = setmetatable(own, { __index = rule })
end

function Faults:clear()
  self.rules, self.chaos = {}, nil
end

local function matches(rule, method, path)
  return rule.left > 0 and (not rule.method or rule.method == method)
    and (not rule.path or path:find(rule.path) ~= nil)
end

local function match_rules(self, method, path)
  for _, rule in ipairs(self.rules) do
    if matches(rule, method, path) then
      if rule.passing > 0 then
        rule.passing = rule.passing - 1
      elseif not rule.share or self.stream:chance(rule.share) then
        rule.left = rule.left - 1
        return rule
      end
    end
  end
end

-- ---- chaos -----------------------------------------------------------------------------------

---@class msgraph.sim.Chaos
---@field rate number    share of Graph's requests that are spoilt, 0 to 1
---@field seed? integer  default 1

local BUSY <const> = { 500, 502, 503, 504 }

local function hint(stream)
  return ("0.%03d"):format(stream:int(50, 250))
end

-- Waits are short: the clock they are meant for is the client's.
local WAYS <const> = {
  function(stream) return { kind = "status", status = 429, retry_after = hint(stream) } end,
  function() return { kind = "status", status = 429, retry_date = 1 } end,
  function() return { kind = "status", status = 429 } end,
  function(stream) return { kind = "status", status = 503, retry_after = hint(stream) } end,
  function(stream) return { kind = "status", status = stream:pick(BUSY) } end,
  function() return { kind = "reset_before" } end,
  function() return { kind = "reset_after" } end,
  function() return { kind = "cut_body" } end,
  function(stream) return { kind = "skew", seconds = stream:int(-7200, 7200) } end,
  function() return { kind = "page", page = "empty" } end, -- of a list; anything else is left as it is
}

local function draw(chaos, n)
  local stream = random.stream(chaos.seed or 1, KIND_OF_CHAOS, n)
  if stream:chance(chaos.rate) then return stream:pick(WAYS)(stream) end
end

--- The rule that spoils this request, or nil. Counts it.
---@param ctx msgraph.sim.Context
---@return msgraph.sim.Fault?
function Faults:match(ctx)
  local rule = match_rules(self, ctx.method, ctx.path)
  if rule or not self.chaos or ctx.login then return rule end
  return draw(self.chaos, ctx.n)
end

return M
