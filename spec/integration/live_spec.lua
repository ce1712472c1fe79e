--- How offboarding feels in a terminal: what is seen while a run goes on, and what is said before it begins.
local helper = require "spec.support.helper"
local leavers = require "spec.support.leavers"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local spec = require "msgraph.sim.spec"

local MSGRAPH = { helper.LUA, "bin/msgraph" }
local files = 0

local function words_of(...)
  return table.move({ ... }, 1, select("#", ...), #MSGRAPH + 1, { table.unpack(MSGRAPH) })
end

local function workflow()
  local a = ob.actions
  local wf = ob.workflow { name = "live", version = 1, protect = {} }
  wf:stage("contain", { a.account.disable, a.sessions.revoke })
  wf:stage("devices", { a.intune.retire {} })
  wf:stage("handover", { on_error = "skip-subject" }, { a.handoff.exchange { "convert-to-shared" } })
  wf:stage("reclaim", { a.licenses.remove_all { via = { "direct" } } })
  return wf
end

-- A tenant, and an approved plan for some of its people on disk.
local function start(count)
  local t = spec.start { users = 60, seed = 1, start = os.time() }
  local people = leavers.people(t.tenant, count or 4, { synced = false, accountEnabled = true })
  t.env = program.env_of(t.tenant, t.tenant:token { scopes = spec.permissions(), expires_in = 1e9 })
  files = files + 1
  t.base = ("%s/live%d"):format(helper.tmp(), files)
  local plan = assert(ob.plan(workflow(), people, { client = t.client }))
  assert(ob.approve(plan, "spec"))
  assert(ob.save_plan(plan, t.base .. ".plan"))
  return t
end

local function writes(t)
  local n = 0
  for _, entry in ipairs(t.tenant:requests()) do
    if entry.method ~= "GET" and not entry.path:find "%$batch" then n = n + 1 end
  end
  return n
end

describe("a run that is worked on", function()
  it("is told line by line with the time where nobody looks, and each failure when it happens", function()
    local t <close> = start()
    t.tenant:fault { kind = "status", status = 400, method = "PATCH", times = 1 }
    local ran = program.run(words_of("apply", t.base .. ".plan"), t.env)
    assert.equal(20, ran.code, ran.err)
    assert.is_nil(ran.err:find "\27")
    assert.matches("%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ failed  %S+@contoso.com: Block sign%-in: ", ran.err)
    assert.matches("Z contain 7/8, devices %d+/%d+, handover 0/4, reclaim 0/%d+; 1 failed, 4 left to a person, "
      .. "%d+ wait for a person\n$", ran.err)
  end)

  it("is a view that is drawn in place on a terminal, and stays when it ends", function()
    local t <close> = start()
    local ran = program.on_terminal(words_of("apply", t.base .. ".plan"), t.env)
    assert.equal(21, ran.code, ran.out)
    local last = ran.out:match ".*\r\27%[4A\27%[J(.*)$"
    assert.matches("run %x+, ended, 4 of 4 people %(4 wait for a person%)", last)
    assert.matches("\27%[32m  contain +8/8", last)
    assert.matches("\27%[33m  handover +0/4 +4 left to a person", last)
    assert.matches("\nchanged=8 .*\nnext: ", last)
  end)

  it("is lines on a dumb terminal, without colour where NO_COLOR says so, and nothing with --quiet", function()
    local t <close> = start(1)
    t.env.TERM = "dumb"
    assert.is_nil(program.on_terminal(words_of("apply", t.base .. ".plan"), t.env).out:find "\27")
    t.env.TERM, t.env.NO_COLOR = "xterm", "1"
    local again = words_of("resume", "--journal", t.base .. ".journal")
    assert.is_nil(program.on_terminal(again, t.env).out:find "\27%[%d+m")
    again[#again + 1] = "--quiet"
    local quiet = program.run(again, t.env)
    assert.equal("", quiet.err)
    assert.matches("^changed=2 .*\nnext: [^\n]+\n$", quiet.out)
  end)

  it("is watched from beside it until it ends", function()
    local t <close> = start(12)
    t.tenant:fault { kind = "latency", seconds = 0.2, times = math.huge }
    local worker <close> = program.start(words_of("apply", t.base .. ".plan"), t.env)
    program.await(function() return writes(t) > 2 end)
    local watched = program.run(words_of("status", "--journal", t.base .. ".journal", "--watch"), {})
    assert.equal(0, watched.code, watched.err)
    assert.matches("in flight", watched.err)
    assert.matches("Z contain 24/24, .*\n$", watched.err)
    assert.matches("^changed=24 .*next: %S*msgraph handoffs ", watched.out)
    assert.equal(21, worker:wait().code)
  end)

  it("may be left while it goes on: Ctrl-C ends the watching without a word", function()
    local t <close> = start(12)
    t.tenant:fault { kind = "latency", seconds = 0.3, times = math.huge }
    local worker <close> = program.start(words_of("apply", t.base .. ".plan"), t.env)
    program.await(function() return writes(t) > 2 end)
    local watcher <close> = program.start(words_of("status", "--journal", t.base .. ".journal", "--watch"), {})
    program.await(function() return select(2, watcher:output()):find "contain" end)
    watcher:interrupt()
    local left = watcher:wait()
    assert.equal(0, left.code)
    assert.equal("", left.out)
    assert.is_nil(left.err:find "interrupt")
    assert.equal(21, worker:wait().code)
  end)

  it("says that nobody is at work on it, and how to go on, when its process was killed", function()
    local t <close> = start(12)
    t.tenant:fault { kind = "latency", seconds = 0.3, times = math.huge }
    local worker <close> = program.start(words_of("apply", t.base .. ".plan"), t.env)
    program.await(function() return writes(t) > 2 end)
    helper.sh("kill -KILL " .. worker.pid)
    worker:wait()
    local status = program.run(words_of("status", "--journal", t.base .. ".journal"), {})
    assert.equal(0, status.code, status.err)
    assert.matches("contain +%d+/24 +%d+ to be read", status.out)
    assert.matches("\nnobody is at work on it: msgraph resume\n", status.out)
    assert.matches("\nnext: %S*msgraph resume %x+ %-%-journal ", status.out)
  end)
end)

-- ---- before it begins -------------------------------------------------------------------------------

-- The environment of a token that lacks what a pattern names.
local function without(t, pattern)
  local scopes = {}
  for _, name in ipairs(spec.permissions()) do
    if not name:find(pattern) then scopes[#scopes + 1] = name end
  end
  return program.env_of(t.tenant, t.tenant:token { scopes = scopes, expires_in = 1e9 })
end

describe("permissions that are missing", function()
  it("are named by apply for each action, and nothing is sent", function()
    local t <close> = start()
    local ran = program.run(words_of("apply", t.base .. ".plan"), without(t, "PrivilegedOperations"))
    assert.equal(30, ran.code)
    assert.matches("nothing was sent\n  intune.retire: POST /deviceManagement/managedDevices/{managedDevice%-id}/"
      .. "retire needs DeviceManagementManagedDevices.PrivilegedOperations.All\n", ran.err)
    assert.matches("doctor %-%-plan", ran.err)
    assert.equal(0, writes(t))
    assert.is_nil(io.open(t.base .. ".journal"))
    assert.matches("\n  if a directory role of the app allows it: %S*msgraph apply %-%-by%-role ", ran.err)
  end)

  it("are no hindrance where somebody says that a directory role allows it", function()
    local t <close> = start(1)
    local ran = program.run(words_of("apply", "--by-role", t.base .. ".plan"), without(t, "PrivilegedOperations"))
    assert.equal(20, ran.code) -- the tenant, which has no such role, has the last word
    assert.is_true(writes(t) > 0)
  end)

  it("are named by doctor, each with how to add it; nothing is amiss where none is", function()
    local t <close> = start()
    local ran = program.run(words_of("doctor", "--plan", t.base .. ".plan"), without(t, "PrivilegedOperations"))
    assert.equal(30, ran.code, ran.err)
    assert.matches("\nfail  permissions   intune.retire: POST [^\n]+\n      how to add it: "
      .. "%S*msgraph permissions POST ", ran.out)
    ran = program.run(words_of("doctor", "--plan", t.base .. ".plan"), t.env)
    assert.equal(0, ran.code, ran.out)
    assert.matches("\nok    plan          [^\n]+operations, good until", ran.out)
    assert.matches("\nok    permissions   the token has all that the plan takes\n", ran.out)
  end)

  it("can not be told of a token that does not say", function()
    local t <close> = start(1)
    local env = program.env_of(t.tenant, "opaque")
    assert.matches("\nwarn  permissions   the token does not say which permissions it has",
      program.run(words_of("doctor", "--plan", t.base .. ".plan"), env).out)
    assert.matches("note: the token does not say", program.run(words_of("apply", t.base .. ".plan"), env).err)
    assert.equal(0, writes(t))
  end)

  it("are those of users for a user's token, of apps for an app's", function()
    local needs = require "msgraph.offboard.needs"
    local op = { action = "sessions.revoke", stage = "contain",
      desired = { method = "POST", path = "/users/00000000-0000-0000-0000-000000000001/revokeSignInSessions" } }
    local plan = { body = { subjects = { { ops = { op } } } } }
    local all = { "User.RevokeSessions.All" }
    assert.same({}, (needs.missing(plan, { scopes = all, roles = {} })))
    assert.same({}, (needs.missing(plan, { scopes = {}, roles = all })))
    local missing, kind = needs.missing(plan, { scopes = { "User.Read" }, roles = all })
    assert.equal("sessions.revoke: POST /users/{user-id}/revokeSignInSessions needs User.RevokeSessions.All "
      .. "or a greater one", needs.line(missing[1], kind))
    op.desired = { hand_off = {} }
    assert.same({}, (needs.missing(plan, { scopes = {}, roles = {} })))
  end)
end)

describe("a plan that nobody approved", function()
  it("is answered with the command that approves it", function()
    local t <close> = start(1)
    local path = t.base .. ".plan"
    helper.write_file(path, (helper.read_file(path):gsub('{"approver"[^\n]*\n', "")))
    local ran = program.run(words_of("apply", path), t.env)
    assert.equal(24, ran.code)
    assert.matches("nothing was sent\n  %S*msgraph approve %S+ %-%-as 'YOUR NAME'\n", ran.err)
    assert.matches("next: %S*msgraph approve ", program.run(words_of("show", path), t.env).err)
  end)
end)

describe("a journal that is not named, or not one", function()
  it("is answered with where it stands", function()
    local t <close> = start(1)
    local ran = program.run(words_of("resume", t.base .. ".journal"), t.env)
    assert.equal(64, ran.code)
    assert.matches("missing option '%-%-journal': the file that apply wrote beside the plan", ran.err)
    ran = program.run(words_of("status", "--journal", t.base .. ".plan"), t.env)
    assert.equal(64, ran.code)
    assert.matches("is a plan: its journal is what apply wrote beside it, %S+live%d+.journal\n", ran.err)
  end)
end)

describe("msgraph completion", function()
  it("completes commands, options and choices in bash", function()
    local script = ("%s/completion.bash"):format(helper.tmp())
    local ran = program.run(words_of("completion", "bash"), {})
    assert.equal(0, ran.code, ran.err)
    helper.write_file(script, ran.out)
    local function complete(...)
      local line = table.concat({ ... }, " ")
      return helper.sh(("bash -c 'source %s && COMP_WORDS=(%s) COMP_CWORD=%d && _msgraph && echo ${COMPREPLY[*]}'")
        :format(script, line, select("#", ...) - 1))
    end
    assert.equal("status\n", complete("msgraph", "stat"))
    assert.matches("%-%-watch", complete("msgraph", "status", "--"))
    assert.equal("done\n", complete("msgraph", "resolve", "--as", "d"))
  end)

  for _, shell in ipairs { "zsh", "fish" } do
    it("prints what " .. shell .. " reads", function()
      assert.matches("remove%-all%-devices", program.run(words_of("completion", shell), {}).out)
    end)
  end
end)
