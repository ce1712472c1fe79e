-- lua/msgraph/offboard/actions/auth_methods.lua
--- Ways to prove who one is: phones, keys, authenticators.
local PASSWORD <const> = "#microsoft.graph.passwordAuthenticationMethod"
local ALTERNATE_MOBILE <const> = "b6332ec1-7057-4abe-9331-3d72feddfe41" -- goes before the mobile phone (FACTS 2.8)
local PHONE <const> = "#microsoft.graph.phoneAuthenticationMethod"

-- Kinds with a collection to delete from (FACTS 2.8).
local KINDS = {}
for kind in ([[email fido2 microsoftAuthenticator phone platformCredential softwareOath temporaryAccessPass
  windowsHelloForBusiness]]):gmatch "%S+" do KINDS["#microsoft.graph." .. kind .. "AuthenticationMethod"] = kind end

local remove = {
  id = "auth_methods.remove_all", version = 1, effect = "converge", danger = "destructive", settle = 15,
  about = "removes every phone, key and authenticator; the default one last",
  reads = { "auth_methods" },
  calls = {},
  already = { not_found = true },
  hand_off = {
    default_method = "it is the user's default: change the default in the Entra admin center, then delete it",
  },
}
for _, kind in pairs(KINDS) do
  remove.calls[#remove.calls + 1] = ("DELETE /users/{id}/authentication/%sMethods/{method}"):format(kind)
end
table.sort(remove.calls)

-- Graph does not say which is the default, and keeps it while there are others: phones, most often the default, go
-- after everything else, the mobile after the alternate one.
local function rank(method)
  if method["@odata.type"] ~= PHONE then return 1 end
  return method.id == ALTERNATE_MOBILE and 2 or 3
end

function remove.plan(ctx)
  local methods, before = {}, {}
  for _, method in ipairs(ctx:read "auth_methods") do
    if method["@odata.type"] ~= PASSWORD then methods[#methods + 1] = method end
  end
  if #methods == 0 then return ctx:unchanged("there is none but the password") end
  table.sort(methods, function(a, b)
    if rank(a) ~= rank(b) then return rank(a) < rank(b) end
    return a.id < b.id
  end)
  for _, method in ipairs(methods) do
    local kind = KINDS[method["@odata.type"]]
    if kind then
      local op = ctx:op {
        target = method.id, name = kind, request = ctx.thing:request("delete_authentication_method", method),
        deps = rank(method) > 1 and table.move(before, 1, #before, 1, {}) or nil, label = "Remove " .. kind,
        no_inverse = "it has to be registered again",
      }
      before[#before + 1] = op.key
    else
      ctx:hand_off { target = method.id, name = method["@odata.type"], system = "entra", task = "remove-method",
        why = "Graph v1.0 has no way to delete a method of this kind" }
    end
  end
end

function remove.probe(g, op)
  local methods = g.list("/users/%s/authentication/methods", op.subject_id)
  for _, method in ipairs(methods) do
    if method.id == op.target_id then return "no" end
  end
  return "yes"
end

return { remove }
