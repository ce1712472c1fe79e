-- lua/msgraph/cli/login.lua
--- `msgraph login`: a user signs in once, for all commands and scripts that follow.
local auth = require "msgraph.auth"
local browser = require "msgraph.browser"
local config = require "msgraph.config"
local connection = require "msgraph.cli.connection"
local errors = require "msgraph.cli.errors"
local graph_errors = require "msgraph.errors"
local profiles = require "msgraph.auth.profile"
local shell = require "msgraph.cli.shell"
local terminal = require "msgraph.cli.terminal"

local M = {
  name = "login",
  summary = "Sign in as a user, and stay signed in.",
  exits = { "done", "failed", "auth", "usage", "internal", "interrupted" },
}

M.DESCRIPTION = [[
Signs a user in, in a browser on this machine, or with a code for any other where there is none here. Commands and
scripts of this user then go on without asking. What is kept is encrypted; `msgraph logout` forgets it.

A profile that was signed in before keeps its app, tenant and cloud unless options say otherwise.]]

M.EXAMPLES = [[
Examples:
  msgraph login --tenant contoso.com --client-id 11111111-2222-3333-4444-555555555555
  msgraph login                                # again, as before
  msgraph login --profile test --tenant test.onmicrosoft.com

The app registration has to allow public client flows and, for a browser, have the redirect URI http://localhost
under mobile and desktop applications.

Environment:
  AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_AUTHORITY_HOST, MSGRAPH_CLOUD, MSGRAPH_CA_FILE, MSGRAPH_PROFILE
                          where no option says it
  MSGRAPH_STORE           the folder of profiles, instead of ~/.local/state/msgraph
  MSGRAPH_STORE_KEY, MSGRAPH_STORE_KEY_FD   the key they are encrypted with: see docs/store.md
  BROWSER                 the browser to open]]

function M.describe(command)
  connection.describe_profile(command, "Which sign-in; default MSGRAPH_PROFILE, or \"default\".")
  command:option "--tenant":argname "<id>":description "The tenant's id or domain; default: any work account's."
  command:option "--client-id":argname "<id>":description "Of the app registration."
  command:mutex(
    command:flag "--browser":description "In a browser on this machine; the default where there is one.",
    command:flag "--device-code":description "With a code that is entered on any device.")
  command:option "--authority":argname "<url>":description "The sign-in host, https://host, instead of the cloud's."
  connection.describe_cloud(command)
  command:flag "--plaintext":description "Do not encrypt what is kept."
end

-- ---- with what --------------------------------------------------------------------------------------

local function is_set(name)
  return (os.getenv(name) or "") ~= ""
end

-- The profile's store, ready to be written. One that is kept otherwise than now asked for begins anew.
local function open_profile(args)
  local name, failure = profiles.name(args.profile)
  if not name then return nil, failure end
  local profile
  profile, failure = profiles.open(name, args.plaintext and "none" or profiles.key_to_write(), true)
  if not profile then return nil, failure end
  if profiles.is_kept_so(profile) then return profile end
  local ok
  ok, failure = profile.store:sign_out()
  return ok and profile, failure
end

-- What no option says is as it was, then as the environment has it.
local function complete(identity, before, args)
  identity.client_id = args.client_id or before.client_id or identity.client_id
  if args.authority or args.cloud or not before.authority then return identity end
  identity.authority, identity.scope = before.authority, before.scope:match "^%S*"
  identity.tenant_id = args.tenant or before.tenant_id or identity.tenant_id
  return identity
end

local function find_identity(profile, args)
  local settings, err = config.resolve { auth = auth.token "none", tenant_id = args.tenant, client_id = args.client_id,
    authority = args.authority, cloud = args.cloud, ca_file = args.ca_file }
  if not settings then return nil, err end
  local before, failure = profiles.read(profile)
  if not before then return nil, graph_errors.from_failure(failure) end
  return complete(settings.identity, before, args)
end

-- ---- the sign-in ------------------------------------------------------------------------------------

local PROMPTS = {}

function PROMPTS.device_code(prompt)
  terminal.note(terminal.clean(prompt.message or ("To sign in, open %s and enter the code %s"):format(
    prompt.verification_uri, prompt.user_code)))
end

function PROMPTS.auth_code(url, opened)
  terminal.note((opened and "Sign in in the browser window that has opened. Otherwise open this address:\n"
    or "To sign in, open this address in a browser on this machine (or try --device-code):\n") .. url)
end

local function kind_of(args)
  if args.device_code then return "device_code" end
  return (args.browser or browser.available()) and "auth_code" or "device_code"
end

local function report(profile)
  local sign_in = profiles.read(profile) or {}
  local kept = profile.key == "none" and "in plaintext" or "encrypted, its key: " .. profiles.KEYS[profile.key]
  terminal.out(("signed in as %s, tenant %s (profile %s)\nkept in %s (%s)\n"):format(
    terminal.clean(sign_in.username or "a user without a name"), terminal.clean(sign_in.tenant_id or "?"), profile.name,
    terminal.clean(profile.path), kept))
end

local NO_APP = [[
which app signs you in? --client-id or AZURE_CLIENT_ID names its registration, which has to allow public client flows:
  %s]]

local function stop(err)
  return errors.outcome(err), errors.text(err)
end

function M.run(args)
  if args.plaintext and (is_set "MSGRAPH_STORE_KEY" or is_set "MSGRAPH_STORE_KEY_FD") then
    return "usage", "--plaintext and the key in the environment (MSGRAPH_STORE_KEY...) exclude each other"
  end
  local profile, failure = open_profile(args)
  if not profile then return stop(graph_errors.from_failure(failure)) end
  local identity, err = find_identity(profile, args)
  if not identity then return stop(err) end
  if not identity.client_id then
    return "usage", NO_APP:format(shell.command { "login", "--tenant", "TENANT", "--client-id", "ID" })
  end
  local kind = kind_of(args)
  local ok
  ok, err = auth.sign_in(profile.store, identity, kind, { prompt = PROMPTS[kind] })
  if not ok then return stop(err) end
  report(profile)
  return "done"
end

return M
