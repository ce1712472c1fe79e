-- lua/msgraph/errors/hints.lua
--- What to do about an Error, in a sentence that follows its message.
--
-- docs/errors.md says the same at greater length; a spec compares the two.
local M = {}

--- Code (or reason, or kind where no code says more) to hint.
M.TEXTS = {
  -- why a request was forbidden
  scope_missing = "the token lacks the permission: add it to the app registration (Microsoft Graph), have an "
    .. "administrator grant consent, and get a new token",
  role_missing = "the permission is there, the role is not: the signed-in user needs the role Intune Administrator, "
    .. "or an Intune role with the remote task in question and the device in its scope",
  license_missing = "the tenant has no active Intune licence, or no MDM authority is set: check the tenant of "
    .. "the token",
  approval_required = "Multi Admin Approval guards this: have another administrator approve the request in Intune, or "
    .. "exclude the app from the access policy, then send it again",
  -- why a request was refused, told by its words
  inherited_license = "the licence comes with a group: take the user out of that group "
    .. "(licenseAssignmentStates[].assignedByGroup names it)",
  license_not_assigned = "the user has no such licence of his own: read licenseAssignmentStates first",
  license_dependency = "other licences depend on this one: remove all of them in one call",
  no_seat = "the tenant has no free seat of this licence: free or buy one",
  no_usage_location = "an account needs a usage location before it gets a licence: set usageLocation",
  mail_enabled_group = "Exchange manages mail-enabled security groups and distribution lists: change it there",
  synced_object = "the object is mastered in the on-premises directory: change it there",
  last_owner = "a group keeps its last owner: add another one first",
  already_there = "it is there already: nothing to do",
  not_there = "it is not there any more: nothing to do",
  role_not_assigned = "there is no such assignment through PIM: nothing to do, or it is a direct one (roleAssignments)",
  role_already_assigned = "the role is assigned already: nothing to do",
  conflicting_object = "something with the same values is in the directory: of an assignment, it is there already",
  pim_policy = "PIM's rules for the role refuse it: assign it within them, in the Entra admin center",
  default_method = "the user's default method cannot be deleted while there are others: delete it last",
  not_organizer = "only the organizer can cancel a meeting: decline it, or cancel it in the organizer's calendar",
  no_mailbox = "the user has no mailbox that Graph reaches: none, unlicensed, or on premises",
  -- Graph's codes
  InvalidAuthenticationToken = "the token is expired, damaged or made for another audience or cloud: get a new one "
    .. "for this endpoint",
  Authorization_RequestDenied = "the token lacks the permission, or the caller's role is below the target's: check "
    .. "both, have an administrator consent, and get a new token",
  Request_ResourceNotFound = "no such object in this tenant: check the id or principal name, and whether it was "
    .. "deleted",
  ResourceNotFound = "no such object in this tenant: check the id, and whether it was deleted",
  Directory_ConcurrencyViolation = "another write to the same object was under way: send writes to one object one "
    .. "after the other",
  Directory_QuotaExceeded = "the tenant's directory quota is used up: purge deleted objects or ask for more",
  Directory_ExpiredPageToken = "the link to the next page is too old: read the list anew, and do slow work "
    .. "after it",
  Request_UnsupportedQuery = "this query needs the header ConsistencyLevel: eventual and $count=true, or is not "
    .. "supported at all",
  -- answers that are not Graph's
  html_page = "a web page came instead of Graph's answer: a proxy, firewall or sign-in portal is in between",
  not_json = "the answer is not the JSON that was asked for: check the endpoint, and what is in between",
  redirect = "redirects are never followed, so that the token goes nowhere else: check the endpoint",
  proxy_auth = "a proxy wants a name and password: set them in HTTPS_PROXY",
  -- ours
  no_token = "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (docs/auth.md has the other ways), or "
    .. "MSGRAPH_ACCESS_TOKEN, or pass auth = graph.auth.token \"...\" to graph.connect",
  signed_out = "a user has to sign in: msgraph login; a service does so through its environment (docs/auth.md)",
  managed_identity = "this host has no such managed identity, or does not say so to this process: assign one to it, "
    .. "check client_id, object_id or resource_id, and that this is the Azure host you take it for",
  not_a_list = "only a list has pages: read a single object with get",
  no_progress = "the service repeats itself: ask again, or for less; go on from the checkpoint of this error",
  incomplete = "read the list again; if it stays short, do not take it for whole (what is deleted while a list is read "
    .. "is counted and does not come)",
  resync_required = "the service has lost track of what it told: read everything anew without 'from', or let "
    .. "{ restart = true } do so, and take what is missing then for gone",
  callback = "mend the function that was given to graph.auth.callback, or what it asks",
  closed = "connect a new client",
  failed_dependency = "mend the request that it depends on, then send both again",
  no_answer = "the service took the batch and said nothing about this request: try again",
  bad_environment = "correct or unset the environment variable",
  capture = "name a file for the capture in a folder that is there and can be written to",
  -- the journal's
  journal = "check the path, and that it is a journal of msgraph's on a local disk",
  journal_busy = "another process keeps the journal locked: try again; if it stays so, look at who has the file open",
  journal_full = "make room on the journal's disk, then resume the run",
  journal_readonly = "make the journal's folder writable for this user, or open another one",
  journal_damaged = "keep the file as it is, look at the disk, and compare the run with the tenant: msgraph verify",
  journal_newer = "update this msgraph, or go on with the one that wrote the journal",
  lease_lost = "another process has taken over: nothing is to be done, it reads before it repeats anything",
  draining = "the run halts: look at msgraph status, then resume it",
  active_elsewhere = "finish, resume or resolve the run named, or leave these people out",
  in_use = "wait for the worker named, or resume the run if it died",
  plan_changed = "show the plan again and approve it as it is now",
  plan_expired = "make a new plan: what it was made from may have changed",
  not_approved = "have the plan approved: msgraph approve",
  unknown_id = "check the id, and that this is the journal it is in",
  -- of offboarding
  workflow = "mend the workflow at the line that is named, or what it was given; msgraph check reads it without a "
    .. "tenant",
  subjects = "mend the list, or say in the workflow what is to become of names nobody has: require_match",
  results = "mend the line named, or have msgraph handoffs --out write the work list again and run it anew",
  selection = "mend the name, or leave the option out: --only and --except name what there is",
  limits = "plan fewer people, or have whoever answers for the workflow raise its limits",
  plan_file = "check the name and the folder; a plan is made by msgraph plan",
  plan_newer = "use the version of msgraph that made it, or plan again",
  plan_used = "resume that run, or make a new plan for what is left",
  other_tenant = "sign in to the plan's tenant, or plan again for this one",
  plan_tampered = "plan again: a plan is never changed by hand",
  -- the sign-in's: OAuth's words (RFC 6749 5.2, RFC 8707, and what Entra adds)
  invalid_client = "the app could not prove who it is: check its secret or certificate, and client_id",
  invalid_grant = "what was to be exchanged for a token is no longer good: sign in again",
  unauthorized_client = "the app may not do this, or is not known here: check client_id, tenant_id and the cloud",
  invalid_scope = "the scope asked for is not to be had: check the cloud, whose Graph it names",
  invalid_resource = "the tenant does not know this Graph: check tenant_id and the cloud",
  invalid_request = "the sign-in service does not understand: check tenant_id, client_id and the authority",
  unsupported_grant_type = "the sign-in service does not know this way to sign in: check the authority",
  access_denied = "the user or an administrator said no: ask them",
  interaction_required = "the user has to sign in interactively: a policy or a second factor stands in between",
  temporarily_unavailable = "the sign-in service is busy: try again later",
  server_error = "a fault of the sign-in service: try again later",
  -- the transport's
  token_refused = "no token could be had: if the sign-in service failed (HTTP 429 or 5xx), try again later; if a given "
    .. "token expired, get a new one; else check the authority, tenant_id and client_id",
  store = "do what the message says; if it says to begin anew: msgraph logout, then msgraph login",
  store_busy = "another process renews the same sign-in or was faster: try again; if it stays so, look at the process "
    .. "named",
  dns = "the host name does not resolve: check the endpoint (MSGRAPH_ENDPOINT, cloud) and this machine's DNS",
  connect = "nothing accepts connections there: check the endpoint and its port, the firewall, and HTTPS_PROXY",
  proxy = "the proxy (HTTPS_PROXY) did not let the connection through: check its address, name and password, or "
    .. "list the endpoint in NO_PROXY",
  tls_untrusted = "the server's certificate is not signed by an authority this machine trusts: if it should be, name "
    .. "the authority's PEM file with ca_file or MSGRAPH_CA_FILE",
  tls_name = "the server's certificate is for another host name: check the endpoint, and who answers there",
  tls_expired = "the server's certificate is expired or not valid yet: check this machine's clock, then have the "
    .. "certificate renewed",
  tls = "no TLS 1.2 or newer could be agreed on: check that the endpoint speaks HTTPS",
  reset = "the connection broke: try again",
  truncated = "the answer broke off: try again",
  timeout_connect = "no connection in time: check the network, firewall and proxy, or raise connect_timeout",
  timeout_first_byte = "the server took the request and sent no answer in time: try again later, or raise "
    .. "first_byte_timeout",
  timeout_stall = "the answer stopped half way: try again, or raise stall_timeout",
  timeout = "the deadline passed: try again, or raise deadline",
  body_too_large = "the answer is larger than max_body: raise it, or ask for less with $select and $top",
  bad_answer = "the answer is not HTTP as it should be: check what is between here and the endpoint",
  bad_request = "the request cannot be sent as it is: mend the path, the header or the method",
  bad_option = "mend the option named",
  foreign_url = "the token is only sent to the client's own endpoint: connect a client to the other one",
  program = "install the program, or see to it that PATH names its folder",
  no_memory = "this process or its memory limit has no room left",
  internal = "a bug in this library: please report it with this line",
  -- kinds, where no code says more
  auth = "the token was refused: get a new one for this tenant and endpoint",
  forbidden = "the permission or the role is missing: check both, have an administrator consent, get a new token",
  not_found = "no such object or path: check both",
  conflict = "it was changed meanwhile: read it again, then decide",
  throttled = "too many requests: wait as long as retry_after says before the next",
  invalid = "the request is refused as it is: mend it before sending it again",
  server = "a fault of the service: try again later, and report the request-id if it stays",
  network = "the network failed: try again",
  cancelled = "cancelled from this side",
  ambiguous = "the request left and no answer came, it may have been acted on: read the state before repeating it",
  protocol = "the answer is not what Graph sends: check the endpoint, and what is in between",
}

-- What to look at before a request that may have been acted on is sent again.
local function look_first(err)
  local user = err.path and err.path:match("^(.*)/removeAllDevicesFromManagement$")
  if not user then return M.TEXTS.ambiguous end
  return ("the request may have been acted on: list the devices (GET %s/managedDevices) before repeating it")
    :format(user)
end

-- "X", or where the two kinds of token differ "delegated X, application Y".
local function least_text(least)
  local delegated, application = least.delegated, least.application
  if delegated == application then return delegated end
  return ("delegated %s, application %s"):format(delegated or "none", application or "none")
end

local function permission_hint(err, base)
  if not err.permissions then return base end
  return ("%s (%s)"):format(base, least_text(err.permissions.least))
end

--- The hint of an Error that has its fields.
---@param err msgraph.Error
---@return string?
function M.find(err)
  local hints = M.TEXTS
  if err.kind == "ambiguous" and err.phase == "answered" and (err.status or 0) >= 400 then
    return ("%s; %s"):format(hints[err.code] or hints.server, look_first(err))
  elseif err.kind == "ambiguous" then
    return look_first(err)
  end
  local hint = hints[err.reason] or hints[err.code] or hints[err.kind]
  if err.kind == "forbidden" then return permission_hint(err, hint) end
  return hint
end

return M
