-- lua/msgraph/offboard/journal/schema.lua
--- The tables, and how an older journal becomes one of today's. docs/journal.md explains each.
--
-- Times whose name ends in _at are Unix time in ms, for people and for what is due on a day. What leases are
-- reckoned by is the store's own clock (lease_until, beat_at, over_at): a wall clock can be set, and a lease
-- must not move with it. Reckoned together with worker.boot_id, for that clock begins anew with the machine.
local failure = require "msgraph.offboard.journal.failure"
local store = require "msgraph.store"

local M = {}

M.VERSION = 1

local must = failure.must

-- In the order in which they refer to each other. `rowid`: SQLite keeps these in order of insertion.
M.TABLES = {
  { name = "meta", rowid = true, columns = "k TEXT PRIMARY KEY, v TEXT NOT NULL" },
  { name = "plan", rowid = true, columns = [[
    plan_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, workflow_name TEXT NOT NULL, workflow_hash TEXT NOT NULL,
    plan_hash TEXT NOT NULL UNIQUE, params_json TEXT NOT NULL, summary_json TEXT NOT NULL,
    created_by TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL]] },
  { name = "approval", rowid = true, columns = [[
    plan_id TEXT NOT NULL REFERENCES plan, plan_hash TEXT NOT NULL, approver TEXT NOT NULL,
    danger_max TEXT NOT NULL CHECK(danger_max IN ('safe','disruptive','destructive','irreversible')),
    at INTEGER NOT NULL, PRIMARY KEY(plan_id, approver)]] },
  { name = "run", rowid = true, columns = [[
    run_id TEXT PRIMARY KEY, plan_id TEXT NOT NULL REFERENCES plan, tenant_id TEXT NOT NULL,
    mode TEXT NOT NULL CHECK(mode IN ('apply','verify','restore')),
    state TEXT NOT NULL CHECK(state IN ('open','draining','halted','done')), halt_reason TEXT,
    current_wave INTEGER NOT NULL DEFAULT 0, last_wave INTEGER NOT NULL DEFAULT 0,
    accepted_failed INTEGER NOT NULL DEFAULT 0, accepted_human INTEGER NOT NULL DEFAULT 0,
    actor TEXT NOT NULL, options_json TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER]] },
  { name = "worker", rowid = true, columns = [[
    worker_id TEXT PRIMARY KEY, run_id TEXT NOT NULL REFERENCES run,
    host TEXT NOT NULL, boot_id TEXT NOT NULL, pid INTEGER NOT NULL, slot INTEGER NOT NULL, version TEXT NOT NULL,
    state TEXT NOT NULL CHECK(state IN ('alive','dead','left')),
    lease_until INTEGER NOT NULL, beat_at INTEGER NOT NULL, started_at INTEGER NOT NULL]] },
  { name = "subject", columns = [[
    run_id TEXT NOT NULL REFERENCES run, subj INTEGER NOT NULL, tenant_id TEXT NOT NULL,
    object_id TEXT NOT NULL, label TEXT NOT NULL, wave INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK(state IN ('ready','leased','waiting','needs_human','done','failed','skipped')),
    due_at INTEGER NOT NULL, stage INTEGER NOT NULL DEFAULT 0, owner TEXT REFERENCES worker,
    epoch INTEGER NOT NULL DEFAULT 0, takeovers INTEGER NOT NULL DEFAULT 0,
    guard_json TEXT NOT NULL, before_sha TEXT, after_sha TEXT, PRIMARY KEY(run_id, subj)]] },
  { name = "op", columns = [[
    run_id TEXT NOT NULL, subj INTEGER NOT NULL, op INTEGER NOT NULL, stage INTEGER NOT NULL DEFAULT 0,
    op_key TEXT NOT NULL, action TEXT NOT NULL, action_ver INTEGER NOT NULL, target_id TEXT NOT NULL,
    effect TEXT NOT NULL CHECK(effect IN ('read','converge','command','once')),
    danger TEXT NOT NULL CHECK(danger IN ('safe','disruptive','destructive','irreversible')),
    deps_json TEXT NOT NULL DEFAULT '[]', desired_json TEXT NOT NULL, guard_json TEXT NOT NULL, inverse_json TEXT,
    state TEXT NOT NULL CHECK(state IN ('planned','intent','submitted','unknown','changed','unchanged','verified',
      'skipped','drifted','needs_approval','needs_human','failed')),
    attempts INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL DEFAULT 0, reason TEXT, evidence_json TEXT,
    PRIMARY KEY(run_id, subj, op), UNIQUE(run_id, subj, op_key),
    FOREIGN KEY(run_id, subj) REFERENCES subject]] },
  { name = "attempt", columns = [[
    run_id TEXT NOT NULL, subj INTEGER NOT NULL, op INTEGER NOT NULL, n INTEGER NOT NULL,
    epoch INTEGER NOT NULL, worker_id TEXT NOT NULL REFERENCES worker, client_request_id TEXT NOT NULL,
    method TEXT NOT NULL, path TEXT NOT NULL, body_sha TEXT, intent_at INTEGER NOT NULL, over_at INTEGER NOT NULL,
    outcome_at INTEGER, outcome TEXT, http_status INTEGER, graph_code TEXT, graph_request_id TEXT,
    retry_after_ms INTEGER, late INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(run_id, subj, op, n), FOREIGN KEY(run_id, subj, op) REFERENCES op]] },
  { name = "event", columns = [[
    run_id TEXT NOT NULL REFERENCES run, seq INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
    subj INTEGER, op INTEGER, worker_id TEXT, data_json TEXT NOT NULL,
    prev_hash TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY(run_id, seq)]] },
  { name = "blob", rowid = true, columns = [[
    sha TEXT PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL]] },
}

M.INDEXES = {
  -- nobody is in two runs at once: the database's own rule, whatever a program believes
  "CREATE UNIQUE INDEX subject_one_active ON subject(tenant_id, object_id) WHERE state IN ('ready','leased','waiting')",
  "CREATE INDEX subject_claim ON subject(run_id, wave, stage, due_at) WHERE state IN ('ready','waiting')",
  "CREATE INDEX subject_due ON subject(run_id, due_at) WHERE state IN ('ready','waiting')",
  "CREATE INDEX subject_owner ON subject(owner) WHERE state = 'leased'",
  "CREATE INDEX subject_leased ON subject(run_id, wave, stage) WHERE state = 'leased'",
  "CREATE INDEX subject_trouble ON subject(run_id, state, takeovers) WHERE state IN ('failed','needs_human')",
  "CREATE INDEX op_trouble ON op(run_id, state, attempts) WHERE state IN ('failed','needs_human')",
  "CREATE INDEX attempt_open ON attempt(run_id, worker_id) WHERE outcome IS NULL",
}

local function create(db, driver)
  for _, t in ipairs(M.TABLES) do must(db:exec(driver.define(t))) end
  for _, sql in ipairs(M.INDEXES) do must(db:exec(sql)) end
  must(db:exec("INSERT INTO meta(k, v) VALUES ('store_id', ?)", store.uuid()))
  must(db:exec("INSERT INTO meta(k, v) VALUES ('version', ?)", tostring(M.VERSION)))
end

--- From version n to n + 1: function(db, driver), each in the one transaction that brings a journal up to date.
---@type table<integer, fun(db: msgraph.store.Db, driver: table)>
M.MIGRATIONS = {}

-- The version of what is there, nil where there is nothing.
local function version_of(db, driver, path)
  if not must(driver.exists(db)) then return nil end
  local row = db:one "SELECT v FROM meta WHERE k = 'version'"
  local version = row and math.tointeger(tonumber(row.v))
  if not version then failure.raise("journal", path .. ": this is no journal of msgraph's") end
  if version > M.VERSION then
    failure.raise("journal_newer", ("%s: written by a newer msgraph (journal version %d, this one knows %d)")
      :format(path, version, M.VERSION))
  end
  return version
end

--- Makes the tables, or brings them up to date; run inside a transaction. Raises what failure.from understands.
---@param db msgraph.store.Db
---@param driver table
---@param path string
function M.bring_up(db, driver, path)
  local version = version_of(db, driver, path)
  if not version then return create(db, driver) end
  for n = version, M.VERSION - 1 do M.MIGRATIONS[n](db, driver) end
  if version < M.VERSION then
    must(db:exec("UPDATE meta SET v = ? WHERE k = 'version'", tostring(M.VERSION)))
  end
end

--- The same for one that is only read: it has to be of today's version already.
function M.check(db, driver, path)
  local version = version_of(db, driver, path)
  if not version then failure.raise("journal", path .. ": this journal is empty") end
  if version < M.VERSION then
    failure.raise("journal", path .. ": written by an older msgraph: open it to write once, which brings it up to date")
  end
end

return M
