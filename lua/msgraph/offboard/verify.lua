--- Whether what a run says it did is so, and whether people have done what was left to them: reads, and changes nothing
--- in the tenant. What it sees to be done, the journal is told.
local recover = require "msgraph.offboard.recover"
local states = require "msgraph.offboard.journal.states"
local task = require "msgraph.task"

local M = {}

local SKEW <const> = 120 -- seconds

local AT_ONCE <const> = 500 -- operations a transaction

---@class msgraph.offboard.Finding
---@field subject msgraph.journal.Subject
---@field op msgraph.journal.Op
---@field found "verified"|"submitted"|"drifted"|"unknown"|"changed"|"needs_human"  submitted: asked for, not there yet;
---   unknown: no read tells; changed: none does, but a person said so; needs_human: a person's still
---@field err? msgraph.Error why it could not be read

local FOUND = { yes = "verified", pending = "submitted", no = "drifted" }

local function look(client, item, workflow)
  local answer, err = recover.probe(client, item.subject, item.op, workflow, SKEW)
  item.found, item.err = FOUND[answer] or "unknown", err
  if item.op.state == "needs_human" and answer ~= "yes" then
    item.found = "needs_human"
  elseif item.op.desired.hand_off and answer == "cannot_tell" then
    item.found = "changed"
  end
end

--- Reads every operation of a run that was done, or is a person's.
---@param o { client: msgraph.Client, journal: msgraph.Journal, run_id: string, workflow?: msgraph.offboard.Workflow,
---   on?: fun(done: integer, total: integer) } on: is told how many have been read
---@return msgraph.offboard.Finding[] in the order of people and operations
function M.run(o)
  local items, planned_at = {}, o.journal:status(o.run_id).run.options.created_at * 1000
  for subject in o.journal:subjects(o.run_id) do
    for _, op in ipairs(subject.ops) do
      if states.WELL[op.state] or op.state == "needs_human" then
        op.intent_at = op.intent_at or planned_at -- a person may have done it since then
        items[#items + 1] = { subject = subject, op = op }
      end
    end
  end
  local done = 0
  task.map(items, { batch = true }, function(item)
    look(o.client, item, o.workflow)
    done = done + 1
    if o.on then o.on(done, #items) end
    return true
  end)
  return items
end

--- Tells the journal what was seen to be done.
---@param journal msgraph.Journal
---@param run_id string
---@param findings msgraph.offboard.Finding[]
---@param actor string
---@return integer? count operations that are verified now, and were not
---@return msgraph.Error?
function M.record(journal, run_id, findings, actor)
  local ops, count = {}, 0
  for i, item in ipairs(findings) do
    if item.found == "verified" and states.CONFIRMABLE[item.op.state] then
      ops[#ops + 1] = { subj = item.subject.subj, op = item.op.op }
    end
    if #ops == AT_ONCE or i == #findings then
      local done, err = journal:confirm { run_id = run_id, actor = actor, ops = ops }
      if not done then return nil, err end
      ops, count = {}, count + done
    end
  end
  return count
end

return M
