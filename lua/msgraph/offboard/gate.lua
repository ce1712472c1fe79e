--- What a stage waits for before it begins for a person. Pure.
--
-- An earlier stage with on_error = "skip-subject" holds all that come after it up while work of a person is left in it.
-- A stage with wait_for = "confirmed" waits until everything of the stages it comes after is seen to be done: what was
-- only asked for (a device that has not checked in) is not, and after what failed it is not begun at all.
local M = {}

local A_PERSONS = { needs_human = true, needs_approval = true }
local BAD = { failed = true, drifted = true }

local function set_of(list)
  local set = {}
  for _, name in ipairs(list or {}) do set[name] = true end
  return set
end

--- What holds up the stage that a person is at.
---@param stages { name: string, on_error: string, after: string[], wait_for: string? }[] of the run
---@param subject msgraph.journal.Subject
---@return msgraph.journal.Op[] open what has to be done or confirmed first
---@return msgraph.journal.Op? bad what will not be: the stage is left out
function M.of(stages, subject)
  local stage, open, bad = stages[subject.stage + 1] or {}, {}, nil
  local confirmed = stage.wait_for and set_of(stage.after) or {}
  for _, op in ipairs(subject.ops) do
    local policy = stages[op.stage + 1] or {}
    local counts = op.stage < subject.stage and confirmed[policy.name]
    local rests = op.stage < subject.stage and policy.on_error == "skip-subject"
    if A_PERSONS[op.state] and (counts or rests) or op.state == "submitted" and counts then
      open[#open + 1] = op
    elseif counts and BAD[op.state] then
      bad = op
    end
  end
  return open, bad
end

return M
