-- lua/msgraph/paging.lua
--- Lists that arrive page by page, as iterators: `items`, `pages`, `delta` and `list` of a client.
--
-- A `for` loop has nobody to return an error to, and a list that is silently short is worse than none: so what goes
-- wrong is raised, as the msgraph.Error itself.
--
-- One page is held, and inside a task the bytes of the next, which travel meanwhile.
local config = require "msgraph.config"
local walks = require "msgraph.paging.walk"

local M = {}

---@class msgraph.PagesOpts: msgraph.RequestOpts  deadline is for each page
---@field from? msgraph.Checkpoint go on there; path and options are those of the first time, for the headers
---@field prefetch? boolean        fetch the next page while this one is worked on; inside tasks only, default true
---@field restart? boolean         of a delta path: when the service has lost track, begin anew instead of failing

---@class msgraph.ItemsOpts: msgraph.RequestOpts
---@field from? msgraph.Checkpoint
---@field prefetch? boolean
---@field limit? integer           end after this many items; default all

---@class msgraph.DeltaOpts: msgraph.PagesOpts
---@field dedupe? "last"|"none"    "last": gather the round, hand out each id once, as it came last; default "none"

---@class msgraph.ListOpts: msgraph.RequestOpts
---@field limit? integer

local PAGES = { from = "table", prefetch = "boolean", restart = "boolean" }
local ITEMS = { from = "table", prefetch = "boolean", limit = "number" }
local DELTA = { from = "table", prefetch = "boolean", restart = "boolean", dedupe = "string" }
local LIST = { limit = "number" }

-- ---- pages --------------------------------------------------------------------------------------

---@class msgraph.Pages            call it for the next page: for page in client:pages(...) do
---@field checkpoint? msgraph.Checkpoint  goes on behind the last page that the loop is done with
---@field total? integer           `@odata.count`, with { count = true }
---@field restarted? boolean       the round was begun anew: what came before the restart is void
---@field package walk msgraph.Walk
local Pages = { __name = "msgraph.Pages" }
Pages.__index = Pages

-- Asks for another page; raises its Error.
local function turn_page(self)
  local walk = self.walk
  local page, err = walk:next_page()
  self.total, self.restarted = walk.total, walk.restarted
  if err then error(err, 0) end
  return page
end

function Pages:__call()
  self.checkpoint = self.walk.checkpoint -- the page before is done with
  local page = turn_page(self)
  if page then self.walk:fetch_ahead() end
  return page
end

--- Ends the list here; a page that was fetched ahead is cancelled. A `for` loop that is left does it by itself.
function Pages:close()
  self.walk:close()
end

Pages.__close = Pages.close

-- ---- items --------------------------------------------------------------------------------------

---@class msgraph.Items            call it for the next item: for user in client:items(...) do
---@field checkpoint? msgraph.Checkpoint  goes on behind the last item that was handed out; of a delta, and of items
---                                without ids, behind the last whole page
---@field total? integer
---@field restarted? boolean
---@field package walk msgraph.Walk
---@field package behind? msgraph.Checkpoint  what leads to the page whose items are handed out
---@field package items table[]    that page's
---@field package at integer       how many of them were handed out
local Items = { __name = "msgraph.Items" }

local NONE = {}

local function cut(items, most)
  for i = #items, most + 1, -1 do items[i] = nil end
end

-- The items of the next page; nil at the end.
local function read_on(self)
  self.behind = self.walk.checkpoint
  local page = turn_page(self)
  if not page then return nil end
  local items = page.items
  self.is_cut = self.left < #items
  if self.is_cut then cut(items, self.left) end
  self.left = self.left - #items
  if self.left > 0 then self.walk:fetch_ahead() end
  return items
end

-- Whether an item says of a relation what has changed, as a group's "members@delta" does: then it is a part of what
-- there is to say of the id, and the next is another.
local function is_part(item)
  for name in pairs(item) do
    if type(name) == "string" and name:find("@delta", 1, true) then return true end
  end
  return false
end

-- Each id once, as it came last; parts all of them.
local function keep(round, items)
  local kept, place = round.kept, round.place
  for _, item in ipairs(items) do
    local id = type(item) == "table" and item.id or item
    local before = place[id]
    if before and not is_part(kept[before]) then kept[before] = false end
    place[id] = #kept + 1
    kept[#kept + 1] = item
  end
end

-- Gathers pages into `self.round`, which outlives a page that cannot be had. Both checkpoints stay where the round
-- began: what is left in the middle is read anew.
local function gather_round(self)
  local walk = self.walk
  while true do
    local page, err = walk:next_page()
    if err then
      err.checkpoint = self.behind
      error(err, 0)
    elseif not page then
      return
    end
    if self.restarted ~= walk.restarted or not self.round then self.round = { kept = {}, place = {} } end
    self.total, self.restarted = walk.total, walk.restarted
    keep(self.round, page.items)
    walk:fetch_ahead()
  end
end

-- All items of a round; nil at the end, behind the last of them.
local function read_round(self)
  gather_round(self)
  local round, items = self.round, {}
  if not round then
    self.behind = self.walk.checkpoint
    return nil
  end
  self.round = nil
  for _, item in ipairs(round.kept) do items[#items + 1] = item or nil end
  return items
end

-- Reads until there is an item: a page may be empty.
local function next_item(self)
  if self.left == 0 then return nil end
  repeat
    self.items, self.at = NONE, 0 -- let go of before the next page is decoded
    local items = self.read(self)
    if not items then return nil end
    self.items = items
  until items[1] ~= nil
  self.at = 1
  return self.items[1]
end

function Items:__call()
  local at = self.at + 1
  local item = self.items[at]
  if item == nil then return next_item(self) end
  self.at = at
  return item
end

-- The ids of what was handed out of this page, in this process and before; nil where there is an item without.
local function ids_of(self)
  local before = self.behind and self.behind.ids or NONE
  local ids = table.move(before, 1, #before, 1, {})
  for i = 1, self.at do
    local item = self.items[i]
    local id = type(item) == "table" and item.id
    if type(id) ~= "string" then return nil end
    ids[#ids + 1] = id
  end
  return ids
end

local function checkpoint_of(self)
  local walk, behind = self.walk, self.behind
  if self.at == 0 or walk.delta then return behind end
  if self.at == #self.items and not self.is_cut then return walk.checkpoint end
  local ids = ids_of(self)
  if not ids then return behind end
  behind = behind or { link = walk.request.target, page = 0, count = 0 }
  return { link = behind.link, page = behind.page, count = behind.count + self.at, total = walk.skip and walk.total,
    ids = ids }
end

function Items:__index(name)
  if name == "checkpoint" then return checkpoint_of(self) end
  return Items[name]
end

local function nothing() end

function Items:close()
  self.behind = checkpoint_of(self)
  self.items, self.at, self.round, self.read = NONE, 0, nil, nothing
  self.walk:close()
end

Items.__close = Items.close

-- ---- making them --------------------------------------------------------------------------------

-- As a generic `for` takes it: whatever way the loop is left, the list is closed.
local function iterate(iterator)
  return iterator, nil, nil, iterator
end

local function items_of(walk, limit, read)
  return iterate(setmetatable({ walk = walk, behind = walk.checkpoint, items = NONE, at = 0,
    left = limit or math.huge, read = read }, Items))
end

local function gather(walk, limit)
  local all = {}
  while #all < limit do
    local page, err = walk:next_page()
    if err then return nil, err end
    if not page then return all end
    table.move(page.items, 1, #page.items, #all + 1, all)
  end
  cut(all, limit)
  return all
end

local function check_limit(limit)
  if limit == nil or math.type(limit) == "integer" and limit > 0 then return end
  error(("'limit' must be a whole number from 1, got %s"):format(limit), 0)
end

--- Gives a client class its lists.
---@param Client table
---@param call table<string, string>  the options any request takes
---@param build fun(method: string, path: string, body: nil, opts: table): msgraph.core.Request
function M.install(Client, call, build)
  for _, options in ipairs { PAGES, ITEMS, DELTA, LIST } do
    for name, expected in pairs(call) do options[name] = expected end
  end

  local function new_walk(client, path, opts)
    check_limit(opts.limit)
    return walks.new(client, build("GET", path, nil, opts), path, opts)
  end

  -- Mistakes are raised where the caller of the method stands.
  local function start(client, name, path, opts, options)
    if opts ~= nil then config.check(opts, options, name, 4) end
    local ok, walk = pcall(new_walk, client, path, opts or {})
    if not ok then error(("%s: %s"):format(name, walk), 3) end
    return walk
  end

  --- Iterates over the items of a list: `for user in client:items("/users") do`.
  ---
  --- Raises the msgraph.Error of a page that cannot be had, inside the loop.
  ---@param path string as in `get`
  ---@param opts? msgraph.ItemsOpts
  ---@return msgraph.Items iterator raises for a wrong path or option
  function Client:items(path, opts)
    local walk = start(self, "items", path, opts, ITEMS)
    return items_of(walk, opts and opts.limit, read_on)
  end

  --- Iterates over the pages of a list; each has a checkpoint from which another process can go on.
  ---
  --- Raises as `items` does.
  ---@param path string
  ---@param opts? msgraph.PagesOpts
  ---@return msgraph.Pages iterator
  function Client:pages(path, opts)
    local walk = start(self, "pages", path, opts, PAGES)
    return iterate(setmetatable({ walk = walk, checkpoint = walk.checkpoint }, Pages))
  end

  --- Iterates over what has changed: everything at first, and from a saved `checkpoint` on what came since.
  ---
  --- What is gone has "@removed". Raises as `items` does; code "resync_required": begin without `from`.
  ---@param path string ends in /delta
  ---@param opts? msgraph.DeltaOpts
  ---@return msgraph.Items iterator its `checkpoint`, once the loop has ended, leads to the next round
  function Client:delta(path, opts)
    local walk = start(self, "delta", path, opts, DELTA)
    local dedupe = opts and opts.dedupe or "none"
    if not walk.delta then error(("delta: path '%s' must end in /delta, as in /users/delta"):format(path), 2) end
    if dedupe ~= "last" and dedupe ~= "none" then
      error(("delta: 'dedupe' must be \"last\" or \"none\", got %q"):format(dedupe), 2)
    end
    return items_of(walk, nil, dedupe == "last" and read_round or read_on)
  end

  --- All items of a list at once, for lists that are known to be small.
  ---@param path string
  ---@param opts? msgraph.ListOpts
  ---@return table[]? items
  ---@return msgraph.Error? raises for a wrong path or option
  function Client:list(path, opts)
    local walk = start(self, "list", path, opts, LIST)
    local items, err = gather(walk, opts and opts.limit or math.huge)
    local mistake = err and err.code == "bad_request" and walk.page == 0 and path:find("^/")
    if mistake then error("list: " .. err.message, 2) end
    return items, err
  end
end

return M
