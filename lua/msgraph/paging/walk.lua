-- lua/msgraph/paging/walk.lua
--- One way through one list: pages are fetched, understood, and counted, one after the other.
--
-- A link is opaque: it is followed byte for byte, with the headers of the first request. No answer counts as the
-- end but one that says so.
local errors = require "msgraph.errors"
local loop = require "msgraph.loop"
local response = require "msgraph.response"
local task = require "msgraph.task"

local unpack = string.unpack

local M = {}

---@class msgraph.Checkpoint       where to go on, also in another process; a table that JSON holds
---@field link? string             the next page
---@field ids? string[]            what was handed out of that page already: it is left out
---@field delta? string            or, where a round of changes has ended: what leads to the next round
---@field done? true               or: the list has ended
---@field page integer             pages handed out so far
---@field count integer            items handed out so far
---@field total? integer           how many there are in all, with { count = true }

---@class msgraph.Page
---@field items table[]            the answer's `value`
---@field number integer           1 for the first
---@field count integer            items up to here, this page's included
---@field total? integer           `@odata.count`, with { count = true }; comes with the first page
---@field checkpoint msgraph.Checkpoint goes on behind this page
---@field package raw msgraph.core.Response

---@class msgraph.Walk
---@field client msgraph.Client
---@field request table            the first page's; the others differ in the target
---@field delta boolean            it is a list of changes
---@field prefetch boolean
---@field restart? boolean
---@field skip? integer            how many the list leaves out; nil: nobody asked how many there are
---@field link? string             the next page; nil at the end
---@field page integer             pages so far
---@field count integer            items so far
---@field total? integer
---@field checkpoint? msgraph.Checkpoint
---@field stuck? msgraph.Error     why there is nothing behind the last page, and it is no end
---@field restarted? boolean
local Walk = {}
Walk.__index = Walk

local MOST_EMPTY = { list = 10, delta = 1000 } -- pages in a row without an item (design/client.md 5)
local MOST_UNCLEAN = 3 -- times a page is fetched for the sake of a clean link

-- ---- where it begins ----------------------------------------------------------------------------

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

local function set_of(ids)
  if not ids then return nil end
  local set = {}
  for _, id in ipairs(ids) do set[id] = true end
  return set
end

local function begin(walk, from)
  walk.link, walk.page, walk.count, walk.fresh = walk.request.target, 0, 0, not from
  walk.empty, walk.seen, walk.broken, walk.stuck, walk.ahead = 0, {}, false, nil, nil
  walk.checkpoint, walk.known = from, nil
  if not from then
    walk.seen[hash(walk.client.endpoint .. walk.link)] = true
  elseif from.delta then
    walk.link = from.delta
  else
    walk.link, walk.page, walk.count = from.link, math.tointeger(from.page) or 0, math.tointeger(from.count) or 0
    walk.total, walk.known = math.tointeger(from.total), set_of(from.ids)
  end
end

local function check_from(from)
  if not from then return end
  local leads = from.done or type(from.link) == "string" or type(from.delta) == "string"
  if leads and (from.ids == nil or type(from.ids) == "table") then return end
  error("'from' must be a checkpoint, as a page or an ended list has it", 0)
end

local function is_delta(target)
  local path = target:match("^[^?]*"):lower()
  return path:find("[/.]delta$") ~= nil or path:find("[/.]delta%b()$") ~= nil
end

-- The value of an option of the service in a path.
local function option_in(path, name)
  return path:gsub("%%24", "$"):match("[?&]%$" .. name .. "=([^&]*)")
end

-- How many items the query leaves out, which are counted all the same (OData 4.01 URL conventions, 5.1.7); nil: the
-- author does not ask how many there are. (The directory may want it said that he does: msgraph.query.)
local function skipped(target, path, opts)
  local asked = opts.count or tostring((opts.query or {})["$count"]) == "true" or option_in(path, "count") == "true"
  if not asked then return nil end
  return math.tointeger(tonumber(option_in(target, "skip"))) or 0
end

--- Begins a walk. Raises (level 0) for a checkpoint that is none.
---@param client msgraph.Client
---@param request msgraph.core.Request of the first page
---@param path string     as the author wrote it
---@param opts table      msgraph.PagesOpts
---@return msgraph.Walk
function M.new(client, request, path, opts)
  check_from(opts.from)
  local walk = setmetatable({ client = client, request = request, delta = is_delta(request.target),
    restart = opts.restart, prefetch = opts.prefetch ~= false, skip = skipped(request.target, path, opts) }, Walk)
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

--- Sends for the next page, if the code that reads this one is a task: outside, nothing would move meanwhile.
function Walk:fetch_ahead()
  if not self.prefetch or not self.link or self.stuck or not loop.current() then return end
  local client, request = self.client, request_of(self)
  self.ahead = task.spawn(function() return client:exchange(request) end)
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

-- Tells where it happened, and how to go on.
local function located(walk, err)
  if walk.page > 0 then err.message = ("page %d: %s"):format(walk.page + 1, err.message) end
  err.checkpoint = walk.checkpoint
  return err
end

-- Why the list may not go on: it would never end.
local function why_stuck(walk)
  local most = walk.delta and MOST_EMPTY.delta or MOST_EMPTY.list
  if walk.empty > most then return ("%d pages in a row were empty"):format(walk.empty) end
  local mark = hash(walk.link)
  if walk.seen[mark] then return "the list never ends: its link was followed before" end
  walk.seen[mark] = true
end

-- Why a list that has ended is not whole, as far as somebody asked how many there are.
local function why_short(walk)
  local total = walk.skip and walk.total
  if not total or walk.count + walk.skip >= total then return nil end
  return ("the list ended after %d of %d items"):format(walk.count, total - walk.skip)
end

-- What is wrong with what comes next, behind a page that is right.
local function look_ahead(walk, raw, request)
  local problem
  if walk.link then
    problem = why_stuck(walk)
    return problem and located(walk, errors.unreadable(raw, request, "no_progress", problem))
  end
  problem = why_short(walk)
  if not problem then return nil end
  local err = errors.unreadable(raw, request, "incomplete", problem)
  err.checkpoint = walk.checkpoint
  return err
end

local function checkpoint_of(walk, delta)
  local point = { link = walk.link, page = walk.page, count = walk.count, total = walk.skip and walk.total }
  if not walk.link then point.delta, point.done = delta, not delta or nil end
  return point
end

-- Without what was handed out of this page before the list was left.
local function rest_of(known, items)
  local rest = {}
  for _, item in ipairs(items) do
    local id = type(item) == "table" and item.id
    if not (id and known[id]) then rest[#rest + 1] = item end
  end
  return rest
end

local function accept(walk, body, raw, request)
  local problem = why_no_page(walk, body)
  if problem then return nil, located(walk, errors.unreadable(raw, request, "not_a_list", problem)) end
  local items = body.value
  walk.empty = #items == 0 and walk.empty + 1 or 0
  if walk.known then items = rest_of(walk.known, items) end
  walk.page, walk.count, walk.fresh = walk.page + 1, walk.count + #items, false
  walk.link = link_in(body, "@odata.nextLink")
  walk.total = math.tointeger(body["@odata.count"]) or walk.total
  walk.checkpoint = checkpoint_of(walk, link_in(body, "@odata.deltaLink"))
  walk.stuck = look_ahead(walk, raw, request)
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

-- ---- walking ------------------------------------------------------------------------------------

-- Two tasks that read one list would get pages twice or not at all.
local function take_turn(walk)
  local own, other = coroutine.running(), walk.reader
  if other and other ~= own and coroutine.status(other) ~= "dead" then
    error("the list is being read by another task: let one task read it, or hand it to graph.map", 0)
  end
  walk.reader = own
end

--- The next page; nil at the end; nil and the Error, after which the same page may be tried again.
---@return msgraph.Page?
---@return msgraph.Error?
function Walk:next_page()
  if self.stuck then return nil, self.stuck end
  if not self.link then return nil end
  take_turn(self)
  local body, raw, request = fetch(self)
  self.reader = nil
  if body ~= nil then return accept(self, body, raw, request) end
  local err = raw
  if not lost_track(self, err) then return nil, located(self, err) end
  if not self.restart or self.restarted then return nil, located(self, resync_required(err)) end
  begin(self)
  self.restarted = true
  return self:next_page()
end

--- Ends it here; a page that was sent for is cancelled.
function Walk:close()
  self.link, self.stuck = nil, nil
  if self.ahead then self.ahead:cancel() end
end

return M
