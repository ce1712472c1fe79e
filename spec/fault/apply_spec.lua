--- Real appliers, killed at random and resumed until they are done: nothing is done twice, nothing is called done that
--- was not, nothing is lost. What was done is counted from the tenant's own log.
--
-- MSGRAPH_TORTURE=N does it with N people, and freezes appliers as well (make torture-offboard); MSGRAPH_SEED chooses
-- another course of events.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local journals = require "msgraph.offboard.journal"
local leavers = require "spec.support.leavers"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local random = require "msgraph.sim.random"
local spec = require "msgraph.sim.spec"
local verify = require "msgraph.offboard.verify"

local LONG <const> = tonumber(os.getenv "MSGRAPH_TORTURE" or "") ~= nil
local PEOPLE <const> = LONG and tonumber(os.getenv "MSGRAPH_TORTURE") or 12
local SEED <const> = tonumber(os.getenv "MSGRAPH_SEED" or "") or 1
local KILLS <const> = LONG and math.huge or 12
local APPLIER <const> = "spec/support/applier.lua"

local function sleep(seconds) require("msgraph.sim.server").sleep(seconds) end

local function has_ended(process)
  local file = io.open("/proc/" .. process.pid .. "/stat")
  local text = file and file:read "a" or "0 (x) Z"
  if file then file:close() end
  return text:match "%) (%u)" == "Z"
end

-- One that is slow, and whose reads are older than its writes.
local function start_tenant()
  local t = spec.start { users = PEOPLE * 2 + 40, seed = SEED, start = os.time(), latency = 0.015, read_lag = 0.15 }
  local scopes = spec.permissions()
  scopes[#scopes + 1] = "Mail.Send"
  t.token = t.tenant:token { scopes = scopes, expires_in = 1e9 }
  t.client:close()
  t.client = assert(graph.connect { endpoint = t.tenant.endpoint, ca_file = t.tenant.ca_file,
    auth = graph.auth.token(t.token) })
  return t
end

local folders = 0

-- A plan that is approved, on disk.
---@param now? integer when it is made, Unix seconds
local function planned(t, people, now)
  folders = folders + 1
  local base = ("%s/torture%d"):format(helper.tmp(), folders)
  local plan = assert(ob.plan(leavers.workflow(), people, { client = t.client, now = now }))
  assert(ob.approve(plan, "spec", now))
  assert(ob.save_plan(plan, base .. ".plan"))
  return { plan = plan, file = base .. ".plan", journal = base .. ".journal" }
end

local function new_torture(name, t, work)
  return { name = name, t = t, work = work, env = program.env_of(t.tenant, t.token),
    stream = random.stream(SEED, 77, 0), kills = 0, stops = 0, slots = {} }
end

local function is_there(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

-- The first applier starts the run, those after it resume it.
local function begin(self)
  local words = { helper.LUA, APPLIER, "resume", "--journal", self.work.journal }
  if not self.begun then words = { helper.LUA, APPLIER, "apply", self.work.file } end
  self.begun = self.begun or is_there(self.work.journal)
  return program.start(words, self.env)
end

local function run_exists(self)
  if not is_there(self.work.journal) then return false end
  local journal = journals.open(self.work.journal, { readonly = true })
  local runs = journal and journal:runs()
  if journal then journal:close() end
  return runs ~= nil and runs[1] ~= nil
end

local function freeze(self, process)
  self.stops = self.stops + 1
  helper.sh("kill -STOP " .. process.pid)
  sleep(4.5) -- longer than lease and grace
  helper.sh("kill -CONT " .. process.pid)
end

local function strike(self, process)
  if has_ended(process) then return end
  if LONG and self.stream:chance(0.05) then return freeze(self, process) end
  self.kills = self.kills + 1
  os.execute("kill -KILL " .. process.pid .. " 2>/dev/null")
  process.pipe:close()
  process.pipe = nil
end

local ENDS = { [0] = true, [20] = true, [21] = true }

-- Kills whoever is at work, again and again, until somebody comes to the end.
local function torture(self, appliers)
  for _ = 1, 2000 do
    self.begun = run_exists(self)
    for i = 1, self.begun and appliers or 1 do
      if not self.slots[i] then self.slots[i] = begin(self) end
    end
    sleep(self.stream:int(100, 600) / 1000)
    for i, process in pairs(self.slots) do
      if has_ended(process) then
        local ended = process:wait()
        self.slots[i] = nil
        if ENDS[ended.code] then return ended end
        self.last = ended
        assert(ended.code == 64 or ended.code == 75, ended.err)
      elseif self.kills < KILLS and self.stream:chance(0.6) then
        strike(self, process)
        if not process.pipe then self.slots[i] = nil end
      end
    end
  end
  error("it does not come to an end:\n" .. (self.last and self.last.err or ""))
end

local function stop_all(self)
  for _, process in pairs(self.slots) do process:wait() end
  self.slots = {}
end

-- Those whose workers died too often in a row are left to a person, who has them gone on with.
local function release_quarantined(self, journal, run_id)
  local found = {}
  for subject in journal:subjects(run_id) do
    if subject.state == "needs_human" and subject.takeovers >= 3 then found[#found + 1] = subject.subj end
  end
  for _, subj in ipairs(found) do
    assert(journal:resolve { run_id = run_id, subj = subj, as = "redo", note = "spec", actor = "spec" })
  end
  if #found > 0 then
    local ended = program.run({ helper.LUA, APPLIER, "resume", "--journal", self.work.journal }, self.env)
    assert(ENDS[ended.code], ended.err)
  end
end

-- ---- the count ------------------------------------------------------------------------------------

-- Whether it acted; of an answer that was lost the log has no status.
local function was_done(entry)
  if entry.method == "GET" or entry.path:find "%$batch$" then return false end
  return entry.fault == "reset_after" or entry.status ~= nil and entry.status < 300
end

-- How often the tenant did what it was asked for, by its own log: "METHOD path" without the version. And all of it.
local function accepted(tenant)
  local counts, all = {}, 0
  for _, entry in ipairs(tenant:requests()) do
    if was_done(entry) then
      local key = entry.method .. " " .. entry.path:gsub("^/[^/]+", "")
      counts[key], all = (counts[key] or 0) + 1, all + 1
    end
  end
  return counts, all
end

local OPEN = { planned = true, intent = true, unknown = true }
local DONE = { changed = true, submitted = true, verified = true }
local MAY_NOT_BE_REPEATED = { command = true, once = true }

-- What is wrong with an operation: lost, done twice, or called done and not. nil: nothing.
local function wrong(op, times)
  if OPEN[op.state] then return "lost" end
  if op.desired.hand_off then return nil end
  if MAY_NOT_BE_REPEATED[op.effect] and times > 1 then return "doubled" end
  if DONE[op.state] and times == 0 then return "false" end
end

local function note(tally, kind, subject, op, times)
  tally[kind] = tally[kind] + 1
  tally.first = tally.first or ("%s: %s of %s is %s, and the tenant did it %d times"):format(kind, op.op_key,
    subject.label, op.state, times)
end

-- Every operation of a run against the tenant's log.
local function count(self, journal, run_id)
  local times, all = accepted(self.t.tenant)
  local tally = { ops = 0, accepted = all, doubled = 0, lost = 0, ["false"] = 0, human = 0 }
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      local n = times[("%s %s"):format(op.desired.method, op.desired.path)] or 0
      local kind = wrong(op, n)
      if kind then note(tally, kind, subject, op, n) end
      tally.ops = tally.ops + 1
      if op.state == "needs_human" and not op.desired.hand_off then tally.human = tally.human + 1 end
    end
  end
  return tally
end

-- What is called done and is not so.
local function count_false(self, journal, run_id, tally)
  for _, item in ipairs(graph.run(verify.run, { client = self.t.client, journal = journal, run_id = run_id })) do
    if item.op.effect == "converge" and item.found ~= "verified" then note(tally, "false", item.subject, item.op, 1) end
  end
end

local function check(self)
  local journal <close> = assert(journals.open(self.work.journal))
  local run_id = assert(journal:runs())[1].run_id
  release_quarantined(self, journal, run_id)
  local tally = count(self, journal, run_id)
  self.t.tenant:advance(1) -- what was written shows
  count_false(self, journal, run_id, tally)
  if LONG then
    print(("\n%s: %d operations, %d done by the tenant, %d left to a person; %d kills, %d freezes; "
      .. "doubled=%d lost=%d false=%d"):format(self.name, tally.ops, tally.accepted, tally.human, self.kills,
      self.stops, tally.doubled, tally.lost, tally["false"]))
  end
  assert.equal("done", journal:status(run_id).run.state)
  assert.truthy(journal:verify_events(run_id))
  assert.is_nil(tally.first)
end

local function spoil(tenant)
  tenant:fault { kind = "reset_after", share = 0.03, times = math.huge }
  tenant:fault { kind = "reset_before", share = 0.02, times = math.huge }
  tenant:fault { kind = "status", status = 500, share = 0.01, times = math.huge }
  tenant:fault { kind = "status", status = 429, retry_after = 1, share = 0.01, times = math.huge }
end

for _, case in ipairs { { "one applier", 1 }, { "two appliers at once", 2 } } do
  it(("%s, killed again and again: nothing twice, nothing lost, no lie"):format(case[1]), function()
    local t <close> = start_tenant()
    local self = new_torture(case[1], t, planned(t, leavers.people(t.tenant, PEOPLE)))
    spoil(t.tenant)
    torture(self, case[2])
    stop_all(self)
    t.tenant:clear_faults()
    check(self)
    assert.truthy(self.kills > 0)
  end)
end

it("what this run has set is no drift while a replica does not show it yet", function()
  local t <close> = start_tenant()
  local who = leavers.people(t.tenant, 4, { synced = false, accountEnabled = true, admin = false })
  local work = planned(t, who, os.time() - 3600) -- as old as plans are that were read and approved
  local ended = program.run({ helper.LUA, APPLIER, "apply", work.file }, program.env_of(t.tenant, t.token))
  assert.matches(" drifted=0 ", ended.out)
  assert.matches(" failed=0\n", ended.out)
end)
