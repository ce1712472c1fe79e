--- The journal under kills and stops: several processes at work on one run, and the tenant's own record of what it
--- did. MSGRAPH_TORTURE_OPS=2000 for the long form, MSGRAPH_TORTURE_SEED for another one.
local helper = require "spec.support.helper"
local journal = require "msgraph.offboard.journal"
local store = require "msgraph.store"
local uv = require "luv"

local WORKER = helper.ROOT .. "spec/support/journal_worker.lua"
local SEED = tonumber(os.getenv "MSGRAPH_TORTURE_SEED") or 1
local OPS = tonumber(os.getenv "MSGRAPH_TORTURE_OPS") or 160
local AT_ONCE = 4
local LIMIT = 120 -- seconds, and one for each ten operations: a run that hangs ends

local KINDS = {
  { action = "disable", effect = "converge" },
  { action = "retire", effect = "command" },
  { action = "mail", effect = "once" },
  { action = "blind", effect = "once" },
}

local function subjects(n)
  local list = {}
  for i = 1, n do
    local ops = {}
    for k, kind in ipairs(KINDS) do
      ops[k] = { op_key = kind.action, action = kind.action, target_id = "t", effect = kind.effect, danger = "safe" }
    end
    list[i] = { object_id = "id-" .. i, label = "User " .. i, ops = ops }
  end
  return list
end

local runs = 0

local function new_run(people)
  runs = runs + 1
  local path = ("%s/torture%d.db"):format(helper.tmp(), runs)
  local j = assert(journal.open(path))
  local plan = assert(j:add_plan { tenant_id = "t", workflow_name = "w", workflow_hash = "w", plan_hash = "p",
    created_by = "spec", expires_at = 1 << 50 })
  local run = assert(j:start_run { plan_id = plan, mode = "apply", actor = "spec", subjects = subjects(people) })
  helper.write_file(path .. ".graph", "")
  return { j = j, run = run, path = path, graph = path .. ".graph" }
end

-- ---- processes ------------------------------------------------------------------------------------------

local function start(t, seed, faults)
  local child = {}
  local handle, pid = uv.spawn(helper.LUA, { args = { WORKER, t.path, t.run, t.graph, tostring(seed), faults },
    stdio = { nil, nil, 2 } }, function(code, signal) child.code, child.signal = code, signal end)
  child.handle, child.pid = assert(handle, pid), pid
  return child
end

local function wait(child)
  while not child.code do uv.run "once" end
  child.handle:close()
  uv.run "nowait"
  return child.signal == 0 and child.code or -child.signal
end

local function is_stopped(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  local text = file and file:read "a" or ""
  if file then file:close() end
  return text:match "%) (%a)" == "T"
end

-- ---- what must hold ---------------------------------------------------------------------------------------

-- The tenant's record: per operation how often it took effect, and each request's id.
local function record(t)
  local effects, ids = {}, {}
  for line in io.lines(t.graph) do
    local id, key = line:match "^(%S+) (%S+) %d+$"
    assert.is_nil(ids[id], "a request was sent twice: " .. line)
    ids[id], effects[key] = true, (effects[key] or 0) + 1
  end
  return effects, ids
end

local SETTLED = { changed = true, verified = true, needs_human = true }

-- Judges an operation by what the tenant did.
local function judge(op, times)
  local what = ("%s of subject %d is %s, and took effect %d times"):format(op.op_key, op.subj, op.state, times)
  assert.is_true(SETTLED[op.state], what) -- none lost
  if op.state ~= "needs_human" then assert.is_true(times >= 1, what) end -- none reported done that was not
  if op.effect ~= "converge" then assert.is_true(times <= 1, what) end -- none twice
  if op.state == "needs_human" then assert.equal("blind", op.action, what) end
end

local function check(t, people)
  local effects, ids = record(t)
  local count, human, written = 0, 0, {}
  for s in t.j:subjects(t.run) do
    for _, op in ipairs(s.ops) do
      judge(op, effects[s.subj .. "/" .. op.op] or 0)
      count, human = count + 1, human + (op.state == "needs_human" and 1 or 0)
    end
    for _, attempt in ipairs(assert(t.j:attempts(t.run, s.subj))) do written[attempt.client_request_id] = true end
  end
  for id in pairs(ids) do assert.is_true(written[id], "sent and not written: " .. id) end
  assert.equal(people * #KINDS, count)
  assert(t.j:verify_events(t.run))
  return human
end

-- ---- the specs ---------------------------------------------------------------------------------------------

describe("a worker killed at boundary", function()
  -- what is known of a blind operation then: it is with a person, or was never sent, or is done
  for n, case in ipairs {
    { "1, before its intent is written", 0 }, { "2, after its intent is written", 1 }, { "3, while it sends", 1 },
    { "4, before the outcome is written", 1 }, { "5, after the outcome is written", 0 },
  } do
    it(case[1] .. ": its successor does all that is left, and nothing twice", function()
      local t = new_run(1)
      assert.equal(-9, wait(start(t, 1, "kill=" .. n)))
      assert.equal(0, wait(start(t, 1, "none")))
      assert.equal(case[2], check(t, 1))
      t.j:close()
    end)
  end
end)

describe("several workers, killed and stopped at random,", function()
  -- A worker may be killed anywhere; stopped ones go on after a while, long after others have taken over.
  local function disturb(child, now, tally)
    if is_stopped(child.pid) then
      child.wakes = child.wakes or now + math.random(200, 1800)
      if now >= child.wakes then
        tally.stops, child.wakes = tally.stops + 1, nil
        uv.kill(child.pid, "sigcont")
      end
    elseif math.random(400) == 1 then
      uv.kill(child.pid, "sigkill")
    end
  end

  -- People whose workers died too often: a person lets them go on.
  local function let_go_on(t)
    for s in t.j:subjects(t.run) do
      for _, op in ipairs(s.state == "needs_human" and s.ops or {}) do
        if op.state == "planned" or op.state == "unknown" or op.state == "submitted" then
          assert(t.j:resolve { run_id = t.run, subj = s.subj, as = "redo", actor = "spec" })
          break
        end
      end
    end
  end

  local function is_over(t)
    let_go_on(t)
    local people = assert(t.j:status(t.run)).subjects
    return not (people.ready or people.leased or people.waiting)
  end

  local function keep_busy(t, children, tally)
    local finished = is_over(t)
    for i = 1, AT_ONCE do
      local child = children[i]
      if child and child.code then
        tally.kills = tally.kills + (child.signal == 9 and 1 or 0)
        assert.is_true(child.signal == 9 or child.code == 0, ("a worker ended with %d"):format(child.code))
        child.handle:close()
        children[i], child = nil, nil
      end
      if child then disturb(child, uv.now(), tally) end
      if not child and not finished then
        tally.started = tally.started + 1
        children[i] = start(t, SEED * 1000 + tally.started, "random")
      end
    end
    return finished and next(children) == nil
  end

  local function take_overs(t)
    local n = 0
    for e in t.j:events(t.run) do n = n + (e.kind == "subject.taken_over" and 1 or 0) end
    return n
  end

  it("lose nothing, do nothing twice, and claim nothing that was not done", function()
    math.randomseed(SEED)
    local people = math.max(1, OPS // #KINDS)
    local t, children, tally = new_run(people), {}, { kills = 0, stops = 0, started = 0 }
    local deadline = store.boottime() + (LIMIT + OPS // 10) * 1000
    repeat
      uv.run "nowait"
      uv.sleep(10)
      local over = keep_busy(t, children, tally)
      assert.is_true(over or store.boottime() < deadline, "it does not end")
    until over
    uv.run "nowait" -- what was closed last
    local human = check(t, people)
    local taken = take_overs(t)
    if os.getenv "MSGRAPH_TORTURE_OPS" then
      print(("\n%d operations: %d kills, %d stops, %d takeovers, %d left to a person")
        :format(people * #KINDS, tally.kills, tally.stops, taken, human))
    end
    assert.is_true(tally.kills > 0 and taken > 0) -- else nothing was tried
    t.j:close()
  end)
end)
