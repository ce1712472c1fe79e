-- lua/msgraph/sim/delta.lua - what has changed since a client last asked.
--
-- The first round lists everything; the deltaLink at its end remembers how long the store's list of
-- changes was when it began. The rounds after it walk that list, so a record that changed three times
-- comes three times, as it is now, and one that is gone comes as "@removed".
local json = require "msgraph.sim.json"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"

local M = {}

local KIND_OF_FULL <const> = 41
local KIND_OF_CHANGES <const> = 42
local KIND_OF_DELTATOKEN <const> = 43
local MARKS <const> = 1 << 20 -- changes a tenant may see; a token hides position * MARKS + mark

local KNOWN = { ["$select"] = true, ["$skiptoken"] = false, ["$deltatoken"] = false }

local REMOVED = { "id", "@removed" }
local REASON = { "reason" }

--- Items of a page: as the client prefers, said with each request.
local function page_size(ctx, resource)
  local wanted = (ctx.headers.prefer or ""):match("odata%.maxpagesize=(%d+)")
  return math.min(math.max(math.tointeger(tonumber(wanted)) or resource.page, 1), resource.max_page)
end

local function token(ctx, kind, number)
  return random.id(ctx.seed, kind, number)
end

--- Where a round stands: what it lists, from which position on, and the mark its deltaLink will have.
local function place(ctx, skiptoken, deltatoken)
  local changes = #ctx.store.changes
  local since = deltatoken and random.index(ctx.seed, KIND_OF_DELTATOKEN, deltatoken)
    or skiptoken and random.index(ctx.seed, KIND_OF_CHANGES, skiptoken)
  if since then return "changes", since, changes end
  local full = skiptoken and random.index(ctx.seed, KIND_OF_FULL, skiptoken)
  if full then return "full", full // MARKS, full % MARKS end
  if not skiptoken and not deltatoken then return "full", 1, changes end
end

local function full_page(ctx, resource, names, position, mark)
  local items, size = {}, page_size(ctx, resource)
  while #items < size do
    local user, after = ctx.store:next_user(position)
    if not user then return items, nil end
    items[#items + 1] = odata.item(resource, user, names)
    position = after
  end
  return items, ctx.store:next_user(position) and token(ctx, KIND_OF_FULL, position * MARKS + mark)
end

local function change(ctx, resource, names, index)
  if not ctx.store.gone[index] then return odata.item(resource, ctx.store:user(index), names) end
  local removed = json.ordered({ reason = "changed" }, REASON) -- a deleted user can be restored
  return json.ordered({ id = ctx.store:user(index).id, ["@removed"] = removed }, REMOVED)
end

local function changes_page(ctx, resource, names, since)
  local items, changes = {}, ctx.store.changes
  local last = math.min(since + page_size(ctx, resource), #changes)
  for i = since + 1, last do items[#items + 1] = change(ctx, resource, names, changes[i]) end
  return items, last < #changes and token(ctx, KIND_OF_CHANGES, last)
end

--- The same selection, with the id that every item has.
local function names_of(resource, selected, names)
  if not selected then return resource.default end
  for _, name in ipairs(names) do
    if name == "id" then return names end
  end
  return table.move(names, 1, #names, 2, { "id" })
end

--- Answers a delta request over the users.
---@param ctx msgraph.sim.Context
---@param resource msgraph.sim.Resource
---@return msgraph.sim.Answer
function M.users(ctx, resource)
  local given = odata.query(ctx.query)
  local skiptoken, deltatoken = given["$skiptoken"], given["$deltatoken"]
  local options, refusal = odata.read(ctx, resource, KNOWN)
  if not options then return refusal end
  local what, position, mark = place(ctx, skiptoken, deltatoken)
  if not what then return resource.refuse(ctx, "The delta token is invalid.") end
  local names = names_of(resource, options.selected, options["$select"])
  local items, more
  if what == "full" then
    items, more = full_page(ctx, resource, names, position, mark)
  else
    items, more = changes_page(ctx, resource, names, position)
  end
  local page = {
    ["@odata.context"] = ctx.base .. "/$metadata#users/$delta",
    ["@odata.nextLink"] = more and odata.link(ctx, "$skiptoken", more) or nil,
    ["@odata.deltaLink"] = not more and odata.link(ctx, "$deltatoken", token(ctx, KIND_OF_DELTATOKEN, mark)) or nil,
    value = json.array(items),
  }
  return odata.page(page)
end

return M
