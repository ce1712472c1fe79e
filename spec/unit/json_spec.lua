describe("json", function()
  local json = require "msgraph.json"

  for _, case in ipairs {
    { "an empty table is an object",          {},                                  "{}" },
    { "a marked empty table is an array",     json.array(),                        "[]" },
    { "a marked table keeps its items",       json.array { 1, "a", true },         '[1,"a",true]' },
    { "null survives as a value",             { a = json.null },                   '{"a":null}' },
    { "null survives in an array",            { json.null, 1 },                    "[null,1]" },
    { "64-bit integers keep every digit",     { 9223372036854775807 },             "[9223372036854775807]" },
    { "a whole float is written as integer",  { 5.0, -3.0 },                       "[5,-3]" },
    { "a float keeps its value",              { 0.1, 1e300, 1 / 3 },               "[0.1,1e+300,0.33333333333333331]" },
    { "control characters are escaped",       { "\0\n\"\\\31" },                   '["\\u0000\\n\\"\\\\\\u001f"]' },
    { "UTF-8 stays as it is",                 { "é漢" },                            '["é漢"]' },
    { "what looks like a mark is text",       { "[]", '"\\u0000raw:[]"' }, '["[]","\\"\\\\u0000raw:[]\\""]' },
    { "arrays nest",                          { a = { json.array(), { {} } } },    '{"a":[[],[{}]]}' },
  } do
    it("writes: " .. case[1], function() assert.equal(case[3], json.encode(case[2])) end)
  end

  local cycle = {}
  cycle.again = cycle
  for _, case in ipairs {
    { "a hole in an array",     { body = { value = { 1, nil, 3 } } },      "body%.value.*3 items has 2" },
    { "mixed keys",             { a = { 1, x = 2 } },                      "cannot encode a as JSON.*key x" },
    { "a numeric object key",   { a = { b = 1, [2.5] = 1 } },              "key 2%.5" },
    { "a marked object",        { a = json.array { x = 1 } },              "array cannot have the key x" },
    { "a function",             { list = { { name = print } } },           "list%[1%]%.name.*function" },
    { "not a number",           { 0 / 0 },                                 "%[1%].*no JSON number" },
    { "infinity",               { x = math.huge },                         "cannot encode x .*no JSON number" },
    { "bytes that are no UTF-8", { x = "\xff" },                           "cannot encode x .*not UTF%-8" },
    { "our own mark",           { x = "\0raw:[]" },                         "cannot encode x .*NUL" },
    { "our own mark within",    { x = 'a"\0raw:x' },                        "cannot encode x .*NUL" },
    { "a cycle",                cycle,                                     "deeper than %d+ levels" },
  } do
    it("refuses with the key: " .. case[1], function()
      local ok, message = pcall(json.encode, case[2])
      assert.is_false(ok)
      assert.matches(case[3], message)
    end)
  end

  for _, case in ipairs {
    { "an integer comes back as integer", "5", 5 },
    { "null comes back as null",          "null", json.null },
    { "a string",                         '"a\\u00e9"', "aé" },
  } do
    it("reads: " .. case[1], function()
      local value = json.decode(case[2])
      assert.equal(case[3], value)
      assert.equal(math.type(case[3]), math.type(value))
    end)
  end

  it("makes integers no deeper than any JSON is", function()
    local core = require "msgraph.core"
    local deep = { 1.0 }
    for _ = 1, 199 do deep = { deep, 2.0 } end
    assert.equal("integer", math.type(core.integers(deep)[2]))
    assert.error_matches(function() core.integers { deep } end, "nested too deeply")
    local circle = {}
    circle[1] = circle
    assert.error_matches(function() core.integers(circle) end, "nested too deeply")
    assert.error_matches(function() core.integers(5) end, "table expected")
    local kept = { 2.0 ^ 53, -2.0 ^ 53, 0.5, 1 / 0, 7, "8", x = -0.0, y = 2.0 ^ 53 - 1 }
    core.integers(kept)
    assert.same({ "float", "float", "float", "float", "integer" }, { math.type(kept[1]), math.type(kept[2]),
      math.type(kept[3]), math.type(kept[4]), math.type(kept[5]) })
    assert.same({ "8", "integer", "integer" }, { kept[6], math.type(kept.x), math.type(kept.y) })
  end)

  it("finds the numbers in any text, whatever strings are around them", function()
    local stream = require("msgraph.sim.random").stream(1, 1, 1)
    local STRINGS <const> = { "", "5", "-1", '"', "\\", '\\"', '"\\', ":7,", "[8]", "\0\n", "\\\\\\", "é9" }
    for _ = 1, 2000 do
      local list, has = {}, stream:chance(0.5)
      for i = 1, stream:int(1, 8) do list[i] = stream:pick(STRINGS) end
      local at = stream:int(1, #list)
      if has then list[at] = { [stream:pick(STRINGS)] = stream:int(-9, 9) } end
      local text = json.encode(list):gsub(":", stream:pick { ":", " : " })
      local value = json.decode(text)
      for i, item in ipairs(value) do
        assert.equal(has and i == at, type(item) == "table", text)
        if type(item) == "table" then assert.equal("integer", math.type(select(2, next(item))), text) end
      end
    end
    local function kind(value) -- of the one number in it
      while type(value) == "table" do value = value[#value] or select(2, next(value)) end
      return math.type(value)
    end
    for _, text in ipairs { "[5.0]", "[ -5.0]", '["",5.0]', '{"a":{"":[[],{},5.0]}}', '["\\"",5.0]', '["\\\\",5.0]' } do
      assert.equal("integer", kind(json.decode(text)), text)
    end
  end)

  it("reads whole numbers inside as integers, others as they are", function()
    local value = json.decode('{"a":{"b":[5,1.5,-0,1e20]},"n":null}')
    assert.equal("integer", math.type(value.a.b[1]))
    assert.equal(1.5, value.a.b[2])
    assert.equal(1e20, value.a.b[4])
    assert.equal(json.null, value.n)
  end)

  for _, text in ipairs { "", "{", "[1,]", "nonsense", "[nan]", "[0x10]", ("["):rep(5000), "\xff\xfe", "{} x" } do
    it(("returns the reason for %q"):format(text:sub(1, 12)), function()
      local value, reason = json.decode(text)
      assert.is_nil(value)
      assert.is_string(reason)
    end)
  end

  it("gives what it read back to the byte", function()
    local text = '[{"a":[]},[1,null,{"c":"x"}],true]'
    local value = json.decode(text)
    json.array(value[1].a)
    assert.equal(text, json.encode(value))
  end)

  it("leaves lua-cjson's own settings alone", function()
    local before = require("cjson").encode_max_depth()
    json.encode { 1 }
    assert.equal(before, require("cjson").encode_max_depth())
    assert.has_no.errors(function() require("cjson").decode(("["):rep(500) .. ("]"):rep(500)) end)
  end)
end)
