-- lua/msgraph/offboard/actions/account.lua
--- The account itself: sign-in, password, sessions.
local json = require "msgraph.json"
local powershell = require "msgraph.offboard.powershell"

local function is_synced(user) return user.onPremisesSyncEnabled == true end

-- Active Directory is master of a synced account. Its own id of it is one account's in all domains; a name may not be.
local function hand_to_directory(ctx, task, verb, why)
  local sid = ctx.user.onPremisesSecurityIdentifier
  ctx:hand_off {
    target = ctx.user.id, name = ctx.user.userPrincipalName, system = "active-directory", task = task, why = why,
    powershell = sid and sid ~= json.null and powershell.command(verb, { Identity = sid }),
  }
end

local SYNCED <const> = "the account comes from Active Directory, which has the say on this"

local disable = {
  id = "account.disable", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "blocks sign-in; access tokens already issued live on for up to an hour",
  calls = { "PATCH /users/{id}" },
  hand_off = { synced_object = SYNCED },
}

function disable.plan(ctx)
  local user = ctx.user
  if user.accountEnabled == false then return ctx:unchanged("sign-in is blocked already") end
  if is_synced(user) then return hand_to_directory(ctx, "disable-account", "Disable-ADAccount", SYNCED) end
  ctx:op {
    target = user.id, name = user.userPrincipalName, request = ctx.thing:request("disable"),
    inverse = ctx.thing:request("enable"), sets = { accountEnabled = false }, label = "Block sign-in",
  }
end

function disable.probe(g, op)
  local user = g.get("/users/%s", op.target_id, { select = { "id", "accountEnabled" } })
  return user and user.accountEnabled == false and "yes" or "no"
end

local password = {
  id = "password.randomize", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "sets a random password that nobody is told; it is made when it is sent and kept nowhere",
  calls = { "PATCH /users/{id}" },
  hand_off = { synced_object = SYNCED },
}

-- Made where it runs, of 244 random bits, and shown nobody.
local RESET <const> = "Set-ADAccountPassword -Reset -NewPassword (ConvertTo-SecureString -AsPlainText -Force "
  .. "([guid]::NewGuid().ToString('B').ToUpper() + [guid]::NewGuid()))"

function password.plan(ctx)
  local user = ctx.user
  if user.userType == "Guest" then return ctx:skip("a guest's password is kept at home") end
  if is_synced(user) then return hand_to_directory(ctx, "reset-password", RESET, SYNCED) end
  ctx:op {
    target = user.id, name = user.userPrincipalName, label = "Set a random password (not disclosed)",
    request = { method = "PATCH", path = ctx.path,
      body = { passwordProfile = { forceChangePasswordNextSignIn = false } } },
    secret = { at = { "passwordProfile", "password" }, kind = "password", length = 32 },
    no_inverse = "the old password is not known; whoever comes back gets a new one",
  }
end

function password.probe(g, op, since)
  local user = g.get("/users/%s", op.target_id, { select = { "id", "lastPasswordChangeDateTime" } })
  return g.is_since(user and user.lastPasswordChangeDateTime, since)
end

local revoke = {
  id = "sessions.revoke", version = 1, effect = "converge", danger = "disruptive", settle = 15,
  about = "ends refresh tokens and browser sessions, within minutes",
  calls = { "POST /users/{id}/revokeSignInSessions" },
}

function revoke.plan(ctx)
  if ctx.user.userType == "Guest" then ctx:note("a guest's sessions at home are out of reach") end
  ctx:op {
    target = ctx.user.id, name = ctx.user.userPrincipalName, request = ctx.thing:request("revoke_sessions"),
    label = "End all sessions", nothing_to_undo = "whoever comes back signs in again",
  }
end

function revoke.probe(g, op, since)
  local user = g.get("/users/%s", op.target_id, { select = { "id", "signInSessionsValidFromDateTime" } })
  return g.is_since(user and user.signInSessionsValidFromDateTime, since)
end

return { disable, password, revoke }
