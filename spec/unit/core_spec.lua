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

describe("core.spacing", function()
  it("is that of the published limit that lets the fewest through", function()
    assert.equal(2000, core.spacing("DELETE", "/v1.0/users/ada/authentication/phoneMethods/1")) -- 5 in 10 s
    assert.equal(50, core.spacing("PATCH", "/v1.0/users/ada")) -- 3,000 writes in 150 s, not 8,000 units in 10 s
    assert.equal(1.25, core.spacing("GET", "/v1.0/users/ada"))
    assert.equal(0, core.spacing("GET", "/v1.0/sites/root")) -- none is published
  end)
end)
