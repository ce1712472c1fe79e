-- lua/msgraph/sim/licenses.lua - who has which licence, directly or through a group.
local groups = require "msgraph.sim.groups"
local stores = require "msgraph.sim.store"

local M = {}

-- Enterprise Mobility + Security E3, which holds Intune, and Office 365 E3, which does not
-- (Microsoft's published product names).
M.WITH_INTUNE = "efccb6f7-5641-4e0e-bd10-b4976e1bf68e"
M.WITHOUT = "6fd2c87f-b296-42f0-b197-1e91e994b900"

--- The licences a user has of his own.
---@return string[] skuIds
function M.direct(user)
  if user.skus then return user.skus end
  if user.guest then return {} end
  return { user.licensed and M.WITH_INTUNE or M.WITHOUT }
end

--- Every licence of a user, and the group it comes with.
---@return { skuId: string, group?: string }[]
function M.all(user)
  local out, store = {}, stores.of[user]
  for i, sku in ipairs(M.direct(user)) do out[i] = { skuId = sku } end
  local group = groups.licensing(store.seed)
  if groups.is_member(store, group, user) then out[#out + 1] = { skuId = M.WITHOUT, group = group.id } end
  return out
end

return M
