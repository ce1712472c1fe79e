-- spec/support/wire.lua
--- Takes a raw HTTP/1.1 request apart, for specs that look at the bytes.
local M = {}

--- The request line, the header lines as they came, and the body.
---@param raw string
---@return string line
---@return string[] headers sorted
---@return string body
function M.parse(raw)
  local head, body = raw:match("^(.-)\r\n\r\n(.*)$")
  local line, rest = head:match("^([^\r\n]*)\r\n(.*)$")
  local headers = {}
  for header in (rest .. "\r\n"):gmatch("(.-)\r\n") do headers[#headers + 1] = header end
  table.sort(headers)
  return line, headers, body
end

--- One header's value, nil when it was not sent.
function M.header(raw, name)
  local _, headers = M.parse(raw)
  for _, header in ipairs(headers) do
    local key, value = header:match("^([^:]*): ?(.*)$")
    if key:lower() == name:lower() then return value end
  end
end

return M
