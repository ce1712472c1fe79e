-- lua/msgraph/sim/delta.lua - what has changed since a client last asked.
--
-- The first round lists everything; the deltaLink at its end remembers how long the store's list of
-- changes was when it began. The rounds after it walk that list, so a record that changed three times
-- comes three times, as it is now. A deltaLink is good for a week, as the directory's are.
local json = require "msgraph.sim.json"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"
local reply = require "msgraph.sim.reply"

local M = {}

local KIND_OF_FULL <const> = 41
local KIND_OF_CHANGES <const> = 42
local KIND_OF_DELTATOKEN <const> = 43
local MARKS <const> = 1 << 20 -- changes a tenant may see; a token hides position, or hour, * MARKS + mark

local HOUR <const> = 3600
local GOOD_FOR <const> = 7 * 24 -- hours

local KNOWN = { ["$select"] = true, ["$skiptoken"] = false, ["$deltatoken"] = false }

---@class msgraph.sim.Feed        a kind of object whose changes can be asked for
---@field set string              what @odata.context names
---@field resource msgraph.sim.Resource
---@field changes any[]           the store's
---@field walk fun(position: integer): any, integer  the one at or after a position or nil, and the next position
---@field item fun(names: string[], entry: any): table    an entry of `walk` as it is sent
---@field change fun(names: string[], change: any): table one of `changes` as it is sent

--- Items of a page: as the client prefers, said with each request.
local function page_size(ctx, resource)
  local wanted = (ctx.headers.prefer or ""):match("odata%.maxpagesize=(%d+)")
  return math.min(math.max(math.tointeger(tonumber(wanted)) or resource.page, 1), resource.max_page)
end

local function token(ctx, kind, number)
  return random.id(ctx.seed, kind, number)
end

local function hour_of(ctx)
  return math.floor(ctx.now) // HOUR
end

--- Where a round stands: what it lists, from which position on, and the mark its deltaLink will have; or "expired"
local function place(ctx, feed, skiptoken, deltatoken)
  local changes = #feed.changes
  if deltatoken == "latest" then return "changes", changes, changes end
  local known = deltatoken and random.index(ctx.seed, KIND_OF_DELTATOKEN, deltatoken)
  if known and hour_of(ctx) - known // MARKS > GOOD_FOR then return "expired" end
  local since = known and known % MARKS or skiptoken and random.index(ctx.seed, KIND_OF_CHANGES, skiptoken)
  if since then return "changes", since, changes end
  local full = skiptoken and random.index(ctx.seed, KIND_OF_FULL, skiptoken)
  if full then return "full", full // MARKS, full % MARKS end
  if not skiptoken and not deltatoken then return "full", 1, changes end
end

local function full_page(ctx, feed, names, position, mark)
  local items, size = {}, page_size(ctx, feed.resource)
  while #items < size do
    local entry, after = feed.walk(position)
    if not entry then return items, nil end
    items[#items + 1] = feed.item(names, entry)
    position = after
  end
  return items, feed.walk(position) and token(ctx, KIND_OF_FULL, position * MARKS + mark)
end

local function changes_page(ctx, feed, names, since)
  local items, changes = {}, feed.changes
  local last = math.min(since + page_size(ctx, feed.resource), #changes)
  for i = since + 1, last do items[#items + 1] = feed.change(names, changes[i]) end
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

--- Answers a delta request.
---@param ctx msgraph.sim.Context
---@param feed msgraph.sim.Feed
---@return msgraph.sim.Answer
function M.answer(ctx, feed)
  local given, resource = odata.query(ctx.query), feed.resource
  local options, refusal = odata.read(ctx, resource, KNOWN)
  if not options then return refusal end
  local what, position, mark = place(ctx, feed, given["$skiptoken"], given["$deltatoken"])
  if what == "expired" then return reply.error(ctx, 400, "SyncStateNotFound", "The sync state is not found.") end
  if not what then return resource.refuse(ctx, "The delta token is invalid.") end
  local names = names_of(resource, options.selected, options["$select"])
  local page_of = what == "full" and full_page or changes_page
  local items, more = page_of(ctx, feed, names, position, mark)
  local latest = not more and token(ctx, KIND_OF_DELTATOKEN, hour_of(ctx) * MARKS + mark)
  local page = {
    ["@odata.context"] = ("%s/$metadata#%s/$delta"):format(ctx.base, feed.set),
    ["@odata.nextLink"] = more and odata.link(ctx, "$skiptoken", more) or nil,
    ["@odata.deltaLink"] = latest and odata.link(ctx, "$deltatoken", latest) or nil,
    value = json.array(items),
  }
  return odata.page(page)
end

return M
