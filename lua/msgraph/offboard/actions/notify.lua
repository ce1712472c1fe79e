--- Mail to those who should know.
local core = require "msgraph.core"
local params = require "msgraph.offboard.params"
local template = require "msgraph.offboard.template"

local mail = {
  id = "notify.mail", version = 1, effect = "once", danger = "safe", settle = 30,
  about = "sends a mail about the person, once: to his manager, or whom you name",
  calls = { "POST /users/{id}/sendMail", "GET /users/{id}/mailFolders/{id}/messages" },
  options = {
    from = { type = "user", required = true, about = "whose mailbox sends it" },
    to = { type = "user", default = params.MANAGER, about = "who gets it; default: his manager" },
    subject = { type = "text", required = true, about = "{{displayName}} and the like are filled in" },
    text = { type = "text", required = true, about = "plain text; {{displayName}} and the like are filled in" },
  },
  hand_off = { no_mailbox = "whoever should send it has no mailbox that Graph reaches" },
}

-- What a mail is known by in Sent Items. An extended property, as headers can not be filtered by.
local MARK <const> = "String {b7a3f7d0-3a6c-4a0e-9d5e-6d7367726170} Name MsgraphNotice"

local function mark_of(...) return core.sha256(table.concat({ ... }, "\0")):sub(1, 32) end

local function sent(g, from, mark)
  return g.list("/users/%s/mailFolders/sentitems/messages", from, { select = { "id", "sentDateTime" },
    filter = g.filter("singleValueExtendedProperties/Any(ep: ep/id eq ? and ep/value eq ?)", MARK, mark) })
end

local function message_of(to, subject, text, mark)
  return { subject = subject, body = { contentType = "Text", content = text },
    toRecipients = { { emailAddress = { address = to.mail or to.userPrincipalName } } },
    singleValueExtendedProperties = { { id = MARK, value = mark } } }
end

local NOBODY <const> = "who should %s it is not known, or leaves as well"

function mail.plan(ctx, opts)
  local from, to = ctx:who(opts.from), ctx:who(opts.to)
  if not from or not to then return ctx:skip(NOBODY:format(from and "get" or "send")) end
  local subject, no_subject = template.fill(opts.subject, ctx.user, ctx.params)
  local text, no_text = template.fill(opts.text, ctx.user, ctx.params)
  if not subject or not text then return ctx:skip(("{{%s}} has no value"):format(no_subject or no_text)) end
  local mark = mark_of(ctx.user.id, to.id, subject, text)
  local before = sent(ctx.reader, from.id, mark)[1]
  if before then return ctx:unchanged(("%s was told on %s"):format(to.label, before.sentDateTime:sub(1, 10))) end
  ctx:op { key = to.id .. "/" .. mark, target = from.id, name = from.label,
    request = ctx.client:user(from.id):request("send_mail", { saveToSentItems = true,
      message = message_of(to, subject, text, mark) }),
    nothing_to_undo = "a mail can not be called back", label = ("Tell %s: %s"):format(to.label, subject) }
end

function mail.probe(g, op)
  return sent(g, op.target_id, op.key:match "[^/]*$")[1] and "yes" or "no"
end

return { mail }
