-- lua/msgraph/auth/token.lua
--- What a bearer token can look like.
local M = {}

--- Why a value can be no token, never with the value in it; or the token without the spaces around it.
---@param value any
---@return string? problem
---@return string? token
function M.problem_of(value)
  if type(value) ~= "string" then return ("a string is expected, got %s"):format(type(value)) end
  local text = value:match("^%s*(.-)%s*$")
  if text == "" then return "it is empty" end
  if text:find("^[Bb]earer%s") then return "it begins with the word Bearer: give the token alone" end
  if text:find("[^\33-\126]") then return "it holds a space, a control character or a byte beyond ASCII" end
  return nil, text
end

return M
