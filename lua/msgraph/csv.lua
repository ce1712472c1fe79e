-- lua/msgraph/csv.lua
--- Reads comma-separated values (RFC 4180), as spreadsheets and PowerShell write them.
--
-- Fields end at `,` `;` or a tab, whichever stands in the first line; quotes may hold any of them,
-- and line ends. A byte order mark, CRLF, blank lines and lines that begin with # are seen through.
local M = {}

-- The place after comments: PowerShell begins a file with "#TYPE ...".
local function skip_comments(text, at)
  while text:sub(at, at) == "#" do at = text:match("^[^\n]*\n?()", at) end
  return at
end

local function separator_of(text)
  local first = text:match("^[^\r\n]*", skip_comments(text, 1))
  return first:match("[;\t]") or ","
end

-- The field at `at`: its text, where what follows it stands; nil when a quote is not closed.
local function field(text, at, separator)
  local start = text:match('^[ ]*()"', at)
  if not start then
    local stop = text:find("[\r\n" .. separator .. "]", at) or #text + 1
    return text:sub(at, stop - 1):match("^%s*(.-)%s*$"), stop
  end
  local parts, from = {}, start + 1
  while true do
    local quote = text:find('"', from, true)
    if not quote then return nil end
    parts[#parts + 1] = text:sub(from, quote - 1)
    if text:sub(quote + 1, quote + 1) ~= '"' then return table.concat(parts), text:match("^[ ]*()", quote + 1) end
    parts[#parts + 1] = '"'
    from = quote + 2
  end
end

-- The record at `at`: its fields, and where the next one begins; nil and a reason.
local function record(text, at, separator)
  local fields = {}
  while true do
    local value, stop = field(text, at, separator)
    if not value then return nil, "a quote is not closed" end
    fields[#fields + 1] = value
    local after = text:sub(stop, stop)
    if after == separator then
      at = stop + 1
    elseif after == "" or after == "\r" or after == "\n" then
      return fields, text:match("^\r?\n?()", stop)
    else
      return nil, "a quoted field goes on after its quote"
    end
  end
end

local function is_blank(fields)
  for _, value in ipairs(fields) do
    if value ~= "" then return false end
  end
  return true
end

local function count_lines(text, from, to)
  local lines = 0
  for _ in text:sub(from, to):gmatch("\n") do lines = lines + 1 end
  return lines
end

--- The records of a text, blank lines and comments left out.
---@param text string
---@return { line: integer, [integer]: string }[]? records each with the number of its first line
---@return string? reason "line 3: a quote is not closed"
function M.parse(text)
  if text:find("^\xFF\xFE") or text:find("^\xFE\xFF") then
    return nil, "line 1: this is UTF-16; save it as UTF-8 (in PowerShell: -Encoding utf8)"
  end
  text = text:gsub("^\xEF\xBB\xBF", "")
  local records, at, line, separator = {}, 1, 1, separator_of(text)
  while at <= #text do
    local start = skip_comments(text, at)
    line, at = line + count_lines(text, at, start - 1), start
    local fields, after = record(text, at, separator)
    if not fields then return nil, ("line %d: %s"):format(line, after) end
    fields.line = line
    if not is_blank(fields) then records[#records + 1] = fields end
    line, at = line + count_lines(text, at, after - 1), after
  end
  return records
end

return M
