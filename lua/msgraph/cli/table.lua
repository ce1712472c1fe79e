-- lua/msgraph/cli/table.lua
--- Text in columns.
local M = {}

--- How many columns a text takes, counting characters.
---@param text string
---@return integer
function M.width(text)
  return utf8.len(text) or #text
end

--- Text filled up with spaces.
---@param text string
---@param width integer
---@return string
function M.pad(text, width)
  return text .. (" "):rep(width - M.width(text))
end

--- Rows as lines, each column as wide as its widest cell, nothing after the last.
---@param rows string[][]
---@param indent? string put before every line
---@return string text with a line end after every row
function M.format(rows, indent)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, M.width(cell)) end
  end
  local lines = {}
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do cells[i] = M.pad(cell, widths[i]) end
    lines[#lines + 1] = (indent or "") .. table.concat(cells, "  "):gsub("%s+$", "") .. "\n"
  end
  return table.concat(lines)
end

return M
