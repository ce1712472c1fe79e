local helper = require "spec.support.helper"
local users = require "msgraph.cli.users"

local ID = "b18a02f4-6d8d-46c3-8cd1-3c99629884f2"

local function names(list)
  local out = {}
  for i, entry in ipairs(list) do out[i] = entry.user end
  return out
end

describe("the users of a file", function()
  for _, case in ipairs {
    { "by userPrincipalName",           "name,userPrincipalName\nAda,ada@x.com\n",         { "ada@x.com" } },
    { "by a header in any case",        "NAME;USERPRINCIPALNAME\nAda;ada@x.com\n",         { "ada@x.com" } },
    { "by id",                          "id,mail\n" .. ID .. ",a@x.com\n",                 { ID } },
    { "by user",                        "user\nada@x.com\n",                               { "ada@x.com" } },
    { "by principal name before id",    "id,userPrincipalName\n1,ada@x.com\n",             { "ada@x.com" } },
    { "a line each",                    "ada@x.com\n\nbob@x.com\n",            { "ada@x.com", "bob@x.com" } },
  } do
    it("are found " .. case[1], function() assert.same(case[3], names(assert(users.parse(case[2])))) end)
  end

  it("keep a row without a user, so that it is told and not lost", function()
    assert.same({ "a@x.com", "" }, names(users.parse("name,user\nA,a@x.com\nB,\n")))
  end)

  for _, case in ipairs {
    { "empty",                      "\n\n",                  "it is empty" },
    { "a header alone",             "user\n",                "no users" },
    { "without a column of users",  "mail,name\na,b\n",      "mail, name" },
  } do
    it("are refused when it is " .. case[1], function()
      local list, reason = users.parse(case[2])
      assert.is_nil(list)
      assert.matches(case[3], reason, 1, true)
    end)
  end
end)

describe("gathering users", function()
  it("takes arguments and a file, each user once in any letter case", function()
    local file = helper.tmp() .. "/users.csv"
    helper.write_file(file, "user\nAda@X.com\nbob@x.com\n")
    local list, reason, duplicates = users.gather({ "ada@x.com" }, file)
    assert.is_nil(reason)
    assert.same({ "ada@x.com", "bob@x.com" }, names(list))
    assert.same({ "Ada@X.com (line 2) is ada@x.com (argument 1) again" }, duplicates)
    assert.equal("/v1.0/users/ada%40x.com", list[1].path)
  end)

  it("refuses all when one cannot be meant, and names each", function()
    local list, reason = users.gather { "ada@x.com", "me", "Ada", "", "a@x\n.com", ".." }
    assert.is_nil(list)
    assert.matches("argument 2: \"me\" is the signed-in user", reason, 1, true)
    assert.matches("argument 3: \"Ada\" is neither", reason, 1, true)
    assert.matches("argument 4: user is empty", reason, 1, true)
    assert.matches("argument 5:", reason, 1, true)
    assert.matches("argument 6:", reason, 1, true)
    assert.is_nil(reason:find("argument 1", 1, true))
  end)

  it("shows the first few of many that are wrong", function()
    local _, reason = users.gather { "a", "b", "c", "d", "e", "f", "g" }
    assert.matches("and 2 more", reason, 1, true)
  end)

  it("wants at least one, and a file that can be read", function()
    assert.matches("no users", select(2, users.gather {}))
    assert.matches("No such file", select(2, users.gather({}, "/nonexistent/file")))
  end)
end)
