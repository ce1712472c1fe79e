--- Every call of the resources that changes something, with its answer lost after the service has acted: what does
--- harm when it is sent twice is done once and is ambiguous; the rest is sent again, and comes to the same.
local calls = require "msgraph.calls"
local repeatable = require "msgraph.repeatable"
local scenes = require "spec.support.scenes"

local function as_pattern(text)
  return (text:gsub("%p", "%%%0"))
end

-- How often a request was made, in a batch or not.
local function sent(tenant, request)
  local n = 0
  for _, entry in ipairs(tenant:requests { method = request.method }) do
    if entry.path == "/v1.0" .. request.path then n = n + 1 end
  end
  return n
end

-- Makes a scene in which the answer to this call will be lost.
local function lose(kind, name)
  local s = scenes.scene()
  local id, args = scenes.subject(s, kind, name), scenes.arguments(s, kind, name)
  local thing = s.admin[kind](s.admin, id)
  local request = thing:request(name, table.unpack(args, 1, args.n))
  s.before, s.sent_before = scenes.actions(s.tenant), sent(s.tenant, request)
  s.tenant:fault { kind = "reset_after", method = request.method, path = as_pattern(request.path) .. "$" }
  return s, thing, args, request
end

local function is_done_once(s, request)
  assert.equal(s.before + 1, scenes.actions(s.tenant))
  assert.equal(s.sent_before + 1, sent(s.tenant, request))
end

local function is_ambiguous(err)
  assert.equal("ambiguous", err.kind, tostring(err))
  assert.matches("before repeating it", err.hint)
end

scenes.each(function(kind, name, call)
  if call.effect == "read" then return end
  local may_repeat = repeatable.is(call[1], scenes.path_of(kind, call))

  if may_repeat then
    it(("%s:%s is sent again when its answer is lost, and comes to the same"):format(kind, name), function()
      local s <close>, thing, args, request = lose(kind, name)
      local ok, err = thing[name](thing, table.unpack(args, 1, args.n))
      assert.is_truthy(ok or err.reason == "license_not_assigned" and err.already_done, tostring(err))
      assert.equal(s.sent_before + 2, sent(s.tenant, request))
      assert.equal(s.before + (call.again == "same" and 2 or 1), scenes.actions(s.tenant))
    end)
    return
  end

  it(("%s:%s is done once and ambiguous when its answer is lost"):format(kind, name), function()
    local s <close>, thing, args, request = lose(kind, name)
    local ok, err = thing[name](thing, table.unpack(args, 1, args.n))
    assert.is_nil(ok)
    is_ambiguous(err)
    is_done_once(s, request)
  end)

  it(("%s:%s is done once and ambiguous when its answer is lost in a batch"):format(kind, name), function()
    local s <close>, _, _, request = lose(kind, name)
    local results, failures = s.admin:batch { request, s.ada:request "get" }
    is_ambiguous(failures[1])
    assert.equal(200, results[2].status)
    is_done_once(s, request)
  end)
end)

describe("the calls that may not be sent twice", function()
  it("are all those that act or make something each time", function()
    scenes.each(function(kind, name, call)
      local may_repeat = repeatable.is(call[1], scenes.path_of(kind, call))
      if calls.AGAIN[call.again or "same"] == calls.AGAIN.acts or call.again == "doubles" then
        assert.is_false(may_repeat, kind .. ":" .. name)
      end
    end)
  end)
end)
