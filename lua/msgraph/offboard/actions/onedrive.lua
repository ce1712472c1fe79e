--- The OneDrive: who stays gets at what he left there.
local NOBODY <const> = "the person is not known, or leaves as well"

local grant = {
  id = "onedrive.grant", version = 1, effect = "converge", danger = "disruptive", settle = 30,
  about = "lets somebody into the whole OneDrive; no mail tells him",
  reads = { "drive" },
  calls = { "POST /drives/{id}/items/{id}/invite", "GET /drives/{id}/items/{id}/permissions",
    "DELETE /drives/{id}/items/{id}/permissions/{id}" },
  options = {
    to = { type = "user", required = true, about = "who gets in" },
    role = { type = "enum", values = { "read", "write" }, default = "write",
      about = "\"read\" or \"write\"; default write" },
  },
}

local RANK = { read = 1, write = 2, owner = 3 }

-- What somebody may do, by a permission of his own: its record, and the rank of its best role.
local function own_permission(list, who)
  for _, permission in ipairs(list) do
    local to = type(permission.grantedToV2) == "table" and permission.grantedToV2.user
    if to and to.id == who and not permission.inheritedFrom then
      local rank = 0
      for _, role in ipairs(permission.roles or {}) do rank = math.max(rank, RANK[role] or 0) end
      return permission, rank
    end
  end
  return nil, 0
end

local LIST <const> = "/drives/%s/items/root/permissions"

function grant.plan(ctx, opts)
  local drive, person = ctx:read "drive", ctx:who(opts.to)
  if not drive then return ctx:skip("there is no OneDrive: none was ever set up") end
  if not person then return ctx:skip(NOBODY) end
  local has, rank = own_permission(ctx.reader.list(LIST, drive.id), person.id)
  if rank >= RANK[opts.role] then return ctx:unchanged(("%s gets in already"):format(person.label), drive.id) end
  ctx:op { key = drive.id .. "/" .. person.id, target = drive.id, name = ctx.user.userPrincipalName,
    request = ctx.client:drive(drive.id):request("invite", "root", { roles = { opts.role }, requireSignIn = true,
      sendInvitation = false, recipients = { { email = person.mail or person.userPrincipalName } } }),
    no_inverse = has and "what he could do there before is not put back: take it back by hand" or nil,
    label = ("Let %s into the OneDrive (%s)"):format(person.label, opts.role) }
end

local function permission_of(g, op)
  return own_permission(g.list(LIST, op.target_id), op.key:match "[^/]*$")
end

function grant.probe(g, op)
  local _, rank = permission_of(g, op)
  return rank >= (op.desired.body:find('"write"', 1, true) and RANK.write or RANK.read) and "yes" or "no"
end

-- The permission has an id once it is there.
function grant.undo(g, op)
  local permission = permission_of(g, op)
  return permission and { method = "DELETE", path = g.path(LIST .. "/%s", op.target_id, permission.id) }
end

return { grant }
