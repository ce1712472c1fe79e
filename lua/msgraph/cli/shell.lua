-- lua/msgraph/cli/shell.lua
--- Words and commands as a shell reads them, to be printed and pasted.
local M = {}

--- A word in single quotes, where it needs them.
---@param word string
---@return string
function M.quote(word)
  if word:find("^[%w@%%_+=:,./-]+$") then return word end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function in_path(folder)
  for entry in (os.getenv "PATH" or ""):gmatch("[^:]+") do
    if entry == folder then return true end
  end
  return false
end

--- What this program is called by: "msgraph", or the path it was started with.
---@return string
function M.program()
  local name = arg and arg[0] or "msgraph"
  local folder = name:match("^(.*)/[^/]*$")
  if not folder or in_path(folder) then return "msgraph" end
  return M.quote(name)
end

--- A command line.
---@param words string[] the program's name is put before them
---@return string
function M.command(words)
  local quoted = { M.program() }
  for _, word in ipairs(words) do quoted[#quoted + 1] = M.quote(word) end
  return table.concat(quoted, " ")
end

return M
