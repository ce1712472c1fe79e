-- lua/msgraph/resources.lua
--- Users, groups, devices and the rest as things with methods: `client:user("ada@contoso.com"):disable()`.
--
-- Thin: a method is one request (a list: one a page), made from its row in msgraph.calls. It returns the body, the
-- items of a list, or true where there is no body; or nil and the Error, with `already_done` where the answer says that
-- nothing was left to do. Ids travel as one escaped segment; what cannot be an id raises before anything is sent.
local calls = require "msgraph.calls"
local config = require "msgraph.config"
local core = require "msgraph.core"

local M = {}

local RESERVED = { root = true, allow_me = true }

-- ---- arguments ----------------------------------------------------------------------------------

local function segment_of(what, id)
  if type(id) ~= "string" then error(("%s must be a string, got %s"):format(what, type(id)), 0) end
  local segment, reason = core.segment(id)
  if not segment then error(("%s %q %s"):format(what, id:sub(1, 80), reason), 0) end
  return segment
end

local TAKES = { string = "string", list = "table", table = "table" }

local function check_fields(call, name, given)
  config.check(given, call.takes, name, 0)
  for _, field in ipairs(call.needs or {}) do
    if given[field] == nil then error(("%s: '%s' is missing"):format(name, field), 0) end
  end
end

local function is_list(value)
  return #value > 0 and next(value, #value) == nil
end

-- The last argument, checked; a table of fields may be left out where none is needed.
local function check_given(call, name, given)
  local takes = call.takes
  local has_fields = type(takes) == "table"
  if has_fields and given == nil then given = {} end
  local expected = has_fields and "table" or TAKES[takes]
  if type(given) ~= expected then
    error(("a %s is expected, got %s"):format(takes == "list" and "list" or expected, type(given)), 0)
  end
  if has_fields then check_fields(call, name, given) end
  if takes == "list" and not is_list(given) then error("a list with something in it is expected", 0) end
  if takes == "string" and not given:find("%S") then error("the text is blank", 0) end
  return given
end

-- ---- building -----------------------------------------------------------------------------------

-- An object of the directory as a body names it.
local function linker(client)
  return function(id)
    return { ["@odata.id"] = client.endpoint .. "/v1.0/directoryObjects/" .. segment_of("id", id) }
  end
end

-- The options of the row, with the resource's id in a filter's quotes, and those given. What makes the call what it
-- is cannot be given: another filter would answer with everybody's.
local function options_of(call, handle, given)
  if not call.query then return given end
  local options, quoted = {}, handle.id:gsub("'", "''")
  for name, value in pairs(given or {}) do
    if call.query[name] ~= nil then error(("option '%s' is the method's own"):format(name), 0) end
    options[name] = value
  end
  for name, value in pairs(call.query) do
    options[name] = type(value) == "string" and value:gsub("{id}", { ["{id}"] = quoted }) or value
  end
  return options
end

-- The path, and how many of the arguments it has used up.
local function path_of(call, handle, args)
  local path, used = call[2], 0
  local ids = args
  if type(path) == "function" then
    local id
    path, id = path(args[1])
    ids = { id }
  end
  path = path:find("^%^") and path:sub(2) or handle.path .. path
  path = path:gsub("{(%w+)}", function(name)
    if name == "id" then return segment_of("id", handle.id) end
    used = used + 1
    return segment_of(name, ids[used])
  end)
  return path, used
end

local function check_object_id(handle)
  if not handle.id:find("@", 1, true) and handle.path ~= "/me" then return end
  error(("the object id is needed, not %q: use the id that get() answers"):format(handle.id), 0)
end

-- The argument after the ids: what the body is made of, or the options of a read.
local function argument(call, name, args, used)
  if call.takes then return check_given(call, name, args[used + 1]), used + 1 end
  if call.effect ~= "read" then return nil, used end
  local opts = args[used + 1]
  if opts ~= nil and type(opts) ~= "table" then error(("options must be a table, got %s"):format(type(opts)), 0) end
  return opts, used + 1
end

local function build(handle, name, args)
  local call = handle.calls[name]
  if call.by_object_id then check_object_id(handle) end
  local path, used = path_of(call, handle, args)
  local given, last = argument(call, name, args, used)
  if args.n > last then error(("%d arguments at most, got %d"):format(last, args.n), 0) end
  local body = call.body
  if type(body) == "function" then body = body(given, { id = handle.id, link = linker(handle.client) }) end
  return { method = call[1], path = path, body = body },
    call.effect == "read" and options_of(call, handle, given) or nil
end

-- Raises what is the caller's mistake, at whoever called the method: `level` as error counts it from here.
local function prepare(handle, name, args, level)
  local ok, request, opts = pcall(build, handle, name, args)
  if not ok then
    local message = tostring(request)
    error(message:find(name .. ":", 1, true) == 1 and message or ("%s: %s"):format(name, message), level + 1)
  end
  return request, opts
end

-- ---- sending ------------------------------------------------------------------------------------

local function judge(call, body, err)
  if not err then
    if not call.pick then return body end
    local picked = type(body) == "table" and body[call.pick]
    return type(picked) == "table" and picked or {}
  end
  local done = calls.AGAIN[call.again or "same"][2]
  if done and done(err) then err.already_done = true end
  return nil, err
end

local SENDERS = {}

function SENDERS.GET(client, call, request, opts)
  if call.list then return client:list(request.path, opts) end
  return client:get(request.path, opts)
end

function SENDERS.DELETE(client, _, request) return client:delete(request.path) end
function SENDERS.POST(client, _, request) return client:post(request.path, request.body) end
function SENDERS.PATCH(client, _, request) return client:patch(request.path, request.body) end
function SENDERS.PUT(client, _, request) return client:put(request.path, request.body) end

local function method_of(name)
  return function(self, ...)
    local call = self.calls[name]
    local request, opts = prepare(self, name, table.pack(...), 2)
    return judge(call, SENDERS[call[1]](self.client, call, request, opts))
  end
end

-- ---- things -------------------------------------------------------------------------------------

---@class msgraph.Thing          what client:user(…), client:group(…) and the others return
---@field client msgraph.Client
---@field id string              as given
---@field package path string    of the resource, without version
---@field package calls table<string, msgraph.Call>

-- Builds the request of a method without sending it: for client:batch, for a plan, for options of its own.
local function request_of(self, name, ...)
  if not self.calls[name] then error(("request: a %s has no method '%s'"):format(self.kind, tostring(name)), 2) end
  local request, opts = prepare(self, name, table.pack(...), 2)
  for option, value in pairs(opts or {}) do request[option] = value end
  return request
end

local function describe(self)
  return ("msgraph.%s(%s)"):format(self.kind, self.id)
end

-- All calls of a kind by name, whatever their topic.
local function flatten(rows)
  local out = {}
  for topic, list in pairs(rows) do
    if not RESERVED[topic] then
      for name, call in pairs(list) do out[name] = call end
    end
  end
  return out
end

local function new_class(kind, rows)
  local class = { kind = kind, calls = flatten(rows), request = request_of, __tostring = describe,
    __name = "msgraph." .. kind }
  for name in pairs(class.calls) do class[name] = method_of(name) end
  class.__index = class
  return class
end

-- "me" is a typo's width from somebody's name: it has to be meant.
local function root_of(kind, rows, id, opts)
  if rows.root == "" then return "", "" end
  if kind == "device" and type(id) == "table" then
    return ("/devices(deviceId='%s')"):format(segment_of("deviceId", id.deviceId)), id.deviceId
  end
  local segment = segment_of("id", id)
  if rows.allow_me and id:match("^%s*(.-)%s*$"):lower() == "me" then
    if opts and opts.allow_me then return "/me", id end
    error('"me" is the signed-in user: pass { allow_me = true } if they are meant', 0)
  end
  return rows.root:gsub("{id}", (segment:gsub("%%", "%%%%"))), id
end

local ALLOW = { allow_me = "boolean" }

local function maker(kind, rows)
  local class = new_class(kind, rows)
  return function(client, id, opts)
    config.check(opts, rows.allow_me and ALLOW or {}, kind, 3)
    local ok, path, given = pcall(root_of, kind, rows, id, opts)
    if not ok then error(("%s: %s"):format(kind, path), 2) end
    return setmetatable({ client = client, id = given, path = path }, class)
  end
end

--- Gives a client class `user`, `group`, `application`, `service_principal`, `directory_role`, `device`,
--- `managed_device`, `deleted`, `team`, `drive` (each by id) and `tenant`.
---@param Client table
function M.install(Client)
  for kind, rows in pairs(calls) do
    if rows.root then Client[kind] = maker(kind, rows) end
  end
end

return M
