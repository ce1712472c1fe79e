-- lua/msgraph/offboard/plan_file.lua
--- A plan as lines of JSON, in a file and in memory.
--
-- The first line says what it is, the second is the plan without its people, in its canonical form
-- (msgraph.offboard.canonical); then each person has a line, in that form too; each line after that is an approval. The
-- hash is taken over the second line and the SHA-256 of each person's, with line breaks between. People are read from
-- their lines one at a time, and anew each time: a plan in memory is little more than its text.
--
--   1  { "format": "msgraph-plan", "version": 1, "people": n, "plan_hash": "sha256:…" }
--   2  the body of msgraph.offboard.plan, without `subjects`
--   3… subjects
--   …  { "approver": "…", "plan_hash": "sha256:…", "danger_max": "destructive", "at": 1764000000 }
local canonical = require "msgraph.offboard.canonical"
local core = require "msgraph.core"
local errors = require "msgraph.errors"
local json = require "msgraph.json"

local M = {}

local FORMAT <const>, VERSION <const> = "msgraph-plan", 1

local function fail(code, message)
  return nil, errors.new { kind = "invalid", code = code, message = message }
end

-- The people of these lines.
local function people_of(lines)
  return setmetatable({}, { __len = function() return #lines end,
    __index = function(_, i) return lines[i] and json.decode(lines[i]) end })
end

local function hash_of(head, lines)
  local parts = { head }
  for i, line in ipairs(lines) do parts[i + 1] = core.sha256(line) end
  return "sha256:" .. core.sha256(table.concat(parts, "\n"))
end

--- A plan of a body; nothing of it may be changed any more.
---@param body table see msgraph.offboard.plan; subjects: tables, or their lines
---@return msgraph.offboard.Plan
function M.seal(body)
  local lines = {}
  for i, subject in ipairs(body.subjects) do
    lines[i] = type(subject) == "string" and subject or canonical.encode(subject)
  end
  body.subjects = nil
  local head = canonical.encode(body)
  body.subjects = people_of(lines)
  return { body = body, head = head, people = lines, plan_hash = hash_of(head, lines), approvals = {} }
end

--- Writes a plan: at once, for the owner's eyes only.
---@param plan msgraph.offboard.Plan
---@param path string
---@return true? ok
---@return msgraph.Error? code "plan_file"
function M.save(plan, path)
  local header = { format = FORMAT, version = VERSION, people = #plan.people, plan_hash = plan.plan_hash }
  local lines = { canonical.encode(header), plan.head }
  table.move(plan.people, 1, #plan.people, 3, lines)
  for _, approval in ipairs(plan.approvals) do lines[#lines + 1] = canonical.encode(approval) end
  lines[#lines + 1] = ""
  local ok, reason = core.write_private(path, table.concat(lines, "\n"))
  if not ok then return fail("plan_file", reason) end
  return true
end

local function header_of(path, line)
  local header = line and json.decode(line)
  if type(header) ~= "table" or header.format ~= FORMAT then return fail("plan_file", path .. ": this is no plan") end
  if math.type(header.version) ~= "integer" or header.version > VERSION then
    return fail("plan_newer",
      ("%s: made by a newer msgraph (plan version %s, this one reads %d): apply it with that one")
      :format(path, tostring(header.version), VERSION))
  end
  return header
end

-- Only what ends with a line break is a line: what was cut off is none.
local function lines_of(file)
  return function()
    local line = file:read "L"
    return line and line:match "^(.*)\n$"
  end
end

local function read_people(next_line, most)
  local lines = {}
  while #lines < most do
    local line = next_line()
    if not line then break end
    lines[#lines + 1] = line
  end
  return lines
end

local function approvals_of(path, next_line, n, hash)
  local approvals = {}
  for line in next_line do
    n = n + 1
    local approval = json.decode(line)
    if type(approval) ~= "table" or approval.plan_hash ~= hash then
      return fail("plan_tampered", ("%s: line %d is no approval of this plan"):format(path, n))
    end
    approvals[#approvals + 1] = approval
  end
  return approvals
end

--- Reads a plan. That it has expired is no error here: it can still be shown.
---@param path string
---@return msgraph.offboard.Plan?
---@return msgraph.Error? code "plan_file", "plan_newer", "plan_tampered"
function M.load(path)
  local file <close>, reason = io.open(path, "rb")
  if not file then return fail("plan_file", reason) end
  local next_line = lines_of(file)
  local header, err = header_of(path, next_line())
  if not header then return nil, err end
  local head = next_line() or ""
  local lines = read_people(next_line, math.tointeger(header.people) or 0)
  local hash = hash_of(head, lines)
  if hash ~= header.plan_hash then
    return fail("plan_tampered", path .. ": it was changed after it was made (its hash does not fit): plan again")
  end
  local approvals, problem = approvals_of(path, next_line, 2 + #lines, hash)
  if not approvals then return nil, problem end
  local body = json.decode(head)
  body.subjects = people_of(lines)
  return { body = body, head = head, people = lines, plan_hash = hash, approvals = approvals }
end

return M
