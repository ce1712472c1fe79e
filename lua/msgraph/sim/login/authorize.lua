-- lua/msgraph/sim/login/authorize.lua - the authorization endpoint, as the browser sees it once the person is done.
local form = require "msgraph.sim.login.form"
local refusal = require "msgraph.sim.login.refusal"
local reply = require "msgraph.sim.reply"
local scopes = require "msgraph.sim.login.scope"

local M = {}

--- Seconds in which a code has to be redeemed.
local LIFETIME <const> = 600

-- ---- where the browser is sent ---------------------------------------------------------------

--- Without its port, where that does not count (loopback), and with the slash of an empty path.
local function normal(uri)
  local scheme, host, rest = uri:match("^(%a[%w+.-]*)://([^/?#]*)(.*)$")
  if not scheme then return uri end
  if scheme == "http" then host = host:gsub(":%d+$", "") end
  return scheme .. "://" .. host:lower() .. (rest == "" and "/" or rest)
end

local function is_registered(app, uri)
  local secure = uri:find("^https://") or uri:find("^http://localhost[:/]") or uri == "http://localhost"
    or uri:find("^http://127%.0%.0%.1[:/]") or uri == "http://127.0.0.1"
  if not secure or uri:find("#", 1, true) then return false end
  for _, registered in ipairs(app.redirect_uris) do
    if normal(registered) == normal(uri) then return true end
  end
  return false
end

local function encode(pairs_of)
  local out = {}
  for _, pair in ipairs(pairs_of) do
    if pair[2] then out[#out + 1] = pair[1] .. "=" .. form.escape(pair[2]) end
  end
  return table.concat(out, "&")
end

local FORM <const> = "<!DOCTYPE html>\n<title>Working...</title>\n<form method=POST action='%s'>%s"
  .. "<button>Continue</button></form><script>document.forms[0].submit()</script>\n"

local function attribute(text)
  return (text:gsub("[&<>\"']", function(c) return ("&#%d;"):format(c:byte()) end))
end

local function hidden(pairs_of)
  local out = {}
  for _, pair in ipairs(pairs_of) do
    if pair[2] then
      out[#out + 1] = ("<input type=hidden name=%s value='%s'>"):format(pair[1], attribute(pair[2]))
    end
  end
  return table.concat(out)
end

local function redirect(separator)
  return function(uri, pairs_of)
    local answer = reply.text(302, "text/html; charset=utf-8", "")
    local join = separator == "?" and uri:find("?", 1, true) and "&" or separator
    answer.headers["Location"] = uri .. join .. encode(pairs_of)
    return answer
  end
end

local MODES = {
  query = redirect "?",
  fragment = redirect "#",
  form_post = function(uri, pairs_of)
    return reply.text(200, "text/html; charset=utf-8", FORM:format(attribute(uri), hidden(pairs_of)))
  end,
}

-- ---- what the person did ---------------------------------------------------------------------

local function check_request(fields)
  if fields.response_type ~= "code" then return refusal.new(900144, "response_type") end
  if fields.code_challenge then
    local method = fields.code_challenge_method or "plain"
    if method ~= "S256" and method ~= "plain" then return refusal.new(9002313) end
    if #fields.code_challenge < 43 or #fields.code_challenge > 128 then return refusal.new(50147) end
  end
end

--- Whom the browser knows, unless the client says who it has to be.
local function find_person(login, fields)
  local person = login:person_at_browser()
  if not fields.login_hint then return person end
  local user = login.store:find_user(fields.login_hint)
  if not user then return nil, refusal.new(50034, fields.login_hint) end
  return { user = user, decline = person.decline }
end

local function check_consent(fields, scope, app)
  local granted, problem = scopes.granted(scope, app)
  if granted then return nil end
  if fields.prompt == "none" then return refusal.as("consent_required", problem.number, app.client_id) end
  return refusal.new(90094)
end

--- The code, or why there is none.
local function decide(login, ctx, app, person)
  local fields = ctx.fields
  local scope, problem = scopes.parse(ctx, fields.scope)
  problem = problem or login:check_resource(scope)
  if problem then return nil, problem end
  if person.decline then return nil, refusal.new(65004) end
  problem = check_consent(fields, scope, app)
  if problem then return nil, problem end
  local code = login:opaque("1.A", 600)
  login.codes[code] = {
    client_id = app.client_id, user = person.user, scope = scope, redirect_uri = fields.redirect_uri,
    challenge = fields.code_challenge, method = fields.code_challenge_method or "plain", nonce = fields.nonce,
    mfa = true, serial = login.identity:stamp(), expires = ctx.now + login:span(LIFETIME),
  }
  return code
end

--- GET /{tenant}/oauth2/v2.0/authorize
---
--- What is wrong before the redirect URI is known to be the app's is shown and not redirected; so is what the
--- person could not get past.
---@param login msgraph.sim.Login
---@param ctx msgraph.sim.Context
---@return msgraph.sim.Answer?
---@return msgraph.sim.Refusal?
function M.authorize(login, ctx)
  local fields = ctx.fields
  local app, problem = login:find_app(ctx)
  if not app then return nil, problem end
  problem = login:check_directory(ctx, app)
  if problem then return nil, problem end
  local uri = fields.redirect_uri
  if not uri or not is_registered(app, uri) then return nil, refusal.new(50011, uri or "", app.client_id) end
  local person
  person, problem = find_person(login, fields)
  problem = problem or login:check_user(person.user, true)
  if problem then return nil, problem end

  local code
  problem = check_request(fields)
  if not problem then code, problem = decide(login, ctx, app, person) end
  ctx.login.user = person.user.userPrincipalName
  ctx.login.error, ctx.login.code = problem and problem.error, problem and problem.number
  local send = MODES[fields.response_mode or "query"] or MODES.query
  return send(uri, {
    { "code", code }, { "error", problem and problem.error },
    { "error_description", problem and refusal.description(ctx, problem) },
    { "state", fields.state }, { "session_state", code and ctx.request_id },
  })
end

return M
