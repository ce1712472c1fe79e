-- lua/msgraph/sim/routes/mail.lua - mail that is sent, and Sent Items, where it is found again (FACTS 2.9).
local clock = require "msgraph.sim.clock"
local mailbox = require "msgraph.sim.routes.mailbox"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local function bad(ctx) return reply.error(ctx, 400, "ErrorInvalidRequest", "The request is invalid.") end

local function sent_of(ctx) return relation.kept(ctx.store, "sent/" .. ctx.user.index) end

local function send_mail(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  local message = body.message
  if type(message) ~= "table" then return bad(ctx) end
  if body.saveToSentItems ~= false then
    local sent, marks = sent_of(ctx), {}
    for _, property in ipairs(type(message.singleValueExtendedProperties) == "table"
      and message.singleValueExtendedProperties or {}) do
      marks[property.id] = property.value
    end
    sent[#sent + 1] = { id = random.id(ctx.seed, relation.KINDS.message, ctx.n), subject = message.subject,
      sentDateTime = clock.iso(ctx.now), marks = marks }
  end
  ctx.actions[#ctx.actions + 1] = "send_mail " .. ctx.user.id
  return { status = 202, headers = {}, body = "" }
end

local MESSAGE = relation.resource("microsoft.graph.message", "id subject sentDateTime")
local BY_MARK <const> = "^singleValueExtendedProperties/Any%(ep: ep/id eq '([^']*)' and ep/value eq '([^']*)'%)$"

--- Sent Items alone, and of all filters the one by an extended property.
local function list_messages(ctx)
  if ctx.params.folder:lower() ~= "sentitems" then
    return reply.error(ctx, 404, "ErrorItemNotFound", "The specified object was not found in the store.")
  end
  local filter, records = odata.query(ctx.query)["$filter"], {}
  local id, value = (filter or ""):match(BY_MARK)
  if filter and not id then return bad(ctx) end
  for _, message in ipairs(sent_of(ctx)) do
    if not id or message.marks[id] == value then records[#records + 1] = message end
  end
  ctx.query = ctx.query:gsub("%$filter=[^&]*&?", "")
  return relation.list(ctx, MESSAGE, "messages", records)
end

M.routes = {
  { "POST", "users/{user}/sendMail", service = "directory", scopes = { "Mail.Send" }, run = mailbox.on(send_mail) },
  { "GET", "users/{user}/mailFolders/{folder}/messages", service = "directory",
    scopes = { "Mail.Read", "Mail.ReadWrite" }, run = mailbox.on(list_messages) },
}

return M
