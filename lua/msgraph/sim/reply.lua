-- lua/msgraph/sim/reply.lua - answers, and above all errors, in the shapes the service gives them.
--
-- Sources: FACTS 6.1 (Graph's error object), 1 (Intune's JSON document inside a string), 4 (429).
local base64 = require "msgraph.sim.login.base64"
local json = require "msgraph.sim.json"
local clock = require "msgraph.sim.clock"

local M = {}

local JSON <const> = "application/json"
local ODATA <const> = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;"
  .. "charset=utf-8"

local INNER = { "code", "date", "request-id", "client-request-id" }
local PLAIN_INNER = { "date", "request-id", "client-request-id" }
local ERROR = { "code", "message", "innerError" }

---@class msgraph.sim.Answer
---@field status? integer            nil: none is sent
---@field headers table<string, string>
---@field body string
---@field delay_ms? integer          wait before sending
---@field reset? boolean             send a TCP reset instead
---@field cut_at? integer            close after this many bytes of the body
---@field stall_at? integer          pause after this many bytes of the body ...
---@field stall_ms? integer          ... for this long

---@return msgraph.sim.Answer
function M.text(status, content_type, body)
  return { status = status, headers = { ["Content-Type"] = content_type }, body = body }
end

---@return msgraph.sim.Answer
function M.ok(value)
  return M.text(200, ODATA, json.encode(value))
end

--- 204, which has neither a body nor a type.
---@return msgraph.sim.Answer
function M.no_content()
  return { status = 204, headers = {}, body = "" }
end

--- An error as Graph writes it.
---@param ctx msgraph.sim.Context
---@param status integer
---@param code string
---@param message string
---@param inner_code? string a more specific code inside innerError
---@return msgraph.sim.Answer
function M.error(ctx, status, code, message, inner_code)
  local inner = json.ordered({
    code = inner_code, date = clock.naive(ctx.now),
    ["request-id"] = ctx.request_id, ["client-request-id"] = ctx.client_request_id,
  }, inner_code and INNER or PLAIN_INNER)
  local body = json.encode { error = json.ordered({ code = code, message = message, innerError = inner }, ERROR) }
  return M.text(status, JSON, body)
end

--- The document Intune puts into `message`, as text.
local function intune_document(ctx, text)
  local message = string.format(
    "%s - Operation ID (for customer support): 00000000-0000-0000-0000-000000000000 - Activity ID: %s"
      .. " - Url: https://fef.msua01.manage.microsoft.com/DeviceFE/StatelessDeviceFEService%s?api-version=2026-07-01",
    text, ctx.request_id, (ctx.path:gsub("^/[^/]*", "")))
  return '{\r\n  "_version": 3,\r\n  "Message": ' .. json.encode(message)
    .. ',\r\n  "CustomApiErrorPhrase": "",\r\n  "RetryAfter": null,\r\n  "ErrorSourceService": ""'
    .. ',\r\n  "HttpHeaders": "{}"\r\n}'
end

--- An error as Intune writes it through Graph: a JSON document as a string in `message`.
---@return msgraph.sim.Answer
function M.intune_error(ctx, status, code, text)
  return M.error(ctx, status, code, intune_document(ctx, text))
end

local WRAPPED = { "ErrorCode", "Message", "Target", "Details", "InnerError", "InstanceAnnotations" }

--- The other form: code UnknownError, and a document inside a document that names the real code.
---@return msgraph.sim.Answer
function M.wrapped_intune_error(ctx, status, code, text)
  local document = json.ordered({
    ErrorCode = code, Message = intune_document(ctx, text), InstanceAnnotations = json.array {},
  }, WRAPPED)
  return M.error(ctx, status, "UnknownError", json.encode(document))
end

--- The challenge the service sends along when it is about the token.
---@param answer msgraph.sim.Answer
---@param claims? string base64 of JSON: what the next token has to fulfil (FACTS 6.4)
local function challenge(answer, claims)
  local text = 'Bearer realm="", '
    .. 'authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    .. 'client_id="00000003-0000-0000-c000-000000000000"'
  if claims then text = text .. ', error="insufficient_claims", claims="' .. claims .. '"' end
  answer.headers["WWW-Authenticate"] = text
end

--- 401 with its challenge.
---@param claims? string base64 of JSON
---@return msgraph.sim.Answer
function M.unauthorized(ctx, message, claims)
  local answer = M.error(ctx, 401, "InvalidAuthenticationToken", message)
  challenge(answer, claims)
  return answer
end

--- 404 of the directory.
---@return msgraph.sim.Answer
function M.no_such_object(ctx, key)
  return M.error(ctx, 404, "Request_ResourceNotFound", "Resource '" .. key
    .. "' does not exist or one of its queried reference-property objects are not present.")
end

--- 400 for a request the service cannot read.
---@return msgraph.sim.Answer
function M.bad_request(ctx, message)
  return M.error(ctx, 400, "BadRequest", message)
end

-- What a failing service says when nothing more is known: status -> code, message.
local FAILURES = {
  [413] = { "RequestEntityTooLarge", "The request body is too large." },
  [429] = { "TooManyRequests", "Please retry again later." },
  [500] = { "InternalServerError", "There was an internal server error while processing the request." },
  [502] = { "BadGateway", "The gateway received an invalid response." },
  [503] = { "ServiceUnavailable", "The service is temporarily unavailable. Please retry later." },
  [504] = { "GatewayTimeout", "The gateway did not receive a response in time." },
}

--- Adds the Retry-After a fault rule asks for.
---@param answer msgraph.sim.Answer
---@param rule msgraph.sim.Fault
---@param ctx msgraph.sim.Context
function M.retry_after(answer, rule, ctx)
  if rule.retry_date then answer.headers["Retry-After"] = clock.http(ctx.now + rule.retry_date) end
  if not rule.retry_after then return end
  answer.headers["Retry-After"] = tostring(math.tointeger(rule.retry_after) or rule.retry_after)
end

--- A failure made by a fault rule.
---@param rule msgraph.sim.Fault
---@return msgraph.sim.Answer
function M.failure(ctx, rule)
  local status = rule.status or 429
  local usual = FAILURES[status] or { "UnknownError", "" }
  local inner_code = status == 429 and "429" or nil
  local answer = M.error(ctx, status, rule.code or usual[1], rule.message or usual[2], inner_code)
  M.retry_after(answer, rule, ctx)
  if rule.claims then challenge(answer, base64.encode(rule.claims)) end
  return answer
end

--- 429 by a limit of limits.lua.
---@param refused msgraph.sim.Refusal
---@return msgraph.sim.Answer
function M.throttled(ctx, refused)
  local answer = M.failure(ctx, { retry_after = refused.retry_after })
  answer.headers["x-ms-throttle-scope"] = refused.scope
  answer.headers["x-ms-throttle-information"] = refused.reason
  return answer
end

--- What a proxy on the way says instead of Graph.
---@return msgraph.sim.Answer
function M.proxy_page(status)
  return M.text(status, "text/html; charset=utf-8",
    "<!DOCTYPE html>\n<html><head><title>Sign in to the network</title></head>\n"
      .. "<body><h1>Contoso guest network</h1><p>Accept the terms of use to go on.</p></body></html>\n")
end

--- 411 comes from the HTTP server in front of Graph, which does not speak JSON.
---@return msgraph.sim.Answer
function M.length_required()
  return M.text(411, "text/html; charset=us-ascii",
    "<html><head><title>Length Required</title></head>\n"
      .. "<body><h2>Length Required</h2><p>HTTP Error 411. The request must have a content length.</p></body></html>\n")
end

return M
