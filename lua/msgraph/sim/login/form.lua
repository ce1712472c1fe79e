-- lua/msgraph/sim/login/form.lua - application/x-www-form-urlencoded, in bodies, queries and Basic credentials.
local M = {}

local TYPE <const> = "application/x-www-form-urlencoded"

--- nil for text with a malformed percent escape.
---@param text string
---@return string?
function M.unescape(text)
  if text:find("%%%X") or text:find("%%%x%X") or text:find("%%%x?$") then return nil end
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- Everything but RFC 3986's unreserved characters is escaped.
---@param text string
---@return string
function M.escape(text)
  return (text:gsub("[^%w%-%._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

--- Name and value pairs. An empty value counts as none, as at the service.
---@param text string
---@return table<string, string>? fields nil when it is malformed or a name comes twice (RFC 6749 3.2)
function M.parse(text)
  local fields = {}
  for pair in text:gmatch("[^&]+") do
    local raw_name, raw_value = pair:match("^([^=]*)=?(.*)$")
    local name, value = M.unescape(raw_name), M.unescape(raw_value)
    if not name or not value or fields[name] then return nil end
    if value ~= "" then fields[name] = value end
  end
  return fields
end

--- The fields of a body. One of another type has none: nobody reads it.
---@param content_type? string
---@param body? string
---@return table<string, string>?
function M.body(content_type, body)
  local kind = (content_type or ""):match("^%s*([^;%s]*)"):lower()
  if kind ~= TYPE then return {} end
  return M.parse(body or "")
end

return M
