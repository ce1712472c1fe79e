--- A leaver workflow from plan to report, killed, on a disk that is full for a while, and traced: no password that was
--- set, no client secret and no token is in any file it leaves or in anything it prints.
local disk = require "spec.support.disk"
local helper = require "spec.support.helper"
local leavers = require "spec.support.leavers"
local program = require "spec.support.program"
local secrets = require "spec.support.secrets"
local spec = require "msgraph.sim.spec"

local t, folder, unmount, env, printed

setup(function()
  folder, unmount = disk.mount "8m"
  t = spec.start { users = 40, seed = 1, start = os.time() }
  env = { MSGRAPH_ENDPOINT = t.tenant.endpoint, MSGRAPH_CA_FILE = t.tenant.ca_file,
    MSGRAPH_SPEC_PASSWORDS = helper.tmp() .. "/passwords" }
  printed = {}
end)

teardown(function()
  t:__close()
  if unmount then getmetatable(unmount).__close() end
end)

-- What a run is signed in with: an application's secret, or a token.
local function sign_in(with)
  local app = t.tenant:app { secret = true, roles = spec.permissions() }
  for name, value in pairs { AZURE_TENANT_ID = t.tenant.tenant_id, AZURE_CLIENT_ID = app.client_id,
    AZURE_CLIENT_SECRET = app.client_secret, AZURE_AUTHORITY_HOST = t.tenant.authority .. "/" } do
    env[name] = with == "secret" and value or nil
  end
  env.MSGRAPH_ACCESS_TOKEN = with == "token" and t.tenant:token { scopes = spec.permissions(), expires_in = 1e9 } or nil
  return env.MSGRAPH_ACCESS_TOKEN or app.client_secret
end

local function note(ended)
  printed[#printed + 1] = ended.out .. ended.err
  return ended
end

local function applier(...) return note(program.run({ helper.LUA, "spec/support/applier.lua", ... }, env)) end

-- Every byte of it: what was printed, and the files, with what SQLite has beside them.
local function artefacts()
  local list = { printed = table.concat(printed) }
  for name in helper.sh(("find %s -type f ! -name fill"):format(folder)):gmatch "[^\n]+" do
    list[name:match "[^/]+$"] = helper.read_file(name)
  end
  return list
end

local function check(known)
  local words, files = {}, artefacts()
  for _, secret in ipairs(known) do
    for _, form in ipairs(secrets.forms(secret)) do words[#words + 1] = form end
  end
  local made = 0
  for password in io.lines(env.MSGRAPH_SPEC_PASSWORDS) do
    assert.equal(32, #password)
    made = made + 1
    for _, form in ipairs(secrets.forms(password)) do words[#words + 1] = form end
  end
  for name, text in pairs(files) do
    for _, word in ipairs(words) do assert.is_nil(text:find(word, 1, true), name) end
    assert.is_nil(text:find "eyJ[%w_-]+%.[%w_-]", name .. " holds a token")
  end
  return files, made
end

it("an offboarding holds no secret, whatever becomes of it", function()
  if not folder then return pending "no file system may be mounted here" end
  local path, journal = folder .. "/friday.plan", folder .. "/friday.journal"
  local people = helper.tmp() .. "/leavers.csv"
  helper.write_file(people, "userPrincipalName\n" .. table.concat(leavers.people(t.tenant, 2, { synced = false,
    accountEnabled = true, admin = false }), "\n"))
  local known = { sign_in "secret" }
  local made = applier("plan", "examples/leaver.lua", "--users", people, "--param", "ticket=INC1", "-o", path)
  assert.equal(0, made.code, made.err)
  applier("approve", path, "--as", "spec")
  applier("show", path)

  env.MSGRAPH_SPEC_DIE = "before-outcome password.randomize" -- it is set, and what was in memory is gone
  assert.equal(137, applier("apply", path, "--trace", folder .. "/first.har").code)
  env.MSGRAPH_SPEC_DIE = nil
  local files, passwords = check(known)
  assert.truthy(files["friday.journal-wal"] and #files["friday.journal-wal"] > 0)
  assert.equal(1, passwords)

  known[2] = sign_in "token"
  t.tenant:fault { kind = "latency", seconds = 0.4, method = "PATCH", times = math.huge }
  local before = #t.tenant:requests { method = "PATCH" }
  local process <close> = program.start({ helper.LUA, "spec/support/applier.lua", "resume", "--journal", journal,
    "--trace", folder .. "/second.har" }, env)
  program.await(function() return #t.tenant:requests { method = "PATCH" } > before end)
  disk.fill(folder)
  local stopped = note(process:wait())
  disk.empty(folder)
  t.tenant:clear_faults()
  assert.equal(75, stopped.code, stopped.err)
  local emergency = stopped.err:match "%-%-take%-in (%S+)"
  files = check(known)
  assert.truthy(files[emergency:match "[^/]+$"])

  local resumed = applier("resume", "--journal", journal, "--take-in", emergency, "--trace", folder .. "/third.har")
  assert.equal(21, resumed.code, resumed.err)
  for _, words in ipairs { { "status" }, { "verify", "--trace", folder .. "/fourth.har" },
    { "report", "--out", folder .. "/friday-" } } do
    applier(words[1], "--journal", journal, table.unpack(words, 2))
  end
  applier("show", path, "--json")
  files, passwords = check(known)
  assert.truthy(passwords >= 2)
  for _, name in ipairs { "friday.plan", "friday.journal", "friday-events.jsonl", "friday-results.csv",
    "friday-ops.csv", "first.har", "second.har", "third.har" } do
    assert.truthy(files[name] and #files[name] > 100, name)
  end
end)
