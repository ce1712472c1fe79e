-- lua/msgraph/errors/body.lua
--- Error bodies of every service behind Graph, read into one chain. Never raises, whatever the bytes.
--
-- The shapes (FACTS 1, 6.1, 7.5): Graph's {error: {code, message, target, details, innerError}}, with innerError or
-- innererror, nested; OData's older {odata.error: {message: {value}}}; Intune's JSON document as a string in the
-- message, which may hold another; OAuth's {error, error_description, suberror}; and the bare {code, message} or
-- {Message} of servers in between.
local json = require "msgraph.json"
local text = require "msgraph.errors.text"

local M = {}

local MAX_BODY = 1024 * 1024 -- an error body beyond this is no error body
local MAX_NESTED = 8

---@class msgraph.ErrorChain           the entries, outermost first, and
---@field code? string                 the most specific
---@field message? string              the outermost: it reads best
---@field details table[]              {code, message, target}
---@field request_id? string
---@field intune? boolean              a document stood in a string

-- Intune appends ids and an internal URL to its sentence; they go into a field of their own.
local function cut_tail(message)
  local at = message:find("%s*%-?%s*Operation ID %(for customer support%)")
  if not at then return message end
  return message:sub(1, at - 1), message:sub(at):gsub("^[%s%-]+", "")
end

-- OData wrote a message as {lang, value} once.
local function plain(message)
  return type(message) == "table" and message.value or message
end

-- An entry from a code and a message, either of which may be missing or no string.
local function entry(code, message)
  local item = { code = text.or_nil(code) }
  message = plain(message)
  if type(message) == "string" then
    local sentence, tail = cut_tail(message)
    item.message, item.detail = text.or_nil(sentence), tail and text.one_line(tail)
  end
  return item
end

local function add(list, item)
  if not item.code and not item.message then return end
  list[#list + 1] = item
  if not list.code or item.code and item.code:find("%D") then -- the deepest wins; a bare number says less
    list.code = item.code or list.code
  end
  list.message = list.message or item.message
end

-- Intune's code, which stands in one of three places.
local function code_of(document)
  return text.or_nil(document.ErrorCode) or text.or_nil(document.code) or text.or_nil(document.CustomApiErrorPhrase)
end

local function add_document(list, code, message, depth)
  local document = depth <= MAX_NESTED and type(message) == "string" and message:match("^%s*{")
    and json.decode(message)
  if type(document) ~= "table" then return add(list, entry(code, message)) end
  list.intune = true
  if text.or_nil(code) then add(list, entry(code)) end
  add_document(list, code_of(document), document.Message or document.message, depth + 1)
end

local function add_details(list, details)
  for _, detail in ipairs(type(details) == "table" and details or {}) do
    if type(detail) == "table" then
      local item = entry(detail.code, detail.message)
      item.target = text.or_nil(detail.target)
      if next(item) then list.details[#list.details + 1] = item end
    end
  end
end

local function add_error(list, err, depth)
  if type(err) ~= "table" or depth > MAX_NESTED then return end
  add_document(list, err.code, plain(err.message), depth)
  add_details(list, err.details)
  local inner = err.innerError or err.innererror
  if type(inner) == "table" then
    list.request_id = text.or_nil(inner["request-id"]) or list.request_id
    add_error(list, inner, depth + 1)
  end
end

local function add_oauth(list, document)
  local item = entry(document.error, document.error_description)
  item.suberror = text.or_nil(document.suberror)
  add(list, item)
end

--- The chain of an error body; empty when it is no error body.
---@param body string
---@return msgraph.ErrorChain
function M.parse(body)
  local list = { details = {} }
  if #body > MAX_BODY then return list end
  local document = json.decode(text.scrub(body))
  if type(document) ~= "table" then return list end
  local err = document.error or document["odata.error"]
  if type(err) == "string" then
    add_oauth(list, document)
  elseif type(err) == "table" then
    add_error(list, err, 1)
  else
    add_document(list, document.code, document.message or document.Message, 1)
  end
  return list
end

--- Whether a body may be shown as it is: short, and no JSON.
---@param body string
---@return boolean
function M.is_text(body)
  return #body <= MAX_BODY and not body:find("^%s*[{%[]")
end

return M
