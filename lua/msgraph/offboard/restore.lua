--- Brings people back to what they were before a run, where Graph allows: a plan of requests that undo its own.
--
-- It is made from the journal, and from what a read shows now: of each operation that the run did, or may have done and
-- that is so, the inverse, in reverse order. What is no longer as the run left it is somebody else's by now: it is left
-- alone, and said. What has no inverse is a task for a person. Such a plan is shown, approved and applied as any other
-- (msgraph.offboard.plan), into the journal of the run it undoes, as a run of mode "restore".
local actions = require "msgraph.offboard.actions"
local errors = require "msgraph.errors"
local json = require "msgraph.json"
local outcome = require "msgraph.offboard.outcome"
local plans = require "msgraph.offboard.plan"
local reader = require "msgraph.offboard.reader"
local reads = require "msgraph.offboard.reads"
local recover = require "msgraph.offboard.recover"
local repeatable = require "msgraph.repeatable"
local selections = require "msgraph.offboard.selection"
local task = require "msgraph.task"

local M = {}

local EXPIRES <const> = 86400 -- seconds: who changed something since may be right

local DANGER <const> = "disruptive" -- of giving somebody rights: it wants an approval

local function fail(code, message)
  return nil, errors.new { kind = "invalid", code = code, message = message }
end

-- ---- what the run did ---------------------------------------------------------------------------

local DONE = { changed = true, verified = true, submitted = true }

-- Done, or sent and nobody knows: that counts as done if it is so.
local function may_be_done(op)
  local is_lost = op.attempts > 0 and (op.outcome == nil or op.outcome == "unknown")
  return DONE[op.state] or is_lost and op.state ~= "planned"
end

-- What the inverse makes of the properties that a guard looks at.
local function sets_of(op, given)
  if not op.desired.sets then return nil end
  local body, sets = json.decode(given.body), {}
  for name in pairs(op.desired.sets) do sets[name] = body[name] end
  return sets
end

local function label_of(op) return op.desired.label or op.op_key end

-- The operation that undoes an item's.
local function undoing(item, given)
  local op, did = item.op, item.op.desired
  return {
    key = op.op_key, stage = item.stage, action = op.action, action_version = op.action_ver,
    subject_id = item.person.id, target_id = op.target_id, name = did.name, danger = DANGER, sets = sets_of(op, given),
    label = "Undo: " .. label_of(op),
    effect = given.effect or repeatable.is(given.method, given.path) and "converge" or "once",
    desired = { method = given.method, path = given.path, body = given.body,
      undoes = { method = did.method, path = did.path, body = did.body } },
  }
end

-- The last operation first.
local function items_of(person, ops, stages, selection)
  local items = {}
  for i = #ops, 1, -1 do
    local op = ops[i]
    local stage = stages[op.stage + 1].name
    if may_be_done(op) and selection:takes { stage = stage, action = op.action, danger = op.danger } then
      items[#items + 1] = { op = op, stage = stage, person = person }
    end
  end
  return items
end

-- ---- what is so now -----------------------------------------------------------------------------

local function is_deletion(item)
  return item.op.target_id == item.person.id and item.op.desired.method == "DELETE"
end

local LATER <const> = "once the account is back: msgraph restore again"

-- Of an account that the run has deleted, only that can be undone now: the rest of it is read when it is back.
local function look_among_deleted(g, person)
  local items = {}
  for _, item in ipairs(person.items) do
    if is_deletion(item) then table.insert(items, 1, item) else item.later = LATER end
  end
  person.account = items[1] and g.get("/directory/deletedItems/%s", person.id, { select = reads.ACCOUNT })
  person.is_deleted = person.account ~= nil
end

local function read_account(g, person)
  person.account = g.get("/users/%s", person.id, { select = reads.ACCOUNT })
  if not person.account then look_among_deleted(g, person) end
  return true
end

-- The inverse that was planned with the operation, or that the action knows now.
local function find_inverse(g, item)
  local op, action = item.op, actions.find(item.op.action)
  local is_known = op.inverse or op.desired.hand_off or op.desired.no_inverse
  if is_known or not (action and action.undo) then return op.inverse end
  local given = action.undo(g, { key = op.op_key, subject_id = item.person.id, target_id = op.target_id,
    desired = op.desired })
  if not given then item.answer = "yes" end
  return given
end

-- An operation of a plan as journals have it, for probes.
local function as_journaled(undo)
  return { op_key = undo.key, action = undo.action, target_id = undo.target_id, desired = undo.desired }
end

local function look(o, g, item)
  local given = find_inverse(g, item)
  if not given then return true end
  item.undo = undoing(item, given)
  local answer, err = recover.probe(o.client, { object_id = item.person.id }, as_journaled(item.undo), o.workflow)
  if not answer then error(err, 0) end
  item.answer = answer
  return true
end

local function look_all(o, people)
  local g, list = reader.new(o.client), {}
  task.map(people, { batch = true }, function(person) return read_account(g, person) end)
  for _, person in ipairs(people) do
    for _, item in ipairs(person.account and person.items or {}) do
      if not item.later then list[#list + 1] = item end
    end
  end
  task.map(list, { batch = true }, function(item) return look(o, g, item) end)
end

-- ---- one person ---------------------------------------------------------------------------------

local GONE <const> = "the account is gone: within 30 days it can be brought back (Entra admin center, Users, Deleted "
  .. "users), and this planned anew"
local LEFT <const> = "it is no longer as the run left it: left alone"
local UNSEEN <const> = "no read tells whether it still is as the run left it: look, then undo it by hand"

local function note_tasks(journal, run_id, asked)
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      for _, key in ipairs(op.desired.hand_off and op.desired.hand_off.of or {}) do
        asked[subject.object_id .. " " .. key] = run_id
      end
    end
  end
end

-- What people were asked to undo in earlier ways back from this run: in which, by person and operation.
local function tasks_before(o)
  local runs, err = o.journal:runs()
  if not runs then error(err, 0) end
  local asked = {}
  for _, run in ipairs(runs) do
    if json.decode(run.options_json).undoes == o.run_id then note_tasks(o.journal, run.run_id, asked) end
  end
  return asked
end

local function note(person, item, status, why)
  table.insert(person.notes, { stage = item.stage, action = item.op.action, status = status,
    why = ("%s: %s"):format(label_of(item.op), why), target_id = item.op.target_id })
end

-- Why a person has to, of what the program can not bring back; nil: it can, or nobody has to.
local function why_by_hand(item)
  local did = item.op.desired
  if item.later then return nil end
  if did.hand_off then return "a person did it", did.hand_off.system end
  if item.answer == "gone" then return outcome.GONE end
  if item.answer and item.answer ~= "yes" and item.answer ~= "no" then return UNSEEN end
  if item.answer or did.nothing_to_undo then return nil end
  return did.no_inverse or "there is no way back through Graph"
end

local SYSTEMS <const> = { devices = "intune", intune = "intune", mailbox = "exchange", calendar = "exchange",
  onedrive = "sharepoint" } -- of what has no way back

-- One task for all that an action did and that has the same reason.
local function by_hand(person, item, why, system)
  local key = item.op.action .. " " .. why
  local op = person.tasks[key]
  local what = label_of(item.op):gsub("^By hand: ", "")
  if op then
    op.label = ("%s; %s"):format(op.label, what)
    table.insert(op.desired.hand_off.of, item.op.op_key)
    return
  end
  system = system or SYSTEMS[item.op.action:match "^%w+"] or "entra"
  op = { key = item.op.op_key, stage = item.stage, action = item.op.action, action_version = item.op.action_ver,
    subject_id = person.id, target_id = person.id, name = person.account.userPrincipalName, effect = "once",
    danger = "safe", label = "By hand, undo: " .. what,
    desired = { hand_off = { system = system, task = "undo", why = why, of = { item.op.op_key } } } }
  person.tasks[key] = op
  table.insert(person.ops, op)
end

-- What depended on an operation is undone before it.
local function turn_deps(person)
  local undos = {}
  for _, op in ipairs(person.ops) do undos[op.key] = op.desired.undoes and op end
  for _, item in ipairs(person.items) do
    for _, key in ipairs(undos[item.op.op_key] and item.op.deps or {}) do
      local before = undos[key]
      if before then
        before.deps = before.deps or {}
        table.insert(before.deps, item.op.op_key)
      end
    end
  end
end

local function compose(person, asked)
  person.ops, person.notes, person.tasks = {}, {}, {}
  if not person.account then
    person.refused, person.account = GONE, { userPrincipalName = person.name }
    return
  end
  for _, item in ipairs(person.items) do
    local why, system = why_by_hand(item)
    local before = asked[person.id .. " " .. item.op.op_key]
    if why and before then
      note(person, item, "unchanged", ("a person was asked to undo it in run %s"):format(before:sub(1, 8)))
    elseif why then
      by_hand(person, item, why, system)
    elseif not item.answer then
      note(person, item, "note", item.later or item.op.desired.nothing_to_undo)
    elseif item.answer == "no" then
      table.insert(person.ops, item.undo)
    elseif DONE[item.op.state] then
      note(person, item, "unchanged", LEFT)
    end
  end
  turn_deps(person)
end

-- ---- the plan -----------------------------------------------------------------------------------

local function names_of(status, journal)
  local names, seen = { stage = {}, action = {} }, {}
  for i, stage in ipairs(status.run.options.stages) do names.stage[i] = stage.name end
  for subject in journal:subjects(status.run.run_id) do
    for _, op in ipairs(subject.ops) do
      if not seen[op.action] then table.insert(names.action, op.action) end
      seen[op.action] = true
    end
  end
  return names
end

local function read_people(o, status, selection)
  local people = {}
  for subject in o.journal:subjects(o.run_id) do
    local person = { id = subject.object_id, name = subject.label, data = {},
      where = ("%d of run %s"):format(subject.subj, o.run_id:sub(1, 8)) }
    person.items = items_of(person, subject.ops, status.run.options.stages, selection)
    people[#people + 1] = person
  end
  local chosen, reason = selection:people(people, function(person) return person.name, person.id end)
  if not chosen then return fail("selection", reason) end
  return chosen
end

local function permissions_of(people)
  local calls, seen = { "GET /users/{id}" }, {}
  for _, person in ipairs(people) do
    for _, op in ipairs(person.ops) do
      local action = not op.desired.hand_off and not seen[op.action] and actions.find(op.action)
      seen[op.action] = true
      if action then table.move(action.calls, 1, #action.calls, #calls + 1, calls) end
    end
  end
  local needs = actions.permissions(calls)
  return { delegated = json.array(needs.delegated), application = json.array(needs.application) }
end

-- The stages, the last one first.
local function stages_of(options)
  local out = {}
  for i = #options.stages, 1, -1 do
    out[#out + 1] = { name = options.stages[i].name, after = json.array { out[#out] and out[#out].name },
      on_error = "continue", wait = 0 }
  end
  return out
end

local function subject_of(person)
  local subject = plans.subject_of(person)
  if person.is_deleted then
    subject.guard = { path = "/directory/deletedItems/" .. person.id .. "?$select=id", expect = { id = person.id } }
  end
  return subject
end

-- In the waves and with the limits of the run that is undone.
local function body_of(o, status, people, selection)
  local options, now, me = status.run.options, o.now or os.time(), plans.who_plans(reader.new(o.client))
  local summary = plans.new_summary(people, { unmatched = {}, duplicates = {} })
  for _, person in ipairs(people) do plans.tally(summary, person) end
  local ends, list = plans.wave_ends(options.waves, summary.people - summary.refused), {}
  plans.give_waves(people, ends)
  for i, person in ipairs(people) do list[i] = subject_of(person) end
  return {
    tenant_id = status.run.tenant_id, endpoint = o.client.endpoint, workflow = options.workflow,
    restore = { run_id = o.run_id, journal = o.journal.path }, params = {}, selection = selection:plain(),
    created_at = now, expires_at = now + EXPIRES, created_by = me and me.userPrincipalName or "an application",
    stages = stages_of(options), limits = { waves = json.array(ends), halt = options.halt or {} },
    permissions = permissions_of(people), duplicates = json.array {}, unmatched = json.array {}, summary = summary,
    subjects = list,
  }
end

local function make(o)
  local status, err = o.journal:status(o.run_id)
  if not status then return nil, err end
  if status.run.mode ~= "apply" then
    return fail("subjects", ("run %s is a restore itself: what it undid is planned and applied again"):format(o.run_id))
  end
  local selection, reason = selections.parse(o, names_of(status, o.journal))
  if not selection then return fail("selection", reason) end
  local people
  people, err = read_people(o, status, selection)
  if not people then return nil, err end
  look_all(o, people)
  local asked = tasks_before(o)
  for _, person in ipairs(people) do compose(person, asked) end
  return plans.seal(body_of(o, status, people, selection))
end

--- Plans the way back from a run: reads, and changes nothing, in the tenant or in the journal.
---@param o { client: msgraph.Client, journal: msgraph.Journal, run_id: string, only?: string[], except?: string[],
---  workflow?: msgraph.offboard.Workflow, now?: integer } only, except: see msgraph.offboard.selection; workflow: the
---  run's, for the probes of own steps; now: Unix seconds
---@return msgraph.offboard.Plan?
---@return msgraph.Error? code "unknown_id", "subjects", "selection", or what a read failed with
function M.plan(o)
  local ok, plan, err = pcall(task.run, make, o)
  if ok then return plan, err end
  if errors.Error.is(plan) then return nil, plan end
  error(plan, 0)
end

return M
