-- lua/msgraph/cli/request.lua
--- `msgraph request`: any request to Graph, its answer as JSON on stdout.
local batch = require "msgraph.cli.batch"
local connection = require "msgraph.cli.connection"
local core = require "msgraph.core"
local errors = require "msgraph.cli.errors"
local json = require "msgraph.json"
local membership = require "msgraph.membership"
local msgraph_errors = require "msgraph.errors"
local pretty = require "msgraph.cli.pretty"
local prompt = require "msgraph.cli.prompt"
local query = require "msgraph.query"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "request",
  summary = "Send any request to Graph and print the answer.",
  exits = { "done", "failed", "human", "auth", "usage", "internal", "stopped", "interrupted" },
}

M.EXAMPLES = [[
Examples:
  msgraph request GET /users/ada@contoso.com/managedDevices --select deviceName,managementState
  msgraph request GET /users --all --top 999 --filter "accountEnabled eq false" --select id > disabled.json
  msgraph request PATCH /users/ada@contoso.com --body '{"accountEnabled":false}'

Permissions depend on the request: User.Read.All to read users, DeviceManagementManagedDevices.Read.All
to read devices. A refusal names the one that is missing, where Graph tells.
]] .. "\n" .. connection.HELP

M.DESCRIPTION = [[
Sends one request with the token in MSGRAPH_ACCESS_TOKEN. What is not GET or HEAD changes something: it
asks first on a terminal, and needs --yes elsewhere.]]

local METHODS = { GET = "read", HEAD = "read", POST = "write", PUT = "write", PATCH = "write", DELETE = "write" }

local function whole(text)
  local number = math.tointeger(tonumber(text))
  if number then return number end
  return nil, ("--top %s: give a whole number"):format(terminal.clean(text))
end

function M.describe(command)
  command:argument "method":argname "<method>":description "GET, HEAD, POST, PUT, PATCH or DELETE."
  command:argument "path":argname "<path>"
    :description "/users (of v1.0), /beta/users, or a full URL of the same Graph."
  command:option "--select":argname "<names>":description "Properties wanted, as id,displayName."
  command:option "--filter":argname "<text>":description "Only these, as \"accountEnabled eq false\"."
  command:option "--search":argname "<text>":description "Only these, as displayName:ada."
  command:option "--orderby":argname "<names>":description "Sorted, as \"displayName desc\"."
  command:option "--expand":argname "<names>":description "Related objects wanted."
  command:option "--top":argname "<n>":convert(whole):description "Items of a page."
  command:flag "--count":description "Ask for the number of all as well."
  command:option "--query":argname "<name=value>":count "*"
    :description "Anything else for the query, encoded. Quote it: a shell takes $skip for a variable."
  command:option "--header":argname "<name:value>":count "*":description "A further header."
  command:option "--body":argname "<json>":description "JSON to send; @file reads a file, - standard input."
  command:flag "--all":description "Follow every nextLink; prints all items as one array."
  command:flag "--yes":description "Do not ask."
  connection.describe(command)
end

-- ---- arguments ----------------------------------------------------------------------------------

local OPTIONS = { "select", "filter", "search", "orderby", "expand", "top", "count" }

-- The query as the library takes it.
local function query_of(args)
  local opts = { query = {} }
  for _, name in ipairs(OPTIONS) do opts[name] = args[name] end
  for _, given in ipairs(args.query) do
    local name, value = given:match("^([^=]*)=(.*)$")
    if not name then return nil, ("--query %s: write name=value"):format(given) end
    if name == "" then
      return nil, ("--query %s: the name is missing; put it in single quotes, the shell took $name away"):format(given)
    end
    if opts.query[name] then return nil, ("--query %s stands there twice"):format(name) end
    opts.query[name] = value
  end
  return opts
end

local function check_path(method, path)
  if not path:find("^/") and not path:find("^%a[%w+.-]*://") then
    return ("the path must begin with /, as in /%s"):format(path)
  elseif path:find("#", 1, true) then
    return "a # ends a path: write it as %23"
  elseif path:find("[%c ]") then
    return "a path holds no spaces: write them as %20"
  elseif membership.mistake(method, path) then
    return "without /$ref at its end this deletes the object itself, not the membership: add /$ref, or delete the "
      .. "object by its own path"
  end
end

-- A value may be a secret, so no message shows one.
local function headers_of(given)
  local headers = {}
  for i, line in ipairs(given) do
    local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if not name then return nil, ("--header number %d: write name:value"):format(i) end
    if name:lower() == "authorization" then
      return nil, "--header Authorization: the token comes from MSGRAPH_ACCESS_TOKEN alone, as `ps` shows options"
    end
    headers[name] = value
  end
  return headers
end

local function read_body(given)
  if not given then return nil end
  local name = given == "-" and "-" or given:match("^@(.+)$")
  if not name then return given end
  local file, reason = io.stdin, nil
  if name ~= "-" then file, reason = io.open(name, "rb") end
  if not file then return nil, "--body: " .. reason end
  local text = file:read("a")
  if name ~= "-" then file:close() end
  if not text then return nil, ("--body: %s cannot be read"):format(name) end
  return text
end

-- Text that is said to be JSON is looked at before it is sent, and sent as it was written.
local function body_of(given, headers)
  local text, reason = read_body(given)
  if not text then return nil, reason end
  if query.has_header(headers, "content-type") then return text end
  headers["Content-Type"] = "application/json"
  local value
  value, reason = json.decode(text)
  if value == nil then return nil, "--body is not JSON: " .. reason end
  return text
end

-- The core's request, or nil and what is wrong with the arguments.
local function request_of(args)
  local method = args.method:upper()
  if not METHODS[method] then
    return nil, ("no method %s; there are GET, HEAD, POST, PUT, PATCH and DELETE"):format(terminal.clean(args.method))
  end
  if args.all and method ~= "GET" then return nil, "--all reads page after page: it goes with GET only" end
  local reason = check_path(method, args.path)
  if reason then return nil, reason end
  local opts, headers, body
  opts, reason = query_of(args)
  if not opts then return nil, reason end
  headers, reason = headers_of(args.header)
  if not headers then return nil, reason end
  body, reason = body_of(args.body, headers)
  if reason then return nil, reason end
  opts.headers = headers
  local ok, target, all_headers = pcall(query.target, method, args.path, opts)
  if not ok then return nil, (target:gsub("option '(%l+)'", "--%1")) end
  return { method = method, target = target, headers = all_headers, body = body }
end

-- ---- sending ------------------------------------------------------------------------------------

-- The raw answer and its decoded body.
local function exchange(client, request)
  local raw, err = client:exchange(request)
  if not raw then return nil, err end
  local body
  body, err = client.read(raw, request)
  if body == nil then return nil, err end
  return raw, body
end

local function print_answer(raw, body, request)
  if body == true then
    terminal.note(("%s: HTTP %d, no content%s"):format(request.method, raw.status,
      raw.request_id and ", request-id " .. raw.request_id or ""))
  elseif type(body) == "table" or (core.header(raw.headers, "Content-Type") or ""):lower():find("json", 1, true) then
    terminal.out(pretty.format(raw.body) .. "\n")
  else
    terminal.out(raw.body)
  end
end

local function fail(err)
  return errors.outcome(err), errors.text(err)
end

local function send_one(client, request)
  local raw, body = exchange(client, request)
  if not raw then return fail(body) end
  print_answer(raw, body, request)
  return "done"
end

-- Pages come as values here: what is no Error (an interrupt) goes on up.
local function next_page(pages)
  local ok, page = pcall(pages)
  if ok then return page end
  if not msgraph_errors.Error.is(page) then error(page, 0) end
  return nil, page
end

local function print_items(items, count)
  local parts = {}
  for i, item in ipairs(items) do parts[i] = (count + i == 1 and "[\n  " or ",\n  ") .. item end
  if #parts > 0 then terminal.out(table.concat(parts)) end
end

-- Items are printed page by page. When a page fails the array stays open: no program takes a list
-- that is cut for a whole one.
local function send_all(client, request)
  local count, pages = 0, client:pages(request.target, { headers = request.headers })
  local page, err = next_page(pages)
  while page do
    print_items(pretty.items(page.raw.body, "value"), count)
    count = page.count
    if page.checkpoint.link then terminal.status(("%d items"):format(count)) end
    page, err = next_page(pages)
  end
  if err and err.code == "not_a_list" and count == 0 then
    return "usage", "the answer is no list, so there is nothing to follow: leave --all out"
  end
  if err then
    local outcome = errors.outcome(err)
    return count > 0 and outcome == "usage" and "failed" or outcome, errors.text(err) -- a link is not typed by anybody
  end
  terminal.out(count == 0 and "[]\n" or "\n]\n")
  return "done"
end

function M.run(args)
  local request, problem = request_of(args)
  if not request then return "usage", problem end
  local client <close>, outcome, message = connection.open(args)
  if not client then return outcome, message end
  if METHODS[request.method] == "write" then
    local what = ("send %s %s to %s"):format(request.method, args.path, client.endpoint)
    local go, refusal = prompt.agreed(args.yes, what, what .. "?")
    if refusal then return "usage", refusal end
    if not go then return "stopped", "nothing was sent" end
  end
  if args.all then return send_all(client, request) end
  local ok, first, second = pcall(send_one, client, request)
  if ok then return first, second end
  if METHODS[request.method] == "read" or not batch.is_interrupt(first) then error(first, 0) end
  terminal.leave_line()
  return "interrupted", "interrupted: it may have been acted on, look before you repeat it"
end

return M
