-- lua/msgraph/membership.lua
--- A membership is not its member: `DELETE /groups/{g}/members/{u}` deletes the user, wherever the app may do that.
--
-- Only `/$ref` at the end names the link between the two (Microsoft's page of group-delete-members warns of it). So a
-- DELETE that would delete what hangs on a link is refused before it is sent, by every way to send there is.
local json = require "msgraph.json"

local M = {}

-- Links of the directory, from one object to others.
local LINKS = {}
for name in ([[members memberOf transitiveMembers transitiveMemberOf owners ownedObjects ownedDevices registeredDevices
  registeredOwners registeredUsers createdObjects directReports transitiveReports sponsors acceptedSenders
  rejectedSenders]]):gmatch "%S+" do
  LINKS[name:lower()] = true
end

-- A member of these is an object of its own: the membership itself.
local CONVERSATIONS = { teams = true, joinedteams = true, chats = true, channels = true, team = true,
  primarychannel = true }

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- In lower case, without host and query; "members('id')" is two, and a cast is none.
local function segments_of(target)
  local path = target:gsub("^%a[%w+.-]*://[^/]*", ""):gsub("[?#].*$", "")
  path = decode(path):lower():gsub("%b()", function(key) return "/" .. key:sub(2, -2) end)
  local segments = {}
  for segment in path:gmatch("[^/]+") do
    if segment ~= "." and not segment:find("^[%w.]*graph%.%w+$") then segments[#segments + 1] = segment end
  end
  return segments
end

-- The link whose end a DELETE would delete; nil: it deletes what it names.
local function link_of(target)
  local segments = segments_of(target)
  local n = #segments
  if segments[n] == "$ref" then return nil end
  if segments[n] == "manager" then return "manager" end
  local link = segments[n - 1]
  if not link or not LINKS[link] then return nil end
  if CONVERSATIONS[segments[n - 2]] or CONVERSATIONS[segments[n - 3]] then return nil end
  return link
end

-- What stands under a name, in whatever letter case: who reads it may not mind the case.
local function fields(object, name)
  local found = {}
  for key, value in pairs(type(object) == "table" and object or {}) do
    if type(key) == "string" and key:lower() == name then found[#found + 1] = value end
  end
  return found
end

--- Headers that name another method than the request's own; some services and proxies heed them.
M.OVERRIDES = { "x-http-method", "x-http-method-override", "x-method-override" }

-- The methods a part of a raw $batch may be taken for.
local function methods_of(item)
  local methods = fields(item, "method")
  for _, headers in ipairs(fields(item, "headers")) do
    for _, name in ipairs(M.OVERRIDES) do
      for _, method in ipairs(fields(headers, name)) do methods[#methods + 1] = method end
    end
  end
  return methods
end

-- The requests of a raw $batch.
local function batch_items(target, body)
  if not decode(target):lower():find("$batch", 1, true) then return {} end
  if type(body) == "string" then body = json.decode((body:gsub("^\xEF\xBB\xBF", ""))) end
  local items = {}
  for _, list in ipairs(fields(body, "requests")) do
    if type(list) == "table" then table.move(list, 1, #list, #items + 1, items) end
  end
  return items
end

local WHY = "'%s' has no /$ref at its end: it would delete the object at the end of '%s' itself, the user or group and "
  .. "not the link to it; append /$ref, or pass { delete_object_itself = true } if that is what you mean"

--- What is wrong with a request that would delete an object where a link to it was meant; nil: nothing.
---@param method string
---@param target string path or URL
---@param body? any looked at for a $batch
---@return string? reason
function M.mistake(method, target, body)
  if type(method) ~= "string" or type(target) ~= "string" then return nil end
  method = method:upper()
  if method == "DELETE" then
    local link = link_of(target)
    return link and WHY:format(target, link)
  elseif method ~= "POST" then
    return nil
  end
  for _, item in ipairs(batch_items(target, body)) do
    for _, inner in ipairs(methods_of(item)) do
      for _, url in ipairs(fields(item, "url")) do
        local reason = M.mistake(inner, url)
        if reason then return reason end
      end
    end
  end
end

return M
