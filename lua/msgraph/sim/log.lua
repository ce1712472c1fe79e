-- lua/msgraph/sim/log.lua - what was asked of a tenant, and what each request did. No token gets in here.
local fits = require "msgraph.sim.fits"

local M = {}

local Log = {}
Log.__index = Log

--- The newest entries only are kept, so that a tenant may serve for weeks.
local LENGTH <const> = 100000

---@return msgraph.sim.Log
function M.new()
  return setmetatable({ list = {}, first = 1, last = 0 }, Log)
end

-- Headers worth asking about. Authorization is not among them, and never will be.
local LOGGED = {
  "accept", "content-length", "content-type", "expect", "host", "prefer", "transfer-encoding", "user-agent",
  "consistencylevel", "x-ms-throttle-priority",
}

--- A token in a URL does not belong there, but must not get from there into a log.
local function without_token(text)
  return (text:gsub("eyJ[%w%-_%.]+", "***"))
end

local function logged_headers(headers)
  local out = {}
  for _, name in ipairs(LOGGED) do out[name] = headers[name] end
  return out
end

---@class msgraph.sim.LogEntry
---@field n integer                  1 for the first request of the tenant
---@field at number                  Unix seconds, tenant time
---@field method string
---@field path string                as sent
---@field query string               as sent, "" without one
---@field headers table<string, string> some request headers, names in lower case; never Authorization
---@field body_length? integer       bytes; nil when it was too large to be read
---@field status? integer            nil when the connection was reset
---@field request_id string
---@field client_request_id? string  as the client sent it
---@field caller? string             "application" or the signed-in user's principal name
---@field user? string               id of the user in the path
---@field actions string[]           what the request did: "retire <device id>", "delete <device id>"
---@field fault? string              kind of the fault that spoilt it
---@field batch? integer             of a part of a batch: the n of its batch

--- A query to the login side may hold what a log must not: nothing of it is kept.
local function logged_query(ctx)
  if ctx.login and ctx.query ~= "" then return "***" end
  return without_token(ctx.query)
end

--- Takes down a request and what became of it.
---@param ctx msgraph.sim.Context
---@param request msgraph.sim.Request
---@param answer msgraph.sim.Answer
function Log:write(ctx, request, answer)
  local caller = ctx.caller
  self.list[ctx.n] = {
    n = ctx.n, at = ctx.now, method = ctx.method, path = without_token(ctx.path), query = logged_query(ctx),
    headers = logged_headers(ctx.headers), body_length = request.body and #request.body,
    status = not answer.reset and answer.status or nil,
    request_id = ctx.request_id, client_request_id = ctx.headers["client-request-id"],
    caller = caller and (caller.user and caller.user.userPrincipalName or caller.kind),
    user = ctx.user and ctx.user.id, actions = ctx.actions, fault = ctx.fault, batch = ctx.batch,
  }
  self.last = math.max(self.last, ctx.n) -- the parts of a batch are written before it
  if ctx.n - self.first >= LENGTH then
    self.list[self.first] = nil
    self.first = self.first + 1
  end
end

--- Entries whose fields equal those of the filter, oldest first.
---@param filter? table
---@return msgraph.sim.LogEntry[]
function Log:entries(filter)
  local out = {}
  for n = self.first, self.last do
    local entry = self.list[n]
    if entry and fits(entry, filter) then out[#out + 1] = entry end
  end
  return out
end

return M
