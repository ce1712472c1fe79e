-- lua/msgraph/offboard/init.lua
--- Offboarding as a workflow: described in Lua, planned, shown, approved, and then applied.
--
-- The words of workflow files are msgraph.offboard.language's; docs/workflows.md is for their authors, docs/plan.md
-- says what a plan holds.
local language = require "msgraph.offboard.language"
local plans = require "msgraph.offboard.plan"
local sandbox = require "msgraph.offboard.sandbox"
local show = require "msgraph.offboard.show"

---@class msgraph.offboard
local M = {
  load = sandbox.load,
  plan = plans.plan,
  save_plan = plans.save,
  load_plan = plans.load,
  check_age = plans.check_age,
  approve = plans.approve,
  show = show.text,
}

for name, value in pairs(language) do M[name] = value end

return M
