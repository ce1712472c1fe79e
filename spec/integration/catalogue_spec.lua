--- Every action in full against a simulated tenant: it does what it says, an answer that is lost is settled by its
--- probe, a second plan finds it done, and what it did can be taken back or the plan says why not.
local actions = require "msgraph.offboard.actions"
local catalogue = require "spec.support.catalogue"
local helper = require "spec.support.helper"
local ob = require "msgraph.offboard"
local reader = require "msgraph.offboard.reader"
local recover = require "msgraph.offboard.recover"

local a <const> = ob.actions
local ADA <const>, CONAN <const>, GUEST <const> = catalogue.ADA, catalogue.CONAN, catalogue.GUEST

local function is_company(device) return device.ownership == "company" end

-- Whom Ada manages, synced or not.
local function reports_of_ada(t, synced)
  local out = {}
  local select = { "displayName", "userPrincipalName", "onPremisesSyncEnabled" }
  for _, report in ipairs(assert(t.client:user(ADA):direct_reports { select = select })) do
    if (report.onPremisesSyncEnabled == true) == synced then out[#out + 1] = report end
  end
  return out
end

local SCENES = {
  ["notify.mail"] = {
    use = function()
      return a.notify.mail { from = catalogue.GRACE, to = ob.param "heir", subject = "{{displayName}} leaves",
        text = "Dear {{heir.displayName}},\n{{displayName}} leaves on Friday." }
    end,
    method = "POST", path = "/sendMail$", sends = { "Tell Grace Hopper: Ada Lovelace leaves" }, undone = {},
  },
  ["access_packages.remove_all"] = {
    use = function() return a.access_packages.remove_all end, method = "POST", seen = false, settled = "submitted",
    later = 120, sends = { "Take away the access package Sales tools", "Take away the access package Partner portal" },
    undone = {},
  },
  ["account.delete"] = {
    use = function() return a.account.delete end, who = "ayse.yilmaz@contoso.com", method = "DELETE",
    sends = { "Delete the account" }, gone = true,
  },
  ["intune.wipe_apps"] = {
    use = function() return a.intune.wipe_apps end, method = "POST", sends = {
      "Wipe the company's data in the apps on iPhone 16 Pro", "Wipe the company's data in the apps on Pixel 8" },
    seen = false, settled = "changed", later = 3600, undone = {},
  },
  ["onedrive.grant"] = {
    use = function() return a.onedrive.grant { to = ob.param "heir" } end, method = "POST", path = "/invite$",
    sends = { "Let Grace Hopper into the OneDrive (write)" },
  },
  ["reports.reassign"] = {
    use = function() return a.reports.reassign { to = ob.param "heir" } end, method = "PUT",
    sends = function(t)
      local labels = reports_of_ada(t, false)
      for i, report in ipairs(labels) do labels[i] = "Make Grace Hopper the manager of " .. report.displayName end
      return labels
    end,
  },
  ["calendar.cancel_meetings"] = {
    use = function() return a.calendar.cancel_meetings { comment = "{{displayName}} has left." } end, method = "POST",
    path = "/cancel$", sends = { "Cancel the meeting Team weekly", "Cancel the meeting Budget round" }, undone = {},
  },
  ["groups.add"] = {
    use = function() return a.groups.add { group = "Blocked" } end, method = "POST", sends = { "Join Blocked" },
  },
  ["apps.transfer_ownership"] = {
    use = function() return a.apps.transfer_ownership { to = ob.param "heir" } end, method = "POST",
    sends = { "Make Grace Hopper the owner of Timesheets", "Stop owning Timesheets",
      "Make Grace Hopper the owner of Payroll", "Stop owning Payroll" },
  },
  ["intune.retire"] = {
    use = function() return a.intune.retire { where = is_company } end, method = "POST", path = "/retire$",
    sends = { "Retire Ada's Surface Pro 11 (Windows)", "Retire Ada's MacBook Air (macOS)",
      "Retire Ada's iPad Air (iPadOS)" }, settled = "submitted", undone = {},
  },
  ["intune.wipe"] = {
    use = function() return a.intune.wipe { where = is_company } end, method = "POST", path = "/wipe$",
    sends = { "Wipe Ada's Surface Pro 11 (Windows)", "Wipe Ada's MacBook Air (macOS)",
      "Wipe Ada's iPad Air (iPadOS)" }, settled = "submitted", undone = {},
  },
  ["intune.lock"] = { -- a phone that is switched off: one that locked itself would be locked again
    who = catalogue.AYSE,
    use = function() return a.intune.lock { where = function(d) return d.platform == "iOS" end } end,
    method = "POST", path = "/remoteLock$", sends = { "Lock Ayşe's iPhone 16 Pro (iOS)" }, settled = "submitted",
    undone = {},
  },
  ["mailbox.auto_reply"] = {
    use = function() return a.mailbox.auto_reply { text = "{{displayName}} <left>.\nAsk {{heir.mail}}." } end,
    sends = { "Answer mail: Ada Lovelace <left>. Ask grace@contoso.com." }, method = "PATCH",
  },
  ["mailbox.remove_rules"] = {
    use = function() return a.mailbox.remove_rules end,
    sends = { "Delete the inbox rule Home, which sends mail to private@example.org" }, method = "DELETE",
  },
}

for id, scene in pairs(SCENES) do
  describe(id, function()
    local t, plan

    setup(function()
      t = catalogue.start()
      plan = catalogue.plan(t, scene.before and { scene.before(), scene.use() } or { scene.use() }, scene.who or ADA)
    end)
    teardown(function() t:__close() end)

    it("plans what it says, with the way back or why there is none", function()
      if type(scene.sends) == "function" then scene.sends = scene.sends(t) end
      assert.is_true(#scene.sends > 0)
      assert.same(scene.sends, catalogue.sends(plan))
      for _, op in ipairs(plan.body.subjects[1].ops) do
        assert.is_true(op.inverse ~= nil or op.no_inverse ~= nil or op.nothing_to_undo ~= nil
          or op.desired.hand_off ~= nil or actions.find(op.action).undo ~= nil, op.key)
      end
    end)

    it("is done once, though the first answer is lost", function()
      local lost = scene.seen == false and 0 or 1 -- what no read shows would be sent again after half a minute
      t.tenant:fault { kind = "reset_after", method = scene.method, path = scene.path, times = lost }
      local states, ops = catalogue.apply(t, plan)
      assert.equal(scene.settled or "verified", states[1])
      for i = 2, #states do
        local well = { changed = true, submitted = true, needs_human = ops[i].desired.hand_off ~= nil }
        assert.is_true(well[states[i]], ops[i].op_key)
      end
    end)

    it("has nothing to do in a second plan", function()
      if scene.later then t.tenant:advance(scene.later) end
      local found, again = pcall(catalogue.plan, t, { scene.use() }, scene.who or ADA)
      if scene.gone then return assert.matches("matches nobody", again) end
      assert.is_true(found, again)
      assert.same({}, catalogue.sends(again))
    end)

    it("can be taken back, as far as the plan says so", function()
      catalogue.undo(t)
      local again = catalogue.sends(catalogue.plan(t, { scene.use() }, scene.who or ADA))
      assert.same(scene.undone or scene.sends, again)
    end)
  end)
end

describe("mailbox.auto_reply", function()
  local t
  setup(function() t = catalogue.start() end)
  teardown(function() t:__close() end)

  it("puts back the answer that was there before", function()
    local ada = t.client:user(ADA)
    assert(ada:set_auto_reply { status = "alwaysEnabled", externalAudience = "none", internalReplyMessage = "at lunch",
      externalReplyMessage = "" })
    local plan = catalogue.plan(t, { a.mailbox.auto_reply { text = "gone", external = "none" } }, ADA)
    catalogue.apply(t, plan)
    catalogue.undo(t)
    local setting = ada:mailbox_settings().automaticRepliesSetting
    assert.equal("none", setting.externalAudience)
    assert.matches("at lunch", setting.internalReplyMessage)
  end)

  it("leaves those alone who have no mailbox, or nobody to name", function()
    local use = a.mailbox.auto_reply { text = "Ask {{heir.mail}}" }
    assert.equal("a guest has no mailbox here", catalogue.plan(t, { use }, GUEST):leaves(GUEST)["mailbox.auto_reply"])
    local wf = catalogue.workflow { use }
    local plan = t:plan(wf, { ADA, catalogue.GRACE }, { heir = catalogue.GRACE })
    assert.matches("{{heir.mail}} has no value", plan:leaves(ADA)["mailbox.auto_reply"], 1, true)
  end)

  it("is refused where nothing fills a place, and without a text", function()
    local ok, message = pcall(catalogue.workflow, { a.mailbox.auto_reply { text = "Ask {{hair.mail}}" } })
    assert.is_false(ok)
    assert.matches("nothing fills {{hair.mail}} (did you mean {{heir.mail}}?)", message, 1, true)
    ok, message = pcall(function() return a.mailbox.auto_reply {} end)
    assert.is_false(ok)
    assert.matches("mailbox.auto_reply: 'text' is missing", message, 1, true)
  end)
end)

describe("mailbox.remove_rules", function()
  it("takes all of them when told so, and leaves to a person what only Outlook may change", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { a.mailbox.remove_rules { which = "all" } }, CONAN)
    assert.equal(2, #catalogue.sends(plan))
    assert.same({ "By hand: Delete the inbox rule Old phone, which sends mail to private@example.org" },
      plan:hands_off(CONAN))
    assert.equal("a guest has no mailbox here",
      catalogue.plan(t, { a.mailbox.remove_rules }, GUEST):leaves(GUEST)["mailbox.remove_rules"])
  end)
end)

describe("intune.wipe", function()
  local function wipe_all() return a.intune.wipe { where = function() return true end } end

  it("leaves what is only partly the company's to intune.retire", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { wipe_all() }, ADA)
    assert.equal(3, #catalogue.sends(plan))
    assert.equal(2, plan.body.summary.skipped)
    local both = catalogue.plan(t, { wipe_all(), a.intune.retire }, ADA)
    assert.equal(5, #both:does(ADA))
    assert.equal(2, #both:does(ADA, "s2"))
  end)

  it("counts as irreversible, which a workflow has to allow, and says which devices", function()
    local t <close> = catalogue.start()
    local ok, message = pcall(t.plan, t, catalogue.workflow({ wipe_all() }, {}), { ADA })
    assert.is_false(ok)
    assert.matches("3 irreversible operations, at most 0", message)
    ok, message = pcall(function() return a.intune.wipe {} end)
    assert.is_false(ok)
    assert.matches("intune.wipe: 'where' is missing", message, 1, true)
  end)

  for _, status in ipairs { 403, 400 } do
    it("waits for a second administrator whose absence is a " .. status, function()
      local t <close> = catalogue.start()
      t.tenant:require_approval("wipe", status)
      local plan = catalogue.plan(t, { wipe_all() }, ADA)
      assert.same({ "needs_approval", "needs_approval", "needs_approval" }, (catalogue.apply(t, plan)))
      assert.equal(3, #catalogue.sends(catalogue.plan(t, { wipe_all() }, ADA)))
      t.tenant:require_approval("wipe", false)
      assert.same({ "submitted", "submitted", "submitted" },
        (catalogue.apply(t, catalogue.plan(t, { wipe_all() }, ADA))))
    end)
  end

  it("is pending for ever on a device that never checks in, and over on one that did", function()
    local t <close> = catalogue.start()
    local who = "ayse.yilmaz@contoso.com"
    local function wipe_other() return a.intune.wipe { where = function(d) return d.platform ~= "iOS" end } end
    catalogue.apply(t, catalogue.plan(t, { wipe_other(), a.intune.lock }, who))
    t.tenant:advance(3600)
    local states = {}
    for _, device in ipairs(t.tenant:devices { userPrincipalName = who }) do
      states[device.operatingSystem] = device.managementState
    end
    assert.same({ iOS = "managed", Windows = "wipeFailed", macOS = "wipePending" }, states)
    assert.same({ "Wipe Ayşe's Surface Pro 11 (Windows)" }, catalogue.sends(catalogue.plan(t, { wipe_other() }, who)))
  end)

  it("leaves a device alone that somebody else has enrolled since", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { wipe_all() }, ADA)
    local subject = plan.body.subjects[1] -- read anew each time
    subject.ops[1].guard.expect.enrolledDateTime = "2020-01-01T00:00:00Z"
    plan.body.subjects = { subject }
    local states = catalogue.apply(t, plan)
    assert.equal("drifted", states[1])
    assert.equal(2, #t.tenant:requests { method = "POST", status = 204 })
  end)
end)

describe("groups.add", function()
  it("keeps groups.leave_all from leaving the group again", function()
    local t <close> = catalogue.start()
    local use = function() return { a.groups.add { group = "VPN" }, a.groups.leave_all } end
    local plan = catalogue.plan(t, use(), ADA)
    assert.same({}, plan:does(ADA, "s1"))
    for _, label in ipairs(plan:does(ADA)) do assert.not_equal("Leave VPN", label) end
  end)

  for name, why in pairs { Nowhere = '0 groups are named "Nowhere": check the name',
    ["Everyone in Berlin"] = "Everyone in Berlin takes no members through Graph (a rule decides",
    Finance = "Finance takes no members through Graph (Exchange is master" } do
    it("is refused for the group " .. name, function()
      local t <close> = catalogue.start()
      local ok, message = pcall(catalogue.plan, t, { a.groups.add { group = name } }, GUEST)
      assert.is_false(ok)
      assert.matches(why, message, 1, true)
    end)
  end
end)

describe("apps.transfer_ownership", function()
  it("leaves to a person whom nobody is named for", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { a.apps.transfer_ownership }, ADA)
    assert.same({ "By hand: transfer ownership Timesheets", "By hand: transfer ownership Payroll" },
      plan:hands_off(ADA))
    assert.equal("owns no applications",
      catalogue.plan(t, { a.apps.transfer_ownership }, CONAN):leaves(CONAN)["apps.transfer_ownership"])
  end)
end)

describe("onedrive.grant", function()
  local function grant(role) return a.onedrive.grant { to = ob.param "heir", role = role } end

  it("leaves those alone who have no OneDrive", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { grant() }, "pavel.novak@contoso.com")
    assert.equal("there is no OneDrive: none was ever set up", plan:leaves("pavel.novak@contoso.com")["onedrive.grant"])
  end)

  it("is content with more than it asks for, and says when it can not put back less", function()
    local t <close> = catalogue.start()
    catalogue.apply(t, catalogue.plan(t, { grant "read" }, ADA))
    local plan = catalogue.plan(t, { grant "write" }, ADA)
    assert.matches("not put back", plan:subject(ADA).ops[1].no_inverse)
    catalogue.apply(t, plan)
    assert.same({}, catalogue.sends(catalogue.plan(t, { grant "read" }, ADA)))
  end)
end)

describe("reports.reassign", function()
  it("leaves to people whom Active Directory manages, and who would manage himself", function()
    local t <close> = catalogue.start()
    local heir, synced = reports_of_ada(t, false)[1].userPrincipalName, reports_of_ada(t, true)[1].userPrincipalName
    local function tasks_for(who)
      local plan = t:plan(catalogue.workflow { a.reports.reassign { to = ob.param "heir" } }, { ADA }, { heir = who })
      local tasks = {}
      for _, op in ipairs(plan:subject(ADA).ops) do
        local task = op.desired.hand_off
        if task then tasks[task.system] = task end
      end
      return tasks
    end
    assert.matches("nobody manages himself", tasks_for(heir).entra.why)
    assert.is_nil(tasks_for(heir)["active-directory"].powershell) -- who is not known there
    assert.matches("^Set%-ADUser %-Identity 'S%-1%-5%-21%-[%d-]+' %-Manager 'S%-1%-5%-21%-[%d-]+'$",
      tasks_for(catalogue.SYNCED)["active-directory"].powershell)
    local function id_of(who) return t.tenant:users({ userPrincipalName = who })[1].id end
    local _, err = t.client:user(id_of(synced)):set_manager(id_of(catalogue.GRACE))
    assert.equal("synced_object", err.reason)
  end)
end)

describe("intune.wipe_apps", function()
  it("can not tell before the apps are opened, and knows when they were", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { a.intune.wipe_apps }, ADA)
    catalogue.apply(t, plan)
    local g, op = reader.new(t.client), plan:subject(ADA).ops[1]
    local function probe() return actions.find("intune.wipe_apps").probe(g, op) end
    assert.equal("unknown", probe())
    t.tenant:advance(3600)
    assert.equal("yes", probe())
  end)
end)

describe("account.delete", function()
  local AYSE <const> = "ayse.yilmaz@contoso.com"

  it("deletes nobody who is not disabled, and leaves synced accounts to Active Directory", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { a.account.delete }, ADA)
    assert.same({}, catalogue.sends(plan))
    assert.matches("it is not disabled", plan:leaves(ADA)["account.delete"])
    assert.same({ "By hand: delete account " .. catalogue.SYNCED },
      catalogue.plan(t, { a.account.delete }, catalogue.SYNCED):hands_off(catalogue.SYNCED))
  end)

  it("follows account.disable of the same plan", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { a.account.disable, a.account.delete }, ADA)
    assert.same({ "changed", "changed" }, (catalogue.apply(t, plan)))
    assert.equal(0, #t.tenant:users { userPrincipalName = ADA })
  end)

  it("leaves alone who was enabled again meanwhile", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { a.account.delete }, AYSE)
    t.tenant:change_user(AYSE, { accountEnabled = true })
    assert.same({ "drifted" }, (catalogue.apply(t, plan)))
    assert.equal(1, #t.tenant:users { userPrincipalName = AYSE })
  end)

  it("counts as irreversible, which a workflow has to allow", function()
    local t <close> = catalogue.start()
    local ok, message = pcall(t.plan, t, catalogue.workflow({ a.account.delete }, {}), { AYSE })
    assert.is_false(ok)
    assert.matches("1 irreversible operations, at most 0", message)
  end)
end)

describe("devices.check_keys", function()
  it("says what is kept, hands off what is not, and lets no key into the plan", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { a.devices.check_keys }, ADA)
    assert.matches("its BitLocker key is kept, its local administrator's password is kept",
      plan:leaves(ADA)["devices.check_keys"])
    assert.same({}, plan:hands_off(ADA))
    assert.same({}, catalogue.sends(plan))
    assert.is_nil((plan.head .. table.concat(plan.people)):find "111111%-222222")
    for _, entry in ipairs(t.tenant:requests()) do assert.is_nil(entry.query:find "select=[^&]*key") end
    assert.equal(1, #catalogue.plan(t, { a.devices.check_keys }, CONAN):hands_off(CONAN)) -- his own machine
    assert.equal("no Windows devices",
      catalogue.plan(t, { a.devices.check_keys }, catalogue.SYNCED):leaves(catalogue.SYNCED)["devices.check_keys"])
  end)
end)

describe("devices.delete_records", function()
  local function records(opts) return a.devices.delete_records(opts or {}) end

  it("leaves what is still managed alone", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { records() }, ADA)
    assert.same({}, catalogue.sends(plan))
    assert.matches("is managed by Intune: retire it first", plan:leaves(ADA)["devices.delete_records"])
  end)

  it("waits for Intune in the plan that retires them: what has not left yet is a person's to say", function()
    local t <close> = catalogue.start()
    local plan = catalogue.plan(t, { a.intune.retire, records() }, ADA)
    assert.equal(5 + 5 + 1, #plan:does(ADA)) -- one of them is in Autopilot
    local states, ops = catalogue.apply(t, plan)
    for i, op in ipairs(ops) do
      assert.equal(op.action == "intune.retire" and "submitted" or "needs_human", states[i], op.op_key)
    end
    assert.equal(0, #t.tenant:requests { method = "DELETE" })
    t.tenant:advance(3600)
    local last
    states, last = catalogue.redo(t, "devices.delete_records")
    for i, op in ipairs(last) do
      assert.equal(op.action == "intune.retire" and "submitted" or "changed", states[i], op.op_key)
    end
  end)

  it("is content with a device that Intune has let go of since the plan, and deletes the rest of it", function()
    local t <close> = catalogue.start()
    local phone = a.intune.retire { where = function(device) return device.platform == "iOS" end }
    local who = "ayse.yilmaz@contoso.com"
    catalogue.apply(t, catalogue.plan(t, { phone }, who))
    t.tenant:advance(30 * 86400)
    local plan = catalogue.plan(t, { records { pending = true } }, who)
    assert(t.client:delete(plan.body.subjects[1].ops[1].desired.path))
    assert.same({ "unchanged", "changed" }, (catalogue.apply(t, plan)))
  end)

  it("waits with what needs something that waits for a second administrator", function()
    local t <close> = catalogue.start()
    local who = "ayse.yilmaz@contoso.com"
    catalogue.apply(t, catalogue.plan(t, { a.intune.retire }, who))
    t.tenant:advance(30 * 86400)
    t.tenant:fault { kind = "status", status = 403, method = "DELETE", path = "managedDevices", times = 1,
      message = "This action needs Multi Admin Approval" }
    local plan = catalogue.plan(t, { records { pending = true } }, who)
    local states, ops = catalogue.apply(t, plan)
    assert.equal("needs_approval", states[1])
    assert.same({ ops[1].op_key }, ops[2].deps)
    assert.equal("needs_approval", states[2])
    for _, state in ipairs((catalogue.redo(t))) do assert.equal("changed", state) end
  end)

  it("deletes what has left, Autopilot before Entra, once; a second plan finds nothing", function()
    local t <close> = catalogue.start()
    catalogue.apply(t, catalogue.plan(t, { a.intune.retire }, ADA))
    t.tenant:advance(3600)
    local plan = catalogue.plan(t, { records() }, ADA)
    assert.equal(6, #catalogue.sends(plan))
    t.tenant:fault { kind = "reset_after", method = "DELETE", path = "Autopilot", times = 1 }
    local states, ops = catalogue.apply(t, plan)
    for i, op in ipairs(ops) do
      assert.equal(op.op_key:find "autopilot/" and "verified" or "changed", states[i], op.op_key)
    end
    assert.equal("no devices in the directory",
      catalogue.plan(t, { records() }, ADA):leaves(ADA)["devices.delete_records"])
  end)

  it("gives up on a device that never checks in, when told so", function()
    local t <close> = catalogue.start()
    local who = "ayse.yilmaz@contoso.com"
    local phone = a.intune.retire { where = function(device) return device.platform == "iOS" end }
    catalogue.apply(t, catalogue.plan(t, { phone }, who))
    t.tenant:advance(30 * 86400)
    assert.same({ "needs_human" }, (catalogue.apply(t, catalogue.plan(t, { records() }, who))))
    local plan = catalogue.plan(t, { records { pending = true } }, who)
    assert.same({ "changed", "changed" }, (catalogue.apply(t, plan)))
    assert.equal("the device has to be enrolled again; BitLocker keys kept with it are lost",
      plan:subject(who).ops[2].no_inverse)
  end)
end)

describe("notify.mail", function()
  local function tell(text)
    return a.notify.mail { from = catalogue.GRACE, to = ob.param "heir", subject = "News", text = text }
  end

  it("is sent again when it says something else, and to nobody when there is nobody", function()
    local t <close> = catalogue.start()
    catalogue.apply(t, catalogue.plan(t, { tell "on Friday" }, ADA))
    assert.equal(1, #catalogue.sends(catalogue.plan(t, { tell "on Monday" }, ADA)))
    local plan = catalogue.plan(t, { tell "on Friday" }, ADA)
    assert.matches("^Grace Hopper was told on %d+%-%d+%-%d+$", plan:leaves(ADA)["notify.mail"])
    local both = t:plan(catalogue.workflow { tell "x" }, { ADA, catalogue.GRACE }, { heir = CONAN })
    assert.equal("who should send it is not known, or leaves as well", both:leaves(ADA)["notify.mail"])
  end)

  it("is not sent a second time when nobody knows whether it was: a person looks", function()
    local op = { effect = "once", action = "notify.mail", attempts = 1, over_at = 0 }
    assert.equal("needs_human", recover.decide(op, "no", 1e9, 1, 0).state)
    assert.equal("verified", recover.decide(op, "yes", 1e9, 1, 0).state)
  end)
end)

describe("what is left to people", function()
  it("can be looked at, whatever the action: a read tells whether it was done, or that it can not tell", function()
    local t <close> = catalogue.start()
    local text = { ["mailbox.auto_reply"] = { text = "x" }, ["groups.add"] = { group = "Blocked" },
      ["intune.wipe"] = { where = is_company }, ["onedrive.grant"] = { to = catalogue.GRACE },
      ["notify.mail"] = { from = catalogue.GRACE, subject = "x", text = "x" },
      ["handoff.exchange"] = { "hide-from-gal" } }
    local uses, seen = {}, 0
    for _, action in ipairs(actions.list) do
      local branch, name = action.id:match "^([%w_]+)%.([%w_]+)$"
      uses[#uses + 1] = a[branch][name](text[action.id] or {})
    end
    local plan = t:plan(catalogue.workflow(uses), { ADA, CONAN, catalogue.SYNCED }, { heir = catalogue.GRACE })
    for _, subject in ipairs(plan.body.subjects) do
      for _, op in ipairs(subject.ops) do
        if op.desired.hand_off then
          seen = seen + 1
          local answer = recover.probe(t.client, { object_id = subject.id }, { op_key = op.key, action = op.action,
            target_id = op.target_id, desired = op.desired })
          assert.truthy(answer == "no" or answer == "cannot_tell", op.key)
        end
      end
    end
    assert.is_true(seen > 12)
  end)
end)

describe("docs/workflows.md", function()
  it("tells of every action when it has nothing to do, what refuses it and what takes it back", function()
    local page = helper.read_file(helper.ROOT .. "docs/workflows.md"):match "\n## The catalogue\n(.-)\n## "
    for _, action in ipairs(actions.list) do
      assert.truthy(page:find("\n| [^|]*`" .. action.id:gsub("%.", "%%.") .. "`"), action.id)
    end
  end)
end)
