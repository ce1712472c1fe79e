--- The end of an account.
local json = require "msgraph.json"
local powershell = require "msgraph.offboard.powershell"

local delete = {
  id = "account.delete", version = 1, effect = "converge", danger = "irreversible", settle = 15,
  about = "deletes an account that is disabled; for 30 days it can be restored. Alone in the last stage",
  calls = { "DELETE /users/{id}", "POST /directory/deletedItems/{id}/restore", "GET /directory/deletedItems/{id}" },
}

local SYNCED <const> = "the account comes from Active Directory, and goes when it is deleted there"

function delete.plan(ctx)
  local user = ctx.user
  if user.onPremisesSyncEnabled == true then
    local sid = user.onPremisesSecurityIdentifier
    return ctx:hand_off { target = user.id, name = user.userPrincipalName, system = "active-directory",
      task = "delete-account", why = SYNCED,
      powershell = sid and sid ~= json.null and powershell.command("Remove-ADUser",
        { Identity = sid, Confirm = false }) }
  elseif user.accountEnabled ~= false and not ctx:has_op("account.disable", user.id) then
    return ctx:skip("it is not disabled: only what was disabled before is deleted")
  end
  ctx:op { target = user.id, name = user.userPrincipalName, request = ctx.thing:request("delete"),
    inverse = ctx.client:deleted(user.id):request("restore"), label = "Delete the account",
    guard = { path = ctx.path .. "?$select=id,accountEnabled", expect = { accountEnabled = false } } }
end

function delete.probe(g, op)
  return g.get("/directory/deletedItems/%s", op.target_id, { select = { "id" } }) and "yes" or "no"
end

return { delete }
