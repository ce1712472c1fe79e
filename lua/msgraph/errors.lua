-- lua/msgraph/errors.lua
--- msgraph.Error: what went wrong out there, in words a person can act on.
--
-- Three sources become one shape: an answer Graph refused with, a failure of the transport, and
-- what this library finds by itself. docs/errors.md lists every kind and code; a spec compares the
-- page with the tables here. Foreign text is cut, kept on one line, and cleaned of tokens.
local bodies = require "msgraph.errors.body"
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

M.KINDS = { "auth", "forbidden", "not_found", "conflict", "throttled", "invalid", "server", "network",
  "timeout", "cancelled", "ambiguous", "protocol" }

local REMOVE_ALL = "removeAllDevicesFromManagement"

-- ---- hints ------------------------------------------------------------------------------------

--- Code (or reason, or kind where no code says more) to hint.
M.HINTS = {
  -- why a request was forbidden
  scope_missing = "the token lacks the permission: add it to the app registration (Microsoft Graph), have an "
    .. "administrator grant consent, and get a new token",
  role_missing = "the permission is there, the role is not: the signed-in user needs the role Intune Administrator, "
    .. "or an Intune role with the remote task in question and the device in its scope",
  license_missing = "the tenant has no active Intune licence, or no MDM authority is set: check the tenant of "
    .. "the token",
  approval_required = "Multi Admin Approval guards this: have another administrator approve the request in Intune, or "
    .. "exclude the app from the access policy, then send it again",
  -- why a request was refused, told by its words
  inherited_license = "the licence comes with a group: take the user out of that group "
    .. "(licenseAssignmentStates[].assignedByGroup names it)",
  license_not_assigned = "the user has no such licence of his own: read licenseAssignmentStates first",
  license_dependency = "other licences depend on this one: remove all of them in one call",
  no_seat = "the tenant has no free seat of this licence: free or buy one",
  no_usage_location = "an account needs a usage location before it gets a licence: set usageLocation",
  mail_enabled_group = "Exchange manages mail-enabled security groups and distribution lists: change it there",
  synced_object = "the object is mastered in the on-premises directory: change it there",
  last_owner = "a group keeps its last owner: add another one first",
  already_there = "it is there already: nothing to do",
  not_there = "it is not there any more: nothing to do",
  role_not_assigned = "there is no such assignment through PIM: nothing to do, or it is a direct one (roleAssignments)",
  role_already_assigned = "the role is assigned already: nothing to do",
  conflicting_object = "something with the same values is in the directory: of an assignment, it is there already",
  pim_policy = "PIM's rules for the role refuse it: assign it within them, in the Entra admin center",
  default_method = "the user's default method cannot be deleted while there are others: delete it last",
  not_organizer = "only the organizer can cancel a meeting: decline it, or cancel it in the organizer's calendar",
  no_mailbox = "the user has no mailbox that Graph reaches: none, unlicensed, or on premises",
  -- Graph's codes
  InvalidAuthenticationToken = "the token is expired, damaged or made for another audience or cloud: get a new one "
    .. "for this endpoint",
  Authorization_RequestDenied = "the token lacks the permission, or the caller's role is below the target's: check "
    .. "both, have an administrator consent, and get a new token",
  Request_ResourceNotFound = "no such object in this tenant: check the id or principal name, and whether it was "
    .. "deleted",
  ResourceNotFound = "no such object in this tenant: check the id, and whether it was deleted",
  Directory_ConcurrencyViolation = "another write to the same object was under way: send writes to one object one "
    .. "after the other",
  Directory_QuotaExceeded = "the tenant's directory quota is used up: purge deleted objects or ask for more",
  Directory_ExpiredPageToken = "the link to the next page is too old: read the list anew, and do slow work "
    .. "after it",
  Request_UnsupportedQuery = "this query needs the header ConsistencyLevel: eventual and $count=true, or is not "
    .. "supported at all",
  -- answers that are not Graph's
  html_page = "a web page came instead of Graph's answer: a proxy, firewall or sign-in portal is in between",
  not_json = "the answer is not the JSON that was asked for: check the endpoint, and what is in between",
  redirect = "redirects are never followed, so that the token goes nowhere else: check the endpoint",
  proxy_auth = "a proxy wants a name and password: set them in HTTPS_PROXY",
  -- ours
  no_token = "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (docs/auth.md has the other ways), or "
    .. "MSGRAPH_ACCESS_TOKEN, or pass auth = graph.auth.token \"...\" to graph.connect",
  signed_out = "a user has to sign in: msgraph login; a service does so through its environment (docs/auth.md)",
  managed_identity = "this host has no such managed identity, or does not say so to this process: assign one to it, "
    .. "check client_id, object_id or resource_id, and that this is the Azure host you take it for",
  not_a_list = "only a list has pages: read a single object with get",
  no_progress = "the service repeats itself: ask again, or for less; go on from the checkpoint of this error",
  incomplete = "read the list again; if it stays short, do not take it for whole (what is deleted while a list is read "
    .. "is counted and does not come)",
  resync_required = "the service has lost track of what it told: read everything anew without 'from', or let "
    .. "{ restart = true } do so, and take what is missing then for gone",
  callback = "mend the function that was given to graph.auth.callback, or what it asks",
  closed = "connect a new client",
  failed_dependency = "mend the request that it depends on, then send both again",
  no_answer = "the service took the batch and said nothing about this request: try again",
  bad_environment = "correct or unset the environment variable",
  capture = "name a file for the capture in a folder that is there and can be written to",
  -- the journal's
  journal = "check the path, and that it is a journal of msgraph's on a local disk",
  journal_busy = "another process keeps the journal locked: try again; if it stays so, look at who has the file open",
  journal_full = "make room on the journal's disk, then resume the run",
  journal_readonly = "make the journal's folder writable for this user, or open another one",
  journal_damaged = "keep the file as it is, look at the disk, and compare the run with the tenant: msgraph verify",
  journal_newer = "update this msgraph, or go on with the one that wrote the journal",
  lease_lost = "another process has taken over: nothing is to be done, it reads before it repeats anything",
  draining = "the run halts: look at msgraph status, then resume it",
  active_elsewhere = "finish, resume or resolve the run named, or leave these people out",
  in_use = "wait for the worker named, or resume the run if it died",
  plan_changed = "show the plan again and approve it as it is now",
  plan_expired = "make a new plan: what it was made from may have changed",
  not_approved = "have the plan approved: msgraph approve",
  unknown_id = "check the id, and that this is the journal it is in",
  -- of offboarding
  workflow = "mend the workflow at the line that is named, or what it was given; msgraph check reads it without a "
    .. "tenant",
  subjects = "mend the list, or say in the workflow what is to become of names nobody has: require_match",
  selection = "mend the name, or leave the option out: --only and --except name what there is",
  limits = "plan fewer people, or have whoever answers for the workflow raise its limits",
  plan_file = "check the name and the folder; a plan is made by msgraph plan",
  plan_newer = "use the version of msgraph that made it, or plan again",
  plan_used = "resume that run, or make a new plan for what is left",
  other_tenant = "sign in to the plan's tenant, or plan again for this one",
  plan_tampered = "plan again: a plan is never changed by hand",
  -- the sign-in's: OAuth's words (RFC 6749 5.2, RFC 8707, and what Entra adds)
  invalid_client = "the app could not prove who it is: check its secret or certificate, and client_id",
  invalid_grant = "what was to be exchanged for a token is no longer good: sign in again",
  unauthorized_client = "the app may not do this, or is not known here: check client_id, tenant_id and the cloud",
  invalid_scope = "the scope asked for is not to be had: check the cloud, whose Graph it names",
  invalid_resource = "the tenant does not know this Graph: check tenant_id and the cloud",
  invalid_request = "the sign-in service does not understand: check tenant_id, client_id and the authority",
  unsupported_grant_type = "the sign-in service does not know this way to sign in: check the authority",
  access_denied = "the user or an administrator said no: ask them",
  interaction_required = "the user has to sign in interactively: a policy or a second factor stands in between",
  temporarily_unavailable = "the sign-in service is busy: try again later",
  server_error = "a fault of the sign-in service: try again later",
  -- the transport's
  token_refused = "no token could be had: if the sign-in service failed (HTTP 429 or 5xx), try again later; if a given "
    .. "token expired, get a new one; else check the authority, tenant_id and client_id",
  store = "do what the message says; if it says to begin anew: msgraph logout, then msgraph login",
  store_busy = "another process renews the same sign-in or was faster: try again; if it stays so, look at the process "
    .. "named",
  dns = "the host name does not resolve: check the endpoint (MSGRAPH_ENDPOINT, cloud) and this machine's DNS",
  connect = "nothing accepts connections there: check the endpoint and its port, the firewall, and HTTPS_PROXY",
  proxy = "the proxy (HTTPS_PROXY) did not let the connection through: check its address, name and password, or "
    .. "list the endpoint in NO_PROXY",
  tls_untrusted = "the server's certificate is not signed by an authority this machine trusts: if it should be, name "
    .. "the authority's PEM file with ca_file or MSGRAPH_CA_FILE",
  tls_name = "the server's certificate is for another host name: check the endpoint, and who answers there",
  tls_expired = "the server's certificate is expired or not valid yet: check this machine's clock, then have the "
    .. "certificate renewed",
  tls = "no TLS 1.2 or newer could be agreed on: check that the endpoint speaks HTTPS",
  reset = "the connection broke: try again",
  truncated = "the answer broke off: try again",
  timeout_connect = "no connection in time: check the network, firewall and proxy, or raise connect_timeout",
  timeout_first_byte = "the server took the request and sent no answer in time: try again later, or raise "
    .. "first_byte_timeout",
  timeout_stall = "the answer stopped half way: try again, or raise stall_timeout",
  timeout = "the deadline passed: try again, or raise deadline",
  body_too_large = "the answer is larger than max_body: raise it, or ask for less with $select and $top",
  bad_answer = "the answer is not HTTP as it should be: check what is between here and the endpoint",
  bad_request = "the request cannot be sent as it is: mend the path, the header or the method",
  bad_option = "mend the option named",
  foreign_url = "the token is only sent to the client's own endpoint: connect a client to the other one",
  program = "install the program, or see to it that PATH names its folder",
  no_memory = "this process or its memory limit has no room left",
  internal = "a bug in this library: please report it with this line",
  -- kinds, where no code says more
  auth = "the token was refused: get a new one for this tenant and endpoint",
  forbidden = "the permission or the role is missing: check both, have an administrator consent, get a new token",
  not_found = "no such object or path: check both",
  conflict = "it was changed meanwhile: read it again, then decide",
  throttled = "too many requests: wait as long as retry_after says before the next",
  invalid = "the request is refused as it is: mend it before sending it again",
  server = "a fault of the service: try again later, and report the request-id if it stays",
  network = "the network failed: try again",
  cancelled = "cancelled from this side",
  ambiguous = "the request left and no answer came, it may have been acted on: read the state before repeating it",
  protocol = "the answer is not what Graph sends: check the endpoint, and what is in between",
}

-- What to look at before a request that may have been acted on is sent again.
local function look_first(err)
  local user = err.path and err.path:match("^(.*)/" .. REMOVE_ALL .. "$")
  if not user then return M.HINTS.ambiguous end
  return ("the request may have been acted on: list the devices (GET %s/managedDevices) before repeating it")
    :format(user)
end

-- "X", or where the two kinds of token differ "delegated X, application Y".
local function least_text(least)
  local delegated, application = least.delegated, least.application
  if delegated == application then return delegated end
  return ("delegated %s, application %s"):format(delegated or "none", application or "none")
end

local function permission_hint(err, base)
  if not err.permissions then return base end
  return ("%s (%s)"):format(base, least_text(err.permissions.least))
end

local function hint_for(err)
  local hints = M.HINTS
  if err.kind == "ambiguous" and err.phase == "answered" and (err.status or 0) >= 400 then
    return ("%s; %s"):format(hints[err.code] or hints.server, look_first(err))
  elseif err.kind == "ambiguous" then
    return look_first(err)
  end
  local hint = hints[err.reason] or hints[err.code] or hints[err.kind]
  if err.kind == "forbidden" then return permission_hint(err, hint) end
  return hint
end

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
  err.hint = err.hint or hint_for(err)
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
