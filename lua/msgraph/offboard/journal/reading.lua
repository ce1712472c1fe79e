--- People and operations as the journal has them, each operation with what became of its last attempt.
local failure = require "msgraph.offboard.journal.failure"
local json = require "msgraph.json"
local workers = require "msgraph.offboard.journal.worker"

local M = {}

local must = failure.must

local LAST = [[SELECT o.*, a.over_at, a.outcome, a.late, a.http_status, a.graph_code, a.graph_request_id,
  a.retry_after_ms, a.intent_at, a.client_request_id, w.boot_id FROM op o
  LEFT JOIN attempt a ON a.run_id = o.run_id AND a.subj = o.subj AND a.op = o.op AND a.n = o.attempts
  LEFT JOIN worker w ON w.worker_id = a.worker_id WHERE o.run_id = ? AND o.subj = ?]]

-- over_at of another start of the machine becomes one of this: what was sent before it is over by then.
local function of_this_boot(journal, row)
  if row.boot_id and row.boot_id ~= journal.boot_id then row.over_at = workers.T_REQ end
  row.boot_id = nil
  return row
end

--- One operation with the last attempt's over_at and outcome.
---@return msgraph.journal.Op?
function M.op(journal, db, run_id, subj, op)
  local row = must(db:one(LAST .. " AND o.op = ?", run_id, subj, op))
  return row and of_this_boot(journal, row)
end

local function decode(row, names)
  for _, name in ipairs(names) do
    local text = row[name .. "_json"]
    row[name .. "_json"], row[name] = nil, text and json.decode(text)
  end
  return row
end

local OP_JSON = { "deps", "desired", "guard", "inverse", "evidence" }

---@class msgraph.journal.Subject
---@field run_id string
---@field subj integer
---@field object_id string
---@field label string
---@field epoch integer
---@field wave integer
---@field stage integer
---@field takeovers integer
---@field guard table
---@field before_sha? string
---@field ops msgraph.journal.Op[] all of them, in order

---@class msgraph.journal.Op as NewOp, and
---@field op integer
---@field state string
---@field attempts integer how often it was intended
---@field next_at integer Unix ms before which it is not to be tried
---@field reason? string
---@field evidence? table
---@field over_at? integer of the last attempt: ms of journal.clock from which on it can not be carried out any more.
---   To settle `unknown`, read after that (and what the service takes to show it), and give read_at to settle
---@field outcome? string of the last attempt; nil: it is not known
---@field late? integer 1: the outcome came from a worker that had been taken for dead

--- A subject's row with its operations.
---@return msgraph.journal.Subject
function M.subject(journal, db, row)
  local subject = decode(row, { "guard" })
  subject.ops = must(db:all(LAST .. " ORDER BY o.op", subject.run_id, subject.subj))
  for _, op in ipairs(subject.ops) do decode(of_this_boot(journal, op), OP_JSON) end
  return subject
end

--- A run's people in order, one at a time, each with its operations. Raises where the journal can not be read.
---@return fun(): msgraph.journal.Subject?
function M.subjects(journal, run_id)
  local last = 0
  return function()
    local row = must(journal.db:one("SELECT * FROM subject WHERE run_id = ? AND subj > ? ORDER BY subj LIMIT 1",
      run_id, last))
    if not row then return nil end
    last = row.subj
    return M.subject(journal, journal.db, row)
  end
end

local PEOPLE = "SELECT state, count(*) AS n FROM subject WHERE run_id = ? GROUP BY state"

local function count_subjects(db, run_id)
  local out = {}
  for _, row in ipairs(must(db:all(PEOPLE, run_id))) do out[row.state] = row.n end
  return out
end

local STAGES = "SELECT stage, state, count(*) AS n FROM op WHERE run_id = ? GROUP BY stage, state ORDER BY stage"

-- Operations by stage and state, and by state in all.
local function count_ops(db, run_id)
  local stages, total = {}, {}
  for _, row in ipairs(must(db:all(STAGES, run_id))) do
    local last = stages[#stages]
    if not last or last.stage ~= row.stage then
      last = { stage = row.stage, ops = {} }
      stages[#stages + 1] = last
    end
    last.ops[row.state] = row.n
    total[row.state] = (total[row.state] or 0) + row.n
  end
  return stages, total
end

--- Where a run stands: see Journal:status.
function M.status(journal, run_id)
  return journal:look(function(db)
    local row = journal:lock_run(db, run_id)
    local stages, ops = count_ops(db, run_id)
    return { run = decode(row, { "options" }), stages = stages, ops = ops,
      plan = decode(must(db:one("SELECT * FROM plan WHERE plan_id = ?", row.plan_id)), { "params", "summary" }),
      subjects = count_subjects(db, run_id),
      workers = must(db:all("SELECT * FROM worker WHERE run_id = ? AND state = 'alive' ORDER BY started_at", run_id)),
      next_due_at = must(db:one([[SELECT min(due_at) AS at FROM subject WHERE run_id = ?
        AND state IN ('ready','waiting')]], run_id)).at }
  end)
end

return M
