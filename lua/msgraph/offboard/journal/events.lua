-- lua/msgraph/offboard/journal/events.lua
--- The append-only record of a run: each event's hash covers the one before it, so that a line changed, taken out or
--- put in is seen. What it can not see: that the last events were cut off; a report prints count and last hash.
local failure = require "msgraph.offboard.journal.failure"
local json = require "msgraph.json"
local store = require "msgraph.store"

local M = {}

local must = failure.must
local FIRST = ("0"):rep(64) -- what the first event follows

-- No field but the last can hold a line break, and that is JSON on one line.
local function hash_of(e)
  return store.hash(table.concat({ e.prev_hash, e.run_id, e.seq, e.at, e.kind, e.subj or "", e.op or "",
    e.worker_id or "", e.data_json }, "\n"))
end

local INSERT = [[INSERT INTO event(run_id, seq, at, kind, subj, op, worker_id, data_json, prev_hash, hash)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]

--- Appends events to a run's chain; run inside a transaction that holds the run's row.
---@param db msgraph.store.Db
---@param run_id string
---@param list { kind: string, subj: integer?, op: integer?, worker_id: string?, data: table? }[]
function M.append(db, run_id, list)
  if #list == 0 then return end
  local last = must(db:one("SELECT seq, hash FROM event WHERE run_id = ? ORDER BY seq DESC LIMIT 1", run_id))
  local seq, prev = last and last.seq or 0, last and last.hash or FIRST
  local at = store.now()
  for _, item in ipairs(list) do
    seq = seq + 1
    local e = { run_id = run_id, seq = seq, at = at, kind = item.kind, subj = item.subj, op = item.op,
      worker_id = item.worker_id, data_json = json.encode(item.data or {}), prev_hash = prev }
    e.hash = hash_of(e)
    must(db:exec(INSERT, run_id, seq, at, e.kind, e.subj, e.op, e.worker_id, e.data_json, prev, e.hash))
    prev = e.hash
  end
end

--- The events of a run in order, `data` decoded.
---@return fun(): table?
function M.each(db, run_id)
  local next_row, _, _, closing = db:rows("SELECT * FROM event WHERE run_id = ? ORDER BY seq", run_id)
  return function()
    local e = next_row()
    if e then e.data = json.decode(e.data_json) end
    return e
  end, nil, nil, closing
end

--- Follows the chain from its first event to its last.
---@return { count: integer, hash: string }? chain
---@return string? reason
function M.verify(db, run_id)
  local count, prev = 0, FIRST
  for e in db:rows("SELECT * FROM event WHERE run_id = ? ORDER BY seq", run_id) do
    count = count + 1
    if e.seq ~= count then return nil, ("event %d is missing"):format(count) end
    if e.prev_hash ~= prev or e.hash ~= hash_of(e) then
      return nil, ("event %d is not as it was written"):format(count)
    end
    prev = e.hash
  end
  return { count = count, hash = prev }
end

return M
