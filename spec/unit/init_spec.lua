local graph = require "msgraph"

describe("msgraph", function()
  it("has a version, null and array", function()
    assert.matches("^%d+%.%d+%.%d+$", graph.version)
    assert.equal("userdata", type(graph.null))
    assert.same({}, graph.array())
    local list = { 1 }
    assert.equal(list, graph.array(list))
    assert.error_matches(function() graph.array("x") end, "table expected, got string")
  end)

  it("escapes a segment, and raises for what can not be one", function()
    assert.equal("a%20b%2Fc%23", graph.segment("a b/c#"))
    for _, text in ipairs { "", ".", "..", "a\nb", "\xff" } do
      assert.error_matches(function() graph.segment(text) end, "segment: ")
    end
    assert.error_matches(function() graph.segment(nil) end, "a string is expected")
  end)

  it("gives a host its four functions, as functions and as methods", function()
    local client <close> = assert(graph.connect { endpoint = "https://127.0.0.1:1", auth = graph.auth.token "x" })
    for _, object in ipairs { graph, client } do
      assert.equal("integer", math.type(object.pollfd()))
      assert.equal(graph.pollfd(), object:pollfd())
      assert.equal("r", object.events())
      assert.equal("r", object:events())
      assert.is_nil(object:timeout())
      assert.is_true(object.step(0))
      assert.is_true(object:step(0))
      assert.is_true(object:step())
      assert.error_matches(function() object:step(-1) end, "seconds expected")
      assert.error_matches(function() object.step(0 / 0) end, "seconds expected")
    end
  end)

  it("has nothing to poll without a client, but a time when a task is ready", function()
    assert.is_nil(graph.pollfd())
    assert.is_nil(graph.timeout())
    local done
    graph.spawn(function() done = true end)
    assert.equal(0, graph.timeout())
    assert.is_true(graph.step())
    assert.is_true(done)
    assert.is_nil(graph.timeout())
    assert.is_nil(graph.pollfd())
  end)

  it("blames the caller's line for a wrong option of connect", function()
    for _, opts in ipairs { { cluod = "x" }, { cloud = "x" }, { auth = {} } } do
      local ok, message = pcall(function()
        local client, err = graph.connect(opts)
        return client, err
      end)
      assert.is_false(ok)
      assert.matches("^spec/unit/init_spec.lua:%d+: connect: ", message)
    end
  end)
end)
