-- lua/msgraph/cli/errors.lua
--- What an msgraph.Error means on the command line: words, and how the command ends.
local M = {}

--- The error as a line, without what to do.
---@param err msgraph.Error
---@return string
function M.line(err)
  local line = tostring(err)
  local hint = err.hint and " - " .. err.hint
  return hint and line:sub(-#hint) == hint and line:sub(1, -#hint - 1) or line
end

--- What went wrong and the ids to ask support with, where the request is known anyway.
---@param err msgraph.Error
---@return string
function M.brief(err)
  local about = { err.status and ("HTTP %d"):format(err.status) or err.code }
  if err.status and err.code then about[#about + 1] = err.code end
  if #(err.attempts or {}) > 1 then about[#about + 1] = ("%d attempts"):format(#err.attempts) end
  if err.retry_after then about[#about + 1] = ("retry after %g s"):format(err.retry_after) end
  if err.request_id then
    about[#about + 1] = "request-id " .. err.request_id
  elseif err.client_request_id then
    about[#about + 1] = "client-request-id " .. err.client_request_id
  end
  return ("%s: %s (%s)"):format(err.kind, err.message, table.concat(about, ", "))
end

--- The error as a line, and what to do as a second.
---@param err msgraph.Error
---@return string
function M.text(err)
  return M.line(err) .. (err.hint and "\n  " .. err.hint or "")
end

--- Whether a request that changes something may have been acted on although it failed. A 503 that
--- says when to come back was refused; of every other 5xx, and of answers not Graph's, nobody knows.
---@param err msgraph.Error
---@return boolean
function M.is_unknown(err)
  if err.kind == "ambiguous" then return true end
  if err.phase == "not_sent" or err.method == "GET" or err.method == "HEAD" then return false end
  if err.kind == "server" then return not (err.status == 503 and err.retry_after) end
  return err.kind == "protocol" and err.code ~= "redirect" or err.kind == "cancelled"
end

--- Whether every other request would be refused the same.
---@param err msgraph.Error
---@return boolean
function M.stops_all(err)
  return err.kind == "auth" or err.reason == "scope_missing" or err.reason == "license_missing"
end

local USAGE = { bad_environment = true, bad_option = true, bad_request = true, foreign_url = true }

--- How a command ends that met this error and did nothing else.
---@param err msgraph.Error
---@return string outcome
function M.outcome(err)
  if err.kind == "auth" or err.kind == "forbidden" then return "auth" end
  if USAGE[err.code] then return "usage" end
  return M.is_unknown(err) and "human" or "failed"
end

return M
