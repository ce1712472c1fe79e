--- Which part of a workflow is meant.
local ob = require "msgraph.offboard"
local selections = require "msgraph.offboard.selection"

local function workflow()
  local a, wf = ob.actions, ob.workflow { name = "spec", version = 1 }
  wf:stage("contain", { a.account.disable, a.password.randomize, a.auth_methods.remove_all })
  wf:step("stamp", { effect = "converge", danger = "safe", plan = function() return ob.unchanged "it is" end })
  wf:stage("devices", { after = "contain" }, { a.intune.retire {} })
  wf:stage("reclaim", { after = { "stamp", "devices" }, wait = "30d" }, { a.groups.leave_all, a.licenses.remove_all })
  return wf
end

local function selected(only, except)
  local wf = workflow()
  return assert(selections.parse({ only = only, except = except }, selections.names(wf))):workflow(wf)
end

-- "contain: account.disable" for each that is left.
local function left(only, except)
  local out = {}
  for _, stage in ipairs(selected(only, except).stages) do
    for _, use in ipairs(stage.uses or {}) do out[#out + 1] = stage.name .. ": " .. use.action.id end
    if stage.step then out[#out + 1] = stage.name end
  end
  return out
end

describe("a selection", function()
  for _, case in ipairs {
    { "a stage", { "stage=devices" }, {}, { "devices: intune.retire" } },
    { "several values", { "stage=devices,stamp" }, {}, { "stamp", "devices: intune.retire" } },
    { "the same key twice", { "stage=devices", "stage=stamp" }, {}, { "stamp", "devices: intune.retire" } },
    { "two keys: both must hold", { "stage=contain,devices", "danger=destructive" }, {},
      { "contain: auth_methods.remove_all", "devices: intune.retire" } },
    { "an action", { "action=licenses.remove_all" }, {}, { "reclaim: licenses.remove_all" } },
    { "own steps", { "action=step" }, {}, { "stamp" } },
    { "all but what is destructive or in a stage", {}, { "danger=destructive", "stage=contain" },
      { "stamp", "reclaim: groups.leave_all" } },
    { "what is left of both", { "stage=contain" }, { "action=account.disable,auth_methods.remove_all" },
      { "contain: password.randomize" } },
    { "nothing", { "stage=stamp" }, { "danger=safe" }, {} },
  } do
    it("takes " .. case[1], function() assert.same(case[4], left(case[2], case[3])) end)
  end

  it("lets a stage come after those before what is left out, and changes nothing of the workflow", function()
    local wf = workflow()
    local names = selections.names(wf)
    local stages = assert(selections.parse({ except = { "stage=devices,stamp" } }, names)):workflow(wf).stages
    assert.same({ "contain", "contain" }, stages[2].after)
    assert.equal(30 * 86400, stages[2].wait)
    assert.equal(4, #wf.stages)
    assert.same({ "stamp", "devices" }, wf.stages[4].after)
  end)

  for _, case in ipairs {
    { "stage=contian", "only stage=contian: there is no stage 'contian' (did you mean 'contain'?)" },
    { "action=licenses.remove", "there is no action 'licenses.remove' (did you mean 'licenses.remove_all'?)" },
    { "danger=deadly", "there is no danger 'deadly'" },
    { "stages=contain", "stage=…, action=…, danger=… or user=… is expected" },
    { "contain", "stage=…, action=…, danger=… or user=… is expected" },
    { "stage=", "stage=…, action=…, danger=… or user=… is expected" },
    { "stage=,", "names nothing" },
  } do
    it("is refused: " .. case[1], function()
      local parsed, reason = selections.parse({ only = { case[1] } }, selections.names(workflow()))
      assert.is_nil(parsed)
      assert.truthy(reason:find(case[2], 1, true), reason)
    end)
  end

  it("finds people by name in any letter case, or id, and misses nobody who is named", function()
    local people = { { "Ada@contoso.com", "1" }, { "grace@contoso.com", "2" }, { "lin@contoso.com", "3" } }
    local function chosen(given)
      local list, reason = assert(selections.parse(given, { stage = {}, action = {} })):people(people, table.unpack)
      local names = {}
      for i, person in ipairs(list or {}) do names[i] = person[1] end
      return table.concat(names, " "), reason
    end
    assert.equal("Ada@contoso.com lin@contoso.com", chosen { only = { "user=ADA@contoso.com,3" } })
    assert.equal("Ada@contoso.com", chosen { except = { "user=2", "user=lin@contoso.com" } })
    local _, reason = chosen { only = { "user=x@contoso.com" } }
    assert.equal("only user=x@contoso.com: nobody in the list is that", reason)
    _, reason = chosen { except = { "user=1,2,3" } }
    assert.equal("nobody in the list is selected", reason)
  end)
end)
