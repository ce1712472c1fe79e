-- lua/msgraph/sim/router.lua - which route a path is.
local M = {}

local WORKLOADS = {}
for i, name in ipairs { "users", "devices", "account", "group_changes", "groups", "licenses", "roles", "consents",
  "methods", "entra_devices", "device_records", "owned", "mailbox", "mail", "work", "packages", "apps", "batch",
  "organization" } do
  WORKLOADS[i] = require("msgraph.sim.routes." .. name)
end

---@class msgraph.sim.Route
---@field [1] string                   method
---@field [2] string                   path; {name} stands for any one segment
---@field service "directory"|"intune" who answers, and so how errors look
---@field scopes? string[]             permissions, one of which is needed
---@field scopes_self? string[]        the same where a signed-in user asks about himself
---@field roles? string[]              roles, one of which a signed-in user needs
---@field run fun(ctx: msgraph.sim.Context): msgraph.sim.Answer

local function compile(route)
  route.segments = {}
  for segment in route[2]:gmatch("[^/]+") do
    local name = segment:match("^{(.*)}$")
    route.segments[#route.segments + 1] = name and { name = name } or { text = segment:lower() }
  end
  return route
end

local by_length = {}
for _, workload in ipairs(WORKLOADS) do
  for _, route in ipairs(workload.routes) do
    compile(route)
    local n = #route.segments
    by_length[n] = by_length[n] or {}
    table.insert(by_length[n], route)
  end
end

--- Names in a path may be in any letter case, and an action may carry its namespace.
local function same_name(segment, text)
  segment = segment:lower()
  return segment == text or segment == "microsoft.graph." .. text
end

local function match(route, segments)
  local params = {}
  for i, wanted in ipairs(route.segments) do
    if wanted.name and segments[i] ~= "" then
      params[wanted.name] = segments[i]
    elseif wanted.name or not same_name(segments[i], wanted.text) then
      return nil
    end
  end
  return params
end

--- Finds the route of a request.
---@param method string
---@param segments string[] decoded, without the version
---@return msgraph.sim.Route? route
---@return table<string, string>|boolean params or, without a route, whether another method has one
function M.find(method, segments)
  local other_method = false
  for _, route in ipairs(by_length[#segments] or {}) do
    local params = match(route, segments)
    if params and route[1] == method then return route, params end
    other_method = other_method or params ~= nil
  end
  return nil, other_method
end

return M
