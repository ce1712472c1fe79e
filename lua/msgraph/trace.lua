-- lua/msgraph/trace.lua
--- What a client's requests did, for people and their tools: records for a log, a capture in a file, W3C trace context.
--
-- It stands around the one place where requests leave for the core, and only in clients that ask for it. A record
-- is made when a request ends, be it cancelled. Nothing in here makes a request fail; what is shown is redacted
-- (trace/redact.lua).
local capture = require "msgraph.trace.capture"
local core = require "msgraph.core"
local redact = require "msgraph.trace.redact"

local M = {}

---@class msgraph.LogRecord          of a request that ended, with all its attempts
---@field time number                Unix seconds when it began
---@field method string
---@field path string                without secrets
---@field query? string              OData's options; `***` for values of others
---@field template string            the path with {id} for ids and names
---@field status? integer            of its last answer
---@field code? string               of docs/errors.md, where the transport failed or it was cancelled
---@field request_id? string         the server's id
---@field client_request_id? string  ours
---@field traceparent? string        as it was sent
---@field attempts table[]           {status, code, phase, waited} for each time it was sent
---@field throttled integer          how many of them were answered with 429 or 509
---@field seconds number             from beginning to end, and in it:
---@field on_wire? number            seconds on the network
---@field waited? number             seconds waited before attempts
---@field queued? number             seconds until there was room on the network
---@field for_token? number          seconds until there was a token: it was signed in or renewed meanwhile
---@field bytes_sent integer         of the body
---@field bytes_received integer     of the body
---@field retry_after? number        seconds the server asks to wait
---@field retry_budget? true         as msgraph.Error has it
---@field ambiguous? true            it may have been acted on
---@field headers table<string, string> of the answer, those that may be shown, names in lower case

-- ---- trace context (W3C Trace Context, level 1) --------------------------------------------------------

local ZERO <const> = "^0+$"

--- Whether a text is a `traceparent` of version 00.
---@param text string
---@return boolean
function M.is_traceparent(text)
  local trace, span = text:match "^00%-(%x+)%-(%x+)%-%x%x$"
  return trace ~= nil and #trace == 32 and #span == 16 and not text:find "%u"
    and not trace:find(ZERO) and not span:find(ZERO)
end

local function hex()
  local bits = math.random(0)
  return ("%016x"):format(bits ~= 0 and bits or 1)
end

-- A span of the trace that `parent` belongs to, or of a new one. One a request: its attempts share it.
local function new_span(parent)
  local trace, flags = (parent or ""):match "^00%-(%x+)%-%x+%-(%x%x)$"
  return ("00-%s-%s-%s"):format(trace or hex() .. hex(), hex(), flags or "01")
end

-- The request with its context. Whoever made the request keeps it as it is.
local function with_context(self, request)
  local headers, parent = {}, self.traceparent
  for name, value in pairs(request.headers or {}) do
    if name:lower() == "traceparent" then parent = value else headers[name] = value end
  end
  if parent and not M.is_traceparent(parent) then parent = nil end -- the header says: begin anew
  headers.traceparent = new_span(parent)
  local own = {}
  for name, value in pairs(request) do own[name] = value end
  own.headers = headers
  return own
end

-- ---- a record ------------------------------------------------------------------------------------------

local COPIED = { "status", "code", "request_id", "client_request_id", "on_wire", "waited", "queued", "for_token",
  "retry_after", "retry_budget", "ambiguous" }

local function count_throttled(attempts)
  local n = 0
  for _, one in ipairs(attempts) do
    if one.status == 429 or one.status == 509 then n = n + 1 end
  end
  return n
end

-- Copies: the others are the Error's, which writes to them.
local function attempts_of(from)
  local only = { status = from.status, code = from.code, phase = from.phase or "answered" }
  local out = {}
  for i, one in ipairs(from.attempts or { only }) do
    out[i] = { status = one.status, code = one.code, phase = one.phase, waited = one.waited }
  end
  return out
end

local function record_of(flight, raw, failure)
  local from, request = raw or failure, flight.request
  local path, query = redact.target(request.target)
  local record = {
    time = flight.wall, method = request.method, path = path, query = query, template = redact.template(path),
    traceparent = request.headers.traceparent, seconds = core.now() - flight.began,
    bytes_sent = #(request.body or ""), bytes_received = raw and #raw.body or 0,
    attempts = attempts_of(from), headers = raw and redact.shown(raw.headers) or {},
  }
  for _, name in ipairs(COPIED) do record[name] = from[name] end
  record.throttled = count_throttled(record.attempts)
  if failure and failure.kind == "ambiguous" then record.ambiguous = true end
  return record
end

-- ---- handing it on ---------------------------------------------------------------------------------------

local Trace = {}
Trace.__index = Trace

function Trace:complain(what, problem)
  if self.complained then return end
  self.complained = true
  warn("msgraph: ", what, ": ", tostring(problem))
end

-- In a coroutine of its own, so that it can not yield the task's. What it asks of this client is not told to it.
function Trace:tell(record)
  if self.telling then return end
  self.telling = true
  local ok, problem = coroutine.resume(coroutine.create(self.log), record)
  self.telling = false
  if not ok then self:complain("the log function failed", problem) end
end

local function hand_on(self, flight, raw, failure)
  local record = record_of(flight, raw, failure)
  if self.capture then self.capture:add(record, flight.request, raw) end
  if self.log then self:tell(record) end
end

local Flight = {}

function Flight:note(raw, failure)
  self.noted = true
  if not self.trace.log and not self.trace.capture then return end
  local ok, problem = pcall(hand_on, self.trace, self, raw, failure)
  if not ok then self.trace:complain("a request could not be recorded", problem) end
end

-- Left by a cancelled task or an interrupt.
function Flight:__close()
  if not self.noted then Flight.note(self, nil, { code = "cancelled", phase = "sent" }) end
end

--- Puts the trace around what sends requests.
---@param send fun(origin: msgraph.core.Origin, request: msgraph.core.Request, owner: any): table?, table?
---@return fun(origin: msgraph.core.Origin, request: msgraph.core.Request, owner: any): table?, table?
function Trace:around(send)
  return function(origin, request, owner)
    local began = core.now()
    local flight <close> = setmetatable({ trace = self, request = with_context(self, request), began = began,
      wall = self.offset + began }, Flight)
    local raw, failure = send(origin, flight.request, owner)
    Flight.note(flight, raw, failure)
    return raw, failure
  end
end

--- Ends the capture.
function Trace:close()
  if self.capture then self.capture:close() end
end

--- What `graph.connect` was told of log, capture and traceparent.
---@param settings { log?: fun(record: msgraph.LogRecord), capture?: string, traceparent?: string, endpoint: string }
---@return msgraph.Trace?
---@return string? reason why the capture can not be written
function M.open(settings)
  local self = { log = settings.log, traceparent = settings.traceparent, offset = os.time() - core.now() }
  if settings.capture then
    local reason
    self.capture, reason = capture.open(settings.capture, settings.endpoint)
    if not self.capture then return nil, reason end
  end
  return setmetatable(self, Trace)
end

return M
