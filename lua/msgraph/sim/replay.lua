-- lua/msgraph/sim/replay.lua - a captured session as a server: what was answered then is answered again.
--
-- Reads HAR 1.2, or its entries as JSON lines. A request is answered by the first entry not used yet that has its
-- method, path, query and body; `***` in the capture stands for anything. The origin in an answer's links becomes
-- ours. What the capture has not (or no more) is a 404 that names it. Tokens are not looked at.
local cjson = require("cjson").new()
local is_wanted = require "msgraph.sim.fits"
local reply = require "msgraph.sim.reply"

cjson.encode_sparse_array(true)

local M = {}

local Replay = {}
Replay.__index = Replay

local HIDDEN <const> = "***"

-- ---- reading the capture ---------------------------------------------------------------------

local function read_file(path)
  local file, reason = io.open(path, "rb")
  if not file then error(reason, 0) end
  local text = file:read "a"
  file:close()
  return text or error(path .. " can not be read", 0)
end

local function decode(text, where)
  local ok, value = pcall(cjson.decode, text)
  if not ok or type(value) ~= "table" then error(where .. " is not JSON", 0) end
  return value
end

local function entries_of(path)
  local text = read_file(path)
  if path:find "%.jsonl$" then
    local out = {}
    for line in text:gmatch "[^\n]+" do out[#out + 1] = decode(line, ("%s, line %d,"):format(path, #out + 1)) end
    return out
  end
  local log = decode(text, path).log
  if type(log) ~= "table" or type(log.entries) ~= "table" then error(path .. " is not HAR", 0) end
  return log.entries
end

local function text_or_nil(value)
  return type(value) == "string" and value or nil
end

local function headers_of(list)
  local out = {}
  for _, header in ipairs(list or {}) do
    if header.value ~= HIDDEN then out[header.name] = header.value end
  end
  return out
end

--- What an entry asks, and what it answers.
local function read_entry(entry)
  local request, response = entry.request, entry.response
  local origin, target = request.url:match "^(%a[%w+.-]*://[^/?#]*)([^#]*)"
  local path, query = (target or request.url):match "^([^?]*)%??(.*)$"
  local post, content = request.postData or {}, response.content or {}
  return {
    method = request.method, path = path, query = query, origin = origin,
    sent = text_or_nil(post.text), sent_length = request.bodySize or 0,
    status = math.tointeger(response.status) or 0, headers = headers_of(response.headers),
    body = text_or_nil(content.text),
    left_out = content.text == nil and (content.size or 0) > 0,
  }
end

---@param opts { replay: string } the file
function M.new(opts)
  local self = setmetatable({ entries = {}, log = {} }, Replay)
  for i, entry in ipairs(entries_of(opts.replay)) do
    local ok, read = pcall(read_entry, entry)
    if not ok then error(("%s: entry %d is not HAR"):format(opts.replay, i), 0) end
    self.entries[i] = read
  end
  return self
end

-- ---- finding the entry -----------------------------------------------------------------------

-- A text with *** in it stands for many.
local function fits(wanted, text)
  if not wanted:find(HIDDEN, 1, true) then return wanted == text end
  local pattern = wanted:gsub("%*%*%*", "\0"):gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("%z", "[^/&]*")
  return text:find("^" .. pattern .. "$") ~= nil
end

local function alike(wanted, value)
  if wanted == HIDDEN then return true end
  if type(wanted) ~= "table" or type(value) ~= "table" then return wanted == value end
  for name, inner in pairs(wanted) do
    if not alike(inner, value[name]) then return false end
  end
  for name in pairs(value) do
    if wanted[name] == nil then return false end
  end
  return true
end

-- Keys of an object come in any order, so JSON is compared by what it says.
local function body_fits(entry, body)
  if not entry.sent then return entry.sent_length > 0 or body == "" end -- it was left out of the capture
  if entry.sent == body then return true end
  local ok, wanted = pcall(cjson.decode, entry.sent)
  local ok_too, value = pcall(cjson.decode, body)
  return ok and ok_too and alike(wanted, value)
end

local function find(self, request, path, query)
  for i, entry in ipairs(self.entries) do
    if not entry.used and entry.method == request.method and fits(entry.path, path) and fits(entry.query, query)
      and body_fits(entry, request.body or "") then
      entry.used = true
      return entry, i
    end
  end
end

-- ---- answering -------------------------------------------------------------------------------

local NOT_SENT = { ["content-length"] = true, ["transfer-encoding"] = true, ["content-encoding"] = true,
  connection = true, ["keep-alive"] = true }

-- Links lead to whoever answered then; JSON may write their slashes with a backslash.
local function with_origin(text, theirs, ours)
  if not theirs or theirs == ours then return text end
  local function replace(from, to)
    text = text:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%")))
  end
  replace(theirs, ours)
  replace(theirs:gsub("/", "\\/"), (ours:gsub("/", "\\/")))
  return text
end

local function answer_of(entry, ours)
  if entry.status == 0 then return { headers = {}, body = "", reset = true } end
  local headers = {}
  for name, value in pairs(entry.headers) do
    if not NOT_SENT[name:lower()] then headers[name] = value end
  end
  return { status = entry.status, headers = headers, body = with_origin(entry.body or "", entry.origin, ours) }
end

local function complaint(status, code, message)
  return reply.text(status, "application/json", cjson.encode { error = { code = code, message = message } })
end

--- Answers one request.
---@param request msgraph.sim.Request
---@return msgraph.sim.Answer
function Replay:answer(request)
  local path, query = request.target:match "^([^?#]*)%??([^#]*)"
  local entry, i = find(self, request, path, query)
  self.log[#self.log + 1] = { n = #self.log + 1, method = request.method, path = path, query = query, entry = i,
    status = entry and (entry.status ~= 0 and entry.status or nil) or not entry and 404 or nil }
  if not entry then
    return complaint(404, "NotCaptured", ("the capture has no (or no more) %s %s with this body"):format(request.method,
      request.target))
  elseif entry.left_out then
    return complaint(501, "BodyNotCaptured", ("the capture left out the body that answers %s %s"):format(request.method,
      request.target))
  end
  return answer_of(entry, "https://" .. (request.headers.host or "localhost"))
end

--- What was asked, oldest first: `entry` is the number of the entry that answered.
---@param filter? table
function Replay:requests(filter)
  local out = {}
  for _, asked in ipairs(self.log) do
    if is_wanted(asked, filter) then out[#out + 1] = asked end
  end
  return out
end

--- The entries that nobody asked for: "GET /v1.0/users".
function Replay:unused()
  local out = {}
  for _, entry in ipairs(self.entries) do
    if not entry.used then out[#out + 1] = entry.method .. " " .. entry.path end
  end
  return out
end

return M
