--- The workflow language: what it takes, and that a mistake is one line which names its own.
local canonical = require "msgraph.offboard.canonical"
local globals = require "msgraph.offboard.globals"
local graph = require "msgraph"
local ob = require "msgraph.offboard"
local sandbox = require "msgraph.offboard.sandbox"

local HEAD = [[
local ob = require "msgraph.offboard"
local a = ob.actions
local wf = ob.workflow { name = "x", version = 1, params = { who = { type = "user" }, text = { type = "string" } } }
]]

local function load_text(text)
  local wf, err, problems = sandbox.run(text, "wf.lua")
  return wf, err and err.message, problems
end

describe("a workflow", function()
  it("is what its file describes", function()
    local wf = assert(load_text(HEAD .. [[
      wf:stage("one", { a.account.disable, a.sessions.revoke })
      wf:stage("two", { after = "one", wait = "30d", on_error = "stop" }, { a.licenses.remove_all { via = {
        "direct" } } })
      wf:step("three", { after = "one", effect = "once", danger = "safe", plan = function() end })
      wf:on("subject.finished", function() end)
      return wf]]))
    assert.same({ "one", "two", "three" }, { wf.stages[1].name, wf.stages[2].name, wf.stages[3].name })
    assert.same({}, wf.stages[1].after)
    assert.same({ "one" }, wf.stages[3].after)
    assert.equal(30 * 86400, wf.stages[2].wait)
    assert.same({ "direct" }, wf.stages[2].uses[1].opts.via)
    assert.equal("account.disable", wf.stages[1].uses[1].action.id)
    assert.equal(1, #wf.observers["subject.finished"])
    assert.truthy(wf.hash:find "^sha256:%x+$")
  end)

  it("comes after the stage before it, and protects whoever plans, unless it says otherwise", function()
    local wf = assert(load_text(HEAD
      .. 'wf:stage("one", { a.account.disable })\nwf:stage("two", { a.sessions.revoke })\nreturn wf'))
    assert.same({ "one" }, wf.stages[2].after)
    assert.same({ ob.self }, wf.protect)
    assert.equal(0, wf.limits.irreversible)
  end)

  -- what is written in line 4, and what is said about it
  for _, case in ipairs {
    { "wf:stage('s', { a.account.dissable })",
      "there is no action 'account.dissable' (did you mean 'account.disable'?)" },
    { "wf:stage('s', { a.acount.disable })", "there is no action 'acount' (did you mean 'account'?)" },
    { "wf:stage('s', { a.account.disable.x })", "account.disable is an action, it has no 'x'" },
    { "a.account = 1", "actions are not the workflow's to change" },
    { "wf:stage('s', { a.intune.retire { were = 1 } })",
      "intune.retire: unknown option 'were' (did you mean 'where'?)" },
    { "wf:stage('s', { a.intune.retire { where = 1 } })", "intune.retire: 'where' must be a function, got 1" },
    { "wf:stage('s', { a.handoff.exchange { 'hide' } })", "handoff.exchange must be one of convert-to-shared" },
    { "wf:stage('s', { a.account.disable { 'x' } })", "account.disable: takes no list" },
    { "wf:stage('s', { a.handoff.exchange { forward_to = ob.param 'wo' } })", "(did you mean \"who\"?)" },
    { "wf:stage('s', { a.handoff.exchange { forward_to = ob.param 'text' } })", "must be a param of type user" },
    { "wf:stage('s', { a.handoff.exchange { forward_to = 7 } })", "'forward_to' must be a person" },
    { "wf:stage('s', { affter = 'x' }, { a.account.disable })",
      "stage 's': unknown option 'affter' (did you mean 'after'?)" },
    { "wf:stage('s', { after = 'x' }, { a.account.disable })", "'after' names a stage, and there is none before" },
    { "wf:stage('s', { wait = 'soon' }, { a.account.disable })", "'wait' must be like \"90s\"" },
    { "wf:stage('s', { wait_for = 'confirmed' }, { a.account.disable })", "there is none before this one" },
    { "wf:stage('s', { a.account.disable }); wf:stage('t', { wait_for = 'conf' }, { a.account.disable })",
      "stage 't': 'wait_for' must be one of confirmed" },
    { "wf:stage('s', {}); wf:stage('t', { wait = '1d', wait_for = 'confirmed' }, { a.account.disable })",
      "'wait' and 'wait_for' exclude each other" },
    { "wf:stage('s', { on_error = 'go on' }, { a.account.disable })", "'on_error' must be one of skip-subject" },
    { "wf:stage('s', { a.account.disable, after = 'x' })", "options stand before the list of actions" },
    { "wf:stage('s', { 'account.disable' })", "item 1 must be an action, as in ob.actions.account.disable" },
    { "wf:stage('a b', { a.account.disable })", "must be a name of letters" },
    { "wf:step('s', { effect = 'converge', danger = 'safe' })", "step 's': 'plan' is missing" },
    { "wf:step('s', { effect = 'x', danger = 'safe', plan = print_it })", "the global 'print_it' is not declared" },
    { "wf:step('s', { effect = 'x', danger = 'safe', plan = ob.unchanged })", "'effect' must be one of converge" },
    { "wf:on('subject.done', ob.unchanged)", "the event must be one of run.started" },
    { "ob.workflow { name = 'y' }", "workflow: 'version' is missing" },
    { "ob.workflow { name = 'y', version = 1.5 }", "'version' must be a whole number" },
    { "ob.workflow { name = 'y', version = 1, parms = {} }", "unknown option 'parms' (did you mean 'params'?)" },
    { "ob.workflow { name = 'y', version = 1, subjects = {} }", "'subjects' must be ob.csv" },
    { "ob.workflow { name = 'y', version = 1, protect = { group = 'x' } }", "protect: unknown option 'group'" },
    { "ob.workflow { name = 'y', version = 1, protect = { ob.csv {} } }", "protect: item 1 must be ob.self" },
    { "ob.workflow { name = 'y', version = 1, limits = { waves = { 1 } } }", "the last of 'waves' must be \"100%\"" },
    { "ob.workflow { name = 'y', version = 1, limits = { halt = { failed = '300%' } } }",
      "halt 'failed' must be a whole" },
    { "ob.workflow { name = 'y', version = 1, limits = { destructive = -1 } }",
      "'destructive' must be a whole number" },
    { "ob.workflow { name = 'y', version = 1, params = { p = { type = 'text' } } }", "'type' must be one of string" },
    { "ob.workflow { name = 'y', version = 1, params = { p = { type = 'enum' } } }", "param 'p': 'values'" },
    { "ob.workflow { name = 'y', version = 1, params = { p = { type = 'string', match = '[' } } }",
      "is no Lua pattern" },
    { "ob.workflow { name = 'y', version = 1, params = { p = { type = 'string', default = ob.manager } } }",
      "default of a user" },
    { "ob.workflow { name = 'y', version = 1, params = { p = { type = 'string', required = true, default = 'x' } } }",
      "it is required and has a default" },
    { "ob.csv { key = 'upn' }", "'key' must be one of userPrincipalName, id, mail" },
    { "ob.csv { require_match = 'maybe' }", "'require_match' must be one of exactly-one, skip" },
    { "ob.list {}", "list: a list of texts is expected" },
    { "ob.group {}", "group: give its name or its id" },
    { "ob.filter {}", "filter: a list of texts is expected" },
    { "ob.patch { '/users/%s', body = {} }", "patch: an id must be a text, got nil" },
    { "ob.patch { '/users/%s', 'a', 'b', body = {} }", "has 1 places for 2 ids" },
    { "ob.delete { '/groups/%s/members/%s', 'g', 'u' }", "has no /$ref at its end" },
    { "ob.workfow {}", "there is no 'ob.workfow' (did you mean 'ob.workflow'?)" },
    { "ob.plan()", "there is no 'ob.plan'" },
    { "ob.load 'x'", "there is no 'ob.load'" },
    { "require 'msgraph'", "a workflow can only require \"msgraph.offboard\"" },
    { "os.execute 'true'", "there is no 'os.execute'" },
    { "io.open 'x'", "'io' is not there: a workflow reads no files" },
    { "load 'x'", "'load' is not there" },
    { "string.rep = nil", "the workflow ends here" }, -- its own copy of string: no harm done
    { "count = 1", "the global 'count' is not declared: write `local count`" },
    { "local t = function() return typo end", "the global 'typo' is not declared" },
    { "while true do end", "computes too long" },
    { "while true do pcall(function() while true do end end) end", "computes too long" },
    { "local x = = 1", "unexpected symbol" },
  } do
    it("that says " .. case[1] .. " is told so", function()
      local wf, message = load_text(HEAD .. case[1] .. "\nerror 'the workflow ends here'")
      assert.is_nil(wf)
      assert.truthy(message:find(case[2], 1, true), message)
      assert.truthy(message:find("^wf%.lua:[45]: "), message)
      assert.is_nil(message:find "\n")
    end)
  end

  it("that returns nothing, or has no stage, is told so", function()
    assert.truthy(select(2, load_text(HEAD)):find "ends in `return`")
    assert.truthy(select(2, load_text(HEAD .. "return wf")):find "has no stage")
  end)

  it("names every global that is not declared, not only the first", function()
    local _, _, problems = load_text(HEAD .. "local f = function() return one, two end\nreturn wf")
    assert.equal(2, #problems)
  end)

  it("made in a program of its own is blamed there, too", function()
    local ok, message = pcall(function() ob.workflow { name = "x" } end)
    assert.is_false(ok)
    assert.truthy(message:find "offboard_language_spec.lua:%d+: workflow: 'version' is missing")
  end)

  it("leaves the host's string library as it was", function()
    load_text("string.format = nil\nlocal s = 'x'\nreturn s")
    assert.equal("x", string.format("%s", "x"))
  end)
end)

describe("globals of a function", function()
  it("are found by name, line and use, in functions inside as well", function()
    local chunk = assert(load(("\n"):rep(300)
      .. "local x\nlocal function f() y = x; return function() return z.a end end", "@f.lua"))
    assert.same({ { name = "y", line = 302, source = "f.lua", write = true },
      { name = "z", line = 302, source = "f.lua", write = false } }, globals.of(chunk))
  end)

  it("of every source file of the library are Lua's own", function()
    for _, name in ipairs { "init", "plan", "sandbox", "compile", "language", "subjects" } do
      local path = assert(package.searchpath("msgraph.offboard." .. name, package.path))
      for _, use in ipairs(globals.of(assert(loadfile(path)))) do
        assert.truthy(_G[use.name] ~= nil and not use.write, use.source .. ":" .. use.line .. " " .. use.name)
      end
    end
  end)
end)

describe("canonical JSON", function()
  for _, case in ipairs {
    { "sorts keys by their bytes", { b = 1, a = 2, ["ä"] = 3, B = 4 }, '{"B":4,"a":2,"b":1,"ä":3}' },
    { "keeps arrays in order, empty ones too", { list = graph.array {}, two = { 2, 1 } }, '{"list":[],"two":[2,1]}' },
    { "writes an empty table as an object", {}, "{}" },
    { "writes whole numbers as such", { 1.0, 1764000000000, -3, 9007199254740993 },
      "[1,1764000000000,-3,9007199254740993]" },
    { "writes the fewest digits that read back the same", { 0.1, 1 / 3, 1e100 }, "[0.1,0.3333333333333333,1e+100]" },
    { "escapes what must be, and nothing else", 'a"\\/\n\1é', '"a\\"\\\\/\\n\\u0001é"' },
    { "knows null", { a = graph.null }, '{"a":null}' },
  } do
    it(case[1], function() assert.equal(case[3], canonical.encode(case[2])) end)
  end

  it("refuses what has no form", function()
    for _, value in ipairs { 0 / 0, 1 / 0, print, "\xff", { [1.5] = 1 } } do
      assert.is_false(pcall(canonical.encode, value))
    end
  end)

  it("gives one hash to one value", function()
    assert.equal(canonical.hash { a = 1, b = { c = 2 } }, canonical.hash { b = { c = 2 }, a = 1 })
    assert.not_equal(canonical.hash { a = 1 }, canonical.hash { a = 2 })
  end)
end)
