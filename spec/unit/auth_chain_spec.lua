--- The chain of sources: the first that is there is used.
local chain = require "msgraph.auth.chain"
local core = require "msgraph.core"

local function failure(code, message)
  return { kind = "auth", code = code, phase = "not_sent", message = message }
end

-- A source whose guard answers with `outcome`, a Failure or nil; counts how often it was asked.
local function source(name, outcome, is_absent)
  local one = { name = name, asked = 0, core = assert(core.credential { token = name }) }
  function one.open()
    one.asked = one.asked + 1
    return { core = one.core, guard = { ready = function() return outcome end, refused = function() return false end } }
  end
  one.is_absent = is_absent and function(said) return said.code == is_absent end
  return one
end

local function missing(name, reason)
  return { name = name, open = function() return nil, reason end }
end

-- An origin that notes what it is told to use.
local function origin()
  local own = { used = {} }
  function own:use(credential) self.used[#self.used + 1] = credential end
  return own
end

describe("the chain", function()
  it("looks at nothing before it is needed", function()
    local first = source "first"
    chain.open { first }
    assert.equal(0, first.asked)
  end)

  it("uses the first source that is there, and asks no further", function()
    local second, third = source "second", source "third"
    local opened, place = chain.open { missing("first", "no such variable"), second, third }, origin()
    assert.is_nil((opened.guard.ready(place)))
    assert.is_nil((opened.guard.ready(place)))
    assert.same({ second.core }, place.used)
    assert.equal(1, second.asked)
    assert.equal(0, third.asked)
  end)

  it("gives each client's origin the credential", function()
    local only = source "only"
    local opened, a, b = chain.open { only }, origin(), origin()
    opened.guard.ready(a)
    opened.guard.ready(b)
    assert.same({ only.core }, a.used)
    assert.same({ only.core }, b.used)
  end)

  it("goes on when trying shows that a source is not there", function()
    local second = source "second"
    local opened, place = chain.open { source("first", failure("gone", "not here"), "gone"), second }, origin()
    assert.is_nil((opened.guard.ready(place)))
    assert.same({ second.core }, place.used)
  end)

  it("does not go on to another identity when the first is refused", function()
    local second = source "second"
    local opened = chain.open { source("first", failure("token_refused", "wrong secret"), "gone"), second }
    assert.equal("wrong secret", (opened.guard.ready(origin())).message)
    assert.equal(0, second.asked)
  end)

  it("says what it tried, and looks again only after a while", function()
    local first = source("first", failure("gone", "not here"), "gone")
    local opened = chain.open { first, missing("second", "lacks THIS") }
    for _ = 1, 3 do
      local said = opened.guard.ready(origin())
      assert.equal("no_token", said.code)
      assert.matches("first: .*not here", said.message)
      assert.matches("second: lacks THIS", said.message)
    end
    assert.equal(1, first.asked)
  end)
end)
