--- The stored sign-in as Lua has it: who is signed in, never with what; and what can be wrong with it. What a
--- kill at any system call leaves, locks, full disks: spec/core/test_store_faults.c.
local core = require "msgraph.core"
local helper = require "spec.support.helper"

local KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
local OTHER = "_-7dzLuqmYh3ZlVEMyIRAP_u3cy7qpmId2ZVRDMiEQA"
local SECRET = "1.AVAA-refresh-token-of-a-spec"

local folders = 0

-- A path in a folder that is not there yet.
local function new_path()
  folders = folders + 1
  return ("%s/store%d/sign-in"):format(helper.tmp(), folders)
end

local function write(path, bytes, mode)
  helper.sh("mkdir -p " .. helper.quote(path:match("^(.*)/")))
  helper.write_file(path, bytes)
  helper.sh(("chmod %s %s"):format(mode or "600", helper.quote(path)))
end

local PLAINTEXT = "msgraph sign-in 1 plaintext\n"

local function live(expires_s)
  return PLAINTEXT .. ([[{"generation":7,"signed_out":false,"expires_s":%d,"tenant_id":"contoso.com",]]
    .. [["username":"ada@contoso.com","refresh_token":"%s","access_token":"%s"}]])
    :format(expires_s, SECRET, helper.TOKEN)
end

-- What a script prints in a Lua of its own, where `store` and `path` are at hand.
local function in_lua(environment, script, under, redirect)
  local file = helper.tmp() .. "/script.lua"
  helper.write_file(file, [[
    local core = require "msgraph.core"
    local path = arg[1]
    local function store(key) return core.store { path = path, key = key } end
    ]] .. script)
  local path = new_path()
  local command = table.concat({ "env -u MSGRAPH_STORE_KEY -u MSGRAPH_STORE_KEY_FD", environment, under or "",
    helper.LUA, helper.quote(file), helper.quote(path), redirect or "" }, " ")
  return helper.sh(command), path
end

describe("the stored sign-in", function()
  it("is a table without its secrets", function()
    local path = new_path()
    write(path, live(os.time() + 3600))
    local store <close> = assert(core.store { path = path, key = "none" })
    local sign_in = assert(store:read())
    assert.is_true(sign_in.expires_in > 3500 and sign_in.expires_in <= 3600)
    sign_in.expires_in = nil
    assert.same({ generation = 7, signed_out = false, has_refresh_token = true, tenant_id = "contoso.com",
      username = "ada@contoso.com" }, sign_in)
  end)

  it("is gone after sign-out, its secrets with it", function()
    local path = new_path()
    write(path, live(0))
    local store <close> = assert(core.store { path = path, key = "none" })
    assert.is_true(store:sign_out())
    assert.same({ generation = 8, signed_out = true, has_refresh_token = false }, store:read())
    assert.is_nil(helper.read_file(path):find(SECRET, 1, true))
  end)

  it("that was never written is none, and looking for it leaves nothing", function()
    local path = new_path()
    local store <close> = assert(core.store { path = path, key = "none" })
    assert.same({ generation = 0, signed_out = false, has_refresh_token = false }, store:read())
    assert.is_true(store:sign_out())
    assert.is_nil(io.open(path))
    assert.is_falsy(os.rename(path:match("^(.*)/"), path:match("^(.*)/")))
  end)

  for name, case in pairs {
    ["damaged"] = { PLAINTEXT .. "{", "600", "begin anew with msgraph logout and msgraph login" },
    ["of a newer version"] = { "msgraph sign-in 2 plaintext\n{}", "600", "newer msgraph: update this one" },
    ["encrypted, and no key given"] = {
      "msgraph sign-in 1 aes-256-gcm 0123456789abcdef 0123456789abcdef01234567\n", "600", "give its key" },
    ["open to others"] = { live(0), "644", "chmod 600 " },
  } do
    it("that is " .. name .. " is refused, with what to do", function()
      local path = new_path()
      write(path, case[1], case[2])
      local store <close> = assert(core.store { path = path, key = "none" })
      local sign_in, failure = store:read()
      assert.is_nil(sign_in)
      assert.equal("store", failure.code)
      assert.equal("auth", failure.kind)
      assert.is_truthy(failure.message:find(case[3], 1, true), failure.message)
      assert.is_truthy(failure.message:find(path, 1, true), failure.message)
      assert.is_true(store:sign_out()) -- begins anew
      assert.is_true(store:read().signed_out)
    end)
  end

  it("is never an accident: the key's source is named, and a closed store is no store", function()
    local path = new_path()
    assert.has_error(function() core.store { path = path } end,
      "bad argument #1 to 'store' (key must be environment, descriptor, keyring, none or a child)")
    assert.has_error(function() core.store { path = path, key = "plaintext" } end,
      "bad argument #1 to 'store' (key must be environment, descriptor, keyring, none or a child)")
    local store, failure = core.store { path = path .. "/", key = "none" }
    assert.is_nil(store)
    assert.equal("bad_option", failure.code)
    store = assert(core.store { path = path, key = "none" })
    store:close()
    store:close()
    assert.has_error(function() store:read() end, "calling 'read' on bad self (store is closed)")
  end)
end)

describe("the key of the store", function()
  -- Signs out of a store that can not be read, which makes an encrypted file, and reads that.
  local function replace(key)
    return ("local key = %q\n"):format(key) .. [[
      os.execute("mkdir -p " .. path:match("^(.*)/"))
      local file = io.open(path, "wb")
      file:write("damaged")
      file:close()
      os.execute("chmod 600 " .. path)
      local s = assert(store(key))
      assert(s:sign_out())
      assert(assert(s:read()).signed_out)
    ]]
  end

  it("comes from the environment, and another one is refused", function()
    local _, path = in_lua("MSGRAPH_STORE_KEY=" .. KEY, replace "environment")
    assert.is_truthy(helper.read_file(path):find("^msgraph sign%-in 1 aes%-256%-gcm %x+ %x+\n"))
    assert.is_nil(helper.read_file(path):find("generation", 1, true))
    local out = in_lua("MSGRAPH_STORE_KEY=" .. OTHER, ([[path = %q
      local _, failure = assert(store "environment"):read()
      print(failure.code, failure.message)]]):format(path))
    assert.is_truthy(out:find("^store%s.*another key: give that one, or begin anew with msgraph logout"), out)
  end)

  it("is no passphrase, and is not shown", function()
    local out = in_lua("MSGRAPH_STORE_KEY=hunter2hunter2", [[
      local s, failure = store "environment"
      print(s, failure.code, failure.message)]])
    assert.is_truthy(out:find("^nil%sstore%s.*not a passphrase: make it with head %-c 32 /dev/urandom | base64"), out)
    assert.is_nil(out:find("hunter2", 1, true))
  end)

  it("comes from a descriptor, which no child sees", function()
    local key = helper.tmp() .. "/key"
    helper.write_file(key, KEY .. "\n")
    local out = in_lua("MSGRAPH_STORE_KEY_FD=7", replace "descriptor"
      .. [[os.execute("test -e /proc/self/fd/7 && echo open || echo closed")]], "", "7<" .. helper.quote(key))
    assert.equal("closed\n", out)
  end)

  it("comes from what a program printed", function()
    local function ended(...)
      local child = assert(core.child { ... })
      while assert(child:step()) == "running" do os.execute("sleep 0.01") end
      return child
    end
    local path = new_path()
    write(path, "damaged")
    local printer <close> = ended("printf", "%s\\n", KEY)
    local store <close> = assert(core.store { path = path, key = printer })
    assert.is_true(store:sign_out())
    assert.is_truthy(helper.read_file(path):find("aes-256-gcm", 1, true))
    local silent <close> = ended "true"
    local none, failure = core.store { path = path, key = silent }
    assert.is_nil(none)
    assert.is_truthy(failure.message:find("what the program printed must be 32 random bytes", 1, true))
  end)

  it("comes from the kernel, made at the first use, where no list shows it", function()
    if not os.execute("unshare -Ur true 2>/dev/null") then return pending "no user namespace may be made here" end
    local out = in_lua("", [[
      local s, failure = store "keyring"
      if not s then print("none", failure.message) os.exit(true) end
      s:close()
      local f = io.open "/proc/keys"
      print(f and f:read "a" or "no /proc/keys")
    ]] .. replace "keyring", "unshare -Ur")
    if out:find "^none" then
      assert.is_truthy(out:find("set MSGRAPH_STORE_KEY instead", 1, true), out)
      return pending "no keyring is to be had here"
    end
    if out:find("no /proc/keys", 1, true) then return end
    assert.is_truthy(out:find("msgraph:store: 32", 1, true), out) -- its name and its length
  end)
end)
