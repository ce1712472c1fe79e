-- lua/msgraph/offboard/journal/progress.lua
--- How far a run is, for people to watch: reads alone, of any run, by any process.
local failure = require "msgraph.offboard.journal.failure"
local json = require "msgraph.json"
local store = require "msgraph.store"
local workers = require "msgraph.offboard.journal.worker"

local M = {}

local must = failure.must

---@class msgraph.journal.Stage
---@field name string
---@field wait integer    seconds after the stages before it
---@field total integer   operations
---@field done integer    settled, by the program or by a person
---@field flying integer  sent, or about to be
---@field retrying integer refused or in the way of others, and to be sent again
---@field unknown integer to be found out by a read
---@field human integer   left to a person, approvals too
---@field failed integer
---@field held integer    waits until a person has seen to an earlier stage

---@class msgraph.journal.Progress
---@field run table
---@field now integer     Unix ms
---@field stages msgraph.journal.Stage[] those with operations, in order
---@field people integer
---@field settled_people integer with nothing left that the program can do now; of these wait for a person:
---@field waiting_people integer
---@field at_work integer processes
---@field due_at? integer Unix ms when the first goes on of those who wait for a moment
---@field retry_at? integer Unix ms when the first of what was refused is sent again
---@field throttled? boolean Graph asked for less
---@field trouble { label: string, what: string, state: string, reason: string? }[] since the
---   event given, the latest last
---@field seq integer     of the last event, to be given the next time

local FIELD = { intent = "flying", unknown = "unknown", needs_human = "human", needs_approval = "human",
  failed = "failed", changed = "done", unchanged = "done", verified = "done", submitted = "done", skipped = "done",
  drifted = "done" }

-- Who has work left for a person in a stage that later ones rest on gets nothing of those: `gate` is that stage.
local OPS = [[WITH gate AS (SELECT subj, min(stage) AS stage FROM op
    WHERE run_id = ? AND state IN ('needs_human','needs_approval') AND stage IN (%s) GROUP BY subj)
  SELECT o.stage, o.state, CASE WHEN o.attempts > 0 THEN 1 ELSE 0 END AS tried,
    CASE WHEN o.stage > g.stage THEN 1 ELSE 0 END AS held, count(*) AS n, min(o.next_at) AS next_at
  FROM op o LEFT JOIN gate g ON g.subj = o.subj WHERE o.run_id = ? GROUP BY 1, 2, 3, 4]]

local function gates_of(stages)
  local numbers = {}
  for i, stage in ipairs(stages) do
    if stage.on_error == "skip-subject" then numbers[#numbers + 1] = ("%d"):format(i - 1) end
  end
  return table.concat(numbers, ",")
end

-- What is under way with nobody at work was under way when its worker died.
local function field_of(row, at_work)
  if row.state == "intent" and at_work == 0 then return "unknown" end
  if row.state ~= "planned" then return FIELD[row.state] end
  if row.held == 1 then return "held" end
  return row.tried == 1 and "retrying" or nil
end

local function new_stage(about, n)
  return { name = about and about.name or tostring(n), wait = about and about.wait or 0, total = 0, done = 0,
    flying = 0, retrying = 0, unknown = 0, human = 0, failed = 0, held = 0 }
end

local function count_ops(db, found)
  local about, by_number = found.run.options.stages or {}, {}
  for _, row in ipairs(must(db:all(OPS:format(gates_of(about)), found.run.run_id, found.run.run_id))) do
    local stage = by_number[row.stage] or new_stage(about[row.stage + 1], row.stage)
    by_number[row.stage] = stage
    stage.total = stage.total + row.n
    local field = field_of(row, found.at_work)
    if field then stage[field] = stage[field] + row.n end
    if field == "retrying" then found.retry_at = math.min(found.retry_at or row.next_at, row.next_at) end
  end
  for n = 0, #about do found.stages[#found.stages + 1] = by_number[n] end
end

local THROTTLED = [[SELECT 1 AS yes FROM op o JOIN attempt a ON a.run_id = o.run_id AND a.subj = o.subj AND a.op = o.op
  AND a.n = o.attempts WHERE o.run_id = ? AND o.state = 'planned' AND o.attempts > 0 AND a.http_status = 429 LIMIT 1]]

local DUE = "SELECT min(due_at) AS due_at FROM subject WHERE run_id = ? AND state = 'ready' AND due_at > ?"
local SETTLED = { needs_human = true, done = true, failed = true, skipped = true }

local function count_people(db, found)
  for _, row in ipairs(must(db:all("SELECT state, count(*) AS n FROM subject WHERE run_id = ? GROUP BY state",
    found.run.run_id))) do
    found.people = found.people + row.n
    if SETTLED[row.state] then found.settled_people = found.settled_people + row.n end
    if row.state == "needs_human" then found.waiting_people = row.n end
  end
  found.due_at = must(db:one(DUE, found.run.run_id, found.now)).due_at
end

local TROUBLE = [[SELECT e.kind, e.data_json, s.label, o.op_key, o.desired_json
  FROM event e JOIN subject s ON s.run_id = e.run_id AND s.subj = e.subj
  JOIN op o ON o.run_id = e.run_id AND o.subj = e.subj AND o.op = e.op
  WHERE e.run_id = ? AND e.seq > ? AND e.seq <= ?
  AND e.kind IN ('op.failed','op.drifted','op.needs_human','op.needs_approval') ORDER BY e.seq]]

local function trouble_of(db, run_id, since, last)
  local list = {}
  for i, row in ipairs(since and must(db:all(TROUBLE, run_id, since, last)) or {}) do
    list[i] = { label = row.label, state = row.kind:sub(4), reason = json.decode(row.data_json).reason,
      what = json.decode(row.desired_json).label or row.op_key }
  end
  return list
end

local function at_work(db, journal, run_id)
  local n, now = 0, journal.clock()
  for _, w in ipairs(must(db:all("SELECT * FROM worker WHERE run_id = ? AND state = 'alive'", run_id))) do
    if not workers.is_dead(journal, w, now) then n = n + 1 end
  end
  return n
end

--- journal:progress
function M.of(journal, run_id, since)
  return journal:look(function(db)
    local run = journal:lock_run(db, run_id)
    run.options = json.decode(run.options_json)
    local last = must(db:one("SELECT coalesce(max(seq), 0) AS seq FROM event WHERE run_id = ?", run_id)).seq
    local found = { run = run, now = store.now(), stages = {}, people = 0, settled_people = 0, waiting_people = 0,
      seq = last, at_work = at_work(db, journal, run_id), trouble = trouble_of(db, run_id, since, last) }
    count_ops(db, found)
    count_people(db, found)
    found.throttled = found.retry_at and must(db:one(THROTTLED, run_id)) ~= nil or nil
    return found
  end)
end

return M
