--- What an answer means for the operation that was sent. Pure.
--
-- Three classes: carried out; known not to be carried out (refused, throttled, never sent); and everything else, which
-- is `unknown` until a read has settled it (msgraph.offboard.recover). Nothing is guessed.
local M = {}

local BACKOFF <const> = { 1, 2, 5, 10, 30, 60 } -- seconds

M.GONE = "what it would be brought back to is gone"

--- How long to wait before attempt n + 1, ms.
---@param n integer
---@return integer
function M.backoff(n) return BACKOFF[math.min(math.max(n, 1), #BACKOFF)] * 1000 end

local CONFLICTS <const> = 5 -- so often another write may be in the way of one
local UNREACHED <const> = 6 -- so often in a row an operation may not even leave this machine

-- Nobody knows whether it was carried out.
local LOST = { ambiguous = true, network = true, timeout = true, cancelled = true, server = true, protocol = true }

local function is_removal(desired)
  return desired.method == "DELETE"
end

-- A 404 says "done" of what was to go, and of what was to be commanded to go; of what was to be made it does not.
local function was_left_to_do(op, action, err)
  local already = action and action.already or {}
  if err.reason then return not already[err.reason] end
  if err.kind ~= "not_found" then return true end
  if is_removal(op.desired) then return false end
  return not (already.not_found and op.effect == "command")
end

local function retry_ms(err) return err.retry_after and math.ceil(err.retry_after * 1000) end

local function again(err, now, op, fields)
  local wait = retry_ms(err) or err.retry_at and math.max(err.retry_at * 1000 - now, 0) or M.backoff(op.attempts)
  fields.state, fields.next_at = "planned", now + wait
  return fields
end

local function not_sent(op, err, now, out)
  out.sent = false
  if err.kind == "invalid" then
    out.state = "failed"
    return out
  end
  if err.kind == "auth" or err.kind ~= "throttled" and op.attempts >= UNREACHED then out.stop = err end
  return again(err, now, op, out)
end

-- An answer that shows that it was refused.
local function refused(op, action, err, now, out)
  local hands = action and action.hand_off or {}
  if err.kind == "auth" then
    out.stop = err
    return again(err, now, op, out)
  elseif err.kind == "throttled" then
    return again(err, now, op, out)
  elseif not was_left_to_do(op, action, err) then
    out.state = "unchanged"
  elseif err.reason == "approval_required" then
    out.state, out.reason = "needs_approval", hands.approval_required or err.hint
  elseif op.desired.undoes and err.kind == "not_found" then
    out.state, out.reason = "needs_human", M.GONE
  elseif hands[err.reason] then
    out.state, out.reason = "needs_human", hands[err.reason]
  elseif err.kind == "conflict" and op.effect == "converge" and op.attempts < CONFLICTS then
    return again(err, now, op, out)
  else
    out.state = "failed"
  end
  return out
end

--- The outcome of an attempt.
---@param op msgraph.journal.Op `attempts` counts the one that was sent
---@param action? msgraph.offboard.Action nil: an own step
---@param err? msgraph.Error nil: it answered 2xx
---@param now integer Unix ms
---@return table outcome as worker:settle takes it (without subj, op, n); `stop`: why nothing more can be sent
function M.of(op, action, err, now)
  if not err then return { state = op.effect == "command" and "submitted" or "changed" } end
  local out = { reason = err.message, http_status = err.status, graph_code = err.code,
    graph_request_id = err.request_id, retry_after_ms = retry_ms(err) }
  if err.phase == "not_sent" then return not_sent(op, err, now, out) end
  if err.status == 503 and err.retry_after and op.effect ~= "once" then return again(err, now, op, out) end
  if LOST[err.kind] and err.code ~= "redirect" then
    out.state = "unknown"
    return out
  end
  return refused(op, action, err, now, out)
end

return M
