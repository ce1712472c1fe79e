--- Meetings that would go on without who called them.
local template = require "msgraph.offboard.template"

local cancel = {
  id = "calendar.cancel_meetings", version = 1, effect = "command", danger = "destructive", settle = 30,
  about = "cancels the meetings of the coming year that he called: everybody invited is told",
  reads = { "meetings" },
  calls = { "POST /users/{id}/events/{id}/cancel" },
  options = {
    comment = { type = "text", about = "what those invited read; {{displayName}} and the like are filled in" },
  },
  already = { not_found = true },
  hand_off = { no_mailbox = "there is no mailbox here: it may be on premises" },
}

-- A series is cancelled as one, by its master.
local function each_series_once(events)
  local out, seen = {}, {}
  for _, event in ipairs(events) do
    local id = event.seriesMasterId or event.id
    if not seen[id] then seen[id], out[#out + 1] = true, { id = id, subject = event.subject or "(no subject)" } end
  end
  return out
end

function cancel.plan(ctx, opts)
  if ctx.user.userType == "Guest" then return ctx:skip("a guest has no mailbox here") end
  local meetings = ctx:read "meetings"
  if not meetings then return ctx:skip("there is no mailbox") end
  if #meetings == 0 then return ctx:unchanged("no meetings of his own within a year") end
  local comment, missing = template.fill(opts.comment or "", ctx.user, ctx.params)
  if not comment then
    return ctx:skip(("{{%s}} has no value: the person is not known, or leaves as well"):format(missing))
  end
  for _, event in ipairs(each_series_once(meetings)) do
    ctx:op { target = event.id, name = event.subject, label = ("Cancel the meeting %s"):format(event.subject),
      request = ctx.thing:request("cancel_event", event.id, { comment = opts.comment and comment }),
      no_inverse = "the meeting has to be called again" }
  end
end

function cancel.probe(g, op)
  local event = g.get("/users/%s/events/%s", op.subject_id, op.target_id, { select = { "id", "isCancelled" } })
  return event and not event.isCancelled and "no" or "yes"
end

return { cancel }
