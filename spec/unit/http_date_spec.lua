local http_date = require "msgraph.http_date"

describe("the date of an answer", function()
  it("is Unix time", function()
    assert.equal(784111777, http_date.parse "Sun, 06 Nov 1994 08:49:37 GMT") -- RFC 9110's example
    assert.equal(0, http_date.parse "Thu, 01 Jan 1970 00:00:00 GMT")
    assert.equal(1709164800, http_date.parse "Thu, 29 Feb 2024 00:00:00 GMT")
    assert.equal(1709251200, http_date.parse "Fri, 01 Mar 2024 00:00:00 GMT")
    assert.equal(4102444799, http_date.parse "Thu, 31 Dec 2099 23:59:59 GMT")
  end)

  it("agrees with the system's calendar", function()
    for day = 0, 25000, 37 do
      local at = day * 86400 + 3661
      assert.equal(at, http_date.parse(os.date("!%a, %d %b %Y %H:%M:%S GMT", at)))
    end
  end)

  it("is none where there is none", function()
    for _, text in ipairs { "", "yesterday", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT" } do
      assert.is_nil(http_date.parse(text))
    end
    assert.is_nil(http_date.parse(nil))
  end)
end)
