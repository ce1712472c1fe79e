--- What nobody knows is settled by reading: whether an operation was carried out, and what follows from that.
--
-- A read that says it was may be made at once. One that says it was not counts only when the request can not be
-- carried out any more and the service has had time to show it: after the attempt's deadline and, for what must not
-- act twice, the action's settle time.
local actions = require "msgraph.offboard.actions"
local canonical = require "msgraph.offboard.canonical"
local errors = require "msgraph.errors"
local json = require "msgraph.json"
local outcome = require "msgraph.offboard.outcome"
local reader = require "msgraph.offboard.reader"

local M = {}

M.SETTLE = 60 -- seconds until a read shows what an own step did
local TRIES <const> = 3 -- reads of a command that can not tell, before a person is asked
local ATTEMPTS <const> = 8 -- sendings of a state that does not come about

local ANSWERS = { yes = true, no = true, pending = true, gone = true }
local WORDS = { unknown = "cannot_tell", [true] = "yes", [false] = "no" }

-- An operation as probes know it.
local function as_planned(subject, op)
  return { key = op.op_key, action = op.action, subject_id = subject.object_id, target_id = op.target_id,
    target = op.target_id, name = op.desired.name, desired = op.desired }
end

local function forward_probe(op, action, workflow)
  if op.action ~= "step" then return action and action.probe end
  for _, stage in ipairs(workflow and workflow.stages or {}) do
    if stage.step and stage.name == op.op_key:match "^[^/]*" then return stage.step.probe end
  end
end

local REVERSED = { yes = "no", no = "yes", [true] = "no", [false] = "yes" }

-- What undoes an operation is done when that operation is no longer so.
local function reversed(probe)
  return function(g, op, since)
    op.desired = op.desired.undoes
    return REVERSED[probe(g, op, since)] or "unknown"
  end
end

local function text_of(value)
  return canonical.encode(value == nil and json.null or value)
end

-- Of a PATCH nobody has a probe for: whether a property is another than it set.
local function is_patched_back(g, op)
  local set, names = json.decode(op.desired.undoes.body), {}
  for name in pairs(set) do names[#names + 1] = name end
  local now = g.get(op.desired.undoes.path, { select = names })
  if not now then return "gone" end
  for name, value in pairs(set) do
    if text_of(value) ~= text_of(now[name]) then return "yes" end
  end
  return "no"
end

local function probe_of(op, workflow)
  local action, undoes = actions.find(op.action), op.desired.undoes
  local probe = forward_probe(op, action, workflow)
  if not undoes then return probe end
  if action and action.back then return action.back end
  return probe and reversed(probe) or undoes.method == "PATCH" and is_patched_back
end

--- Reads whether an operation has been done.
---@param client msgraph.Client
---@param subject msgraph.journal.Subject
---@param op msgraph.journal.Op
---@param workflow? msgraph.offboard.Workflow for own steps: they probe by themselves
---@param skew? integer seconds by which the service's clock may be behind ours, where a moment is compared; default 0
---@return "yes"|"no"|"pending"|"cannot_tell"|"gone"|nil answer nil: it could not be read; gone: what it was to be
---   brought back to (op.desired.undoes)
---@return msgraph.Error?
function M.probe(client, subject, op, workflow, skew)
  local probe = probe_of(op, workflow)
  if not probe then return "cannot_tell" end
  local since = (op.intent_at or 0) // 1000 - (skew or 0)
  local ok, answer = pcall(probe, reader.new(client), as_planned(subject, op), since)
  if ok then
    answer = WORDS[answer] or answer
    return ANSWERS[answer] and answer or "cannot_tell"
  end
  if not errors.Error.is(answer) then error(answer, 0) end
  if answer.kind == "not_found" and op.desired.undoes then return "gone" end
  if answer.kind == "forbidden" then return "cannot_tell" end -- it may be done, and may not be looked at
  return nil, answer
end

--- How long the service may take to show what an operation did, seconds.
---@param op msgraph.journal.Op
---@return number
function M.settle_of(op)
  local action = actions.find(op.action)
  return action and action.settle or M.SETTLE
end

--- When a "no" counts, ms of journal.clock.
---@param op msgraph.journal.Op
---@return number
function M.counts_from(op)
  return (op.over_at or 0) + (op.effect == "converge" and 0 or M.settle_of(op) * 1000)
end

local function human(answer, reason)
  return { state = "needs_human", probe = answer, reason = reason }
end

local function again(op, answer, read_at, now)
  if op.attempts >= ATTEMPTS then
    return { state = "failed", probe = answer, reason = ("sent %d times, and it still is not so"):format(op.attempts) }
  end
  return { state = "planned", probe = answer, read_at = read_at, next_at = now + outcome.backoff(op.attempts) }
end

--- What follows from an answer: an outcome as worker:settle takes it; nil: read again later.
---@param op msgraph.journal.Op
---@param answer "yes"|"no"|"pending"|"cannot_tell"|"gone"
---@param read_at integer ms of journal.clock, when the read began
---@param tries integer reads so far that counted, this one among them
---@param now integer Unix ms
---@return table?
function M.decide(op, answer, read_at, tries, now)
  if answer == "yes" then return { state = "verified", probe = answer } end
  if answer == "gone" then return human(answer, outcome.GONE) end
  if answer == "pending" and op.effect == "command" then return { state = "submitted", probe = answer } end
  local is_late_enough = read_at >= M.counts_from(op)
  if op.effect == "once" and (is_late_enough or answer == "cannot_tell") then
    return human(answer, "it may have been done: look, then msgraph resolve")
  end
  if not is_late_enough then return nil end
  if op.effect == "converge" then
    return again(op, answer == "no" and "no" or "cannot_tell", read_at, now)
  elseif answer == "no" then
    return again(op, answer, read_at, now)
  end
  return tries >= TRIES and human("cannot_tell", "a read can not tell whether it was done: look, then msgraph resolve")
    or nil
end

return M
