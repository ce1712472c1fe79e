--- What became of a run: counts, a text for people, and tables for programs.
local json = require "msgraph.json"

local M = {}

-- The words of a recap, in order, and the states of operations each counts.
local WORDS <const> = { "changed", "unchanged", "verified", "submitted", "skipped", "drifted", "approval", "human",
  "failed" }
local STATE = { needs_approval = "approval", needs_human = "human" }
-- Of a run that is not at its end.
local OPEN = { "planned", "intent", "unknown" }

--- "changed=3 unchanged=0 …", and what is left, where something is.
---@param ops table<string, integer> by state, as journal:status has them
---@return string
function M.recap(ops)
  local by_word, out = {}, {}
  for state, count in pairs(ops) do by_word[STATE[state] or state] = count end
  for i, word in ipairs(WORDS) do out[i] = ("%s=%d"):format(word, by_word[word] or 0) end
  local unknown = (ops.unknown or 0) + (ops.intent or 0)
  if unknown > 0 then out[#out + 1] = ("unknown=%d"):format(unknown) end
  if ops.planned then out[#out + 1] = ("left=%d"):format(ops.planned) end
  return table.concat(out, " ")
end

--- Whether something is left that this program can do by itself.
function M.is_open(ops)
  for _, state in ipairs(OPEN) do
    if (ops[state] or 0) > 0 then return true end
  end
  return false
end

-- ---- tables -------------------------------------------------------------------------------------

-- Spreadsheets take what begins like this for a formula, and names are given by users.
local function quoted(text)
  if text:find "^[=+@\t-]" then text = "'" .. text end
  return text:find '[",\r\n;]' and '"' .. text:gsub('"', '""') .. '"' or text
end

local function line(cells)
  local out = {}
  for i, cell in ipairs(cells) do out[i] = quoted(cell) end
  return table.concat(out, ",") .. "\n"
end

local function time(ms)
  return ms and os.date("!%Y-%m-%dT%H:%M:%SZ", ms // 1000) or ""
end

local OPS = { "userPrincipalName", "userId", "id", "key", "action", "targetId", "label", "effect", "danger", "state",
  "reason", "attempts", "sentAt", "httpStatus", "code", "requestId", "clientRequestId" }

local function op_cells(subject, op)
  local id = ("%d.%d"):format(subject.subj, op.op)
  return { subject.label, subject.object_id, id, op.op_key, op.action, op.target_id, op.desired.label or "",
    op.effect, op.danger, op.state, op.reason or "", tostring(op.attempts), time(op.intent_at),
    tostring(op.http_status or ""), op.graph_code or "", op.graph_request_id or "", op.client_request_id or "" }
end

--- One row for each operation.
---@param journal msgraph.Journal
---@param run_id string
---@param write fun(text: string)
function M.ops_csv(journal, run_id, write)
  write(line(OPS))
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do write(line(op_cells(subject, op))) end
  end
end

-- Of several operations of one action the worst, and how many.
local RANK = {}
for i, state in ipairs { "skipped", "unchanged", "changed", "verified", "submitted", "drifted", "planned", "intent",
  "unknown", "needs_approval", "needs_human", "failed" } do RANK[state] = i end

local function worst_by_action(subject)
  local out = {}
  for _, op in ipairs(subject.ops) do
    local seen = out[op.action]
    if not seen or RANK[op.state] > RANK[seen] then out[op.action] = op.state end
  end
  return out
end

local function actions_of(journal, run_id)
  local seen, names = {}, {}
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      if not seen[op.action] then
        seen[op.action], names[#names + 1] = true, op.action
      end
    end
  end
  return names
end

--- One row for each person, a column for each action: the worst that became of it.
---@param journal msgraph.Journal
---@param run_id string
---@param write fun(text: string)
function M.results_csv(journal, run_id, write)
  local names = actions_of(journal, run_id)
  local head = { "userPrincipalName", "userId", "state", "wave", "takeovers" }
  write(line(table.move(names, 1, #names, #head + 1, head)))
  for subject in journal:subjects(run_id) do
    local cells = { subject.label, subject.object_id, subject.state, tostring(subject.wave),
      tostring(subject.takeovers) }
    local worst = worst_by_action(subject)
    for _, name in ipairs(names) do cells[#cells + 1] = worst[name] or "" end
    write(line(cells))
  end
end

--- The events, a JSON object a line; the first line says what it is.
---@param journal msgraph.Journal
---@param run_id string
---@param write fun(text: string)
function M.events_jsonl(journal, run_id, write)
  write(json.encode { format = "msgraph-events", version = 1, run = run_id } .. "\n")
  for e in journal:events(run_id) do
    write(json.encode { seq = e.seq, ts = time(e.at), type = e.kind, run = run_id, subj = e.subj, op = e.op,
      worker = e.worker_id, data = e.data, hash = e.hash } .. "\n")
  end
end

-- ---- text ---------------------------------------------------------------------------------------

local SHOWN = {
  failed = true, needs_human = true, needs_approval = true, drifted = true, unknown = true, intent = true,
}

--- How many commands were given, and how many of them a read has shown to be carried out.
---@return integer given
---@return integer seen
function M.commands(journal, run_id)
  local given, seen = 0, 0
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      if op.effect == "command" and (op.state == "submitted" or op.state == "verified") then
        given, seen = given + 1, seen + (op.state == "verified" and 1 or 0)
      end
    end
  end
  return given, seen
end

--- What a person has to look at, a line each: { id, label, what, state, reason, powershell }.
---@return table[]
function M.open_points(journal, run_id)
  local out = {}
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      if SHOWN[op.state] then
        local hand_off = op.desired.hand_off or {}
        out[#out + 1] = { id = ("%d.%d"):format(subject.subj, op.op), label = subject.label, state = op.state,
          what = op.desired.label or op.op_key, reason = op.reason, powershell = hand_off.powershell }
      end
    end
    if subject.takeovers >= 3 and subject.state == "needs_human" then
      out[#out + 1] = { id = tostring(subject.subj), label = subject.label, state = "needs_human",
        what = "everything of this person",
        reason = ("%d workers in a row died at work on it"):format(subject.takeovers) }
    end
  end
  return out
end

return M
