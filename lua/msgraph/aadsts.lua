--- Entra's error numbers (AADSTS...) in words a person can act on.
--
-- For hints only. The numbers and their texts change, and Microsoft asks programs to go by OAuth's `error`
-- instead: so nothing here decides what happens, and a number that is missing costs a better hint, no more.
-- Source: MicrosoftDocs/entra-docs, identity-platform/reference-error-codes.md; rows marked "seen" are not on that
-- page, but in what the service answers.
local M = {}

local SIGN_IN = "the user has to sign in again: get a new refresh token"
local CONSENT = "consent is missing: have an administrator open "
  .. "{authority}/{tenant_id}/adminconsent?client_id={client_id}, then get a new token"
local REGISTRATION = "the app registration or the tenant lacks the permission: add it to the app registration "
  .. "(Microsoft Graph), and have an administrator consent"
local POLICY = "a conditional access policy blocks this sign-in: an administrator must let the app or user through"
local MFA = "more than a password is demanded: the user has to sign in interactively, with a second factor"
local WRONG_PLACE = "check tenant_id, client_id and the cloud: each cloud has its own tenants and apps"
local CERTIFICATE = "check that this certificate is uploaded to the app registration and has not expired"
local SECRET = "check the client secret: its value is wanted, not its id"
local SCOPE = "the scope asked for is not to be had: check the cloud, whose Graph it names"
local ACCOUNT = "check the user: the account is unknown, disabled or locked, or its password is wrong"
local LATER = "Entra is busy for the moment: try again later"
local TENANT = "sign in at the tenant itself: give its id or domain as tenant_id"
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
  [ACCOUNT] = { 50034, 50053, 50057, 50126 },
  ["the user is not assigned to the app: assign him under enterprise applications"] = { 50105 },
  [TENANT] = { 50194, 9001023 },
  ["the app asked for the same token too often: share one credential among clients, and wait a few minutes"]
    = { 50196 },
  [LATER] = { 90006, 90024, 90033, 90090, 50033, 50087, 90055 },
}

local HINTS = {}
for hint, numbers in pairs(ROWS) do
  for _, number in ipairs(numbers) do HINTS[number] = hint end
end

--- What to do about the first AADSTS number in a text.
---@param text string
---@return string? hint nil: there is none, or it is not known
function M.hint(text)
  return HINTS[tonumber(text:match("AADSTS(%d+)"))]
end

return M
