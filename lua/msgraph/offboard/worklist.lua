--- Work that only people can do, for those who do it: a page to tick off for each system, and a script where PowerShell
--- reaches the system.
--
-- A script does each task once, notes what became of it in a file beside it, which msgraph.offboard.results reads, and
-- may be run again: what is done is left alone. Texts from the directory stand in it as literals only, never in a
-- comment or in double quotes. There is no secret in it: passwords are made where the script runs, and shown nobody.
local powershell = require "msgraph.offboard.powershell"

local M = {}

---@class msgraph.offboard.Task
---@field id string        "17.4"
---@field key string       the operation's
---@field subject string   whose
---@field label string
---@field why string
---@field reason? string   what the last try said
---@field powershell? string one call of a cmdlet

---@class msgraph.offboard.WorkList
---@field system string    "exchange", "active-directory", "entra"
---@field tasks msgraph.offboard.Task[] in the order of people

--- The open work of a run, a list for each system, sorted.
---@param journal msgraph.Journal
---@param run_id string
---@return msgraph.offboard.WorkList[]
function M.of(journal, run_id)
  local lists, by_system = {}, {}
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      local work = op.state == "needs_human" and op.desired.hand_off
      if work then
        local list = by_system[work.system]
        if not list then
          list = { system = work.system, tasks = {} }
          by_system[work.system], lists[#lists + 1] = list, list
        end
        table.insert(list.tasks, { id = ("%d.%d"):format(subject.subj, op.op), key = op.op_key, subject = subject.label,
          label = op.desired.label, why = work.why, reason = op.reason ~= work.why and op.reason or nil,
          powershell = work.powershell })
      end
    end
  end
  table.sort(lists, function(a, b) return a.system < b.system end)
  return lists
end

--- Whether there is any.
---@param journal msgraph.Journal
---@param run_id string
---@return boolean
function M.is_open(journal, run_id)
  for subject in journal:subjects(run_id) do
    for _, op in ipairs(subject.ops) do
      if op.state == "needs_human" and op.desired.hand_off then return true end
    end
  end
  return false
end

-- ---- the page -----------------------------------------------------------------------------------

local TITLES = { exchange = "Exchange Online", ["active-directory"] = "Active Directory", entra = "Entra" }

-- A text of the directory's on its line, with nothing in it that Markdown would take for its own.
local function plain(text)
  return (text:gsub("%c", " "):gsub("[\\`*_%[%]<>#|!~]", "\\%0"))
end

local function task_lines(task)
  local lines = { ("- [ ] %s %s"):format(task.id, plain(task.label)), "  " .. plain(task.why) }
  if task.reason then lines[#lines + 1] = "  Last try: " .. plain(task.reason) end
  if task.powershell then
    lines[#lines + 1] = ""
    lines[#lines + 1] = "      " .. task.powershell:gsub("%c", " ")
    lines[#lines + 1] = ""
  end
  return lines
end

--- The page of a list, as Markdown.
---@param list msgraph.offboard.WorkList
---@param head string[] lines that say how it is told what became of the tasks
---@return string
function M.page(list, head)
  local lines = { ("# %s: %d %s"):format(TITLES[list.system] or plain(list.system), #list.tasks,
    #list.tasks == 1 and "task" or "tasks"), "" }
  table.move(head, 1, #head, #lines + 1, lines)
  local subject
  for _, task in ipairs(list.tasks) do
    if task.subject ~= subject then
      subject = task.subject
      table.move({ "", "## " .. plain(subject), "" }, 1, 3, #lines + 1, lines)
    end
    local inner = task_lines(task)
    table.move(inner, 1, #inner, #lines + 1, lines)
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- the script ---------------------------------------------------------------------------------

-- How a script gets to its system.
local CONNECT = {
  exchange = [[
#requires -Version 5.1
#requires -Modules @{ ModuleName = 'ExchangeOnlineManagement'; ModuleVersion = '3.0.0' }
function Get-Tenant {
    $open = @(Get-ConnectionInformation | Where-Object { $_.State -eq 'Connected' })
    ($open | ForEach-Object { [string]$_.TenantID } | Sort-Object -Unique) -join ' '
}
function Connect-System($tenant) {
    if (-not (Get-Tenant)) { Connect-ExchangeOnline -ShowBanner:$false -ErrorAction Stop }
    if ((Get-Tenant) -ne $tenant) {
        throw 'This is for another tenant than you are connected to: Disconnect-ExchangeOnline, and begin again.'
    }
}
]],
  ["active-directory"] = [[
#requires -Version 5.1
#requires -Modules ActiveDirectory
function Connect-System($tenant) { }
]],
}

-- Read in another encoding, a letter could end a text early: nothing is done then. "Not a member" is what was wanted.
local BODY <const> = [[

# Work that msgraph handed off. Each task is done by itself, and what became of it stands in the file of results beside
# this one, to be taken back in. It may be run again: what is done is left alone.
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
if ('é'.Length -ne 1) { throw 'This file was read in a wrong encoding: it is UTF-8, with a byte order mark.' }
$run = @RUN@
$results = $PSCommandPath -replace '\.ps1$', '-results.csv'
$script:failed = 0
$before = @{}
if (Test-Path -LiteralPath $results) {
    foreach ($row in Import-Csv -LiteralPath $results -Encoding UTF8) {
        if ($row.run -eq $run -and $row.status -eq 'done') { $before[$row.operation] = $true }
    }
}

function Write-Result($operation, $key, $status, $message) {
    $time = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ', [Globalization.CultureInfo]::InvariantCulture)
    [PSCustomObject]@{ run = $run; operation = $operation; key = $key; status = $status; message = $message
        time = $time; by = [Environment]::UserName } |
        Export-Csv -LiteralPath $results -Append -NoTypeInformation -Encoding UTF8
}

function Invoke-Task($operation, $key, $label, $command) {
    if ($before[$operation]) { return }
    $status = 'done'
    $message = ''
    try { & $command | Out-Null }
    catch {
        $message = $_.Exception.Message -replace '\s+', ' '
        if ($_.FullyQualifiedErrorId -notmatch 'MemberNotFoundException|^ActiveDirectoryServer:1377,') {
            $status = 'failed'
            $script:failed++
        }
    }
    Write-Result $operation $key $status $message
    Write-Host ('{0,-6} {1,-7} {2} {3}' -f $status, $operation, $label, $message)
}

Connect-System @TENANT@
@TASKS@
Write-Host ('{0} failed; what became of each task is in {1}' -f $script:failed, $results)
if ($script:failed -gt 0) { exit 1 }
]]

local BOM <const> = "\xEF\xBB\xBF"

local function task_call(task)
  local quote = powershell.quote
  return ("Invoke-Task %s %s %s { %s -ErrorAction Stop }"):format(quote(task.id), quote(task.key),
    quote(task.subject .. ": " .. task.label), task.powershell)
end

--- The script of a list; nil where there is none for its system, or nothing for one to do.
---@param list msgraph.offboard.WorkList
---@param run_id string
---@param tenant_id string
---@return string?
function M.script(list, run_id, tenant_id)
  local calls = {}
  for _, task in ipairs(list.tasks) do
    if task.powershell then calls[#calls + 1] = task_call(task) end
  end
  if not CONNECT[list.system] or #calls == 0 then return nil end
  local parts = { RUN = powershell.quote(run_id), TENANT = powershell.quote(tenant_id),
    TASKS = table.concat(calls, "\n") }
  return BOM .. CONNECT[list.system] .. BODY:gsub("@(%u+)@", parts)
end

return M
