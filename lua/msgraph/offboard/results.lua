--- What became of work that people did: reads the file that a script of msgraph.offboard.worklist wrote, or one that
--- somebody filled in.
--
-- A CSV with these columns: run, operation, key, status (done or failed), message, time, by. Every line has to be of
-- the run that is meant and of work that is a person's there: one that is not, and nothing of the file is taken in.
-- Of several lines of one task the last counts, after one that says done none.
local csv = require "msgraph.csv"
local errors = require "msgraph.errors"

local M = {}

local COLUMNS <const> = { "run", "operation", "key", "status", "message", "time", "by" }

local function columns_of(head)
  local at = {}
  for i, name in ipairs(head) do
    if at[name] then return nil, ("the column '%s' is there twice"):format(name) end
    at[name] = i
  end
  for _, name in ipairs(COLUMNS) do
    if not at[name] then return nil, ("the column '%s' is missing"):format(name) end
  end
  return at
end

-- The work of people in a run, by number: "17.4".
local function work_of(journal, run_id)
  local work = {}
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      if op.desired.hand_off then
        work[("%d.%d"):format(subject.subj, op.op)] = { subj = subject.subj, op_key = op.op_key, label = subject.label,
          what = op.desired.label }
      end
    end
  end
  return work
end

local STATUS = { done = true, failed = true }

local function result_of(row, run_id, work)
  if row.run ~= run_id then return nil, ("it is of another run, %s"):format(row.run) end
  local item = work[row.operation]
  if not item then return nil, ("there is no task %s in this run"):format(row.operation) end
  if row.key ~= item.op_key then return nil, ("task %s is %s, not %s"):format(row.operation, item.op_key, row.key) end
  if not STATUS[row.status] then return nil, ("the status is done or failed, not '%s'"):format(row.status) end
  if not row.time:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$" then
    return nil, ("'%s' is no time such as 2025-01-31T08:00:00Z"):format(row.time)
  end
  if row.by == "" then return nil, "'by' does not say who did it" end
  if row.status == "failed" and row.message == "" then return nil, "it failed, and the message does not say why" end
  return { subj = item.subj, op_key = item.op_key, label = item.label, what = item.what, done = row.status == "done",
    message = row.message ~= "" and row.message or nil, at = row.time, by = row.by }
end

local function row_of(record, columns, width)
  if #record ~= width then return nil, ("it has %d fields, and there are %d columns"):format(#record, width) end
  local row = {}
  for name, i in pairs(columns) do row[name] = record[i] end
  return row
end

local function results_of(text, run_id, work)
  if not utf8.len(text) or text:find("\0", 1, true) then return nil, "it is not UTF-8: save it as CSV UTF-8" end
  local records, reason = csv.parse(text)
  if not records then return nil, reason end
  if not records[1] then return nil, "it is empty" end
  local columns, row, result
  columns, reason = columns_of(records[1])
  if not columns then return nil, ("line %d: %s"):format(records[1].line, reason) end
  local results, place_of = {}, {}
  for i = 2, #records do
    row, reason = row_of(records[i], columns, #records[1])
    if row then result, reason = result_of(row, run_id, work) end
    if reason then return nil, ("line %d: %s"):format(records[i].line, reason) end
    local place = place_of[row.operation] or #results + 1
    if not (results[place] and results[place].done) then results[place] = result end
    place_of[row.operation] = place
  end
  return results
end

--- Reads the results of a run's work.
---@param journal msgraph.Journal
---@param run_id string
---@param path string
---@return table[]? results as journal:hand_in takes them, with `label` (whose) and `what`
---@return msgraph.Error? code "results": the file, and the line that is wrong
function M.read(journal, run_id, path)
  local file, reason = io.open(path, "rb")
  local text = file and file:read "a"
  if file then file:close() end
  if not text then reason = reason or path .. ": it can not be read" end
  local results
  if text then
    results, reason = results_of(text, run_id, work_of(journal, run_id))
    reason = reason and ("%s: %s"):format(path, reason)
  end
  if results then return results end
  return nil, errors.new { kind = "invalid", code = "results", message = reason, phase = "not_sent",
    hint = "nothing of it was taken in" }
end

return M
