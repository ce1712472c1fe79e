-- lua/msgraph/batch/base64.lua
--- Bodies of a batch that are not JSON travel as base64 (RFC 4648): ours URL-safe, theirs in either alphabet.
local M = {}

local SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

local VALUES = { ["+"] = 62, ["/"] = 63 }
for i = 1, #SYMBOLS do VALUES[SYMBOLS:sub(i, i)] = i - 1 end

local function symbol(value)
  return SYMBOLS:sub(value + 1, value + 1)
end

--- Padded.
---@param bytes string
---@return string
function M.encode(bytes)
  local text = bytes:gsub("..?.?", function(group)
    local a, b, c = group:byte(1, 3)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    return symbol(bits >> 18) .. symbol(bits >> 12 & 63) .. (b and symbol(bits >> 6 & 63) or "=")
      .. (c and symbol(bits & 63) or "=")
  end)
  return text
end

--- Padded or not.
---@param text string
---@return string? bytes nil: it is no base64
function M.decode(text)
  local bare = text:gsub("=?=$", "")
  if bare:find("[^%w+/_-]") or #bare % 4 == 1 then return nil end
  local bytes = bare:gsub("..?.?.?", function(group)
    local bits = 0
    for i = 1, 4 do bits = bits << 6 | (VALUES[group:sub(i, i)] or 0) end
    return (">I3"):pack(bits):sub(1, #group - 1)
  end)
  return bytes
end

return M
