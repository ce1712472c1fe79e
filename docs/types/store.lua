---@meta msgraph.store
--- What the store module exports: SQLite, and what a journal needs of the system. `lua/msgraph/offboard/journal` is its only
--- intended user. A spec compares this page with the real module.

---@class msgraph.store
local store = {}

---@class msgraph.store.Error         tostring is "message (code)"
---@field code string                 "busy" locked for five seconds, "full", "readonly", "corrupt", "constraint", "cannot_open",
---                                   "io", "aborted" a statement after the one that ended its transaction, "sql" all else
---@field message string              SQLite's or the system's words

---@class msgraph.store.OpenOpts
---@field create? boolean             make the file where there is none, with mode 0600; default false
---@field readonly? boolean           default false
---@field immutable? boolean          read it as it lies, on a disk that nobody writes to: no lock, no -wal

--- Opens a database. Raises for a path that is empty, ":memory:" or a URI.
---@param path string
---@param opts? msgraph.store.OpenOpts
---@return msgraph.store.Db?
---@return msgraph.store.Error?
function store.open(path, opts) end

--- Marks bytes as a blob, to be given as a value. Read back, a blob is a string.
---@param bytes string
---@return userdata
function store.blob(bytes) end

--- ms since the machine was started, suspend included (CLOCK_BOOTTIME).
---@return integer
function store.boottime() end

--- Unix time in ms.
---@return integer
function store.now() end

--- Which start of which machine this is.
---@return string?
---@return msgraph.store.Error?
function store.boot_id() end

--- This process.
---@return integer
function store.pid() end

--- SHA-256 in lower-case hex.
---@param bytes string
---@return string
function store.hash(bytes) end

--- A random UUID; with a namespace and a name always the same one (RFC 9562, versions 4 and 5).
---@param namespace? string
---@param name? string
---@return string
function store.uuid(namespace, name) end

--- Appends to a private file, which is made where there is none and may be no link; true: it is on the disk.
---@param path string
---@param bytes string
---@return true?
---@return msgraph.store.Error?
function store.append(path, bytes) end

--- Takes room on the disk, which is free again when the file is removed.
---@param path string
---@param bytes integer
---@return true?
---@return msgraph.store.Error?
function store.reserve(path, bytes) end

--- Holds a slot of a file until the handle is closed or the process dies.
---@param path string
---@param slot integer
---@return msgraph.store.Presence?
---@return msgraph.store.Error? "busy": it is held already
function store.presence(path, slot) end

--- Whether anybody holds a slot.
---@param path string
---@param slot integer
---@return boolean?
---@return msgraph.store.Error?
function store.present(path, slot) end

---@class msgraph.store.Db            belongs to the process that opened it. A value is an integer (all 64 bits), a float,
---                                   a text without NUL, a blob, or nil for NULL; others raise, and so does a wrong number
---                                   of them. A row is a table by column names, without its NULLs.
local Db = {}

--- Runs a statement to its end.
---@param sql string one statement, with `?` for each value
---@param ... integer|number|string|userdata|nil
---@return integer? changed rows
---@return msgraph.store.Error?
function Db:exec(sql, ...) end

--- Runs a statement to its end, and gives its first row; nil without an error: there is none.
---@param sql string
---@param ... integer|number|string|userdata|nil
---@return table?
---@return msgraph.store.Error?
function Db:one(sql, ...) end

--- All rows.
---@param sql string
---@param ... integer|number|string|userdata|nil
---@return table[]?
---@return msgraph.store.Error?
function Db:all(sql, ...) end

--- One row after the other, for a `for`, which ends the statement however it is left. Raises a msgraph.store.Error.
---@param sql string
---@param ... integer|number|string|userdata|nil
---@return fun(): table?
function Db:rows(sql, ...) end

--- Runs fn(db) between BEGIN IMMEDIATE and COMMIT, and gives what it gave (true: nothing). When it returns nil and an
--- error, or raises, all is undone; a msgraph.store.Error that was raised is returned, others go on up. It may not yield.
---@param fn fun(db: msgraph.store.Db): any
---@return any
---@return msgraph.store.Error?
function Db:transaction(fn) end

--- Twice is as good as once. Also __close and __gc.
function Db:close() end

---@class msgraph.store.Presence
local Presence = {}

--- Lets go. Twice is as good as once. Also __close and __gc.
function Presence:close() end

return store
