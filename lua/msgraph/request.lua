-- lua/msgraph/request.lua
--- What a caller writes to what travels: path, query and body become a msgraph.core.Request.
--
-- Every way to send (a call, a page, a part of a batch) builds with these functions, so that the same call
-- is the same bytes whichever way it goes. A caller's mistake raises without a position: who calls says
-- whose it is.
local json = require "msgraph.json"
local membership = require "msgraph.membership"
local query = require "msgraph.query"
local repeatable = require "msgraph.repeatable"

local M = {}

---@class msgraph.RequestOpts: msgraph.QueryOpts
---@field headers? table<string, string>
---@field deadline? number     seconds for the whole operation, default 120
---@field priority? "low"|"normal"|"high" who goes first here, and is throttled last there; default "normal"
---@field retry? boolean       false: what fails or is throttled is not sent again; default true, see docs/retry.md
---@field idempotent? boolean  may it be sent twice; default: by the method, and for POST by msgraph.repeatable
---@field max_body? integer    bytes of the answer accepted, default the client's
---@field delete_object_itself? boolean  a DELETE at the end of a link without /$ref is meant: see msgraph.membership
M.CALL = {
  headers = "table", deadline = "number", priority = "string", retry = "boolean", idempotent = "boolean",
  max_body = "number", delete_object_itself = "boolean",
}
for name, expected in pairs(query.OPTIONS) do M.CALL[name] = expected end

---@class msgraph.FullRequest: msgraph.RequestOpts
---@field method string
---@field path string   "/users" (of v1.0), "/beta/users", or a full URL of the client's endpoint
---@field body? table|string
M.FULL = { method = "string", path = "string", body = "any" }
for name, expected in pairs(M.CALL) do M.FULL[name] = expected end

-- The bytes of a body, the headers with its type, and whether the bytes are JSON of our making.
local function body_of(body, headers)
  if body == nil then return nil, headers end
  if type(body) == "string" then
    if query.has_header(headers, "content-type") then return body, headers end
    error("a body that is a string needs its type: headers = { [\"Content-Type\"] = ... }", 0)
  elseif type(body) ~= "table" then
    error(("body must be a table (sent as JSON) or a string, got %s"):format(type(body)), 0)
  end
  if not query.has_header(headers, "content-type") then
    headers = query.with_header(headers, "Content-Type", "application/json")
  end
  return json.encode(body, 0), headers, true
end

local function may_repeat(method, path, body, opts)
  if opts.idempotent ~= nil or method ~= "POST" then return opts.idempotent end -- the core knows the other methods
  return repeatable.is(method, path, body)
end

local PRIORITIES = { low = true, normal = true, high = true }

local function check_priority(priority)
  if priority == nil or PRIORITIES[priority] then return priority end
  error(("priority must be 'low', 'normal' or 'high', got '%s'"):format(priority), 0)
end

-- A method in a header would pass by what is known of methods: what may be repeated, what must not be deleted.
local function refuse_hidden_method(headers)
  for _, name in ipairs(membership.OVERRIDES) do
    if query.has_header(headers, name) then error(("header '%s': call the method itself"):format(name), 0) end
  end
end

local function refuse_deletion(method, path, body, opts)
  if method == "POST" and opts and opts.headers then refuse_hidden_method(opts.headers) end
  if opts and opts.delete_object_itself then return end
  local mistake = membership.mistake(method, path, body)
  if mistake then error(mistake, 0) end
end

local LONGEST = 30 * 24 * 3600 -- seconds, the core's own limit

--- Raises (level 0) for a deadline that is none.
---@param seconds? number
function M.check_deadline(seconds)
  if seconds == nil or seconds > 0 and seconds <= LONGEST then return end
  error(("'deadline' must be seconds, more than 0 and up to 30 days, got %s"):format(seconds), 0)
end

local NONE = {}

--- A request as the core takes it. Raises for what cannot be meant.
---@param method string
---@param path string
---@param body? table|string
---@param opts? msgraph.RequestOpts
---@return msgraph.core.Request request with `is_json` where the body was a table
function M.build(method, path, body, opts)
  if method == "DELETE" or method == "POST" then refuse_deletion(method, path, body, opts) end
  local target, headers = query.target(method, path, opts)
  if not opts and body == nil and method ~= "POST" then
    return { method = method, target = target, headers = headers }
  end
  opts = opts or NONE
  M.check_deadline(opts.deadline)
  if opts.idempotent ~= false then body = repeatable.known_again(method, path, body) end
  local bytes, is_json
  bytes, headers, is_json = body_of(body, headers)
  return {
    method = method, target = target, body = bytes, headers = headers, max_body = opts.max_body, is_json = is_json,
    priority = check_priority(opts.priority),
    deadline = opts.deadline, retry = opts.retry, idempotent = may_repeat(method, path, body, opts),
  }
end

return M
