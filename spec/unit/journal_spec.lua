--- Every transition of the journal, on a clock the spec turns. What several processes do to one under kills and
--- stops: spec/fault/journal_spec.lua.
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"
local journal = require "msgraph.offboard.journal"
local json = require "msgraph.json"
local states = require "msgraph.offboard.journal.states"
local store = require "msgraph.store"

local LEASE, GRACE, T_REQ, SKEW = journal.LEASE, journal.GRACE, journal.T_REQ, journal.SKEW
local NEVER = 1 << 50 -- Unix ms, far away
local files, now = 0, 0

local function clock() return now end

local function new_path()
  files = files + 1
  return ("%s/journal%d.db"):format(helper.tmp(), files)
end

local function open(path, opts)
  local all = { boottime = clock }
  for key, value in pairs(opts or {}) do all[key] = value end
  return assert(journal.open(path, all))
end

local function op(key, fields)
  local one = { op_key = key, action = key, target_id = "t", effect = "converge", danger = "safe" }
  for name, value in pairs(fields or {}) do one[name] = value end
  return one
end

local function person(i, ops)
  return { object_id = "id-" .. i, label = "User " .. i, ops = ops or { op "disable" } }
end

local function people(n, ops)
  local list = {}
  for i = 1, n do list[i] = person(i, ops) end
  return list
end

local function plan_of(j, hash)
  return assert(j:add_plan { tenant_id = "contoso", workflow_name = "leaver", workflow_hash = "w",
    plan_hash = hash or "p", created_by = "ada", expires_at = NEVER, params = { ticket = "INC1" } })
end

local function start(j, subjects, options, plan)
  return assert(j:start_run { plan_id = plan or plan_of(j), mode = "apply", actor = "ada", subjects = subjects,
    options = options })
end

local function refused(code, ok, err)
  assert.is_nil(ok)
  assert.equal(code, err.code, tostring(err))
  assert.is_string(err.hint)
  return err
end

-- A worker whose process died: the kernel has let go of its lock.
local function kill(worker)
  worker.presence:close()
end

-- A journal with a run of these subjects and a worker in it.
local function at_work(subjects, options)
  now = 1000000
  local j = open(new_path())
  local run = start(j, subjects, options)
  return j, run, assert(j:join(run))
end

local function intend(w, subj, number)
  return assert(w:intend { { subj = subj, op = number or 1, method = "PATCH", path = "/users/x" } })[1]
end

local function state_of(j, run, subj, number)
  for s in j:subjects(run) do
    if s.subj == subj then return s.ops[number or 1].state, s end
  end
end

describe("a journal", function()
  it("keeps a plan, once, and approvals of it as it is", function()
    local j <close> = open(new_path())
    local id = plan_of(j)
    assert.equal(id, plan_of(j))
    refused("plan_changed", j:add_plan { plan_id = id, tenant_id = "c", workflow_name = "l", workflow_hash = "w",
      plan_hash = "other", created_by = "ada", expires_at = NEVER })
    refused("plan_changed", j:approve(id, "other", "boss", "safe"))
    refused("unknown_id", j:approve("none", "p", "boss", "safe"))
    assert(j:approve(id, "p", "boss", "safe"))
    assert(j:approve(id, "p", "boss", "destructive"))
    local approvals = assert(j:approvals(id))
    assert.equal(1, #approvals)
    assert.equal("destructive", approvals[1].danger_max)
    assert.error_matches(function() j:approve(id, "p", "boss", "harmless") end, "no danger: harmless")
  end)

  it("does not approve or start what has expired", function()
    local j <close> = open(new_path())
    local id = assert(j:add_plan { tenant_id = "c", workflow_name = "l", workflow_hash = "w", plan_hash = "p",
      created_by = "ada", expires_at = store.now() - 1 })
    refused("plan_expired", j:approve(id, "p", "boss", "safe"))
    refused("plan_expired", j:start_run { plan_id = id, mode = "apply", actor = "ada", subjects = people(1) })
    refused("plan_expired", j:start_run { plan_id = id, mode = "restore", actor = "ada", subjects = people(1) })
    assert(j:start_run { plan_id = id, mode = "verify", actor = "ada", subjects = people(1) })
  end)

  it("starts nothing more dangerous than is approved, and then nothing of it", function()
    local j <close> = open(new_path())
    local id = plan_of(j)
    local subjects = { person(1), person(2, { op("wipe", { danger = "irreversible" }) }) }
    assert(j:approve(id, "p", "boss", "destructive"))
    local err = refused("not_approved", j:start_run { plan_id = id, mode = "apply", actor = "ada",
      subjects = subjects })
    assert.matches("irreversible operations, and is approved for destructive", err.message)
    assert.same({}, j:runs())
    assert(j:approve(id, "p", "boss", "irreversible"))
    start(j, subjects, nil, id)
  end)

  it("has nobody in two runs, and names who is", function()
    local j <close> = open(new_path())
    local run = start(j, people(2))
    local err = refused("active_elsewhere", j:start_run { plan_id = plan_of(j), mode = "apply", actor = "eve",
      subjects = { person(3), person(2), person(1) } })
    assert.same({ { object_id = "id-2", label = "User 2", run_id = run }, { object_id = "id-1", label = "User 1",
      run_id = run } }, err.subjects)
    refused("active_elsewhere", j:start_run { plan_id = plan_of(j), mode = "apply", actor = "eve",
      subjects = { person(4), person(4) } })
    assert.equal(1, #j:runs())
  end)

  it("takes people from a function, one at a time", function()
    local j <close> = open(new_path())
    local i = 0
    local run = start(j, function()
      i = i + 1
      return i <= 300 and person(i) or nil
    end)
    assert.equal(300, j:status(run).subjects.ready)
  end)

  it("keeps texts under their hash, once", function()
    local path, hashes = new_path(), {}
    local j <close> = open(path)
    start(j, function()
      local i = #hashes + 1
      hashes[i] = j:keep("snapshot", '{"a":"\0"}')
      return i <= 2 and person(i) or nil
    end)
    local db = assert(store.open(path))
    local kept = assert(db:all "SELECT sha, kind, body FROM blob")
    db:close()
    assert.same({ { sha = hashes[1], kind = "snapshot", body = '{"a":"\0"}' } }, kept)
    assert.equal(hashes[1], hashes[2])
  end)

  it("that is of a newer version, no journal, or not there is refused", function()
    local path = new_path()
    open(path):close()
    local db = assert(store.open(path))
    assert(db:exec "UPDATE meta SET v = '99' WHERE k = 'version'")
    db:close()
    local err = refused("journal_newer", journal.open(path))
    assert.matches("journal version 99, this one knows 1", err.message)
    refused("journal_newer", journal.open(path, { readonly = true }))
    local other = new_path()
    db = assert(store.open(other, { create = true }))
    assert(db:exec "CREATE TABLE t(a)")
    db:close()
    refused("journal", journal.open(other))
    refused("journal", journal.open(new_path(), { create = false }))
    refused("journal", journal.open(new_path(), { readonly = true }))
    helper.write_file(other, ("x"):rep(5000))
    refused("journal_damaged", journal.open(other))
  end)

  it("of an older version is brought up to date in one transaction, and only by who may write", function()
    local schema = require "msgraph.offboard.journal.schema"
    local path = new_path()
    open(path):close()
    schema.VERSION, schema.MIGRATIONS[1] = 2, function(db) assert(db:exec "ALTER TABLE run ADD COLUMN more TEXT") end
    finally(function() schema.VERSION, schema.MIGRATIONS[1] = 1, nil end)
    local err = refused("journal", journal.open(path, { readonly = true }))
    assert.matches("older msgraph", err.message)
    schema.MIGRATIONS[1] = function(db)
      assert(db:exec "ALTER TABLE run ADD COLUMN more TEXT")
      error "half way"
    end
    assert.error_matches(function() journal.open(path) end, "half way")
    schema.MIGRATIONS[1] = function(db) assert(db:exec "ALTER TABLE run ADD COLUMN more TEXT") end
    open(path):close()
    open(path, { readonly = true }):close()
  end)

  it("opened for reports is read while others write, and not written", function()
    local j, run, w = at_work(people(1))
    local reader <close> = open(j.path, { readonly = true })
    assert(w:claim())
    assert.equal(1, reader:status(run).subjects.leased)
    refused("journal_readonly", reader:drain(run, "x", "eve"))
    refused("unknown_id", reader:status "none")
    j:close()
  end)
end)

describe("claiming", function()
  it("gives each person to one worker, with their operations", function()
    local j, run, w = at_work(people(3, { op("disable", { guard = { a = 1 }, deps = { "x" }, inverse = { b = 2 } }) }))
    local other = assert(j:join(run))
    local mine, theirs = assert(w:claim(2)), assert(other:claim(9))
    assert.same({ 1, 2 }, { mine[1].subj, mine[2].subj })
    assert.equal(1, #theirs)
    assert.same({}, other:claim())
    local one = mine[1].ops[1]
    assert.same({ { a = 1 }, { "x" }, { b = 2 }, "planned" }, { one.guard, one.deps, one.inverse, one.state })
    assert.equal(1, mine[1].epoch)
    j:close()
  end)

  it("waits for the day that is due", function()
    local j, run, w = at_work(people(1))
    assert(w:claim())
    local due = store.now() + 3600000
    assert.is_nil(j:next_due(run, 0)) -- somebody is at work
    assert(w:release { { subj = 1, state = "waiting", due_at = due } })
    assert.same({}, w:claim())
    assert.equal(due, j:next_due(run, 0))
    assert.equal(due, j:status(run).next_due_at)
    j:close()
  end)

  it("keeps to the order of stages: nobody begins the next before all are there", function()
    local j, run, w = at_work(people(2, { op "a", op("b", { stage = 1 }) }))
    local other = assert(j:join(run))
    assert.equal(1, assert(w:claim())[1].subj)
    assert.equal(2, assert(other:claim())[1].subj)
    local a = intend(w, 1)
    assert(w:settle { { subj = 1, op = 1, n = a.n, state = "changed" } })
    assert(w:release { { subj = 1, state = "ready", stage = 1 } })
    assert.same({}, w:claim()) -- the other is still at stage 0
    assert(other:release { { subj = 2, state = "waiting", due_at = store.now() + 1000000 } })
    assert.equal(1, assert(w:claim(5))[1].subj) -- who waits for something outside holds nobody up
    j:close()
  end)

  it("reaches as far as the wave, and the next opens when all of it has settled", function()
    local j, run, w = at_work(people(8), { waves = { 1, "50%", 3 } })
    local function done(subj)
      local a = intend(w, subj)
      assert(w:settle { { subj = subj, op = 1, n = a.n, state = "changed" } })
      assert(w:release { { subj = subj, state = "done" } })
    end
    assert.equal(1, #w:claim(9))
    assert.equal(0, j:advance(run).wave)
    done(1)
    assert.equal(1, j:advance(run).wave)
    assert.equal(3, #w:claim(9))
    for subj = 2, 4 do done(subj) end
    local at = j:advance(run)
    assert.same({ 2, 2 }, { at.wave, at.last_wave })
    assert.equal(4, #w:claim(9))
    for subj = 5, 8 do done(subj) end
    assert.equal("done", j:advance(run).state)
    assert.same({ changed = 8 }, j:status(run).ops)
    j:close()
  end)
end)

describe("a lease", function()
  it("lets a request go only while it will be over in time, and is renewed for it", function()
    local j, _, w = at_work(people(1))
    assert.equal(journal.BEAT, w:beat_in())
    now = now + LEASE - T_REQ - SKEW
    assert.is_true(w:margin())
    assert.equal(0, w:beat_in())
    now = now + 1
    assert.is_true(w:margin()) -- by a heartbeat
    assert.equal(journal.BEAT, w:beat_in())
    assert.has_error(function() w:margin(T_REQ + 1) end)
    j:close()
  end)

  it("that ran out is good until somebody looks, then is lost for good", function()
    local j, run, w = at_work(people(1))
    assert(w:claim())
    now = now + LEASE + GRACE
    local other = assert(j:join(run))
    assert.same({}, other:claim()) -- not a moment before the grace is over
    now = now + 1
    local taken = assert(other:claim())
    assert.equal(2, taken[1].epoch)
    refused("lease_lost", w:margin(1))
    assert.is_true(w.lost)
    refused("lease_lost", w:heartbeat())
    refused("lease_lost", w:claim())
    refused("lease_lost", w:intend { { subj = 1, op = 1, method = "POST", path = "/" } })
    refused("lease_lost", w:release { { subj = 1, state = "done" } })
    j:close()
  end)

  it("of a process that died is taken over at once", function()
    local j, run, w = at_work(people(1))
    assert(w:claim())
    kill(w)
    assert.equal(2, assert(j:join(run)):claim()[1].epoch)
    j:close()
  end)

  it("of another start of the machine is over once this one is older than a request", function()
    local j, run, w = at_work(people(1, { op("retire", { effect = "command" }) }))
    assert(w:claim())
    intend(w, 1)
    now = GRACE -- after a restart, the clock begins anew
    local again <close> = open(j.path)
    again.boot_id = "00000000-0000-0000-0000-000000000001"
    local other = assert(again:join(run))
    assert.same({}, other:claim())
    now = now + 1
    local one = assert(other:claim())[1].ops[1]
    assert.same({ "unknown", T_REQ }, { one.state, one.over_at })
    j:close()
  end)

  it("does not move with the wall clock", function()
    local source = helper.read_file(helper.ROOT .. "lua/msgraph/offboard/journal/worker.lua")
    for line in source:gmatch "[^\n]*store%.now%(%)[^\n]*" do assert.is_nil(line:find("lease", 1, true), line) end
  end)

  it("is given back by leaving; what was under way is unknown then", function()
    local j, run, w = at_work(people(2))
    assert(w:claim(2))
    intend(w, 1)
    assert(w:leave())
    assert(w:leave())
    assert.equal("unknown", (state_of(j, run, 1)))
    assert.equal("planned", (state_of(j, run, 2)))
    assert.equal(2, #assert(j:join(run)):claim(9))
    assert.equal(1, #j:status(run).workers)
    j:close()
  end)

  it("whose holders die three times in a row leaves the person to a person", function()
    local j, run, w = at_work(people(1))
    assert(w:claim())
    for i = 1, 3 do
      kill(w)
      w = assert(j:join(run))
      assert.equal(i < 3 and 1 or 0, #w:claim())
    end
    assert.equal(1, j:status(run).subjects.needs_human)
    assert(j:resolve { run_id = run, subj = 1, as = "redo", actor = "ada" })
    local subject = assert(w:claim())[1]
    assert.equal(0, subject.takeovers)
    j:close()
  end)
end)

describe("an intent", function()
  it("is on the disk before it returns, with an id that is always the same", function()
    local j, run, w = at_work(people(1))
    assert(w:claim())
    local a = intend(w, 1)
    assert.same({ 1, 1, 1, now + T_REQ }, { a.subj, a.op, a.n, a.over_at })
    assert.equal(store.uuid(run, "1/1/1"), a.client_request_id)
    local db <close> = assert(store.open(j.path, { readonly = true })) -- what another process sees
    local row = assert(db:one "SELECT * FROM attempt")
    assert.same({ "PATCH", "/users/x", 1 }, { row.method, row.path, row.epoch })
    assert.is_nil(row.outcome)
    assert.equal("intent", db:one("SELECT state FROM op").state)
    j:close()
  end)

  it("is for what is planned, of who is claimed, in a run that is open; all of a tick or nothing", function()
    local j, run, w = at_work(people(2))
    assert(w:claim(2))
    intend(w, 1)
    assert.error_matches(function() w:intend { { subj = 2, op = 1, method = "P", path = "/" },
      { subj = 1, op = 1, method = "P", path = "/" } } end, "operation 1 of subject 1 is not planned")
    assert.equal("planned", (state_of(j, run, 2)))
    assert.error_matches(function() w:intend { { subj = 3, op = 1 } } end, "subject 3 is not claimed")
    assert(j:drain(run, "interrupted", "ada"))
    refused("draining", w:intend { { subj = 2, op = 1, method = "P", path = "/" } })
    j:close()
  end)
end)

describe("an outcome", function()
  it("moves its operation, with what is known of the answer", function()
    local j, run, w = at_work(people(1))
    assert(w:claim())
    local a = intend(w, 1)
    assert(w:settle { { subj = 1, op = 1, n = a.n, state = "changed", http_status = 204, graph_request_id = "r",
      evidence = { was = true } } })
    local state, subject = state_of(j, run, 1)
    assert.same({ "changed", { was = true }, "changed" }, { state, subject.ops[1].evidence, subject.ops[1].outcome })
    local attempt = j:attempts(run, 1)[1]
    assert.same({ 204, "r", 0 }, { attempt.http_status, attempt.graph_request_id, attempt.late })
    j:close()
  end)

  it("told twice counts once", function()
    local j, run, w = at_work(people(1))
    assert(w:claim())
    local a = intend(w, 1)
    local outcome = { subj = 1, op = 1, n = a.n, state = "changed" }
    assert(w:settle { outcome })
    local before = assert(j:verify_events(run)).count
    assert(w:settle { outcome })
    assert.equal(before, assert(j:verify_events(run)).count)
    assert(w:settle { { subj = 1, op = 1, state = "verified" } })
    j:close()
  end)

  it("that comes late is kept as evidence and moves nothing", function()
    local j, run, w = at_work(people(1, { op("retire", { effect = "command" }) }))
    assert(w:claim())
    local a = intend(w, 1)
    kill(w)
    local other = assert(j:join(run))
    assert.equal("unknown", assert(other:claim())[1].ops[1].state)
    refused("lease_lost", w:settle { { subj = 1, op = 1, n = a.n, state = "changed", http_status = 200 } })
    local state, subject = state_of(j, run, 1)
    assert.same({ "unknown", "changed", 1 }, { state, subject.ops[1].outcome, subject.ops[1].late })
    assert.error_matches(function() other:settle { { subj = 1, op = 1, state = "unchanged" } } end,
      "only a read can tell")
    assert(other:settle { { subj = 1, op = 1, state = "changed" } }) -- on that evidence
    j:close()
  end)

  it("of a list that is half one's own is written as far as it is, and says so", function()
    local j, run, w = at_work(people(2))
    assert(w:claim(2))
    local a, b = intend(w, 1), intend(w, 2)
    local db <close> = assert(store.open(j.path))
    assert(db:exec "UPDATE subject SET epoch = 9 WHERE subj = 2")
    refused("lease_lost", w:settle { { subj = 1, op = 1, n = a.n, state = "changed" },
      { subj = 2, op = 1, n = b.n, state = "changed" } })
    assert.equal("changed", (state_of(j, run, 1)))
    assert.equal("intent", (state_of(j, run, 2)))
    assert.equal(1, j:attempts(run, 2)[1].late)
    j:close()
  end)

  it("needs its attempt, and an attempt that was made", function()
    local j, _, w = at_work(people(1))
    assert(w:claim())
    intend(w, 1)
    assert.error_matches(function() w:settle { { subj = 1, op = 1, state = "changed" } } end, "needs its n")
    assert.error_matches(function() w:settle { { subj = 1, op = 1, n = 2, state = "changed" } } end, "not its last")
    assert.error_matches(function() w:settle { { subj = 1, op = 7, state = "changed" } } end, "no operation 7")
    assert.error_matches(function() w:settle { { subj = 1, op = 1, n = 1, state = "skipped" } } end,
      "can not become skipped")
    assert.equal("intent", assert(w.journal:read_op(w.journal.db, w.run_id, 1, 1)).state)
    j:close()
  end)
end)

describe("what may be sent again", function()
  local over = 5000
  -- state, effect, outcome, whether it may
  for _, case in ipairs {
    { "a converge whose answer was lost", "intent", "converge", {}, true },
    { "a command whose answer was lost", "intent", "command", { http_status = 500 }, false },
    { "a command that was throttled", "intent", "command", { http_status = 429 }, true },
    { "a command whose token was refused", "intent", "command", { http_status = 401 }, true },
    { "a command told to come back (503)", "intent", "command", { http_status = 503, retry_after_ms = 1000 }, true },
    { "a command failed with a bare 503", "intent", "command", { http_status = 503 }, false },
    { "a once told to come back (503)", "intent", "once", { http_status = 503, retry_after_ms = 1000 }, false },
    { "a once that was throttled", "intent", "once", { http_status = 429 }, true },
    { "a once that never left", "intent", "once", { sent = false }, true },
    { "an unknown converge nobody can tell of", "unknown", "converge", { probe = "cannot_tell", read_at = over },
      true },
    { "an unknown command that was not done", "unknown", "command", { probe = "no", read_at = over }, true },
    { "an unknown command read too early", "unknown", "command", { probe = "no", read_at = over - 1 }, false },
    { "an unknown command with no time of its read", "unknown", "command", { probe = "no" }, false },
    { "an unknown command nobody can tell of", "unknown", "command", { probe = "cannot_tell", read_at = over }, false },
    { "an unknown command that was done", "unknown", "command", { probe = "yes", read_at = over }, false },
    { "an unknown once whose probe is no authority", "unknown", "once", { probe = "no", read_at = over }, false },
    { "an unknown once whose probe is one", "unknown", "once", { probe = "no", read_at = over, authoritative = true },
      true },
    { "an unknown once nobody can tell of", "unknown", "once", { probe = "cannot_tell", read_at = over,
      authoritative = true }, false },
    { "an unknown, without a read", "unknown", "converge", {}, false },
    { "what waits for an approval", "needs_approval", "command", {}, true },
    { "what is changed", "changed", "converge", {}, false },
    { "what is submitted", "submitted", "command", {}, false },
    { "what is verified", "verified", "converge", {}, false },
    { "what failed", "failed", "converge", {}, false },
  } do
    it(("%s %s"):format(case[1], case[5] and "may" or "may not"), function()
      local outcome = { state = "planned" }
      for key, value in pairs(case[4]) do outcome[key] = value end
      local may, reason = states.may({ state = case[2], effect = case[3], over_at = over }, outcome)
      assert.equal(case[5] or nil, may)
      assert.equal(not case[5], type(reason) == "string")
    end)
  end

  it("and an unknown is called done only where a probe shows it", function()
    local unknown = { state = "unknown", effect = "command", over_at = over }
    assert.is_true(states.may(unknown, { state = "verified", probe = "yes" }))
    assert.is_nil(states.may(unknown, { state = "verified", probe = "pending" }))
    assert.is_nil(states.may(unknown, { state = "verified" }))
    assert.is_true(states.may(unknown, { state = "submitted", probe = "pending" }))
    assert.is_nil(states.may(unknown, { state = "changed" }))
    assert.is_true(states.may(unknown, { state = "needs_human" }))
  end)
end)

describe("giving back", function()
  it("refuses to hide anything", function()
    local j, _, w = at_work(people(1))
    assert(w:claim())
    local function release(state) return function() w:release { { subj = 1, state = state } } end end
    assert.error_matches(release "done", "1 of its operations: planned")
    local a = intend(w, 1)
    for state in pairs(states.RELEASE) do assert.error_matches(release(state), "1 of its operations: intent") end
    assert(w:settle { { subj = 1, op = 1, n = a.n, state = "unknown" } })
    assert.error_matches(release "failed", "1 of its operations: unknown")
    assert(w:settle { { subj = 1, op = 1, state = "failed" } })
    assert.error_matches(release "done", "1 of its operations: failed")
    assert.error_matches(release "leased", "no state to release in")
    assert(w:release { { subj = 1, state = "failed" } })
    assert.error_matches(release "failed", "not claimed")
    j:close()
  end)
end)

describe("halting", function()
  local function fail(w, subj, state)
    local a = intend(w, subj)
    assert(w:settle { { subj = subj, op = 1, n = a.n, state = state or "failed" } })
    assert(w:release { { subj = subj, state = state or "failed" } })
  end

  it("comes at the limit, drains what is under way, and ends", function()
    local j, run, w = at_work(people(10), { halt = { failed = "20%" } })
    assert(w:claim(10))
    fail(w, 1)
    assert.equal("open", j:advance(run).state)
    fail(w, 2)
    local at = assert(j:advance(run))
    assert.same({ "draining", "failed" }, { at.state, at.halt_reason })
    local list = {}
    for subj = 3, 10 do list[#list + 1] = { subj = subj, state = "ready" } end
    assert(w:release(list))
    assert.same({}, w:claim(9))
    assert.equal("halted", j:advance(run).state)
    assert.equal("failed", j:status(run).run.halt_reason)
    -- going on accepts those two
    assert(j:reopen(run, "ada"))
    assert.equal("open", j:advance(run).state)
    assert(w:claim(2))
    fail(w, 3)
    assert.equal("open", j:advance(run).state)
    fail(w, 4)
    assert.equal("halted", j:advance(run).state) -- nobody is at work
    j:close()
  end)

  it("counts people who need a person, and those of the first wave", function()
    local j, run, w = at_work(people(4), { halt = { needs_human = 1 } })
    assert(w:claim(1))
    fail(w, 1, "needs_human")
    assert.equal("needs_human", j:advance(run).halt_reason)
    j:close()
    j, run, w = at_work(people(100), { waves = { 2, "100%" }, halt = { first_wave_failed = 1, failed = 50 } })
    assert(w:claim(2))
    fail(w, 1)
    assert.equal("first_wave_failed", j:advance(run).halt_reason)
    j:close()
  end)

  it("does not wait for a worker that died", function()
    local j, run, w = at_work(people(1))
    assert(w:claim())
    assert(j:drain(run, "interrupted", "ada"))
    assert.equal("draining", j:advance(run).state)
    kill(w)
    local at = j:advance(run)
    assert.same({ "halted", "interrupted" }, { at.state, at.halt_reason })
    j:close()
  end)

  it("has limits that are numbers or shares", function()
    local j <close> = open(new_path())
    assert.error_matches(function() start(j, people(1), { halt = { failed = "many" } }) end,
      "a number or a percentage expected, got many")
    assert.error_matches(function() start(j, people(1), { waves = { -1 } }) end, "expected, got %-1")
  end)
end)

describe("a person's decision", function()
  local function stuck()
    local j, run, w = at_work(people(1, { op("mail", { effect = "once" }), op("after", { stage = 1 }) }))
    assert(w:claim())
    local a = intend(w, 1)
    assert(w:settle { { subj = 1, op = 1, n = a.n, state = "unknown" } })
    assert(w:settle { { subj = 1, op = 1, state = "needs_human", reason = "nobody can tell" } })
    local o = { run_id = run, subj = 1, op_key = "mail", actor = "grace", note = "saw it" }
    refused("in_use", j:resolve { run_id = run, subj = 1, op_key = "mail", as = "done", actor = "grace" })
    assert(w:release { { subj = 1, state = "needs_human" } })
    return j, run, w, o
  end

  for as, wanted in pairs { done = { "changed", 1 }, redo = { "planned", 0 }, skip = { "skipped", 1 } } do
    it(as .. " lets the person go on", function()
      local j, run, w, o = stuck()
      o.as = as
      assert(j:resolve(o))
      local state, subject = state_of(j, run, 1)
      assert.same({ wanted[1], "ready", wanted[2] }, { state, subject.state, subject.stage })
      assert.same({ by = "grace", note = "saw it" }, subject.ops[1].evidence)
      assert.equal(1, #w:claim())
      refused("in_use", j:resolve(o)) -- it is claimed
      j:close()
    end)
  end

  it("is about what there is, and opens a run that had ended", function()
    local j, run, w, o = stuck()
    assert.equal("done", j:advance(run).state)
    o.as = "redo"
    refused("unknown_id", j:resolve { run_id = run, subj = 1, op_key = "none", as = "redo", actor = "x" })
    refused("unknown_id", j:resolve { run_id = run, subj = 5, as = "redo", actor = "x" })
    refused("in_use", j:resolve { run_id = run, subj = 1, op_key = "after", as = "redo", actor = "x" })
    assert.has_error(function() j:resolve { run_id = run, subj = 1, as = "done", actor = "x" } end)
    local other = start(j, people(1))
    local err = refused("active_elsewhere", j:resolve(o))
    assert.equal(other, err.subjects[1].run_id)
    assert(assert(j:join(other)):claim()[1])
    assert(j:drain(other, "x", "x"))
    assert.is_truthy(w)
    j:close()
  end)

  it("does not cut short what a person waits for", function()
    local j, run, w = at_work(people(1, { op "a", op("b", { stage = 1 }) }))
    assert(w:claim())
    assert(w:settle { { subj = 1, op = 1, n = intend(w, 1).n, state = "changed" } })
    assert(w:release { { subj = 1, state = "waiting", stage = 1, due_at = NEVER } })
    refused("in_use", j:resolve { run_id = run, subj = 1, as = "redo", actor = "ada" })
    assert.equal(NEVER, j:status(run).next_due_at)
    j:close()
  end)

  it("skip of a person leaves what may have happened for somebody to look at", function()
    local j, run, w = at_work(people(1, { op "a", op "b" }))
    assert(w:claim())
    intend(w, 1)
    assert(w:leave())
    assert(j:resolve { run_id = run, subj = 1, as = "skip", actor = "ada" })
    assert.same({ needs_human = 1, skipped = 1 }, j:status(run).ops)
    assert.equal(1, j:status(run).subjects.needs_human)
    j:close()
  end)
end)

describe("what a read shows", function()
  local DONE = { op("mail", { state = "needs_human" }), op("retire", { effect = "command" }),
    op("late", { stage = 1 }) }

  local function submitted()
    local j, run, w = at_work(people(1, DONE))
    assert(w:claim())
    local a = intend(w, 1, 2)
    assert(w:settle { { subj = 1, op = 2, n = a.n, state = "submitted" } })
    return j, run, w
  end

  local function confirm(j, run, n) return j:confirm { run_id = run, actor = "ada", ops = { { subj = 1, op = n } } } end

  it("is verified from then on, once, with an event", function()
    local j, run, w = submitted()
    assert(w:release { { subj = 1, state = "waiting", stage = 1, due_at = NEVER } })
    assert.equal(1, confirm(j, run, 2))
    assert.equal(0, confirm(j, run, 2))
    local _, subject = state_of(j, run, 1)
    assert.same({ "verified", "waiting", NEVER }, { subject.ops[2].state, subject.state, subject.due_at })
    local last
    for e in j:events(run) do last = e end
    assert.same({ "op.verified", { op_key = "retire", from = "submitted", probe = "yes", actor = "ada" } },
      { last.kind, last.data })
    assert.truthy(j:verify_events(run))
    j:close()
  end)

  it("moves nothing of somebody who is being worked on", function()
    local j, run, w = submitted()
    assert.equal(0, confirm(j, run, 2))
    assert.equal("submitted", select(2, state_of(j, run, 1)).ops[2].state)
    assert(w:leave())
    j:close()
  end)

  it("lets those go on who waited for a person, unless they are in another run", function()
    for _, elsewhere in ipairs { false, true } do
      local j, run, w = submitted()
      assert(w:release { { subj = 1, state = "needs_human", stage = 1 } })
      assert.equal("done", j:advance(run).state)
      if elsewhere then start(j, people(1)) end
      assert.equal(1, confirm(j, run, 1))
      local _, subject = state_of(j, run, 1)
      assert.same({ "verified", elsewhere and "needs_human" or "ready", elsewhere and "done" or "open" },
        { subject.ops[1].state, subject.state, j:status(run).run.state })
      j:close()
    end
  end)

  it("is looked for again by a run that is resumed, of those who wait for it", function()
    for _, case in ipairs { { "needs_human", 0, "ready" }, { "needs_human", 3, "needs_human" },
      { "waiting", 0, "waiting" } } do
      local stages = { { name = "a" }, { name = "b", wait_for = "confirmed" } }
      local j, run, w = at_work(people(1, DONE), { stages = stages })
      assert(w:claim())
      assert(w:settle { { subj = 1, op = 2, state = "skipped" } })
      assert(w:release { { subj = 1, state = case[1], stage = 1, due_at = NEVER } })
      assert(j.db:exec("UPDATE subject SET takeovers = ?", case[2]))
      assert(j:advance(run))
      assert(j:reopen(run, "ada"))
      local _, subject = state_of(j, run, 1)
      assert.equal(case[3], subject.state)
      assert.equal(case[3] == "needs_human" and NEVER or 0, subject.due_at)
      assert.equal(case[3] == "needs_human" and "done" or "open", j:status(run).run.state)
      j:close()
    end
  end)

  it("is the only thing but a decision that settles what is a person's", function()
    local human = { state = "needs_human", effect = "once" }
    assert.is_true(states.may(human, { state = "verified", probe = "yes" }))
    assert.is_nil(states.may(human, { state = "verified", probe = "pending" }))
    assert.is_nil(states.may(human, { state = "planned", probe = "no" }))
  end)
end)

describe("the events of a run", function()
  local function journal_with_events()
    local j, run, w = at_work(people(3))
    assert(w:claim(3))
    for subj = 1, 3 do
      local a = intend(w, subj)
      assert(w:settle { { subj = subj, op = 1, n = a.n, state = "changed", http_status = 204 } })
    end
    return j, run
  end

  it("tell in order what happened, each bound to the one before", function()
    local j, run = journal_with_events()
    local kinds = {}
    for e in j:events(run) do kinds[#kinds + 1] = e.kind end
    assert.same({ "run.started", "worker.joined", "op.changed", "op.changed", "op.changed" }, kinds)
    local chain = assert(j:verify_events(run))
    assert.equal(5, chain.count)
    assert.matches("^%x+$", chain.hash)
    j:close()
  end)

  for name, sql in pairs {
    ["changed"] = [[UPDATE event SET data_json = replace(data_json, '204', '200') WHERE seq = 4]],
    ["taken out"] = "DELETE FROM event WHERE seq = 4",
    ["of another time"] = "UPDATE event SET at = at + 1 WHERE seq = 4",
    ["forged with a hash of its own"] = "UPDATE event SET kind = 'op.failed', hash = prev_hash WHERE seq = 4",
  } do
    it("show one that was " .. name, function()
      local j, run = journal_with_events()
      local db <close> = assert(store.open(j.path))
      assert.equal(1, db:exec(sql))
      local err = refused("journal_damaged", j:verify_events(run))
      assert.matches("event 4 is", err.message)
      j:close()
    end)
  end
end)

describe("a disk that is full", function()
  -- As if it were: no page more than there are. What a real one does is below.
  local function fill_up(j)
    assert(j.db:one "PRAGMA wal_checkpoint(TRUNCATE)")
    assert(j.db:one(("PRAGMA max_page_count = %d"):format(j.db:one("PRAGMA page_count").page_count)))
  end

  local function make_room(j) assert(j.db:one "PRAGMA max_page_count = 1073741823") end

  local function full(subjects)
    local j, run, w = at_work(people(subjects))
    assert(w:claim(subjects))
    local list, outcomes = {}, {}
    for subj = 1, subjects do list[subj] = { subj = subj, op = 1, method = "PATCH", path = "/" } end
    for i, a in ipairs(assert(w:intend(list))) do
      outcomes[i] = { subj = a.subj, op = 1, n = a.n, state = "changed", http_status = 204, reason = ("r"):rep(300) }
    end
    fill_up(j)
    return j, run, w, outcomes
  end

  it("leaves outcomes in a file beside it, which is taken in once", function()
    local j, run, w, outcomes = full(20)
    local err = refused("journal_full", w:settle(outcomes))
    assert.equal(j.path .. "-emergency-" .. w.id .. ".jsonl", err.emergency)
    assert.matches("^20 outcomes are in .*%.jsonl: make room, then take them in$", err.hint)
    refused("journal_full", w:settle(outcomes)) -- again: the lines are there twice
    make_room(j)
    refused("in_use", j:take_in(err.emergency)) -- the worker could still write to it
    kill(w)
    assert.same({ err.emergency }, j:emergencies(run))
    local copy = helper.read_file(err.emergency)
    assert.equal(20, j:take_in(err.emergency))
    assert.same({ changed = 20 }, j:status(run).ops)
    assert.same({}, j:emergencies(run))
    helper.write_file(err.emergency, copy) -- as after a kill between the commit and the removal
    assert.equal(0, j:take_in(err.emergency))
    refused("unknown_id", j:take_in(err.emergency))
    assert(j:verify_events(run))
    j:close()
  end)

  it("and a file that broke off, or comes after a takeover: evidence, no more", function()
    local j, run, w, outcomes = full(20)
    local err = refused("journal_full", w:settle(outcomes))
    make_room(j)
    kill(w)
    assert.equal(20, #assert(j:join(run)):claim(20))
    local text = helper.read_file(err.emergency)
    helper.write_file(err.emergency, text:sub(1, -20) .. text)
    assert.equal(20, j:take_in(err.emergency))
    assert.same({ unknown = 20 }, j:status(run).ops)
    assert.equal(1, j:attempts(run, 1)[1].late)
    j:close()
  end)

  it("of another journal is refused whole", function()
    local j, _, w, outcomes = full(20)
    local err = refused("journal_full", w:settle(outcomes))
    local other <close> = open(new_path())
    refused("journal_damaged", other:take_in(err.emergency))
    assert.is_truthy(helper.read_file(err.emergency))
    j:close()
  end)

  it("for real: the file has the room that was kept", function()
    local folder, unmount <close> = disk.mount "1m"
    if not folder then return pending "no file system may be mounted here" end
    assert.is_truthy(unmount)
    now = 1000000
    local j = open(folder .. "/journal.db")
    local run = start(j, people(30))
    local w = assert(j:join(run))
    assert(w:claim(30))
    local outcomes = {}
    for subj = 1, 30 do
      local a = intend(w, subj)
      outcomes[subj] = { subj = subj, op = 1, n = a.n, state = "changed", reason = ("r"):rep(300) }
    end
    store.append(folder .. "/fill", ("x"):rep(1 << 20))
    local err = refused("journal_full", w:settle(outcomes))
    assert.is_string(err.emergency)
    assert(os.remove(folder .. "/fill"))
    kill(w)
    assert.equal(30, j:take_in(err.emergency))
    assert.same({ changed = 30 }, j:status(run).ops)
    j:close()
  end)
end)

describe("a journal on a disk that can not be written", function()
  it("is read, and refuses the rest", function()
    local folder, unmount <close> = disk.mount "4m"
    if not folder then return pending "no file system may be mounted here" end
    assert.is_truthy(unmount)
    now = 1000000
    local j = open(folder .. "/journal.db")
    local run = start(j, people(2))
    j:close()
    helper.sh("mount -o remount,ro " .. folder)
    local reader <close> = open(folder .. "/journal.db", { readonly = true })
    assert.equal(2, reader:status(run).subjects.ready)
    refused("journal_readonly", journal.open(folder .. "/journal.db"))
    reader:close()
  end)
end)

describe("the journal's files", function()
  it("are private, and hold no more than was given", function()
    local j, run, w = at_work(people(1))
    for _, suffix in ipairs { "", "-wal", "-shm", "-alive", "-reserve" } do
      assert.equal("600\n", helper.sh("stat -c %a " .. j.path .. suffix), suffix)
    end
    assert.is_truthy(json.encode(assert(j:status(run))))
    assert(w:leave())
    j:close()
  end)
end)
