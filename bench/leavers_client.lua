-- bench/leavers_client.lua - one process of bench/leavers.lua: plans leavers, or applies their plan.
--
--     lua5.4 bench/leavers_client.lua "plan"|"apply"|"resume" WORKFLOW BASE USERS ENDPOINT CA_FILE TOKEN
--
-- Reads BASE.csv and writes BASE.plan; reads that and writes BASE.journal; resolves what was left to people in it, and
-- goes on. Says what it took on standard output, name=value.
local core = require "msgraph.core"
local graph = require "msgraph"
local journals = require "msgraph.offboard.journal"
local limits = require "msgraph.sim.limits"
local ob = require "msgraph.offboard"
local start = require "msgraph.offboard.run".start
local task = require "msgraph.task"

local MARKS <const> = { 0.1, 0.5, 1 }
local LAST <const> = "reclaim" -- the stage that waits for people

local what, workflow, base, users, endpoint, ca_file, token = table.unpack(arg)

local function say(name, value) print(("%s=%s"):format(name, value)) end

local function resident()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmRSS:%s*(%d+)"
    if kib then return tonumber(kib) / 1024 end
  end
end

-- ---- what it takes ------------------------------------------------------------------------------

local in_journal, journal_cpu = 0, 0

-- Counts the time that is spent in the journal: its CPU, and by the clock, with all waits for the disk.
local function watch(journal)
  local class = getmetatable(journal).__index
  for _, name in ipairs { "transact", "look" } do
    local method = class[name]
    class[name] = function(...)
      local begun, cpu = core.now(), os.clock()
      local results = table.pack(method(...))
      in_journal, journal_cpu = in_journal + core.now() - begun, journal_cpu + os.clock() - cpu
      return table.unpack(results, 1, results.n)
    end
  end
end

-- Notes how large the process is when so much of the operations is done.
local function mark(total)
  local done, next_mark = 0, 1
  return function(kind)
    if kind == "op" then done = done + 1 end
    while MARKS[next_mark] and done >= MARKS[next_mark] * total do
      say(("mib_%d"):format(MARKS[next_mark] * 100), resident())
      next_mark = next_mark + 1
    end
  end
end

-- ---- what is done -------------------------------------------------------------------------------

local run = {}

function run.plan(client)
  local wf = assert(ob.load(workflow))
  wf.limits.subjects = math.maxinteger
  local plan = assert(ob.plan(wf, base .. ".csv", { client = client, params = { ticket = "INC4711" } }))
  assert(ob.approve(plan, "bench"))
  assert(ob.save_plan(plan, base .. ".plan"))
end

local REFUSED <const> = "SELECT count(*) AS n FROM attempt WHERE http_status = 429"

-- Works until nothing can be done any more, and says how long it took and what the limits allow for these.
local function work(client, journal, run_id, operations)
  local engine = assert(require "msgraph.offboard.apply".new { client = client, journal = journal, run_id = run_id,
    on = mark(#operations) })
  local refused = journal.db:one(REFUSED).n
  local least, limit = limits.least_seconds(operations, math.tointeger(users))
  watch(journal)
  local begun, cpu = core.now(), os.clock()
  assert(task.run(engine.run, engine))
  say("seconds", core.now() - begun)
  say("cpu", os.clock() - cpu)
  say("least", least)
  say("limit", limit:gsub(" ", "_"))
  say("journal", in_journal)
  say("journal_cpu", journal_cpu)
  say("refused", journal.db:one(REFUSED).n - refused)
end

local function request_of(op) return { method = op.desired.method, path = "/v1.0" .. op.desired.path, query = "" } end

-- Starts the run; how its plan got there is forgotten.
local function begin(journal)
  local plan, operations = assert(ob.load_plan(base .. ".plan")), {}
  for _, subject in ipairs(plan.body.subjects) do
    for _, op in ipairs(subject.ops) do
      if op.desired.method and op.stage ~= LAST then operations[#operations + 1] = request_of(op) end
    end
  end
  return assert(start(journal, plan, "bench")), operations
end

function run.apply(client)
  local journal <close> = assert(journals.open(base .. ".journal"))
  local run_id, operations = begin(journal)
  collectgarbage()
  work(client, journal, run_id, operations)
end

-- Says of all that was left to people that they have done it.
local function resolve(journal, run_id)
  local found, operations = {}, {}
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      if op.state == "needs_human" then found[#found + 1] = { subject.subj, op.op_key } end
      if op.state == "planned" then operations[#operations + 1] = request_of(op) end
    end
  end
  for _, item in ipairs(found) do
    assert(journal:resolve { run_id = run_id, subj = item[1], op_key = item[2], as = "done", note = "bench",
      actor = "bench" })
  end
  return operations
end

function run.resume(client)
  local journal <close> = assert(journals.open(base .. ".journal"))
  local run_id = assert(journal:runs())[1].run_id
  work(client, journal, run_id, resolve(journal, run_id))
end

local client <close> = assert(graph.connect { endpoint = endpoint, ca_file = ca_file, auth = graph.auth.token(token) })
local begun, cpu = core.now(), os.clock()
run[what](client)
if what == "plan" then
  say("seconds", core.now() - begun)
  say("cpu", os.clock() - cpu)
  say("mib_100", resident())
end
os.exit(true, true)
