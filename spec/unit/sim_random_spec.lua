-- spec/unit/sim_random_spec.lua
local random = require "msgraph.sim.random"
local json = require "msgraph.sim.json"

describe("ids of the simulated tenant", function()
  it("are GUIDs of version 4 that lead back to their index", function()
    for _, index in ipairs { 0, 1, 7, 4711, 1 << 32, (1 << 48) - 1 } do
      local id = random.id(5, 1, index)
      assert.truthy(id:match("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$"))
      assert.equal(36, #id)
      assert.equal(index, random.index(5, 1, id))
      assert.equal(index, random.index(5, 1, id:upper()))
    end
  end)

  it("belong to one seed and one kind", function()
    local id = random.id(5, 1, 7)
    assert.is_nil(random.index(6, 1, id))
    assert.is_nil(random.index(5, 2, id))
  end)

  it("can not be made up", function()
    for _, text in ipairs { "", "x", "00000000-0000-4000-8000-000000000000", random.id(5, 1, 7) .. "0",
      random.id(5, 1, 7):gsub("%x$", function(c) return c == "0" and "1" or "0" end), ("f"):rep(36) } do
      assert.is_nil(random.index(5, 1, text))
    end
  end)

  it("differ for a hundred thousand users", function()
    local seen = {}
    for index = 1, 100000 do seen[random.id(1, 1, index)] = true end
    local n = 0
    for _ in pairs(seen) do n = n + 1 end
    assert.equal(100000, n)
  end)
end)

describe("a stream of numbers", function()
  it("is the same every time, and another for another index", function()
    local a, b, c = random.stream(1, 1, 1), random.stream(1, 1, 1), random.stream(1, 1, 2)
    local differs = false
    for _ = 1, 20 do
      local x = a:int(1, 1000000)
      assert.equal(x, b:int(1, 1000000))
      differs = differs or x ~= c:int(1, 1000000)
    end
    assert.is_true(differs)
  end)

  it("stays within its bounds and reaches them", function()
    local stream, seen = random.stream(1, 1, 1), {}
    for _ = 1, 200 do seen[stream:int(3, 5)] = true end
    assert.same({ [3] = true, [4] = true, [5] = true }, seen)
  end)

  it("has a chance as often as told", function()
    local stream, n = random.stream(1, 1, 1), 0
    for _ = 1, 10000 do n = n + (stream:chance(0.1) and 1 or 0) end
    assert.is_true(n > 900 and n < 1100)
  end)
end)

describe("JSON of the simulated tenant", function()
  for _, case in ipairs {
    { { b = 1, a = "x" }, '{"a":"x","b":1}' },
    { json.ordered({ b = 1 }, { "b", "a" }), '{"b":1,"a":null}' },
    { json.array {}, "[]" },
    { {}, "{}" },
    { json.array { true, false, 1.5, 2 }, "[true,false,1.5,2]" },
    { 'a"\\\n\r\t\1', [["a\"\\\n\r\t\u0001"]] },
    { "Käthe 山田", '"Käthe 山田"' },
    { { a = { b = json.array { {} } } }, '{"a":{"b":[{}]}}' },
  } do
    it("writes " .. case[2], function() assert.equal(case[2], json.encode(case[1])) end)
  end
end)
