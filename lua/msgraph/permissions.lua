-- lua/msgraph/permissions.lua
--- Which permission a request needs: looked up offline, in what Microsoft publishes.
--
-- The index (msgraph.permissions.index, generated: see `make permissions`) holds the requests of offboarding, 139 of
-- them in 30 KB: those this library makes, and others a workflow may make. It is loaded at the first question.
-- A request that is not in it may be a good one: nothing is known about it, that is all.
local json = require "msgraph.json"

local M = {}

---@class msgraph.Needs                 what one request needs
---@field method string
---@field path string                    as published: "/users/{user-id}/manager/$ref"
---@field least { delegated?: string, application?: string }  the least privileged of each kind; nil where there is none
---@field all { delegated: string[], application: string[] }  any one of these would do, the least first
---@field note? string                   what to know beside it

-- ---- paths --------------------------------------------------------------------------------------

local SUFFIXES = { ["$ref"] = true, ["$count"] = true, ["$value"] = true }

-- The path's segments without host, version, query and what ends in a $: "users('id')" is two.
local function split(path)
  path = path:gsub("^%a[%w+.-]*://[^/]*", ""):gsub("[?#].*$", ""):gsub("^/v1%.0/", "/"):gsub("^/beta/", "/")
  path = path:gsub("%(([^()/]*)%)", "/%1")
  local segments = {}
  for segment in path:gmatch("[^/]+") do segments[#segments + 1] = segment:lower():gsub("^'(.*)'$", "%1") end
  if SUFFIXES[segments[#segments]] then segments[#segments] = nil end
  if segments[1] == "me" then table.insert(segments, 1, "users") end
  return segments
end

local CAST = "^microsoft%.graph%."

-- How many of the template's names the segments have; nil: it is another path. `from` segments are passed over.
local function match(template, segments, from)
  local names = 0
  for i, wanted in ipairs(template) do
    local segment = segments[from + i]
    if wanted ~= "{}" then
      if segment ~= wanted and segment:gsub(CAST, "") ~= wanted then return nil end
      names = names + 1
    end
  end
  return names
end

-- ---- the index ----------------------------------------------------------------------------------

local index -- method -> number of segments -> { row =, [1..n] = segment or "{}" }

local function load_index()
  local data = require "msgraph.permissions.index"
  index = { data = data }
  for _, row in ipairs(data.operations) do
    local template = split((row[2]:gsub("{[^}]*}", "{}")))
    template.row = row
    local method = index[row[1]] or {}
    index[row[1]] = method
    method[#template] = method[#template] or {}
    table.insert(method[#template], template)
  end
end

local function names_of(set)
  local names = {}
  for number in index.data.sets[set]:gmatch("%d+") do names[#names + 1] = index.data.names[tonumber(number)][1] end
  return json.array(names)
end

local function needs_of(row)
  local delegated, application = names_of(row[3]), names_of(row[4])
  return {
    method = row[1], path = row[2], note = row[5],
    least = { delegated = delegated[1], application = application[1] },
    all = { delegated = delegated, application = application },
  }
end

-- The row whose template fits the segments from a place on; the one with the most names wins.
local function lookup(method, segments, from)
  local best, most = nil, -1
  for _, template in ipairs(index[method] and index[method][#segments - from] or {}) do
    local names = match(template, segments, from)
    if names and names > most then best, most = template.row, names end
  end
  return best
end

-- Where a path that has a user in it goes on as /users does: Intune's actions stand at the end of longer paths too.
local function last_user(segments)
  for i = #segments, 2, -1 do
    if segments[i] == "users" then return i - 1 end
  end
end

local function find_row(method, segments)
  local from = last_user(segments)
  local row = lookup(method, segments, 0) or from and lookup(method, segments, from)
  if row or #segments < 2 or not segments[#segments]:find(CAST) then return row end
  segments[#segments] = nil -- a cast of what is asked for: /memberOf/microsoft.graph.group
  return lookup(method, segments, 0)
end

--- What a request needs.
---@param method string "GET", "post", ...
---@param path string "/users/ada@contoso.com/manager", "/users/{id}", with or without version, host and query
---@return msgraph.Needs? needs nil: the index does not know the request. Raises for arguments that are no strings
function M.find(method, path)
  if type(method) ~= "string" or type(path) ~= "string" then
    error(("permissions: method and path must be strings, got %s and %s"):format(type(method), type(path)), 2)
  end
  if not index then load_index() end
  local row = find_row(method:upper(), split(path))
  return row and needs_of(row) or nil
end

--- The ids by which an app registration names a permission of Microsoft Graph (requiredResourceAccess).
---@param name string "User.Read.All"
---@return { resource: string, delegated?: string, application?: string }? ids nil: not in the index
function M.ids(name)
  if not index then load_index() end
  for _, row in ipairs(index.data.names) do
    if row[1] == name then
      return { resource = index.data.resource, delegated = row[2] or nil, application = row[3] or nil }
    end
  end
  return nil
end

--- Whether what a token was granted has one of the permissions that would do.
---@param granted table<string, any> by name
---@param any string[]
---@return boolean
function M.suffice(granted, any)
  for _, name in ipairs(any) do
    if granted[name] then return true end
  end
  return false
end

return M
