--- What an operator's list, tenant, workflow, plan, journal and disk may hold that is not as it should be: each row of
--- the list that offboarding is held to, at the command line, where it would be met. `grep '"row: '` is the list.
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"
local leavers = require "spec.support.leavers"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local spec = require "msgraph.sim.spec"
local store = require "msgraph.store"

local ADA <const>, GRACE <const>, CONAN <const> = "ada@contoso.com", "grace@contoso.com", "conan.o'brien@contoso.com"
local GUEST <const> = "lin_example.com#EXT#@contoso.onmicrosoft.com"

local t, people

setup(function()
  t = spec.start { users = 120, seed = 1, start = os.time() }
  t.env = program.env_of(t.tenant, t.tenant:token { scopes = spec.permissions(), expires_in = 1e9 })
  people = leavers.people(t.tenant, 60, { synced = false, accountEnabled = true, admin = false })
end)

teardown(function() t:__close() end)

before_each(function() t.tenant:clear_faults() end)

-- Somebody whom no spec has touched.
local function somebody()
  local who = table.remove(people)
  return who, t.tenant:users({ userPrincipalName = who })[1].id
end

local files = 0

-- The path of a new file; written, where there is a text.
local function new_file(ending, text)
  files = files + 1
  local path = ("%s/row%d%s"):format(helper.tmp(), files, ending)
  if text then helper.write_file(path, text) end
  return path
end

-- The file of a workflow: its stages, and what ob.workflow is given besides.
local function workflow(stages, fields)
  return new_file(".lua", ([[
local ob <const> = require "msgraph.offboard"
local a <const> = ob.actions
local wf <const> = ob.workflow { name = "row", version = 1, %s }
%s
return wf
]]):format(fields or "protect = {}", stages or 'wf:stage("contain", { a.account.disable })'))
end

local TWO <const> = 'wf:stage("contain", { a.account.disable })\nwf:stage("later", { a.sessions.revoke })'

local function msgraph(...) return program.run({ helper.LUA, "bin/msgraph", ... }, t.env) end

-- A plan of a workflow for people, as `plan` and `approve` make it.
local function plan(file, ...)
  local path = new_file ".plan"
  local made = msgraph("plan", file, "-o", path, ...)
  if made.code == 0 then assert.equal(0, msgraph("approve", path, "--as", "spec").code) end
  return path, made
end

-- The same an hour ago: old enough for people to have changed since.
local function old_plan(file, who)
  local path = new_file ".plan"
  local made = assert(ob.plan(assert(ob.load(file)), who, { client = t.client, now = os.time() - 3600 }))
  assert(ob.approve(made, "spec"))
  assert(ob.save_plan(made, path))
  return path
end

local function journal_of(path) return (path:gsub("plan$", "journal")) end

-- The same program with its waits cut short.
local function applier(...) return program.run({ helper.LUA, "spec/support/applier.lua", ... }, t.env) end
local function resume(path) return applier("resume", "--journal", journal_of(path)) end

local function is_enabled(id) return t.tenant:users({ id = id })[1].accountEnabled end

-- What the tenant was asked to change since `from`, as "METHOD path".
local function writes(from)
  local out = {}
  for i, entry in ipairs(t.tenant:requests()) do
    if i > from and entry.method ~= "GET" and not entry.path:find "%$batch$" then
      out[#out + 1] = entry.method .. " " .. entry.path
    end
  end
  return out
end

local function now() return #t.tenant:requests() end

-- ---- who is meant ---------------------------------------------------------------------------------

for name, text in pairs {
  ["duplicate CSV rows in other case"] = "userPrincipalName\n%s\n%S\n",
  ["a CSV with a BOM"] = "\xEF\xBB\xBFuserPrincipalName\n%s\n",
  ["a CSV with semicolons"] = 'Name;userPrincipalName\n"Lovelace; A.";%s\n',
  ["a CSV with Windows line ends"] = "userPrincipalName,Name\r\n%s,A\r\n\r\n",
} do
  it("row: " .. name, function()
    local who, id = somebody()
    local csv = new_file(".csv", (text:gsub("%%s", who):gsub("%%S", who:upper())))
    local path, made = plan(workflow(), "--users", csv)
    assert.equal(0, made.code, made.err)
    assert.matches("^Plan of row, version 1: 1 person\n", made.out)
    assert.equal(name:find "duplicate" ~= nil, made.out:find "Named twice: .* again" ~= nil)
    local from = now()
    assert.equal(0, msgraph("apply", path).code)
    assert.same({ "PATCH /v1.0/users/" .. id }, writes(from))
  end)
end

it("row: an empty CSV", function()
  for _, text in ipairs { "", "\xEF\xBB\xBF\r\n", "userPrincipalName\n" } do
    local path, made = plan(workflow(), "--users", new_file(".csv", text))
    assert.equal(64, made.code, made.err)
    assert.truthy(made.err:find("it is empty", 1, true) or made.err:find("a header and no people", 1, true), made.err)
    assert.is_nil(io.open(path))
  end
end)

it("row: guests", function()
  local id = t.tenant:users({ userPrincipalName = GUEST })[1].id
  local path, made = plan(workflow(), "--user", GUEST:lower())
  assert.equal(0, made.code, made.err)
  local applied = msgraph("apply", path)
  assert.equal(0, applied.code, applied.err)
  assert.is_false(is_enabled(id))
end)

-- ---- what they are in -------------------------------------------------------------------------------

local LEAVE <const> = 'wf:stage("reclaim", { a.groups.leave_all { transfer_sole_ownership_to = "grace@contoso.com" } })'

local function groups_of(who)
  local names = {}
  for _, group in ipairs(assert(t.client:user(who):memberships())) do names[group.displayName] = true end
  return names
end

it("row: 101 groups, and nested and dynamic ones", function()
  t.tenant:add_groups(101)
  local before = groups_of(ADA)
  assert.is_true(before["Project 113"])
  local path, made = plan(workflow(LEAVE), "--user", ADA)
  assert.equal(0, made.code, made.err)
  local applied = msgraph("apply", path)
  assert.equal(21, applied.code, applied.err) -- what a rule, Exchange or Active Directory decides is a person's work
  assert.matches("failed=0", applied.out)
  assert.same({ ["Everyone in Berlin"] = true, Announcements = true, Finance = true, ["Corp File Servers"] = true },
    groups_of(ADA))
  local report = msgraph("report", "--journal", journal_of(path)).out
  assert.matches("Leave group Everyone in Berlin", report:gsub("leave group", "Leave group"))
end)

it("row: nested groups, as a list of people and as a protection", function()
  local path = plan(workflow(nil, 'protect = {}, subjects = ob.group "Product"'))
  local nested = assert(ob.load_plan(path)).body
  path = plan(workflow(nil, 'protect = {}, subjects = ob.group "Engineering"'))
  local direct = assert(ob.load_plan(path)).body
  assert.truthy(#direct.subjects > 5)
  assert.equal(#direct.subjects, #nested.subjects)
  for i, subject in ipairs(direct.subjects) do assert.equal(subject.id, nested.subjects[i].id) end
  path = plan(workflow(nil, 'protect = { ob.group "Product" }'), "--user", direct.subjects[1].id)
  assert.matches("refused: it is in the protected group Product", msgraph("show", path).out)
end)

-- ---- whom not -------------------------------------------------------------------------------------

-- Nothing is done to `who`, for a reason that is told; to somebody else in the same list it is.
local function is_spared(fields, who, reason)
  local other, id = somebody()
  local path, made = plan(workflow(nil, fields), "--user", who, "--user", other)
  assert.equal(0, made.code, made.err)
  assert.truthy(msgraph("show", path).out:find("refused: " .. reason, 1, true))
  local from = now()
  assert.equal(0, msgraph("apply", path).code)
  assert.same({ "PATCH /v1.0/users/" .. id }, writes(from))
end

it("row: an admin target", function()
  is_spared("protect = { ob.role_holders }", GRACE, "it holds a directory role")
  local id = t.tenant:users({ userPrincipalName = GRACE })[1].id -- and unprotected: Graph refuses, and that is told
  local applied = msgraph("apply", (plan(workflow(), "--user", GRACE)))
  assert.equal(20, applied.code, applied.err)
  assert.matches("failed +grace@contoso.com: Block sign%-in: %S+", applied.err)
  assert.matches("changed=0 .* failed=1", applied.out)
  assert.is_true(is_enabled(id))
end)

it("row: oneself", function()
  local mine = t.env.MSGRAPH_ACCESS_TOKEN
  t.env.MSGRAPH_ACCESS_TOKEN = t.tenant:token { kind = "delegated", scopes = spec.permissions(), user = GRACE,
    expires_in = 1e9 }
  finally(function() t.env.MSGRAPH_ACCESS_TOKEN = mine end)
  is_spared("", GRACE, "it is the account this plan is made with") -- without a word about it
end)

it("row: a break-glass account", function()
  is_spared(('protect = { ob.break_glass { %q } }'):format(CONAN:upper()), CONAN, "it is a break-glass account")
end)

-- ---- what changes between plan and apply ------------------------------------------------------------

it("row: a reinstated user, before the plan is applied", function()
  local who, id = somebody()
  t.tenant:change_user(who, { accountEnabled = false })
  local path = old_plan(workflow(TWO), { who })
  t.tenant:change_user(who, { accountEnabled = true })
  local from = now()
  local applied = msgraph("apply", path)
  assert.equal(21, applied.code, applied.err)
  assert.matches("drifted +%S+: End all sessions: accountEnabled is not what it was", applied.err)
  assert.same({}, writes(from))
  assert.is_true(is_enabled(id))
end)

-- Applies a plan until the first stage is done, and dies.
local function apply_and_die(path, at)
  t.env.MSGRAPH_SPEC_DIE = at
  local killed = applier("apply", path)
  t.env.MSGRAPH_SPEC_DIE = nil
  assert.equal(128 + 9, killed.code, killed.err)
end

it("row: a reinstated user, after the first stage", function()
  local who, id = somebody()
  local path = old_plan(workflow(TWO), { who })
  apply_and_die(path, "after-release contain/")
  assert.is_false(is_enabled(id))
  t.tenant:change_user(who, { accountEnabled = true })
  local from = now()
  local resumed = resume(path)
  assert.equal(21, resumed.code, resumed.err)
  assert.matches("changed=1 .* drifted=1 ", resumed.out)
  assert.same({}, writes(from))
  assert.is_true(is_enabled(id))
end)

it("row: a re-enrolled device", function()
  local who, id
  repeat who, id = somebody() until #t.tenant:devices { userId = id, managementState = "managed" } == 2
  local path = plan(workflow 'wf:stage("devices", { a.intune.retire })', "--user", who)
  local devices = t.tenant:devices { userId = id }
  t.tenant:enroll_device(devices[1].id)
  local applied = msgraph("apply", path)
  assert.equal(21, applied.code, applied.err)
  assert.matches("drifted +%S+: Retire [^\n]*enrolledDateTime is not what it was", applied.err)
  assert.equal("managed", t.tenant:devices({ id = devices[1].id })[1].managementState)
  assert.same({ ["retire " .. devices[2].id] = 1 }, leavers.acts(t.tenant))
end)

it("row: a renamed user", function()
  local who, id = somebody()
  local path = plan(workflow(TWO), "--user", who)
  t.tenant:change_user(who, { userPrincipalName = "married@contoso.com", displayName = "Somebody Else" })
  local applied = msgraph("apply", path)
  assert.equal(0, applied.code, applied.err)
  assert.is_false(is_enabled(id))
  local verified = msgraph("verify", "--journal", journal_of(path))
  assert.equal(0, verified.code, verified.err)
end)

it("row: a workflow edited between plan and resume", function()
  local who, id = somebody()
  local STEPS <const> = [[
wf:step("stamp", { effect = "once", danger = "safe",
  plan = function(_, user) return ob.patch { "/users/%%s", user.id, body = { officeLocation = "LEFT" } } end,
  probe = function() return %q end })
wf:step("after", { effect = "converge", danger = "safe",
  plan = function(_, user) return ob.patch { "/users/%%s", user.id, body = { jobTitle = %q } } end })]]
  local file = workflow(STEPS:format("no", "planned"))
  local path = plan(file, "--user", who)
  apply_and_die(path, "after-intent stamp/")
  helper.write_file(file, (helper.read_file(workflow(STEPS:format("yes", "edited")))))
  local resumed = resume(path)
  assert.equal(21, resumed.code, resumed.err) -- its new probe would have said that it was done
  assert.matches("needs human +%S+: PATCH ", resumed.err)
  local user = t.tenant:users({ id = id })[1]
  assert.equal("planned", user.jobTitle)
  assert.not_equal("LEFT", user.officeLocation)
end)

-- ---- plans and journals that do not fit -------------------------------------------------------------

it("row: an expired plan", function()
  local who = somebody()
  local path = new_file ".plan"
  local made = assert(ob.plan(assert(ob.load(workflow())), { who }, { client = t.client, now = os.time() - 8 * 86400 }))
  assert(ob.approve(made, "spec", os.time() - 8 * 86400))
  assert(ob.save_plan(made, path))
  local from = now()
  for _, verb in ipairs { "approve", "apply" } do
    local ended = msgraph(verb, path, verb == "approve" and "--as" or nil, verb == "approve" and "Grace" or nil)
    assert.equal(23, ended.code, ended.err)
    assert.matches("the plan expired at %d+%-%d+%-%d+ %d+:%d+ UTC: [^\n]*plan again", ended.err)
  end
  assert.same({}, writes(from))
end)

it("row: a tampered plan", function()
  local who = somebody()
  local path = plan(workflow(), "--user", who)
  helper.write_file(path, (helper.read_file(path):gsub("contain", "contaim")))
  local from = now()
  for _, verb in ipairs { "show", "apply" } do
    local ended = msgraph(verb, path)
    assert.equal(23, ended.code, ended.err)
    assert.matches("it was changed after it was made", ended.err)
  end
  assert.same({}, writes(from))
  assert.is_nil(io.open(journal_of(path)))
end)

it("row: a journal of a newer version", function()
  local who = somebody()
  local path = plan(workflow(TWO), "--user", who)
  apply_and_die(path, "after-release contain/")
  local db <close> = assert(store.open(journal_of(path)))
  assert(db:exec "UPDATE meta SET v = '99' WHERE k = 'version'")
  local from = now()
  for _, verb in ipairs { "resume", "status", "report", "verify" } do
    local ended = msgraph(verb, "--journal", journal_of(path))
    assert.equal(64, ended.code, ended.err)
    assert.matches("written by a newer msgraph %(journal version 99, this one knows %d+%)", ended.err)
  end
  assert.equal(64, msgraph("apply", path).code)
  assert.same({}, writes(from))
end)

-- ---- disks ------------------------------------------------------------------------------------------

it("row: a full disk", function()
  local folder, unmount <close> = disk.mount "2m"
  if not folder then return pending "no file system may be mounted here" end
  assert.truthy(unmount)
  local who, id = somebody()
  local path = folder .. "/last friday.plan"
  assert(os.execute(("cp %s '%s'"):format(plan(workflow(TWO), "--user", who), path)))
  t.tenant:fault { kind = "latency", seconds = 2, method = "PATCH", path = id:gsub("%-", "%%-") }
  local from = now()
  local process <close> = program.start({ helper.LUA, "bin/msgraph", "apply", path }, t.env)
  program.await(function() return writes(from)[1] end) -- it is done, and not yet answered
  disk.fill(folder)
  local stopped = process:wait()
  assert.equal(75, stopped.code, stopped.err)
  local command = stopped.err:match "\n  (%S*msgraph resume [^\n]* %-%-take%-in [^\n]*)\n"
  assert.truthy(command, stopped.err)

  disk.empty(folder)
  local resumed = program.shell((command:gsub("^%S+", helper.LUA .. " bin/msgraph")), t.env)
  assert.equal(0, resumed.code, resumed.err)
  assert.matches("^changed=2 unchanged=0 verified=0 ", resumed.out)
  assert.same({ "PATCH /v1.0/users/" .. id, ("POST /v1.0/users/%s/revokeSignInSessions"):format(id) }, writes(from))
  assert.equal("", helper.sh(("find %s -name '*.jsonl'"):format(folder)))
end)

it("row: a read-only disk", function()
  local folder, unmount <close> = disk.mount "4m"
  if not folder then return pending "no file system may be mounted here" end
  assert.truthy(unmount)
  local path, other = folder .. "/friday.plan", folder .. "/monday.plan"
  assert(os.execute(("cp %s %s"):format(plan(workflow(TWO), "--user", (somebody())), path)))
  assert(os.execute(("cp %s %s"):format(plan(workflow(TWO), "--user", (somebody())), other)))
  apply_and_die(path, "after-release contain/")
  assert(os.execute("mount -o remount,ro " .. folder))
  local from = now()
  for _, words in ipairs { { "apply", other }, { "resume", "--journal", journal_of(path) } } do
    local ended = msgraph(table.unpack(words))
    assert.equal(75, ended.code, ended.err)
    assert.matches("friday.journal: [^\n]*%S", ended.err:gsub("monday", "friday"))
    assert.is_nil(ended.err:find("traceback", 1, true))
  end
  assert.same({}, writes(from))
  assert.equal(0, msgraph("apply", other, "--journal", new_file ".journal").code)
end)

-- ---- authors ----------------------------------------------------------------------------------------

-- What stands in line 4 of a workflow, and the line that whoever wrote it is told.
for name, case in pairs {
  ["a typo in an action"] = { 'wf:stage("s", { a.account.dissable })',
    "there is no action 'account.dissable' (did you mean 'account.disable'?)" },
  ["a global"] = { 'count = 1 wf:stage("s", { a.account.disable })',
    "the global 'count' is not declared: write `local count`" },
  ["a write at plan time"] = { [[
wf:step("s", { effect = "once", danger = "safe", plan = function(g, u) local x = g.patch("/users/%s", u.id) end })]],
    "g can only read: return ob.patch" },
  ["a forgotten parameter"] = { [[
wf:step("s", { effect = "once", danger = "safe", plan = function(_, _, params) local t = params.ticket end })]],
    "the workflow has no param 'ticket'" },
  ["an option of the wrong type"] = { 'wf:stage("s", { a.intune.retire { where = "personal" } })',
    "intune.retire: 'where' must be a function, got " },
} do
  it("author: " .. name, function()
    local file = workflow(case[1])
    local _, made = plan(file, "--user", ADA)
    assert.equal(64, made.code, made.err)
    local line = made.err:match "^msgraph: ([^\n]*)\n$"
    assert.truthy(line, made.err)
    assert.equal(1, line:find(file .. ":4: " .. case[2], 1, true), line)
  end)
end
