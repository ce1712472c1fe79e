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

-- `-Confirm:$false`, with the colon that switches want.
local function word_of(name, value)
  if type(value) == "boolean" then return ("-%s:$%s"):format(name, value) end
  return ("-%s %s"):format(name, M.quote(value))
end

--- A call of a cmdlet with its parameters, sorted but for Identity, which comes first.
---@param verb string may have parameters of its own that are no data: "Set-ADAccountPassword -Reset"
---@param params table<string, string|boolean>
---@return string
function M.command(verb, params)
  local names = {}
  for name in pairs(params) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    if (a == "Identity") ~= (b == "Identity") then return a == "Identity" end
    return a < b
  end)
  local words = { verb }
  for _, name in ipairs(names) do words[#words + 1] = word_of(name, params[name]) end
  return table.concat(words, " ")
end

return M
