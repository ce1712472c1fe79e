-- lua/msgraph/cli/permissions.lua
--- `msgraph permissions`: which permission a request needs. Asks nobody: nothing is sent.
local permissions = require "msgraph.permissions"
local tables = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "permissions",
  summary = "Show which permission a request needs.",
  exits = { "done", "failed", "usage", "internal" },
}

M.DESCRIPTION = [[
Shows the least privileged permission of a request, all others that would do, and the command that adds it to an
app registration. From an index that is part of msgraph: no token is needed and nothing is sent.]]

M.EXAMPLES = [[
Examples:
  msgraph permissions POST /users/ada@contoso.com/removeAllDevicesFromManagement
  msgraph permissions PATCH '/devices/{id}']]

function M.describe(command)
  command:argument "method":argname "<method>":description "GET, POST, PUT, PATCH or DELETE."
  command:argument "path":argname "<path>":description "/users/{id}, or any path or URL as it would be sent."
end

local KINDS = { "delegated", "application" }

-- One row for the least, and one for each other that would do.
local function rows_of(needs, kind)
  local rows = {}
  for i, name in ipairs(needs.all[kind]) do rows[i] = { i == 1 and kind or "", name } end
  return #rows > 0 and rows or { { kind, "none: it cannot be done with such a token" } }
end

local MARK = { delegated = "Scope", application = "Role" }

-- The Azure CLI's command for the least of a kind; nil where it has no id.
local function grant(needs, kind)
  local ids = needs.least[kind] and permissions.ids(needs.least[kind])
  if not ids or not ids[kind] then return nil end
  return ("  az ad app permission add --id APP_ID --api %s --api-permissions %s=%s\n")
    :format(ids.resource, ids[kind], MARK[kind])
end

function M.run(args)
  local needs = permissions.find(args.method, args.path)
  if not needs then
    return "failed", ("%s %s is not in the index, which holds the requests of offboarding: see Microsoft's page of it")
      :format(terminal.clean(args.method:upper()), terminal.clean(args.path))
  end
  terminal.out(("%s %s\n"):format(needs.method, needs.path))
  local grants = {}
  for _, kind in ipairs(KINDS) do
    terminal.out(tables.format(rows_of(needs, kind), "  "))
    grants[#grants + 1] = grant(needs, kind)
  end
  if needs.note then terminal.out(needs.note .. "\n") end
  if grants[1] then
    terminal.out("The first of each kind suffices. To add it, then have an administrator consent:\n")
    terminal.out(table.concat(grants))
    terminal.out "  az ad app permission admin-consent --id APP_ID\n"
  end
  return "done"
end

return M
