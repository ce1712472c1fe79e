-- lua/msgraph/offboard/journal/states.lua
--- What an operation may become, and what must be known before it may be sent again. Pure.
--
-- One place for the rule that nothing acts twice by guess: an operation that may have been carried out goes back
-- to `planned` only by a read that shows it was not, and `once` only where that read is declared to be the truth.
local M = {}

--- From least to most; an approval names the highest it covers.
M.DANGER = { safe = 1, disruptive = 2, destructive = 3, irreversible = 4 }

local function set(text)
  local names = {}
  for name in text:gmatch "%S+" do names[name] = true end
  return names
end

-- `planned` to `intent` is worker:intend's alone, and what a person decides is journal:resolve's.
local MOVES = {
  planned = set "planned unchanged verified skipped drifted needs_approval needs_human failed",
  intent = set "planned changed unchanged verified submitted unknown needs_approval needs_human failed",
  unknown = set "planned changed unchanged verified submitted unknown needs_human failed drifted",
  submitted = set "submitted verified needs_human failed",
  needs_approval = set "needs_approval planned skipped needs_human failed",
  needs_human = set "verified",
  changed = set "verified",
}

--- Operations in these states have work left for the engine.
M.OPEN = set "planned intent unknown submitted needs_approval"

--- No subject is done with one of these.
M.NOT_DONE = set "planned intent unknown needs_approval needs_human failed"

--- What a read may show to be done, after which it is verified.
M.CONFIRMABLE = set "changed submitted needs_human"

--- What a person may decide about.
M.RESOLVABLE = set "unknown submitted needs_approval needs_human failed drifted"

--- How a subject may be given back.
M.RELEASE = set "ready waiting needs_human done failed skipped"

-- Whether an answer shows that the request was not carried out.
local function was_refused(op, outcome)
  local status = outcome.http_status
  return outcome.sent == false or status == 401 or status == 407 or status == 429 or status == 509
    or status == 503 and outcome.retry_after_ms ~= nil and op.effect ~= "once" -- a gateway may say so after the fact
end

local function from_intent(op, outcome)
  if outcome.state ~= "planned" or op.effect == "converge" or op.effect == "read" then return true end
  if was_refused(op, outcome) then return true end
  return nil, ("effect %s, and nothing shows that it was not carried out: settle it as unknown"):format(op.effect)
end

local REPEATS = {
  read = set "yes no pending cannot_tell",
  converge = set "no cannot_tell",
  command = set "no",
  once = set "no",
}

local PROVES = { verified = set "yes", submitted = set "yes pending" }

local function read_late_enough(op, outcome)
  if math.type(outcome.read_at) ~= "integer" then return nil, "read_at is missing: when the read began" end
  if outcome.read_at >= op.over_at then return true end
  return nil, "it was read while the request could still be carried out"
end

local function from_unknown(op, outcome)
  local to = outcome.state
  if op.outcome == to then return true end -- the attempt's own outcome came late, and says so
  if to == "changed" or to == "unchanged" then return nil, "only a read can tell: verified, submitted or planned" end
  if PROVES[to] then
    if PROVES[to][outcome.probe] then return true end
    return nil, ("a probe that says %s does not show it"):format(tostring(outcome.probe))
  end
  if to ~= "planned" then return true end
  if not REPEATS[op.effect][outcome.probe] then
    return nil, ("effect %s is not sent again after a probe that says %s"):format(op.effect, tostring(outcome.probe))
  end
  if op.effect == "once" and outcome.authoritative ~= true then
    return nil, "effect once is sent again only where the probe is authoritative"
  end
  return read_late_enough(op, outcome)
end

--- Whether an operation may become what an outcome says.
---@param op { state: string, effect: string, over_at: integer?, outcome: string? } the last two of its last attempt
---@param outcome { state: string, probe: string?, authoritative: boolean?, read_at: integer?, http_status: integer?,
---   retry_after_ms: integer?, sent: boolean? }
---@return true? allowed
---@return string? reason
function M.may(op, outcome)
  local to = MOVES[op.state]
  if not to or not to[outcome.state] then
    return nil, ("it is %s, and can not become %s"):format(op.state, tostring(outcome.state))
  end
  if op.state == "intent" then return from_intent(op, outcome) end
  if op.state == "unknown" then return from_unknown(op, outcome) end
  if op.state == "needs_human" and outcome.probe ~= "yes" then
    return nil, "what is a person's is settled by that person, or by a read that shows it"
  end
  return true
end

--- Of an operation that has done its part: what needs it may begin.
M.WELL = { changed = true, unchanged = true, verified = true, submitted = true }

return M
