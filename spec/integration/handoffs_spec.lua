--- What only people can do, and what takes its time: given out, taken back in, seen by reading, and what waits for it.
local helper = require "spec.support.helper"
local leavers = require "spec.support.leavers"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local spec = require "msgraph.sim.spec"
local syntax = require "spec.support.powershell"

local files = 0

local function start(count, filter)
  local t = spec.start { users = 60, seed = 1, start = os.time() }
  t.people = leavers.people(t.tenant, count, filter or { synced = false, accountEnabled = true })
  t.env = program.env_of(t.tenant, t.tenant:token { scopes = spec.permissions(), expires_in = 1e9 })
  files = files + 1
  t.base = ("%s/handoffs%d"):format(helper.tmp(), files)
  return t
end

local function workflow(stages)
  local wf = ob.workflow { name = "spec", version = 1, protect = {} }
  for _, stage in ipairs(stages) do wf:stage(table.unpack(stage)) end
  return wf
end

local function msgraph(t, verb, ...)
  return program.run({ helper.LUA, "bin/msgraph", verb, "--journal", t.base .. ".journal", ... }, t.env)
end

local function apply(t, wf)
  local plan = assert(ob.plan(wf, t.people, { client = t.client }))
  assert(ob.approve(plan, "spec"))
  assert(ob.save_plan(plan, t.base .. ".plan"))
  return msgraph(t, "apply", t.base .. ".plan")
end

local function sent(t, pattern)
  local n = 0
  for _, entry in ipairs(t.tenant:requests()) do
    if entry.method ~= "GET" and (entry.method .. " " .. entry.path):find(pattern) then n = n + 1 end
  end
  return n
end

local a = ob.actions
local LICENSES_LAST = { { "handover", { on_error = "skip-subject" }, { a.handoff.exchange { "convert-to-shared",
  "hide-from-gal" } } }, { "reclaim", { a.licenses.remove_all { via = { "direct" } } } } }

-- What Exchange's script writes when it has done what is in it: each task by the pattern's fate.
local function run_script(path, run_id, fate)
  local _, literals = syntax.parse(helper.read_file(path))
  local lines, n = { '"run","operation","key","status","message","time","by"' }, 0
  for i, text in ipairs(literals) do
    if text:find "^%d+%.%d+$" then
      local status, message = fate(literals[i + 1])
      lines[#lines + 1] = ('"%s","%s","%s","%s","%s","2025-01-31T08:00:00Z","grace"'):format(run_id, text,
        literals[i + 1], status, message or "")
      n = n + 1
    end
  end
  local results = path:gsub("%.ps1$", "-results.csv")
  helper.write_file(results, "\xEF\xBB\xBF" .. table.concat(lines, "\r\n") .. "\r\n")
  return results, n
end

describe("msgraph handoffs", function()
  it("gives work out, takes it back in, and licences go only after the mailbox was seen to", function()
    local t <close> = start(2)
    local result = apply(t, workflow(LICENSES_LAST))
    assert.equal(21, result.code, result.err)
    assert.equal(0, sent(t, "assignLicense"))
    assert.matches("next: %S*msgraph handoffs %S+ %-%-journal %S+ %-%-out ", result.out)

    local given = msgraph(t, "handoffs", "--out", t.base .. "-")
    assert.equal(0, given.code, given.err)
    assert.matches("run it, then: %S*msgraph handoffs %S+ %-%-journal %S+ %-%-take%-in %S+%-exchange%-results%.csv\n",
      given.out)
    for _, name in ipairs { "-exchange.md", "-exchange.ps1" } do
      assert.equal("600", helper.sh("stat -c %a " .. t.base .. name):match "%d+")
    end
    local page = helper.read_file(t.base .. "-exchange.md")
    for i in ipairs(t.people) do
      assert.truthy(page:find("- [ ] " .. i .. ".1 Make the mailbox a shared one\n  Graph can not do this\n", 1, true))
    end

    local run_id = helper.read_file(t.base .. "-exchange.ps1"):match "%$run = '([^']+)'"
    local results, n = run_script(t.base .. "-exchange.ps1", run_id, function(key)
      if key:find "hide" then return "failed", "Access is denied." end
      return "done"
    end)
    assert.equal(4, n)
    local taken = msgraph(t, "handoffs", "--take-in", results)
    assert.equal(0, taken.code, taken.err)
    assert.matches("failed  %S+: Hide from address lists: Access is denied%.\n", taken.out)
    assert.matches("taken in: 2 done, 2 failed, 0 known before\n", taken.out)
    assert.equal(21, msgraph(t, "resume").code) -- not all of it is done: nobody goes on
    assert.equal(0, sent(t, "assignLicense"))

    run_script(t.base .. "-exchange.ps1", run_id, function() return "done" end)
    taken = msgraph(t, "handoffs", "--take-in", results)
    assert.matches("taken in: 2 done, 0 failed, 2 known before\n", taken.out)
    assert.matches("\nnext: %S*msgraph resume ", taken.out)
    result = msgraph(t, "resume")
    assert.equal(0, result.code, result.err)
    assert.equal(2, sent(t, "assignLicense"))
    assert.matches("nothing is left for people", msgraph(t, "handoffs").out)

    t.tenant:change_user(t.people[1], { mailboxPurpose = "shared" })
    local verified = msgraph(t, "verify") -- nobody can read who is hidden; the other's mailbox is as it was
    assert.equal(21, verified.code)
    assert.matches("changed=2 .*verified=3 .*drifted=1 ", verified.out)
    assert.matches("drifted +%S+ Make the mailbox a shared one\n", verified.out)
  end)

  it("refuses a file that is not this run's, and takes nothing of it in", function()
    local t <close> = start(1)
    apply(t, workflow(LICENSES_LAST))
    msgraph(t, "handoffs", "--out", t.base .. "-")
    local results = run_script(t.base .. "-exchange.ps1", "another", function() return "done" end)
    local taken = msgraph(t, "handoffs", "--take-in", results)
    assert.equal(64, taken.code, taken.out)
    assert.matches("line 2: it is of another run, another\n  nothing of it was taken in", taken.err)
    helper.write_file(results, 'run,operation,key,status,message,time,by\nx,1.1,x,done,,2025-01-31T08:00:00Z,Ren\xE9\n')
    taken = msgraph(t, "handoffs", "--take-in", results)
    assert.equal(64, taken.code, taken.err)
    assert.matches("it is not UTF%-8: save it as CSV UTF%-8\n  nothing of it was taken in", taken.err)
    assert.matches("human=2", msgraph(t, "status").out)
    local run_id = msgraph(t, "handoffs").out:match "Run (%S+)%."
    local resolved = msgraph(t, "resolve", run_id, "1.1", "--as", "done", "--note", "Ren\xE9")
    assert.equal(64, resolved.code, resolved.err)
  end)

  it("is nothing that could be sent: redo is refused", function()
    local t <close> = start(1)
    apply(t, workflow(LICENSES_LAST))
    local run_id = msgraph(t, "handoffs").out:match "Run (%S+)%."
    local ended = msgraph(t, "resolve", run_id, "1.1", "--as", "redo", "--note", "again")
    assert.equal(75, ended.code, ended.out)
    assert.matches("is a person's work, which nothing can be sent for", ended.err)
    ended = msgraph(t, "resume")
    assert.equal(21, ended.code, ended.err)
    assert.matches("human=2 ", ended.out)
  end)

  it("has a script for Active Directory, in which nothing is a secret", function()
    local t <close> = start(2, { synced = true })
    local wf = workflow { { "contain", { a.account.disable, a.password.randomize } }, { "reclaim",
      { a.groups.leave_all { transfer_sole_ownership_to = "grace@contoso.com" } } } }
    apply(t, wf)
    msgraph(t, "handoffs", "--out", t.base .. "-")
    local code, literals = syntax.parse(helper.read_file(t.base .. "-ad.ps1"))
    assert.truthy(code:find("{ Disable-ADAccount -Identity '' -ErrorAction Stop }", 1, true))
    assert.truthy(code:find("{ Set-ADAccountPassword -Reset -NewPassword (ConvertTo-SecureString -AsPlainText -Force "
      .. "([guid]::NewGuid().ToString('').ToUpper() + [guid]::NewGuid())) -Identity '' -ErrorAction Stop }", 1, true))
    assert.truthy(table.concat(literals, "\n"):find "\nS%-1%-5%-21%-")
    assert.matches("# Active Directory: %d+ tasks", helper.read_file(t.base .. "-ad.md"))
  end)
end)

describe("what a person did", function()
  it("is seen where Graph shows it: resume goes on without a file", function()
    local t <close> = start(2)
    local stages = { { "handover", { on_error = "skip-subject" }, { a.handoff.exchange { "convert-to-shared" } } },
      LICENSES_LAST[2] }
    assert.equal(21, apply(t, workflow(stages)).code)
    t.tenant:change_user(t.people[1], { mailboxPurpose = "shared" })
    local result = msgraph(t, "resume")
    assert.equal(21, result.code, result.err)
    assert.equal(1, sent(t, "assignLicense"))
    assert.matches("verified=1 .*human=1 ", result.out)

    t.tenant:change_user(t.people[2], { mailboxPurpose = "shared" })
    local verified = msgraph(t, "verify")
    assert.equal(0, verified.code, verified.err)
    assert.matches("next: %S*msgraph resume ", verified.out)
    assert.equal(0, msgraph(t, "resume").code)
    assert.equal(2, sent(t, "assignLicense"))
  end)

  it("in Active Directory is seen in Entra", function()
    local t <close> = start(1, { synced = true })
    apply(t, workflow { { "contain", { a.account.disable, a.password.randomize } } })
    assert.matches("human=2", msgraph(t, "verify").out)
    t.tenant:change_user(t.people[1], { accountEnabled = false })
    assert.matches("verified=1 .*human=1", msgraph(t, "verify").out)
    assert.matches("verified=1 .*human=1", msgraph(t, "status").out)
  end)
end)

describe("msgraph verify", function()
  it("confirms what was submitted once a read shows it, and status and report tell", function()
    local t <close> = start(2)
    local result = apply(t, workflow { { "devices", { a.intune.retire {} } } })
    assert.equal(0, result.code, result.err)
    local submitted = tonumber(result.out:match "submitted=(%d+)")
    assert.truthy(submitted > 0)
    assert.matches("submitted=" .. submitted .. " ", msgraph(t, "verify").out)
    assert.matches("commands: " .. submitted .. ", seen to be carried out: 0\n", msgraph(t, "report").out)
    t.tenant:advance(30 * 86400)
    local verified = msgraph(t, "verify")
    local count = tonumber(verified.out:match "verified=(%d+)")
    assert.truthy(count > 0)
    local left = ("verified=%d submitted=%d "):format(count, submitted - count)
    assert.matches(left, verified.out)
    assert.matches(left, msgraph(t, "status").out)
    local report = msgraph(t, "report").out
    assert.matches(("commands: %d, seen to be carried out: %d\n"):format(submitted, count), report)
    assert.matches("events: ", report)
  end)

  it("reads a journal that it can not write, and says that it is not told", function()
    local t <close> = start(1)
    apply(t, workflow { { "contain", { a.account.disable } } })
    local folder = helper.sh("mktemp -d"):match "%S+"
    if not os.execute("mount -t tmpfs none " .. folder .. " 2>/dev/null") then return pending "no mounting here" end
    helper.sh(("cp %s.journal %s/.journal && mount -o remount,ro %s"):format(t.base, folder, folder))
    t.base = folder .. "/"
    local verified = msgraph(t, "verify")
    helper.sh(("umount -l %s && rmdir %s"):format(folder, folder))
    assert.equal(0, verified.code, verified.err)
    assert.matches("verified=1 ", verified.out)
    assert.matches("can not be written", verified.err)
  end)
end)

describe("a stage that waits for a confirmation", function()
  local STAGES = { { "devices", { a.intune.retire {} } }, { "records", { wait_for = "confirmed" },
    { a.entra_devices.disable } }, { "reclaim", { a.licenses.remove_all { via = { "direct" } } } } }

  it("begins when every device has confirmed its retirement, and resume looks at once", function()
    local t <close> = start(1)
    local result = apply(t, workflow(STAGES))
    assert.equal(75, result.code, result.err)
    assert.matches("nobody is due before", result.err)
    assert.matches("next: %S*msgraph resume ", result.out)
    assert.equal(0, sent(t, "PATCH %S*/devices/"))
    assert.equal(75, msgraph(t, "resume").code)
    t.tenant:advance(30 * 86400)
    result = msgraph(t, "resume")
    assert.equal(0, result.code, result.err)
    assert.matches("submitted=0 ", result.out)
    assert.truthy(sent(t, "PATCH %S*/devices/") > 0)
    assert.equal(1, sent(t, "assignLicense"))
  end)

  it("is left out where what it waits for failed", function()
    local t <close> = start(1)
    local wf = workflow(STAGES)
    t.tenant:fault { kind = "status", status = 400, path = "/retire$", times = math.huge }
    local result = apply(t, wf)
    assert.equal(20, result.code, result.err)
    assert.equal(0, sent(t, "PATCH %S*/devices/"))
    assert.equal(1, sent(t, "assignLicense"))
    assert.matches("skipped=[1-9]", result.out)
  end)

  it("stands in the plan", function()
    local t <close> = start(1)
    local plan = assert(ob.plan(workflow(STAGES), t.people, { client = t.client }))
    assert.matches("Stage records begins for each when devices is confirmed\n", ob.show(plan))
  end)
end)
