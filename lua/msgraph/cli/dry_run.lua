-- lua/msgraph/cli/dry_run.lua
--- What remove-all-devices would send, and the devices that would be hit. Sends GET only.
local batch = require "msgraph.cli.batch"
local errors = require "msgraph.cli.errors"
local json = require "msgraph.json"
local pretty = require "msgraph.cli.pretty"
local table_of = require "msgraph.cli.table"
local terminal = require "msgraph.cli.terminal"

local M = {}

local FIELDS <const> = "/managedDevices?$select=id,deviceName,operatingSystem,managedDeviceOwnerType,managementState"

local function text(value)
  return type(value) == "string" and value or nil
end

local function list(client, path)
  local devices, err = client:list(path .. FIELDS)
  if not devices then return nil, err end
  local found = json.array {}
  for i, device in ipairs(devices) do
    found[i] = { id = device.id, name = text(device.deviceName), platform = text(device.operatingSystem),
      ownership = text(device.managedDeviceOwnerType), state = text(device.managementState) }
  end
  return found
end

local function url_of(run, item)
  return run.client.endpoint .. item.path .. "/removeAllDevicesFromManagement"
end

local function device_lines(item)
  if item.err then
    return ("  devices not shown: %s\n    %s\n"):format(errors.brief(item.err), item.err.hint or "")
  end
  if #item.devices == 0 then return "  no devices in management\n" end
  local rows = { { "DEVICE", "PLATFORM", "OWNERSHIP", "STATE" } }
  for i, device in ipairs(item.devices) do
    rows[i + 1] = { terminal.clean(device.name or device.id), terminal.clean(device.platform or ""),
      terminal.clean(device.ownership or ""), terminal.clean(device.state or "") }
  end
  return table_of.format(rows, "  ")
end

local function lines(run, item)
  return terminal.scrub(("%s\n  POST %s\n%s"):format(terminal.clean(item.user), url_of(run, item), device_lines(item)))
end

local function json_line(run, item)
  local err = item.err
  return pretty.line(json.encode {
    type = "user", user = item.user, state = "dry_run", request = { method = "POST", url = url_of(run, item) },
    devices = item.devices,
    error = err and { kind = err.kind, code = err.code, message = terminal.scrub(err.message), status = err.status,
      request_id = err.request_id },
  }) .. "\n"
end

-- Users are shown in the order they were given, each as soon as those before it are known.
local function show_known(run)
  local item = run.items[run.shown + 1]
  while item and item.known do
    terminal.out(run.args.json and json_line(run, item) or lines(run, item))
    run.shown = run.shown + 1
    item = run.items[run.shown + 1]
  end
  if item then terminal.status(("%d of %d users"):format(run.shown, #run.items)) end
end

local function look(run, item)
  local err
  item.devices, err = list(run.client, item.path)
  item.known, item.err = true, err
  if err and err.kind == "auth" then run.refused, run.batch.stopped = err, true end
  show_known(run)
end

-- Not being allowed to read devices is no failure of a dry run; not finding the user is.
local function count(run)
  local found, failed = 0, 0
  for _, item in ipairs(run.items) do
    found = found + #(item.devices or {})
    if item.err and item.err.reason ~= "scope_missing" then failed = failed + 1 end
  end
  return found, failed
end

local function sum_up(run)
  local found, failed = count(run)
  if run.args.json then
    local summary = { type = "summary", dry_run = true, users = #run.items, devices = found, failed = failed }
    terminal.out(pretty.line(json.encode(summary)) .. "\n")
  else
    terminal.out(("dry run: %d user%s, %d device%s found; nothing was changed\n"):format(#run.items,
      #run.items == 1 and "" or "s", found, found == 1 and "" or "s"))
  end
  return failed > 0 and "failed" or "done"
end

--- Shows what would be sent for each of the users.
---@param run table { args, items, client }
---@return string outcome
---@return string? message
function M.run(run)
  run.shown = 0
  run.batch = batch.new(run.items, run.args.concurrency, function(item) look(run, item) end)
  local complete = batch.run(run.batch, function() return false end, terminal.leave_line)
  if not complete then return "interrupted", "interrupted: nothing was changed" end
  if run.refused then return "auth", errors.text(run.refused) end
  return sum_up(run)
end

return M
