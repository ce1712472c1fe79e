-- lua/msgraph/offboard/show.lua
--- A plan as text that a manager can read: who, what, and what needs a person.
local M = {}

local function date(seconds) return os.date("!%Y-%m-%d %H:%M UTC", seconds) end

-- Names come from a directory: they stay on their line.
local function clean(value)
  return (tostring(value):gsub("%c", " "):gsub("\xC2[\x80-\x9F]", " "))
end

local function plural(count, one, many) return ("%d %s"):format(count, count == 1 and one or many) end

local function durations(seconds)
  for _, unit in ipairs { { 86400, "day", "days" }, { 3600, "hour", "hours" }, { 60, "minute", "minutes" } } do
    if seconds >= unit[1] then return plural(seconds // unit[1], unit[2], unit[3]) end
  end
  return plural(seconds, "second", "seconds")
end

-- ---- the head -----------------------------------------------------------------------------------

local function dangers(summary)
  local parts = {}
  for _, danger in ipairs { "irreversible", "destructive", "disruptive", "safe" } do
    local count = summary.by_danger[danger]
    if count then parts[#parts + 1] = ("%d %s"):format(count, danger) end
  end
  return #parts > 0 and (" (%s)"):format(table.concat(parts, ", ")) or ""
end

local function params_line(body)
  local parts = {}
  for name, value in pairs(body.params) do
    parts[#parts + 1] = ("%s=%s"):format(name, type(value) == "table" and "each one's manager" or tostring(value))
  end
  table.sort(parts)
  return #parts > 0 and { "With " .. clean(table.concat(parts, ", ")) } or {}
end

local function selection_lines(body)
  local lines, given = {}, body.selection or { only = {}, except = {} }
  if #given.only > 0 then lines[1] = "Only " .. clean(table.concat(given.only, ", ")) end
  if #given.except > 0 then lines[#lines + 1] = "Without " .. clean(table.concat(given.except, ", ")) end
  return lines
end

local function title(body)
  local people = plural(body.summary.people, "person", "people")
  if body.restore then
    return ("Way back from run %s of %s: %s"):format(body.restore.run_id, body.workflow.name, people)
  end
  return ("Plan of %s, version %d: %s"):format(body.workflow.name, body.workflow.version, people)
end

local function waves_line(body)
  local ends, parts, before = body.limits.waves, {}, 0
  for i, last in ipairs(ends) do
    parts[i], before = tostring(last - before), last
  end
  return #parts > 1 and { ("In %d waves of %s people"):format(#parts, table.concat(parts, ", ")) } or {}
end

local function stage_lines(body)
  local lines = {}
  for _, stage in ipairs(body.stages) do
    local after = table.concat(stage.after, " and ")
    if stage.wait > 0 then
      lines[#lines + 1] = ("Stage %s begins %s after %s"):format(stage.name, durations(stage.wait), after)
    elseif stage.wait_for then
      lines[#lines + 1] = ("Stage %s begins for each when %s is confirmed"):format(stage.name, after)
    end
  end
  return lines
end

local function approvals_line(plan)
  local names = {}
  for i, approval in ipairs(plan.approvals) do
    names[i] = ("%s (%s)"):format(clean(approval.approver), date(approval.at))
  end
  return #names > 0 and "Approved by " .. table.concat(names, ", ") or "Approved by nobody yet"
end

local function head(plan, where_refused)
  local body, lines = plan.body, {}
  local function add(...) for _, line in ipairs { ... } do lines[#lines + 1] = line end end
  local summary = body.summary
  add(title(body))
  add(("Made %s by %s, good until %s"):format(date(body.created_at), clean(body.created_by), date(body.expires_at)))
  add(table.unpack(params_line(body)))
  add(table.unpack(selection_lines(body)))
  add(("To do: %s%s"):format(plural(summary.operations, "operation", "operations"), dangers(summary)))
  add(("By hand: %s"):format(plural(summary.hand_offs, "task", "tasks")))
  add(table.unpack(waves_line(body)))
  add(table.unpack(stage_lines(body)))
  if summary.refused > 0 then add(("Refused: %s, %s"):format(plural(summary.refused, "person", "people"),
    where_refused)) end
  for _, line in ipairs(body.unmatched) do add("Left out: " .. clean(line)) end
  for _, line in ipairs(body.duplicates) do add("Named twice: " .. clean(line)) end
  add(approvals_line(plan), "Hash " .. plan.plan_hash)
  return lines
end

-- ---- one person ---------------------------------------------------------------------------------

local MARKS = { irreversible = "!!", destructive = "! ", disruptive = "* ", safe = "  " }

local function op_lines(op)
  local hand_off = op.desired.hand_off
  if not hand_off then
    local about = op.about and (" (%s)"):format(op.about) or ""
    return { ("    %s %s%s"):format(MARKS[op.danger], clean(op.label), about) }
  end
  local lines = { ("    %s %s (%s): %s"):format("->", clean(op.label), hand_off.system, clean(hand_off.why)) }
  if hand_off.powershell then lines[2] = "         " .. clean(hand_off.powershell) end
  return lines
end

-- The lines of a stage: what is done, then what is not and why.
local function stage_of(subject, stage)
  local lines = {}
  local function add(line) lines[#lines + 1] = line end
  for _, op in ipairs(subject.ops) do
    if op.stage == stage.name then
      for _, line in ipairs(op_lines(op)) do add(line) end
    end
  end
  for _, item in ipairs(subject.notes) do
    if item.stage == stage.name then add(("    -  %s: %s"):format(item.action == "step" and stage.name or item.action,
      clean(item.why))) end
  end
  return lines
end

local function person(body, subject)
  local lines = { ("%s <%s>  %s"):format(clean(subject.label), clean(subject.user_principal_name), subject.where) }
  if subject.refused then
    lines[2] = "  refused: " .. subject.refused
    return lines
  end
  for _, stage in ipairs(body.stages) do
    local inner = stage_of(subject, stage)
    if #inner > 0 then lines[#lines + 1] = "  " .. stage.name end
    table.move(inner, 1, #inner, #lines + 1, lines)
  end
  return lines
end

local LEGEND <const> = "!! irreversible   ! destructive   * disruptive   -> by hand   - not done, and why"

--- The whole plan.
---@param plan msgraph.offboard.Plan
---@return string text ends in a line end
function M.text(plan)
  local lines = head(plan, "see below")
  lines[#lines + 1] = ""
  lines[#lines + 1] = LEGEND
  for _, subject in ipairs(plan.body.subjects) do
    lines[#lines + 1] = ""
    local inner = person(plan.body, subject)
    table.move(inner, 1, #inner, #lines + 1, lines)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- The summary alone.
---@param plan msgraph.offboard.Plan
---@return string
function M.summary(plan)
  return table.concat(head(plan, "which `msgraph show` explains"), "\n") .. "\n"
end

return M
