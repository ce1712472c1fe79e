-- lua/msgraph/sim/login/refusal.lua - why the login service says no.
--
-- A refusal is a value until it is answered: { number =, error =, text =, suberror =, claims = }. Numbers and
-- what they mean: FACTS 7.4 and 7.5; the texts are short forms of what the service writes.
local base64 = require "msgraph.sim.login.base64"
local clock = require "msgraph.sim.clock"
local json = require "msgraph.sim.json"
local random = require "msgraph.sim.random"
local reply = require "msgraph.sim.reply"

local M = {}

local KIND_OF_POLICY <const> = 51

-- AADSTS number -> error, text, suberror
local KNOWN = {
  [16000] = { "interaction_required", "No account is signed in, and none may be asked for." },
  [50011] = { "invalid_request",
    "The redirect URI '%s' does not match the redirect URIs configured for the application '%s'." },
  [50013] = { "invalid_grant", "Assertion failed signature validation." },
  [50027] = { "invalid_client", "JWT token is invalid or malformed: %s." },
  [50034] = { "invalid_grant", "The user account %s does not exist in the directory." },
  [50057] = { "invalid_grant", "The user account is disabled." },
  [50076] = { "interaction_required", "Due to a configuration change made by your administrator, or because you "
    .. "moved to a new location, you must use multi-factor authentication to access '%s'.", "basic_action" },
  [50147] = { "invalid_request", "The code challenge parameter is missing or of the wrong size." },
  [50173] = { "invalid_grant", "The provided grant has expired due to it being revoked, a fresh auth token is "
    .. "needed. The user might have changed or reset their password." },
  [50194] = { "invalid_request", "Application '%s' is not configured as a multi-tenant application. Usage of the "
    .. "/common endpoint is not supported for such apps. Use a tenant-specific endpoint or configure the "
    .. "application to be multi-tenant." },
  [53003] = { "interaction_required", "Access has been blocked by Conditional Access policies. The access policy "
    .. "does not allow token issuance.", "message_only" },
  [54005] = { "invalid_grant", "OAuth2 Authorization code was already redeemed, please retry with a new valid code "
    .. "or use an existing refresh token." },
  [65001] = { "invalid_grant", "The user or administrator has not consented to use the application with ID '%s'. "
    .. "Send an interactive authorization request for this user and resource.", "consent_required" },
  [65004] = { "access_denied", "User declined to consent to access the app." },
  [70000] = { "invalid_grant", "Provided grant is invalid or malformed." },
  [70003] = { "unsupported_grant_type", "The app requested an unsupported grant type '%s'." },
  [70008] = { "invalid_grant", "The provided authorization code or refresh token has expired." },
  [70011] = { "invalid_scope", "The provided value for the input parameter 'scope' is not valid. The scope %s is "
    .. "not valid." },
  [70016] = { "authorization_pending", "OAuth 2.0 device flow error. Authorization is pending. Continue polling." },
  [70018] = { "bad_verification_code", "Bad verification code received from client." },
  [70019] = { "expired_token", "Verification code expired. The request is no longer valid." },
  [90002] = { "invalid_request", "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are "
    .. "signing into the correct cloud." },
  [90094] = { "access_denied", "The grant requires admin permission." },
  [500011] = { "invalid_resource", "The resource principal named %s was not found in the tenant named %s." },
  [500112] = { "invalid_grant", "The reply address '%s' does not match the reply address provided when requesting "
    .. "the authorization code." },
  [500131] = { "invalid_grant", "Assertion audience does not match the Client app presenting the assertion." },
  [501481] = { "invalid_grant", "The Code_Verifier does not match the code_challenge supplied in the authorization "
    .. "request." },
  [700005] = { "invalid_grant", "The provided code or refresh token was issued to another client.",
    "client_mismatch" },
  [700016] = { "unauthorized_client", "Application with identifier '%s' was not found in the directory '%s'. You may "
    .. "have sent your authentication request to the wrong tenant." },
  [700021] = { "invalid_client", "Client assertion application identifier doesn't match 'client_id' parameter." },
  [700022] = { "invalid_scope", "The provided value for the input parameter scope is not valid because it contains "
    .. "more than one resource." },
  [700023] = { "invalid_client", "Client assertion audience claim does not match Realm issuer." },
  [700024] = { "invalid_client", "Client assertion is not within its valid time range. Current time: %s, assertion "
    .. "valid from %s, expiry time of assertion %s." },
  [700025] = { "invalid_client", "Client is public so neither 'client_assertion' nor 'client_secret' should be "
    .. "presented." },
  [700027] = { "invalid_client", "The certificate with identifier used to sign the client assertion is not "
    .. "registered on application, or the signature is wrong. [Reason - %s]" },
  [700082] = { "invalid_grant", "The refresh token has expired due to inactivity." },
  [700211] = { "invalid_client", "No matching federated identity record found for presented assertion issuer '%s'." },
  [700212] = { "invalid_client", "No matching federated identity record found for presented assertion audience "
    .. "'%s'." },
  [700213] = { "invalid_client", "No matching federated identity record found for presented assertion subject "
    .. "'%s'." },
  [900144] = { "invalid_request", "The request body must contain the following parameter: '%s'." },
  [900561] = { "invalid_request", "The endpoint only accepts %s requests. Received a %s request." },
  [7000215] = { "invalid_client", "Invalid client secret provided. Ensure the secret being sent in the request is "
    .. "the client secret value, not the client secret ID, for a secret added to app '%s'." },
  [7000218] = { "invalid_client", "The request body must contain the following parameter: 'client_assertion' or "
    .. "'client_secret'." },
  [7000222] = { "invalid_client", "The provided client secret keys for app '%s' are expired." },
  [9001023] = { "invalid_request", "The grant type is not supported over the /common or /consumers endpoints. Please "
    .. "use the /organizations or tenant-specific endpoint." },
  [9002313] = { "invalid_request", "Invalid request. Request is malformed or invalid." },
}

---@class msgraph.sim.Refusal
---@field number integer    AADSTS
---@field error string
---@field text string
---@field suberror? string
---@field claims? string    JSON

--- A refusal.
---@param number integer an AADSTS number of the list above
---@param ... any what its text has gaps for
---@return msgraph.sim.Refusal
function M.new(number, ...)
  local known = KNOWN[number]
  return { number = number, error = known[1], text = known[2]:format(...), suberror = known[3] }
end

--- The same number under another `error`: some say so to the device flow or to a browser only.
---@return msgraph.sim.Refusal
function M.as(error, number, ...)
  local refusal = M.new(number, ...)
  refusal.error = error
  return refusal
end

--- One that an interactive sign-in could cure: says in `claims` which policy asks for it.
---@param seed integer
---@return msgraph.sim.Refusal
function M.by_policy(seed, number, ...)
  local refusal = M.new(number, ...)
  local policy = random.id(seed, KIND_OF_POLICY, number)
  refusal.claims = '{"access_token":{"capolids":{"essential":true,"values":["' .. policy .. '"]}}}'
  return refusal
end

local function stamp(now)
  return (clock.iso(now):gsub("T", " "))
end
M.stamp = stamp

--- What error_description says: the text, and who to ask about it.
---@param ctx msgraph.sim.Context
---@param refusal msgraph.sim.Refusal
function M.description(ctx, refusal)
  return ("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s"):format(refusal.number, refusal.text,
    ctx.request_id, ctx.client_request_id, stamp(ctx.now))
end

local FIELDS = { "error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id" }

--- The JSON body of FACTS 7.5. Optional fields that are nil are not written.
local function document(ctx, refusal, description)
  local names = table.move(FIELDS, 1, #FIELDS, 1, {})
  local body = {
    error = refusal.error, error_description = description, error_codes = json.array { refusal.number },
    timestamp = stamp(ctx.now), trace_id = ctx.request_id, correlation_id = ctx.client_request_id,
    error_uri = ctx.origin .. "/error?code=" .. refusal.number, suberror = refusal.suberror, claims = refusal.claims,
  }
  for _, name in ipairs { "error_uri", "suberror", "claims" } do
    if body[name] then names[#names + 1] = name end
  end
  return json.encode(json.ordered(body, names))
end

local JSON <const> = "application/json; charset=utf-8"

--- 401 for invalid_client, 400 for all else.
---@param ctx msgraph.sim.Context
---@param refusal msgraph.sim.Refusal
---@return msgraph.sim.Answer
function M.answer(ctx, refusal)
  local status = refusal.error == "invalid_client" and 401 or 400
  return reply.text(status, JSON, document(ctx, refusal, M.description(ctx, refusal)))
end

-- What the service says when nothing more is known: status -> AADSTS number, error, text.
local FAILURES = {
  [429] = { 90055, "temporarily_unavailable", "Tenant throttled: too many requests." },
  [500] = { 90033, "server_error", "A transient error has occurred. Please try again." },
  [503] = { 90033, "temporarily_unavailable", "A transient error has occurred. Please try again." },
}

--- A failure made by a fault rule.
---@param ctx msgraph.sim.Context
---@param rule msgraph.sim.Fault
---@return msgraph.sim.Answer
function M.failure(ctx, rule)
  local status = rule.status or 429
  local usual = FAILURES[status] or FAILURES[500]
  local refusal = { number = usual[1], error = rule.code or usual[2], text = rule.message or usual[3] }
  local answer = reply.text(status, JSON, document(ctx, refusal, M.description(ctx, refusal)))
  reply.retry_after(answer, rule)
  return answer
end

--- What a browser is shown where no redirect may be followed.
---@param ctx msgraph.sim.Context
---@param refusal msgraph.sim.Refusal
---@return msgraph.sim.Answer
function M.page(ctx, refusal)
  local text = M.description(ctx, refusal):gsub("[&<>\"']", function(c) return ("&#%d;"):format(c:byte()) end)
  return reply.text(400, "text/html; charset=utf-8",
    "<!DOCTYPE html>\n<title>Sign in to your account</title>\n<p>" .. text .. "</p>\n")
end

--- The challenge of a revoked token: ask for one that begins after the revocation (FACTS 6.4).
---@param now number Unix seconds
---@return string base64 of JSON
function M.challenge(now)
  return base64.encode(('{"access_token":{"nbf":{"essential":true,"value":"%d"}}}'):format(math.floor(now)))
end

return M
