-- lua/msgraph/errors/text.lua
--- Foreign text made fit to be shown: cut, on one line, UTF-8, and clean of tokens and secrets.
local M = {}

local MAX_TEXT = 400 -- bytes of a foreign message kept

local hidden = setmetatable({}, { __mode = "k" }) -- whoever holds it -> a secret that is in use
local SHORTEST = 8 -- bytes; anything shorter would be found in innocent words

--- Keeps a secret out of every text for as long as its owner lives, whatever it looks like.
---@param owner table
---@param secret string replaces the owner's former one
function M.hide(owner, secret)
  hidden[owner] = #secret >= SHORTEST and secret or nil
end

--- Servers and proxies at times echo the request: no secret in use and nothing that looks like a token stays.
---@param text string
---@return string
function M.scrub(text)
  for _, secret in next, hidden do
    local first, last = text:find(secret, 1, true)
    while first do
      text = text:sub(1, first - 1) .. "***" .. text:sub(last + 1)
      first, last = text:find(secret, first + 3, true)
    end
  end
  if not text:find("earer", 1, true) and not text:find("eyJ", 1, true) then return text end
  return (text:gsub("([Bb]earer%s+)[%w%-._~+/]+=*", "%1***"):gsub("eyJ[%w_%-]+%.?[%w_%-]*%.?[%w_%-]*", "***"))
end

--- A text of any origin as one line of at most MAX_TEXT bytes.
---@param text string
---@return string
function M.one_line(text)
  text = M.scrub(text):gsub("[%c%s]+", " "):match("^ ?(.-) ?$")
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  if #text <= MAX_TEXT then return text end
  return text:sub(1, (utf8.offset(text, 0, MAX_TEXT) or MAX_TEXT) - 1) .. "..."
end

--- The same of a value that may be none, blank or no string.
---@param value any
---@return string?
function M.or_nil(value)
  if type(value) ~= "string" or not value:find("[^%c%s]") then return nil end
  return M.one_line(value)
end

return M
