-- lua/msgraph/errors/reasons.lua
--- Why a request was refused, where only the words of the answer tell: the one table of them.
--
-- Microsoft says not to go by messages, and gives no other way to tell an inherited licence from a missing one, or a
-- mail-enabled group from a bad request (FACTS 6.1). So every sentence this library knows stands here, with where it
-- was seen; a sentence that changes costs the reason, and the Error keeps its code. Nothing that is sent again, and
-- nothing that is left out, may depend on a reason alone.
local M = {}

---@class msgraph.Reason
---@field reason string
---@field kind? string     what the Error's kind becomes
---@field codes? string[]  any of these codes
---@field texts? string[]  or any of these, in lower case, anywhere in the message
---@field intune? boolean  only where Intune speaks
M.TABLE = {
  { reason = "approval_required", kind = "forbidden", -- Multi Admin Approval; OBS Micke-K/IntuneManagement#426
    texts = { "x-msft-approval-justification", "multi admin approval", "multiple administrative approval" } },
  { reason = "license_missing", kind = "forbidden", texts = { "not applicable to target tenant" } }, -- OBS
  { reason = "license_missing", kind = "forbidden", intune = true, texts = { "license", "licence" } },
  { reason = "inherited_license", texts = { "license is inherited from a group membership" } }, -- FACTS 2.4
  { reason = "license_not_assigned", texts = { "does not have a corresponding license" } }, -- FACTS 2.4
  { reason = "no_seat", texts = { "does not have any available licenses" } }, -- OBS, in scripts that look for it
  { reason = "no_usage_location", texts = { "invalid usage location" } }, -- OBS support.okta.com, assignLicense
  { reason = "license_dependency", texts = { "depends on the service plan" } }, -- OBS microsoft-365-docs#3864
  { reason = "mail_enabled_group", texts = { "mail-enabled security groups and or distribution list" } }, -- FACTS 2.5
  { reason = "synced_object", texts = { "on-premises mastered" } }, -- FACTS 2.1
  { reason = "last_owner", texts = { "must have at least one owner" } }, -- FACTS 2.5
  { reason = "already_there", texts = { "added object references already exist", -- FACTS 2.5; OBS of the others:
    "permission being assigned already exists", -- an app role
    "permission entry already exists" } }, -- a consent
  { reason = "conflicting_object", -- OBS, of a role that is assigned already and of much else
    texts = { "conflicting object with one or more of the specified property values" } },
  { reason = "not_there", texts = { "removed object references do not exist" } }, -- FACTS 2.5
  { reason = "role_not_assigned", codes = { "RoleAssignmentDoesNotExist" } }, -- PIM; FACTS 2.6, governance docs
  { reason = "pim_policy", codes = { "RoleAssignmentRequestPolicyValidationFailed" } }, -- PIM, governance docs
  { reason = "role_already_assigned", codes = { "RoleAssignmentExists" } }, -- PIM, governance docs
  { reason = "default_method", -- OBS microsoft-graph-docs#14470, #18091
    texts = { "cannot delete default method", "current default authentication method" } },
  { reason = "not_organizer", texts = { "need to be an organizer" } }, -- user-event-cancel
  { reason = "no_mailbox", codes = { "MailboxNotEnabledForRESTAPI", "ErrorNonExistentMailbox" }, -- FACTS 2.9
    texts = { "mailbox is either inactive, soft-deleted" } },
}

local function has(list, wanted)
  for _, value in ipairs(list or {}) do
    if value == wanted then return true end
  end
  return false
end

local function found_in(message, texts)
  for _, text in ipairs(texts or {}) do
    if message:find(text, 1, true) then return true end
  end
  return false
end

-- Words of Intune's own are believed from Intune alone: "license" means nothing elsewhere.
local function is_intune(message, chain)
  return chain.intune or message:find("intune", 1, true) ~= nil
end

local function from_table(err, chain, message)
  for _, row in ipairs(M.TABLE) do
    if (not row.intune or is_intune(message, chain)) and (has(row.codes, err.code) or found_in(message, row.texts)) then
      return row.reason, row.kind
    end
  end
end

-- A scope or a role is missing. Intune says "no role" with 401 as well as 403.
local function from_status(err, chain, message, named)
  if err.status ~= 401 and err.status ~= 403 then return nil end
  if named then return "scope_missing", "forbidden" end
  if chain.intune and err.code == "Forbidden" or message:find("user is not authorized", 1, true) then
    return "role_missing", "forbidden"
  end
end

--- Why, as a word.
---@param err { code: string, message: string, status: integer }
---@param chain msgraph.ErrorChain
---@param named boolean the message names the permissions that would do
---@return string? reason
---@return string? kind
function M.find(err, chain, named)
  local message = err.message:lower()
  local reason, kind = from_table(err, chain, message)
  if reason then return reason, kind end
  return from_status(err, chain, message, named)
end

return M
