-- lua/msgraph/sim/login/device.lua - the device code flow: its start, and the page a person types the code into.
local form = require "msgraph.sim.login.form"
local json = require "msgraph.sim.json"
local refusal = require "msgraph.sim.login.refusal"
local reply = require "msgraph.sim.reply"
local scopes = require "msgraph.sim.login.scope"

local M = {}

--- Seconds in which the person has to act.
local LIFETIME <const> = 900

-- No vowels and no look-alikes: a code spells nothing, and is read right.
local USER_CODE_SYMBOLS <const> = "BCDFGHJKLMNPQRSTVWXZ23456789"

local FIELDS = { "user_code", "device_code", "verification_uri", "expires_in", "interval", "message" }

--- POST /{tenant}/oauth2/v2.0/devicecode
---@param login msgraph.sim.Login
---@param ctx msgraph.sim.Context
---@return msgraph.sim.Answer?
---@return msgraph.sim.Refusal?
function M.start(login, ctx)
  local app, problem = login:find_app(ctx)
  if not app then return nil, problem end
  problem = login:check_directory(ctx, app)
  if problem then return nil, problem end
  if not app.public then return nil, refusal.new(7000218) end
  local scope
  scope, problem = scopes.parse(ctx, ctx.fields.scope)
  problem = problem or login:check_resource(scope)
  if problem then return nil, problem end
  local device = {
    client_id = app.client_id, scope = scope, interval = login.interval, expires = ctx.now + login:span(LIFETIME),
    user_code = login.stream:text(9, USER_CODE_SYMBOLS), device_code = login:opaque("", 180),
  }
  login.devices[device.device_code] = device
  local uri = ctx.origin .. "/devicelogin"
  return reply.text(200, "application/json; charset=utf-8", json.encode(json.ordered({
    user_code = device.user_code, device_code = device.device_code, verification_uri = uri, expires_in = LIFETIME,
    interval = login.interval,
    message = "To sign in, use a web browser to open the page " .. uri .. " and enter the code " .. device.user_code
      .. " to authenticate.",
  }, FIELDS)))
end

local PAGE <const> = "<!DOCTYPE html>\n<title>Enter code</title>\n<form method=post>%s<p>Code <input name=user_code>"
  .. " as <input name=user value='%s'> <button>Sign in</button> <button name=decline value=1>Decline</button></form>\n"

local function page(login, text)
  local user = login:person_at_browser().user.userPrincipalName:gsub("'", "&#39;")
  return reply.text(200, "text/html; charset=utf-8", PAGE:format(text, user))
end

--- GET and POST /devicelogin: for people who look at a simulated tenant with a browser.
---@param login msgraph.sim.Login
---@param ctx msgraph.sim.Context
---@param body? string
---@return msgraph.sim.Answer
function M.page(login, ctx, body)
  if ctx.method ~= "POST" then return page(login, "") end
  local fields = form.body(ctx.headers["content-type"], body) or {}
  local ok = pcall(login.sign_in, login, {
    user_code = fields.user_code or "", user = fields.user, decline = fields.decline ~= nil,
  })
  return page(login, ok and "<p>Done. You may close this window." or "<p>There is no such code or user.")
end

return M
