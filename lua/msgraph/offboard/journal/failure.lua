-- lua/msgraph/offboard/journal/failure.lua
--- What the journal refuses with: msgraph.Errors, codes and kinds in one table.
local errors = require "msgraph.errors"

local M = {}

local KIND_OF = {
  journal = "invalid", journal_busy = "conflict", journal_full = "invalid", journal_readonly = "invalid",
  journal_damaged = "invalid", journal_newer = "invalid", lease_lost = "conflict", draining = "cancelled",
  active_elsewhere = "conflict", in_use = "conflict", plan_changed = "conflict", plan_expired = "conflict",
  not_approved = "forbidden", unknown_id = "not_found",
}
M.KINDS = KIND_OF

-- The store's codes that have one of their own here; all others are "journal".
local CODE_OF = { busy = "journal_busy", full = "journal_full", readonly = "journal_readonly",
  corrupt = "journal_damaged" }

--- Makes one.
---@param code string one of KINDS
---@param message string
---@param fields? table more fields, of which `subjects`, `emergency` and `lines` are ours
---@return msgraph.Error
function M.new(code, message, fields)
  local err = { kind = assert(KIND_OF[code], code), code = code, message = message, phase = "not_sent" }
  for key, value in pairs(fields or {}) do err[key] = value end
  return errors.new(err)
end

--- Raises one, for journal.transact to return.
function M.raise(code, message, fields)
  error(M.new(code, message, fields), 0)
end

--- The result, or the store's error raised, for journal.transact to return.
function M.must(value, err)
  if value == nil and err ~= nil then error(err, 0) end
  return value
end

--- A mistake of the engine's, found inside a transaction, which it undoes: raises a text.
function M.mistake(message, ...)
  error("journal: " .. message:format(...), 0)
end

--- What the store or a transaction gave as an error, as a msgraph.Error.
---@param err msgraph.store.Error|msgraph.Error
---@param path string the journal
function M.from(err, path)
  if errors.Error.is(err) then return err end
  return M.new(CODE_OF[err.code] or "journal", ("%s: %s"):format(path, err.message))
end

return M
