--- A worker for spec/fault/journal_spec.lua, as a process of its own: claims, intends, "sends", settles. Graph is a
--- file that is appended to: a line for each effect, with the moment from which on it shows.
--
-- lua journal_worker.lua JOURNAL RUN GRAPH SEED FAULTS. FAULTS: "none"; "kill=N", killed at boundary N the first time;
-- "random", killed or stopped at any boundary, and answers are lost. It is not stopped between the margin and
-- the write after it: that is what offboard is said not to protect from.
local journal = require "msgraph.offboard.journal"
local store = require "msgraph.store"
local uv = require "luv"

local path, run, graph, seed, faults = table.unpack(arg)
local random = faults == "random"
math.randomseed(tonumber(seed))

local SPEED = 100 -- the lease clock's ms in one of the machine's
local LAG, SETTLE = 1000, 2000 -- how long an effect is not shown; how long we wait for that

local function clock() return store.boottime() * SPEED end

local function nap(ms) uv.sleep(math.max(1, math.ceil(ms))) end

local BEFORE_TX1, AFTER_TX1, MID_SEND, BEFORE_TX2, AFTER_TX2 = 1, 2, 3, 4, 5

local function boundary(n)
  if faults == "kill=" .. n then uv.kill(uv.os_getpid(), "sigkill") end
  if not random then return end
  local die = math.random(100)
  if die <= 4 then
    uv.kill(uv.os_getpid(), "sigkill")
  elseif die <= 7 then
    uv.kill(uv.os_getpid(), "sigstop")
  end
end

local j = assert(journal.open(path, { boottime = clock }))
local w = assert(j:join(run))
local file = assert(uv.fs_open(graph, "a", 384))

-- The tenant acts some time before the request is over, whatever becomes of who sent it. Returns when, or nothing
-- where it takes too long for an answer.
local function send(op, attempt)
  local slow = random and math.random(8) == 1
  local at = slow and attempt.over_at - math.random(0, 500) or clock() + math.random(200, 3000)
  assert(uv.fs_write(file, ("%s %d/%d %d\n"):format(attempt.client_request_id, op.subj, op.op, at)))
  return not slow and at or nil
end

-- Whether a read that begins now shows an effect of this operation.
local function applied(op, now)
  for line in io.lines(graph) do
    local key, at = line:match "^%S+ (%S+) (%d+)$"
    if key == op.subj .. "/" .. op.op and tonumber(at) + LAG <= now then return true end
  end
  return false
end

local function nap_alive(ms)
  while ms > 0 do
    if w:beat_in() < SPEED * 40 and not w:heartbeat() then return end
    nap(math.min(ms, 20))
    ms = ms - 20
  end
end

-- What a read says of an operation of which nobody knows.
local function settle_unknown(op)
  if op.action == "blind" then return { subj = op.subj, op = op.op, state = "needs_human" } end
  nap_alive((op.over_at + SETTLE - clock()) / SPEED)
  local read_at = clock()
  local yes = applied(op, read_at)
  return { subj = op.subj, op = op.op, state = yes and "verified" or "planned", probe = yes and "yes" or "no",
    read_at = read_at, authoritative = true }
end

local function answer(op, attempt, at)
  local outcome = { subj = op.subj, op = op.op, n = attempt.n }
  if not at or random and math.random(10) == 1 then -- the answer is late, or lost
    outcome.state = "unknown"
    return outcome
  end
  nap((at - clock()) / SPEED)
  outcome.state, outcome.http_status = op.effect == "command" and "submitted" or "changed", 204
  return outcome
end

-- One operation on the wire; nil: it was not sent, and is lost.
local function try(op, attempt)
  if random and math.random(10) == 1 then
    return { subj = op.subj, op = op.op, n = attempt.n, state = "planned", http_status = 429 }
  end
  if clock() + 5000 > attempt.over_at then -- too late to begin
    return { subj = op.subj, op = op.op, n = attempt.n, state = "planned", sent = false }
  end
  if not w:margin() then return nil end
  local at = send(op, attempt)
  boundary(MID_SEND)
  return answer(op, attempt, at)
end

-- The operations of one tick: intents together, outcomes together. False: taken for dead.
local function tick(ops)
  local list = {}
  for i, op in ipairs(ops) do list[i] = { subj = op.subj, op = op.op, method = "POST", path = "/" .. op.op_key } end
  boundary(BEFORE_TX1)
  local attempts = w:intend(list)
  if not attempts then return false end
  boundary(AFTER_TX1)
  local outcomes = {}
  for i, attempt in ipairs(attempts) do outcomes[#outcomes + 1] = try(ops[i], attempt) end
  boundary(BEFORE_TX2)
  if not w:settle(outcomes) then return false end
  boundary(AFTER_TX2)
  return true
end

local function ops_in(subjects, state)
  local list = {}
  for _, s in ipairs(subjects) do
    for _, op in ipairs(s.ops) do
      if op.state == state then list[#list + 1] = op end
    end
  end
  return list
end

-- Reads the claimed people's operations anew.
local function refresh(subjects)
  for i, s in ipairs(subjects) do
    local row = assert(j.db:one("SELECT * FROM subject WHERE run_id = ? AND subj = ?", run, s.subj))
    subjects[i] = j:read_subject(j.db, row)
  end
end

local function release(subjects)
  local list = {}
  for i, s in ipairs(subjects) do
    list[i] = { subj = s.subj, state = #ops_in({ s }, "needs_human") > 0 and "needs_human" or "done" }
  end
  return w:release(list)
end

local function settle_each(subjects, state, how)
  for _, op in ipairs(ops_in(subjects, state)) do
    if not w:settle { how(op) } then return false end
  end
  return true
end

local function confirm(op)
  while not applied(op, clock()) do nap_alive(10) end
  return { subj = op.subj, op = op.op, state = "verified" }
end

-- All of it for some people; false: taken for dead.
local function work(subjects)
  repeat
    if not settle_each(subjects, "unknown", settle_unknown) then return false end
    refresh(subjects)
    local planned = ops_in(subjects, "planned")
    if #planned > 0 and not tick(planned) then return false end
    refresh(subjects)
  until #ops_in(subjects, "planned") == 0 and #ops_in(subjects, "unknown") == 0
  if not settle_each(subjects, "submitted", confirm) then return false end
  refresh(subjects)
  return release(subjects)
end

while true do
  local at = j:advance(run)
  if at and at.state ~= "open" then break end
  local subjects = w:claim(3)
  if w.lost or subjects and #subjects > 0 and not work(subjects) then
    w:leave()
    w = assert(j:join(run))
  elseif not subjects or #subjects == 0 then
    nap_alive(20)
  end
end
w:leave()
j:close()
