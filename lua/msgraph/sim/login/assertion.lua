-- lua/msgraph/sim/login/assertion.lua - signed JWTs as client credentials (FACTS 7.1, 7.2).
--
-- The signature is checked first, with the key that is registered: what an unsigned text claims
-- about itself is nobody's word.
local base64 = require "msgraph.sim.login.base64"
local cjson = require("cjson").new()
local clock = require "msgraph.sim.clock"
local crypto = require "msgraph.sim.server"
local refusal = require "msgraph.sim.login.refusal"

local M = {}

--- Clocks may be this far apart, in seconds.
local SKEW <const> = 300

local ALGORITHMS = { PS256 = true, RS256 = true }

local function object(part)
  local text = base64.decode(part)
  local ok, value = pcall(cjson.decode, text or "")
  return ok and type(value) == "table" and value or nil
end

---@class msgraph.sim.Jwt
---@field header table
---@field claims table
---@field signed string      what the signature is of
---@field signature string

local function malformed(what)
  return nil, refusal.new(50027, what)
end

---@param text string
---@return msgraph.sim.Jwt?
---@return msgraph.sim.Refusal?
local function parse(text)
  local head, body, tail = text:match("^([^.]*)%.([^.]*)%.([^.]*)$")
  if not head then return malformed("it has not three parts") end
  local jwt = { header = object(head), claims = object(body), signed = head .. "." .. body,
    signature = base64.decode(tail) }
  if not jwt.header or not jwt.claims or not jwt.signature then return malformed("a part cannot be read") end
  if not ALGORITHMS[jwt.header.alg] then return malformed("its alg is neither PS256 nor RS256") end
  return jwt
end

local function verified(jwt, pem)
  return crypto.verify(pem, jwt.header.alg, jwt.signed, jwt.signature)
end

local function date(seconds)
  local ok, text = pcall(clock.iso, seconds)
  return ok and text or "never"
end

--- A token without nbf is good from the beginning; one without exp is not good at all.
local function check_time(claims, now)
  local from, till = tonumber(claims.nbf) or 0, tonumber(claims.exp) or 0
  if now + SKEW >= from and now - SKEW < till then return nil end
  return refusal.new(700024, date(now), date(from), date(till))
end

-- ---- certificates ----------------------------------------------------------------------------

local function find_certificate(app, header)
  local sha256, sha1 = base64.decode(header["x5t#S256"]), base64.decode(header.x5t)
  for _, certificate in ipairs(app.certificates) do
    if certificate.sha256 == sha256 or not sha256 and certificate.sha1 == sha1 then return certificate end
  end
  return nil
end

local function check_certificate(app, jwt, now)
  if tostring(jwt.header.typ):upper() ~= "JWT" then return refusal.new(50027, "its typ is not JWT") end
  local certificate = find_certificate(app, jwt.header)
  if not certificate then return refusal.new(700027, "The key was not found.") end
  if not verified(jwt, certificate.pem) then return refusal.new(700027, "The signature is wrong.") end
  if now < certificate.not_before or now >= certificate.not_after then
    return refusal.new(700027, "The key used is expired.")
  end
end

local function check_claims(login, ctx, app, claims)
  if claims.iss ~= app.client_id or claims.sub ~= app.client_id then return refusal.new(700021) end
  if not login:is_token_endpoint(ctx, claims.aud) then return refusal.new(700023) end
  if type(claims.jti) ~= "string" or claims.jti == "" then return refusal.new(50027, "it has no jti") end
  if login.seen[claims.jti] then return refusal.new(50027, "its jti was used before") end
end

local function by_certificate(login, ctx, app, jwt)
  local problem = check_certificate(app, jwt, ctx.now) or check_claims(login, ctx, app, jwt.claims)
    or check_time(jwt.claims, ctx.now)
  if not problem then login.seen[jwt.claims.jti] = true end
  return problem
end

-- ---- federation ------------------------------------------------------------------------------

--- The credential whose issuer, audience and subject fit; else which of them was the first that never did.
local function find_federated(app, claims)
  local number, value = 700211, claims.iss
  for _, one in ipairs(app.federated) do
    local issuer, audience = one.issuer == claims.iss, one.audience == claims.aud
    if issuer and audience and one.subject == claims.sub then return one end
    if issuer and audience then
      number, value = 700213, claims.sub
    elseif issuer and number ~= 700213 then
      number, value = 700212, claims.aud
    end
  end
  return nil, refusal.new(number, tostring(value))
end

local function by_federation(app, jwt, now)
  local credential, problem = find_federated(app, jwt.claims)
  if not credential then return problem end
  if not verified(jwt, credential.public_key) then
    return refusal.as("invalid_client", 50013)
  end
  return check_time(jwt.claims, now)
end

-- ----------------------------------------------------------------------------------------------

--- Checks a client assertion. One that names another issuer than the app is from a federated one.
---@param login msgraph.sim.Login
---@param ctx msgraph.sim.Context
---@param app msgraph.sim.App
---@param text string
---@return "certificate"|"federated"|nil kind
---@return msgraph.sim.Refusal?
function M.check(login, ctx, app, text)
  local jwt, problem = parse(text)
  if not jwt then return nil, problem end
  if #app.federated > 0 and jwt.claims.iss ~= app.client_id then
    problem = by_federation(app, jwt, ctx.now)
    return not problem and "federated" or nil, problem
  end
  problem = by_certificate(login, ctx, app, jwt)
  return not problem and "certificate" or nil, problem
end

return M
