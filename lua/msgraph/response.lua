-- lua/msgraph/response.lua
--- Reads what the core received: a body, an Error, or a whole msgraph.Response.
local core = require "msgraph.core"
local errors = require "msgraph.errors"
local json = require "msgraph.json"

local M = {}

---@class msgraph.Response
---@field status integer                2xx
---@field body any                      decoded JSON; text as it came for other types; true where there is none
---@field headers table<string, string> read by any spelling of the name; pairs() walks the lines
---@field request_id? string            the server's id
---@field client_request_id string      the id we sent
---@field retry_after? number           seconds
---@field http_version "1.1"|"2"
---@field attempts? table[]             {status, code, phase, waited} for each time it was sent, if more than once
---@field waited number                 seconds waited between them, in all
local Response = { __name = "msgraph.Response", waited = 0 }
Response.__index = Response

function Response:__tostring()
  return ("msgraph.Response(%d, request-id %s)"):format(self.status, self.request_id or "none")
end

local BLOCK = {} -- key of the raw block in a headers table
local Headers = { __name = "msgraph.Headers" }

function Headers:__index(name)
  if type(name) == "string" then return core.header(rawget(self, BLOCK), name) end
end

function Headers:__pairs()
  return rawget(self, BLOCK):gmatch("([^:\r\n]+):[ \t]*([^\r\n]*)")
end

-- True when the caller asked for something else than JSON.
local function wants_other(request)
  for name, value in pairs(request.headers or {}) do
    if name:lower() == "accept" then return not value:lower():find("json", 1, true) end
  end
  return false
end

local function decode(response, request)
  local body, content_type = response.body, core.header(response.headers, "Content-Type")
  if content_type and not content_type:lower():find("json", 1, true) then
    if errors.is_html(body, content_type) and not wants_other(request) then
      return nil, errors.unreadable(response, request, "html_page", "a web page came where JSON was asked for")
    end
    return body
  end
  local value, reason = json.decode(body)
  if value ~= nil then return value end
  if not content_type and wants_other(request) then return body end
  local code = errors.is_html(body) and "html_page" or "not_json"
  return nil, errors.unreadable(response, request, code, "the answer is not JSON: " .. reason)
end

--- The body of a success, or the Error of anything else.
---@param response msgraph.core.Response
---@param request msgraph.core.Request
---@return any body true where there is none
---@return msgraph.Error?
function M.read(response, request)
  local status = response.status
  if status >= 200 and status < 300 then
    if response.body == "" then return true end
    if response.value ~= nil then return response.value end -- of a batch's part: decoded with the batch
    return decode(response, request)
  end
  return nil, errors.from_status(response, request, function(name) return core.header(response.headers, name) end)
end

--- A success as a whole.
---@param response msgraph.core.Response
---@param body any
---@return msgraph.Response
function M.whole(response, body)
  local whole = setmetatable({
    status = response.status, body = body, headers = setmetatable({ [BLOCK] = response.headers }, Headers),
    request_id = response.request_id, client_request_id = response.client_request_id,
    retry_after = response.retry_after, http_version = response.http_version,
  }, Response)
  if response.attempts then whole.attempts, whole.waited = response.attempts, response.waited end
  return whole
end

return M
