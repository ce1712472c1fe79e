--- A workflow's observers hear what becomes of its plan, from the process that carries it out.
local helper = require "spec.support.helper"
local leavers = require "spec.support.leavers"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local spec = require "msgraph.sim.spec"

local WORKFLOW <const> = [[
local ob <const> = require "msgraph.offboard"
local wf <const> = ob.workflow { name = "observed", version = 1, protect = {}, limits = { waves = { 1, "100%%" } } }
wf:stage("contain", { ob.actions.account.disable })
wf:stage("sessions", { ob.actions.sessions.revoke })
for _, event in ipairs { "run.started", "wave.started", "stage.finished", "op.finished", "subject.finished",
  "run.finished" } do
  wf:on(event, function(ev)
    ob.log.info("HEARD", ev.event, ev.wave or ev.label or "-", ev.stage or "-", ev.action or "-", ev.state or "-",
      ev.recap)
  end)
end
%s
return wf
]]

local files = 0

-- A tenant with an approved plan for two people on disk.
local function start(more)
  files = files + 1
  local t = spec.start { users = 40, seed = 1, start = os.time() }
  t.base = ("%s/observed%d"):format(helper.tmp(), files)
  t.file, t.people = t.base .. ".lua", leavers.people(t.tenant, 2, { synced = false, accountEnabled = true })
  helper.write_file(t.file, WORKFLOW:format(more or ""))
  local plan = assert(ob.plan(assert(ob.load(t.file)), t.people, { client = t.client }))
  assert(ob.approve(plan, "spec"))
  assert(ob.save_plan(plan, t.base .. ".plan"))
  t.env = program.env_of(t.tenant, t.tenant:token { scopes = spec.permissions(), expires_in = 1e9 })
  return t
end

local function apply(t)
  return program.run({ helper.LUA, "bin/msgraph", "apply", "--quiet", t.base .. ".plan" }, t.env)
end

local function heard(ran)
  local out = {}
  for line in ran.err:gmatch "HEARD ([^\n]+)" do out[#out + 1] = line end
  return out
end

describe("observers", function()
  it("hear of the run, its waves, each operation, stage and person, in the order in which it was done", function()
    local t <close> = start()
    local ran = apply(t)
    assert.equal(0, ran.code, ran.err)
    local function of_one(n)
      local name = t.people[n]
      return {
        ("op.finished %s contain account.disable changed nil"):format(name),
        ("stage.finished %s contain - - changed=1 unchanged=0"):format(name),
        ("op.finished %s sessions sessions.revoke changed nil"):format(name),
        ("stage.finished %s sessions - - changed=2 unchanged=0"):format(name),
        ("subject.finished %s - - done changed=2 unchanged=0"):format(name),
      }
    end
    local wanted = { "run.started - - - - nil", "wave.started 1 - - - nil" }
    table.move(of_one(1), 1, 5, #wanted + 1, wanted)
    wanted[#wanted + 1] = "wave.started 2 - - - nil"
    table.move(of_one(2), 1, 5, #wanted + 1, wanted)
    wanted[#wanted + 1] = "run.finished - - - done changed=4 unchanged=0"
    local got = heard(ran)
    for i, line in ipairs(got) do got[i] = line:gsub(" verified=.*", "") end
    assert.same(wanted, got)
  end)

  it("change nothing, and one that goes wrong is said once", function()
    local t <close> = start [[wf:on("op.finished", function(ev) ev.state = "failed" error("no such office") end)]]
    local ran = apply(t)
    assert.equal(0, ran.code, ran.err)
    assert.equal(1, select(2, ran.err:gsub("an observer of op%.finished is told no more: [^\n]*no such office", "")))
    assert.matches("changed=4 ", ran.out)
  end)

  it("are not asked when the workflow is no longer the one that was planned", function()
    local t <close> = start()
    helper.write_file(t.file, helper.read_file(t.file) .. "-- later\n")
    local ran = apply(t)
    assert.equal(0, ran.code, ran.err)
    assert.same({}, heard(ran))
  end)
end)
