-- lua/msgraph/cli/whoami.lua
--- `msgraph whoami`: as whom commands and scripts sign in here.
local config = require "msgraph.config"
local connection = require "msgraph.cli.connection"
local errors = require "msgraph.cli.errors"
local json = require "msgraph.json"
local pretty = require "msgraph.cli.pretty"
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "whoami",
  summary = "Show who is signed in, and how.",
  exits = { "done", "failed", "auth", "usage", "internal", "interrupted" },
}

M.DESCRIPTION = [[
Signs in as every command does, and shows as whom: the account, its tenant and permissions, how long the token is good,
where it comes from. Sends nothing to Graph.]]

M.EXAMPLES = [[
Examples:
  msgraph whoami
  msgraph whoami --profile test --json
]] .. "\n" .. connection.HELP

function M.describe(command)
  command:flag "--json":description "One JSON object."
  connection.describe(command)
end

local function duration(seconds)
  if seconds < 90 then return ("%d s"):format(seconds) end
  return ("%d min"):format(seconds // 60)
end

local function list(items)
  return items and (#items > 0 and table.concat(items, ", ") or "none") or "not to be read from the token"
end

local function with_id(name, id)
  return name and id and ("%s (%s)"):format(name, id) or name or id
end

-- "environment: client secret", "stored sign-in", "managed identity".
local function source_of(who)
  local kind = who.kind and who.kind:gsub("_", " ")
  if who.kind == "stored" then kind = "stored sign-in" end
  return who.source == "environment" and "environment: " .. kind or who.source or kind
end

local function rows_of(who, endpoint, cloud)
  local rows = {}
  local function add(label, text)
    if text then rows[#rows + 1] = { label, terminal.clean(text) } end
  end
  add("account", with_id(who.username or who.name, who.object_id) or "not to be read from the token")
  add("tenant", who.tenant_id)
  add("app", with_id(who.app_name, who.app_id))
  add("cloud", cloud and ("%s (%s)"):format(cloud, endpoint) or endpoint)
  add("scopes", list(who.scopes))
  add("roles", list(who.roles))
  add("expires", who.expires_in and "in " .. duration(who.expires_in) .. (who.kind == "token" and ""
    or ", then renewed"))
  add("source", source_of(who))
  add("profile", who.profile)
  add("kept in", who.path and ("%s (its key: %s)"):format(who.path, who.key) or "memory only")
  return rows
end

local function as_json(who, endpoint, cloud)
  local copy = {}
  for name, value in pairs(who) do copy[name] = value end
  copy.scopes, copy.roles = who.scopes and json.array(who.scopes), who.roles and json.array(who.roles)
  copy.expires_in = who.expires_in and math.floor(who.expires_in)
  copy.endpoint, copy.cloud = endpoint, cloud
  return pretty.format(json.encode(copy)) .. "\n"
end

function M.run(args)
  local client <close>, outcome, message = connection.open(args)
  if not client then return outcome, message end
  local who, err = client:whoami()
  if not who then return errors.outcome(err), errors.text(err) end
  local cloud = config.cloud_of(client.endpoint)
  terminal.out((args.json and as_json or function(...) return table_of.format(rows_of(...)) end)(who, client.endpoint,
    cloud))
  return "done"
end

return M
