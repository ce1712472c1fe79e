-- lua/msgraph/batch/part.lua
--- One request as a part of a $batch, and a part of the answer as a response. Pure.
--
-- The URL is the direct call's, byte for byte, without its version, which the batch's own URL says. What
-- a part cannot say as the direct call would (a limit of its own, a header that is the client's, a target
-- that the core would refuse) travels alone, where the core judges it; so does what is urgent.
local base64 = require "msgraph.batch.base64"
local core = require "msgraph.core"
local json = require "msgraph.json"
local repeatable = require "msgraph.repeatable"

local tointeger = math.tointeger

local M = {}

local VERSIONS = { ["/v1.0/"] = "v1.0", ["/beta/"] = "beta" }
local SLASH, DOLLAR = ("/$"):byte(1, 2)
local REPEATABLE = repeatable.METHODS
local METHODS = { GET = true, POST = true, PATCH = true, PUT = true, DELETE = true }

-- Set by the client, or said once for the whole batch: the core refuses them, or they would do harm.
local PRIORITY <const> = "x-ms-throttle-priority"
local NOT_OURS = { authorization = true, host = true, ["content-length"] = true, expect = true, connection = true,
  ["transfer-encoding"] = true, ["accept-encoding"] = true }

-- "/v1.0/users?$top=5" to "v1.0" and "/users?$top=5". What a URL may hold needs no escape in JSON.
local function split(target, endpoint)
  if target:byte() ~= SLASH then
    if target:sub(1, #endpoint + 1) ~= endpoint .. "/" then return nil end
    target = target:sub(#endpoint + 1)
  end
  local version = VERSIONS[target:sub(1, 6)]
  if not version or core.target_fault(target) then return nil end
  if target:byte(7) == DOLLAR then return nil end -- a batch holds no batch
  return version, target:sub(6) -- with the slash: both versions have four letters
end

-- ---- what it touches --------------------------------------------------------------------------

local DIRECTORY = { users = true, groups = true, devices = true, applications = true, serviceprincipals = true }

-- The directory object a write goes to.
local function touched(url)
  local collection, id = url:match "^/(%a+)/([^/?]+)"
  if not collection then
    collection, id = url:match "^/(%a+)%('([^/?')]+)'%)"
    if not collection then return nil end
  end
  if not DIRECTORY[collection] then collection = collection:lower() end
  if collection == "me" then collection, id = "users", "me" end
  return DIRECTORY[collection] and collection .. "/" .. id:lower() or nil
end

-- ---- out --------------------------------------------------------------------------------------

local JSON_TYPE = '"Content-Type":"application/json"'
local EMPTY = (',"headers":{%s},"body":{}}'):format(JSON_TYPE)

-- What is written for a part at a place, and for one that depends on it; for a method; an id to its place.
local BEGINS, DEPENDS, VERBS = {}, {}, {}
local PLACES = setmetatable({}, { __index = function() return 0 end })
for i = 1, 20 do
  BEGINS[i] = ('%s{"id":"%d"'):format(i == 1 and '{"requests":[' or ",", i)
  DEPENDS[i] = (',"dependsOn":["%d"]'):format(i)
  PLACES[tostring(i)] = i
end
for method in pairs(METHODS) do VERBS[method] = (',"method":"%s","url":"'):format(method) end

-- The headers as JSON without braces, and their Content-Type; nil: they cannot travel in a part.
local function headers_of(headers)
  local out, content_type = {}, nil
  for name, value in pairs(headers) do
    if type(name) ~= "string" or not name:find "^[%w-]+$" or NOT_OURS[name:lower()]
      or type(value) ~= "string" or value:find "[^\32-\126]" then
      return nil
    end
    if name:lower() == "content-type" then content_type = value:lower() end
    out[#out + 1] = ('"%s":"%s"'):format(name, value:gsub('["\\]', "\\%0"))
  end
  return table.concat(out, ","), content_type
end

-- The body as it stands in the part. JSON a caller wrote is looked at: half a value would spoil the batch,
-- and more than one would be more than he was asked for.
local function body_of(request, content_type)
  local body = request.body
  if not content_type:find("json", 1, true) then return '"' .. base64.encode(body) .. '"' end
  return (request.is_json or json.decode(body) ~= nil) and body or nil
end

-- What the core adds to a direct call of low priority.
local function headers_to_send(request)
  if request.priority ~= "low" then return request.headers end
  local headers = { [PRIORITY] = "Low" }
  for name, value in pairs(request.headers or {}) do
    if name:lower() == PRIORITY then headers[PRIORITY] = nil end
    headers[name] = value
  end
  return headers
end

-- Headers and body as they stand at the end of the part. A POST without a body carries an empty object all the same,
-- or the part may fail (FACTS 5).
local function content(request)
  local headers, body, method = headers_to_send(request), request.body, request.method
  if not headers then return method == "POST" and EMPTY or "}" end
  local text, content_type = headers_of(headers)
  if not text then return nil end
  if body then
    body = content_type and body_of(request, content_type)
    return body and (',"headers":{%s},"body":%s}'):format(text, body)
  end
  if method ~= "POST" then return (',"headers":{%s}}'):format(text) end
  if content_type then return nil end
  return (',"headers":{%s%s},"body":{}}'):format(text == "" and "" or text .. ",", JSON_TYPE)
end

--- What the plan and the engine need to know of a request.
---@param request msgraph.core.Request
---@param endpoint string the client's
---@param engine? msgraph.batch.Engine whose it is, and
---@param deadline? number what the engine adds: a table made whole is cheaper than one that grows
---@return msgraph.batch.Item item without a version when it travels alone
function M.item(request, endpoint, engine, deadline)
  local method = request.method
  local may_repeat = request.idempotent
  if may_repeat == nil then may_repeat = REPEATABLE[method] or false end
  local version, url, rest
  if METHODS[method] and not request.deadline and not request.max_body and request.priority ~= "high" then
    version, url = split(request.target, endpoint)
    rest = version and content(request)
    if not rest then version = nil end
  end
  return {
    request = request, repeatable = may_repeat, version = version, text = version and url .. '"' .. rest or nil,
    object = version and method ~= "GET" and touched(url) or nil, load = core.load(method, request.target),
    engine = engine, deadline = deadline, low = request.priority == "low" or nil,
  }
end

--- The request of an item as a call of its own: it is its maker's, who may send it again.
---@param item msgraph.batch.Item
---@param deadline number seconds
---@return msgraph.core.Request
function M.alone(item, deadline)
  local request = {}
  for name, value in pairs(item.request) do request[name] = value end
  request.deadline = deadline
  return request
end

local function place_of(wanted, batch)
  for i, item in ipairs(batch) do
    if item == wanted then return i end
  end
end

--- The body of a batch; a part's id is its place in it.
---@param batch msgraph.batch.Item[]
---@return string
function M.write(batch)
  local out, n = {}, 0
  for i = 1, #batch do
    local item = batch[i]
    local parent = item.parent
    out[n + 1] = BEGINS[i]
    out[n + 2] = parent and DEPENDS[place_of(parent, batch)] or ""
    out[n + 3] = VERBS[item.request.method]
    out[n + 4] = item.text
    n = n + 4
  end
  out[n + 1] = "]}"
  return table.concat(out)
end

-- ---- in ---------------------------------------------------------------------------------------

--- Gives each item its part of an answer, `answer`; false where there is none. What is no part of the
--- batch, or has no status of an answer, is left out; of two with one id the first counts.
---@param outer msgraph.core.Response
---@param batch msgraph.batch.Item[]
---@return boolean ok false: this is not the answer to a batch
function M.match(outer, batch)
  for i = 1, #batch do batch[i].answer = false end
  local document = json.decode(outer.body)
  local list = type(document) == "table" and document.responses
  if type(list) ~= "table" then return false end
  for i = 1, #list do
    local part = list[i]
    local status = type(part) == "table" and type(part.status) == "number" and tointeger(part.status)
    local item = status and status >= 200 and status < 600 and batch[PLACES[part.id]]
    if item and not item.answer then
      part.status, item.answer = status, part
    end
  end
  return true
end

--- A batch's attempts, as a part's own; nil: there was one only.
---@param outer msgraph.core.Response|msgraph.core.Failure
---@param status? integer what the part met at last
---@return table[]?
function M.attempts(outer, status)
  if not outer.attempts then return nil end
  local own = {}
  for i, one in ipairs(outer.attempts) do
    own[i] = { status = one.status, code = one.code, phase = one.phase, waited = one.waited }
  end
  own[#own].status = status
  return own
end

local function header_block(headers)
  if type(headers) ~= "table" then return "" end
  local lines = ""
  for name, value in pairs(headers) do
    if type(value) == "number" then value = tostring(value) end
    if type(name) == "string" and type(value) == "string" then
      lines = lines .. name .. ": " .. value:gsub("[\r\n]+", " ") .. "\r\n"
    end
  end
  return lines
end

-- Worked out when somebody asks: of most parts nobody wants more than the status and the value.
local LATER = {}

function LATER.headers(raw) return header_block(raw.part.headers) end

function LATER.request_id(raw) return core.header(raw.headers, "request-id") or raw.outer.request_id end

function LATER.client_request_id(raw)
  return core.header(raw.headers, "client-request-id") or raw.outer.client_request_id
end

function LATER.retry_after(raw) -- a date to come back at is one by the server's clock
  local date = core.header(raw.outer.headers, "Date")
  return core.retry_after(date and raw.headers .. "Date: " .. date .. "\r\n" or raw.headers)
end

function LATER.http_version(raw) return raw.outer.http_version end

-- A batch that the core sent again has been sent again for each of its parts.
function LATER.attempts(raw) return M.attempts(raw.outer, raw.part.status) end

function LATER.waited(raw) return raw.outer.waited end

function LATER.acted_before(raw) return raw.outer.acted_before end

local Raw = {}

function Raw:__index(name)
  local find = LATER[name]
  local value = find and find(self)
  self[name] = value
  return value
end

local function text_of(value)
  if type(value) == "string" then return value end
  local ok, text = pcall(json.encode, value, 0)
  return ok and text or ""
end

-- A success keeps the value it was decoded to; an error's body is read from text, like any other's.
local function set_body(raw, value)
  if value == nil or value == json.null then
    raw.body = ""
    return
  end
  local content_type = type(value) ~= "table" and core.header(raw.headers, "Content-Type")
  local is_json = not content_type or content_type:lower():find("json", 1, true)
  if is_json and raw.status < 300 then
    raw.value = value
  elseif is_json or type(value) ~= "string" then
    raw.body = text_of(value)
  else
    raw.body = base64.decode(value) or value
  end
end

--- A part of an answer as the response of its request.
---@param part table
---@param outer msgraph.core.Response
---@return msgraph.core.Response raw with `value`, its body decoded, where it came as JSON
function M.read(part, outer)
  local raw = setmetatable({ status = part.status, part = part, outer = outer }, Raw)
  set_body(raw, part.body)
  return raw
end

return M
