-- lua/msgraph/offboard/globals.lua
--- Which globals a compiled function uses, and where: read from Lua 5.4's bytecode (lundump.c, lopcodes.h).
--
-- A function that runs only when something has gone wrong is the worst place to find out that a name in it was
-- misspelt, so its names are looked at before anything runs. A name that is not among the first 256 constants of its
-- function is fetched another way and not seen: that one is found when it runs.
local M = {}

local GETTABUP <const>, SETTABUP <const> = 11, 15
local CONSTANT_STRINGS = { [0x04] = true, [0x14] = true }

-- ---- reading ------------------------------------------------------------------------------------

local function byte(r)
  local value = r.text:byte(r.at)
  r.at = r.at + 1
  return value
end

-- Seven bits a byte, the last one marked.
local function size(r)
  local value = 0
  repeat
    local b = byte(r)
    value = value << 7 | b & 0x7f
  until b & 0x80 ~= 0
  return value
end

local function text(r)
  local n = size(r)
  if n == 0 then return nil end
  local value = r.text:sub(r.at, r.at + n - 2)
  r.at = r.at + n - 1
  return value
end

local function code_of(r)
  local code = {}
  for i = 1, size(r) do code[i], r.at = ("=I4"):unpack(r.text, r.at) end
  return code
end

local function constants_of(r)
  local constants = {}
  for i = 1, size(r) do
    local kind = byte(r)
    if CONSTANT_STRINGS[kind] then
      constants[i] = text(r)
    elseif kind == 0x03 or kind == 0x13 then
      r.at = r.at + 8
    end
  end
  return constants
end

-- The line of every instruction: steps from the line before, and now and then a line in full.
local function lines_of(r, first)
  local steps, full = {}, {}
  for i = 1, size(r) do steps[i], r.at = ("i1"):unpack(r.text, r.at) end
  for _ = 1, size(r) do
    local pc = size(r)
    full[pc + 1] = size(r)
  end
  local lines, line = {}, first
  for i, step in ipairs(steps) do
    line = full[i] or line + step
    lines[i] = line
  end
  return lines
end

local function skip_names(r)
  for _ = 1, size(r) do -- local variables
    text(r)
    size(r)
    size(r)
  end
end

local function note_uses(found, fn)
  for i, instruction in ipairs(fn.code) do
    local op = instruction & 0x7f
    local a, b, c = instruction >> 7 & 0xff, instruction >> 16 & 0xff, instruction >> 24 & 0xff
    local up, key = b, c
    if op == SETTABUP then up, key = a, b end
    if (op == GETTABUP or op == SETTABUP) and fn.upvalues[up + 1] == "_ENV" then
      found[#found + 1] = { name = fn.constants[key + 1], line = fn.lines[i], source = fn.source,
        write = op == SETTABUP }
    end
  end
end

-- Parts in the order of the dump.
local function read_function(r, parent_source, found)
  local fn = { source = text(r) or parent_source }
  local first = size(r)
  size(r) -- last line
  r.at = r.at + 3 -- parameters, vararg, stack
  fn.code, fn.constants = code_of(r), constants_of(r)
  local upvalues = size(r)
  r.at = r.at + 3 * upvalues -- in stack, index, kind
  for _ = 1, size(r) do read_function(r, fn.source, found) end
  fn.lines = lines_of(r, first)
  skip_names(r)
  fn.upvalues = {}
  for i = 1, size(r) do fn.upvalues[i] = text(r) end
  fn.source = fn.source:gsub("^@", "")
  note_uses(found, fn)
end

local HEADER <const> = 4 + 1 + 1 + 6 + 3 + 8 + 8 -- signature, version, format, check, sizes, an integer, a number

--- The globals a function and those in it use, by line. Of another Lua than 5.4 nothing is known: an empty list.
---@param fn function
---@return { name: string, line: integer, source: string, write: boolean }[]
function M.of(fn)
  local r, found = { text = string.dump(fn) }, {}
  if r.text:byte(5) ~= 0x54 then return found end
  r.at = HEADER + 2 -- and how many upvalues the main function has
  read_function(r, "?", found)
  table.sort(found, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.name < b.name
  end)
  return found
end

return M
