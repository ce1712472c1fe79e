--- What the sign-in specs share: certificates, federated tokens, users who signed in, and a ledger of every
--- secret that was used and every text that was seen, to be compared at the end.
local base64 = require "msgraph.sim.login.base64"
local core = require "msgraph.core"
local graph = require "msgraph"
local helper = require "spec.support.helper"
local json = require "msgraph.json"
local secrets = require "spec.support.secrets"

local M = {}

M.PASSWORD = "p4ss w0rd/with+signs&more"

-- ---- files ----------------------------------------------------------------------------------------

local MAKE = [[
set -e
cd %s
name=%s
openssl genrsa -out $name.key 2048
openssl rsa -in $name.key -pubout -out $name.pub
mkdir $name.db && touch $name.db/index.txt && echo 01 > $name.db/serial
printf '%%s\n' "[ca]" default_ca=me "[me]" database=$name.db/index.txt serial=$name.db/serial new_certs_dir=$name.db \
  default_md=sha256 policy=any "[any]" commonName=supplied > $name.cnf
openssl req -new -key $name.key -subj "/CN=$name" -out $name.csr
openssl ca -batch -selfsign -notext -config $name.cnf -keyfile $name.key -in $name.csr -out $name.crt \
  -startdate 20200101000000Z -enddate %s1231235959Z
]]

--- A key pair and its self-signed certificate, good from 2020 to the end of 2049 or another year, made when
--- first asked for; the path without ending of .key, .crt and .pub.
---@param name string
---@param last_year? integer
---@return string
function M.pair(name, last_year)
  local base = helper.tmp() .. "/" .. name
  local there = io.open(base .. ".crt")
  if there then
    there:close()
  else
    helper.sh(MAKE:format(helper.quote(helper.tmp()), name, last_year or 2049))
  end
  return base
end

--- One file with a pair's certificate and key, as `form` says: "pem", "pem with password", "pkcs12".
---@return string path
---@return string? password
function M.certificate(name, form)
  local base = M.pair(name)
  local path = ("%s-%s"):format(base, form:gsub("%W", "-"))
  if form == "pem" then
    helper.sh(("cat %s.key %s.crt > %s"):format(base, base, path))
    return path
  end
  local password = ("-passout %s"):format(helper.quote("pass:" .. M.PASSWORD))
  if form == "pkcs12" then
    helper.sh(("openssl pkcs12 -export -inkey %s.key -in %s.crt %s -out %s"):format(base, base, password, path))
  else
    helper.sh(("openssl pkcs8 -topk8 -v2 aes256 -in %s.key %s -out %s && cat %s.crt >> %s")
      :format(base, password, path, base, path))
  end
  return path, M.PASSWORD
end

--- What tenant:app takes as `federated`, for tokens that `name` signs.
function M.federation(name)
  return { issuer = "https://issuer.example", subject = "system:serviceaccount:jobs:leavers",
    public_key = helper.read_file(M.pair(name) .. ".pub") }
end

--- A token that the issuer `name` signs, for the federation above.
---@param claims? table that differ
---@return string
function M.federated_token(name, claims)
  local all = { iss = "https://issuer.example", sub = "system:serviceaccount:jobs:leavers",
    aud = "api://AzureADTokenExchange", nbf = os.time() - 60, exp = os.time() + 600 }
  for key, value in pairs(claims or {}) do all[key] = value end
  local signed = base64.url('{"alg":"RS256","typ":"JWT"}') .. "." .. base64.url(json.encode(all))
  local base = M.pair(name)
  helper.write_file(base .. ".txt", signed)
  helper.sh(("openssl dgst -sha256 -sign %s.key -out %s.sig %s.txt"):format(base, base, base))
  return signed .. "." .. base64.url(helper.read_file(base .. ".sig"))
end

-- ---- users ----------------------------------------------------------------------------------------

local FORM = { headers = { ["Content-Type"] = "application/x-www-form-urlencoded" } }

--- Signs a user in over the device flow, as another program would; the answer of the token endpoint.
---@param tenant msgraph.sim.Running
---@param client_id string of a public app
---@return { refresh_token: string }
function M.user(tenant, client_id, user)
  local client <close> = assert(graph.connect { endpoint = tenant.endpoint, ca_file = tenant.ca_file,
    auth = graph.auth.token "none" })
  local base = tenant.endpoint .. "/" .. tenant.tenant_id .. "/oauth2/v2.0/"
  local scope = core.escape "https://graph.microsoft.com/.default offline_access"
  local device = assert(client:post(base .. "devicecode", ("client_id=%s&scope=%s"):format(client_id, scope), FORM))
  tenant:sign_in { user_code = device.user_code, user = user }
  return assert(client:post(base .. "token", ("grant_type=%s&client_id=%s&device_code=%s")
    :format("urn:ietf:params:oauth:grant-type:device_code", client_id, device.device_code), FORM))
end

-- ---- the ledger -----------------------------------------------------------------------------------

local Ledger = {}
Ledger.__index = Ledger

---@return table
function M.ledger()
  return setmetatable({ secrets = {}, texts = {} }, Ledger)
end

--- Notes a secret; returns it.
function Ledger:secret(text)
  self.secrets[text] = true
  return secrets.secret(text)
end

--- Notes an Error, a log or a text, and all that is in it; returns it.
function Ledger:saw(value)
  secrets.texts(value, self.texts)
  return value
end

--- Raises when a secret shows in any text, or anything looks like a token; returns how many of each there were.
function Ledger:check()
  local count, texts, all = 0, 0, {}
  for text in pairs(self.texts) do
    texts = texts + 1
    all[texts] = text
  end
  local whole = table.concat(all, "\n")
  assert(not whole:find("eyJ[%w_-][%w_-][%w_-][%w_-][%w_-][%w_-][%w_-][%w_-]"), "something looks like a token")
  for secret in pairs(self.secrets) do
    count = count + 1
    for _, form in ipairs(secrets.forms(secret)) do
      assert(#form >= 8, "too short to tell")
      assert(not whole:find(form, 1, true), "a secret shows")
    end
  end
  return count, texts
end

return M
