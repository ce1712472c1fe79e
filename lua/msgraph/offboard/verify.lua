--- Whether what a run says it did is so: reads, and changes nothing, in the tenant or in the journal.
local recover = require "msgraph.offboard.recover"
local task = require "msgraph.task"

local M = {}

local SKEW <const> = 120 -- seconds

local DONE = { changed = true, unchanged = true, verified = true, submitted = true }

---@class msgraph.offboard.Finding
---@field subject msgraph.journal.Subject
---@field op msgraph.journal.Op
---@field found "verified"|"submitted"|"drifted"|"unknown"  submitted: asked for, not there yet; unknown: no read tells
---@field err? msgraph.Error why it could not be read

local FOUND = { yes = "verified", pending = "submitted", no = "drifted" }

local function look(client, item, workflow)
  local answer, err = recover.probe(client, item.subject, item.op, workflow, SKEW)
  item.found, item.err = FOUND[answer] or "unknown", err
end

--- Reads every operation of a run that was done.
---@param o { client: msgraph.Client, journal: msgraph.Journal, run_id: string, workflow?: msgraph.offboard.Workflow }
---@return msgraph.offboard.Finding[] in the order of people and operations
function M.run(o)
  local items = {}
  for subject in o.journal:subjects(o.run_id) do
    for _, op in ipairs(subject.ops) do
      if DONE[op.state] then items[#items + 1] = { subject = subject, op = op } end
    end
  end
  task.map(items, { batch = true }, function(item)
    look(o.client, item, o.workflow)
    return true
  end)
  return items
end

return M
