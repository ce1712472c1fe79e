--- Where profiles are, and where the keys of their files are looked for.
local helper = require "spec.support.helper"
local profiles = require "msgraph.auth.profile"

local function env(values)
  return function(name) return values[name] end
end

describe("a profile", function()
  it("is the one that is named, then MSGRAPH_PROFILE's, then the default", function()
    local getenv = env { MSGRAPH_PROFILE = "work" }
    assert.equal("test", profiles.name("test", getenv))
    assert.equal("work", profiles.name(nil, getenv))
    assert.equal("default", profiles.name(nil, env { MSGRAPH_PROFILE = "" }))
  end)

  it("has a name that is one file's", function()
    for _, name in ipairs { "a", "A-1_b.c", ("x"):rep(64) } do assert.equal(name, profiles.name(name)) end
    for _, name in ipairs { "", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "ä", ("x"):rep(65) } do
      local none, failure = profiles.name(name)
      assert.is_nil(none)
      assert.equal("bad_option", failure.code)
    end
  end)
end)

describe("graph.auth.stored", function()
  local graph = require "msgraph"

  it("raises for what can not be a profile", function()
    for _, case in ipairs {
      { { profile = "../x" }, "no name of a profile" }, { { profile = 7 }, "must be a string" },
      { { name = "x" }, "unknown option 'name'" }, { "x", "a table is expected" },
    } do
      local ok, message = pcall(graph.auth.stored, case[1])
      assert.is_false(ok)
      assert.matches("auth.stored: .*" .. case[2], message)
    end
    assert.equal("msgraph.Credential(stored, ***)", tostring(graph.auth.stored()))
  end)
end)

describe("the folder of profiles", function()
  for _, case in ipairs {
    { "is the one that is set", { MSGRAPH_STORE = "/s/", XDG_STATE_HOME = "/x", HOME = "/h" }, "/s" },
    { "is below XDG_STATE_HOME", { XDG_STATE_HOME = "/x", HOME = "/h" }, "/x/msgraph" },
    { "is below the home, where XDG_STATE_HOME is no absolute path", { XDG_STATE_HOME = "x", HOME = "/h" },
      "/h/.local/state/msgraph" },
  } do
    it(case[1], function() assert.equal(case[3], profiles.folder(env(case[2]))) end)
  end

  it("is nowhere without a home", function()
    local none, failure = profiles.folder(env {})
    assert.is_nil(none)
    assert.matches("set HOME or MSGRAPH_STORE", failure.message, 1, true)
  end)
end)

describe("the key", function()
  local desktop = { DBUS_SESSION_BUS_ADDRESS = "unix:", PATH = helper.tmp() }
  local plain, sealed = helper.tmp() .. "/plain", helper.tmp() .. "/sealed"

  setup(function()
    helper.write_file(helper.tmp() .. "/secret-tool", "")
    helper.write_file(plain, "msgraph sign-in 1 plaintext\n{}")
    helper.write_file(sealed, "msgraph sign-in 1 aes-256-gcm 0123456789abcdef 0123456789abcdef01234567\n")
  end)

  teardown(function() os.remove(helper.tmp() .. "/secret-tool") end)

  for _, case in ipairs {
    { "is the kernel's without anything else", "sealed", {}, "keyring" },
    { "is the desktop's where there is one", "sealed", desktop, "secret_service" },
    { "is not the desktop's where no program asks it", "sealed",
      { DBUS_SESSION_BUS_ADDRESS = "unix:", PATH = "/nowhere" }, "keyring" },
    { "is the variable's", "sealed", { MSGRAPH_STORE_KEY = "k", MSGRAPH_STORE_KEY_FD = "3" }, "environment" },
    { "is the descriptor's", "sealed", { MSGRAPH_STORE_KEY = "", MSGRAPH_STORE_KEY_FD = "3" }, "descriptor" },
    { "is none for a file in plaintext", "plain", desktop, "none" },
    { "is the one that is set, whatever the file says", "plain", { MSGRAPH_STORE_KEY = "k" }, "environment" },
  } do
    it(case[1], function()
      assert.equal(case[4], profiles.key_of(case[2] == "plain" and plain or sealed, env(case[3])))
      assert.is_not_equal("none", profiles.key_to_write(env(case[3])))
    end)
  end
end)
