--- Pages and scripts for people, and the results that come back: whatever names the directory holds.
local helper = require "spec.support.helper"
local journals = require "msgraph.offboard.journal"
local powershell = require "msgraph.offboard.powershell"
local results = require "msgraph.offboard.results"
local syntax = require "spec.support.powershell"
local worklist = require "msgraph.offboard.worklist"

local RUN <const> = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
local TENANT <const> = "63dd599d-60f3-4773-b0f2-f6d9a675d73d"

local NASTY <const> = {
  "O'Brien", "'; Remove-Item C:\\ -Recurse; '", "\u{2019}; Stop-Computer; \u{2018}", "a\u{201B}\u{201A}'b",
  "$(Stop-Computer)", "`n$env:PATH", '"quoted"', "line\nStop-Computer\r\n", "#comment", "@'\nhere\n'@", "} ; { ",
  "--% raw", "\u{D1}and\u{FA}", "\u{85}\u{2028}next", "@RUN@ %1 %%", "",
}

local function list_of(system, names)
  local tasks = {}
  for i, name in ipairs(names) do
    tasks[i] = { id = i .. ".1", key = "handover/handoff.exchange/hide/" .. name, subject = name,
      label = "Hide " .. name, why = "Graph can not do this: " .. name, reason = name,
      powershell = powershell.command("Set-Mailbox", { Identity = name, HiddenFromAddressListsEnabled = true }) }
  end
  return { system = system, tasks = tasks }
end

-- What a literal shall hold of a text: control characters would end its line.
local function on_a_line(text) return (text:gsub("%c", " ")) end

describe("a script for people", function()
  for _, system in ipairs { "exchange", "active-directory" } do
    it("for " .. system .. " holds every name as a literal, and is the same code as with plain names", function()
      local plain = {}
      for i in ipairs(NASTY) do plain[i] = "name" .. i end
      local code, literals = syntax.parse(worklist.script(list_of(system, NASTY), RUN, TENANT))
      assert.equal(code, (syntax.parse(worklist.script(list_of(system, plain), RUN, TENANT))))
      local first
      for i, text in ipairs(literals) do
        if text == "1.1" then first = i end
      end
      for i, name in ipairs(NASTY) do
        local at = first + (i - 1) * 4
        assert.same({ i .. ".1", "handover/handoff.exchange/hide/" .. on_a_line(name),
          on_a_line(name .. ": Hide " .. name), on_a_line(name) }, table.move(literals, at, at + 3, 1, {}))
      end
    end)
  end

  it("begins with a byte order mark, ends each command at the first error, and names run and tenant", function()
    local script = worklist.script(list_of("exchange", { "ada@contoso.com" }), RUN, TENANT)
    assert.equal("\xEF\xBB\xBF#requires", script:sub(1, 12))
    assert.truthy(script:find("Invoke-Task '1.1' 'handover/handoff.exchange/hide/ada@contoso.com' "
      .. "'ada@contoso.com: Hide ada@contoso.com' { Set-Mailbox -Identity 'ada@contoso.com' "
      .. "-HiddenFromAddressListsEnabled:$true -ErrorAction Stop }\n", 1, true))
    assert.truthy(script:find("$run = '" .. RUN .. "'", 1, true))
    assert.truthy(script:find("Connect-System '" .. TENANT .. "'", 1, true))
  end)

  it("is there where PowerShell reaches the system, and there is something to type", function()
    assert.is_nil(worklist.script(list_of("entra", { "ada@contoso.com" }), RUN, TENANT))
    local list = list_of("exchange", { "ada@contoso.com" })
    list.tasks[1].powershell = nil
    assert.is_nil(worklist.script(list, RUN, TENANT))
  end)

  it("is taken by PowerShell itself, where there is one", function()
    if not os.execute "command -v pwsh >/dev/null" then return pending "pwsh is not installed" end
    local path = helper.tmp() .. "/list.ps1"
    helper.write_file(path, worklist.script(list_of("exchange", NASTY), RUN, TENANT))
    assert.truthy(os.execute(("pwsh -NoProfile -Command '$e = $null; [void][Management.Automation.Language.Parser]"
      .. "::ParseFile(\"%s\", [ref]$null, [ref]$e); exit $e.Count'"):format(path)))
  end)
end)

describe("a page for people", function()
  it("has a task to tick off for each, and takes no name for Markdown", function()
    local page = worklist.page(list_of("exchange", NASTY), { "head" })
    local ticks, headings = 0, 0
    for line in page:gmatch "[^\n]*" do
      if line:find "^%- %[ %] %d+%.1 Hide " then ticks = ticks + 1 end
      if line:find "^## " then headings = headings + 1 end
      if not line:find "^      Set%-Mailbox" then
        local data = line:gsub("^%- %[ %]", ""):gsub("^##? ", ""):gsub("\\.", "")
        assert.is_nil(data:find "[`*_%[%]<>#|]", line)
      end
    end
    assert.same({ #NASTY, #NASTY }, { ticks, headings })
    assert.equal("# Exchange Online: 16 tasks", page:match "^[^\n]*")
  end)
end)

-- ---- results ------------------------------------------------------------------------------------

local count = 0

local function hand_off(key, stage)
  return { op_key = key, stage = stage or 0, action = "handoff.exchange", target_id = "x", effect = "once",
    danger = "safe", state = "needs_human", reason = "Graph can not do this",
    desired = { label = "By hand", hand_off = { system = "exchange", task = "t", why = "Graph can not do this" } } }
end

local function open_run()
  count = count + 1
  local j = assert(journals.open(("%s/results%d.journal"):format(helper.tmp(), count)))
  local plan = assert(j:add_plan { tenant_id = "t", workflow_name = "w", workflow_hash = "h", plan_hash = "p" .. count,
    created_by = "ada", expires_at = (os.time() + 86400) * 1000 })
  local planned = { op_key = "licenses", stage = 1, action = "licenses.remove_all", target_id = "x",
    effect = "converge", danger = "safe" }
  local run = assert(j:start_run { plan_id = plan, mode = "apply", actor = "ada",
    options = { stages = { { name = "handover", on_error = "skip-subject" }, { name = "reclaim" } } },
    subjects = { { object_id = "o1", label = "ada@contoso.com", ops = { hand_off "a/1", planned } },
      { object_id = "o2", label = "grace@contoso.com", ops = { hand_off "a/2", hand_off "b/2" } } } })
  return j, run
end

local HEAD <const> = "run,operation,key,status,message,time,by"

local function file_of(text)
  local path = helper.tmp() .. "/results.csv"
  helper.write_file(path, text)
  return path
end

local function row(run, id, key, status, message)
  return ('"%s","%s","%s","%s","%s","2025-01-31T08:00:00Z","grace"'):format(run, id, key, status, message or "")
end

local function take_in(j, run, text)
  local list, err = results.read(j, run, file_of(text))
  if not list then return nil, err end
  return j:hand_in { run_id = run, actor = "ada", results = list }
end

local function op_of(j, run, subj, n)
  for subject in j:subjects(run) do
    if subject.subj == subj then return subject.ops[n], subject end
  end
end

describe("results", function()
  it("that are done settle their operations, with who, when and what; twice is as good as once", function()
    local j <close>, run = open_run()
    local text = table.concat({ HEAD, row(run, "1.1", "a/1", "done", "was one already"),
      row(run, "2.2", "b/2", "failed", "access denied") }, "\r\n")
    assert.same({ done = 1, failed = 1, known = 0 }, take_in(j, run, "\xEF\xBB\xBF" .. text .. "\r\n"))
    local op = op_of(j, run, 1, 1)
    assert.same({ "changed", "done by grace" }, { op.state, op.reason })
    assert.same({ by = "grace", at = "2025-01-31T08:00:00Z", note = "was one already", taken_in_by = "ada" },
      op.evidence)
    op = op_of(j, run, 2, 2)
    assert.same({ "needs_human", "access denied" }, { op.state, op.reason })
    local before = assert(j:verify_events(run)).count
    assert.same({ done = 0, failed = 0, known = 2 }, take_in(j, run, text))
    assert.equal(before, assert(j:verify_events(run)).count)
  end)

  it("of one task: the last counts, and nothing after it was done", function()
    local j <close>, run = open_run()
    assert.same({ done = 1, failed = 0, known = 0 }, take_in(j, run, table.concat({ HEAD,
      row(run, "1.1", "a/1", "failed", "no"), row(run, "1.1", "a/1", "done"), row(run, "1.1", "a/1", "failed", "no") },
      "\n")))
    assert.equal("changed", op_of(j, run, 1, 1).state)
  end)

  it("are a page's tasks, until they are done; a page tells what the last try said", function()
    local j <close>, run = open_run()
    assert.equal(3, #worklist.of(j, run)[1].tasks)
    assert(take_in(j, run, table.concat({ HEAD, row(run, "1.1", "a/1", "done"), row(run, "2.1", "a/2", "failed",
      "access denied") }, "\n")))
    local list = worklist.of(j, run)[1]
    assert.same({ "2.1", "2.2" }, { list.tasks[1].id, list.tasks[2].id })
    assert.truthy(worklist.page(list, {}):find("Last try: access denied", 1, true))
  end)

  for _, case in ipairs {
    { "of another run", function(run) return row("another", "1.1", "a/1", "done"), run end,
      "line 3: it is of another run, another" },
    { "of no task", function(run) return row(run, "1.2", "licenses", "done") end,
      "line 3: there is no task 1.2 in this run" },
    { "whose key was changed", function(run) return row(run, "2.1", "a/1", "done") end,
      "line 3: task 2.1 is a/2, not a/1" },
    { "with another status", function(run) return row(run, "2.1", "a/2", "Done") end,
      "line 3: the status is done or failed, not 'Done'" },
    { "that failed without a word", function(run) return row(run, "2.1", "a/2", "failed") end,
      "line 3: it failed, and the message does not say why" },
    { "at no time", function(run) return (row(run, "2.1", "a/2", "done"):gsub("2025%-01%-31T", "31.1. ")) end,
      "line 3: '31.1. 08:00:00Z' is no time such as" },
    { "by nobody", function(run) return (row(run, "2.1", "a/2", "done"):gsub("grace", "")) end,
      "line 3: 'by' does not say who did it" },
    { "with a field too many", function(run) return row(run, "2.1", "a/2", "done") .. ",x" end,
      "line 3: it has 8 fields, and there are 7 columns" },
    { "with a quote left open", function(run) return '"' .. run .. ',"1.1"' end, "line 3: " },
  } do
    it(("%s: the line is named, and nothing of the file is taken in"):format(case[1]), function()
      local j <close>, run = open_run()
      local text = table.concat({ HEAD, row(run, "1.1", "a/1", "done"), (case[2](run)) }, "\n")
      local count_of, err = take_in(j, run, text)
      assert.is_nil(count_of)
      assert.same({ "results", "nothing of it was taken in" }, { err.code, err.hint })
      assert.truthy(err.message:find("results.csv: " .. case[3], 1, true), err.message)
      assert.equal("needs_human", op_of(j, run, 1, 1).state)
    end)
  end

  for _, case in ipairs {
    { "", "it is empty" },
    { "run,operation,key,status,message,time\n", "line 1: the column 'by' is missing" },
    { HEAD .. ",key\n", "line 1: the column 'key' is there twice" },
    { "\xFF\xFEr\0u\0n\0", "it is not UTF-8: save it as CSV UTF-8" },
  } do
    it(("that %s are refused"):format(case[2]), function()
      local j <close>, run = open_run()
      local _, err = results.read(j, run, file_of(case[1]))
      assert.truthy(err.message:find(case[2], 1, true), err.message)
    end)
  end

  it("of somebody who is being worked on are taken in later, all of them", function()
    local j <close>, run = open_run()
    local worker = assert(j:join(run))
    assert.equal(1, #assert(worker:claim(9)))
    local _, err = take_in(j, run, table.concat({ HEAD, row(run, "2.1", "a/2", "done"),
      row(run, "1.1", "a/1", "done") }, "\n"))
    assert.equal("in_use", err.code)
    assert.equal("needs_human", op_of(j, run, 2, 1).state)
    assert(worker:leave())
  end)

  it("let those go on who waited for them", function()
    local j <close>, run = open_run()
    local worker = assert(j:join(run))
    assert(worker:claim(9))
    assert(worker:release { { subj = 1, state = "needs_human" } })
    assert.equal("done", j:advance(run).state)
    assert(take_in(j, run, HEAD .. "\n" .. row(run, "1.1", "a/1", "done")))
    local status = assert(j:status(run))
    assert.same({ "open", 1 }, { status.run.state, status.subjects.ready })
  end)

  it("do not cut short what somebody waits for besides", function()
    local j <close>, run = open_run()
    local worker, due = assert(j:join(run)), (os.time() + 86400) * 1000
    assert(worker:claim(9))
    assert(worker:release { { subj = 1, state = "waiting", due_at = due } })
    assert(take_in(j, run, HEAD .. "\n" .. row(run, "1.1", "a/1", "done")))
    local op, subject = op_of(j, run, 1, 1)
    assert.same({ "changed", "waiting", due }, { op.state, subject.state, subject.due_at })
  end)
end)
