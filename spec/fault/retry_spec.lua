--- Requests that are sent again, and those that must not be. The waits are as short as a server may ask for.
local core = require "msgraph.core"
local graph = require "msgraph"
local helper = require "spec.support.helper"
local sim = require "msgraph.sim"

local OK = helper.json_answer("200 OK", '{"id":"1"}')

local function throttled(headers)
  return { bytes = helper.answer("429 Too Many Requests", "", headers), after = "keep" }
end

local function answers(...)
  local list = {}
  for i, answer in ipairs { ... } do
    list[i] = type(answer) == "string" and { bytes = answer, after = "keep" } or answer
  end
  return list
end

-- A server that gives these answers one after the other, and a client of it.
local function open(list, opts)
  local server = helper.server(list)
  return server, helper.client(server.endpoint, opts)
end

local function whole(client, method, path, more)
  local full = { method = method, path = path }
  for name, value in pairs(more or {}) do full[name] = value end
  return client:request(full)
end

describe("a throttled request", function()
  for _, case in ipairs {
    { "Retry-After in seconds",              { ["Retry-After"] = "1" },                                  1 },
    { "Retry-After with decimals",           { ["Retry-After"] = "0.128" },                              0.128 },
    { "retry-after-ms",                      { ["retry-after-ms"] = "90", ["Retry-After"] = "50" },      0.09 },
    { "x-ms-retry-after-ms",                 { ["x-ms-retry-after-ms"] = "70.5" },                       0.0705 },
    { "a date, held against the server's own", { Date = "Fri, 07 Mar 2036 10:00:00 GMT",
      ["Retry-After"] = "Fri, 07 Mar 2036 10:00:01 GMT" },                                               1 },
    { "a date in the past",                  { Date = "Fri, 07 Mar 2036 10:00:00 GMT",
      ["Retry-After"] = "Fri, 07 Mar 2036 09:00:00 GMT" },                                               0 },
  } do
    it("waits as long as the server says, and hardly longer: " .. case[1], function()
      local server, client = open(answers(throttled(case[2]), OK))
      local before = core.now()
      local answer = assert(whole(client, "GET", "/users/1"))
      assert.is_true(answer.waited >= case[3] and answer.waited <= case[3] + 0.25, tostring(answer.waited))
      assert.is_true(core.now() - before >= answer.waited)
      assert.same({ { status = 429, phase = "answered" },
        { status = 200, phase = "answered", waited = answer.waited > 0 and answer.waited or nil } }, answer.attempts)
      assert.equal(2, #server:requests())
      client:close()
      server:stop()
    end)
  end

  it("never shortens what the server asks for: it fails at once, and says when to come back", function()
    for _, hint in ipairs { "600", "86400", "1e9" } do
      local server, client = open(answers(throttled { ["Retry-After"] = hint }, OK))
      local before = os.time()
      local body, err = client:get("/users/1", { deadline = 0.9 }) -- "1e9" is no hint: its wait is a second at least
      assert.is_nil(body)
      assert.equal("throttled", err.kind)
      assert.equal(429, err.status)
      assert.equal(tonumber(hint:match("^%d+$")), err.retry_after)
      assert.is_true(err.retry_at >= before + (err.retry_after or 1))
      assert.equal(1, #server:requests())
      client:close()
      server:stop()
    end
  end)

  it("waits on its own time: the limits of an attempt begin anew", function()
    local server, client = open(answers(throttled { ["Retry-After"] = "0.8" }, OK), { first_byte_timeout = 0.5 })
    assert.is_table(assert(client:get("/users/1")))
    client:close()
    server:stop()
  end)

  it("is bounded, however often the server says so", function()
    local server, client = open(answers(throttled { ["Retry-After"] = "0.01" }))
    local _, err = client:get("/users/1", { deadline = 1.5 })
    assert.equal("throttled", err.kind)
    assert.equal(#err.attempts, #server:requests())
    assert.is_true(#err.attempts <= 3) -- the third hint in a row that did not help is not believed
    assert.is_number(err.retry_at)
    client:close()
    server:stop()
  end)

  it("is sent again byte for byte, with the same id", function()
    local busy = { bytes = helper.answer("503 Service Unavailable", "", { ["Retry-After"] = "0.02" }), after = "close" }
    local server, client = open(answers(throttled { ["Retry-After"] = "0.02" }, busy, OK))
    local bytes = ("\0\r\n\xff{}%"):rep(300)
    local opts = { headers = { ["Content-Type"] = "application/octet-stream", SdkVersion = "mine/1" } }
    assert.is_table(assert(client:post("/drives/1/things", bytes, opts)))
    local requests = server:requests()
    assert.equal(3, #requests)
    assert.equal(requests[1], requests[2])
    assert.equal(requests[1], requests[3])
    assert.equal(bytes, requests[1]:sub(-#bytes))
    client:close()
    server:stop()
  end)

  it("is sent once where retry = false says so", function()
    local server, client = open(answers(throttled { ["Retry-After"] = "0.01" }, OK))
    local _, err = client:get("/users/1", { retry = false })
    assert.equal("throttled", err.kind)
    assert.equal(1, #err.attempts)
    _, err = client:remove_all_devices("ada@contoso.com", { retry = false })
    assert.is_nil(err)
    assert.equal(2, #server:requests())
    client:close()
    server:stop()
  end)
end)

describe("a request that failed", function()
  local BROKEN = { { after = "reset" }, { after = "close" },
    { bytes = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", after = "close" } }

  it("is sent again when it is a read", function()
    for _, broken in ipairs { helper.answer("502 Bad Gateway"), helper.answer("408 Request Timeout"), BROKEN[2],
      BROKEN[3] } do
      local server, client = open(answers(broken, OK))
      local answer = assert(whole(client, "GET", "/users/1"))
      assert.equal(2, #answer.attempts)
      assert.is_true(answer.waited >= 0.05)
      assert.equal(2, #server:requests())
      client:close()
      server:stop()
    end
  end)

  it("is sent four times at most, and the last answer is the Error", function()
    local server, client = open(answers(helper.answer("500 Oops")))
    local _, err = client:get("/users/1")
    assert.equal("server", err.kind)
    assert.equal(4, #err.attempts)
    assert.equal("http_500", err.attempts[4].code)
    assert.is_true(err.attempts[2].waited >= 0.05)
    assert.matches("4 attempts", tostring(err))
    assert.equal(4, #server:requests())
    client:close()
    server:stop()
  end)

  it("is not sent again when it is a POST of which nobody knows: it is ambiguous", function()
    for _, broken in ipairs { BROKEN[1], BROKEN[2], BROKEN[3], helper.answer("500 Oops"),
      helper.answer("503 Busy"), helper.answer("504 Late"), helper.answer("408 Slow") } do
      local server, client = open(answers(broken, OK))
      local _, err = client:post("/users", { displayName = "Ada" })
      assert.equal("ambiguous", err.kind, tostring(err))
      assert.matches("read the state before repeating", err.hint)
      assert.equal(1, #server:requests())
      client:close()
      server:stop()
    end
  end)

  it("is sent again when it is a POST that does no harm twice", function()
    local reads = { requests = { { id = "1", method = "GET", url = "/users/1" },
      { id = "2", method = "POST", url = "/users/1/revokeSignInSessions" } } }
    for path, body in pairs { ["/directoryObjects/getByIds"] = { ids = {} }, ["/users/1/assignLicense"] = {},
      ["/$batch"] = reads } do
      local server, client = open(answers(BROKEN[2], OK))
      assert.is_table(assert(client:post(path, body)), path)
      assert.equal(2, #server:requests())
      client:close()
      server:stop()
    end
  end)

  it("is sent again whatever it is when nothing of it left", function()
    local client <close> = helper.client("https://127.0.0.1:" .. helper.closed_port())
    local _, err = client:post("/users", {}, { deadline = 1.5 })
    assert.equal("connect", err.code)
    assert.is_true(#err.attempts > 1)
    for _, one in ipairs(err.attempts) do assert.equal("not_sent", one.phase) end
  end)

  it("that was not sent again for the others' sake says so", function()
    local tenant <close> = assert(sim.start { users = 3, speed = 0 })
    tenant:fault { kind = "status", status = 502, times = math.huge }
    local client <close> = helper.client(tenant.endpoint, { ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token()) })
    local list, spent = {}, 0
    for i = 1, 40 do list[i] = i end
    local _, failures = graph.map(list, { concurrency = 40 }, function() return client:get("/users") end)
    for i = 1, 40 do
      assert.equal(502, failures[i].status)
      if failures[i].retry_budget then
        spent = spent + 1
        assert.matches("no more retries", tostring(failures[i]))
      end
    end
    assert.equal(40 + 500 // 14, #tenant:requests())
    assert.is_true(spent > 0)
  end)
end)

describe("a second attempt", function()
  local GONE = helper.json_answer("404 Not Found", '{"error":{"code":"Request_ResourceNotFound","message":"Gone."}}')
  local function refused(words)
    return helper.json_answer("400 Bad Request", ('{"error":{"code":"Request_BadRequest","message":'
      .. '"One or more %s for the following modified properties: \'members\'."}}'):format(words))
  end
  local THERE = refused "added object references already exist"
  local ABSENT = refused "removed object references do not exist"
  local REF = { ["@odata.id"] = "https://graph.microsoft.com/v1.0/directoryObjects/1" }

  it("that finds a deleted thing gone has succeeded", function()
    local server, client = open(answers({ after = "close" }, GONE))
    assert.is_true(assert(client:delete("/groups/1/members/2/$ref")))
    assert.equal(2, #server:requests())
    client:close()
    server:stop()
  end)

  it("that finds a membership gone has succeeded", function()
    local server, client = open(answers({ after = "close" }, ABSENT))
    assert.is_true(assert(client:delete("/groups/1/members/2/$ref")))
    assert.equal(2, #server:requests())
    client:close()
    server:stop()
  end)

  it("that finds a member there has succeeded", function()
    local server, client = open(answers({ after = "close" }, THERE))
    local answer = assert(whole(client, "POST", "/groups/1/members/$ref", { body = REF }))
    assert.equal(204, answer.status)
    assert.equal(400, answer.attempts[2].status)
    client:close()
    server:stop()
  end)

  local refusal = throttled { ["Retry-After"] = "0.01" }
  for name, first in pairs { ["the first"] = false, ["one after a refusal"] = refusal } do
    it("is told from " .. name .. ", which means what it says", function()
      local server, client = open(first and answers(first, GONE) or answers(GONE))
      local _, err = client:delete("/groups/1/members/2/$ref")
      assert.equal("not_found", err.kind)
      client:close()
      server:stop()
      server, client = open(first and answers(first, THERE) or answers(THERE))
      _, err = client:post("/groups/1/members/$ref", REF)
      assert.equal("invalid", err.kind)
      client:close()
      server:stop()
    end)
  end
end)

describe("a request that waits for its next attempt", function()
  it("ends at once when its task is cancelled", function()
    local server, client = open(answers(throttled { ["Retry-After"] = "60" }, OK))
    local before = core.now()
    graph.run(function()
      local task = graph.spawn(function() return client:get("/users/1") end)
      while #server:requests() == 0 do graph.sleep(0.02) end
      graph.sleep(0.1)
      task:cancel()
      local joined, err = pcall(task.join, task)
      assert.is_false(joined)
      assert.equal("cancelled", err.kind)
    end)
    assert.is_true(core.now() - before < 30)
    assert.equal(1, #server:requests())
    client:close()
    server:stop()
  end)

  it("ends at once when its client closes", function()
    local server, client = open(answers(throttled { ["Retry-After"] = "60" }, OK))
    local before = core.now()
    graph.run(function()
      local task = graph.spawn(function() return client:get("/users/1") end)
      while #server:requests() == 0 do graph.sleep(0.02) end
      graph.sleep(0.1)
      client:close()
      local _, err = task:join()
      assert.equal("cancelled", err.kind)
    end)
    assert.is_true(core.now() - before < 30)
    server:stop()
  end)

  it("lets the others go on", function()
    local server, client = open(answers(throttled { ["Retry-After"] = "0.3" }, OK))
    local order = {}
    graph.run(function()
      local first = graph.spawn(function() assert(client:get("/first")) order[#order + 1] = "first" end)
      while #server:requests() == 0 do graph.sleep(0.01) end
      assert(client:get("/second"))
      order[#order + 1] = "second"
      first:join()
    end)
    assert.same({ "second", "first" }, order)
    client:close()
    server:stop()
  end)
end)

describe("the action", function()
  local function start(faults)
    local tenant = assert(sim.start { users = 30, speed = 0 })
    for _, fault in ipairs(faults) do tenant:fault(fault) end
    local client = helper.client(tenant.endpoint, { ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token()) })
    return tenant, client
  end

  -- How many devices each user's actions retired, by the simulator's own log: one entry for each that did.
  local function acted(tenant)
    local times = {}
    for _, entry in ipairs(tenant:requests { method = "POST" }) do
      if #entry.actions > 0 then times[entry.path] = (times[entry.path] or 0) + 1 end
    end
    return times
  end

  it("whose answer was lost was done once, and is ambiguous", function()
    for _, fault in ipairs { { kind = "reset_after" }, { kind = "cut_body" } } do
      local tenant, client = start { fault }
      local ok, err = client:remove_all_devices("ada@contoso.com")
      assert.is_nil(ok)
      assert.equal("ambiguous", err.kind)
      assert.equal(1, #tenant:requests { method = "POST" })
      for _, times in pairs(acted(tenant)) do assert.equal(1, times) end
      client:close()
      tenant:stop()
    end
  end)

  it("that is throttled for many users is done for each of them, once", function()
    local tenant, client = start {
      { kind = "status", status = 429, retry_after = "0.02", method = "POST", times = 10 } }
    local names = {}
    for _, user in ipairs(tenant:users { licensed = true }) do names[#names + 1] = user.userPrincipalName end
    local results, failures = graph.map(names, { concurrency = 8 }, function(name)
      return client:remove_all_devices(name)
    end)
    assert.equal(#names, results.n)
    assert.same({}, failures)
    assert.equal(#names + 10, #tenant:requests { method = "POST" })
    for path, times in pairs(acted(tenant)) do assert.equal(1, times, path) end
    client:close()
    tenant:stop()
  end)
end)

describe("a new event whose answer was lost", function()
  local EVENT = { subject = "Handover", start = { dateTime = "2026-12-01T09:00:00", timeZone = "UTC" },
    ["end"] = { dateTime = "2026-12-01T10:00:00", timeZone = "UTC" } }
  local PATH, MONTH = "/users/ada@contoso.com/events", "/users/ada@contoso.com/calendarView"
  local FROM_TO = { query = { startDateTime = "2026-11-01T00:00:00Z", endDateTime = "2026-12-31T00:00:00Z" } }

  -- The events of that subject in the calendar, and what the calls said.
  local function make(ask)
    local tenant <close> = assert(sim.start { users = 3, speed = 0 })
    tenant:fault { kind = "reset_after", method = "POST", path = "events" }
    local client <close> = helper.client(tenant.endpoint,
      { ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token { scopes = { "Calendars.ReadWrite" } }) })
    local made, err = ask(client)
    local subjects = 0
    for event in client:items(MONTH, FROM_TO) do
      if event.subject == EVENT.subject then subjects = subjects + 1 end
    end
    return subjects, made, err, #tenant:requests { method = "POST" }
  end

  it("is sent again, and there once", function()
    local events, made, err, sent = make(function(client) return client:post(PATH, EVENT) end)
    assert.is_nil(err)
    assert.equal("Handover", made.subject)
    assert.same({ 1, 2 }, { events, sent })
  end)

  it("is sent once where its author says that it may not be sent twice", function()
    local events, made, err, sent = make(function(client) return client:post(PATH, EVENT, { idempotent = false }) end)
    assert.is_nil(made)
    assert.equal("ambiguous", err.kind)
    assert.same({ 1, 1 }, { events, sent })
  end)

  it("that its author makes twice is there twice", function()
    local events = make(function(client)
      assert(client:post(PATH, EVENT))
      return client:post(PATH, EVENT)
    end)
    assert.equal(2, events)
  end)
end)
