-- lua/msgraph/cli/connection.lua
--- Options that say which Graph to talk to, and the client made of them.
--
-- There is none for tokens and secrets: what stands on a command line, everybody on the machine can read.
local graph = require "msgraph"
local capture = require "msgraph.trace.capture"
local errors = require "msgraph.cli.errors"
local profile = require "msgraph.auth.profile"

local M = {}

--- For the end of a help text.
M.HELP = [[
Environment:
  MSGRAPH_PROFILE        which sign-in of `msgraph login`, instead of "default"
  MSGRAPH_ACCESS_TOKEN   the token. There is no option for it: `ps` shows options to everybody
  AZURE_TENANT_ID, AZURE_CLIENT_ID, and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH or
  AZURE_FEDERATED_TOKEN_FILE   instead of a token: the app that signs in
  MSGRAPH_ENDPOINT, MSGRAPH_CA_FILE, MSGRAPH_CLOUD   as the options, which win]]

local function capture_name(text)
  if capture.format_of(text) then return text end
  return nil, ("--trace %s: name a file that ends in .har or .jsonl"):format(text)
end

--- What argparse calls a converter: nil and a message for what will not do.
function M.profile_name(text)
  local name, failure = profile.name(text)
  return name, failure and failure.message
end

--- Adds the option that names a sign-in.
function M.describe_profile(command, description)
  command:option "--profile":argname "<name>":convert(M.profile_name):description(description)
end

--- Adds the options that say which cloud.
function M.describe_cloud(command)
  command:option "--ca-file":argname "<file>":description "Authorities to trust (PEM) instead of the system's."
  command:option "--cloud":argname "<name>":choices { "global", "usgov", "dod", "china", "bleu", "delos" }
    :description "National cloud: global, usgov, dod, china, bleu, delos."
end

--- Adds the options to a command.
function M.describe(command)
  command:option "--endpoint":argname "<url>":description "Graph's address, https://host[:port]."
  M.describe_cloud(command)
  M.describe_profile(command, "Who signed in with `msgraph login --profile`, whatever the environment says.")
  command:option "--trace":argname "<file>":convert(capture_name)
    :description "Write requests and answers to name.har or name.jsonl, without tokens."
end

--- The options as typed, for a command to type next.
---@return string[] words
function M.words(args)
  local words = {}
  for _, name in ipairs { "endpoint", "ca_file", "cloud", "profile" } do
    if args[name] then
      words[#words + 1] = "--" .. name:gsub("_", "-")
      words[#words + 1] = args[name]
    end
  end
  return words
end

-- One source a line: what was looked at, and why it gave nothing.
local function sources(message)
  return (message:gsub(" %((.*)%)$", function(list) return ":\n  " .. list:gsub("; ", "\n  ") end))
end

local function no_token(err)
  return ("%s\n`msgraph login` signs you in; a service sets AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET,"
    .. " or MSGRAPH_ACCESS_TOKEN (no option takes them, as `ps` would show it)"):format(sources(err.message))
end

-- The throttle gate is shared with whatever else this user runs at the same time (docs/throttling.md). Where the
-- folder for that is not ours, as after su, each has its own.
local function connect(opts)
  local folder = os.getenv "XDG_RUNTIME_DIR" or ""
  if folder ~= "" and not os.getenv "MSGRAPH_SHARED_GATE" then
    opts.shared_gate = folder .. "/msgraph-gate"
    local client, err = graph.connect(opts)
    if client or err.code ~= "bad_option" then return client, err end
    opts.shared_gate = nil
  end
  return graph.connect(opts)
end

--- Connects and signs in: what is wrong with that is said once, before any work begins.
---@return msgraph.Client?
---@return string? outcome
---@return string? message
function M.open(args)
  local client, err = connect { endpoint = args.endpoint, ca_file = args.ca_file, cloud = args.cloud,
    auth = args.profile and graph.auth.stored { profile = args.profile } or nil, capture = args.trace }
  local ok = client
  if client then ok, err = client:sign_in() end
  if ok then return client end
  if client then client:close() end
  return nil, errors.outcome(err), err.code == "no_token" and no_token(err) or errors.text(err)
end

return M
