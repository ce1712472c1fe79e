--- Tells a workflow's observers (`wf:on`) what becomes of its plan, in the process that carries it out.
--
-- They hear of what is on the disk already, and can change nothing: what they return is not looked at, and one that
-- goes wrong is said once and told nothing more. They are told as long as the workflow's file is the one that was
-- planned, and once: what another process did, or this one before it was killed, is in the journal's events.
local language = require "msgraph.offboard.language"
local report = require "msgraph.offboard.report"
local sandbox = require "msgraph.offboard.sandbox"

local M = {}

---@class msgraph.offboard.Event
---@field event string        as for wf:on
---@field run_id string
---@field wave? integer       of "wave.started": from 1 on
---@field label? string       of a person's: the principal name
---@field object_id? string
---@field stage? string       of "stage.finished" (of one person's) and "op.finished": its name
---@field action? string      of "op.finished"
---@field op? string          its key
---@field name? string        what it was about, for people: "Set up the laptop"
---@field reason? string
---@field state? string       what came of it: of an operation, of the person, of the run ("done", "halted", "open")
---@field recap? string       "changed=3 unchanged=1 ...", of a person or of the run

local function recap_of(ops)
  local count = {}
  for _, op in ipairs(ops) do count[op.state] = (count[op.state] or 0) + 1 end
  return report.recap(count)
end

local ENDED = { done = true, failed = true, skipped = true, needs_human = true }

-- What an engine tells, as events. Each is of a person, and of what happened to him; nil: observers are not told.
local EVENTS = {}

function EVENTS.op(stages, subject, op)
  return "op.finished", { stage = stages[op.stage + 1].name, action = op.action, op = op.op_key,
    name = op.desired.label, state = op.state, reason = op.reason }, subject
end

function EVENTS.stage(stages, subject, stage)
  return "stage.finished", { stage = stages[stage + 1].name, recap = recap_of(subject.ops) }, subject
end

function EVENTS.released(_, subject, release)
  if not ENDED[release.state] then return nil end
  return "subject.finished", { state = release.state, recap = recap_of(subject.ops) }, subject
end

function EVENTS.started() return "run.started", {} end

function EVENTS.wave(_, _, wave) return "wave.started", { wave = wave + 1 } end

function EVENTS.ended(_, _, status)
  return "run.finished", { state = status.run.state, recap = report.recap(status.ops) }
end

local UNSETTLED = { planned = true, unknown = true, intent = true }

local function tell_one(list, i, event)
  local ok, err = pcall(sandbox.call, list[i], event)
  if ok then return end
  list[i] = function() end
  language.log.info(("msgraph: an observer of %s is told no more: %s"):format(event.event, tostring(err)))
end

--- What to call with an engine's news: kind, person, what.
---@param workflow? msgraph.offboard.Workflow
---@param run_id string
---@param stages table[] the plan's
---@return fun(kind: string, subject?: table, what?: any)
function M.of(workflow, run_id, stages)
  local observers = workflow and workflow.observers or {}
  if not next(observers) then return function() end end
  return function(kind, subject, what)
    if kind == "op" and UNSETTLED[what.state] or not EVENTS[kind] then return end
    local name, event, who = EVENTS[kind](stages, subject, what)
    local list = observers[name] or {}
    if #list == 0 then return end
    event.event, event.run_id = name, run_id
    if who then event.label, event.object_id = who.label, who.object_id end
    for i = 1, #list do tell_one(list, i, event) end
  end
end

return M
