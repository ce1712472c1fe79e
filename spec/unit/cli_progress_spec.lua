--- How far a run is, in words.
local progress = require "msgraph.cli.progress"

local function stage(name, fields)
  local out = { name = name, wait = 0, total = 0, done = 0, flying = 0, retrying = 0, unknown = 0, human = 0,
    failed = 0, held = 0 }
  for key, value in pairs(fields) do out[key] = value end
  return out
end

local function found(fields)
  local out = { now = 1000000, people = 50, settled_people = 36, waiting_people = 0, at_work = 1, trouble = {}, seq = 1,
    run = { run_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7", state = "open", current_wave = 1, last_wave = 3 },
    stages = { stage("contain", { total = 500, done = 412, flying = 18, retrying = 3, human = 1 }),
      stage("reclaim", { total = 273, held = 7 }) } }
  for key, value in pairs(fields or {}) do out[key] = value end
  return out
end

local function texts(state, width)
  local out = {}
  state.recent = state.recent or {}
  for i, line in ipairs(progress.lines(state, width or 100)) do out[i] = line.text end
  return out
end

describe("a run's lines", function()
  it("are one for the run, one a stage, and one for how fast and how long still", function()
    assert.same({
      "run 7c9e6679, wave 2 of 4, 36 of 50 people",
      "  contain  412/500  18 in flight, 3 to be sent again, 1 left to a person",
      "  reclaim  0/273    7 wait for a person",
      "12.3 a second, about 40 s left",
    }, texts { found = found(), pace = 12.34, eta = 40000 })
  end)

  it("end with what went wrong last, as one can read it on a screen", function()
    local item = { label = "ada@contoso.com", what = "Retire Ada's \27[31mphone", state = "needs_human", reason = "so" }
    local lines = texts { found = found(), recent = { item } }
    assert.equal("  needs human  ada@contoso.com: Retire Ada's ?[31mphone: so", lines[#lines])
  end)

  it("are never wider than the screen", function()
    local recent = { { label = "ayşe@contoso.com", what = ("ü"):rep(200), state = "failed" } }
    for _, width in ipairs { 20, 33, 80 } do
      for _, line in ipairs(texts({ found = found(), recent = recent }, width)) do
        assert.is_true(utf8.len(line) <= width, line)
      end
    end
  end)

  it("are red where something failed, yellow where a person has to look, green where all is done", function()
    local lines = progress.lines({ recent = {}, found = found { stages = { stage("a", { total = 2, done = 1,
      failed = 1 }), stage("b", { total = 2, done = 1, human = 1 }), stage("c", { total = 2, done = 2 }),
      stage("d", { total = 2 }) } } }, 80)
    assert.same({ "red", "yellow", "green" }, { lines[2].colour, lines[3].colour, lines[4].colour })
    assert.is_nil(lines[5].colour)
  end)

  for _, case in ipairs {
    { "that Graph is throttling, and until when", { retry_at = 1012000, throttled = true },
      "throttled by Graph, goes on in 12 s" },
    { "when it tries again", { retry_at = 1005000 }, "tries again in 5 s" },
    { "that nobody is at work on it", { at_work = 0 }, "nobody is at work on it: msgraph resume" },
    { "why a resume rests", { stages = { stage("contain", { total = 2, done = 1, unknown = 1 }) }, due_at = 1042000 },
      "rests 42 s until what was under way is surely over, then looks at it" },
  } do
    it("tell " .. case[1], function()
      local lines = texts { found = found(case[2]) }
      assert.equal(case[3], lines[#lines])
    end)
  end
end)

describe("a run's line in a log", function()
  it("holds the same, in all", function()
    assert.equal("contain 412/500, reclaim 0/273; 18 in flight, 3 to be sent again, 1 left to a person, "
      .. "7 wait for a person; 2.0 a second", progress.line { found = found(), pace = 2, recent = {} })
  end)
end)

describe("a run's pace", function()
  local from = { now = 0, settled = 0 }

  -- 100 operations of which some are settled at a moment.
  local function at(seconds, done, more)
    local stages = { stage("a", { total = 100, done = done }), more }
    return progress.pace(from, found { now = seconds * 1000, stages = stages })
  end

  it("is that of this run so far", function()
    assert.equal(2.5, (at(20, 50)))
    assert.equal(20000, select(2, at(20, 50)))
  end)

  it("says how long still once 15 seconds and a twentieth are done, and nothing before", function()
    assert.is_nil(select(2, at(14, 50)))
    assert.is_nil(select(2, at(60, 4)))
    assert.equal(1140000, select(2, at(60, 5)))
    assert.is_nil((at(60, 0)))
  end)

  it("does not count what waits for a person, nor a stage that begins days later", function()
    assert.equal(20000, select(2, at(20, 50, stage("held", { total = 9, held = 9 }))))
    assert.equal(20000, select(2, at(20, 50, stage("later", { total = 30, wait = 86400 }))))
  end)
end)
