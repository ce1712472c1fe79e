--- The way back under attack: appliers that are killed, answers that are lost, reads that lag behind. Judged by what
--- Graph says of the people before and after.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local journals = require "msgraph.offboard.journal"
local leavers = require "spec.support.leavers"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local restore = require "msgraph.offboard.restore"
local spec = require "msgraph.sim.spec"
local verify = require "msgraph.offboard.verify"

local APPLIER <const> = "spec/support/applier.lua"
local files = 0

local function start(opts)
  local t = spec.start { users = 60, seed = 1, start = os.time(), latency = 0.02, read_lag = opts and opts.read_lag }
  t.env = program.env_of(t.tenant, t.tenant:token { scopes = spec.permissions(), expires_in = 1e9 })
  files = files + 1
  t.base = ("%s/way_back%d"):format(helper.tmp(), files)
  t.journal = t.base .. ".journal"
  t.people = leavers.people(t.tenant, 6, { synced = false })
  return t
end

local function workflow()
  local a, wf = ob.actions, ob.workflow { name = "spec", version = 1, protect = {} }
  wf:stage("contain", { a.account.disable, a.entra_devices.disable })
  wf:stage("reclaim", { a.groups.leave_all { transfer_sole_ownership_to = "grace@contoso.com" },
    a.app_roles.remove_all, a.grants.remove_all, a.licenses.remove_all { via = { "direct" } } })
  return wf
end

local function save(plan, path)
  assert(ob.approve(plan, "spec"))
  assert(ob.save_plan(plan, path))
  return path
end

local function applier(t, ...) return { helper.LUA, APPLIER, ... }, t.env end

local function way_back(t)
  local journal <close> = assert(journals.open(t.journal))
  return assert(restore.plan { client = t.client, journal = journal, run_id = journal:runs()[1].run_id })
end

-- What would be done to everybody who is as he was.
local function to_do(t)
  local out = {}
  for i, subject in ipairs(t:plan(workflow(), t.people).body.subjects) do
    out[i] = {}
    for j, op in ipairs(subject.ops) do out[i][j] = op.label end
    table.sort(out[i])
  end
  return out
end

local function kill(process)
  helper.sh("kill -KILL " .. process.pid)
  process.pipe:close()
  process.pipe = nil
end

local function writes(t)
  local n = 0
  for _, entry in ipairs(t.tenant:requests()) do n = n + #entry.actions end
  return n
end

-- Kills whoever is at work once so much has been done, twice (after three deaths a person is left to a person), then
-- lets the third come to its end.
local function finish_killed(t, words)
  for _ = 1, 2 do
    local seen = writes(t)
    local process = program.start(words, t.env)
    program.await(function() return writes(t) >= seen + 6 end)
    kill(process)
    words = applier(t, "resume", "--journal", t.journal)
  end
  local ended = program.run(words, t.env)
  assert(ended.code == 0 or ended.code == 21, ended.err)
end

local function check(t, mode)
  local journal <close> = assert(journals.open(t.journal))
  local run = journal:runs()[1]
  assert.equal(mode, run.mode)
  assert.equal("done", run.state)
  assert.truthy(journal:verify_events(run.run_id))
  for _, item in ipairs(graph.run(verify.run, { client = t.client, journal = journal, run_id = run.run_id })) do
    assert.equal("verified", item.found, item.op.op_key .. " is " .. item.op.state)
  end
end

describe("the way back", function()
  it("is whole though it is killed again and again, and lost answers are no lies", function()
    local t <close> = start()
    local before = to_do(t)
    save(t:plan(workflow(), t.people), t.base .. ".plan")
    local applied = program.run(applier(t, "apply", t.base .. ".plan"))
    assert(applied.code == 0 or applied.code == 21, applied.err)
    assert.not_same(before, to_do(t))
    save(way_back(t), t.base .. ".back.plan")
    t.tenant:fault { kind = "reset_after", method = "POST", path = "[^h]$", share = 0.1, times = math.huge }
    finish_killed(t, applier(t, "apply", t.base .. ".back.plan"))
    t.tenant:clear_faults()
    check(t, "restore")
    assert.same(before, to_do(t))
  end)

  it("is whole though reads lag behind: what is there already is not given twice", function()
    local t <close> = start { read_lag = 2 }
    local before = to_do(t)
    save(t:plan(workflow(), t.people), t.base .. ".plan")
    program.run(applier(t, "apply", t.base .. ".plan"))
    t.tenant:advance(5)
    save(way_back(t), t.base .. ".back.plan")
    t.tenant:fault { kind = "reset_after", method = "POST", path = "[^h]$", share = 0.3, times = math.huge }
    local ended = program.run(applier(t, "apply", t.base .. ".back.plan"))
    assert(ended.code == 0 or ended.code == 21, ended.err)
    t.tenant:clear_faults()
    t.tenant:advance(5)
    check(t, "restore")
    assert.same(before, to_do(t))
  end)

  it("may begin when the run it undoes was killed: what that one had under way is undone where it was done", function()
    local t <close> = start()
    local before = to_do(t)
    save(t:plan(workflow(), t.people), t.base .. ".plan")
    local process = program.start(applier(t, "apply", t.base .. ".plan"))
    program.await(function() return writes(t) >= 20 end)
    kill(process)
    local ended = program.run(applier(t, "apply", save(way_back(t), t.base .. ".back.plan")))
    assert(ended.code == 0 or ended.code == 21, ended.err)
    check(t, "restore")
    assert.same(before, to_do(t))
    local journal <close> = assert(journals.open(t.journal))
    local run = journal:runs()[2]
    assert.equal("done", run.state)
    assert.same({}, { journal:status(run.run_id).ops.planned, journal:status(run.run_id).ops.intent })
  end)

  it("waits for whoever is at work on the run it undoes", function()
    local t <close> = start()
    save(t:plan(workflow(), t.people), t.base .. ".plan")
    t.tenant:fault { kind = "latency", seconds = 0.3, times = math.huge, method = "PATCH" }
    local process <close> = program.start(applier(t, "apply", t.base .. ".plan"))
    program.await(function() return writes(t) >= 2 end)
    local ended = program.run(applier(t, "apply", save(way_back(t), t.base .. ".back.plan")))
    assert.equal(75, ended.code, ended.err)
    assert.matches("is claimed by worker", ended.err)
    process:interrupt()
    process:wait()
  end)
end)
