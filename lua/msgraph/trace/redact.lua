-- lua/msgraph/trace/redact.lua
--- What of a request and its answer may be shown in logs and captures.
--
-- Headers and query parameters are shown if they stand in a list; all others show their name and `***`. Fields of
-- bodies are shown unless their name says that they hold a secret. Tokens in use are cut out of whatever is left.
local scrub = require("msgraph.errors.text").scrub
local json = require "msgraph.json"

local M = {}

local HIDDEN = "***"

local function set(text)
  local out = {}
  for word in text:gmatch "%S+" do out[word] = true end
  return out
end

-- Text that is no UTF-8 could not be written as JSON.
local function clean(text)
  text = scrub(text)
  return utf8.len(text) and text or (text:gsub("[\128-\255]", "?"))
end

-- ---- headers --------------------------------------------------------------------------------------

local SHOWN_HEADERS = set [[
  accept accept-language cache-control client-request-id consistencylevel content-length content-type date etag
  if-match if-none-match prefer preference-applied ratelimit-limit ratelimit-remaining ratelimit-reset request-id
  retry-after retry-after-ms sdkversion traceparent x-ms-ags-diagnostic x-ms-resource-unit x-ms-retry-after-ms
  x-ms-throttle-information x-ms-throttle-limit-percentage x-ms-throttle-priority x-ms-throttle-scope
]]

--- Headers as they may be shown.
---@param ... any an iterator over names and values, as `pairs` gives it
---@return { name: string, value: string }[] sorted by name
function M.headers(...)
  local out = {}
  for name, value in ... do
    out[#out + 1] = { name = clean(name), value = SHOWN_HEADERS[name:lower()] and clean(value) or HIDDEN }
  end
  table.sort(out, function(a, b) return a.name < b.name end)
  return out
end

--- Walks the lines of a raw header block.
---@param block string
---@return fun(): string?, string?
function M.lines(block)
  return block:gmatch "([^:\r\n]+):[ \t]*([^\r\n]*)"
end

--- The headers of an answer that are shown, their names in lower case.
---@param block string raw header block
---@return table<string, string>
function M.shown(block)
  local out = {}
  for name, value in M.lines(block) do
    if SHOWN_HEADERS[name:lower()] then out[name:lower()] = clean(value) end
  end
  return out
end

-- ---- URLs -----------------------------------------------------------------------------------------

-- OData's own options begin with $. The keys of a presigned link do not.
local SHOWN_PARAMETERS = set "startdatetime enddatetime"

local function shown_parameter(text)
  local name = text:match "^[^=]*"
  local plain = name:gsub("%%24", "$"):lower()
  if plain:find "^%$" or SHOWN_PARAMETERS[plain] or name == text then return text end
  return name .. "=" .. HIDDEN
end

local function shown_query(query)
  return (query:gsub("[^&]+", shown_parameter))
end

-- A sharing link's id is the link; OneDrive's delta takes a token in brackets.
local function shown_path(path)
  return (path:gsub("(/shares/)[^/]+", "%1" .. HIDDEN):gsub("(%(token=)[^)]*", "%1" .. HIDDEN))
end

--- The path and query of a request's target, without what opens doors.
---@param target string below the endpoint, or a full URL
---@return string path
---@return string? query
function M.target(target)
  local below = target:gsub("^%a[%w+.-]*://[^/?#]*", "")
  local path, query = below:match "^([^?#]*)%??([^#]*)"
  return clean(shown_path(path)), query ~= "" and clean(shown_query(query)) or nil
end

local GUID <const> = "%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x"

local function is_id(segment)
  return segment:find "^%d" or segment:find "[@!%%=:~]" or segment:find(GUID) or #segment >= 30 and segment:find "%d"
end

--- The path with {id} for what looks like the id or name of something: to count requests of a kind by.
---@param path string
---@return string
function M.template(path)
  local version, rest = path:match "^(/[^/]*)(.*)$"
  if not version then return path end
  return version .. rest:gsub("[^/]+", function(segment)
    local name = segment:match "^([%a.]+)%("
    if name then return name .. "()" end
    if segment == HIDDEN or is_id(segment) then return "{id}" end
  end)
end

-- ---- bodies ---------------------------------------------------------------------------------------

local MAX_BODY <const> = 1024 * 1024 -- bytes; a body beyond is left out, as half a document is of no use

-- A name that has one of these in it, or ends in "key" or "pin", is a secret's: rather one too many is hidden.
local SECRETS = {}
for word in ([[accesspass assertion authorization bypasscode cookie downloadurl passcode passphrase password sasur
  secret signature storageuri token unlockcode uploadurl]]):gmatch "%S+" do SECRETS[#SECRETS + 1] = word end

local function is_secret(name)
  name = name:lower()
  if name:find "key$" or name:find "pin$" then return true end
  for _, word in ipairs(SECRETS) do
    if name:find(word, 1, true) then return true end
  end
  return false
end

-- Whether there may be such a name; most bodies hold none, and go as they are.
local function may_hold_secrets(text)
  if text:find("\\u00", 1, true) then return true end -- a name could be written so
  local seen = {}
  for name in text:gmatch '"([^"\\]*)"%s*:' do
    if not seen[name] and is_secret(name) then return true end
    seen[name] = true
  end
  return false
end

local function mask(value, secret)
  if type(value) ~= "table" then return secret and value ~= json.null and HIDDEN or value end
  for name, inner in pairs(value) do
    value[name] = mask(inner, secret or type(name) == "string" and is_secret(name))
  end
  return value
end

-- lua-cjson reads [] and {} as the same table: only what is masked is written anew, so such a body may show
-- the one for the other.
local function masked_json(text)
  local value, reason = json.decode(text)
  if value == nil then return nil, "left out: not JSON: " .. reason end
  return json.encode(mask(value))
end

--- A body as it may be shown.
---@param bytes? string
---@param content_type? string
---@param path string of the request: getFileVaultKey answers with a key under a name that tells nothing
---@return string? text nil: there is none, or it is not shown
---@return string? reason why it is not
function M.body(bytes, content_type, path)
  if not bytes or bytes == "" then return nil end
  if path:lower():find "getfilevaultkey" then return nil, "left out: a key" end
  if #bytes > MAX_BODY then return nil, ("left out: %d bytes"):format(#bytes) end
  local kind = (content_type or "application/json"):lower()
  if not kind:find "json" and not kind:find "^text/" then return nil, "left out: " .. clean(kind) end
  if not utf8.len(bytes) then return nil, "left out: not UTF-8" end
  local text, reason = bytes, nil
  if kind:find "json" and may_hold_secrets(bytes) then text, reason = masked_json(bytes) end
  return text and scrub(text), reason
end

--- The content type among a request's headers.
---@param headers? table<string, string>
---@return string?
function M.content_type(headers)
  for name, value in pairs(headers or {}) do
    if name:lower() == "content-type" then return value end
  end
end

return M
