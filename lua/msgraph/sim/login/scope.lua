-- lua/msgraph/sim/login/scope.lua - the `scope` parameter: permissions of one resource, and OpenID's own words.
local refusal = require "msgraph.sim.login.refusal"

local M = {}

--- The resource's application id, and the names it goes by.
M.GRAPH = "https://graph.microsoft.com"
local GRAPH_ID <const> = "00000003-0000-0000-c000-000000000000"

-- A spelling error of Microsoft's old pages; no such permission exists.
local MISSPELT <const> = "DeviceManagementManagedDevices.PriviligedOperation.All"

local OPENID = { openid = true, profile = true, email = true, offline_access = true }

---@class msgraph.sim.Scope
---@field resource string             M.GRAPH, or "api://CLIENT_ID"
---@field default boolean             all that was consented to
---@field names string[]              permissions asked for by name
---@field words table<string, true>   OpenID's

--- Whether a resource is Graph: by its name, its id, or as the address of this tenant.
---@param resource string
---@param origin string
---@return boolean
function M.is_graph(resource, origin)
  resource = resource:gsub("/+$", ""):lower()
  return resource == M.GRAPH or resource == GRAPH_ID or resource == origin:lower()
end

--- Takes one scope apart. A bare permission is Graph's.
local function split(text)
  local resource, name = text:match("^(%a+://.*)/([^/]+)$")
  if not resource then resource, name = text:match("^(%x+%-%x+%-%x+%-%x+%-%x+)/([^/]+)$") end
  if resource then return resource, name end
  return M.GRAPH, text
end

local function is_name(name)
  return name:find("^%a[%w%-]*%.[%w%.%-]+$") ~= nil or name == "access_as_user"
end

local function add(scope, ctx, text)
  if OPENID[text] then
    scope.words[text] = true
    return nil
  end
  local resource, name = split(text)
  if M.is_graph(resource, ctx.origin) then resource = M.GRAPH end
  if scope.resource and scope.resource ~= resource then return refusal.new(700022) end
  scope.resource = resource
  if name == ".default" then
    scope.default = true
  elseif not is_name(name) or name == MISSPELT then
    return refusal.new(70011, text)
  else
    scope.names[#scope.names + 1] = name
  end
end

--- Reads a scope parameter.
---@param ctx msgraph.sim.Context
---@param text? string
---@return msgraph.sim.Scope?
---@return msgraph.sim.Refusal?
function M.parse(ctx, text)
  if not text then return nil, refusal.new(900144, "scope") end
  local scope = { default = false, names = {}, words = {} }
  for word in text:gmatch("%S+") do
    local problem = add(scope, ctx, word)
    if problem then return nil, problem end
  end
  scope.resource = scope.resource or M.GRAPH
  if scope.default and #scope.names > 0 then return nil, refusal.new(70011, text) end
  return scope
end

--- The permissions a signed-in user's token would carry, in the order asked for.
---@param scope msgraph.sim.Scope
---@param app msgraph.sim.App
---@return string[]?
---@return msgraph.sim.Refusal?
function M.granted(scope, app)
  if scope.resource ~= M.GRAPH then return scope.names end
  if scope.default then
    if #app.scopes == 0 then return nil, refusal.new(65001, app.client_id) end
    return app.scopes
  end
  local held = {}
  for _, name in ipairs(app.scopes) do held[name] = true end
  for _, name in ipairs(scope.names) do
    if not held[name] then return nil, refusal.new(65001, app.client_id) end
  end
  return scope.names
end

--- What the answer's `scope` says.
---@param scope msgraph.sim.Scope
---@param granted string[]
---@return string
function M.text(scope, granted)
  local out = {}
  for _, word in ipairs { "openid", "profile", "email" } do
    if scope.words[word] then out[#out + 1] = word end
  end
  for _, name in ipairs(granted) do out[#out + 1] = scope.resource .. "/" .. name end
  if #granted == 0 and scope.default then out[#out + 1] = scope.resource .. "/.default" end
  return table.concat(out, " ")
end

return M
