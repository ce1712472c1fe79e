-- lua/msgraph/offboard/powershell.lua
--- Commands for people to run where Graph does not reach.
local M = {}

--- A text as a literal: in single quotes, its own ones doubled (PowerShell takes the typographic ones for such, too).
---@param text string
---@return string
function M.quote(text)
  for _, quote in ipairs { "'", "\u{2018}", "\u{2019}", "\u{201A}", "\u{201B}" } do
    text = text:gsub(quote, quote .. quote)
  end
  return "'" .. text:gsub("%c", " ") .. "'"
end

--- A command with its parameters, sorted but for Identity, which comes first.
---@param verb string
---@param params table<string, string|true>
---@return string
function M.command(verb, params)
  local names = {}
  for name in pairs(params) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    if (a == "Identity") ~= (b == "Identity") then return a == "Identity" end
    return a < b
  end)
  local words = { verb }
  for _, name in ipairs(names) do
    local value = params[name]
    words[#words + 1] = value == true and ("-%s $true"):format(name) or ("-%s %s"):format(name, M.quote(value))
  end
  return table.concat(words, " ")
end

return M
