--- Planning against a simulated tenant: who is meant, who is protected, what is planned; and that nothing is changed.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local ob = require "msgraph.offboard"
local program = require "spec.support.program"
local spec = require "msgraph.sim.spec"

local ADA <const>, CONAN <const> = "ada@contoso.com", "conan.o'brien@contoso.com"
local GRACE <const> = "grace@contoso.com"
local GUEST <const> = "lin_example.com#EXT#@contoso.onmicrosoft.com"

local function workflow(fields, stage)
  local all = { name = "spec", version = 1, protect = {} }
  for name, value in pairs(fields or {}) do all[name] = value end
  local wf = ob.workflow(all)
  wf:stage("contain", stage or { ob.actions.account.disable })
  return wf
end

-- A file of a run of its own.
local files = 0
local function file_of(text, ending)
  files = files + 1
  local path = ("%s/plan%d%s"):format(helper.tmp(), files, ending or ".csv")
  helper.write_file(path, text)
  return path
end

local function names_of(plan)
  local out = {}
  for i, subject in ipairs(plan.body.subjects) do out[i] = subject.user_principal_name end
  return out
end

describe("a plan", function()
  local t

  setup(function() t = spec.start { users = 60, seed = 1 } end)
  teardown(function() t:__close() end)

  -- ---- who is meant -----------------------------------------------------------------------------

  for _, case in ipairs {
    { "a CSV", "userPrincipalName\n" .. ADA .. "\n" .. CONAN .. "\n" },
    { "a CSV with a byte order mark and Windows line ends", "\xEF\xBB\xBFName,UserPrincipalName\r\nAda," .. ADA
      .. "\r\n,\"" .. CONAN .. "\"\r\n" },
    { "semicolons and quotes", 'name;userPrincipalName\n"Lovelace; Ada";"' .. ADA .. '"\nConan;' .. CONAN },
    { "a name a line", ADA .. "\n\n" .. CONAN .. "\n" },
    { "people named twice, in another letter case", "userPrincipalName\n" .. ADA .. "\nADA@Contoso.COM\n" .. CONAN
      .. "\n" },
  } do
    it("takes people from " .. case[1], function()
      assert.same({ ADA, CONAN }, names_of(t:plan(workflow(), file_of(case[2]))))
    end)
  end

  it("takes a person once who is named by id and by name, and says so", function()
    local id = t.tenant:users({ userPrincipalName = ADA })[1].id
    local plan = t:plan(workflow(), { ADA, id:upper() })
    assert.same({ ADA }, names_of(plan))
    assert.same({ ("%s (item 2) is %s (item 1) again"):format(id:upper(), ADA) }, plan.body.duplicates)
  end)

  it("finds guests, whose names hold what URLs do not", function()
    assert.same({ GUEST }, names_of(t:plan(workflow(), { GUEST:lower() })))
  end)

  it("takes people from a group, those of other groups in it as well, and from a filter", function()
    local found = t:plan(workflow { subjects = ob.group "Engineering" })
    assert.truthy(#found.body.subjects > 5)
    assert.equal(#found.body.subjects, found.body.summary.people)
    local same = t:plan(workflow { subjects = ob.filter "userPrincipalName in ('ada@contoso.com')" })
    assert.same({ ADA }, names_of(same))
  end)

  it("asks for more people than fit a filter, or a page", function()
    local names = {}
    for i, user in ipairs(t.tenant:users()) do names[i] = user.userPrincipalName end
    assert.equal(#names, #t:plan(workflow(), names).body.subjects)
  end)

  for _, case in ipairs {
    { "whom nobody knows", "userPrincipalName\n" .. ADA .. "\nnobody@contoso.com\n",
      "line 3: nobody@contoso.com matches nobody" },
    { "without a name", "userPrincipalName,x\n" .. ADA .. ",1\n,2\n", "line 3: nobody is named" },
    { "under no known column", "who,why\n" .. ADA .. ",x\n", "none of its columns" },
    { "in an empty file", "", "it is empty" },
    { "in a file with a header alone", "userPrincipalName\n", "a header and no people" },
    { "in an open quote", 'userPrincipalName\n"' .. ADA .. "\n", "a quote is not closed" },
  } do
    it("is refused for people " .. case[1], function()
      local ok, message = pcall(t.plan, t, workflow(), file_of(case[2]))
      assert.is_false(ok)
      assert.truthy(message:find(case[3], 1, true), message)
    end)
  end

  it("takes a name a line where a column would be taken, too", function()
    local source = ob.csv { key = "userPrincipalName" }
    source.file = file_of(ADA .. "\n")
    assert.same({ ADA }, names_of(t:plan(workflow { subjects = source })))
    source.file = file_of("somebody\n" .. ADA .. "\n")
    assert.error_matches(function() t:plan(workflow { subjects = source }) end, "none of its columns %(somebody%) is")
  end)

  it("is refused for nobody", function()
    local ok, message = pcall(t.plan, t, workflow { subjects = ob.filter "displayName eq 'Nobody'" })
    assert.is_false(ok)
    assert.truthy(message:find "nobody in the list")
  end)

  it("lists names nobody has where the workflow says so", function()
    local plan = t:plan(workflow { subjects = ob.csv { require_match = "skip" } }, file_of("user\n" .. ADA
      .. "\nx@contoso.com\n"))
    assert.same({ ADA }, names_of(plan))
    assert.same({ "line 3: x@contoso.com matches nobody" }, plan.body.unmatched)
  end)

  it("knows a name that two accounts have for nobody's", function()
    t.tenant:change_user(CONAN, { mail = ADA })
    local ok, message = pcall(t.plan, t, workflow { subjects = ob.csv { key = "mail" } }, file_of("mail\n" .. ADA
      .. "\n"))
    t.tenant:change_user(CONAN, { mail = CONAN })
    assert.is_false(ok)
    assert.truthy(message:find("line 2: ada@contoso.com matches 2 accounts", 1, true), message)
  end)

  -- ---- whom not ---------------------------------------------------------------------------------

  it("does nothing to protected accounts, and says why", function()
    local plan = t:plan(workflow { protect = { ob.role_holders, ob.break_glass { CONAN }, ob.group "Engineering" } },
      { GRACE, CONAN, ADA, GUEST })
    assert.equal("it holds a directory role", plan:refuses(GRACE))
    assert.equal("it is a break-glass account", plan:refuses(CONAN))
    assert.equal("it is in the protected group Engineering", plan:refuses(ADA))
    assert.is_nil(plan:refuses(GUEST))
    assert.same({}, plan:does(GRACE))
    assert.equal(3, plan.body.summary.refused)
  end)

  it("does nothing to whoever makes it", function()
    local token = t.tenant:token { kind = "delegated", scopes = spec.permissions(), user = GRACE }
    local client <close> = assert(graph.connect { endpoint = t.tenant.endpoint, ca_file = t.tenant.ca_file,
      auth = graph.auth.token(token) })
    local plan = assert(ob.plan(workflow { protect = { ob.self } }, { GRACE, ADA }, { client = client }))
    assert.equal("it is the account this plan is made with", plan.body.subjects[1].refused)
    assert.equal(GRACE, plan.body.created_by)
    assert.is_nil(plan.body.subjects[2].refused)
  end)

  it("is refused where a protected account does not exist: it would protect nobody", function()
    local ok, message = pcall(t.plan, t, workflow { protect = { ob.break_glass { "gone@contoso.com" } } }, { ADA })
    assert.is_false(ok)
    assert.truthy(message:find "break_glass: gone@contoso.com matches nobody")
    ok, message = pcall(t.plan, t, workflow { protect = { ob.group "No such group" } }, { ADA })
    assert.is_false(ok)
    assert.truthy(message:find '0 groups are named "No such group"')
  end)

  -- ---- limits -----------------------------------------------------------------------------------

  it("is refused above the limits of its workflow, which are named", function()
    local people = { ADA, CONAN, GUEST }
    local _, err = ob.plan(workflow { limits = { subjects = 2, disruptive = 1 } }, people, { client = t.client })
    assert.equal("limits", err.code)
    assert.truthy(err.message:find("3 people, at most 2; 3 disruptive operations, at most 1", 1, true))
  end)

  it("puts people into waves, in the order of the list, those refused in none", function()
    local names = {}
    for i, user in ipairs(t.tenant:users()) do names[i] = i <= 41 and user.userPrincipalName or nil end
    local plan = t:plan(workflow { protect = { ob.break_glass { names[1] } }, limits = { waves = { 1, 5, "25%",
      "100%" } } }, names)
    local sizes = {}
    for _, subject in ipairs(plan.body.subjects) do
      if subject.wave then sizes[subject.wave] = (sizes[subject.wave] or 0) + 1 end
    end
    assert.same({ 1, 5, 10, 40 }, plan.body.limits.waves)
    assert.same({ [0] = 1, 4, 5, 30 }, sizes)
    assert.is_nil(plan.body.subjects[1].wave)
  end)

  -- ---- a part of it ------------------------------------------------------------------------------

  it("is of a part when it is told so, and says which", function()
    local wf = assert(ob.load(helper.ROOT .. "examples/leaver.lua"))
    local plan = assert(ob.plan(wf, { ADA, CONAN, GUEST }, { client = t.client, params = { ticket = "INC1" },
      only = { "user=" .. ADA .. "," .. CONAN, "stage=contain,reclaim" }, except = { "action=groups.leave_all" } }))
    assert.same({ ADA, CONAN }, names_of(plan))
    local stages, actions = {}, plan.body.summary.by_action
    for i, stage in ipairs(plan.body.stages) do stages[i] = stage.name end
    assert.same({ "contain", "reclaim" }, stages)
    assert.is_nil(actions["groups.leave_all"])
    assert.equal(2, actions["account.disable"])
    assert.truthy(actions["licenses.remove_all"] > 0)
    assert.truthy(ob.show(plan):find("\nOnly user=ada@contoso.com,conan.o'brien@contoso.com, stage=contain,reclaim\n"
      .. "Without action=groups.leave_all\n", 1, true))
    assert.is_nil(t:plan(workflow(), { ADA }).body.selection)
  end)

  for _, case in ipairs {
    { { only = { "user=" .. GRACE } }, "user=grace@contoso.com: nobody in the list is that" },
    { { only = { "stage=contian" } }, "did you mean 'contain'" },
    { { only = { "stage=contain" }, except = { "action=account.disable" } }, "nothing of the workflow is selected" },
    { { except = { "user=" .. ADA } }, "nobody in the list is selected" },
  } do
    it("is refused for a part that is none: " .. case[2], function()
      case[1].client = t.client
      local plan, err = ob.plan(workflow(), { ADA }, case[1])
      assert.is_nil(plan)
      assert.equal("selection", err.code)
      assert.truthy(err.message:find(case[2], 1, true), err.message)
    end)
  end

  -- ---- parameters and functions -----------------------------------------------------------------

  it("looks each person's manager up, and knows who has none", function()
    local wf = workflow({ params = { heir = { type = "user", default = ob.manager } } },
      { ob.actions.handoff.exchange { forward_to = ob.param "heir" } })
    assert.same({ "Forward new mail to Grace Hopper" }, t:plan(wf, { ADA }):hands_off(ADA))
    local plan = t:plan(wf, { GRACE })
    assert.same({}, plan:hands_off(GRACE))
    assert.truthy(plan:leaves(GRACE)["handoff.exchange"]:find "the person is not known")
    assert.same({ "Forward new mail to Conan O'Brien" }, t:plan(wf, { ADA }, { heir = CONAN }):hands_off(ADA))
    assert.same({}, t:plan(wf, { ADA, CONAN }, { heir = CONAN }):hands_off(ADA)) -- he leaves as well
  end)

  it("calls the apps that consents were given to by their names, or ids where those may not be read", function()
    local function asked()
      local count = 0
      for _, entry in ipairs(t.tenant:requests()) do
        if entry.path:find "/servicePrincipals" then count = count + 1 end
      end
      return count
    end
    local wf, before = workflow(nil, { ob.actions.grants.remove_all }), asked()
    assert.same({ "Withdraw the consent to Wiki (User.Read Mail.Read)" }, t:plan(wf, { ADA, CONAN }):does(ADA))
    assert.equal(1, asked() - before) -- whoever gave it
    t.tenant:fault { kind = "status", status = 403, path = "/servicePrincipals", times = 1 }
    assert.truthy(t:plan(wf, { ADA }):does(ADA)[1]:find "^Withdraw the consent to %x+%-[%x-]+ %(User.Read Mail.Read%)$")
    t.tenant:clear_faults()
  end)

  for _, case in ipairs {
    { {}, "the param 'ticket' is missing" },
    { { ticket = "4711" }, 'must be a text that matches "^INC%d+$"' },
    { { ticket = "INC1", tiket = "x" }, "no param 'tiket' (did you mean 'ticket'?)" },
    { { ticket = "INC1", byod = "wipe" }, "must be one of retire, leave" },
    { { ticket = "INC1", delegate = "nobody@contoso.com" }, "nobody@contoso.com matches nobody" },
  } do
    it("is refused for parameters: " .. case[2], function()
      local ok, message = pcall(t.plan, t, helper.ROOT .. "examples/leaver.lua", { ADA }, case[1])
      assert.is_false(ok)
      assert.truthy(message:find(case[2], 1, true), message)
    end)
  end

  -- A workflow of one own step, as a file: its lines are what errors speak of.
  local function step_file(body)
    return file_of(([[
local ob = require "msgraph.offboard"
local wf = ob.workflow { name = "step", version = 1, protect = {} }
wf:step("stamp", { effect = "converge", danger = "safe", plan = function(g, u, p)
%s
end })
return wf
]]):format(body), ".lua")
  end

  it("has what own steps want done", function()
    local path = step_file [[
      local now = g.get("/users/%s", u.id, { select = { "officeLocation" } })
      if u.mail == "conan.o'brien@contoso.com" then return ob.unchanged "stamped" end
      return ob.patch { "/users/%s", u.id, body = { officeLocation = "LEFT" }, before = now, label = "Stamp" }]]
    local plan = t:plan(path, { ADA, CONAN })
    local op = plan:subject(ADA).ops[1]
    assert.equal('{"officeLocation":"LEFT"}', op.desired.body)
    assert.truthy(op.inverse.body:find '^{"officeLocation":"%d+/%d+"}$')
    assert.equal("stamp/step/1", op.key)
    assert.same({ step = "stamped" }, plan:leaves(CONAN))
  end)

  for _, case in ipairs {
    { 'return g.patch("/users/%s", u.id, { body = {} })',
      ":3: in the function that begins here: g can only read: return ob.patch" },
    { 'local gone = g.delete("/users/%s", u.id)', ":4: g can only read: return ob.delete" },
    { "return u.manager.id", ":4: attempt to index a nil value (field 'manager')" },
    { "return 7", ":3: step 'stamp': plan must return" },
    { "local t = p.tiket", ":4: the workflow has no param 'tiket'" },
    { 'local x = g.get("/users/%s", u.manager)', ":4: an id must be a text, got nil" },
    { "while true do end", ":4: the function computes too long" },
    { "while true do pcall(g.get, 1) end", "computes too long" },
  } do
    it("is refused at the line of the step that says " .. case[1], function()
      local ok, message = pcall(t.plan, t, step_file(case[1]), { ADA })
      assert.is_false(ok)
      assert.truthy(message:find(case[2], 1, true), message)
    end)
  end

  -- ---- what it holds ----------------------------------------------------------------------------

  it("reads in batches and writes nothing", function()
    local before = #t.tenant:requests()
    t:plan(helper.ROOT .. "examples/leaver.lua", { ADA, CONAN, GUEST }, { ticket = "INC1" })
    local batches, parts, alone = 0, 0, 0
    for i, entry in ipairs(t.tenant:requests()) do
      if i > before then
        assert.same({}, entry.actions)
        local is_batch = entry.path:find "%$batch$" ~= nil
        parts, batches = parts + (entry.batch and 1 or 0), batches + (is_batch and 1 or 0)
        local is_scarce = entry.path:find "/authentication/methods$" -- five in ten seconds: nothing to gain by a batch
        alone = alone + ((entry.batch or is_batch or is_scarce) and 0 or 1)
      end
    end
    assert.truthy(batches > 0 and parts >= 5 * (batches + alone), ("%d batches, %d parts, %d alone"):format(batches,
      parts, alone))
  end)

  it("is for a full leaver what a leaver needs", function()
    local plan = t:plan(helper.ROOT .. "examples/leaver.lua", { ADA, GRACE }, { ticket = "INC1" })
    assert.same({ "Block sign-in", "Set a random password (not disclosed)", "End all sessions" },
      { table.unpack(plan:does(ADA, "contain"), 1, 3) })
    local reclaim = table.concat(plan:does(ADA, "reclaim"), "\n")
    for _, line in ipairs { "Leave Engineering", "Leave Licensed: Office 365 E3",
      "Make Grace Hopper the owner of Project Apollo",
      "Take away licences: EMS" } do
      assert.truthy(reclaim:find(line, 1, true), line)
    end
    assert.is_nil(reclaim:find("Make Grace Hopper the owner of Engineering", 1, true)) -- she is, and stays
    assert.equal("it holds a directory role", plan:refuses(GRACE))
    assert.equal(ADA, plan:subject(ADA).snapshot.account.userPrincipalName)
    assert.equal(t.tenant.tenant_id, plan.body.tenant_id)
  end)

  it("names the permission that is missing", function()
    local client <close> = assert(graph.connect { endpoint = t.tenant.endpoint, ca_file = t.tenant.ca_file,
      auth = graph.auth.token(t.tenant:token { scopes = { "User.Read.All" } }) })
    local plan, err = ob.plan(workflow({}, { ob.actions.auth_methods.remove_all }), { ADA }, { client = client })
    assert.is_nil(plan)
    assert.equal("forbidden", err.kind)
    assert.truthy(err.hint:find("UserAuthenticationMethod.Read.All", 1, true))
  end)

  -- ---- files ------------------------------------------------------------------------------------

  local function saved(fields)
    local plan = t:plan(workflow(fields), { ADA })
    local path = file_of("", ".plan")
    assert(ob.save_plan(plan, path))
    return path, plan
  end

  it("is the same after it was written and read", function()
    local path, plan = saved()
    local again = assert(ob.load_plan(path))
    assert.equal(plan.plan_hash, again.plan_hash)
    assert.same(plan.body, again.body)
    assert.truthy(#plan.body.subjects > 0)
    assert.equal(#plan.body.subjects, #again.body.subjects)
    for i, subject in ipairs(plan.body.subjects) do assert.same(subject, again.body.subjects[i]) end
    assert.truthy(helper.sh("stat -c %a " .. helper.quote(path)):find "^600")
  end)

  it("is refused when a byte of it was changed, or an approval is another plan's", function()
    local path, plan = saved()
    local text = helper.read_file(path)
    helper.write_file(path, (text:gsub('"danger":"disruptive"', '"danger":"safe"', 1)))
    assert.equal("plan_tampered", select(2, ob.load_plan(path)).code)
    helper.write_file(path, text .. '{"approver":"x","plan_hash":"sha256:0"}\n')
    assert.equal("plan_tampered", select(2, ob.load_plan(path)).code)
    helper.write_file(path, text:sub(1, -2))
    assert.equal("plan_tampered", select(2, ob.load_plan(path)).code)
    assert.truthy(plan.plan_hash)
  end)

  it("is refused when it is none, newer, or not there", function()
    assert.equal("plan_file", select(2, ob.load_plan(file_of "{}\n")).code)
    assert.equal("plan_file", select(2, ob.load_plan(helper.tmp() .. "/none.plan")).code)
    local _, err = ob.load_plan(file_of '{"format":"msgraph-plan","version":2}\n{}\n')
    assert.equal("plan_newer", err.code)
  end)

  it("is approved for its hash, once by each, until it expires", function()
    local path, plan = saved { limits = { expires = "1h" } }
    assert(ob.approve(plan, "Grace Hopper"))
    assert(ob.approve(plan, "Grace Hopper"))
    assert(ob.save_plan(plan, path))
    local approvals = assert(ob.load_plan(path)).approvals
    assert.equal(1, #approvals)
    assert.equal("disruptive", approvals[1].danger_max)
    assert.equal("plan_expired", select(2, ob.approve(plan, "Ada", os.time() + 3601)).code)
    assert.has_error(function() ob.approve(plan, " ") end)
  end)

  it("shows what, by hand, why not, and nothing that a terminal would act on", function()
    t.tenant:change_user(CONAN, { displayName = "Conan\27[2J O'Brien" })
    local text = ob.show(t:plan(helper.ROOT .. "examples/leaver.lua", { ADA, CONAN, GRACE }, { ticket = "INC1" }))
    t.tenant:change_user(CONAN, { displayName = "Conan O'Brien" })
    for _, line in ipairs { "To do: %d+ operations", "By hand: %d+ tasks", "refused: it holds a directory role",
      "Set%-Mailbox %-Identity '", "no directory roles", "Hash sha256:", "Approved by nobody yet" } do
      assert.truthy(text:find(line), line)
    end
    assert.is_nil(text:find "[\0-\9\11-\31]")
  end)

  -- ---- the command line -------------------------------------------------------------------------

  local function msgraph(...)
    return program.run({ helper.LUA, helper.ROOT .. "bin/msgraph", ... },
      program.env_of(t.tenant, t.tenant:token { scopes = spec.permissions(), expires_in = 1e9 }))
  end

  it("is made, shown and approved on the command line", function()
    local list, path = file_of("userPrincipalName\n" .. ADA .. "\n"), file_of("", ".plan")
    local made = msgraph("plan", helper.ROOT .. "examples/leaver.lua", "--users", list, "--param", "ticket=INC1", "-o",
      path,
      "--detailed-exitcode")
    assert.equal(2, made.code, made.err)
    assert.truthy(made.out:find "^Plan of leaver, version 1: 1 person\n")
    assert.truthy(made.err:find("msgraph show " .. path, 1, true))
    local shown = msgraph("show", path)
    assert.equal(0, shown.code, shown.err)
    assert.truthy(shown.out:find("Ada Lovelace <ada@contoso.com>  line 2", 1, true))
    assert.equal(0, msgraph("approve", path, "--as", "Grace Hopper").code)
    local json = require("msgraph.json").decode(msgraph("show", path, "--json").out)
    assert.equal("Grace Hopper", json.approvals[1].approver)
    assert.equal(1, #json.subjects)
  end)

  for _, case in ipairs {
    { "a workflow that is wrong", 64, "wf.lua:1: ", function() return "plan", "WF", "--user", ADA end },
    { "a parameter that is none", 64, "name=value is expected", function() return "plan", "LEAVER", "--user", ADA,
      "--param", "x" end },
    { "a parameter that is missing", 64, "--param ticket=", function() return "plan", "LEAVER", "--user", ADA end },
    { "a person nobody knows", 64, "matches nobody", function() return "plan", "LEAVER", "--user", "x@contoso.com",
      "--param", "ticket=INC1" end },
    { "a stage to plan that is none", 64, "only stage=contian: there is no stage 'contian'", function()
      return "plan", "CONTAIN", "--user", ADA, "--only", "stage=contian" end },
    { "two lists", 64, "one of them", function() return "plan", "LEAVER", "--user", ADA, "--users", "x" end },
    { "more people than allowed", 24, "exceeds", function() return "plan", "CONTAIN", "--users", "MANY" end },
    { "a plan that was changed", 23, "it was changed", function() return "show", "CHANGED" end },
    { "a workflow to check that is wrong", 20, "wf.lua:1: ", function() return "check", "WF" end },
    { "an action that is none", 64, "did you mean 'groups.leave_all'", function() return "actions",
      "groups.leave_al" end },
  } do
    it(("ends with %d for %s"):format(case[2], case[1]), function()
      local many = {}
      for i, user in ipairs(t.tenant:users()) do many[i] = user.userPrincipalName end
      local wrong = helper.tmp() .. "/wf.lua"
      helper.write_file(wrong, "foo()")
      local files_of = { WF = wrong, LEAVER = helper.ROOT .. "examples/leaver.lua", CONTAIN = helper.ROOT
        .. "examples/contain.lua",
        MANY = file_of(table.concat(many, "\n")),
          CHANGED = file_of '{"format":"msgraph-plan","version":1,"plan_hash":"x"}\n{}\n' }
      local words = { case[4]() }
      for i, word in ipairs(words) do words[i] = files_of[word] or word end
      local ended = msgraph(table.unpack(words))
      assert.equal(case[2], ended.code, ended.err)
      assert.truthy(ended.err:find(case[3], 1, true), ended.err)
    end)
  end

  it("can be made with every example, which check finds right", function()
    for _, name in ipairs { "leaver", "contain", "devices_only", "contractor_end" } do
      local path = helper.ROOT .. "examples/" .. name .. ".lua"
      assert.equal(0, msgraph("check", path).code, name)
      local params = name == "leaver" and { ticket = "INC1" } or name == "contractor_end" and { company = "X" } or {}
      assert.truthy(t:plan(path, { ADA }, params).body.summary.operations > 0, name)
    end
  end)

  it("holds no token", function()
    local path = saved()
    assert.is_true(helper.silent(helper.read_file(path)))
  end)
end)
