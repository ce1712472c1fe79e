-- lua/msgraph/sim/login/base64.lua - base64 and base64url (RFC 4648 4, 5).
local M = {}

local STANDARD <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local URL <const> = STANDARD:sub(1, 62) .. "-_"

local VALUES = {}
for i = 1, 64 do
  VALUES[STANDARD:byte(i)] = i - 1
  VALUES[URL:byte(i)] = i - 1
end

local function encode(bytes, symbols)
  local out = {}
  for at = 1, #bytes, 3 do
    local a, b, c = bytes:byte(at, at + 2)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    for n = 1, c and 4 or b and 3 or 2 do
      local value = bits >> (24 - 6 * n) & 63
      out[#out + 1] = symbols:sub(value + 1, value + 1)
    end
  end
  return table.concat(out)
end

--- Standard, padded.
---@param bytes string
---@return string
function M.encode(bytes)
  return encode(bytes, STANDARD) .. ("="):rep(-#bytes % 3)
end

--- base64url without padding, as JOSE writes it.
---@param bytes string
---@return string
function M.url(bytes)
  return encode(bytes, URL)
end

--- Reads either alphabet, padded or not: MSAL writes thumbprints in the standard one (FACTS 7.2).
---@param text any
---@return string? bytes nil for text that is neither
function M.decode(text)
  if type(text) ~= "string" then return nil end
  local out, bits, count = {}, 0, 0
  for symbol in text:gsub("=?=$", ""):gmatch("[\0-\255]") do
    local value = VALUES[symbol:byte()]
    if not value then return nil end
    bits, count = bits << 6 | value, count + 6
    if count >= 8 then
      count = count - 8
      out[#out + 1] = string.char(bits >> count & 0xff)
      bits = bits & (1 << count) - 1
    end
  end
  return count < 6 and table.concat(out) or nil
end

return M
