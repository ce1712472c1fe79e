local graph = require "msgraph"
local query = require "msgraph.query"

local function decoded(target)
  return (target:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- The target of a GET, decoded, and its headers.
local function target(path, opts)
  local text, headers = query.target("GET", path, opts)
  return decoded(text), headers
end

local function sixteen()
  local values = {}
  for i = 1, 16 do values[i] = "u" .. i end
  return values
end

describe("query options", function()
  for _, case in ipairs {
    { "a list of names",       { select = { "id", "displayName" } },       "$select=id,displayName" },
    { "names as one text",     { select = "id,displayName" },              "$select=id,displayName" },
    { "several at once",       { top = 5, skip = 0, select = "id" },       "$select=id&$skip=0&$top=5" },
    { "an order",              { orderby = { "a desc", "b" } },            "$orderby=a desc,b" },
    { "an expansion",          { expand = { "manager($select=id)" } },     "$expand=manager($select=id)" },
    { "a search in quotes",    { search = '"a:b" AND "c:d"' },             '$search="a:b" AND "c:d"' },
    { "a search without them", { search = "subject:a\\b" },                '$search="subject:a\\\\b"' },
    { "a count refused",       { count = false },                          "$count=false" },
    { "a raw name beside",     { top = 5, query = { ["$skiptoken"] = "x" } }, "$skiptoken=x&$top=5" },
    { "raw numbers",           { query = { a = 1.5, b = 2, c = true } },   "a=1.5&b=2&c=true" },
  } do
    it("are written from " .. case[1], function()
      assert.equal("/v1.0/me/messages?" .. case[3], (target("/me/messages", case[2])))
    end)
  end

  for _, text in ipairs {
    "O'Brien", "a+b", "C#", "R&D", "50% = ½", "Ελένη", "a/b?c=d;e,f", '"quoted"', "two  spaces",
  } do
    it(("survive the way to the wire: %s"):format(text), function()
      local wire = query.target("GET", "/me/events", { filter = graph.filter("subject eq ?", text) })
      local value = wire:match("^/v1%.0/me/events%?%$filter=([%w%%._~-]+)$")
      assert.equal("subject eq '" .. text:gsub("'", "''") .. "'", decoded(assert(value, wire)))
    end)
  end

  it("stand behind a query that the path has", function()
    assert.equal("/v1.0/me/events?a=b&$top=1", (target("/me/events?a=b", { top = 1 })))
    local url = "https://x/v1.0/users?$skiptoken=1"
    assert.equal(url .. "&$top=1", (target(url, { top = 1 })))
  end)

  for _, case in ipairs {
    { { select = {} },                          "'select' is an empty list" },
    { { select = { 1 } },                       "'select' must be names" },
    { { select = "" },                          "'select' must be names" },
    { { top = 0 },                              "'top' must be a whole number from 1" },
    { { top = 1.5 },                            "'top' must be a whole number" },
    { { skip = -1 },                            "'skip' must be a whole number from 0" },
    { { top = 1, query = { ["$top"] = 2 } },    "'top' is an option and stands in query as well" },
    { { query = { a = {} } },                   "must be a string, number or boolean" },
    { { query = { a = 0 / 0 } },                "'a' must be a string, number or boolean, got %-?nan" },
    { { query = { "a" } },                      "query names must be strings" },
    { { top = 1 },                              "'%$top' stands in the path", "/users?$top=2" },
    { { filter = graph.filter("id in ?", sixteen()) }, "'in' takes at most 15 values, this filter has 16" },
  } do
    it("are refused before anything is sent: " .. case[2], function()
      assert.error_matches(function() query.target("GET", case[3] or "/users", case[1]) end, case[2])
    end)
  end

  it("may have as many values after `in` as other services take", function()
    assert.is_string((query.target("GET", "/me/events", { filter = graph.filter("id in ?", sixteen()) })))
    local text = "displayName eq 'x in (1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16)'"
    assert.is_string((query.target("GET", "/users", { filter = text })))
  end)
end)

describe("an advanced query", function()
  for _, case in ipairs {
    { "/users", { search = "displayName:a" } },
    { "/users", { filter = "department ne 'x'" } },
    { "/users", { filter = "not(department eq 'x')" } },
    { "/users", { filter = "NOT startswith(displayName,'x')" } },
    { "/users", { filter = "endsWith(mail,'@contoso.com')" } },
    { "/users", { filter = "a eq 'x'", orderby = "displayName" } },
    { "/users", { count = true } },
    { "/users", { filter = "assignedLicenses/$count eq 0" } },
    { "/users?$filter=a%20ne%20'x'" },
    { "/users?$filter=a+ne+'x'" },
    { "/beta/groups", { query = { ["$search"] = '"displayName:a"' } } },
    { "/groups/1/members", { count = true } },
    { "/groups/1/members/microsoft.graph.user", { select = "id" } },
    { "/groups/1/members/graph.user", { top = 5 } },
    { "/me/memberOf", { search = "displayName:a" } },
    { "/users/1/transitiveMemberOf/microsoft.graph.group", { count = true } },
    { "/directory/administrativeUnits", { search = "displayName:a" } },
  } do
    it("has header and count without being told: " .. case[1], function()
      local text, headers = target(case[1], case[2])
      assert.same({ ConsistencyLevel = "eventual" }, headers)
      assert.equal(1, select(2, text:gsub("%$count=true", "")), text)
    end)
  end

  it("on $count alone needs the header only", function()
    local text, headers = target("/users/$count")
    assert.equal("/v1.0/users/$count", text)
    assert.same({ ConsistencyLevel = "eventual" }, headers)
  end)

  it("is left as it is where the author has said so", function()
    local given = { consistencylevel = "eventual", Prefer = "x" }
    local text, headers = target("/users?$count=true", { search = "displayName:a", headers = given })
    assert.equal(given, headers)
    assert.equal('/v1.0/users?$count=true&$search="displayName:a"', text)
    text = target("/users", { search = "displayName:a", count = false })
    assert.equal('/v1.0/users?$count=false&$search="displayName:a"', text)
  end)

  it("does not write to the author's table", function()
    local given = { Prefer = "x" }
    local _, headers = target("/users", { count = true, headers = given })
    assert.same({ Prefer = "x", ConsistencyLevel = "eventual" }, headers)
    assert.same({ Prefer = "x" }, given)
  end)

  for _, case in ipairs {
    { "/users", { filter = "department eq 'ne'" } },
    { "/users", { filter = "displayName eq 'do not endsWith(x)'" } },
    { "/users", { filter = "not_ne/ne_not eq 1" } },
    { "/users", { orderby = "displayName" } },
    { "/users", { top = 5, select = "id" } },
    { "/users/delta", { select = "id" } },
    { "/groups/1/members/microsoft.graph.user" },
    { "/me/messages", { search = "a", count = true } },
    { "/groups/1/events", { filter = "a ne 'x'" } },
    { "/teams/1/members", { filter = "a ne 'x'" } },
    { "/users/1/managedDevices", { count = true } },
    { "/deviceManagement/managedDevices", { filter = "a ne 'x'", orderby = "b" } },
    { "https://graph.microsoft.com/v1.0/users?$search=x" },
  } do
    it(("is not %s with %s"):format(case[1], next(case[2] or {}) or "nothing"), function()
      local text, headers = target(case[1], case[2])
      assert.is_nil(headers)
      assert.equal((case[2] or {}).count and 1 or 0, select(2, text:gsub("%$count", "")))
    end)
  end

  it("is a matter of reading", function()
    assert.is_nil(select(2, query.target("POST", "/users?$count=true")))
  end)
end)

describe("a filter's values", function()
  local function with(...)
    return table.pack(...)
  end

  for expected, given in pairs {
    ["a eq 'O''Brien'"] = with("a eq ?", "O'Brien"),
    ["a eq ''''''"] = with("a eq ?", "''"),
    ["a eq ''"] = with("a eq ?", ""),
    ["a eq true and b eq false"] = with("a eq ? and b eq ?", true, false),
    ["a gt 5 and b lt 1.5"] = with("a gt ? and b lt ?", 5, 1.5),
    ["a eq 3"] = with("a eq ?", 3.0),
    ["a eq 0.1"] = with("a eq ?", 0.1),
    ["a eq 9007199254740993"] = with("a eq ?", 9007199254740993),
    ["a eq null"] = with("a eq ?", graph.null),
    ["a in ('x','y''z')"] = with("a in ?", { "x", "y'z" }),
    ["a ge 2026-09-04T08:00:00Z"] = with("a ge ?", graph.date(1788508800.7)),
    ["a eq 'why?' and b eq 'x'"] = with("a eq 'why?' and b eq ?", "x"),
    ["a eq 'it''s ?' and b eq 1"] = with("a eq 'it''s ?' and b eq ?", 1),
    ["a eq '%1?'"] = with("a eq ?", "%1?"),
    ["accountEnabled eq true"] = with "accountEnabled eq true",
  } do
    it("become " .. expected, function() assert.equal(expected, graph.filter(table.unpack(given, 1, given.n))) end)
  end

  for reason, given in pairs {
    ["more %? than values"] = with("a eq ? and b eq ?", 1),
    ["2 values for 1"] = with("a eq ?", 1, 2),
    ["graph.null has"] = with("a eq ?", nil),
    ["not UTF%-8"] = with("a eq ?", "\xff"),
    ["no number of OData"] = with("a eq ?", 0 / 0),
    ["is empty"] = with("a in ?", {}),
    ["no list"] = with("a in ?", { "x", nil, "z" }),
    ["holes or names"] = with("a in ?", { "x", name = "y" }),
    ["a function has no form"] = with("a eq ?", print),
    ["string expected"] = with(5),
  } do
    it("are refused where they stand: " .. reason, function()
      local ok, message = pcall(function()
        graph.filter(table.unpack(given, 1, given.n))
        return true
      end)
      assert.is_false(ok)
      assert.matches("^spec/unit/query_spec.lua:%d+: ", message)
      assert.matches(reason, message)
    end)
  end

  it("can be quoted one by one", function()
    assert.equal("'O''Brien'", graph.quote("O'Brien"))
    assert.equal("1970-01-01T00:00:00Z", tostring(graph.date(0)))
    assert.error_matches(function() graph.quote(5) end, "string expected")
    assert.error_matches(function() graph.date("now") end, "Unix seconds expected")
  end)
end)
