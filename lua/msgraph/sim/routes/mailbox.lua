-- lua/msgraph/sim/routes/mailbox.lua - a user's mailbox: settings, inbox rules, calendar (FACTS 2.9).
local clock = require "msgraph.sim.clock"
local json = require "msgraph.sim.json"
local odata = require "msgraph.sim.odata"
local random = require "msgraph.sim.random"
local relation = require "msgraph.sim.relation"
local reply = require "msgraph.sim.reply"

local M = {}

local KINDS = relation.KINDS

--- Guests have theirs elsewhere.
function M.on(run)
  return function(ctx)
    if ctx.user.guest then
      return reply.error(ctx, 404, "MailboxNotEnabledForRESTAPI", "REST API is not yet supported for this mailbox.")
    end
    return run(ctx)
  end
end

local function not_found(ctx)
  return reply.error(ctx, 404, "ErrorItemNotFound", "The specified object was not found in the store.")
end

local function created(record, names)
  local answer = reply.ok(json.ordered(record, names))
  answer.status = 201
  return answer
end

-- ---- settings -----------------------------------------------------------------------------------

local REPLY = { "status", "externalAudience", "internalReplyMessage", "externalReplyMessage" }

local function settings_of(ctx)
  local stored = ctx.store:get("auto_reply/" .. ctx.user.index) or { status = "disabled", externalAudience = "all" }
  return json.ordered({
    ["@odata.context"] = ctx.base .. "/$metadata#users('" .. ctx.user.id .. "')/mailboxSettings",
    automaticRepliesSetting = json.ordered(stored, REPLY), timeZone = "W. Europe Standard Time",
    userPurpose = ctx.user.mailboxPurpose or "user",
  }, { "@odata.context", "automaticRepliesSetting", "timeZone", "userPurpose" })
end

local function get_settings(ctx)
  return reply.ok(settings_of(ctx))
end

--- Exchange keeps a reply as a page of HTML, whatever it was given.
local function as_page(text)
  return type(text) == "string" and text ~= "" and ("<html>\n<body>\n%s</body>\n</html>\n"):format(text) or text
end

local STATUSES = odata.set "disabled alwaysEnabled scheduled"

local function set_settings(ctx)
  local body, no = relation.body(ctx)
  if not body then return no end
  local wanted = body.automaticRepliesSetting
  if type(wanted) ~= "table" or not STATUSES[wanted.status] then
    return reply.error(ctx, 400, "ErrorInvalidRequest", "The request is invalid.")
  end
  for _, name in ipairs { "internalReplyMessage", "externalReplyMessage" } do wanted[name] = as_page(wanted[name]) end
  ctx.store:set("auto_reply/" .. ctx.user.index, wanted)
  ctx.actions[#ctx.actions + 1] = "auto_reply " .. ctx.user.id
  return reply.ok(settings_of(ctx))
end

-- ---- lists that grow ----------------------------------------------------------------------------

-- Those from the start that are left, and those that came.
local function all(ctx, name, from_the_start)
  local out = relation.remaining(ctx.store, name .. "/" .. ctx.user.index .. "/", from_the_start)
  for _, record in ipairs(ctx.store:get(name .. "s/" .. ctx.user.index) or {}) do out[#out + 1] = record end
  return out
end

local function keep(ctx, name, kind, resource, record)
  local records = relation.kept(ctx.store, name .. "s/" .. ctx.user.index)
  record.id = random.id(ctx.seed, KINDS[kind], ctx.n << 20)
  records[#records + 1] = record
  ctx.actions[#ctx.actions + 1] = ("create_%s %s"):format(name, ctx.user.id)
  return created(record, resource.default)
end

local function add(ctx, name, kind, resource)
  local body, no = relation.body(ctx)
  if not body then return no end
  return keep(ctx, name, kind, resource, body)
end

local function delete(ctx, name, from_the_start, id)
  local records = ctx.store:get(name .. "s/" .. ctx.user.index) or {}
  for at, record in ipairs(records) do
    if record.id == id then
      table.remove(records, at)
      return relation.done(ctx, ("delete_%s %s"):format(name, id))
    end
  end
  local prefix = name .. "/" .. ctx.user.index .. "/"
  for _, record in ipairs(relation.remaining(ctx.store, prefix, from_the_start)) do
    if record.id == id then
      ctx.store:set(prefix .. id, true)
      return relation.done(ctx, ("delete_%s %s"):format(name, id))
    end
  end
  return not_found(ctx)
end

-- ---- rules --------------------------------------------------------------------------------------

local RULE = relation.resource("microsoft.graph.messageRule",
  "id displayName sequence isEnabled isReadOnly conditions actions")

local CONAN <const> = 3

-- Everybody sends mail home and sorts newsletters; Conan has a rule that only Outlook may change.
local function rules(ctx)
  local out = {}
  local function rule(name, actions, conditions)
    out[#out + 1] = { id = random.id(ctx.seed, KINDS.rule, ctx.user.index * 4 + #out), displayName = name,
      sequence = #out + 1, isEnabled = true, isReadOnly = false, actions = actions, conditions = conditions }
  end
  local home = json.array { { emailAddress = { address = "private@example.org" } } }
  rule("Home", { forwardTo = home })
  rule("Newsletters", { markAsRead = true }, { subjectContains = json.array { "newsletter" } })
  if ctx.user.index == CONAN then
    rule("Old phone", { redirectTo = home })
    out[3].isReadOnly = true
  end
  return out
end

local function list_rules(ctx) return relation.list(ctx, RULE, "messageRules", all(ctx, "rule", rules(ctx))) end
local function create_rule(ctx) return add(ctx, "rule", "rule", RULE) end

local function delete_rule(ctx)
  for _, rule in ipairs(rules(ctx)) do
    if rule.id == ctx.params.rule and rule.isReadOnly then
      return reply.error(ctx, 403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    end
  end
  return delete(ctx, "rule", rules(ctx), ctx.params.rule)
end

-- ---- calendar -----------------------------------------------------------------------------------

local EVENT = relation.resource("microsoft.graph.event",
  "id subject isOrganizer isCancelled start end type seriesMasterId attendees transactionId")

local function at(seconds)
  return { dateTime = clock.naive(seconds), timeZone = "UTC" }
end

local DAY <const> = 24 * 60 * 60

local function event_id(ctx, n) return random.id(ctx.seed, KINDS.event, ctx.user.index * 8 + n) end

local MASTER <const> = 6 -- the series that two of the events belong to

-- A meeting of one's own and one of somebody else's, two of a series, and what nobody is invited to.
local function events(ctx)
  local function record(n, subject, mine, more)
    local start = clock.START + n * DAY
    local event = { id = event_id(ctx, n), subject = subject, isOrganizer = mine, isCancelled = false,
      start = at(start), ["end"] = at(start + 3600), type = "singleInstance",
      attendees = json.array { { type = "required", emailAddress = { address = "grace@contoso.com" } } } }
    for name, value in pairs(more or {}) do event[name] = value end
    return event
  end
  local occurrence = { type = "occurrence", seriesMasterId = event_id(ctx, MASTER) }
  return { record(1, "Team weekly", true), record(2, "All hands", false), record(3, "Budget round", true, occurrence),
    record(4, "Budget round", true, occurrence), record(5, "Dentist", true, { attendees = json.array {} }) }
end

local function is_dropped(ctx, id)
  return ctx.store:get("event/" .. ctx.user.index .. "/" .. id) == true
end

-- Those left, without what goes with its series.
local function events_left(ctx)
  local out = {}
  for _, event in ipairs(all(ctx, "event", events(ctx))) do
    local gone = is_dropped(ctx, event.id) or event.seriesMasterId and is_dropped(ctx, event.seriesMasterId)
    if not gone then out[#out + 1] = event end
  end
  return out
end

-- A transactionId that was seen before: the event it made, and no second one.
local function create_event(ctx)
  local event, no = relation.body(ctx)
  if not event then return no end
  if type(event.start) ~= "table" or type(event["end"]) ~= "table" then
    return reply.error(ctx, 400, "ErrorPropertyValidationFailure",
      "At least one property failed validation: an event needs a start and an end.")
  end
  for _, before in ipairs(ctx.store:get("events/" .. ctx.user.index) or {}) do
    if before.transactionId and before.transactionId == event.transactionId then
      return created(before, EVENT.default)
    end
  end
  event.isOrganizer, event.isCancelled, event.type = true, false, "singleInstance"
  event.attendees = event.attendees or json.array {}
  return keep(ctx, "event", "event", EVENT, event)
end

local function calendar_view(ctx)
  local query = odata.query(ctx.query)
  if not query.startDateTime or not query.endDateTime then
    return reply.error(ctx, 400, "ErrorInvalidParameter", "This request requires a time window specified by the query "
      .. "string parameters StartDateTime and EndDateTime.")
  end
  return relation.list(ctx, EVENT, "calendarView", events_left(ctx))
end

local function event_named(ctx)
  local wanted = ctx.params.event
  for _, event in ipairs(events_left(ctx)) do
    if event.id == wanted then return event end
  end
  if wanted == event_id(ctx, MASTER) and not is_dropped(ctx, wanted) then
    return { id = wanted, subject = "Budget round", isOrganizer = true, isCancelled = false, type = "seriesMaster" }
  end
end

local function get_event(ctx)
  local event = event_named(ctx)
  if not event then return not_found(ctx) end
  return odata.one(ctx, EVENT, "events", event)
end

--- Whoever cancels or declines finds the event gone from the calendar.
local function drop(action, organizers_only)
  return function(ctx)
    local event = event_named(ctx)
    if not event then return not_found(ctx) end
    if organizers_only and not event.isOrganizer then
      return reply.error(ctx, 400, "ErrorAccessDenied", "Your request can't be completed. You need to be an organizer "
        .. "to cancel a meeting.")
    end
    ctx.store:set("event/" .. ctx.user.index .. "/" .. event.id, true)
    ctx.actions[#ctx.actions + 1] = action .. " " .. event.id
    return { status = 202, headers = {}, body = "" }
  end
end

local function delete_event(ctx) return delete(ctx, "event", events(ctx), ctx.params.event) end

local PERMISSION = relation.resource("microsoft.graph.calendarPermission",
  "id emailAddress isRemovable isInsideOrganization role")

local function permissions(ctx)
  return { { id = random.id(ctx.seed, KINDS.calendar_permission, ctx.user.index), role = "freeBusyRead",
    emailAddress = { name = "My Organization" }, isRemovable = false, isInsideOrganization = true } }
end

local NAME <const> = "calendar_permission"

local function list_permissions(ctx)
  return relation.list(ctx, PERMISSION, "calendarPermissions", all(ctx, NAME, permissions(ctx)))
end

local function add_permission(ctx) return add(ctx, NAME, NAME, PERMISSION) end
local function delete_permission(ctx) return delete(ctx, NAME, {}, ctx.params.permission) end

local READ_SETTINGS = { "MailboxSettings.Read", "MailboxSettings.ReadWrite" }
local SETTINGS = { "MailboxSettings.ReadWrite" }
local READ_CALENDAR = { "Calendars.ReadBasic", "Calendars.ReadBasic.All", "Calendars.Read", "Calendars.ReadWrite" }
local CALENDAR = { "Calendars.ReadWrite" }
local RULES <const>, PERMISSIONS <const> = "mailFolders/inbox/messageRules", "calendar/calendarPermissions"

local function mailbox(method, path, scopes, run)
  return { method, "users/{user}/" .. path, service = "directory", scopes = scopes, run = M.on(run) }
end

M.routes = {
  mailbox("GET", "mailboxSettings", READ_SETTINGS, get_settings),
  mailbox("PATCH", "mailboxSettings", SETTINGS, set_settings),
  mailbox("GET", RULES, READ_SETTINGS, list_rules),
  mailbox("POST", RULES, SETTINGS, create_rule),
  mailbox("DELETE", RULES .. "/{rule}", SETTINGS, delete_rule),
  mailbox("GET", "calendarView", READ_CALENDAR, calendar_view),
  mailbox("POST", "events", CALENDAR, create_event),
  mailbox("GET", "events/{event}", READ_CALENDAR, get_event),
  mailbox("POST", "events/{event}/cancel", CALENDAR, drop("cancel_event", true)),
  mailbox("POST", "events/{event}/decline", CALENDAR, drop "decline_event"),
  mailbox("DELETE", "events/{event}", CALENDAR, delete_event),
  mailbox("GET", PERMISSIONS, { "Calendars.Read", "Calendars.ReadWrite" }, list_permissions),
  mailbox("POST", PERMISSIONS, CALENDAR, add_permission),
  mailbox("DELETE", PERMISSIONS .. "/{permission}", CALENDAR, delete_permission),
}

return M
