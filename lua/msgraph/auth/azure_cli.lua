-- lua/msgraph/auth/azure_cli.lua
--- The sign-in of the Azure CLI on this machine, for people at their own terminal: `az account get-access-token`.
local core = require "msgraph.core"
local given = require "msgraph.auth.given"
local program = require "msgraph.auth.program"

local M = {}

local TIME <const> = 30 -- seconds az is given: it starts slowly

local function failed(message, code)
  return { kind = "auth", code = code or "azure_cli", message = message, phase = "not_sent" }
end

-- What az has to say, one line of it.
local function said(child)
  local line = child:stderr():match("ERROR: ([^\r\n]+)") or child:stderr():match("[^\r\n]+")
  return line and line:gsub("%c", " ") or "no reason given"
end

local function wait_for(child)
  local status, failure = program.wait(child, TIME)
  if failure then return failure.code == "timeout" and failed("az: " .. failure.message) or failure end
  return status ~= 0 and failed(("az ended with status %d: %s"):format(status, said(child))) or nil
end

---@param resource string "https://graph.microsoft.com"
---@param tenant_id? string
---@return msgraph.Opened
function M.open(resource, tenant_id)
  local command = { "az", "account", "get-access-token", "--output", "json", "--resource", resource }
  if tenant_id then table.move({ "--tenant", tenant_id }, 1, 2, #command + 1, command) end
  return given.open(function(credential)
    local child <close> = core.child(command)
    if not child then return failed("az, the Azure CLI, is not installed", "azure_cli_missing") end
    local failure = wait_for(child)
    if failure then return failure end
    local seconds, problem = credential:give_printed(child)
    return problem, seconds
  end)
end

return M
