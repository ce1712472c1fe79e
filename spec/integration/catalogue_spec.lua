--- Every action in full against a simulated tenant: it does what it says, an answer that is lost is settled by its
--- probe, a second plan finds it done, and what it did can be taken back or the plan says why not.
local catalogue = require "spec.support.catalogue"
local ob = require "msgraph.offboard"

local a <const> = ob.actions
local ADA <const>, CONAN <const>, GUEST <const> = catalogue.ADA, catalogue.CONAN, catalogue.GUEST

local SCENES = {
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
      assert.same(scene.sends, catalogue.sends(plan))
      for _, op in ipairs(plan.body.subjects[1].ops) do
        assert.is_true(op.inverse ~= nil or op.no_inverse ~= nil or op.desired.hand_off ~= nil, op.key)
      end
    end)

    it("is done once, though the first answer is lost", function()
      t.tenant:fault { kind = "reset_after", method = scene.method, path = scene.path, times = 1 }
      local states = catalogue.apply(t, plan)
      assert.equal(scene.settled or "verified", states[1])
      for i = 2, #states do assert.truthy(states[i]:find "^changed" or states[i] == "submitted", states[i]) end
    end)

    it("has nothing to do in a second plan", function()
      if scene.later then t.tenant:advance(scene.later) end
      assert.same({}, catalogue.sends(catalogue.plan(t, { scene.use() }, scene.who or ADA)))
    end)

    it("can be taken back, as far as the plan says so", function()
      catalogue.undo(t, plan)
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
    catalogue.undo(t, plan)
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
