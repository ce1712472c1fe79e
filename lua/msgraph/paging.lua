-- lua/msgraph/paging.lua
--- Walks lists that arrive page by page: `items`, `pages`, `delta` and `list` of a client.
--
-- A link is opaque: it is followed byte for byte, with the headers of the first request. A `for` loop has
-- nobody to return an error to, and a list that is silently short is worse than none: so what goes wrong is
-- raised, as the msgraph.Error itself. No answer counts as the end but one that says so.
--
-- One page is held, and inside a task the bytes of the next, which travel meanwhile.
local config = require "msgraph.config"
local errors = require "msgraph.errors"
local loop = require "msgraph.loop"
local response = require "msgraph.response"
local task = require "msgraph.task"

local unpack = string.unpack

local M = {}

---@class msgraph.Checkpoint       where to go on, also in another process; a table that JSON holds
---@field link? string             the next page
---@field delta? string            or, where a round of changes has ended: what leads to the next round
---@field done? true               or: the list has ended
---@field page integer             pages handed out so far
---@field count integer            items handed out so far

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

---@class msgraph.Page
---@field items table[]            the answer's `value`
---@field number integer           1 for the first
---@field count integer            items up to here, this page's included
---@field total? integer           `@odata.count`, with { count = true }; comes with the first page
---@field checkpoint msgraph.Checkpoint goes on behind this page
---@field package raw msgraph.core.Response

local PAGES = { from = "table", prefetch = "boolean", restart = "boolean" }
local ITEMS = { from = "table", prefetch = "boolean", limit = "number" }
local DELTA = { from = "table", prefetch = "boolean", restart = "boolean", dedupe = "string" }
local LIST = { limit = "number" }

local MOST_EMPTY = { list = 10, delta = 1000 } -- pages in a row without an item (design/client.md 5)
local MOST_UNCLEAN = 3 -- times a page is fetched for the sake of a clean link

-- ---- one list -----------------------------------------------------------------------------------

-- Links are as long as some kilobytes, a list has thousands: 64 bits of each are kept (FNV-1a's numbers, over words of
-- eight bytes; the shift brings what a product moves up back down).
local function hash(text)
  local sum, padded = 0xcbf29ce484222325 ~ #text, text .. ("\0"):rep(-#text % 8)
  for at = 1, #padded, 8 do
    sum = (sum ~ unpack("<i8", padded, at)) * 0x100000001b3
    sum = sum ~ sum >> 32
  end
  return sum
end

---@class msgraph.Walk             one way through one list
---@field client msgraph.Client
---@field request table            the first page's; the others differ in the target
---@field link? string             the next page; nil at the end
---@field checkpoint? msgraph.Checkpoint

local function begin(walk, from)
  walk.link, walk.page, walk.count, walk.fresh = walk.request.target, 0, 0, not from
  walk.empty, walk.seen, walk.broken, walk.stuck, walk.ahead = 0, {}, false, nil, nil
  walk.checkpoint = from
  if not from then
    walk.seen[hash(walk.client.endpoint .. walk.link)] = true
  elseif from.delta then
    walk.link = from.delta
  else
    walk.link, walk.page, walk.count = from.link, math.tointeger(from.page) or 0, math.tointeger(from.count) or 0
  end
end

local function check_from(from)
  if not from or from.done or type(from.link) == "string" or type(from.delta) == "string" then return end
  error("'from' must be a checkpoint, as a page or an ended list has it", 0)
end

local function check_limit(limit)
  if limit == nil or math.type(limit) == "integer" and limit > 0 then return end
  error(("'limit' must be a whole number from 1, got %s"):format(limit), 0)
end

local function is_delta(target)
  local path = target:match("^[^?]*"):lower()
  return path:find("[/.]delta$") ~= nil or path:find("[/.]delta%b()$") ~= nil
end

local function new_walk(client, request, opts)
  check_from(opts.from)
  check_limit(opts.limit)
  local walk = { client = client, request = request, delta = is_delta(request.target), restart = opts.restart,
    prefetch = opts.prefetch ~= false }
  begin(walk, opts.from)
  return walk
end

-- ---- fetching -----------------------------------------------------------------------------------

local function request_of(walk)
  local request = {}
  for name, value in pairs(walk.request) do request[name] = value end
  request.target = walk.link
  return request
end

-- Sends for the next page, if the code that reads this one is a task: outside, nothing would move meanwhile.
local function fetch_ahead(walk)
  if not walk.prefetch or not walk.link or walk.stuck or not loop.current() then return end
  local client, request = walk.client, request_of(walk)
  walk.ahead = task.spawn(function() return client:exchange(request) end)
end

local function receive(walk, request)
  local ahead = walk.ahead
  if not ahead or ahead.cancelled then return walk.client:exchange(request) end
  local raw, err = ahead:join()
  walk.ahead = nil
  return raw, err
end

local LOST = { network = true, timeout = true }

-- Whether an earlier try for this answer was lost on the way.
local function was_retried(raw)
  local attempts = raw.attempts or {}
  for i = 1, #attempts - 1 do
    if attempts[i].code and attempts[i].phase ~= "not_sent" then return true end
  end
  return false
end

-- The next answer. Where the first try was lost, the link in the answer to the second may lead nowhere:
-- one is to go on from the last clean answer (FACTS 6.2), so the page is asked for once more.
local function fetch(walk)
  local request = request_of(walk)
  for try = 1, MOST_UNCLEAN do
    local raw, err = receive(walk, request)
    if not raw then
      walk.broken = LOST[err.kind] or false
      return nil, err
    end
    local clean = not walk.broken and not was_retried(raw)
    walk.broken = false
    local body
    body, err = response.read(raw, request)
    if body == nil then return nil, err end
    if clean or try == MOST_UNCLEAN or type(body) ~= "table" or not body["@odata.nextLink"] then
      return body, raw, request
    end
  end
end

-- ---- understanding ------------------------------------------------------------------------------

-- A link, nil where there is none, false where it is something else.
local function link_in(body, name)
  local link = body[name]
  if link == nil or type(link) == "userdata" then return nil end -- JSON null
  return type(link) == "string" and link ~= "" and link
end

local function is_list(value)
  return type(value) == "table" and (value[1] ~= nil or next(value) == nil)
end

local function why_no_page(walk, body)
  if type(body) ~= "table" or not is_list(body.value) then return "the answer is no list: it has no value" end
  local link, delta = link_in(body, "@odata.nextLink"), link_in(body, "@odata.deltaLink")
  if link == false or delta == false then return "its link to the next page is none" end
  if walk.delta and not link and not delta then return "it has neither a nextLink nor a deltaLink" end
end

-- Why the list may not go on: it would never end.
local function why_stuck(walk)
  local most = walk.delta and MOST_EMPTY.delta or MOST_EMPTY.list
  if walk.empty > most then return ("%d pages in a row were empty"):format(walk.empty) end
  local mark = hash(walk.link)
  if walk.seen[mark] then return "the list never ends: its link was followed before" end
  walk.seen[mark] = true
end

local function checkpoint_of(walk, delta)
  local point = { link = walk.link, page = walk.page, count = walk.count }
  if not walk.link then point.delta, point.done = delta, not delta or nil end
  return point
end

-- Tells where it happened, and how to go on.
local function located(walk, err)
  if walk.page > 0 then err.message = ("page %d: %s"):format(walk.page + 1, err.message) end
  err.checkpoint = walk.checkpoint
  return err
end

local function accept(walk, body, raw, request)
  local problem = why_no_page(walk, body)
  if problem then return nil, located(walk, errors.unreadable(raw, request, "not_a_list", problem)) end
  local items = body.value
  walk.page, walk.count, walk.fresh = walk.page + 1, walk.count + #items, false
  walk.empty = #items == 0 and walk.empty + 1 or 0
  walk.link = link_in(body, "@odata.nextLink")
  walk.total = math.tointeger(body["@odata.count"]) or walk.total
  walk.checkpoint = checkpoint_of(walk, link_in(body, "@odata.deltaLink"))
  problem = walk.link and why_stuck(walk)
  walk.stuck = problem and located(walk, errors.unreadable(raw, request, "no_progress", problem))
  return { items = items, number = walk.page, count = walk.count, total = walk.total, checkpoint = walk.checkpoint,
    raw = raw }
end

local RESYNC = { syncstatenotfound = true, syncstateinvalid = true, resyncrequired = true,
  resyncchangesapplydifferences = true, resyncchangesuploaddifferences = true }

-- Whether the service no longer knows what it has told us.
local function lost_track(walk, err)
  if not walk.delta or walk.fresh then return false end
  if err.status == 410 or RESYNC[tostring(err.code):lower()] then return true end
  for _, inner in ipairs(err.inner) do
    if RESYNC[tostring(inner.code):lower()] then return true end
  end
  return false
end

local function resync_required(err)
  err.kind, err.code, err.hint = "conflict", "resync_required", errors.HINTS.resync_required
  return err
end

-- Two tasks that read one list would get pages twice or not at all.
local function take_turn(walk)
  local own, other = coroutine.running(), walk.reader
  if other and other ~= own and coroutine.status(other) ~= "dead" then
    error("the list is being read by another task: let one task read it, or hand it to graph.map", 4)
  end
  walk.reader = own
end

--- The next page; nil at the end; nil and the Error, after which the same page may be tried again.
local function next_page(walk)
  if not walk.link then return nil end
  if walk.stuck then return nil, walk.stuck end
  take_turn(walk)
  local body, raw, request = fetch(walk)
  walk.reader = nil
  if body ~= nil then return accept(walk, body, raw, request) end
  local err = raw
  if not lost_track(walk, err) then return nil, located(walk, err) end
  if not walk.restart or walk.restarted then return nil, located(walk, resync_required(err)) end
  begin(walk)
  walk.restarted = true
  return next_page(walk)
end

local function close(walk)
  walk.link = nil
  if walk.ahead then walk.ahead:cancel() end
end

-- ---- iterators ----------------------------------------------------------------------------------

---@class msgraph.Pages            call it for the next page: for page in client:pages(...) do
---@field checkpoint? msgraph.Checkpoint  goes on behind the last page that the loop is done with
---@field total? integer           `@odata.count`, with { count = true }
---@field restarted? boolean       the round was begun anew: what came before the restart is void
---@field package walk msgraph.Walk
local Pages = { __name = "msgraph.Pages" }
Pages.__index = Pages

-- Asks for another page: so the one before is done with.
local function turn_page(self)
  local walk = self.walk
  self.checkpoint = walk.checkpoint
  local page, err = next_page(walk)
  self.total, self.restarted = walk.total, walk.restarted
  if err then error(err, 0) end
  return page
end

function Pages:__call()
  local page = turn_page(self)
  if page then fetch_ahead(self.walk) end
  return page
end

--- Ends the list here; a page that was fetched ahead is cancelled. A `for` loop that is left does it by itself.
function Pages:close()
  close(self.walk)
end

Pages.__close = Pages.close

---@class msgraph.Items            call it for the next item: for user in client:items(...) do
---@field checkpoint? msgraph.Checkpoint  goes on behind the last page whose items were all handed out
---@field total? integer
---@field restarted? boolean
---@field package walk msgraph.Walk
local Items = { __name = "msgraph.Items" }
Items.__index = Items

local NONE = {}

local function cut(items, most)
  for i = #items, most + 1, -1 do items[i] = nil end
end

-- The items of the next page; nil at the end.
local function read_on(self)
  local page = self.left > 0 and turn_page(self)
  if not page then return nil end
  if self.left <= #page.items then
    cut(page.items, self.left)
  else
    fetch_ahead(self.walk)
  end
  self.left = self.left - #page.items
  return page.items
end

-- Each id once, as it came last.
local function keep(round, items)
  local kept, place = round.kept, round.place
  for _, item in ipairs(items) do
    local id = type(item) == "table" and item.id or item
    if place[id] then kept[place[id]] = false end
    place[id] = #kept + 1
    kept[#kept + 1] = item
  end
end

-- Gathers pages into `self.round`, which outlives a page that cannot be had. Until the last of them nothing is
-- handed out, so both checkpoints stay where the round began.
local function gather_round(self)
  local walk, begun = self.walk, self.checkpoint
  while true do
    local page, err = next_page(walk)
    if err then
      err.checkpoint = begun
      error(err, 0)
    elseif not page then
      return
    end
    if self.restarted ~= walk.restarted or not self.round then self.round = { kept = {}, place = {} } end
    self.total, self.restarted = walk.total, walk.restarted
    keep(self.round, page.items)
    fetch_ahead(walk)
  end
end

-- All items of a round; nil at the end.
local function read_round(self)
  gather_round(self)
  local round, items = self.round, {}
  if not round then return nil end
  self.round, self.checkpoint = nil, self.walk.checkpoint
  for _, item in ipairs(round.kept) do items[#items + 1] = item or nil end
  return items
end

function Items:__call()
  local at = self.at + 1
  local item = self.items[at]
  while item == nil do -- a page may be empty
    self.items, self.at = NONE, 0 -- let go of before the next page is decoded
    local items = self.read(self)
    if not items then return nil end
    self.items, at = items, 1
    item = items[1]
  end
  self.at = at
  return item
end

function Items:close()
  self.items, self.at, self.round = NONE, 0, nil
  close(self.walk)
end

Items.__close = Items.close

-- As a generic `for` takes it: whatever way the loop is left, the list is closed.
local function iterate(iterator)
  return iterator, nil, nil, iterator
end

local function items_of(walk, limit, read)
  return iterate(setmetatable({ walk = walk, checkpoint = walk.checkpoint, items = NONE, at = 0,
    left = limit or math.huge, read = read }, Items))
end

local function gather(walk, limit)
  local all = {}
  while #all < limit do
    local page, err = next_page(walk)
    if err then return nil, err end
    if not page then return all end
    table.move(page.items, 1, #page.items, #all + 1, all)
  end
  cut(all, limit)
  return all
end

-- ---- methods of a client ------------------------------------------------------------------------

--- Gives a client class its lists.
---@param Client table
---@param call table<string, string>  the options any request takes
---@param build fun(method: string, path: string, body: nil, opts: table): msgraph.core.Request
function M.install(Client, call, build)
  for _, options in ipairs { PAGES, ITEMS, DELTA, LIST } do
    for name, expected in pairs(call) do options[name] = expected end
  end

  -- Mistakes are raised where the caller of the method stands.
  local function start(client, name, path, opts, options)
    if opts ~= nil then config.check(opts, options, name, 4) end
    opts = opts or {}
    local ok, walk = pcall(function() return new_walk(client, build("GET", path, nil, opts), opts) end)
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
