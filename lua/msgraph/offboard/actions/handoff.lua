-- lua/msgraph/offboard/actions/handoff.lua
--- What only Exchange can do: a person gets the commands, and says what became of them.
local powershell = require "msgraph.offboard.powershell"

-- task -> danger-free words for people, and the command for a mailbox
local TASKS = {
  ["convert-to-shared"] = { "Make the mailbox a shared one", "Set-Mailbox", { Type = "Shared" } },
  ["hide-from-gal"] = { "Hide from address lists", "Set-Mailbox", { HiddenFromAddressListsEnabled = true } },
  ["litigation-hold"] = { "Put the mailbox on hold", "Set-Mailbox", { LitigationHoldEnabled = true } },
}

local exchange = {
  id = "handoff.exchange", version = 1, effect = "once", danger = "safe", settle = 0,
  about = "a work list for Exchange: shared mailbox, address lists, hold, access, forwarding",
  calls = { "GET /users/{id}/mailboxSettings" },
  tasks = { "convert-to-shared", "hide-from-gal", "litigation-hold" },
  options = {
    grant_full_access = { type = "user", about = "who gets the mailbox" },
    forward_to = { type = "user", about = "who gets new mail" },
  },
}

local WHY <const> = "Graph can not do this"

local function hand_off(ctx, task, label, verb, params)
  params.Identity = ctx.user.id
  ctx:hand_off { key = task .. "/" .. ctx.user.id, target = ctx.user.id, name = ctx.user.userPrincipalName,
    system = "exchange", task = task, label = label, why = WHY, powershell = powershell.command(verb, params) }
end

local function for_person(ctx, opts, option, label, verb, params_of)
  if not opts[option] then return end
  local person = ctx:who(opts[option])
  if not person then return ctx:skip(("%s: the person is not known, or leaves as well"):format(option)) end
  hand_off(ctx, option:gsub("_", "-"), label:format(person.label), verb, params_of(person))
end

function exchange.plan(ctx, opts)
  if ctx.user.userType == "Guest" then return ctx:skip("a guest has no mailbox here") end
  for _, task in ipairs(opts) do
    local label, verb, params = table.unpack(TASKS[task])
    local own = {}
    for name, value in pairs(params) do own[name] = value end
    hand_off(ctx, task, label, verb, own)
  end
  for_person(ctx, opts, "grant_full_access", "Give %s full access to the mailbox", "Add-MailboxPermission",
    function(person) return { User = person.id, AccessRights = "FullAccess" } end)
  for_person(ctx, opts, "forward_to", "Forward new mail to %s", "Set-Mailbox",
    function(person) return { ForwardingAddress = person.id } end)
end

-- Graph shows what a mailbox is for (FACTS 2.9), and none of the rest.
function exchange.probe(g, op)
  if op.desired.hand_off.task ~= "convert-to-shared" then return "unknown" end
  local settings = g.get("/users/%s/mailboxSettings", op.target_id, { select = { "userPurpose" } })
  return settings and settings.userPurpose and (settings.userPurpose == "shared" and "yes" or "no") or "unknown"
end

return { exchange }
