-- lua/msgraph/sim/random.lua - numbers and ids that depend on nothing but what they are asked for.
--
-- User 4711 of seed 1 is the same person in every run, and can be made without making the 4710
-- before: a tenant of a million users costs no memory. An id hides its index, so that it can be
-- looked up without a table as well. SplitMix64 (Steele, Lea, Flood 2014) does the mixing.
local M = {}

local Stream = {}
Stream.__index = Stream

local GOLDEN <const> = 0x9e3779b97f4a7c15
local MASK48 <const> = 0xffffffffffff

local function mix(x)
  x = (x ~ (x >> 30)) * 0xbf58476d1ce4e5b9
  x = (x ~ (x >> 27)) * 0x94d049bb133111eb
  return x ~ (x >> 31)
end

local function combine(seed, kind, index)
  return mix(mix(mix(seed + GOLDEN) + kind * GOLDEN) + index * GOLDEN)
end

---@class msgraph.sim.Stream
---@param seed integer
---@param kind integer what the numbers are for: streams of two kinds have nothing in common
---@param index integer
---@return msgraph.sim.Stream
function M.stream(seed, kind, index)
  return setmetatable({ state = combine(seed, kind, index) }, Stream)
end

--- 64 bits.
function Stream:bits()
  self.state = self.state + GOLDEN
  return mix(self.state)
end

--- An integer from low to high, both included.
function Stream:int(low, high)
  return low + (self:bits() >> 1) % (high - low + 1)
end

--- True with this probability.
function Stream:chance(probability)
  return (self:bits() >> 11) * 0x1p-53 < probability
end

function Stream:pick(list)
  return list[self:int(1, #list)]
end

--- n hexadecimal digits in capitals, at most 15.
function Stream:hex(n)
  return string.format("%0" .. n .. "X", self:bits() & (1 << n * 4) - 1)
end

--- n of these symbols.
function Stream:text(n, symbols)
  local out = {}
  for i = 1, n do
    local at = self:int(1, #symbols)
    out[i] = symbols:sub(at, at)
  end
  return table.concat(out)
end

--- The index as 48 bits that look like chance, given the other bits of the same id.
local function hide(seed, kind, high, index)
  return (mix(high ~ combine(seed, kind, -1)) ~ index) & MASK48
end

--- A GUID for thing `index` of this kind; M.index is the way back.
---@param seed integer
---@param kind integer
---@param index integer 0 .. 2^48-1
---@return string
function M.id(seed, kind, index)
  local high = combine(seed, kind, index) & ~0xf000
  return string.format("%08x-%04x-4%03x-%04x-%012x", high >> 32, (high >> 16) & 0xffff, high & 0xfff,
    0x8000 | (mix(high) & 0x3fff), hide(seed, kind, high, index))
end

--- The index in a GUID made by M.id, or nil for any other text. Letter case does not matter.
---@return integer?
function M.index(seed, kind, guid)
  local a, b, c, low = guid:match("^(%x+)%-(%x+)%-4(%x+)%-%x+%-(%x+)$")
  if not a or #guid ~= 36 then return nil end
  local high = tonumber(a, 16) << 32 | tonumber(b, 16) << 16 | tonumber(c, 16)
  local index = hide(seed, kind, high, tonumber(low, 16))
  return M.id(seed, kind, index) == guid:lower() and index or nil
end

return M
