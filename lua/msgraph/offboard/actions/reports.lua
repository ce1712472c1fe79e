--- Those whom he manages get another manager.
local params = require "msgraph.offboard.params"
local powershell = require "msgraph.offboard.powershell"

local reassign = {
  id = "reports.reassign", version = 1, effect = "converge", danger = "safe", settle = 15,
  about = "gives everybody whom he manages to another manager",
  reads = { "direct_reports" },
  calls = { "PUT /users/{id}/manager/$ref", "GET /users/{id}/manager" },
  options = {
    to = { type = "user", default = params.MANAGER, about = "who manages them next; default: his own manager" },
  },
  hand_off = { synced_object = "the account comes from Active Directory, which knows who manages it" },
}

local NOBODY <const> = "who should manage them is not known, or leaves as well"
local HIMSELF <const> = "nobody manages himself: who manages him has to be said"

local function by_hand(ctx, report, why, system, command)
  ctx:hand_off { target = report.id, name = report.displayName, system = system or "entra", task = "set-manager",
    why = why, powershell = command }
end

-- The command for Active Directory; nil: one of them is not known there.
local function command_of(report, manager)
  local sid, next_sid = report.onPremisesSecurityIdentifier, manager.onPremisesSecurityIdentifier
  return sid and next_sid and powershell.command("Set-ADUser", { Identity = sid, Manager = next_sid }) or nil
end

local function reassign_one(ctx, report, manager)
  if not manager then return by_hand(ctx, report, NOBODY) end
  if manager.id == report.id then return by_hand(ctx, report, HIMSELF) end
  if report.onPremisesSyncEnabled == true then
    return by_hand(ctx, report, reassign.hand_off.synced_object, "active-directory", command_of(report, manager))
  end
  local thing = ctx.client:user(report.id)
  ctx:op { target = report.id, name = report.displayName, request = thing:request("set_manager", manager.id),
    inverse = thing:request("set_manager", ctx.user.id),
    label = ("Make %s the manager of %s"):format(manager.label, report.displayName) }
end

function reassign.plan(ctx, opts)
  local reports, manager = ctx:read "direct_reports", ctx:who(opts.to)
  if #reports == 0 then return ctx:unchanged("manages nobody") end
  for _, report in ipairs(reports) do
    if ctx.leaving[report.id] then
      ctx:skip(("%s leaves as well"):format(report.displayName), report.id)
    else
      reassign_one(ctx, report, manager)
    end
  end
end

function reassign.probe(g, op)
  local manager = g.get("/users/%s/manager", op.target_id, { select = { "id" } })
  if op.desired.hand_off then return manager and manager.id == op.subject_id and "no" or "yes" end
  return manager and manager.id == g.last_id(op.desired.body) and "yes" or "no"
end

return { reassign }
