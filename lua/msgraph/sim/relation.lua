-- lua/msgraph/sim/relation.lua - what hangs on one object: short lists, and changes to them.
--
-- The lists are made from the seed each time, and the store keeps what was changed about them: what is
-- gone by its key, what came by its list.
local cjson = require("cjson").new()
local json = require "msgraph.sim.json"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"
local reply = require "msgraph.sim.reply"

local M = {}

--- Kinds of ids and streams (msgraph.sim.random); 1 to 9 are people's and hardware's.
M.KINDS = {
  group = 50, member = 51, owner_pick = 52, role = 53, assignment = 54, eligible = 55, method = 56, app_role = 57,
  grant = 58, entra_device = 59, rule = 60, event = 61, calendar_permission = 62, drive = 63, drive_permission = 64,
  membership = 65, registration = 66, app = 67, created = 68, active = 69, device_tag = 70, autopilot = 71,
  recovery_key = 72, package = 73, package_assignment = 74, message = 75,
}

local function refuse(ctx, message) return reply.error(ctx, 400, "Request_UnsupportedQuery", message) end

--- A resource all of whose properties are plain fields.
---@param type_name string "microsoft.graph.group"
---@param names string properties in the order they are sent
---@param more? { known?: string, filters?: string, directory?: boolean }
---@return msgraph.sim.Resource
function M.resource(type_name, names, more)
  more = more or {}
  local default, filters = {}, {}
  for name in names:gmatch("%S+") do default[#default + 1] = name end
  for name in (more.filters or ""):gmatch("%S+") do filters[name] = { eq = true } end
  return {
    type = type_name, default = default, known = odata.set(names .. " " .. (more.known or "")), filters = filters,
    narrow = {}, page = 100, max_page = 999, directory = more.directory, refuse = refuse,
    value = function(record, name) return record[name] end,
  }
end

--- Answers a list of records.
---@param ctx msgraph.sim.Context
---@param resource msgraph.sim.Resource
---@param set string
---@param records table[]
---@return msgraph.sim.Answer
function M.list(ctx, resource, set, records)
  return odata.list(ctx, resource, set, function(at) return records[at], at + 1 end, 1, #records)
end

-- Lists of a body are lists when they are sent back; an empty one looks like an object.
local function marked(value)
  if type(value) ~= "table" then return value end
  for _, inner in pairs(value) do marked(inner) end
  return value[1] ~= nil and json.array(value) or value
end

--- The JSON object of a request, or nil and the answer that refuses it.
---@return table?
---@return msgraph.sim.Answer?
function M.body(ctx)
  local ok, value = pcall(cjson.decode, ctx.body)
  if ok and type(value) == "table" and value[1] == nil then return marked(value) end
  return nil, reply.bad_request(ctx, "Unable to read JSON request payload. Please ensure Content-Type header is set "
    .. "and payload is of valid JSON format.")
end

--- The object id that an @odata.id ends in, or nil.
---@param body table
---@return string?
function M.reference(body)
  local url = body["@odata.id"]
  return type(url) == "string" and url:match("/([^/]+)$") or nil
end

--- Those of a list that are still there, under keys made of `prefix` and their ids.
---@param store msgraph.sim.Store
---@param prefix string
---@param records table[]
---@return table[]
function M.remaining(store, prefix, records)
  local out = {}
  for _, record in ipairs(records) do
    if not store:get(prefix .. record.id) then out[#out + 1] = record end
  end
  return out
end

--- Takes one away; the answer is 204, or 404 when it is not among them.
---@return msgraph.sim.Answer
function M.remove(ctx, prefix, records, id, action)
  for _, record in ipairs(M.remaining(ctx.store, prefix, records)) do
    if record.id == id then
      ctx.store:set(prefix .. id, true)
      return M.done(ctx, action .. " " .. id)
    end
  end
  return reply.no_such_object(ctx, id)
end

--- What has been added for a user, beside what the seed says.
---@return table[]
function M.added(store, prefix, user)
  return store:get(prefix .. "added/" .. user.index) or {}
end

--- Adds a record for a user, under an id of its own.
---@return table record
function M.add(ctx, prefix, user, record)
  record.id = random.id(ctx.seed, M.KINDS.created, ctx.n)
  table.insert(M.kept(ctx.store, prefix .. "added/" .. user.index), record)
  ctx.store:set(prefix .. "whose/" .. record.id, user.index)
  return record
end

--- Takes away one that was added. Whether there was such a one.
---@return boolean
function M.remove_added(ctx, prefix, id)
  local whose = ctx.store:get(prefix .. "whose/" .. id)
  for at, record in ipairs(whose and M.kept(ctx.store, prefix .. "added/" .. whose) or {}) do
    if record.id == id then
      table.remove(ctx.store:get(prefix .. "added/" .. whose), at)
      return true
    end
  end
  return false
end

--- 204, and what was done goes into the log.
---@return msgraph.sim.Answer
function M.done(ctx, action)
  ctx.actions[#ctx.actions + 1] = action
  return reply.no_content()
end

--- A table in the store that is made when it is first asked for.
---@return table
function M.kept(store, key)
  local value = store:get(key)
  if not value then
    value = {}
    store:set(key, value)
  end
  return value
end

return M
