--- An applier killed at each boundary of the journal's protocol, for each class of effect: what the tenant's own log
--- counts, what the journal says then, and what resume makes of it.
--
-- Process, connection and file are real; spec/support/mortal.lua kills at a boundary, spec/support/relay.lua
-- in the middle of what is sent. The table below is the protocol's promise, case by case.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local journals = require "msgraph.offboard.journal"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local spec = require "msgraph.sim.spec"

-- A stage for each class, with what is left to do after all of them.
local WORKFLOW <const> = [[
local ob <const> = require "msgraph.offboard"
local a <const> = ob.actions
local wf <const> = ob.workflow { name = "boundary", version = 1, protect = {} }
wf:stage("contain", { a.account.disable })
wf:stage("devices", { a.intune.retire })
wf:step("farewell", { effect = "once", danger = "safe",
  plan = function(_, user)
    return ob.post { "/users/%s/sendMail", user.id, body = { message = { subject = "Farewell",
      body = { contentType = "Text", content = "You have left." },
      toRecipients = { { emailAddress = { address = "grace@contoso.com" } } } } } }
  end })
wf:step("revoke", { effect = "once", danger = "safe",
  plan = function(_, user) return ob.post { "/users/%s/revokeSignInSessions", user.id } end,
  probe = function(g, op, since)
    local user = g.get("/users/%s", op.target, { select = { "signInSessionsValidFromDateTime" } })
    return g.is_since(user.signInSessionsValidFromDateTime, since - 5) -- two clocks
  end })
wf:step("last", { effect = "converge", danger = "safe",
  plan = function(_, user)
    return ob.patch { "/users/%s/mailboxSettings", user.id,
      body = { automaticRepliesSetting = { status = "disabled" } } }
  end })
return wf
]]

-- Each class, and how it ends when all goes well, when the tenant was never asked, and when it was and nobody knows.
local CLASSES <const> = {
  { name = "converge", key = "contain/", well = "changed", unasked = { "changed", 1 }, unknown = "verified" },
  { name = "command", key = "devices/", well = "submitted", unasked = { "submitted", 1 }, unknown = "submitted" },
  { name = "once, which nobody can look at", key = "farewell/", well = "changed", unasked = { "needs_human", 0 },
    unknown = "needs_human" },
  { name = "once, which a read shows", key = "revoke/", well = "changed", unasked = { "needs_human", 0 },
    unknown = "verified" },
}

-- Each boundary: what the journal says of the operation and of the person when the process is dead, and how often the
-- tenant has done it by then. `knows`: how it ends is decided by then, or nothing was begun.
local BOUNDARIES <const> = {
  { name = "1, before the intent is written", at = "before-intent", op = "planned", person = "leased", done = 0,
    knows = true },
  { name = "2, after the intent is written, before it is sent", at = "after-intent", op = "intent", person = "leased",
    done = 0 },
  { name = "3, in the middle of sending it", at = "mid-send", op = "intent", person = "leased", done = 0 },
  { name = "4, after the tenant has acted, before it answers", at = "no-answer", op = "intent", person = "leased",
    done = 1 },
  { name = "5, after the answer, before the outcome is written", at = "before-outcome", op = "intent",
    person = "leased", done = 1 },
  { name = "6, after the outcome is written", at = "after-outcome", op = nil, person = "leased", done = 1,
    knows = true },
  { name = "7, after the person is given back", at = "after-release", op = nil, person = "ready", done = 1,
    knows = true },
}

local KILLED <const> = 128 + 9

local t, relay, people

-- People whom nothing stands in the way of: everything that is planned for them can be done.
local function find_people(tenant)
  local names, fit = {}, {}
  for _, device in ipairs(tenant:devices()) do
    if fit[device.userId] ~= false then fit[device.userId] = device.outcome == "leaves" end
  end
  for _, user in ipairs(tenant:users { guest = false, synced = false, admin = false, accountEnabled = true }) do
    if fit[user.id] then names[#names + 1] = user.userPrincipalName end
  end
  return names
end

local function start_relay(tenant)
  local it = { trap = helper.tmp() .. "/trap" }
  it.process = program.start({ helper.LUA, "spec/support/relay.lua", tenant.endpoint:match ":(%d+)$", it.trap })
  local port = program.await(function() return it.process:output():match "^(%d+)\n" end)
  it.endpoint = "https://127.0.0.1:" .. port
  return it
end

setup(function()
  t = spec.start { users = 200, seed = 1, start = os.time() }
  people, relay = find_people(t.tenant), start_relay(t.tenant)
  local scopes = spec.permissions()
  table.move({ "Mail.Send", "MailboxSettings.ReadWrite" }, 1, 2, #scopes + 1, scopes)
  t.env = program.env_of(t.tenant, t.tenant:token { scopes = scopes, expires_in = 1e9 })
  t.env.MSGRAPH_ENDPOINT, t.env.MSGRAPH_SPEC_TRAP = relay.endpoint, relay.trap
  t.client:close()
  t.client = assert(graph.connect { endpoint = relay.endpoint, ca_file = t.tenant.ca_file,
    auth = graph.auth.token(t.env.MSGRAPH_ACCESS_TOKEN) })
  helper.write_file(helper.tmp() .. "/boundary.lua", WORKFLOW)
end)

teardown(function()
  t:__close()
  relay.process:__close()
end)

-- What the tenant carried out that was no reading.
local function writes()
  local n = 0
  for _, entry in ipairs(t.tenant:requests()) do
    local is_write = entry.method ~= "GET" and not entry.path:find "%$batch$"
    if is_write and entry.status and entry.status < 300 then n = n + 1 end
  end
  return n
end

local cases = 0

-- A plan for somebody of his own, approved, on disk.
local function planned()
  cases = cases + 1
  local who = assert(people[cases], "not enough people")
  local plan = t:plan(helper.tmp() .. "/boundary.lua", { who })
  assert(ob.approve(plan, "spec"))
  local base = ("%s/boundary%d"):format(helper.tmp(), cases)
  assert(ob.save_plan(plan, base .. ".plan"))
  return { file = base .. ".plan", journal = base .. ".journal", before = writes() }
end

local function applier(env, ...)
  local all = {}
  for name, value in pairs(t.env) do all[name] = value end
  for name, value in pairs(env) do all[name] = value end
  return program.run({ helper.LUA, "spec/support/applier.lua", ... }, all)
end

-- The person as the journal has him, and his first operation of a class.
local function look(case, class)
  local journal <close> = assert(journals.open(case.journal))
  local run = assert(journal:runs())[1]
  local subject = journal:subjects(run.run_id)()
  for _, op in ipairs(subject.ops) do
    if op.op_key:find(class.key, 1, true) == 1 then return subject, op, run end
  end
end

-- How often the tenant did what each operation asks for, by its own log; 0 for those it did not do.
local function count(case, ops)
  local counts, all = {}, 0
  for i, op in ipairs(ops) do
    counts[i] = 0
    for _, entry in ipairs(t.tenant:requests { method = op.desired.method }) do
      local is_it = entry.path:sub(-#op.desired.path) == op.desired.path and entry.status and entry.status < 300
      if is_it then counts[i], all = counts[i] + 1, all + 1 end
    end
  end
  assert.equal(all, writes() - case.before, "the tenant did something that is in no plan")
  return counts
end

local WELL <const> = { changed = true, submitted = true, verified = true }

-- What the tenant is like is what the journal says: of everything that is called done, once.
local function check_end(case, class, state, done)
  local subject, first, run = look(case, class)
  assert.equal("done", run.state)
  assert.equal(state, first.state)
  local counts = count(case, subject.ops)
  for i, op in ipairs(subject.ops) do
    assert.is_true(op.op == first.op or WELL[op.state] ~= nil, op.op_key .. " is " .. op.state)
    assert.equal(op.op == first.op and done or 1, counts[i], op.op_key)
  end
  assert.is_false(t.tenant:users({ id = subject.object_id })[1].accountEnabled)
  for _, device in ipairs(t.tenant:devices { userId = subject.object_id }) do
    assert.equal("retirePending", device.managementState)
  end
end

for _, class in ipairs(CLASSES) do
  describe("killed at boundary", function()
    for _, at in ipairs(BOUNDARIES) do
      it(("%s: %s"):format(at.name, class.name), function()
        local case = planned()
        local killed = applier({ MSGRAPH_SPEC_DIE = at.at .. " " .. class.key }, "apply", case.file)
        assert.equal(KILLED, killed.code, killed.err)

        local subject, op = look(case, class)
        assert.equal(at.op or class.well, op.state)
        assert.equal(at.person, subject.state)
        assert.equal(at.done, count(case, subject.ops)[op.op])

        local state, done = class.well, 1
        if not at.knows and at.done == 1 then state = class.unknown end
        if not at.knows and at.done == 0 then state, done = table.unpack(class.unasked) end
        local resumed = applier({}, "resume", "--journal", case.journal)
        assert.equal(state == "needs_human" and 21 or 0, resumed.code, resumed.err)
        check_end(case, class, state, done)
        assert.equal(resumed.code, applier({}, "resume", "--journal", case.journal).code) -- once more changes nothing
        check_end(case, class, state, done)
      end)
    end
  end)
end
