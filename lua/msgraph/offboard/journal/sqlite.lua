-- lua/msgraph/offboard/journal/sqlite.lua
--- The journal's store on SQLite: all that would differ on PostgreSQL, and nothing else.
--
-- A driver is: open(path, mode) -> db | nil, err, where db has exec, one, all, rows, transaction and close as
-- msgraph.store has them, with `?` for a parameter; define(table) -> DDL; exists(db) -> boolean | nil, err;
-- clock -> ms of the clock that leases count on; and the words to lock rows with. A transaction of SQLite
-- takes the one write lock when it begins, so here those words are empty; PostgreSQL says FOR UPDATE.
local store = require "msgraph.store"

local M = {}

M.lock_run = "" -- after a SELECT of the run's row: one appender of events at a time
M.lock_subjects = "" -- after a SELECT of subjects to claim: PostgreSQL says FOR UPDATE SKIP LOCKED

--- ms, the same for all processes that share the store, and counting while the machine is suspended.
M.clock = store.boottime

M.blob = store.blob

-- An intent has to survive the loss of power, so a commit is on the disk before anything is sent. What SQLite keeps
-- while one statement runs needs no disk: temporary files cost more than the statements here.
local SETTINGS = { "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON", "PRAGMA temp_store = MEMORY" }

local function set(db, statements)
  for _, sql in ipairs(statements) do
    local ok, err = db:one(sql)
    if ok == nil and err then
      db:close()
      return nil, err
    end
  end
  return db
end

-- Beside a journal in use lies its -wal, which a reader has to take part in. One at rest on a disk that can
-- not be written has none, and is read as it lies.
local function open_to_read(path)
  local db, err = store.open(path, { readonly = true })
  if not db then return nil, err end
  local ok, reason = db:one "SELECT count(*) AS n FROM sqlite_schema"
  if ok then return db end
  db:close()
  if reason.code ~= "cannot_open" and reason.code ~= "readonly" then return nil, reason end
  local wal = io.open(path .. "-wal", "rb")
  if wal then
    wal:close()
    return nil, reason
  end
  return store.open(path, { immutable = true })
end

--- Opens the file.
---@param path string
---@param mode "read"|"write"|"create"
---@return msgraph.store.Db?
---@return msgraph.store.Error?
function M.open(path, mode)
  if mode == "read" then return open_to_read(path) end
  local db, err = store.open(path, { create = mode == "create" })
  if not db then return nil, err end
  local wal, reason = db:one "PRAGMA journal_mode = WAL"
  if not wal then
    db:close()
    return nil, reason
  end
  return set(db, SETTINGS)
end

--- Whether there is anything in the store.
function M.exists(db)
  local row, err = db:one "SELECT count(*) AS n FROM sqlite_schema"
  if not row then return nil, err end
  return row.n > 0
end

--- The DDL of one of schema.TABLES. SQLite's types are those it is written in; PostgreSQL's are INTEGER -> BIGINT,
--- BLOB -> BYTEA.
function M.define(t)
  return ("CREATE TABLE %s(%s) STRICT%s"):format(t.name, t.columns, t.rowid and "" or ", WITHOUT ROWID")
end

return M
