--- A leaver workflow carried out against a simulated tenant, by the program as it ships: judged by the tenant's own
--- state and log.
local helper = require "spec.support.helper"
local journals = require "msgraph.offboard.journal"
local leavers = require "spec.support.leavers"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local spec = require "msgraph.sim.spec"

local files = 0

local function start(count)
  local t = spec.start { users = 60, seed = 1, start = os.time() }
  t.people = leavers.people(t.tenant, count or 3, { synced = false, accountEnabled = true })
  t.env = program.env_of(t.tenant, t.tenant:token { scopes = spec.permissions(), expires_in = 1e9 })
  files = files + 1
  t.base = ("%s/apply%d"):format(helper.tmp(), files)
  return t
end

local function workflow(limits)
  local a = ob.actions
  local wf = ob.workflow { name = "spec", version = 1, protect = {}, limits = limits }
  wf:stage("contain", { a.account.disable, a.password.randomize, a.sessions.revoke })
  wf:stage("devices", { a.intune.retire {} })
  wf:stage("reclaim", { a.groups.leave_all { transfer_sole_ownership_to = "grace@contoso.com" },
    a.licenses.remove_all })
  return wf
end

local function save(t, wf, opts)
  opts = opts or {}
  local plan, err = ob.plan(wf or workflow(), t.people, { client = t.client, now = opts.now })
  assert(plan, tostring(err))
  if opts.approve ~= false then assert(ob.approve(plan, "spec", opts.now)) end
  assert(ob.save_plan(plan, t.base .. ".plan"))
  return plan
end

local function msgraph(t, ...)
  return program.run({ helper.LUA, "bin/msgraph", ... }, t.env)
end

local function apply(t) return msgraph(t, "apply", t.base .. ".plan") end
local function resume(t) return msgraph(t, "resume", "--journal", t.base .. ".journal") end

local function writes(t)
  local n = 0
  for _, entry in ipairs(t.tenant:requests()) do
    if entry.method ~= "GET" and not entry.path:find "%$batch" then n = n + 1 end
  end
  return n
end

local function is_enabled(t, who)
  return t.tenant:users({ userPrincipalName = who })[1].accountEnabled
end

describe("msgraph apply", function()
  it("does what the plan says, once, and reports it", function()
    local t <close> = start()
    local plan = save(t)
    local result = apply(t)
    assert.equal(21, result.code, result.err) -- groups that a rule or Exchange decides about are a person's work
    assert.matches("\nnext: %S*msgraph handoffs %S+ %-%-journal %S+ %-%-out ", result.out)
    for _, who in ipairs(t.people) do assert.is_false(is_enabled(t, who)) end
    assert.equal(plan.body.summary.operations, writes(t))
    for what, times in pairs(leavers.acts(t.tenant)) do assert.equal(1, times, what) end
    assert.matches("failed=0", result.out)

    local before = writes(t)
    assert.equal(64, apply(t).code)
    assert.equal(21, resume(t).code)
    assert.equal(before, writes(t))
  end)

  it("writes no password down", function()
    local t <close> = start(1)
    save(t)
    apply(t)
    msgraph(t, "report", "--journal", t.base .. ".journal", "--out", t.base .. "-")
    for _, path in ipairs { ".journal", ".plan", "-ops.csv", "-events.jsonl", "-results.csv" } do
      local text = helper.read_file(t.base .. path)
      assert.is_nil(text:find('"password\\*"%s*:%s*\\*"'), path)
    end
  end)

  it("sends nothing that nobody approved, that has expired or that was changed", function()
    local t <close> = start(1)
    save(t, nil, { approve = false })
    assert.equal(24, apply(t).code)
    save(t, nil, { now = os.time() - 8 * 86400 })
    assert.equal(23, apply(t).code)
    save(t)
    helper.write_file(t.base .. ".plan", (helper.read_file(t.base .. ".plan"):gsub("disruptive", "safe")))
    assert.equal(23, apply(t).code)
    assert.equal(0, writes(t))
  end)

  it("leaves whoever is not what he was when it was planned alone", function()
    local t <close> = start(2)
    save(t, nil, { now = os.time() - 3600 })
    t.tenant:change_user(t.people[1], { accountEnabled = false })
    local result = apply(t)
    assert.equal(21, result.code, result.err)
    assert.matches("accountEnabled is not what it was", result.err)
    for _, entry in ipairs(t.tenant:requests { method = "PATCH" }) do
      assert.is_nil(entry.path:find(t.tenant:users({ userPrincipalName = t.people[1] })[1].id, 1, true))
    end
    assert.is_false(is_enabled(t, t.people[2]))
  end)

  it("waits for a second administrator, and resume asks again", function()
    local t <close> = start(1)
    save(t)
    t.tenant:fault { kind = "status", status = 403, path = "/retire$", times = math.huge,
      message = "This action needs Multi Admin Approval" }
    local result = apply(t)
    assert.equal(21, result.code, result.err)
    assert.is_nil(result.out:find "approval=0")
    t.tenant:clear_faults()
    result = resume(t)
    assert.matches("approval=0", result.out)
    for what, times in pairs(leavers.acts(t.tenant)) do assert.equal(1, times, what) end
    assert.matches("submitted=[1-9]", result.out)
  end)

  it("asks again for those it can, though somebody of them is in another run by now", function()
    local t <close> = start(2)
    t.tenant:fault { kind = "status", status = 403, path = "/retire$", times = math.huge,
      message = "This action needs Multi Admin Approval" }
    save(t)
    assert.equal(21, apply(t).code)
    t.tenant:clear_faults()
    local journal <close> = assert(journals.open(t.base .. ".journal"))
    local run = journal:runs()[1]
    local first = journal:subjects(run.run_id)()
    assert(journal:start_run { plan_id = run.plan_id, mode = "verify", actor = "spec", subjects = {
      { object_id = first.object_id, label = first.label, ops = { { op_key = "x", action = "x", target_id = "x",
        effect = "converge", danger = "safe" } } } } })
    local result = msgraph(t, "resume", run.run_id, "--journal", t.base .. ".journal")
    assert.equal(21, result.code, result.err)
    for subject in journal:subjects(run.run_id) do
      for _, op in ipairs(subject.subj == 2 and subject.ops or {}) do assert.not_equal("needs_approval", op.state) end
    end
  end)

  it("begins a stage that waits for days when it was to begin, however often an approval is asked for", function()
    local t <close> = start(1)
    local wf = ob.workflow { name = "spec", version = 1, protect = {} }
    wf:stage("devices", { ob.actions.intune.retire {} })
    wf:stage("reclaim", { wait = "30d" }, { ob.actions.licenses.remove_all { via = { "direct" } } })
    save(t, wf)
    t.tenant:fault { kind = "status", status = 403, path = "/retire$", times = math.huge,
      message = "This action needs Multi Admin Approval" }
    assert.equal(75, apply(t).code)
    local journal <close> = assert(journals.open(t.base .. ".journal", { readonly = true }))
    local run_id = journal:runs()[1].run_id
    local due_at = journal:status(run_id).next_due_at
    assert.truthy(due_at > os.time() * 1000)
    for _ = 1, 2 do
      assert.equal(75, resume(t).code)
      assert.same({ due_at, 1 }, { journal:status(run_id).next_due_at, journal:status(run_id).subjects.waiting })
    end
    t.tenant:clear_faults()
    assert.matches("submitted=[1-9]%d* .*approval=0 ", resume(t).out)
    assert.equal(due_at, journal:status(run_id).next_due_at)
  end)

  it("does not call a run done whose person is left because his workers died", function()
    local t <close> = start(1)
    local wf = ob.workflow { name = "spec", version = 1, protect = {} }
    wf:stage("contain", { ob.actions.account.disable })
    local plan = save(t, wf)
    local journal <close> = assert(journals.open(t.base .. ".journal"))
    local run_id = assert(require("msgraph.offboard.run").start(journal, plan, "spec"))
    for _ = 1, 3 do
      local worker = assert(journal:join(run_id))
      assert.equal(1, #worker:claim())
      worker.presence:close()
    end
    local result = resume(t)
    assert.equal(21, result.code, result.out)
    assert.matches("next: %S*msgraph report ", result.out)
    local report = msgraph(t, "report", "--journal", t.base .. ".journal")
    assert.matches("next: %S*msgraph resolve %S+ %-%-journal %S+ 1 %-%-as redo ", report.out)
    assert.equal(0, msgraph(t, "resolve", run_id, "1", "--journal", t.base .. ".journal", "--as", "redo", "--note",
      "mended").code)
    assert.equal(0, resume(t).code)
    assert.is_false(is_enabled(t, t.people[1]))
  end)

  it("halts when the first wave fails, before it touches the next", function()
    local t <close> = start(4)
    save(t, workflow { waves = { 1, "100%" }, halt = { first_wave_failed = 1 } })
    t.tenant:fault { kind = "status", status = 400, method = "PATCH", times = math.huge }
    local result = apply(t)
    assert.equal(22, result.code, result.err)
    for i = 2, 4 do assert.is_true(is_enabled(t, t.people[i])) end
    t.tenant:clear_faults()
    assert.equal(20, resume(t).code)
    for i = 2, 4 do assert.is_false(is_enabled(t, t.people[i])) end
  end)

  it("settles what was lost by reading, and is throttled without a failure", function()
    local t <close> = start(2)
    save(t)
    t.tenant:fault { kind = "reset_after", method = "PATCH", times = 1 }
    t.tenant:fault { kind = "reset_after", path = "/retire$", times = 1 }
    t.tenant:fault { kind = "status", status = 429, retry_after = 1, method = "DELETE", times = 1 }
    local result = apply(t)
    assert.equal(21, result.code, result.err)
    assert.matches("verified=1 ", result.out)
    assert.matches("failed=0", result.out)
    for what, times in pairs(leavers.acts(t.tenant)) do assert.equal(1, times, what) end
  end)

  it("lets nothing be written down for which the gate is shut, and others go on", function()
    local t <close> = start(4)
    local plan = save(t)
    t.tenant:fault { kind = "status", status = 429, retry_after = 3, path = "/retire$", times = 1 }
    local result = apply(t)
    assert.equal(21, result.code, result.err)
    assert.equal(1, #t.tenant:requests { status = 429 })
    local journal <close> = assert(journals.open(t.base .. ".journal", { readonly = true }))
    local run_id, attempts = journal:runs()[1].run_id, 0
    for subject in journal:subjects(run_id) do attempts = attempts + #journal:attempts(run_id, subject.subj) end
    assert.equal(plan.body.summary.operations + 1, attempts)
  end)

  it("waits with what depends on something that is throttled", function()
    local t <close> = start(1)
    local wf = ob.workflow { name = "spec", version = 1, protect = {} }
    wf:stage("contain", { ob.actions.auth_methods.remove_all })
    local plan = save(t, wf)
    local ops = plan.body.subjects[1].ops
    assert.truthy(ops[#ops].deps[1])
    t.tenant:fault { kind = "status", status = 429, retry_after = 3, method = "DELETE", times = 1 }
    local result = apply(t)
    assert.equal(0, result.code, result.err)
    assert.matches(("changed=%d "):format(plan.body.summary.operations), result.out)
  end)

  it("stops at Ctrl-C once what is under way has ended, and goes on from there", function()
    local t <close> = start(20)
    save(t)
    t.tenant:fault { kind = "latency", seconds = 0.3, times = math.huge, method = "PATCH" }
    local process <close> = program.start({ helper.LUA, "bin/msgraph", "apply", t.base .. ".plan" }, t.env)
    program.await(function() return #t.tenant:requests { method = "PATCH" } > 3 end)
    process:interrupt()
    local stopped = process:wait()
    assert.equal(75, stopped.code, stopped.err)
    assert.matches("next: %S*msgraph resume", stopped.out)
    assert.is_nil(stopped.out:find "unknown=")
    t.tenant:clear_faults()
    assert.equal(21, resume(t).code)
    for _, who in ipairs(t.people) do assert.is_false(is_enabled(t, who)) end
    for what, times in pairs(leavers.acts(t.tenant)) do assert.equal(1, times, what) end
  end)

  it("ends at once at Ctrl-C twice, and finds out from there what was under way", function()
    local t <close> = start(4)
    save(t)
    t.tenant:fault { kind = "latency", seconds = 60, times = 4, method = "PATCH" } -- it acts, and does not answer
    local process <close> = program.start({ helper.LUA, "bin/msgraph", "apply", t.base .. ".plan" }, t.env)
    program.await(function() return #t.tenant:requests { method = "PATCH" } == 4 end)
    process:interrupt()
    program.await(function() return select(2, process:output()):find "Ctrl%-C again" end)
    process:interrupt()
    local left = process:wait()
    assert.equal(130, left.code, left.err)
    assert.equal(4, writes(t))
    local command = left.err:match "\n  %S*msgraph (resume [^\n]+)\n"
    local resumed = program.shell(("%s bin/msgraph %s"):format(helper.LUA, command), t.env)
    assert.equal(21, resumed.code, resumed.err)
    assert.matches(" verified=4 .* failed=0", resumed.out)
    local disabled = 0
    for _, entry in ipairs(t.tenant:requests { method = "PATCH" }) do
      disabled = disabled + (entry.body_length == #'{"accountEnabled":false}' and 1 or 0)
    end
    assert.equal(4, disabled)
    for _, who in ipairs(t.people) do assert.is_false(is_enabled(t, who)) end
    for what, times in pairs(leavers.acts(t.tenant)) do assert.equal(1, times, what) end
  end)

  it("resolves what a person has done, and verifies what is so", function()
    local t <close> = start(1)
    save(t)
    apply(t)
    local report = msgraph(t, "report", "--journal", t.base .. ".journal").out
    local run, op = report:match "next: %S+ handoffs (%S+) ", report:match "\n  (%S+) +needs_human "
    assert.truthy(run and op, report)
    local resolved = msgraph(t, "resolve", run, op, "--journal", t.base .. ".journal", "--as", "done", "--note", "spec")
    assert.equal(0, resolved.code, resolved.err)
    assert.matches("^changed=", resolved.out)
    t.tenant:change_user(t.people[1], { accountEnabled = true })
    local verified = msgraph(t, "verify", "--journal", t.base .. ".journal")
    assert.equal(21, verified.code, verified.err)
    assert.matches("drifted +%S+ Block sign%-in", verified.out)
  end)
end)
