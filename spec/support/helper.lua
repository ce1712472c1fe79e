-- spec/support/helper.lua
--- Loaded first: what specs share. Certificates, servers, and a token that must never be seen.
local M = {}

--- The token every spec uses. `helper.silent` tells whether text keeps quiet about it.
M.TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJzcGVjIjoiZG8gbm90IHNob3cifQ.c2lnbmF0dXJlLW9mLXRoZS1zcGVj"

local secrets = require "spec.support.secrets"
secrets.watch()
secrets.secret(M.TOKEN)

local ROOT = debug.getinfo(1, "S").source:match("^@(.*)spec/support/helper%.lua$")
if ROOT == "" then ROOT = "./" end
M.ROOT = ROOT

--- The Lua this runs in, for child processes.
M.LUA = arg and arg[-1] or "lua5.4"

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end
M.quote = quote

--- Runs a shell command; returns what it printed, raises with it when it fails.
function M.sh(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1", "r"))
  local out = pipe:read("a")
  local ok, _, code = pipe:close()
  if not ok then error(("command failed (%s): %s\n%s"):format(tostring(code), command, out), 2) end
  return out
end

function M.read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

function M.write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- ---- a folder that goes when the run ends -------------------------------------------------------

local folder

--- A private temporary folder of this run.
function M.tmp()
  if folder then return folder.path end
  local path = M.sh("mktemp -d"):match("%S+")
  folder = setmetatable({ path = path }, { __gc = function() os.execute("rm -rf " .. quote(path)) end })
  return path
end

-- ---- certificates -------------------------------------------------------------------------------

-- Two authorities, and leaf certificates: right, for another name, expired, by the other authority.
local MAKE_CERTS = [[
set -e
cd %s
authority() {
  openssl ecparam -genkey -name prime256v1 -noout -out $1.key
  openssl req -x509 -new -key $1.key -subj "/CN=spec authority $1" -days 2 -out $1.pem \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
  mkdir $1.db && touch $1.db/index.txt && echo 01 > $1.db/serial
  cat > $1.cnf <<END
[ca]
default_ca=me
[me]
database=$1.db/index.txt
serial=$1.db/serial
new_certs_dir=$1.db
default_md=sha256
policy=any
copy_extensions=copy
unique_subject=no
[any]
commonName=supplied
END
}
leaf() { # name, authority, subjectAltName, start, end
  openssl ecparam -genkey -name prime256v1 -noout -out $1.key
  openssl req -new -key $1.key -subj "/CN=$1" -addext "subjectAltName=$3" -out $1.csr
  openssl ca -batch -notext -config $2.cnf -cert $2.pem -keyfile $2.key -in $1.csr -out $1.pem -startdate $4 -enddate $5
}
authority ca
authority stranger
LOCAL=DNS:localhost,IP:127.0.0.1
leaf right ca $LOCAL 20200101000000Z 20491231235959Z
leaf wrong_name ca DNS:graph.example.com 20200101000000Z 20491231235959Z
leaf expired ca $LOCAL 20200101000000Z 20210101000000Z
leaf untrusted stranger $LOCAL 20200101000000Z 20491231235959Z
]]

local certs

--- The folder with ca.pem, and right, wrong_name, expired, untrusted as .pem and .key.
function M.certs()
  if certs then return certs end
  local dir = M.tmp() .. "/certs"
  M.sh("mkdir -p " .. quote(dir))
  M.sh(MAKE_CERTS:format(quote(dir)))
  certs = dir
  return certs
end

-- ---- the few-lines TLS server -------------------------------------------------------------------

local Server = {}
Server.__index = Server

--- Raw requests received so far, in order.
function Server:requests()
  local file, out = io.open(self.log, "rb"), {}
  if not file then return out end
  for line in file:lines("l") do out[#out + 1] = file:read(tonumber(line)) end
  file:close()
  return out
end

function Server:stop()
  if not self.pipe then return end
  os.execute("kill " .. self.pid)
  self.pipe:close()
  self.pipe = nil
end
Server.__close = Server.stop
Server.__gc = Server.stop

local servers = 0

--- Starts a TLS server with scripted answers (see tls_server.lua).
---@param answers table[]|string one answer's bytes, or a list of answers
---@param cert? string default "right"
function M.server(answers, cert)
  if type(answers) == "string" then answers = { { bytes = answers, after = "keep" } } end
  servers = servers + 1
  local base, name = M.tmp() .. "/server" .. servers, M.certs() .. "/" .. (cert or "right")
  local lines = {}
  for _, answer in ipairs(answers) do
    lines[#lines + 1] = ("{ bytes = %q, filler = %d, after = %q },")
      :format(answer.bytes or "", answer.filler or 0, answer.after or "keep")
  end
  M.write_file(base .. ".lua", ("return { cert = %q, key = %q, log = %q, answers = { %s } }\n")
    :format(name .. ".pem", name .. ".key", base .. ".log", table.concat(lines, "\n")))
  local command = ("echo $$; exec %s %s %s"):format(M.LUA,
    quote(ROOT .. "spec/support/tls_server.lua"), quote(base .. ".lua"))
  local pipe = assert(io.popen(command, "r"))
  local pid, port = pipe:read("l", "l")
  assert(port, "the TLS server did not start")
  return setmetatable({ pipe = pipe, pid = pid, port = tonumber(port), log = base .. ".log",
    endpoint = "https://127.0.0.1:" .. port }, Server)
end

--- An HTTP/1.1 answer's bytes.
function M.answer(status, body, headers)
  local lines = { ("HTTP/1.1 %s"):format(status) }
  for name, value in pairs(headers or {}) do lines[#lines + 1] = ("%s: %s"):format(name, value) end
  if not tostring(status):find("^204") then lines[#lines + 1] = ("Content-Length: %d"):format(#(body or "")) end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

--- A JSON answer's bytes.
function M.json_answer(status, body, headers)
  local all = { ["Content-Type"] = "application/json" }
  for name, value in pairs(headers or {}) do all[name] = value end
  return M.answer(status, body, all)
end

--- A port on loopback that nothing listens on.
function M.closed_port()
  local listener = assert(require("socket").bind("127.0.0.1", 0))
  local _, port = listener:getsockname()
  listener:close()
  return tonumber(port)
end

-- ---- clients ------------------------------------------------------------------------------------

--- A client of a spec server (or of any endpoint), with our token and authority.
---@param endpoint string
---@param opts? table more options of graph.connect
function M.client(endpoint, opts)
  local graph = require "msgraph"
  local all = { endpoint = endpoint, ca_file = M.certs() .. "/ca.pem", auth = graph.auth.token(M.TOKEN) }
  for name, value in pairs(opts or {}) do all[name] = value end
  return assert(graph.connect(all))
end

--- How many descriptors this process has open, garbage aside.
function M.descriptors()
  collectgarbage()
  local count = 0
  for _ in require("lfs").dir("/proc/self/fd") do count = count + 1 end
  return count - 3 -- ".", "..", and the one this was read with
end

--- Resident memory of this process, in KiB.
function M.resident()
  return tonumber(M.read_file("/proc/self/status"):match("VmRSS:%s*(%d+)"))
end

--- True when nothing in a value (walked through) shows the token or a long part of it.
function M.silent(value, seen)
  seen = seen or {}
  if type(value) == "string" then
    for part in M.TOKEN:gmatch("[^.]+") do
      if value:find(part, 1, true) then return false end
    end
    return true
  end
  if type(value) ~= "table" or seen[value] then return true end
  seen[value] = true
  for key, inner in next, value do
    if not M.silent(key, seen) or not M.silent(inner, seen) then return false end
  end
  return true
end

return M
