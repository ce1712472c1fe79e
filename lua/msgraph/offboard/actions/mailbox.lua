--- The mailbox, before its licence goes: what it answers, and where it sends things.
local json = require "msgraph.json"
local powershell = require "msgraph.offboard.powershell"
local records = require "msgraph.offboard.records"
local template = require "msgraph.offboard.template"

local NO_MAILBOX = { no_mailbox = "there is no mailbox here: it may be on premises" }

-- Why nothing is done to somebody's mailbox; nil: he has one.
local function skipped(ctx, read)
  if ctx.user.userType == "Guest" then return ctx:skip("a guest has no mailbox here") or true end
  if not ctx:read(read) then return ctx:skip("there is no mailbox") or true end
end

-- ---- automatic replies --------------------------------------------------------------------------

local auto_reply = {
  id = "mailbox.auto_reply", version = 1, effect = "converge", danger = "safe", settle = 30,
  about = "answers whoever writes, inside and outside",
  reads = { "mailbox_settings" },
  calls = { "PATCH /users/{id}/mailboxSettings" },
  options = {
    text = { type = "text", required = true, about = "plain text; {{displayName}}, {{delegate.mail}} and the like "
      .. "are filled in" },
    external = { type = "enum", values = { "all", "contactsOnly", "none" }, default = "all",
      about = "who outside gets it: \"all\", \"contactsOnly\", \"none\"; default all" },
  },
  hand_off = NO_MAILBOX,
}

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }
local CHARS = { amp = "&", lt = "<", gt = ">", quot = '"', ["#39"] = "'", nbsp = " " }

-- Exchange keeps replies as HTML.
local function html_of(text)
  return (text:gsub("[&<>]", ENTITIES):gsub("\r?\n", "<br>"))
end

-- What is left of HTML for the eye: Exchange wraps what it is given.
local function plain(html)
  if type(html) ~= "string" then return "" end
  local text = html:gsub("<[^>]*>", " "):gsub("&([#%w]+);", CHARS)
  return (text:gsub("%s+", " "):match "^ ?(.-) ?$")
end

local function is_set(setting, wanted)
  return type(setting) == "table" and setting.status == wanted.status
    and setting.externalAudience == wanted.externalAudience
    and plain(setting.internalReplyMessage) == plain(wanted.internalReplyMessage)
    and plain(setting.externalReplyMessage) == plain(wanted.externalReplyMessage)
end

function auto_reply.plan(ctx, opts)
  if skipped(ctx, "mailbox_settings") then return end
  local text, missing = template.fill(opts.text, ctx.user, ctx.params)
  if not text then
    return ctx:skip(("{{%s}} has no value: the person is not known, or leaves as well"):format(missing))
  end
  local html, before = html_of(text), ctx:read("mailbox_settings").automaticRepliesSetting
  local wanted = { status = "alwaysEnabled", externalAudience = opts.external, internalReplyMessage = html,
    externalReplyMessage = html }
  if is_set(before, wanted) then return ctx:unchanged("it answers so already") end
  ctx:op { target = ctx.user.id, name = ctx.user.mail, request = ctx.thing:request("set_auto_reply", wanted),
    inverse = ctx.thing:request("set_auto_reply", before), label = ("Answer mail: %s"):format(plain(html)) }
end

function auto_reply.probe(g, op)
  local settings = g.get("/users/%s/mailboxSettings", op.target_id)
  local wanted = json.decode(op.desired.body).automaticRepliesSetting
  return settings and is_set(settings.automaticRepliesSetting, wanted) and "yes" or "no"
end

-- ---- inbox rules --------------------------------------------------------------------------------

local remove_rules = {
  id = "mailbox.remove_rules", version = 1, effect = "converge", danger = "disruptive", settle = 30,
  about = "deletes inbox rules: those that send mail elsewhere, or all",
  reads = { "inbox_rules" },
  calls = { "DELETE /users/{id}/mailFolders/inbox/messageRules/{id}" },
  options = {
    which = { type = "enum", values = { "forwarding", "all" }, default = "forwarding",
      about = "\"forwarding\": forward, forward as attachment, redirect; or \"all\"" },
  },
  already = { not_found = true },
  hand_off = NO_MAILBOX,
}

local FORWARDS <const> = { "forwardTo", "forwardAsAttachmentTo", "redirectTo" }
local WRITABLE <const> = { "displayName", "sequence", "isEnabled", "conditions", "actions", "exceptions" }

-- Where a rule sends mail, as people read it; nil: nowhere.
local function sends_to(rule)
  local out = {}
  for _, name in ipairs(FORWARDS) do
    for _, to in ipairs(type(rule.actions) == "table" and rule.actions[name] or {}) do
      out[#out + 1] = type(to.emailAddress) == "table" and to.emailAddress.address or "?"
    end
  end
  return out[1] and table.concat(out, ", ") or nil
end

local function rule_again(ctx, rule)
  local body = {}
  for _, name in ipairs(WRITABLE) do body[name] = rule[name] end
  return ctx.thing:request("create_inbox_rule", body)
end

local function remove_rule(ctx, rule, to)
  local label = to and ("Delete the inbox rule %s, which sends mail to %s"):format(rule.displayName, to)
    or ("Delete the inbox rule %s"):format(rule.displayName)
  if rule.isReadOnly == true then
    return ctx:hand_off { target = rule.id, name = rule.displayName, system = "exchange", task = "remove-inbox-rule",
      why = "Graph can not delete this rule", label = "By hand: " .. label,
      powershell = powershell.command("Remove-InboxRule", { Mailbox = ctx.user.id, Identity = rule.displayName,
        Confirm = false }) }
  end
  ctx:op { target = rule.id, name = rule.displayName, label = label, inverse = rule_again(ctx, rule),
    request = ctx.thing:request("delete_inbox_rule", rule.id) }
end

function remove_rules.plan(ctx, opts)
  if skipped(ctx, "inbox_rules") then return end
  local any = false
  for _, rule in ipairs(ctx:read "inbox_rules") do
    local to = sends_to(rule)
    if to or opts.which == "all" then
      any = true
      remove_rule(ctx, rule, to)
    end
  end
  if not any then ctx:unchanged(opts.which == "all" and "no inbox rules" or "no inbox rule sends mail elsewhere") end
end

function remove_rules.probe(g, op)
  for _, rule in ipairs(g.list("/users/%s/mailFolders/inbox/messageRules", op.subject_id)) do
    if rule.id == op.target_id then return "no" end
  end
  return "yes"
end

-- Made again, it has an id of its own.
function remove_rules.back(g, op)
  return records.has(g.list("/users/%s/mailFolders/inbox/messageRules", op.subject_id), op.desired.body,
    { "displayName" })
end

return { auto_reply, remove_rules }
