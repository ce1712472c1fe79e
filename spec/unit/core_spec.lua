--- What msgraph.core offers that needs no transport.
local core = require "msgraph.core"

describe("core.claims", function()
  local function block(value) return "HTTP/1.1 401 x\r\nWWW-Authenticate: " .. value .. "\r\nDate: x\r\n" end

  it("is what a challenge demands of the next token", function()
    assert.equal('{"a":{}}', core.claims(block 'Bearer realm="", error="insufficient_claims", claims="eyJhIjp7fX0="'))
  end)

  it("is nil where nothing is demanded, or nothing that can be read", function()
    for _, value in ipairs { "", "Bearer", 'Bearer error="invalid_token"', "Bearer claims=W10", 'Bearer claims="eyJ',
      "Basic claims=eyJhIjp7fX0=" } do
      assert.is_nil(core.claims(block(value)), value)
    end
    assert.is_nil(core.claims "")
  end)

  it("raises for what is no header block", function()
    assert.error_matches(function() core.claims() end, "string expected")
  end)
end)
