--- What answers mean for what was sent.
local actions = require "msgraph.offboard.actions"
local errors = require "msgraph.errors"
local outcome = require "msgraph.offboard.outcome"
local recover = require "msgraph.offboard.recover"
local states = require "msgraph.offboard.journal.states"

local NOW <const> = 1700000000000

local function of(effect, err, fields)
  local op = { effect = effect, attempts = 1, desired = { method = "POST" }, action = "intune.retire" }
  for name, value in pairs(fields or {}) do op[name] = value end
  if err then
    err.code, err.message = err.code or "code", "message"
    err = errors.new(err)
  end
  return outcome.of(op, actions.find(op.action), err, NOW)
end

describe("an outcome", function()
  for _, case in ipairs {
    { "converge", nil, "changed" }, { "command", nil, "submitted" }, { "once", nil, "changed" },
    { "command", { kind = "throttled", status = 429, phase = "answered", retry_after = 7 }, "planned" },
    { "command", { kind = "server", status = 503, phase = "answered", retry_after = 7 }, "planned" },
    { "once", { kind = "server", status = 503, phase = "answered", retry_after = 7 }, "unknown" },
    { "converge", { kind = "server", status = 503, phase = "answered" }, "unknown" },
    { "command", { kind = "server", status = 500, phase = "answered" }, "unknown" },
    { "command", { kind = "ambiguous", phase = "sent" }, "unknown" },
    { "converge", { kind = "network", phase = "sent" }, "unknown" },
    { "once", { kind = "network", phase = "not_sent" }, "planned" },
    { "converge", { kind = "auth", status = 401, phase = "answered" }, "planned" },
    { "converge", { kind = "forbidden", status = 403, phase = "answered" }, "failed" },
    { "command", { kind = "forbidden", status = 403, phase = "answered", reason = "approval_required" },
      "needs_approval" },
    { "command", { kind = "not_found", status = 404, phase = "answered" }, "unchanged" },
    { "converge", { kind = "not_found", status = 404, phase = "answered" }, "failed" },
    { "converge", { kind = "not_found", status = 404, phase = "answered" }, "unchanged",
      { desired = { method = "DELETE" }, action = "groups.leave_all" } },
    { "converge", { kind = "invalid", status = 400, phase = "answered", reason = "not_there" }, "unchanged",
      { action = "groups.leave_all" } },
    { "converge", { kind = "invalid", status = 400, phase = "answered", reason = "last_owner" }, "needs_human",
      { action = "groups.leave_all" } },
  } do
    local err = case[2]
    it(("of %s after %s is %s"):format(case[1], err and (err.status or err.kind .. " " .. err.phase) or "2xx", case[3]),
      function() assert.equal(case[3], of(case[1], err, case[4]).state) end)
  end

  it("that sends it again is one the journal allows, also of what must not act twice", function()
    for status, kind in pairs { [401] = "auth", [407] = "auth", [429] = "throttled", [509] = "throttled" } do
      for _, effect in ipairs { "command", "once" } do
        local out = of(effect, { kind = kind, status = status, phase = "answered" })
        assert.equal("planned", out.state)
        assert(states.may({ state = "intent", effect = effect }, out))
      end
    end
  end)

  it("waits as long as it is told, and stops everything without a token", function()
    local throttled = of("command", { kind = "throttled", status = 429, phase = "answered", retry_after = 7 })
    assert.equal(NOW + 7000, throttled.next_at)
    assert.truthy(of("converge", { kind = "auth", status = 401, phase = "answered" }).stop)
  end)
end)

describe("what a read says of an unknown operation", function()
  local LATE <const> = 1000 + 60000

  for _, case in ipairs {
    { "converge", "yes", 0, "verified" }, { "converge", "no", 0, nil }, { "converge", "no", 1000, "planned" },
    { "converge", "cannot_tell", 1000, "planned" },
    { "command", "yes", 0, "verified" }, { "command", "pending", 0, "submitted" }, { "command", "no", 1000, nil },
    { "command", "no", LATE, "planned" }, { "command", "cannot_tell", LATE, nil },
    { "once", "yes", 0, "verified" }, { "once", "no", LATE, "needs_human" },
    { "once", "cannot_tell", 0, "needs_human" },
  } do
    it(("%s, %s, read at %d: %s"):format(case[1], case[2], case[3], case[4] or "read again"), function()
      local op = { effect = case[1], action = "intune.retire", over_at = 1000, attempts = 1 }
      local out = recover.decide(op, case[2], case[3], 1, NOW)
      assert.equal(case[4], out and out.state)
    end)
  end

  it("is asked of a person when it can not tell three times", function()
    local op = { effect = "command", action = "intune.retire", over_at = 1000, attempts = 1 }
    assert.equal("needs_human", recover.decide(op, "cannot_tell", LATE, 3, NOW).state)
  end)
end)
