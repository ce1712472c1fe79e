--- Takes what emergency files hold into the journal again (msgraph.offboard.journal.emergency writes and reads them).
local emergency = require "msgraph.offboard.journal.emergency"
local events = require "msgraph.offboard.journal.events"
local failure = require "msgraph.offboard.journal.failure"
local workers = require "msgraph.offboard.journal.worker"

local M = {}

local must = failure.must

local function take_line(journal, db, item, told)
  local subject = must(db:one("SELECT owner, epoch FROM subject WHERE run_id = ? AND subj = ?", item.run_id, item.subj))
  local op = journal:read_op(db, item.run_id, item.subj, item.op)
  if not subject or not op then failure.raise("unknown_id", "the emergency file names what is not in this journal") end
  local current = subject.owner == item.worker_id and subject.epoch == item.epoch and op.attempts == item.n
    and op.state == "intent"
  if not workers.fill(db, item, item.run_id, item.worker_id, not current) then return 0 end
  if current then workers.move(db, item.run_id, item, op) end
  told[#told + 1] = workers.outcome_event(item, op, item.worker_id, not current)
  return 1
end

local function check_over(journal, db, worker_id)
  local w = must(db:one("SELECT * FROM worker WHERE worker_id = ?", worker_id))
  if w and w.state == "alive" and not workers.is_dead(journal, w, journal.clock()) then
    failure.raise("in_use", ("worker %s is still at work: its file is taken in when it has ended"):format(worker_id))
  end
end

--- Takes the outcomes of a file in, and removes it: see Journal:take_in.
function M.file(journal, path)
  local count, err = journal:transact(function(db)
    local lines, n, seen = emergency.read(journal, path), 0, {}
    for _, item in ipairs(lines) do
      if not seen[item.worker_id] then check_over(journal, db, item.worker_id) end
      seen[item.worker_id] = true
      journal:lock_run(db, item.run_id)
      local told = {}
      n = n + take_line(journal, db, item, told)
      events.append(db, item.run_id, told)
    end
    return n
  end)
  if count then os.remove(path) end
  return count, err
end

local WITHOUT_OUTCOME = "SELECT DISTINCT worker_id FROM attempt WHERE run_id = ? AND outcome IS NULL"

--- Those of a run that hold something not yet taken in.
---@return string[]? paths
---@return msgraph.Error?
function M.files(journal, run_id)
  return journal:look(function(db)
    local paths = {}
    for _, row in ipairs(must(db:all(WITHOUT_OUTCOME, run_id))) do
      local path = emergency.path_of(journal, row.worker_id)
      local file = io.open(path, "rb")
      if file then
        file:close()
        paths[#paths + 1] = path
      end
    end
    return paths
  end)
end

return M
