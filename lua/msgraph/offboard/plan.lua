-- lua/msgraph/offboard/plan.lua
--- A plan: what will be done to whom, before anything is done. The contract between who plans, approves, applies and
--- reports; docs/plan.md is the same for people.
--
-- How it lies in a file: msgraph.offboard.plan_file.
--
-- body = {
--   tenant_id, endpoint            -- where it holds; apply refuses any other
--   workflow = { name, version, file?, hash? }   -- hash of the file's text. Own steps need the file for their probe
--   selection = { only = { words }, except = { words } }   -- what it was limited to: msgraph.offboard.selection
--   restore? = { run_id, journal }  -- of a plan that undoes this run: msgraph.offboard.restore
--   params = { name = value }      -- as given; a person as an object id, ob.manager as { manager = true }
--   created_at, expires_at         -- Unix seconds;   created_by: principal name, or "an application"
--   stages = { { name, after = { names }, on_error = "continue"|"skip-subject"|"stop", wait = seconds,
--                wait_for? = "confirmed" } }
--                                  -- in an order in which each stands after those it comes after
--   limits = { waves = { counts }, halt = { failed?, needs_human?, first_wave_failed? }, … }  -- as the workflow says,
--                                  -- but waves: how many people in all have been begun when each wave ends
--   permissions = { delegated = { names }, application = { names } }   -- what applying and planning need
--   duplicates, unmatched          -- lines for people: names that were left out
--   summary = { people, refused, operations, hand_offs, unchanged, skipped, by_danger, by_action }
--   subjects = { subject }         -- in the order of the list
-- }
-- subject = {
--   id, label, user_principal_name, where   -- where he was named: "line 3"
--   wave                           -- from 0; absent when refused
--   refused?                       -- why nothing is done to him; he has no operations then
--   guard = { path, expect }       -- what must still hold: what `path` answers has these properties. After an
--                                  -- operation with `sets` was applied in this run, those values are expected instead
--   params = { name = { id, … } | value }   -- his own, ob.manager looked up
--   snapshot = { account = …, memberships = …, … }   -- everything that was read, by msgraph.offboard.reads
--   ops = { op }, notes = { { stage, action, status = "unchanged"|"skipped"|"note", why, target_id? } }
-- }
-- op = {
--   key                            -- "contain/account.disable/<target id>": stable, one of a kind in its subject
--   action, action_version         -- of msgraph.offboard.actions; "step" for an own step, whose name is its stage's
--   subject_id, target_id, name?   -- ids to act on; the name is for people
--   stage, deps?                   -- keys of operations of the same subject that must have ended well before
--   effect = "converge"|"command"|"once", danger = "safe"|"disruptive"|"destructive"|"irreversible"
--   desired = { method, path, body?, undoes? } -- `body` is JSON text, to be sent as it is; `undoes`: in a restore, the
--                                  -- request whose inverse this is
--           | { method, path, body, secret = { at = { keys }, kind = "password", length } }
--                                  -- made when it is sent and put at that place: msgraph.offboard.secret
--           | { hand_off = { system, task, why, powershell? } }   -- a person's work: "needs_human" from the start
--   guard?                         -- as the subject's, for this operation alone; or { path, gone }: there is no such
--                                  -- thing any more, else it is a person's work, because of `gone`
--   inverse? = { method, path, body?, effect? }   -- what puts it back. Effect: "converge" when a second sending is
--                                  -- refused; default: by the method and path (msgraph.repeatable)
--   no_inverse?, nothing_to_undo?  -- why a person has to put it back; why nobody has to
--   sets?                          -- properties of the subject's guard that this changes
--   label, about?                  -- for people
-- }
--
-- There is no secret in a plan: passwords are made when they are sent, and bodies hold ids and states.
local actions = require "msgraph.offboard.actions"
local canonical = require "msgraph.offboard.canonical"
local compile = require "msgraph.offboard.compile"
local config = require "msgraph.config"
local errors = require "msgraph.errors"
local files = require "msgraph.offboard.plan_file"
local json = require "msgraph.json"
local language = require "msgraph.offboard.language"
local params = require "msgraph.offboard.params"
local reader = require "msgraph.offboard.reader"
local reads = require "msgraph.offboard.reads"
local selections = require "msgraph.offboard.selection"
local subjects = require "msgraph.offboard.subjects"
local task = require "msgraph.task"
local values = require "msgraph.offboard.values"

local M = {}

---@class msgraph.offboard.Plan
---@field body table        see above; `subjects` knows #, ipairs and [i]
---@field plan_hash string
---@field approvals table[]
---@field package head string the bytes of the second line of its file
---@field package people string[] and those of each person's

M.save, M.load = files.save, files.load

local function fail(code, message)
  return nil, errors.new { kind = "invalid", code = code, message = message }
end

-- ---- making -------------------------------------------------------------------------------------

local function source_of(wf, given)
  if type(given) == "string" then
    local own = wf.subjects and wf.subjects.kind == "csv" and wf.subjects or {}
    return setmetatable({ kind = "csv", file = given, key = own.key, skip_unmatched = own.skip_unmatched },
      language.Source)
  end
  if getmetatable(given) == language.Source then return given end
  if type(given) == "table" then return language.list(given) end
  return wf.subjects
end

-- An app is nobody.
local function who_plans(g)
  local ok, me = pcall(g.get, "/me", { select = { "id", "userPrincipalName" } })
  if ok then return me end
  if errors.Error.is(me) and me.kind == "invalid" then return nil end
  error(me, 0)
end

-- People whom parameters and options name, and those whose value is one person's for all.
local function names_of(wf, filled)
  local names = {}
  for name, param in pairs(wf.params) do
    if param.type == "user" and type(filled[name]) == "string" then names[#names + 1] = filled[name] end
  end
  for _, stage in ipairs(wf.stages) do
    for _, use in ipairs(stage.uses or {}) do
      for option, spec in pairs(use.action.options or {}) do
        if spec.type == "user" and type(use.opts[option]) == "string" then names[#names + 1] = use.opts[option] end
      end
    end
  end
  table.sort(names)
  return names
end

local function new_job(wf, opts, filled)
  local g = reader.new(opts.client)
  local job = { workflow = wf, client = opts.client, reader = g, params = filled, shared = {}, leaving = {} }
  job.me, job.tenant = who_plans(g), g.list("/organization", { select = { "id" } })[1]
  local names, err = names_of(wf, filled), nil
  if names[1] then job.people, err = subjects.resolve(g, names, "a person the workflow or a param names") end
  if err then return nil, err end
  job.protected, err = subjects.protected(g, wf.protect, job.me)
  if not job.protected then return nil, err end
  for _, item in ipairs(wf.protect) do
    job.protects_role_holders = job.protects_role_holders or item.kind == "role_holders"
  end
  job.reads = compile.reads_of(wf, filled)
  return job
end

local function name_and_id(person) return person.account.userPrincipalName, person.id end

-- ---- limits -------------------------------------------------------------------------------------

local function new_summary(people, found)
  local summary = { people = #people, refused = 0, operations = 0, hand_offs = 0, unchanged = 0, skipped = 0,
    by_danger = {}, by_action = {}, unmatched = #found.unmatched, duplicates = #found.duplicates }
  for _, person in ipairs(people) do
    if person.refused then summary.refused = summary.refused + 1 end
  end
  return summary
end

local function count_in(set, name) set[name] = (set[name] or 0) + 1 end

-- Adds what is planned for a person.
local function tally(summary, person)
  for _, op in ipairs(person.ops) do
    if op.desired.hand_off then
      summary.hand_offs = summary.hand_offs + 1
    else
      summary.operations = summary.operations + 1
      count_in(summary.by_danger, op.danger)
      count_in(summary.by_action, op.action == "step" and op.stage or op.action)
    end
  end
  for _, item in ipairs(person.notes) do
    if summary[item.status] then summary[item.status] = summary[item.status] + 1 end
  end
end

local function excesses(limits, summary)
  local out = {}
  local function check(n, most, what)
    if most and n > most then out[#out + 1] = ("%d %s, at most %d"):format(n, what, most) end
  end
  check(summary.people - summary.refused, limits.subjects, "people")
  for _, danger in ipairs { "disruptive", "destructive", "irreversible" } do
    check(summary.by_danger[danger] or 0, limits[danger], danger .. " operations")
  end
  return out
end

-- How many people in all have been begun when each wave ends; a wave that adds nobody is none.
local function wave_ends(waves, total)
  local ends = {}
  for _, wave in ipairs(waves) do
    local count = math.min(values.count_of(wave, total), total)
    if count > (ends[#ends] or 0) then ends[#ends + 1] = count end
  end
  return ends
end

local function give_waves(people, ends)
  local n, wave = 0, 1
  for _, person in ipairs(people) do
    if not person.refused then
      n = n + 1
      while n > ends[wave] do wave = wave + 1 end
      person.wave = wave - 1
    end
  end
end

-- ---- the body -----------------------------------------------------------------------------------

local function subject_of(person)
  local account = person.account
  local snapshot = { account = account }
  for name, value in pairs(person.data) do snapshot[name] = value or nil end
  return {
    id = person.id, label = account.displayName or account.userPrincipalName, where = person.where,
    user_principal_name = account.userPrincipalName, wave = person.wave, refused = person.refused,
    guard = { path = subjects.path(person.id) .. "?$select=id,accountEnabled",
      expect = { accountEnabled = account.accountEnabled } },
    params = person.params or {}, snapshot = snapshot, ops = json.array(person.ops), notes = json.array(person.notes),
  }
end

local function shown_params(job)
  local out = {}
  for name, value in pairs(job.params) do
    if value == params.MANAGER then
      out[name] = { manager = true }
    elseif job.workflow.params[name].type == "user" then
      out[name] = job.people[value:lower()].id
    else
      out[name] = value
    end
  end
  return out
end

local function stages_of(wf)
  local out = {}
  for i, stage in ipairs(wf.stages) do
    out[i] = { name = stage.name, after = json.array(stage.after), on_error = stage.on_error, wait = stage.wait,
      wait_for = stage.wait_for }
  end
  return out
end

local function permissions_of(job)
  local calls, own = {}, {}
  for _, name in ipairs(job.reads) do calls[#calls + 1] = reads.call(name) end
  calls[#calls + 1] = "GET /users"
  for _, stage in ipairs(job.workflow.stages) do
    for _, use in ipairs(stage.uses or {}) do table.move(use.action.calls, 1, #use.action.calls, #calls + 1, calls) end
    for _, name in ipairs(stage.step and stage.step.permissions or {}) do own[#own + 1] = name end
  end
  local needs = actions.permissions(calls)
  for _, kind in ipairs { "delegated", "application" } do
    needs[kind] = json.array(table.move(own, 1, #own, #needs[kind] + 1, needs[kind]))
  end
  return needs
end

local function body_of(job, found, opts, lines, summary, ends)
  local wf, limits, now = job.workflow, {}, opts.now or os.time()
  for name, value in pairs(wf.limits) do limits[name] = value end
  limits.waves = json.array(ends)
  return {
    tenant_id = job.tenant and job.tenant.id, endpoint = opts.client.endpoint, selection = job.selection:plain(),
    workflow = { name = wf.name, version = wf.version, file = wf.file, hash = wf.hash }, params = shown_params(job),
    created_at = now, expires_at = now + wf.limits.expires,
    created_by = job.me and job.me.userPrincipalName or "an application", stages = stages_of(wf), limits = limits,
    permissions = permissions_of(job), duplicates = json.array(found.duplicates),
    unmatched = json.array(found.unmatched),
    summary = summary, subjects = lines,
  }
end

-- ---- people -------------------------------------------------------------------------------------

-- Reads what is certain to be wanted of everybody: who is protected is not in the plan, and who leaves with it matters
-- to all. What was read is kept as text, which is a fifth of it as tables.
local function look_at(job, people)
  task.map(people, { batch = true }, function(person)
    compile.look(job, person)
    person.data = canonical.encode(person.data)
    return true
  end)
  for _, person in ipairs(people) do job.leaving[person.id] = not person.refused or nil end
end

-- What `look_at` kept, with its lists known as such, also where they are empty.
local function data_of(text)
  local data = json.decode(text)
  for name, value in pairs(data) do
    if value and not reads.reads[name].one then json.array(value) end
  end
  return data
end

-- The line of each person; of the person nothing is kept.
local function plan_people(job, people, summary, on)
  local lines, done = {}, 0
  task.map(people, { batch = true }, function(person, i)
    person.data = data_of(person.data)
    compile.plan(job, person)
    tally(summary, person)
    lines[i] = canonical.encode(subject_of(person))
    people[i], done = false, done + 1
    if on then on(done, #people) end
    return true
  end)
  return lines
end

-- ---- the whole ----------------------------------------------------------------------------------

local function make(wf, given, opts)
  local filled, reason = params.fill(wf.params, opts.params or {})
  if not filled then return fail("workflow", reason) end
  local selection
  selection, reason = selections.parse(opts, selections.names(wf))
  if not selection then return fail("selection", reason) end
  wf = selection:workflow(wf)
  if not wf.stages[1] then return fail("selection", "nothing of the workflow is selected") end
  local source = source_of(wf, given)
  if not source then return fail("subjects", "the workflow does not say whom: give a list, or --users FILE") end
  local job, err = new_job(wf, opts, filled)
  if not job then return nil, err end
  job.selection = selection
  local found
  found, err = subjects.find(job.reader, source)
  if not found then return nil, err end
  found.people, reason = selection:people(found.people, name_and_id)
  if not found.people then return fail("selection", reason) end
  look_at(job, found.people)
  local summary = new_summary(found.people, found)
  local ends = wave_ends(wf.limits.waves, summary.people - summary.refused)
  give_waves(found.people, ends)
  local lines = plan_people(job, found.people, summary, opts.on)
  local over = excesses(wf.limits, summary)
  if over[1] then return fail("limits", "the plan exceeds the workflow's limits: " .. table.concat(over, "; ")) end
  return files.seal(body_of(job, found, opts, lines, summary, ends))
end

local OPTIONS = { client = "any", params = "table", only = "table", except = "table", now = "number", on = "function" }

--- Plans: reads, and changes nothing.
---@param wf msgraph.offboard.Workflow
---@param whom? string|string[]|msgraph.offboard.Source a CSV file, names, or a source; default: the workflow's
---@param opts { client: msgraph.Client, params?: table<string, any>, only?: string[], except?: string[],
---  now?: integer, on?: fun(done: integer, total: integer) } only, except: which part, msgraph.offboard.selection; now:
---  Unix seconds, default os.time(); on: is told how many people have been looked at
---@return msgraph.offboard.Plan?
---@return msgraph.Error? code "workflow", "selection", "subjects", "limits", or what a read failed with; raises for a
---  wrong option
function M.plan(wf, whom, opts)
  if getmetatable(wf) ~= language.Workflow then
    error("plan: a workflow is expected, from ob.load or ob.workflow", 2)
  end
  config.check(opts, OPTIONS, "plan", 3)
  if not (opts and opts.client) then error("plan: 'client' is missing", 2) end
  local ok, plan, err = pcall(task.run, make, wf, whom, opts)
  if ok then return plan, err end
  if errors.Error.is(plan) then return nil, plan end
  error(plan, 0)
end

-- What a restore's plan is made of as well.
M.who_plans, M.new_summary, M.tally, M.wave_ends, M.give_waves = who_plans, new_summary, tally, wave_ends, give_waves
M.subject_of, M.seal = subject_of, files.seal

-- ---- approval -----------------------------------------------------------------------------------

--- Whether a plan may still be applied.
---@param plan msgraph.offboard.Plan
---@param now? integer Unix seconds
---@return true? ok
---@return msgraph.Error? code "plan_expired"
function M.check_age(plan, now)
  local expires = plan.body.expires_at
  if (now or os.time()) < expires then return true end
  return fail("plan_expired", ("the plan expired at %s: what it knows is too old, plan again")
    :format(os.date("!%Y-%m-%d %H:%M UTC", expires)))
end

local RANK = {}
for rank, danger in ipairs(actions.DANGERS) do RANK[danger] = rank end

--- The highest danger in a plan.
---@param plan msgraph.offboard.Plan
---@return string
function M.danger_max(plan)
  local highest = 1
  for danger in pairs(plan.body.summary.by_danger) do highest = math.max(highest, RANK[danger]) end
  return actions.DANGERS[highest]
end

--- Whether approvals cover all that is in a plan; safe operations need none.
---@param plan msgraph.offboard.Plan
---@return boolean
function M.is_approved(plan)
  local covered = RANK.safe
  for _, approval in ipairs(plan.approvals) do covered = math.max(covered, RANK[approval.danger_max] or 0) end
  return covered >= RANK[M.danger_max(plan)]
end

--- Binds an approver to the plan's hash. Once is enough: a name that has approved is not added again.
---@param plan msgraph.offboard.Plan
---@param approver string
---@param now? integer Unix seconds
---@return true? ok
---@return msgraph.Error? code "plan_expired"; raises for a name that is none
function M.approve(plan, approver, now)
  if type(approver) ~= "string" or not approver:find("%S") or approver:find("%c") then
    error("approve: the name of the approver is expected", 2)
  end
  local ok, err = M.check_age(plan, now)
  if not ok then return nil, err end
  for _, approval in ipairs(plan.approvals) do
    if approval.approver == approver then return true end
  end
  table.insert(plan.approvals, { approver = approver, plan_hash = plan.plan_hash, danger_max = M.danger_max(plan),
    at = now or os.time() })
  return true
end

return M
