--- The binding of SQLite: what goes in comes out, and what goes wrong has a code.
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"
local store = require "msgraph.store"

local files = 0

local function new_path()
  files = files + 1
  return ("%s/store%d.db"):format(helper.tmp(), files)
end

local function new_db(sql)
  local path = new_path()
  local db = assert(store.open(path, { create = true }))
  assert(db:exec "PRAGMA journal_mode = WAL")
  assert(db:exec(sql or "CREATE TABLE t(a, b, c)"))
  return db, path
end

local function refused(code, ok, err)
  assert.is_nil(ok)
  assert.equal(code, err.code, tostring(err))
  assert.matches(("%%(%s%%)$"):format(code), tostring(err))
  return err
end

-- The result, or its error raised as it is (busted's assert would make a text of it).
local function must(ok, err)
  if ok == nil then error(err, 0) end
  return ok
end

-- What a script prints in a Lua of its own.
local function in_lua(script, after)
  local path = helper.tmp() .. "/store-script.lua"
  helper.write_file(path, script)
  return helper.sh(("%s %s %s"):format(helper.LUA, path, after or ""))
end

describe("a value", function()
  local db
  setup(function() db = new_db() end)
  teardown(function() db:close() end)

  for name, value in pairs {
    ["the smallest integer"] = math.mininteger, ["the largest integer"] = math.maxinteger,
    ["an integer that no double holds"] = (1 << 53) + 1, ["a time of today in milliseconds"] = 1764000000000,
    ["zero"] = 0, ["a float"] = 0.1, ["a whole float"] = 2.0, ["infinity"] = math.huge,
    ["an empty text"] = "", ["a text"] = "Zoë's \"ünïcödé\"\n;--",
  } do
    it(name .. " comes back as it was", function()
      local row = assert(db:one("SELECT ? AS v", value))
      assert.equal(value, row.v)
      assert.equal(math.type(value), math.type(row.v))
    end)
  end

  it("nil is NULL, and NULL is nil", function()
    local row = assert(db:one("SELECT ? IS NULL AS yes, ? AS v, ? AS w", nil, nil, 1))
    assert.same({ yes = 1, w = 1 }, row)
  end)

  it("a blob keeps every byte, and is no text", function()
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end
    local bytes = table.concat(all):rep(1000)
    local row = assert(db:one("SELECT ? AS v, typeof(?) AS b, typeof(?) AS t, ? AS none, typeof(?) AS e",
      store.blob(bytes), store.blob "x", "x", store.blob "", store.blob ""))
    assert.same({ v = bytes, b = "blob", t = "text", none = "", e = "blob" }, row)
  end)

  it("that has no place in a database raises", function()
    for text, value in pairs { ["text holds NUL: use store.blob"] = "a\0b", ["NaN has no place here"] = 0 / 0,
      ["number, string, blob or nil expected"] = true } do
      assert.error_matches(function() db:exec("SELECT ?", value) end, "bad argument #2 to 'exec' %(" .. text)
    end
    assert.has_error(function() db:one("SELECT ?, ?", 1) end, "1 values for 2 parameters")
    assert.has_error(function() db:one("SELECT 1", 1) end, "1 values for 0 parameters")
    assert.error_matches(function() db:exec "SELECT 1; SELECT 2" end, "one statement expected")
    assert.error_matches(function() db:exec "" end, "one statement expected")
  end)
end)

describe("a statement", function()
  it("tells how many rows it changed", function()
    local db <close> = new_db()
    assert.equal(3, db:exec "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)")
    assert.equal(0, db:exec "CREATE TABLE u(a)")
    assert.equal(0, db:exec("UPDATE t SET b = 0 WHERE a > ?", 7))
    assert.equal(2, db:exec("DELETE FROM t WHERE a > ?", 1))
    assert.same({ { a = 1, b = 1, c = 1 } }, db:all "SELECT * FROM t")
    assert.same({}, db:all "SELECT * FROM t WHERE a = 9")
    assert.is_nil(db:one "SELECT * FROM t WHERE a = 9")
  end)

  it("is done to its end by one(), whose row is its first", function()
    local db <close> = new_db()
    assert.same({ a = 1 }, db:one "INSERT INTO t(a) VALUES (1), (2), (3) RETURNING a")
    assert.same({ n = 3 }, db:one "SELECT count(*) AS n FROM t")
  end)

  it("can run within an iteration over itself, and one that is left lets go", function()
    local db <close> = new_db()
    db:exec "INSERT INTO t(a) VALUES (1), (2), (3)"
    local seen = {}
    for row in db:rows("SELECT a FROM t WHERE a < ? ORDER BY a", 3) do
      for inner in db:rows("SELECT a FROM t WHERE a < ? ORDER BY a", 4) do
        seen[#seen + 1] = row.a * 10 + inner.a
        if inner.a == 2 then break end
      end
    end
    assert.same({ 11, 12, 21, 22 }, seen)
    assert(db:transaction(function() assert(db:exec "DROP TABLE t") end)) -- nothing reads any more
  end)

  it("that is wrong has the code sql; in a for it raises", function()
    local db <close> = new_db()
    local err = refused("sql", db:exec "SELEC 1")
    assert.matches('near "SELEC": syntax error', err.message)
    refused("sql", db:one "SELECT * FROM nowhere")
    local ok, raised = pcall(function() for _ in db:rows "SELECT * FROM nowhere" do end end)
    assert.is_false(ok)
    assert.equal("sql", raised.code)
  end)

  it("that breaks a rule has the code constraint", function()
    local db <close> = new_db "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT NOT NULL) STRICT"
    db:exec "INSERT INTO t VALUES (1, 'x')"
    refused("constraint", db:exec "INSERT INTO t VALUES (1, 'y')")
    refused("constraint", db:exec("INSERT INTO t VALUES (2, ?)", nil))
    refused("constraint", db:exec("INSERT INTO t VALUES (2, ?)", store.blob "x"))
  end)
end)

describe("a transaction", function()
  local db, path
  before_each(function() db, path = new_db() end)
  after_each(function() db:close() end)

  local function count()
    return db:one("SELECT count(*) AS n FROM t").n
  end

  it("is one: all of it or nothing, and gives what its function gave", function()
    assert.is_true(db:transaction(function() db:exec "INSERT INTO t(a) VALUES (1)" end))
    local a, b = db:transaction(function(same)
      same:exec "INSERT INTO t(a) VALUES (2)"
      return 7, "x"
    end)
    assert.same({ 7, "x", 2 }, { a, b, count() })
    assert.same({ [2] = "no" }, { db:transaction(function()
      db:exec "INSERT INTO t(a) VALUES (3)"
      return nil, "no"
    end) })
    assert.equal(2, count())
  end)

  it("is undone by an error; SQLite's own are returned, others go on", function()
    assert.error_matches(function() db:transaction(function()
      db:exec "INSERT INTO t(a) VALUES (1)"
      error "mine"
    end) end, "mine")
    refused("sql", db:transaction(function()
      db:exec "INSERT INTO t(a) VALUES (1)"
      must(db:exec "SELEC 1")
    end))
    assert.equal(0, count())
    assert.has_error(function() db:transaction(function() db:transaction(print) end) end,
      "a transaction is open already")
    assert(db:transaction(function() end)) -- and the next one begins anew
  end)

  it("does not yield with the lock held", function()
    local co = coroutine.create(function() db:transaction(coroutine.yield) end)
    local ok, reason = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("attempt to yield across a C%-call boundary", reason)
    assert(db:transaction(function() end))
  end)

  it("waits for another's, then is busy", function()
    local other <close> = assert(store.open(path))
    other:exec "PRAGMA busy_timeout = 1"
    db:transaction(function()
      db:exec "INSERT INTO t(a) VALUES (1)"
      refused("busy", other:transaction(function() end))
      assert.same({ n = 0 }, other:one "SELECT count(*) AS n FROM t") -- readers do not wait
    end)
    assert(other:transaction(function() end))
  end)

  it("that SQLite gave up by itself takes no further statement for one of its own", function()
    db:exec "PRAGMA max_page_count = 8"
    local big = ("x"):rep(100000)
    refused("aborted", db:transaction(function()
      db:exec "INSERT INTO t(a) VALUES (1)"
      refused("full", db:exec("INSERT INTO t(a) VALUES (?)", big))
      return (refused("aborted", db:exec "INSERT INTO t(a) VALUES (2)"))
    end))
    assert.equal(0, count())
    assert(db:transaction(function() db:exec "INSERT INTO t(a) VALUES (3)" end))
    assert.equal(1, count())
  end)
end)

describe("a database", function()
  it("that is not there, is a folder or was damaged is refused", function()
    refused("cannot_open", store.open(new_path()))
    refused("cannot_open", store.open(helper.tmp(), { create = true }))
    local path = new_path()
    helper.write_file(path, ("no database "):rep(1000))
    local db <close> = assert(store.open(path))
    refused("corrupt", db:one "SELECT * FROM sqlite_schema")
  end)

  it("whose pages were overwritten is corrupt", function()
    local db, path = new_db()
    db:transaction(function()
      for i = 1, 2000 do db:exec("INSERT INTO t VALUES (?, ?, ?)", i, "text", ("y"):rep(50)) end
    end)
    db:close()
    local bytes = helper.read_file(path)
    helper.write_file(path, bytes:sub(1, 8192) .. ("\xff"):rep(#bytes - 8192))
    local again <close> = assert(store.open(path))
    refused("corrupt", again:all "SELECT * FROM t")
  end)

  it("is private, and so is what lies beside it", function()
    local db <close>, path = new_db()
    for _, suffix in ipairs { "", "-wal", "-shm" } do
      assert.equal("600\n", helper.sh("stat -c %a " .. path .. suffix))
    end
    assert.is_truthy(db)
  end)

  it("opened to be read can not be written", function()
    local db, path = new_db()
    db:exec "INSERT INTO t(a) VALUES (1)"
    local reader <close> = assert(store.open(path, { readonly = true }))
    assert.same({ a = 1 }, reader:one "SELECT a FROM t")
    refused("readonly", reader:exec "INSERT INTO t(a) VALUES (2)")
    refused("readonly", reader:transaction(function() must(reader:exec "DELETE FROM t") end))
    db:close()
    assert.has_error(function() store.open(path, { readonly = true, create = true }) end)
    assert.has_error(function() store.open(path, { readonly = 1 }) end,
      "bad option 'readonly' (boolean expected, got number)")
    assert.has_error(function() store.open "" end)
    assert.has_error(function() store.open ":memory:" end)
  end)

  it("is closed once, twice, and with an iteration open", function()
    local db = new_db()
    db:exec "INSERT INTO t(a) VALUES (1), (2)"
    local next_row = db:rows "SELECT a FROM t"
    assert.same({ a = 1 }, next_row())
    db:close()
    db:close()
    assert.error_matches(next_row, "database is closed")
    assert.error_matches(function() db:exec "SELECT 1" end, "database is closed")
  end)

  it("on a disk that is full says so, and is whole after", function()
    local folder, unmount <close> = disk.mount "256k"
    if not folder then return pending "no file system may be mounted here" end
    local db <close> = assert(store.open(folder .. "/x.db", { create = true }))
    db:exec "PRAGMA journal_mode = WAL"
    assert(db:exec "CREATE TABLE t(a)")
    local rows, err = 0
    repeat
      local ok
      ok, err = db:transaction(function() return must(db:exec("INSERT INTO t(a) VALUES (?)", ("x"):rep(4000))) end)
      rows = rows + (ok and 1 or 0)
    until not ok
    assert.equal("full", err.code)
    assert.is_true(rows > 5)
    assert.same({ n = rows }, db:one "SELECT count(*) AS n FROM t")
    assert.same({ ok = "ok" }, db:one "SELECT integrity_check AS ok FROM pragma_integrity_check")
    assert.equal("full", select(2, store.append(folder .. "/f", ("x"):rep(1 << 18))).code)
    assert.is_truthy(unmount)
  end)

  it("on a disk that can not be written is read, and not written", function()
    local folder, unmount <close> = disk.mount "1m"
    if not folder then return pending "no file system may be mounted here" end
    local path = folder .. "/100% sure? #1.db"
    local db = assert(store.open(path, { create = true }))
    db:exec "PRAGMA journal_mode = WAL"
    db:exec "CREATE TABLE t(a)"
    db:close()
    helper.sh("mount -o remount,ro " .. folder)
    local reader <close> = assert(store.open(path, { immutable = true }))
    assert.same({}, reader:all "SELECT * FROM t")
    local writer <close> = store.open(path)
    local ok, err = writer:exec "INSERT INTO t(a) VALUES (1)"
    assert.is_nil(ok)
    assert.is_truthy(err.code == "readonly" or err.code == "cannot_open", err.code)
    refused("readonly", store.append(folder .. "/f", "x"))
    reader:close()
    writer:close()
    assert.is_truthy(unmount)
  end)
end)

describe("ids and hashes", function()
  it("are those of the standards", function()
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", store.hash "abc")
    -- RFC 9562 A.4
    assert.equal("2ed6657d-e927-568b-95e1-2665a8aea6a2",
      store.uuid("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com"))
    local one = store.uuid()
    assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", one)
    assert.not_equal(one, store.uuid())
    for _, bad in ipairs { "", "x", "2ed6657d-e927-568b-95e1-2665a8aea6a", "2ed6657d-e927-568b-95e1-2665a8aea6a25" } do
      assert.has_error(function() store.uuid(bad, "x") end)
    end
  end)

  it("of this machine's start, and its clock, do not change and do not stand still", function()
    assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+$", store.boot_id())
    assert.equal(store.boot_id(), store.boot_id())
    local first = store.boottime()
    repeat until store.boottime() > first
    assert.is_true(math.abs(store.now() // 1000 - os.time()) <= 1)
    assert.equal("integer", math.type(store.now()))
  end)
end)

describe("files beside the database", function()
  it("are appended to, private, and no link is followed", function()
    local path = new_path()
    assert(store.append(path, "one\n"))
    assert(store.append(path, "two\n"))
    assert.equal("one\ntwo\n", helper.read_file(path))
    assert.equal("600\n", helper.sh("stat -c %a " .. path))
    helper.sh(("ln -s %s %s-link"):format(path, path))
    refused("io", store.append(path .. "-link", "three\n"))
  end)

  it("keep room that is there when they go", function()
    local folder, unmount <close> = disk.mount "128k"
    if not folder then return pending "no file system may be mounted here" end
    assert(store.reserve(folder .. "/reserve", 65536))
    store.append(folder .. "/fill", ("x"):rep(1 << 18)) -- as much as fits
    refused("full", store.append(folder .. "/more", "x"))
    assert(os.remove(folder .. "/reserve"))
    assert(store.append(folder .. "/more", "x"))
    refused("full", store.reserve(folder .. "/reserve", 1 << 20))
    assert.is_truthy(unmount)
  end)
end)

describe("presence", function()
  it("ends with its handle, and with its process", function()
    local path = new_path()
    assert.is_false(store.present(path, 7))
    local handle = assert(store.presence(path, 7))
    assert.is_true(store.present(path, 7))
    assert.is_false(store.present(path, 8))
    refused("busy", store.presence(path, 7))
    handle:close()
    handle:close()
    assert.is_false(store.present(path, 7))
    local out = in_lua(([[local store = require "msgraph.store"
      kept = assert(store.presence(%q, 9))
      print(store.present(%q, 9))
      io.flush()
      os.execute("kill -9 " .. store.pid())]]):format(path, path), "|| true")
    assert.matches("^true\n", out)
    assert.is_false(store.present(path, 9))
  end)
end)
