local graph = require "msgraph"
local helper = require "spec.support.helper"
local json = require "msgraph.json"
local sim = require "msgraph.sim"

local tenant, client

local function start(opts)
  local all = { users = 50, speed = 0 }
  for name, value in pairs(opts or {}) do all[name] = value end
  tenant = assert(sim.start(all))
  client = helper.client(tenant.endpoint, { ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token()) })
end

local function asked()
  return tenant:requests { method = "GET" }
end

local function ids(iterator)
  local out = {}
  for item in iterator do out[#out + 1] = item.id end
  return out
end

local function all_ids()
  local out = {}
  for i, user in ipairs(tenant:users()) do out[i] = user.id end
  return out
end

-- A loop that is left at once.
local function leave_early(...)
  for item in ... do
    if item then break end
  end
end

-- What a checkpoint becomes on its way to another process.
local function saved(checkpoint)
  return json.decode(json.encode(checkpoint))
end

after_each(function()
  client:close()
  tenant:stop()
end)

describe("items", function()
  before_each(function() start() end)

  it("of all pages come once each, in order", function()
    assert.same(all_ids(), ids(client:items("/users", { select = "id", top = 7 })))
    assert.equal(8, #asked())
  end)

  it("come from a beta path, from a full URL, and from a path with a query", function()
    for _, path in ipairs { "/beta/users?$top=30", client.endpoint .. "/v1.0/users?$top=30" } do
      assert.equal(50, #ids(client:items(path)))
    end
  end)

  it("are fetched no further than they are wanted", function()
    leave_early(client:items("/users", { top = 10 }))
    assert.equal(1, #asked())
    assert.equal(20, #ids(client:items("/users", { top = 10, limit = 20 })))
    assert.equal(3, #asked())
    assert.equal(15, #ids(client:items("/users", { top = 10, limit = 15 })))
    assert.equal(50, #ids(client:items("/users", { top = 10, limit = 1000 })))
  end)

  it("feed a map, whose workers share them", function()
    local results = graph.map(client:items("/users", { top = 7 }), { concurrency = 5 }, function(user)
      return assert(client:get("/users/" .. user.id, { select = "id" })).id
    end)
    local wanted = all_ids()
    table.sort(results)
    table.sort(wanted)
    results.n = nil
    assert.same(wanted, results)
  end)

  it("keep the headers and the page size of the first request on every page", function()
    local headers = { Prefer = "odata.maxpagesize=20" }
    assert.equal(50, #ids(client:delta("/users/delta", { headers = headers })))
    ids(client:items("/users", { filter = "displayName ne 'x'", top = 20, headers = headers }))
    local requests = asked()
    assert.equal(6, #requests)
    for i, request in ipairs(requests) do
      assert.equal("odata.maxpagesize=20", request.headers.prefer)
      assert.equal(i > 3 and "eventual" or nil, request.headers.consistencylevel)
    end
  end)

  it("tell how many there are in all, where that is asked for", function()
    local users = client:items("/users", { count = true, top = 20 })
    users()
    assert.equal(50, users.total)
    for _ in users do assert.equal(50, users.total) end
  end)

  it("raise a mistake where the caller stands", function()
    for _, case in ipairs {
      { { "/users", { tpo = 1 } },               "unknown option 'tpo' %(did you mean 'top'" },
      { { "/users", { restart = true } },        "unknown option 'restart'" },
      { { "users" },                             "must begin with /" },
      { { "/users", { limit = 0 } },             "'limit' must be" },
      { { "/users", { from = { page = 1 } } },   "'from' must be a checkpoint" },
      { { "/users", "x" },                       "options must be a table" },
    } do
      local ok, message = pcall(function()
        client:items(table.unpack(case[1]))
        return true
      end)
      assert.is_false(ok)
      assert.matches("^spec/integration/paging_spec.lua:%d+: items: ", message)
      assert.matches(case[2], message)
    end
    assert.equal(0, #asked())
  end)
end)

describe("a listing that was left in the middle of a page", function()
  before_each(function() start() end)

  local OPTS = { top = 10, select = { "id" }, count = true }

  -- The items from `from` on, `most` of them, and the checkpoint behind the last.
  local function take(from, most)
    local users <close> = client:items("/users", { top = 10, select = { "id" }, count = true, from = from })
    local out = {}
    for _ = 1, most do
      local user = users()
      if not user then break end
      out[#out + 1] = user.id
    end
    return out, users.checkpoint and saved(users.checkpoint)
  end

  it("goes on behind the last item that was handed out: none comes twice, none is left out", function()
    for _, step in ipairs { 1, 3, 10, 25, 49, 50 } do
      local all, from = {}, nil
      repeat
        local some
        if step % 2 == 0 then some, from = take(from, step) else some, from = graph.run(take, from, step) end
        table.move(some, 1, #some, #all + 1, all)
        assert.equal(#all, from.count)
        assert.is_true(#(from.ids or {}) < 10)
      until from.done
      assert.same(all_ids(), all)
    end
  end)

  it("goes on so after an error, a break, a limit, and in the loop itself", function()
    local wanted, seen = all_ids(), {}
    local users = client:items("/users", OPTS)
    assert.is_nil(users.checkpoint)
    pcall(function()
      for user in users do
        seen[#seen + 1] = user.id
        assert.equal(#seen, users.checkpoint.count)
        if #seen == 13 then error "enough" end
      end
    end)
    users:close()
    assert.equal(13, saved(users.checkpoint).count)
    assert.is_nil(users())
    assert.equal(13, users.checkpoint.count)
    local limited = client:items("/users", { top = 10, limit = 12, from = users.checkpoint })
    for user in limited do seen[#seen + 1] = user.id end
    assert.equal(25, limited.checkpoint.count)
    assert.equal(5, #limited.checkpoint.ids)
    for user in client:items("/users", { from = limited.checkpoint }) do seen[#seen + 1] = user.id end
    assert.same(wanted, seen)
  end)

  it("goes on as pages, too, and finds what is whole", function()
    local _, from = take(nil, 25)
    local numbers, counts = {}, {}
    for page in client:pages("/users", { count = true, from = from }) do
      numbers[#numbers + 1], counts[#counts + 1] = page.number, page.count
    end
    assert.same({ 3, 4, 5 }, numbers)
    assert.same({ 30, 40, 50 }, counts)
  end)

  it("goes on with its page where items have no ids", function()
    local users <close> = client:items("/users", { top = 10, select = { "displayName" } })
    for _ = 1, 13 do users() end
    assert.same({ page = 1, count = 10, link = users.checkpoint.link }, users.checkpoint)
  end)
end)

describe("a list", function()
  before_each(function() start() end)

  it("is a table of all items", function()
    assert.equal(50, #assert(client:list("/users", { top = 20 })))
    assert.equal(25, #assert(client:list("/users", { top = 20, limit = 25 })))
    assert.same({}, assert(client:list("/users/pavel.novak@contoso.com/managedDevices")))
  end)

  it("that cannot be had is nil and the Error", function()
    tenant:fault { kind = "status", status = 503, after = 1 }
    local users, err = client:list("/users", { top = 20, retry = false })
    assert.is_nil(users)
    assert.equal("server", err.kind)
    assert.matches("^page 2: ", err.message)
  end)

  it("has no options that make no sense for it", function()
    assert.error_matches(function() client:list("/users", { prefetch = false }) end, "list: unknown option 'prefetch'")
    assert.error_matches(function() client:list("/users", { headers = { ["X-\n"] = "1" } }) end, "list: ")
  end)
end)

describe("a query of the directory", function()
  before_each(function() start() end)

  it("finds names with quotes in them", function()
    local found = assert(client:list("/users", { filter = graph.filter("displayName eq ?", "Conan O'Brien") }))
    assert.equal("Conan O'Brien", found[1].displayName)
  end)

  it("searches, sorts, and counts, without a word about consistency", function()
    assert.equal("Ada Lovelace", assert(client:list("/users", { search = "displayName:lovel" }))[1].displayName)
    local names = {}
    for user in client:items("/users", { filter = "userType eq 'Member'", orderby = "displayName desc", top = 9 }) do
      names[#names + 1] = user.displayName:lower()
    end
    assert.is_true(#names > 20)
    for i = 2, #names do assert.is_true(names[i - 1] >= names[i]) end
    assert.equal("50", tostring(assert(client:get("/users/$count"))))
    local some = assert(client:list("/users", { filter = graph.filter("mail in ?", { "ada@contoso.com", "x@y.z" }) }))
    assert.equal(1, #some)
    assert.equal(49, #assert(client:list("/users", { filter = "not(mail eq 'ada@contoso.com')" })))
  end)

  it("would be refused without it", function()
    for _, options in ipairs {
      { filter = "mail ne 'x'" }, { search = "displayName:a" }, { filter = "endsWith(mail,'m')" },
      { filter = "userType eq 'Member'", orderby = "displayName" },
    } do
      options.headers = { ConsistencyLevel = "session" }
      local users, err = client:list("/users", options)
      assert.is_nil(users)
      assert.equal("Request_UnsupportedQuery", err.code)
    end
    assert.is_nil((client:get("/users/$count", { headers = { ConsistencyLevel = "x" } })))
  end)
end)

describe("pages", function()
  before_each(function() start() end)

  it("are numbered, count, and end with a checkpoint that says so", function()
    local seen = {}
    for page in client:pages("/users", { top = 20 }) do seen[#seen + 1] = page end
    assert.same({ 1, 2, 3 }, { seen[1].number, seen[2].number, seen[3].number })
    assert.same({ 20, 20, 10 }, { #seen[1].items, #seen[2].items, #seen[3].items })
    assert.equal(50, seen[3].count)
    assert.same({ done = true, page = 3, count = 50 }, seen[3].checkpoint)
    assert.equal(0, #ids(client:items("/users", { from = seen[3].checkpoint })))
    assert.equal(3, #asked())
  end)

  it("go on in another process, with another token, where a checkpoint says", function()
    local checkpoint = client:pages("/users", { top = 20, select = "id" })().checkpoint
    local program = [[
      local graph, json = require "msgraph", require "msgraph.json"
      local client <close> = assert(graph.connect())
      for page in client:pages("/users", { from = json.decode(arg[1]) }) do
        for _, user in ipairs(page.items) do print(page.number, page.count, user.id) end
      end]]
    local path = helper.tmp() .. "/resume.lua"
    helper.write_file(path, program)
    local out = helper.sh(("MSGRAPH_ENDPOINT=%s MSGRAPH_CA_FILE=%s MSGRAPH_ACCESS_TOKEN=%s %s %s %s"):format(
      tenant.endpoint, tenant.ca_file, tenant:token { expires_in = 7200 }, helper.LUA, path,
      helper.quote(json.encode(checkpoint))))
    local wanted, n = all_ids(), 20
    for number, count, id in out:gmatch "(%d+)\t(%d+)\t(%S+)" do
      n = n + 1
      assert.equal(wanted[n], id)
      assert.same({ n > 40 and "3" or "2", n > 40 and "50" or "40" }, { number, count })
    end
    assert.equal(50, n)
  end)
end)

describe("the next page", function()
  before_each(function() start() end)

  -- Waits as a task; lets what is under way arrive.
  local function settle()
    for _ = 1, 20 do graph.sleep(0.005) end
  end

  it("travels while the body of the loop works, inside a task", function()
    local before = {}
    graph.run(function()
      for page in client:pages("/users", { top = 20 }) do
        settle()
        before[page.number] = #asked()
      end
    end)
    assert.same({ 2, 3, 3 }, before)
  end)

  it("waits until it is wanted where that is asked for, and outside of tasks", function()
    local before = {}
    graph.run(function()
      for page in client:pages("/users", { top = 20, prefetch = false }) do
        settle()
        before[page.number] = #asked()
      end
    end)
    leave_early(client:items("/users", { top = 20 }))
    settle()
    assert.same({ 1, 2, 3 }, before)
    assert.equal(4, #asked())
  end)

  it("is cancelled when the loop is left, by break, error or the task's end", function()
    tenant:fault { kind = "stall", path = "users", after = 1, times = math.huge, bytes = 0 }
    local began = os.time()
    graph.run(function()
      for user in client:items("/users", { top = 20 }) do
        settle()
        if user then break end
      end
    end)
    tenant:clear_faults()
    tenant:fault { kind = "stall", path = "users", after = 1, times = math.huge, bytes = 0 }
    assert.is_false((pcall(graph.run, function()
      for _ in client:items("/users", { top = 20 }) do
        settle()
        error "enough"
      end
    end)))
    tenant:clear_faults()
    tenant:fault { kind = "stall", path = "users", after = 1, times = math.huge, bytes = 0 }
    graph.run(function()
      local reader = graph.spawn(function()
        for _ in client:items("/users", { top = 20 }) do graph.sleep(60) end
      end)
      settle()
      assert.is_true(reader:cancel())
    end)
    assert.is_true(os.time() - began < 15)
  end)

  it("is cancelled with a list that was kept in a variable", function()
    tenant:fault { kind = "stall", path = "users", after = 1, times = math.huge, bytes = 0 }
    graph.run(function()
      local users <close> = client:items("/users", { top = 20 })
      assert.is_string(users().id)
    end)
    assert.is_true(#asked() <= 2)
  end)

  it("is read by one task at a time", function()
    graph.run(function()
      local users = client:items("/users", { top = 20 })
      local first = graph.spawn(users)
      local second = graph.spawn(users)
      local ok, message = pcall(second.join, second)
      assert.is_false(ok)
      assert.matches("read by another task", message)
      assert.is_string(first:join().id)
    end)
  end)
end)

describe("delta", function()
  before_each(function() start() end)

  local function changes_of(iterator)
    local out = {}
    for item in iterator do out[#out + 1] = (item["@removed"] and "-" or "") .. (item.displayName or item.id) end
    return out
  end

  it("gives everything at first, and then what changed, what is gone with @removed", function()
    local ada, grace = tenant:users()[1], tenant:users()[2]
    local users <close> = client:delta("/users/delta", { select = { "id", "displayName" } })
    assert.equal(50, #changes_of(users))
    local checkpoint = saved(users.checkpoint)
    assert.matches("%$deltatoken=", checkpoint.delta)

    local again <close> = client:delta("/users/delta", { from = checkpoint })
    assert.same({}, changes_of(again))

    tenant:change_user(ada.id, { displayName = "Ada King" })
    tenant:delete_user("grace@contoso.com")
    local later <close> = client:delta("/users/delta", { from = saved(again.checkpoint) })
    assert.same({ "Ada King", "-" .. grace.id }, changes_of(later))
    assert.same({}, changes_of(client:delta("/users/delta", { from = saved(later.checkpoint) })))
    assert.same({ "Ada King", "-" .. grace.id }, changes_of(client:delta("/users/delta", { from = checkpoint })))
  end)

  it("repeats an id as the service does, or gives each once, as it came last", function()
    local users <close> = client:delta("/users/delta")
    changes_of(users)
    for i = 1, 3 do tenant:change_user("ada@contoso.com", { displayName = "Ada " .. i }) end
    tenant:change_user("grace@contoso.com", { displayName = "Grace" })
    tenant:delete_user("ada@contoso.com")
    local ada = tenant:requests()[1] and users.checkpoint
    assert.equal(5, #changes_of(client:delta("/users/delta", { from = ada, dedupe = "none" })))
    local once <close> = client:delta("/users/delta", { from = ada, dedupe = "last",
      headers = { Prefer = "odata.maxpagesize=2" } })
    local got = changes_of(once)
    assert.equal(2, #got)
    assert.equal("Grace", got[1])
    assert.matches("^%-", got[2])
    assert.is_string(once.checkpoint.delta)
  end)

  it("loses nothing when a page of a gathered round cannot be had", function()
    tenant:fault { kind = "status", status = 400, path = "delta", after = 1, times = 2 }
    local opts = { dedupe = "last", headers = { Prefer = "odata.maxpagesize=20" } }
    local users <close> = client:delta("/users/delta", opts)
    for _ = 1, 2 do
      local ok, err = pcall(users)
      assert.is_false(ok)
      assert.equal("invalid", err.kind)
      assert.is_nil(err.checkpoint) -- nothing was handed out
      assert.is_nil(users.checkpoint)
    end
    assert.equal(50, #changes_of(users))
    assert.is_string(users.checkpoint.delta)

    tenant:fault { kind = "status", status = 400, path = "delta", after = 1 }
    local other = client:delta("/users/delta", opts)
    assert.is_false(pcall(other))
    other:close()
    assert.is_nil(other()) -- a part of a round is none
  end)

  it("reads a gathered round anew that was left in the middle", function()
    local users = client:delta("/users/delta", { dedupe = "last" })
    for _ = 1, 2 do assert.is_table(users()) end
    assert.is_nil(users.checkpoint)
    users:close()
    assert.is_nil(users.checkpoint)
    local all <close> = client:delta("/users/delta", { dedupe = "last", from = users.checkpoint })
    assert.equal(50, #changes_of(all))
    assert.is_string(all.checkpoint.delta)
  end)

  it("hands out checkpoints page by page", function()
    local checkpoint
    for page in client:pages("/users/delta", { headers = { Prefer = "odata.maxpagesize=20" } }) do
      checkpoint = saved(page.checkpoint)
      if page.number == 2 then break end
    end
    assert.is_string(checkpoint.link)
    local rest <close> = client:delta("/users/delta", { from = checkpoint })
    assert.equal(10, #changes_of(rest))
    assert.is_string(rest.checkpoint.delta)
  end)

  it("moves its checkpoint only past what was handed out", function()
    local users = client:delta("/users/delta", { headers = { Prefer = "odata.maxpagesize=20" } })
    for _ = 1, 20 do users() end
    assert.is_nil(users.checkpoint)
    users()
    assert.equal(1, users.checkpoint.page)
  end)

  it("gives what comes from now on", function()
    local users <close> = client:delta("/users/delta?$deltatoken=latest")
    assert.same({}, changes_of(users))
    tenant:change_user("ada@contoso.com", { displayName = "Ada King" })
    assert.same({ "Ada King" }, changes_of(client:delta("/users/delta", { from = saved(users.checkpoint) })))
  end)

  it("is refused with a deltaLink of more than a week, as lost track of", function()
    client:close()
    client = helper.client(tenant.endpoint, { ca_file = tenant.ca_file,
      auth = graph.auth.token(tenant:token { expires_in = 1e8 }) })
    local users <close> = client:delta("/users/delta")
    changes_of(users)
    tenant:advance(7 * 24 * 3600)
    assert.same({}, changes_of(client:delta("/users/delta", { from = users.checkpoint })))
    tenant:advance(3600)
    local ok, err = pcall(changes_of, (client:delta("/users/delta", { from = users.checkpoint })))
    assert.is_false(ok)
    assert.equal("resync_required", err.code)
    assert.equal(50, #changes_of(client:delta("/users/delta", { from = users.checkpoint, restart = true })))
  end)

  for _, refusal in ipairs { { 410, "resyncRequired" }, { 410 }, { 400, "SyncStateNotFound" } } do
    it(("says when the service has lost track: %d %s"):format(refusal[1], refusal[2] or ""), function()
      local users <close> = client:delta("/users/delta")
      changes_of(users)
      tenant:fault { kind = "status", status = refusal[1], code = refusal[2], path = "delta" }
      local ok, err = pcall(changes_of, (client:delta("/users/delta", { from = users.checkpoint })))
      assert.is_false(ok)
      assert.equal("resync_required", err.code)
      assert.equal("conflict", err.kind)
      assert.matches("restart", err.hint)
    end)
  end

  it("begins anew by itself where that is asked for, and says so", function()
    local users <close> = client:delta("/users/delta")
    changes_of(users)
    for _, dedupe in ipairs { "none", "last" } do
      tenant:fault { kind = "status", status = 410, path = "delta" }
      local again <close> = client:delta("/users/delta", { from = users.checkpoint, restart = true, dedupe = dedupe })
      assert.equal(50, #changes_of(again))
      assert.is_true(again.restarted)
      assert.is_string(again.checkpoint.delta)
    end
  end)

  it("does not begin anew for ever", function()
    tenant:fault { kind = "status", status = 410, path = "delta", times = math.huge }
    local ok, err = pcall(changes_of, (client:delta("/users/delta", { restart = true })))
    assert.is_false(ok)
    assert.equal(410, err.status)
    assert.equal(1, #asked())
  end)

  it("begins anew once, not whenever the service loses track half way", function()
    for after = 1, 2 do tenant:fault { kind = "status", status = 410, path = "delta", after = after } end
    local headers = { Prefer = "odata.maxpagesize=20" }
    local ok, err = pcall(changes_of, (client:delta("/users/delta", { restart = true, headers = headers })))
    assert.is_false(ok)
    assert.equal("resync_required", err.code)
    assert.equal(4, #asked())
  end)

  it("wants a path that has one", function()
    assert.error_matches(function() client:delta("/users") end, "must end in /delta")
    assert.error_matches(function() client:delta("/users/delta", { dedupe = "first" }) end, '"last" or "none"')
  end)
end)

describe("delta of groups", function()
  local function group_named(name)
    return tenant:groups({ displayName = name })[1]
  end

  before_each(function()
    start { users = 120 }
    client:close()
    client = helper.client(tenant.endpoint, { ca_file = tenant.ca_file, auth = graph.auth.token(tenant:token {
      scopes = { "GroupMember.ReadWrite.All", "User.Read.All" } }) })
  end)

  -- Group id -> set of its members' ids, put together from the parts.
  local function members_of(iterator)
    local out, parts = {}, 0
    for group in iterator do
      parts = parts + 1
      out[group.id] = out[group.id] or {}
      for _, member in ipairs(group["members@delta"] or {}) do
        out[group.id][member.id] = not member["@removed"] or nil
      end
    end
    return out, parts
  end

  local function as_listed()
    local out = {}
    for _, group in ipairs(tenant:groups()) do
      out[group.id] = {}
      for user in client:items("/groups/" .. group.id .. "/members") do out[group.id][user.id] = true end
    end
    return out
  end

  for _, dedupe in ipairs { "none", "last" } do
    it("brings large groups in parts, of which none is lost: dedupe " .. dedupe, function()
      local opts = { dedupe = dedupe, headers = { Prefer = "odata.maxpagesize=4" } }
      local members, parts = members_of(client:delta("/groups/delta", opts))
      assert.same(as_listed(), members)
      assert.is_true(parts > #tenant:groups())
    end)
  end

  it("tells who came and who went", function()
    local vpn, ada = group_named "VPN", tenant:users()[1]
    local groups <close> = client:delta("/groups/delta", { select = { "displayName", "members" } })
    local members = members_of(groups)
    assert.is_true(members[vpn.id][ada.id])
    assert(client:group(vpn.id):remove_member(ada.id))
    local blocked = group_named "Blocked"
    assert(client:group(blocked.id):add_member(ada.id))
    local changed = {}
    for group in client:delta("/groups/delta", { from = saved(groups.checkpoint) }) do changed[#changed + 1] = group end
    assert.same({ { ["@odata.type"] = "#microsoft.graph.user", id = ada.id, ["@removed"] = { reason = "deleted" } } },
      changed[1]["members@delta"])
    assert.same({ id = blocked.id, displayName = "Blocked",
      ["members@delta"] = { { ["@odata.type"] = "#microsoft.graph.user", id = ada.id } } }, changed[2])
    assert.equal(2, #changed)
  end)

  it("leaves members out where only other properties are wanted", function()
    for group in client:delta("/groups/delta", { select = { "displayName" } }) do
      assert.is_string(group.id)
      assert.is_nil(group["members@delta"])
    end
  end)
end)

describe("a long list", function()
  it("leaves nothing behind but the page it is at", function()
    start { users = 20000 }
    local held = {}
    for page in client:pages("/users", { top = 999, select = "id,displayName,mail,jobTitle" }) do
      if page.number == 3 or page.number == 20 then
        collectgarbage()
        held[page.number] = collectgarbage "count"
      end
    end
    -- a page takes some 300 KiB; Lua's table of strings may double meanwhile, with all the specs in one process by 256
    assert.is_true(held[20] - held[3] < 600, ("%.0f KiB at page 3, %.0f at page 20"):format(held[3], held[20]))
  end)
end)
