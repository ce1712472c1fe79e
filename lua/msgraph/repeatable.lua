-- lua/msgraph/repeatable.lua
--- Which POSTs do the same when sent twice, and which answers to a second attempt mean that the first one did it.
--
-- GET, HEAD, PUT, DELETE and PATCH may be repeated by themselves (RFC 9110 9.2.2; Graph's PATCH sets properties to
-- values). A POST may not, except those listed here: design/client.md 1. When in doubt a call is left out, and
-- `idempotent = true` in its options says that the author knows better.
--
-- An event in a mailbox is made repeatable: with a `transactionId`, Outlook answers the second POST with the event of
-- the first (Graph: event resource type).
local core = require "msgraph.core"

local M = {}

-- By the last segment of the path.
local POSTS = {
  -- they only read
  getMemberGroups = true, getMemberObjects = true, checkMemberGroups = true, checkMemberObjects = true,
  getByIds = true, ["$query"] = true,
  -- they set something to a value
  revokeSignInSessions = true, -- "sessions before now are void"
  assignLicense = true,        -- the licences named are there, the others named are not
  ["$ref"] = true,             -- a member twice is refused: see `done_before`
  -- what is made twice is of no consequence
  createUploadSession = true,  -- the session not used expires
  -- Not removeAllDevicesFromManagement: it retires whatever the user has at that moment, so a device that was
  -- enrolled between two attempts would go too. It stays `ambiguous`; list the devices and compare (FACTS 1).
}

local METHODS = { GET = true, HEAD = true, PUT = true, DELETE = true, PATCH = true, OPTIONS = true }

--- The methods that may be repeated whatever they are sent to.
M.METHODS = METHODS

local function last_segment(path)
  local bare = path:match("^[^?#]*")
  return ((bare:match(".*/([^/]+)") or bare):gsub("^microsoft%.graph%.", ""))
end

-- A new event for a mailbox; not an event of a group, nor a virtual one.
local function makes_event(method, path)
  local bare = path:match("^[^?#]*")
  return method:upper() == "POST" and last_segment(path) == "events"
    and (bare:find("/users[/(]") or bare:find("/me/")) ~= nil
end

local function is_known_again(body)
  return type(body) == "table" and type(body.transactionId) == "string" and body.transactionId ~= ""
end

--- The body to send: that of a new event gets a transactionId of its own, unless it has one.
---@param method string
---@param path string
---@param body any as given by the caller, who keeps it as it is
---@return any body
function M.known_again(method, path, body)
  if type(body) ~= "table" or body.transactionId ~= nil or not makes_event(method, path) then return body end
  local out = {}
  for name, value in pairs(body) do out[name] = value end
  out.transactionId = core.random(16):gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)
  return out
end

local is_repeatable -- calls is_safe_batch, and it calls this

-- A batch may be repeated when each of its requests may.
local function is_safe_batch(body)
  if type(body) ~= "table" or type(body.requests) ~= "table" then return false end
  for _, item in ipairs(body.requests) do
    if type(item) ~= "table" or not is_repeatable(item.method, item.url, item.body) then return false end
  end
  return true
end

--- Whether sending a request twice does what sending it once does.
---@param method string
---@param path string with or without version, host and query
---@param body any as given by the caller
---@return boolean
function is_repeatable(method, path, body)
  if type(method) ~= "string" or type(path) ~= "string" then return false end
  if METHODS[method:upper()] then return true end
  local segment = last_segment(path)
  if segment == "$batch" then return is_safe_batch(body) end
  if makes_event(method, path) then return is_known_again(body) end
  return method:upper() == "POST" and POSTS[segment] == true
end
M.is = is_repeatable

-- What the directory says of a link that is there, or gone, already (msgraph.errors.reasons has the sentences).
local LINK_DONE = { POST = "already exist", DELETE = "do not exist" }

--- Whether a refusal means that an earlier attempt, whose answer was lost, has done what was asked: what was to be
--- deleted is not there, what was to be added is.
---@param request msgraph.core.Request
---@param answer msgraph.core.Response of an attempt that may not have been the first to act
---@return boolean
function M.done_before(request, answer)
  if request.method == "DELETE" and answer.status == 404 then return true end
  local words = LINK_DONE[request.method]
  return words ~= nil and answer.status == 400 and last_segment(request.target) == "$ref"
    and answer.body:lower():find(words, 1, true) ~= nil
end

return M
