local json = require "msgraph.json"
local pretty = require "msgraph.cli.pretty"

describe("pretty", function()
  for _, case in ipairs {
    { "sorts keys at every level",  '{"b":1,"a":{"d":2,"c":3}}', '{"a":{"c":3,"d":2},"b":1}' },
    { "keeps [] and {} apart",      '{"a":[ ],"b":{ }}',         '{"a":[],"b":{}}' },
    { "keeps numbers as sent",      '[12345678901234567890,1.50,-2E+3]', '[12345678901234567890,1.50,-2E+3]' },
    { "keeps escapes as sent",      [==["\u00e9 \"q\" \\"]==],   [==["\u00e9 \"q\" \\"]==] },
    { "takes \\/ for /",            [==["a\/b \\/"]==],          [==["a/b \\/"]==] },
    { "sees through white space",   ' \t[ 1 ,\r\n2 ] ',          '[1,2]' },
    { "takes scalars",              ' null ',                    'null' },
    { "keeps brackets in strings",  '{"a":"}],"}',               '{"a":"}],"}' },
  } do
    it(case[1], function()
      local line = pretty.line(case[2])
      assert.equal(case[3], line)
      assert.equal(case[3], pretty.line(pretty.format(case[2])))
      assert.same(json.decode(case[2]), json.decode(line))
    end)
  end

  it("indents by two", function()
    assert.equal('{\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ],\n  "c": []\n}',
      pretty.format '{"c":[],"a":[1,{"b":null}]}')
  end)

  it("gives the items of a list, each for its place in one", function()
    assert.same({ '{\n    "a": 1\n  }', "2" }, pretty.items('{"value":[{"a":1},2],"x":0}', "value"))
    assert.same({}, pretty.items('{"value":[]}', "value"))
    assert.is_nil(pretty.items('{"value":{}}', "value"))
    assert.is_nil(pretty.items('[1]', "value"))
  end)
end)
