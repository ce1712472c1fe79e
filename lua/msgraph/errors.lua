-- lua/msgraph/errors.lua
--- msgraph.Error: what went wrong out there, in words a person can act on.
--
-- Three sources become one shape: an answer Graph refused with, a failure of the transport, and
-- what this library finds by itself. docs/errors.md lists every kind and code; a spec compares the
-- page with the tables here. Foreign text is cut, kept on one line, and cleaned of tokens.
local bodies = require "msgraph.errors.body"
local hints = require "msgraph.errors.hints"
local json = require "msgraph.json"
local reasons = require "msgraph.errors.reasons"
local text = require "msgraph.errors.text"

local M = {}

---@class msgraph.Error
---@field kind string "auth" "forbidden" "not_found" "conflict" "throttled" "invalid" "server" "network"
---  "timeout" "cancelled" "ambiguous" "protocol": branch on this
---@field code string Graph's most specific code, the sign-in's word, or one of docs/errors.md's
---@field reason? string "scope_missing", "inherited_license", ... where the answer tells: msgraph.errors.reasons
---@field message string one line, for people: never branch on it
---@field status? integer HTTP status, when an answer began
---@field request_id? string the server's id, for a support case
---@field client_request_id? string the id we sent
---@field date? string when, as the server says: with the ids and `ags` what Microsoft's support asks for
---@field ags? string where: data centre, ring and scale unit of the gateway that answered
---@field retry_after? number seconds the server asks to wait
---@field retry_at? integer Unix time from which a retry makes sense
---@field retry_budget? true it was not sent again because too many others have failed lately
---@field attempts table[] one {status, phase, code, waited} per time it was sent; waited: seconds before it
---@field inner table[] {code, message, detail, suberror} from the outermost to the most specific
---@field details table[] {code, message, target} of an answer that names several faults
---@field permissions? { least: { delegated?: string, application?: string },
---  all: { delegated: string[], application: string[] } } of the kind of token in use, any one of `all` would do
---@field already_done? true of a resource's method: nothing was left to do, see msgraph.calls
---@field hint? string what to do
---@field phase? string "not_sent" "sent" "answered"
---@field method? string
---@field path? string without the query
---@field checkpoint? msgraph.Checkpoint where a list can go on that broke off
local Error = { __name = "msgraph.Error" }
Error.__index = Error
M.Error = Error

--- Hints by code, reason and kind: msgraph.errors.hints.
M.HINTS = hints.TEXTS

M.KINDS = { "auth", "forbidden", "not_found", "conflict", "throttled", "invalid", "server", "network",
  "timeout", "cancelled", "ambiguous", "protocol" }

-- ---- bodies -----------------------------------------------------------------------------------

local one_line = text.one_line

--- Keeps a secret out of every Error: msgraph.errors.text.
M.hide = text.hide

--- Tells whether a body is a web page rather than an answer of Graph.
---@param body string
---@param content_type? string
---@return boolean
function M.is_html(body, content_type)
  if content_type and content_type:lower():find("text/html", 1, true) then return true end
  local start = body:sub(1, 256):lower()
  return start:find("^%s*<!doctype html") ~= nil or start:find("^%s*<html") ~= nil
end

local function page_title(body)
  local title = body:sub(1, 8192):match("<[Tt][Ii][Tt][Ll][Ee][^>]*>(.-)</")
  return title and text.or_nil(title)
end

-- ---- kinds ------------------------------------------------------------------------------------

local KIND_OF_STATUS = { [401] = "auth", [403] = "forbidden", [404] = "not_found", [407] = "auth", [408] = "timeout",
  [409] = "conflict", [412] = "conflict", [429] = "throttled", [509] = "throttled" }

--- The kind of an HTTP status that is no success.
---@param status integer
---@return string
function M.kind_of_status(status)
  if KIND_OF_STATUS[status] then return KIND_OF_STATUS[status] end
  if status >= 500 then return "server" end
  return status >= 400 and "invalid" or "protocol"
end

local TEXT_OF_STATUS = { [400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required", [403] = "Forbidden",
  [404] = "Not Found", [405] = "Method Not Allowed", [406] = "Not Acceptable",
  [407] = "Proxy Authentication Required", [408] = "Request Timeout", [409] = "Conflict", [410] = "Gone",
  [411] = "Length Required", [412] = "Precondition Failed", [413] = "Content Too Large",
  [415] = "Unsupported Media Type", [416] = "Range Not Satisfiable", [422] = "Unprocessable Content",
  [423] = "Locked", [429] = "Too Many Requests", [500] = "Internal Server Error", [501] = "Not Implemented",
  [502] = "Bad Gateway", [503] = "Service Unavailable", [504] = "Gateway Timeout",
  [507] = "Insufficient Storage", [509] = "Bandwidth Limit Exceeded" }

-- ---- permissions ------------------------------------------------------------------------------

-- "must have one of the following scopes: A, B"; old texts misspell the one we need most.
local function named_permissions(message)
  local list = message:match("following scopes: ([%w%.,%s%-]+)")
    or message:match("following permissions: ([%w%.,%s%-]+)")
  if not list then return nil end
  local names, seen = {}, {}
  for name in list:gmatch("[%w%-]+%.[%w%.]*%w") do
    name = name:gsub("Privili?ged?Operations?%.All$", "PrivilegedOperations.All")
    if not seen[name] then
      seen[name], names[#names + 1] = true, name
    end
  end
  return #names > 0 and names or nil
end

-- The least of the kind, if the answer names it too, or else the first that it names.
local function least_of(least, named)
  for _, name in ipairs(named) do
    if name == least then return name end
  end
  return named[1]
end

-- What would do: as the answer says, or else as is published. The index is loaded for a refusal, not before.
local function permissions_for(err, named)
  local needs = err.method and require("msgraph.permissions").find(err.method, err.path)
  if not named then return needs and { least = needs.least, all = needs.all } end
  local least = needs and needs.least or {}
  return {
    least = { delegated = least_of(least.delegated, named), application = least_of(least.application, named) },
    all = { delegated = named, application = named },
  }
end

-- ---- constructors -----------------------------------------------------------------------------

--- Makes an Error of fields; hint, inner and attempts are filled in where missing.
---@param fields table at least kind, code and message
---@return msgraph.Error
function M.new(fields)
  local err = setmetatable(fields, Error)
  err.inner, err.details = err.inner or {}, err.details or {}
  err.attempts = err.attempts or { { status = err.status, phase = err.phase } }
  err.attempts[#err.attempts].code = err.code
  err.hint = err.hint or hints.find(err)
  return err
end

-- What was tried, and when to try again.
local function add_retries(err, from)
  local wait = from.retry_in or from.retry_after
  err.retry_after, err.retry_at = from.retry_after, wait and os.time() + math.ceil(wait)
  err.retry_budget, err.attempts = from.retry_budget, from.attempts
end

local function id_or_nil(id)
  return id and one_line(id)
end

local function path_of(target)
  return (target:gsub("[?#].*$", ""))
end

-- The sign-in said no: its word becomes the code. Entra appends ids and a time to its sentence.
local function refused_sign_in(err, failure, consent_url)
  local aadsts = require "msgraph.aadsts" -- most programs never meet it
  err.code = failure.word and text.or_nil(failure.word) or err.code
  err.message = err.message:gsub("%s*Trace ID:?.*$", "")
  err.hint = aadsts.hint(err.message, failure.subword, consent_url) or M.HINTS[err.code] or M.HINTS.token_refused
end

-- The sign-in host could not be reached or used: all that tells is that the message names it.
local function failed_sign_in(err)
  err.message = "the sign-in failed: " .. err.message
  err.hint = "this is about the sign-in host, not Graph's (authority, AZURE_AUTHORITY_HOST): "
    .. (M.HINTS[err.code] or M.HINTS[err.kind])
end

-- The host we run on did not answer: most often because it is none of Azure's.
local function is_without_identity(err)
  return err.message:find("no managed identity at", 1, true) ~= nil
end

local UNREACHED = { network = true, timeout = true, protocol = true }

--- From a failure of the transport.
---@param failure msgraph.core.Failure
---@param request? msgraph.core.Request
---@param login? string the sign-in host, where it is another than Graph's
---@param consent_url? string where an administrator lets the app in
---@return msgraph.Error
function M.from_failure(failure, request, login, consent_url)
  local err = {
    kind = failure.kind, code = failure.code,
    message = failure.code == "no_token" and failure.message or one_line(failure.message or failure.code), -- a list
    status = failure.status, request_id = id_or_nil(failure.request_id),
    client_request_id = failure.client_request_id,
    phase = failure.phase, method = request and request.method, path = request and path_of(request.target),
  }
  if failure.code == "token_refused" then
    refused_sign_in(err, failure, consent_url)
  elseif UNREACHED[err.kind] and is_without_identity(err) then
    err.hint = M.HINTS.managed_identity
  elseif login and UNREACHED[err.kind] and err.message:find(login, 1, true) then
    failed_sign_in(err)
  end
  add_retries(err, failure)
  return M.new(err)
end

-- What every Error about an answer says.
local function of_answer(response, request, fields)
  fields.status, fields.phase = response.status, "answered"
  fields.request_id, fields.client_request_id = id_or_nil(response.request_id), response.client_request_id
  fields.method, fields.path = request.method, path_of(request.target)
  fields.attempts = response.attempts
  return fields
end

-- Code and message of an answer, from its error body or else from what there is.
local function describe(err, list, body, html)
  local status = err.status
  err.code = list.code or html and "html_page" or status == 407 and "proxy_auth" or ("http_%d"):format(status)
  err.message = list.message or html and page_title(body)
  if not err.message and #list == 0 and not html and bodies.is_text(body) then err.message = text.or_nil(body) end
  err.message = err.message or TEXT_OF_STATUS[status] or ("HTTP %d"):format(status)
end

local NO_PERMISSION_HELPS = { license_missing = true, approval_required = true }

-- Why, and what permission would help.
local function explain(err, list)
  local named = named_permissions(err.message)
  local reason, kind = reasons.find(err, list, named ~= nil)
  err.reason, err.kind = reason, kind or err.kind
  if err.kind == "forbidden" and not NO_PERMISSION_HELPS[err.reason] then
    err.permissions = permissions_for(err, named)
  end
end

-- "West Europe, ring 5, AM4PEPF00027A61" of x-ms-ags-diagnostic; nil where it is not what it was.
local function gateway(diagnostic)
  local document = diagnostic and json.decode(diagnostic)
  local info = type(document) == "table" and document.ServerInfo
  if type(info) ~= "table" then return nil end
  local parts = { text.or_nil(info.DataCenter) }
  if text.or_nil(info.Ring) then parts[#parts + 1] = "ring " .. text.or_nil(info.Ring) end
  parts[#parts + 1] = text.or_nil(info.RoleInstance)
  return parts[1] and table.concat(parts, ", ")
end

-- The scheme and host a Location header points to; never its path, which may hold secrets.
local function host_of(location)
  return (one_line(location:match("^%a[%w+.-]*://[^/?#]*") or "the same host"):gsub("//.*@", "//"))
end

local function redirected(err, location)
  err.code = "redirect"
  if location then err.hint = ("%s (it pointed to %s)"):format(M.HINTS.redirect, host_of(location)) end
end

--- From an answer with a status that is no success.
---@param response msgraph.core.Response
---@param request msgraph.core.Request
---@param header? fun(name: string): string? a header of the answer
---@return msgraph.Error
function M.from_status(response, request, header)
  local status, body = response.status, response.body
  local list = bodies.parse(body)
  header = header or function() return nil end
  local err = of_answer(response, request, { inner = {}, details = list.details,
    kind = response.ambiguous and "ambiguous" or M.kind_of_status(status) })
  for i, item in ipairs(list) do err.inner[i] = item end
  err.request_id = err.request_id or list.request_id
  err.date, err.ags = text.or_nil(header "Date"), gateway(header "x-ms-ags-diagnostic")
  describe(err, list, body, #list == 0 and M.is_html(body, header "Content-Type"))
  add_retries(err, response)
  if status < 400 then redirected(err, header "Location") end
  explain(err, list)
  return M.new(err)
end

--- From an answer that is a success and cannot be read.
---@param response msgraph.core.Response
---@param request msgraph.core.Request
---@param code "html_page"|"not_json"|"not_a_list"|"no_progress"|"incomplete"
---@param reason string
---@return msgraph.Error
function M.unreadable(response, request, code, reason)
  local message = code == "html_page" and page_title(response.body)
  message = message and ('%s: "%s"'):format(reason, message) or reason
  return M.new(of_answer(response, request, { kind = "protocol", code = code, message = one_line(message) }))
end

-- ---- the class --------------------------------------------------------------------------------

--- Tells whether a value is a msgraph.Error.
---@param value any
---@return boolean
function Error.is(value)
  return getmetatable(value) == Error
end

local function about(err)
  local parts = {}
  if err.method then parts[#parts + 1] = err.method .. " " .. err.path end
  if err.status then parts[#parts + 1] = ("HTTP %d"):format(err.status) end
  parts[#parts + 1] = err.code
  if #err.attempts > 1 then parts[#parts + 1] = ("%d attempts"):format(#err.attempts) end
  if err.retry_budget then parts[#parts + 1] = "no more retries: too many have failed lately" end
  if err.retry_after then parts[#parts + 1] = ("retry after %g s"):format(err.retry_after) end
  if err.request_id or err.client_request_id then
    parts[#parts + 1] = err.request_id and "request-id " .. err.request_id
      or "client-request-id " .. err.client_request_id
  end
  return table.concat(parts, ", ")
end

--- One line: kind, message, what it was about, and the hint.
function Error:__tostring()
  local line = ("%s: %s (%s)"):format(self.kind, self.message, about(self))
  return self.hint and line .. " - " .. self.hint or line
end

function Error.__concat(left, right)
  return tostring(left) .. tostring(right)
end

return M
