-- lua/msgraph/sim/spec.lua
--- Testing a workflow in ten lines: a tenant, a client that may do everything, and plans as questions.
--
-- For busted or any other; the tenant ends with its variable: `local t <close> = spec.start {}`.
local actions = require "msgraph.offboard.actions"
local graph = require "msgraph"
local ob = require "msgraph.offboard"
local reads = require "msgraph.offboard.reads"
local sim = require "msgraph.sim"

local M = {}

-- ---- plans --------------------------------------------------------------------------------------

---@class msgraph.sim.spec.Plan: msgraph.offboard.Plan
local Plan = {}
Plan.__index = Plan

--- What is planned for a person; raises when he is not in the plan.
---@param who string principal name or object id
---@return table subject see docs/plan.md
function Plan:subject(who)
  for _, subject in ipairs(self.body.subjects) do
    if subject.id == who or subject.user_principal_name:lower() == who:lower() then return subject end
  end
  error(("%s is not in the plan"):format(who), 2)
end

local function labels(subject, wanted)
  local out = {}
  for _, op in ipairs(subject.ops) do
    if wanted(op) then out[#out + 1] = op.label end
  end
  return out
end

--- The labels of what would be sent for a person, in order.
---@param who string
---@param stage? string default: all stages
---@return string[]
function Plan:does(who, stage)
  return labels(self:subject(who), function(op)
    return not op.desired.hand_off and (not stage or op.stage == stage)
  end)
end

--- The labels of what is left to people.
---@param who string
---@return string[]
function Plan:hands_off(who)
  return labels(self:subject(who), function(op) return op.desired.hand_off ~= nil end)
end

--- Why something is not done for a person, by action; of several the last.
---@param who string
---@return table<string, string>
function Plan:leaves(who)
  local out = {}
  for _, note in ipairs(self:subject(who).notes) do out[note.action] = note.why end
  return out
end

--- Why nothing is done to a person; nil: he is not refused.
---@param who string
---@return string?
function Plan:refuses(who)
  return self:subject(who).refused
end

-- ---- tenants ------------------------------------------------------------------------------------

---@class msgraph.sim.spec.Tenant
---@field tenant msgraph.sim.Running
---@field client msgraph.Client
local Tenant = {}
Tenant.__index = Tenant

--- Application permissions for every action and everything they read.
---@return string[]
function M.permissions()
  local calls = { "GET /users" }
  for _, action in ipairs(actions.list) do table.move(action.calls, 1, #action.calls, #calls + 1, calls) end
  for name in pairs(reads.reads) do calls[#calls + 1] = reads.call(name) end
  local needs, scopes = actions.permissions(calls), { "User.ReadWrite.All" }
  return table.move(needs.application, 1, #needs.application, 2, scopes)
end

--- Starts a tenant.
---@param opts? msgraph.sim.StartOpts
---@return msgraph.sim.spec.Tenant
function M.start(opts)
  local tenant = assert(sim.start(opts))
  local token = tenant:token { scopes = M.permissions(), expires_in = 1e9 }
  local client = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
    auth = graph.auth.token(token) })
  return setmetatable({ tenant = tenant, client = client }, Tenant)
end

--- Plans a workflow; raises what is wrong with it, or with the list.
---@param workflow string|msgraph.offboard.Workflow a file, or what ob.workflow made
---@param people? string|string[]|msgraph.offboard.Source
---@param params? table<string, any>
---@return msgraph.sim.spec.Plan
function Tenant:plan(workflow, people, params)
  local wf, err = workflow, nil
  if type(workflow) == "string" then wf, err = ob.load(workflow) end
  local plan
  if wf then plan, err = ob.plan(wf, people, { client = self.client, params = params }) end
  if not plan then error(err.message, 2) end
  return setmetatable(plan, Plan)
end

function Tenant:__close()
  self.client:close()
  self.tenant:stop()
end

return M
