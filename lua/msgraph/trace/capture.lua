-- lua/msgraph/trace/capture.lua
--- Writes a session into a file: HAR 1.2, which browsers' tools and msgraph.sim.replay read, or the same entries as
--- JSON lines.
--
-- The file is whole after every request: a line is added at a time, and HAR's closing brackets are written anew
-- with each entry. When writing fails, it ends there with a warning; no request fails for it.
local core = require "msgraph.core"
local json = require "msgraph.json"
local redact = require "msgraph.trace.redact"

local M = {}

local Capture = {}
Capture.__index = Capture

local HEAD = '{"log":{"version":"1.2","creator":{"name":"msgraph","version":%s},"entries":['
local TAIL <const> = "\n]}}\n"

--- The kind of file a name stands for.
---@param path string
---@return "har"|"jsonl"|nil
function M.format_of(path)
  return path:match "%.(har)$" or path:match "%.(jsonl)$"
end

--- Begins a file for its owner's eyes only; one that is there is replaced.
---@param path string it ends in .har or .jsonl
---@param endpoint string "https://graph.microsoft.com"
---@return msgraph.trace.Capture?
---@return string? reason
function M.open(path, endpoint)
  local ok, reason = core.write_private(path, "")
  local file = ok and io.open(path, "r+b")
  if not file then return nil, reason or path .. ": it can not be opened" end
  local self = setmetatable({ file = file, path = path, endpoint = endpoint, count = 0 }, Capture)
  self.is_har = M.format_of(path) == "har"
  if self.is_har then self:write(HEAD:format(json.encode(core.version)), TAIL) end
  return self
end

--- Ends it. Twice is as good as once.
function Capture:close()
  if self.file then self.file:close() end
  self.file = nil
end

function Capture:write(...)
  local ok, reason = self.file:write(...)
  if ok then ok, reason = self.file:flush() end
  if ok then return end
  warn("msgraph: the capture ends here: ", self.path, ": ", tostring(reason))
  self:close()
end

-- ---- an entry (HAR 1.2; names of our own begin with _) ----------------------------------------------

local function milliseconds(seconds)
  return math.floor((seconds or 0) * 1e6 + 0.5) / 1000
end

local function iso(time)
  return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(time)) .. (".%03dZ"):format(math.floor(time % 1 * 1000))
end

local function parameters(query)
  local out = json.array {}
  for text in (query or ""):gmatch "[^&]+" do
    out[#out + 1] = { name = text:match "^[^=]*", value = text:match "=(.*)$" or "" }
  end
  return out
end

local function content(bytes, kind, path)
  local text, comment = redact.body(bytes, kind, path)
  return { mimeType = kind or "", text = text, comment = comment, size = #bytes }
end

local function request_of(self, record, request)
  local kind = redact.content_type(request.headers)
  local headers = redact.headers(pairs(request.headers or {}))
  return {
    method = record.method, url = self.endpoint .. record.path .. (record.query and "?" .. record.query or ""),
    httpVersion = "HTTP/1.1", cookies = json.array {}, headers = json.array(headers),
    queryString = parameters(record.query), headersSize = -1, bodySize = record.bytes_sent,
    postData = request.body and content(request.body, kind, record.path) or nil,
  }
end

-- Status 0 is how HAR says that no answer came.
local function response_of(record, raw)
  local block = raw and raw.headers or ""
  return {
    status = raw and raw.status or 0, statusText = "", httpVersion = "HTTP/" .. (raw and raw.http_version or "1.1"),
    cookies = json.array {}, headers = json.array(redact.headers(redact.lines(block))),
    content = content(raw and raw.body or "", core.header(block, "Content-Type"), record.path),
    redirectURL = "", headersSize = -1, bodySize = record.bytes_received,
  }
end

--- Adds a request.
---@param record msgraph.LogRecord
---@param request msgraph.core.Request
---@param raw? msgraph.core.Response
function Capture:add(record, request, raw)
  if not self.file then return end
  local entry = json.encode {
    startedDateTime = iso(record.time), time = milliseconds(record.seconds),
    request = request_of(self, record, request), response = response_of(record, raw), cache = {},
    timings = {
      blocked = milliseconds((record.queued or 0) + (record.for_token or 0) + (record.waited or 0)),
      send = 0, wait = milliseconds(record.on_wire), receive = 0,
    },
    _msgraph = record,
  }
  if not self.is_har then return self:write(entry, "\n") end
  self.file:seek("end", -#TAIL)
  self:write(self.count > 0 and ",\n" or "\n", entry, TAIL)
  self.count = self.count + 1
end

return M
