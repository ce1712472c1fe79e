--- Things that are known by what they say, for those whose ids change when they are made again.
local json = require "msgraph.json"

local M = {}

--- Whether a list has a record with these properties of a request's body.
---@param list table[]
---@param body string JSON
---@param names string[]
---@return "yes"|"no"
function M.has(list, body, names)
  local wanted = json.decode(body)
  for _, record in ipairs(list) do
    local same = true
    for _, name in ipairs(names) do same = same and record[name] == wanted[name] end
    if same then return "yes" end
  end
  return "no"
end

return M
