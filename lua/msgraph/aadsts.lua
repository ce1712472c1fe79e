--- Entra's error numbers (AADSTS...) and suberrors in words a person can act on.
--
-- For hints only. The numbers and their texts change, and Microsoft asks programs to go by OAuth's `error` (and
-- Entra's `suberror`) instead: so nothing here decides what happens, and a number that is missing costs a better
-- hint, no more. docs/errors.md lists every number; a spec compares the two.
-- Sources: MicrosoftDocs/entra-docs, identity-platform/reference-error-codes.md; rows marked "seen" are not on that
-- page, but in what the service answers. Suberrors: AzureAD/microsoft-authentication-library-for-dotnet, MsalError.cs.
local M = {}

local SIGN_IN = "the user has to sign in again: msgraph login, or get a new refresh token"
local CONSENT = "consent is missing: have an administrator open %s, then sign in again or get a new token"
local CONSENT_URL = "{authority}/{tenant_id}/adminconsent?client_id={client_id}" -- where they are not known
local REGISTRATION = "the app registration or the tenant lacks the permission: add it to the app registration "
  .. "(Microsoft Graph), and have an administrator consent"
local POLICY = "a conditional access policy blocks this sign-in: an administrator must let the app or user through"
local MFA = "more than a password is demanded: the user has to sign in interactively (msgraph login), with a second "
  .. "factor"
local WRONG_PLACE = "check tenant_id, client_id and the cloud: each cloud has its own tenants and apps"
local CERTIFICATE = "check that this certificate is uploaded to the app registration and has not expired"
local SECRET = "check the client secret: its value is wanted, not its id"
local SCOPE = "the scope asked for is not to be had: check the cloud, whose Graph it names"
local ACCOUNT = "check the user: the account is unknown, disabled or locked, or its password is wrong"
local LATER = "Entra is busy for the moment: try again later"
local TENANT = "sign in at the tenant itself: give its id or domain as tenant_id"
local REDIRECT = "the browser's way back does not fit: add http://localhost to the app registration, under mobile and "
  .. "desktop applications, and sign in again"
local FEDERATED = "the token's issuer, subject and audience must equal a federated credential of the app registration, "
  .. "letter by letter: the message has what came"
local ASSERTION = "the token that was handed in must be made for this app, not for Graph, signed by whom the app "
  .. "trusts, and not have expired: get a new one from where it came"

-- hint -> the numbers it is for
local ROWS = {
  [MFA] = { 50072, 50074, 50076, 50078, 50079 },
  [POLICY] = { 53000, 53003, 530032 },
  [CONSENT] = { 65001, 65004, 90094 },
  [REGISTRATION] = { 65005, 650056, 650057 },
  [SIGN_IN] = { 70000, 70008, 70043, 700082, 700084, 50173, 50089, 50132, 50133 },
  [SECRET] = { 70002, 7000215 },
  ["the client secret has expired: add a new one to the app registration, or use a certificate"] = { 7000222 },
  ["the app wants a credential: give a client secret or certificate, or allow public client flows in the registration"]
    = { 7000218 },
  ["the app is a public client: leave the secret or certificate away"] = { 700025 },
  ["the app is disabled in this tenant: enable it under enterprise applications"] = { 70001 },
  [WRONG_PLACE] = { 700016, 700011, 90002, 90038, 900432 },
  [CERTIFICATE] = { 50012, 700027, 700030 },
  ["the assertion's times are not the server's: set this machine's clock (NTP); of a federated token's file, have the "
    .. "token in it renewed"] = { 700024 }, -- seen
  [FEDERATED] = { 700211, 700212, 700213 }, -- seen
  [ASSERTION] = { 50013, 500131 }, -- seen
  [SCOPE] = { 70011, 28002, 700022, 500011 },
  [REDIRECT] = { 50011, 50147, 501481 },
  [ACCOUNT] = { 50034, 50053, 50057, 50126 },
  ["the user is not assigned to the app: assign him under enterprise applications"] = { 50105 },
  [TENANT] = { 50194, 9001023 },
  ["the app asked for the same token too often: share one credential among clients, and wait a few minutes"]
    = { 50196 },
  ["the user has not finished signing in: enter the code where the message says"] = { 70016 },
  ["the code has expired or is not the one that was shown: start the sign-in again"] = { 70018, 70019 },
  [LATER] = { 90006, 90024, 90033, 90090, 50033, 50087, 90055 },
}

--- Number to hint.
M.NUMBERS = {}
for hint, numbers in pairs(ROWS) do
  for _, number in ipairs(numbers) do M.NUMBERS[number] = hint end
end

-- Suberrors that say all there is to say...
local SUBERRORS = {
  consent_required = CONSENT,
  user_password_expired = "the user's password has expired: change it, then sign in again (msgraph login)",
  protection_policy_required = "policy demands an app under Intune's protection, which this one is not: an "
    .. "administrator must let the app or user through",
  client_mismatch = "the refresh token was given to another app: sign in again with this client_id",
}

-- ... and those that any number says better.
local VAGUE = {
  basic_action = "the user has to sign in interactively: msgraph login",
  additional_action = "the user has to do something outside of the sign-in first: signing in interactively (msgraph "
    .. "login) shows what",
  message_only = "the sign-in is refused for now: signing in interactively (msgraph login) shows why",
  bad_token = SIGN_IN,
  token_expired = SIGN_IN,
}

--- What to do about a refusal: by its suberror, or by the first AADSTS number in its text.
---@param text string
---@param suberror? string
---@param consent_url? string where an administrator consents
---@return string? hint nil: neither is there, or known
function M.hint(text, suberror, consent_url)
  local hint = SUBERRORS[suberror] or M.NUMBERS[tonumber(text:match("AADSTS(%d+)"))] or VAGUE[suberror]
  if hint == CONSENT then return CONSENT:format(consent_url or CONSENT_URL) end
  return hint
end

return M
