--- The way back from a run: judged by what Graph says of the people before and after.
local helper = require "spec.support.helper"
local journals = require "msgraph.offboard.journal"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local restore = require "msgraph.offboard.restore"
local spec = require "msgraph.sim.spec"

local ADA <const>, GRACE <const> = "ada@contoso.com", "grace@contoso.com"
local CONTAIN <const> = helper.ROOT .. "examples/contain.lua"

local files = 0

local function start()
  local t = spec.start { users = 60, seed = 1, start = os.time() }
  local scopes = spec.permissions()
  scopes[#scopes + 1] = "RoleManagement.ReadWrite.Directory" -- to be assigned again through PIM
  t.env = program.env_of(t.tenant, t.tenant:token { scopes = scopes, expires_in = 1e9 })
  files = files + 1
  t.base = ("%s/restore%d"):format(helper.tmp(), files)
  t.journal = t.base .. ".journal"
  return t
end

local function msgraph(t, ...) return program.run({ helper.LUA, "bin/msgraph", ... }, t.env) end

-- Everything that can be given back, of people who have it.
local function workflow()
  local a, wf = ob.actions, ob.workflow { name = "spec", version = 1, protect = {} }
  wf:stage("contain", { a.entra_devices.disable, a.roles.remove_all })
  wf:stage("reclaim", { a.groups.leave_all { transfer_sole_ownership_to = "grace@contoso.com" },
    a.app_roles.remove_all, a.grants.remove_all, a.licenses.remove_all { via = { "direct" } } })
  return wf
end

local function save(plan, path)
  assert(ob.approve(plan, "spec", plan.body.created_at))
  assert(ob.save_plan(plan, path))
  return path
end

-- Applies a workflow to people; its run ends as it may.
local function apply(t, wf, people)
  local plan = t:plan(wf, people)
  local ended = msgraph(t, "apply", save(plan, t.base .. ".plan"))
  assert(ended.code == 0 or ended.code == 21, ended.err)
  return plan
end

local function open(t) return assert(journals.open(t.journal)) end

-- The plan of the way back from the newest run that is none itself.
local function way_back(t, opts)
  local journal <close> = open(t)
  local o = { client = t.client, journal = journal }
  for _, run in ipairs(assert(journal:runs())) do o.run_id = o.run_id or run.mode == "apply" and run.run_id or nil end
  for name, value in pairs(opts or {}) do o[name] = value end
  return restore.plan(o)
end

local function bring_back(t, opts)
  local plan = assert(way_back(t, opts))
  return msgraph(t, "apply", save(plan, t.base .. ".back.plan")), plan
end

-- ---- comparing ----------------------------------------------------------------------------------

-- What does not stay the same when a thing is made again, or cannot be brought back.
local OTHER = { id = { role_assignments = true, eligible_roles = true, app_role_assignments = true } }

local function line_of(list_name, record)
  local parts = {}
  for name, value in pairs(record) do
    if not (OTHER[name] and OTHER[name][list_name]) then parts[#parts + 1] = name .. "=" .. tostring(value) end
  end
  table.sort(parts)
  return table.concat(parts, " ")
end

-- A snapshot's lists as sets of lines, and what the account says.
local function state_of(snapshot)
  local state = { enabled = snapshot.account.accountEnabled, licenses = {} }
  for _, license in ipairs(snapshot.account.licenseAssignmentStates or {}) do
    table.insert(state.licenses, license.skuId .. " " .. tostring(license.assignedByGroup))
  end
  table.sort(state.licenses)
  for name, list in pairs(snapshot) do
    if name ~= "account" and name ~= "auth_methods" and name ~= "active_roles" then
      state[name] = {}
      for i, record in ipairs(list) do
        record.groupTypes, record.displayName = nil, nil
        state[name][i] = line_of(name, record)
      end
      table.sort(state[name])
    end
  end
  return state
end

local function states(plan)
  local out = {}
  for _, subject in ipairs(plan.body.subjects) do out[subject.user_principal_name] = state_of(subject.snapshot) end
  return out
end

local function works(t, ...)
  local n = 0
  for _, entry in ipairs(t.tenant:requests(...)) do n = n + #entry.actions end
  return n
end

local function op_of(t, key)
  local journal <close> = open(t)
  for subject in journal:subjects(journal:runs()[1].run_id) do
    for _, op in ipairs(subject.ops) do
      if op.op_key:find(key, 1, true) then return op, ("%d.%d"):format(subject.subj, op.op) end
    end
  end
end

-- Ids of groups that a plan has somebody leave.
local function left_groups(subject)
  local ids = {}
  for _, op in ipairs(subject.ops) do
    local is_member = op.key == "reclaim/groups.leave_all/" .. op.target_id
    if is_member and not op.desired.hand_off then ids[#ids + 1] = op.target_id end
  end
  return ids
end

local function notes_of(plan, action)
  local out = {}
  for _, subject in ipairs(plan.body.subjects) do
    for _, note in ipairs(subject.notes) do
      if note.action == action then out[#out + 1] = note.why end
    end
  end
  return table.concat(out, "\n")
end

-- ---- specs --------------------------------------------------------------------------------------

describe("msgraph restore", function()
  it("brings a contained person back, lists what it can not, and has nothing to do the second time", function()
    local t <close> = start()
    local before = states(apply(t, CONTAIN, { ADA }))
    assert.is_false(states(t:plan(CONTAIN, { ADA }))[ADA].enabled)

    local planned = msgraph(t, "restore", "--journal", t.journal, "--user", ADA, "-o", t.base .. ".back.plan",
      "--detailed-exitcode")
    assert.equal(2, planned.code, planned.err)
    assert.matches("^Way back from run %S+ of contain: 1 person\n", planned.out)
    assert.matches("By hand: 2 tasks\n", planned.out)
    local shown = msgraph(t, "show", t.base .. ".back.plan").out
    for _, line in ipairs { "Undo: Block sign%-in", "End all sessions: whoever comes back signs in again",
      "undo: Set a random password %(not disclosed%) %(entra%): the old password is not known",
      "undo: Remove phone; Remove microsoftAuthenticator; .-%(entra%): it has to be registered again" } do
      assert.matches(line, shown)
    end
    assert.equal(24, msgraph(t, "apply", t.base .. ".back.plan").code) -- nobody has approved it
    assert.equal(0, msgraph(t, "approve", t.base .. ".back.plan", "--as", "Grace Hopper").code)
    local restored = msgraph(t, "apply", t.base .. ".back.plan") -- its journal is the run's
    assert.equal(21, restored.code, restored.err)
    assert.matches("human=2 failed=0", restored.out)
    assert.same(before, states(t:plan(CONTAIN, { ADA })))

    local writes = works(t)
    local again = msgraph(t, "restore", "--journal", t.journal, "-o", t.base .. ".again.plan", "--detailed-exitcode")
    assert.equal(0, again.code, again.err)
    assert.matches("To do: 0 operations\nBy hand: 0 tasks\n", again.out)
    assert.equal(64, msgraph(t, "apply", t.base .. ".back.plan").code)
    assert.equal(writes, works(t))
    assert.equal(0, msgraph(t, "verify", "--journal", t.journal).code)
  end)

  it("gives back groups, ownership, roles, apps, consents and licences, the last taken first", function()
    local t <close> = start()
    local people = { ADA, GRACE, "conan.o'brien@contoso.com" }
    local plan = apply(t, workflow(), people)
    local ended, back = bring_back(t)
    assert.truthy(ended.code == 0 or ended.code == 21, ended.err)
    assert.matches("failed=0", ended.out)
    assert.same(states(plan), states(t:plan(workflow(), people)))
    assert.same({ "reclaim", "contain" }, { back.body.stages[1].name, back.body.stages[2].name })
    assert.truthy(#states(plan)[GRACE].role_assignments > 0 and #states(plan)[GRACE].eligible_roles > 0)
    assert.matches("whoever is eligible activates it again", notes_of(back, "roles.remove_all"))
  end)

  it("takes a successor's ownership away only when the owner is one again", function()
    local t <close> = start()
    apply(t, workflow(), { ADA })
    local back = assert(way_back(t))
    local owner, successor
    for _, op in ipairs(back.body.subjects[1].ops) do
      if op.key:find("/successor/", 1, true) then successor = op end
    end
    for _, op in ipairs(back.body.subjects[1].ops) do
      if op.key:find("/owner/" .. successor.target_id, 1, true) then owner = op end
    end
    assert.same({ owner.key }, successor.deps)
    assert.equal("DELETE", successor.desired.method)
    assert.equal("POST", owner.desired.method)
  end)

  it("leaves alone what somebody has changed since, and says so", function()
    local t <close> = start()
    apply(t, workflow(), { ADA })
    assert(t.client:user(ADA):assign_licenses { { skuId = "efccb6f7-5641-4e0e-bd10-b4976e1bf68e" } })
    local back = assert(way_back(t))
    assert.matches("it is no longer as the run left it", notes_of(back, "licenses.remove_all"))
    for _, op in ipairs(back.body.subjects[1].ops) do assert.not_equal("licenses.remove_all", op.action) end
  end)

  it("looks again before it sends, when the plan is old", function()
    local t <close> = start()
    local plan = apply(t, workflow(), { ADA })
    local group = left_groups(plan:subject(ADA))[1]
    local old = assert(way_back(t, { now = os.time() - 3600 }))
    assert(t.client:group(group):add_member(plan:subject(ADA).id))
    local ended = msgraph(t, "apply", save(old, t.base .. ".back.plan"))
    assert.equal(21, ended.code, ended.err)
    assert.matches("drifted=1 ", ended.out)
    assert.equal("it is no longer as the run left it", op_of(t, group).reason)
    assert.same(states(plan), states(t:plan(workflow(), { ADA })))
  end)

  it("touches nothing of a person who was reinstated after the plan", function()
    local t <close> = start()
    apply(t, CONTAIN, { ADA })
    local old = assert(way_back(t, { now = os.time() - 3600 }))
    t.tenant:change_user(ADA, { accountEnabled = true })
    local writes = works(t)
    local ended = msgraph(t, "apply", save(old, t.base .. ".back.plan"))
    assert.equal(21, ended.code, ended.err)
    assert.matches("accountEnabled is not what it was", ended.err)
    assert.equal(writes, works(t))
  end)

  it("asks a person for a licence whose seat is gone, and goes on when there is one", function()
    local t <close> = start()
    local plan = apply(t, workflow(), { ADA })
    t.tenant:fault { kind = "status", status = 400, path = "/assignLicense$", times = math.huge,
      message = "Subscription with SKU 6fd2c87f-b296-42f0-b197-1e91e994b900 does not have any available licenses." }
    local ended = bring_back(t)
    assert.equal(21, ended.code, ended.err)
    local op, id = op_of(t, "licenses.remove_all")
    assert.equal("needs_human", op.state)
    assert.matches("no seat of it is free", op.reason)
    t.tenant:clear_faults()
    local run = ended.out:match "next: %S+ report (%S+)"
    assert.equal(0, msgraph(t, "resolve", run, id, "--journal", t.journal, "--as", "redo", "--note", "bought").code)
    msgraph(t, "resume", run, "--journal", t.journal)
    assert.same(states(plan), states(t:plan(workflow(), { ADA })))
  end)

  it("leaves what is gone to a person: before the plan, and after it", function()
    local t <close> = start()
    local groups = left_groups(apply(t, workflow(), { ADA }):subject(ADA))
    t.tenant:fault { kind = "status", status = 404, path = "/groups/" .. groups[1]:gsub("-", "%%-"), times = math.huge,
      message = "Resource does not exist." }
    local back = assert(way_back(t))
    local task
    for _, op in ipairs(back.body.subjects[1].ops) do
      if op.desired.hand_off and op.key:find(groups[1], 1, true) then task = op end
    end
    assert.equal("what it would be brought back to is gone", task.desired.hand_off.why)
    t.tenant:fault { kind = "status", status = 404, path = "/groups/" .. groups[2]:gsub("-", "%%-"), times = math.huge,
      message = "Resource does not exist." }
    local ended = msgraph(t, "apply", save(back, t.base .. ".back.plan"))
    assert.equal(21, ended.code, ended.err)
    assert.equal("needs_human", op_of(t, groups[2]).state)
  end)

  it("does nothing to whoever was deleted", function()
    local t <close> = start()
    apply(t, CONTAIN, { ADA })
    t.tenant:delete_user(ADA)
    local back = assert(way_back(t))
    assert.matches("the account is gone: within 30 days", back.body.subjects[1].refused)
    assert.equal(0, back.body.summary.operations)
  end)

  it("settles lost answers by reading: what was assigned again is known by what it says", function()
    local t <close> = start()
    local plan = apply(t, workflow(), { GRACE })
    local back = assert(way_back(t))
    t.tenant:fault { kind = "reset_after", method = "POST", path = "/role", times = math.huge }
    t.tenant:fault { kind = "reset_after", method = "POST", path = "/app", times = math.huge }
    local ended = msgraph(t, "apply", save(back, t.base .. ".back.plan"))
    t.tenant:clear_faults()
    assert.truthy(ended.code == 0 or ended.code == 21, ended.err)
    assert.matches("changed=%d+ unchanged=0 verified=[1-9]", ended.out)
    assert.same(states(plan), states(t:plan(workflow(), { GRACE })))
  end)

  it("ends what a run has left to do for a person", function()
    local t <close> = start()
    local a, wf = ob.actions, ob.workflow { name = "spec", version = 1, protect = {} }
    wf:stage("contain", { a.account.disable })
    wf:stage("reclaim", { wait = "30d" }, { a.groups.leave_all { transfer_sole_ownership_to = GRACE } })
    local plan = t:plan(wf, { ADA })
    assert.equal(75, msgraph(t, "apply", save(plan, t.base .. ".plan")).code)
    assert.equal(0, bring_back(t).code)
    assert.same(states(plan), states(t:plan(wf, { ADA })))
    local journal <close> = open(t)
    local run = journal:runs()[2]
    assert.same({ "apply", "done" }, { run.mode, run.state })
    assert.equal(0, journal:status(run.run_id).ops.planned or 0)
    assert.truthy(journal:verify_events(run.run_id))
  end)

  it("ends it as well for whoever waits for a person's work: that work, done later, takes nothing from him", function()
    local t <close> = start()
    local a, wf = ob.actions, ob.workflow { name = "spec", version = 1, protect = {} }
    wf:stage("contain", { a.account.disable })
    wf:stage("handover", { on_error = "skip-subject" }, { a.handoff.exchange { "convert-to-shared" } })
    wf:stage("reclaim", { a.licenses.remove_all { via = { "direct" } } })
    apply(t, wf, { ADA })
    local journal = open(t)
    local run_id = journal:runs()[1].run_id
    journal:close()
    bring_back(t)
    t.tenant:change_user(ADA, { mailboxPurpose = "shared" }) -- whom Exchange's people were too fast for
    assert.equal(21, msgraph(t, "verify", run_id, "--journal", t.journal).code)
    msgraph(t, "resume", run_id, "--journal", t.journal)
    for _, entry in ipairs(t.tenant:requests { method = "POST" }) do
      assert.is_nil(entry.path:find "/assignLicense$")
    end
    journal = open(t)
    local subject = journal:subjects(run_id)()
    assert.same({ "skipped", "skipped" }, { subject.state, subject.ops[#subject.ops].state })
    journal:close()
  end)

  it("makes nothing a second time, though two plans say so", function()
    local t <close> = start()
    local wf = ob.workflow { name = "spec", version = 1, protect = {} }
    wf:stage("handover", { ob.actions.mailbox.remove_rules })
    apply(t, wf, { ADA })
    local one, two = assert(way_back(t)), assert(way_back(t, { now = os.time() - 1 }))
    assert.equal("once", one.body.subjects[1].ops[1].effect)
    assert.equal(0, msgraph(t, "apply", save(one, t.base .. ".1.plan")).code)
    assert.matches("drifted=1 ", msgraph(t, "apply", save(two, t.base .. ".2.plan")).out)
    local made = 0
    for _, entry in ipairs(t.tenant:requests { method = "POST" }) do
      made = made + (entry.path:find "/messageRules$" and 1 or 0)
    end
    assert.equal(1, made)
  end)

  it("takes back what an own step patched, by what it patched", function()
    local t <close> = start()
    local file = t.base .. ".lua"
    helper.write_file(file, [[
local ob = require "msgraph.offboard"
local wf = ob.workflow { name = "step", version = 1, protect = {} }
wf:step("stamp", { effect = "converge", danger = "safe", plan = function(g, u)
  local now = g.get("/users/%s", u.id, { select = { "officeLocation", "jobTitle" } })
  return ob.patch { "/users/%s", u.id, body = { officeLocation = "LEFT", jobTitle = "LEFT" }, before = now }
end })
return wf]])
    local function office(who)
      return t.client:get("/users/" .. who, { select = { "officeLocation" } }).officeLocation
    end
    local was = office(ADA)
    apply(t, file, { ADA, GRACE })
    assert.equal("LEFT", office(ADA))
    t.tenant:change_user(GRACE, { officeLocation = "20/1" })
    local ended, back = bring_back(t)
    assert.equal(0, ended.code, ended.err)
    assert.equal(was, office(ADA))
    assert.equal("20/1", office(GRACE))
    assert.matches("no longer as the run left it", notes_of(back, "step"))
  end)

  it("takes back a part: --only, --except and --user", function()
    local t <close> = start()
    apply(t, workflow(), { ADA, GRACE })
    local back = assert(way_back(t, { only = { "user=" .. ADA, "stage=reclaim" },
      except = { "action=licenses.remove_all" } }))
    assert.equal(1, #back.body.subjects)
    local seen = {}
    for _, op in ipairs(back.body.subjects[1].ops) do seen[op.action] = true end
    assert.same({ ["groups.leave_all"] = true, ["app_roles.remove_all"] = true, ["grants.remove_all"] = true }, seen)
    assert.matches("\nOnly user=ada@contoso.com, stage=reclaim\nWithout action=licenses.remove_all\n", ob.show(back))
  end)

  for _, case in ipairs {
    { "somebody whom the run did nothing to", 64, "nobody in the list is that", { "--user", "x@contoso.com" } },
    { "a stage that is none", 64, "did you mean 'contain'", { "--only", "stage=contian" } },
    { "a run that is none", 64, "0 runs begin with", { "zzz" } },
  } do
    it(("ends with %d for %s"):format(case[2], case[1]), function()
      local t <close> = start()
      apply(t, CONTAIN, { ADA })
      local ended = msgraph(t, "restore", "--journal", t.journal, table.unpack(case[4]))
      assert.equal(case[2], ended.code, ended.err)
      assert.truthy(ended.err:find(case[3], 1, true), ended.err)
    end)
  end

  it("is applied into the journal of its run, and into no other", function()
    local t <close> = start()
    apply(t, CONTAIN, { ADA })
    local back = assert(way_back(t))
    assert(journals.open(t.base .. ".other")):close()
    local path = save(back, t.base .. ".back.plan")
    local ended = msgraph(t, "apply", path, "--journal", t.base .. ".other")
    assert.equal(64, ended.code, ended.err)
    assert.truthy(ended.err:find("there is no run " .. back.body.restore.run_id, 1, true), ended.err)
    assert.equal(64, msgraph(t, "apply", path, "--journal", t.base .. ".none").code)
    assert.equal(21, msgraph(t, "apply", path).code)
    local journal <close> = open(t)
    local _, err = way_back(t, { run_id = journal:runs()[1].run_id })
    assert.matches("is a restore itself", err.message)
  end)
end)
