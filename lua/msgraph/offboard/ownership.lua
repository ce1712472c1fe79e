--- What somebody owns gets an owner who stays, and then loses him: groups, applications, service principals.
local M = {}

---@class msgraph.offboard.Owned
---@field list string     where its owners are listed, with %s
---@field thing fun(client: msgraph.Client, id: string): msgraph.Thing
---@type table<string, msgraph.offboard.Owned> by @odata.type
M.KINDS = {
  ["#microsoft.graph.group"] = { list = "/groups/%s/owners",
    thing = function(client, id) return client:group(id) end },
  ["#microsoft.graph.application"] = { list = "/applications/%s/owners",
    thing = function(client, id) return client:application(id) end },
  ["#microsoft.graph.servicePrincipal"] = { list = "/servicePrincipals/%s/owners",
    thing = function(client, id) return client:service_principal(id) end },
}

-- Owners who do not leave with the same plan, the user himself apart.
local function staying_owners(ctx, kind, object)
  local staying = 0
  for _, owner in ipairs(ctx:shared("owners/" .. object.id, kind.list, object.id, { select = { "id" } })) do
    if owner.id ~= ctx.user.id and not ctx.leaving[owner.id] then staying = staying + 1 end
  end
  return staying
end

local function remove_owner(ctx, kind, object, deps)
  local thing = kind.thing(ctx.client, object.id)
  ctx:op { key = "owner/" .. object.id, target = object.id, name = object.displayName, deps = deps,
    request = thing:request("remove_owner", ctx.user.id), inverse = thing:request("add_owner", ctx.user.id),
    label = ("Stop owning %s"):format(object.displayName) }
end

local function transfer(ctx, kind, object, successor)
  local thing = kind.thing(ctx.client, object.id)
  local added = ctx:op { key = "successor/" .. object.id, target = object.id, name = object.displayName,
    request = thing:request("add_owner", successor.id), inverse = thing:request("remove_owner", successor.id),
    label = ("Make %s the owner of %s"):format(successor.label, object.displayName) }
  remove_owner(ctx, kind, object, { added.key })
end

local UNKNOWN <const> = "nobody else owns it, and who should take it over is not known, or leaves as well"
local UNNAMED <const> = "nobody else owns it, and the workflow names no successor"

--- Plans that the user owns an object no longer; one that only leavers own gets its successor first.
---@param ctx msgraph.offboard.Context
---@param object table of ownedObjects
---@param to any an option: who owns it next; nil: a person has to say
function M.give_up(ctx, object, to)
  local kind = M.KINDS[object["@odata.type"]]
  local successor = to and ctx:who(to)
  if staying_owners(ctx, kind, object) > 0 then
    remove_owner(ctx, kind, object)
  elseif successor then
    transfer(ctx, kind, object, successor)
  else
    ctx:hand_off { key = object["@odata.type"]:match "%a+$" .. "/" .. object.id, target = object.id,
      name = object.displayName, system = "entra", task = "transfer-ownership", why = to and UNKNOWN or UNNAMED }
  end
end

local TYPE <const> = "#microsoft.graph."

-- By what was to be sent, or by the key of what was left to a person.
local function kind_of(op, word)
  for _, kind in pairs(M.KINDS) do
    if op.desired.path and op.desired.path:find(kind.list:match "^/%a+/", 1, true) == 1 then return kind end
  end
  return M.KINDS[TYPE .. word]
end

--- Whether an ownership has ended, or a successor has it.
---@return "yes"|"no"
function M.probe(g, op)
  local word = op.key:match "/(%a+)/[^/]+$"
  local adds = word == "successor"
  local wanted = adds and g.last_id(op.desired.body) or op.subject_id
  for _, owner in ipairs(g.list(kind_of(op, word).list, op.target_id, { select = { "id" } })) do
    if owner.id == wanted then return adds and "yes" or "no" end
  end
  return adds and "no" or "yes"
end

--- Whether that has been undone.
---@return "yes"|"no"
function M.back(g, op)
  op.desired = op.desired.undoes
  return M.probe(g, op) == "yes" and "no" or "yes"
end

return M
