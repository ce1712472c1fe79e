--- What the commands about runs share: the journal, the run that is meant, working on it, and how that ended.
local connection = require "msgraph.cli.connection"
local errors = require "msgraph.cli.errors"
local graph = require "msgraph"
local batch = require "msgraph.cli.batch"
local graph_errors = require "msgraph.errors"
local live = require "msgraph.cli.live"
local offboard = require "msgraph.cli.offboard"
local shell = require "msgraph.cli.shell"
local terminal = require "msgraph.cli.terminal"

local M = {}

--- Options that say which run.
---@param about? string of the run
function M.describe(command, about)
  command:argument "run":argname "<run>":args "?"
    :description(about or "The run, or the beginning of its id. Default: the newest.")
  command:option "--journal":argname "<file>":count(1):description "The journal: what apply wrote beside the plan."
end

local OUTCOMES = { plan_expired = "stale", plan_tampered = "stale", plan_changed = "stale", not_approved = "caps",
  plan_file = "usage", plan_newer = "usage", plan_used = "usage", other_tenant = "usage", unknown_id = "usage",
  active_elsewhere = "usage", journal = "usage", journal_newer = "usage", selection = "usage", results = "usage",
  subjects = "usage", in_use = "stopped", journal_busy = "stopped",
  journal_full = "stopped", journal_readonly = "stopped", journal_damaged = "stopped", lease_lost = "stopped" }

--- Where apply writes the journal of a plan.
---@param path string
---@return string
function M.beside(path) return (path:gsub("%.plan$", "")) .. ".journal" end

--- The option of those that work on a run.
function M.describe_quiet(command)
  command:flag "-q --quiet":description "No progress: errors, the recap and the next command alone."
end

--- How a command ends that met this error.
---@param err msgraph.Error
---@return string outcome
---@return string message
function M.ending(err)
  local outcome = OUTCOMES[err.code]
  if not outcome then return errors.outcome(err), errors.text(err) end
  return outcome, terminal.clean(err.message) .. (err.hint and "\n  " .. err.hint or "")
end

-- Whether a file is a plan, which is easily named instead of its journal.
local function is_plan(path)
  local file = io.open(path, "rb")
  local head = file and file:read(64)
  if file then file:close() end
  return head ~= nil and head:find('"msgraph-plan"', 1, true) ~= nil
end

--- Opens the journal that was named; never makes one.
---@return msgraph.Journal?
---@return msgraph.Error?
function M.open_journal(args, readonly)
  if is_plan(args.journal) then
    return nil, graph_errors.new { kind = "invalid", code = "journal", phase = "not_sent", message =
      ("%s is a plan: its journal is what apply wrote beside it, %s"):format(args.journal, M.beside(args.journal)) }
  end
  return require("msgraph.offboard.journal").open(args.journal, { readonly = readonly, create = false })
end

--- The id of the run that is meant.
---@param journal msgraph.Journal
---@param wanted? string the beginning of its id; default: the newest
---@param mode? string of which mode it is, where none is wanted
---@return string?
---@return string? outcome
---@return string? message
function M.find(journal, wanted, mode)
  local runs, err = journal:runs()
  if not runs then return nil, M.ending(err) end
  local found = {}
  for _, run in ipairs(runs) do
    if wanted and run.run_id:sub(1, #wanted) == wanted or not wanted and (not mode or run.mode == mode) then
      found[#found + 1] = run.run_id
    end
  end
  if #found == 1 or #found > 1 and not wanted then return found[1] end
  return nil, "usage", wanted and ("%d runs begin with %s"):format(#found, terminal.clean(wanted))
    or "there is no run in this journal"
end

--- A command about the same run, to type next.
function M.command(verb, run_id, args, with_connection, ...)
  local words = { verb, run_id:sub(1, 8), "--journal", args.journal, ... }
  if with_connection then
    local more = connection.words(args)
    table.move(more, 1, #more, #words + 1, words)
  end
  return shell.command(words)
end

-- ---- the end ------------------------------------------------------------------------------------

local function count(ops, ...)
  local n = 0
  for _, state in ipairs { ... } do n = n + (ops[state] or 0) end
  return n
end

local function outcome_of(status, engine)
  if engine and engine.stopping == "interrupted" then return "stopped" end
  if status.run.state == "halted" or status.run.state == "draining" then return "halted" end
  if status.run.state == "open" then return "stopped" end
  if count(status.ops, "failed") > 0 then return "failed" end
  if count(status.ops, "needs_human", "needs_approval", "drifted", "unknown", "planned") > 0 then return "human" end
  return "done"
end

local function next_of(journal, status, args, run_id)
  local ops = status.ops
  if status.run.state ~= "done" then return M.command("resume", run_id, args, true) end
  if count(ops, "needs_approval") > 0 then return M.command("resume", run_id, args, true) end
  if not args.first and count(ops, "failed", "drifted", "unknown") > 0 then return M.command("report", run_id, args) end
  if count(ops, "needs_human") > 0 and offboard.worklist.is_open(journal, run_id) then
    return M.command("handoffs", run_id, args) .. " --out " .. shell.quote(args.journal:gsub("%.journal$", "") .. "-")
  end
  if args.first then
    local as = args.first:find(".", 1, true) and "done" or "redo" -- of a person there is nothing to be done
    return ("%s %s --as %s --note '…'"):format(M.command("resolve", run_id, args), shell.quote(args.first), as)
  end
  if count(ops, "needs_human", "planned") > 0 then return M.command("report", run_id, args) end
  return M.command("verify", run_id, args, true)
end

local REASONS = { failed = "too many people with something failed",
  needs_human = "too many people with something that needs a person",
  first_wave_failed = "something of the first wave failed" }

--- Prints where a run stands: a recap, then the command to type next.
---@return string outcome
---@return msgraph.Error?
function M.recap(journal, run_id, args, engine)
  local status, err = journal:status(run_id)
  if not status then return M.ending(err) end
  if status.run.halt_reason then
    terminal.note(("halted: %s"):format(terminal.clean(REASONS[status.run.halt_reason] or status.run.halt_reason)))
  end
  if status.run.state == "open" and status.next_due_at and engine and engine.stopping == "waiting" then
    terminal.note(("nobody is due before %s"):format(os.date("!%Y-%m-%d %H:%M UTC", status.next_due_at // 1000)))
  end
  terminal.out(offboard.report.recap(status.ops) .. "\n")
  terminal.out("next: " .. next_of(journal, status, args, run_id) .. "\n")
  return outcome_of(status, engine)
end

-- ---- while it runs ------------------------------------------------------------------------------

-- Ctrl-C comes to the main coroutine alone, and the tasks are where they were: no more is begun. Only once, though: the
-- second one Lua does not catch, and it ends the process as a kill does, which is safe at any moment.
local function join(engine, main, view, again)
  local ok, problem, err = pcall(main.join, main)
  if ok then return problem, err end
  if not batch.is_interrupt(problem) then error(problem, 0) end
  terminal.leave_line()
  terminal.note("interrupted: waiting for what is under way; Ctrl-C again leaves it to be found out by\n  " .. again)
  engine:stop("interrupted")
  if view then view.stopping = true end
  return main:join()
end

--- Works on a run until it ends or is stopped, and tells how it ended.
---@param client msgraph.Client
---@param journal msgraph.Journal
---@param run_id string
---@param args table
---@return string outcome
---@return string? message
function M.work(client, journal, run_id, args)
  local engine, err = require("msgraph.offboard.apply").new { client = client, journal = journal, run_id = run_id }
  if not engine then return M.ending(err) end
  local main = graph.spawn(engine.run, engine)
  local view = not args.quiet and live.new(journal, run_id)
  local showing = view and graph.spawn(view.follow, view, function() return false end)
  local ok
  ok, err = join(engine, main, view, M.command("resume", run_id, args, true))
  if showing then
    showing:cancel()
    view:finish()
  end
  local outcome = M.recap(journal, run_id, args, engine)
  if ok then return outcome end
  local kind, message = M.ending(err)
  if err.emergency then
    message = message .. ":\n  " .. M.command("resume", run_id, args, true, "--take-in", err.emergency)
  end
  return kind == "auth" and "auth" or "stopped", message
end

return M
