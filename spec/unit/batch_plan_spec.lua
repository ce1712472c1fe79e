-- spec/unit/batch_plan_spec.lua
local plans = require "msgraph.batch.plan"

-- A small generator of its own, so that a history is its seed.
local function random_from(seed)
  local state = seed * 2654435761 % 2 ^ 32 | 1
  return function(most)
    state = state ~ state << 13 & 0xffffffff
    state = state ~ state >> 17
    state = state ~ state << 5 & 0xffffffff
    return state % most + 1
  end
end

local function is_chain(batch)
  for i = 2, #batch do
    if batch[i].parent ~= batch[i - 1] then return false end
  end
  return true
end

local function is_star(batch)
  for i = 2, #batch do
    if batch[i].parent ~= batch[1] then return false end
  end
  return true
end

local function is_parallel(batch)
  for _, item in ipairs(batch) do
    if item.parent then return false end
  end
  return true
end

local function ends_before(batch, i, wanted)
  if wanted.state == "done" or wanted.state == "failed" then return wanted.state end
  for n = 1, i - 1 do
    if batch[n] == wanted then return "aboard" end
  end
end

-- luassert is too slow for a million of these.
local function must(ok, why)
  if not ok then error(why, 2) end
end

-- What Graph, and the order that was asked for, demand of every batch.
local function check_batch(batch, items)
  must(#batch >= 1 and #batch <= 20, "size")
  must(not batch[1].parent, "the first depends")
  must(is_parallel(batch) or is_chain(batch) or is_star(batch), "no legal shape")
  for i, item in ipairs(batch) do
    must(item.state == "flying", item.state)
    must(item.version == batch[1].version, "two versions")
    must(item.version or #batch == 1, "not alone")
    must(#batch <= (item.most or 20), "more than it may")
    for _, needed in ipairs(item.needs or {}) do
      local how = ends_before(batch, i, needed)
      must(how == "done" or how == "aboard" and not is_parallel(batch), "sent before what it needs")
    end
    for n = 1, item.n - 1 do
      if item.object and items[n].object == item.object then
        local how = ends_before(batch, i, items[n])
        must(how ~= nil and (how ~= "aboard" or not is_parallel(batch)), "two writes at once")
      end
    end
  end
  for _, item in ipairs(items) do must((item.state == "flying") == (item.admitted or false), "gate: " .. item.state) end
end

local OPEN = { admit = function() end, withdraw = function() end }

-- One with three lanes: four may be under way in each, but in the last; and now and then it shuts for a while.
local function gate_of(random, clock)
  local gate, opens, under_way = {}, { 0, 0, 0 }, { 0, 0, -math.huge }
  function gate.admit(_, item)
    local lane = item.lane
    must(not item.admitted, "admitted twice")
    if opens[lane] <= clock.now and random(9) == 1 then opens[lane] = clock.now + random(30) end
    if opens[lane] > clock.now then return opens[lane] end
    if under_way[lane] == 4 then return clock.now + 1 end
    item.admitted, under_way[lane] = true, under_way[lane] + 1
  end
  function gate.withdraw(_, item)
    must(item.admitted, "withdrawn, and was not admitted")
    item.admitted, under_way[item.lane] = nil, under_way[item.lane] - 1
  end
  return gate
end

local function random_items(random)
  local items = {}
  for n = 1, random(70) do
    local item = { n = n, version = ({ "v1.0", "v1.0", "v1.0", "beta", false })[random(5)] or nil }
    if random(4) == 1 then item.object = "users/" .. random(3) end
    item.lane, item.low = random(3), random(3) == 1 or nil
    if random(9) == 1 then item.most = random(20) end
    for _ = 1, random(3) - 1 do
      if n > 1 and random(2) == 1 then
        item.needs = item.needs or {}
        table.insert(item.needs, items[random(n - 1)])
      end
    end
    items[n] = item
  end
  return items
end

local function finish(plan, item, ok)
  for _, lost in ipairs(plan:finish(item, ok) or {}) do
    if lost.state == "waiting" then finish(plan, lost, false) end
  end
end

-- A batch comes back: each item done, failed, or to go again; riders of what was not done go again as well.
local function come_back(plan, batch, random, now)
  for _, item in ipairs(batch) do
    local parent, luck = item.parent, random(10)
    if parent and parent.state ~= "done" then
      local lost = false
      for _, needed in ipairs(item.needs or {}) do lost = lost or needed.state == "failed" end
      if lost then finish(plan, item, false) else plan:again(item) end
    elseif luck <= 2 then
      plan:again(item, luck == 1 and now + random(30) or nil)
    else
      finish(plan, item, luck > 3)
    end
  end
end

local function history(seed)
  local random, clock, up = random_from(seed), { now = 0 }, {}
  local gate = gate_of(random, clock)
  local plan, items = plans.new(gate), random_items(random)
  for _, item in ipairs(items) do plan:add(item) end
  for _ = 1, 5000 do
    local batch, due
    if #up < 4 then batch, due = plan:take(clock.now) end
    if batch then
      for _, item in ipairs(batch) do must((item.due or 0) <= clock.now, "earlier than its time") end
      check_batch(batch, items)
      up[#up + 1] = batch
    elseif #up > 0 then
      local back = table.remove(up, random(#up))
      for _, item in ipairs(back) do gate:withdraw(item) end
      come_back(plan, back, random, clock.now)
    elseif due then
      assert.is_true(due > clock.now)
      clock.now = due
    else
      break
    end
  end
  assert.equal(0, plan.waiting)
  for _, item in ipairs(items) do
    assert.is_true(item.state == "done" or item.state == "failed", "left behind")
    for _, needed in ipairs(item.needs or {}) do
      if needed.state == "failed" then assert.equal("failed", item.state) end
    end
  end
end

describe("a plan", function()
  it("makes legal batches in the order asked for, of a thousand random graphs", function()
    for seed = 1, 1000 do
      local ok, problem = pcall(history, seed)
      if not ok then error(("seed %d: %s"):format(seed, type(problem) == "table" and problem.message or problem)) end
    end
  end)

  local function filled(count, make, gate)
    local plan, items = plans.new(gate or OPEN), {}
    for n = 1, count do
      items[n] = { version = "v1.0" }
      if make then make(items[n], n, items) end
      plan:add(items[n])
    end
    return plan, items
  end

  it("fills batches of twenty with what waits for nothing, oldest first", function()
    local plan, items = filled(45)
    local sizes = {}
    for batch in function() return (plan:take(0)) end do
      if #sizes == 0 then assert.equal(items[1], batch[1]) end
      sizes[#sizes + 1] = #batch
    end
    assert.same({ 20, 20, 5 }, sizes)
  end)

  it("sends a chain in one batch, and goes on where twenty are aboard", function()
    local plan = filled(25, function(item, n, items) item.needs = n > 1 and { items[n - 1] } or nil end)
    local first = plan:take(0)
    assert.equal(20, #first)
    assert.is_true(is_chain(first))
    assert.is_nil(plan:take(0))
    for _, item in ipairs(first) do plan:finish(item, true) end
    assert.equal(5, #plan:take(0))
  end)

  it("sends those that depend on one with it", function()
    local batch = filled(6, function(item, n, items) item.needs = n > 1 and { items[1] } or nil end):take(0)
    assert.equal(6, #batch)
    assert.is_true(is_star(batch))
  end)

  it("rather fills a batch than pulls a short train", function()
    local plan = filled(30, function(item, n, items) item.needs = n > 15 and { items[n - 15] } or nil end)
    local batch = plan:take(0)
    assert.equal(15, #batch)
    assert.is_true(is_parallel(batch))
  end)

  it("sends writes to one object as a chain, and the next although the one before failed", function()
    local plan, items = filled(3, function(item) item.object = "users/ada" end)
    local batch = plan:take(0)
    assert.is_true(is_chain(batch))
    assert.equal(3, #batch)
    assert.is_nil(plan:finish(items[1], false))
    plan:again(items[2])
    plan:again(items[3])
    local again = plan:take(0)
    assert.same({ items[2], items[3] }, { again[1], again[2] })
  end)

  it("puts nobody aboard twice who needs the write that he has come to come after", function()
    local needs = { {}, {}, { 1 }, { 2 }, { 2 }, { 2 } }
    local plan, items = filled(6, function(item, n, items)
      item.object = n > 1 and n < 5 and "users/ada" or nil
      for i, place in ipairs(needs[n]) do needs[n][i] = items[place] end
      item.needs = needs[n]
    end)
    for _, item in ipairs(plan:take(0)) do plan:again(item, item == items[2] and 7 or nil) end
    assert.equal(items[1], plan:take(0)[1])
    assert.same({ items[3] }, plan:finish(items[1], false))
    plan:finish(items[3], false) -- unsent: the fourth comes after the second now, which it needs
    local star = plan:take(7)
    assert.same({ items[2], items[4] }, { star[1], star[2] })
    assert.equal(4, #star)
    assert.equal(0, plan.waiting)
  end)

  it("does not put two versions into one batch", function()
    local plan = filled(4, function(item, n) item.version = n % 2 == 0 and "beta" or "v1.0" end)
    assert.equal(2, #plan:take(0))
    assert.equal(2, #plan:take(0))
  end)

  it("names the moment at which it is worth asking again", function()
    local plan, items = filled(2)
    for _, item in ipairs(plan:take(0)) do plan:again(item, item == items[1] and 7 or 9) end
    local batch, due = plan:take(5)
    assert.is_nil(batch)
    assert.equal(7, due)
    assert.equal(1, #plan:take(7))
  end)

  -- Shuts out what has a number above `most`.
  local function gate_below(most)
    return { admit = function(_, item) return item.n > most and 7 or nil end, withdraw = function() end }
  end

  local function number(item, n) item.n = n end

  it("leaves behind whom the gate shuts out, and packs the others", function()
    local plan, items = filled(30, function(item, n) item.n = 31 - n end, gate_below(5))
    local batch = plan:take(0)
    assert.equal(5, #batch)
    assert.equal(items[26], batch[1])
    assert.same({ nil, 7 }, { plan:take(0) })
    assert.equal(25, plan.waiting)
  end)

  it("pulls no train whose riders the gate shuts out", function()
    local function after_first(item, n, items)
      number(item, n)
      item.needs = n > 1 and n < 6 and { items[1] } or nil
    end
    local batch = filled(6, after_first, gate_below(3)):take(0)
    assert.equal(1, #batch)
    assert.is_true(is_star(filled(6, after_first, gate_below(5)):take(0)))
  end)

  it("takes those of low priority last, but for one batch in eight", function()
    local plan = filled(300, function(item, n) item.low = n <= 60 or nil end)
    local firsts = {}
    for batch in function() return (plan:take(0)) end do firsts[#firsts + 1] = batch[1].low and "low" or "-" end
    assert.equal("- - - - - - - low - - - - - low low", table.concat(firsts, " "))
    local few, items = filled(3, function(item, n) item.low = n < 3 or nil end)
    assert.same({ items[3], items[1], items[2] }, { table.unpack(few:take(0)) })
    for i = 1, 3 do few:again(items[i]) end
    assert.same({ items[3], items[2], items[1] }, { table.unpack(few:take(0)) })
  end)

  it("keeps nothing of what ended", function()
    local weak = setmetatable({}, { __mode = "k" })
    local plan = plans.new(OPEN)
    for _ = 1, 100 do
      local item = { version = "v1.0", object = "users/ada" }
      weak[item] = true
      plan:add(item)
      plan:finish(plan:take(0)[1], true)
    end
    collectgarbage()
    assert.is_nil(next(weak))
  end)
end)
