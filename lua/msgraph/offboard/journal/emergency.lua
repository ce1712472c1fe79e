-- lua/msgraph/offboard/journal/emergency.lua
--- Outcomes that the journal could not take: JSON lines beside it, and back.
--
-- Each worker has a file of its own, JOURNAL-emergency-WORKER.jsonl. Room for it is kept in JOURNAL-reserve, which is
-- given up first. A line is taken in once however often the file is, for an attempt has one outcome.
local failure = require "msgraph.offboard.journal.failure"
local json = require "msgraph.json"
local store = require "msgraph.store"

local M = {}

-- What a line holds of an outcome: evidence may be large, and a read can be made again.
local KEPT = { "subj", "op", "n", "state", "reason", "http_status", "graph_code", "graph_request_id",
  "retry_after_ms", "sent", "next_at" }

--- The file of a worker.
function M.path_of(journal, worker_id)
  return ("%s-emergency-%s.jsonl"):format(journal.path, worker_id)
end

local function line_of(worker, item)
  local line = { version = 1, store_id = worker.journal.store_id, run_id = worker.run_id, worker_id = worker.id,
    epoch = worker.held[item.subj], at = store.now() }
  for _, name in ipairs(KEPT) do line[name] = item[name] end
  return json.encode(line) .. "\n"
end

--- Writes the outcomes of attempts; err gets `emergency`, the file, and a hint when that went well.
---@param worker msgraph.journal.Worker
---@param list table[]
---@param err msgraph.Error what the journal said
function M.write(worker, list, err)
  local lines = {}
  for _, item in ipairs(list) do
    if item.n then lines[#lines + 1] = line_of(worker, item) end
  end
  if #lines == 0 then return end
  local path = M.path_of(worker.journal, worker.id)
  os.remove(worker.journal.path .. "-reserve")
  -- begun on a line of its own: one before it may have broken off
  if not store.append(path, "\n" .. table.concat(lines)) then return end
  err.emergency = path
  err.hint = ("%d outcomes are in %s: make room, then take them in"):format(#lines, path)
end

--- The lines of a file. One that broke off is left out: its worker saw that it could not be written.
---@return table[]
function M.read(journal, path)
  local file, reason = io.open(path, "rb")
  if not file then failure.raise("unknown_id", reason) end
  local text = file:read "a"
  file:close()
  local lines = {}
  for line in text:gmatch "([^\n]+)\n" do
    local item = json.decode(line)
    if type(item) == "table" then
      if item.version ~= 1 or item.store_id ~= journal.store_id then
        failure.raise("journal_damaged", path .. ": this is not of this journal")
      end
      lines[#lines + 1] = item
    end
  end
  return lines
end

return M
