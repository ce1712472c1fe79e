-- lua/msgraph/offboard/secret.lua
--- Secrets of an operation: made when it is sent, and held by nothing but the request.
local canonical = require "msgraph.offboard.canonical"
local core = require "msgraph.core"
local json = require "msgraph.json"

local M = {}

local ALPHABETS = { "abcdefghijkmnopqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789", "!#$%*+-=?@_" }
local ALL = table.concat(ALPHABETS)

-- An index from 1 to n, each as likely as the other: a byte beyond the last whole multiple is thrown away.
local function draw(n)
  while true do
    local byte = core.random(1):byte()
    if byte < 256 // n * n then return byte % n + 1 end
  end
end

local function pick(alphabet)
  local i = draw(#alphabet)
  return alphabet:sub(i, i)
end

--- A password with every kind of character in it, as directories ask for.
---@param length integer 8 or more
---@return string
local function password(length)
  local chars = {}
  for i, alphabet in ipairs(ALPHABETS) do chars[i] = pick(alphabet) end
  for i = #chars + 1, length do chars[i] = pick(ALL) end
  for i = length, 2, -1 do -- Fisher and Yates
    local j = draw(i)
    chars[i], chars[j] = chars[j], chars[i]
  end
  return table.concat(chars)
end

local MAKERS = { password = password }

--- The body to send: with its secret, where it has one. Not to be kept, logged or hashed.
---@param desired table an operation's `desired`
---@return string? body JSON text
function M.body(desired)
  local secret = desired.secret
  if not secret then return desired.body end
  local body = json.decode(desired.body)
  local at = body
  for i = 1, #secret.at - 1 do at = at[secret.at[i]] end
  at[secret.at[#secret.at]] = MAKERS[secret.kind](secret.length)
  return canonical.encode(body)
end

return M
