local auth = require "msgraph.auth"
local graph = require "msgraph"
local json = require "msgraph.json"

local SECRET = "Sp3c~secret.of-the_unit%2Bspec"

-- Everything a program may do to look at a value.
local function dump(value, seen)
  seen = seen or {}
  local out = { tostring(value) }
  if type(value) ~= "table" or seen[value] then return out[1] end
  seen[value] = true
  for key, inner in next, value do out[#out + 1] = dump(key, seen) .. "=" .. dump(inner, seen) end
  for key, inner in pairs(value) do out[#out + 1] = dump(key, seen) .. "=" .. dump(inner, seen) end
  out[#out + 1] = dump(getmetatable(value), seen)
  return table.concat(out, "\n")
end

local MADE = {
  token = { SECRET },
  client_secret = { { client_secret = SECRET } },
  certificate = { { certificate = "/c.pem", password = SECRET } },
  workload_identity = { { assertion_file = SECRET } },
  refresh_token = { { refresh_token = SECRET, client_secret = SECRET } },
  on_behalf_of = { { assertion = SECRET, client_secret = SECRET } },
  callback = { function() return SECRET end },
}

describe("a credential", function()
  it("of each kind is made of its options, and known as one", function()
    for kind, args in pairs(MADE) do
      local credential = graph.auth[kind](table.unpack(args))
      assert.equal(kind, credential.kind)
      assert.is_true(auth.is(credential))
    end
    for _, value in ipairs { {}, "x", 5, setmetatable({}, {}) } do assert.is_false(auth.is(value)) end
  end)

  it("shows nothing of what it holds", function()
    for kind, args in pairs(MADE) do
      local credential = graph.auth[kind](table.unpack(args))
      local seen = dump(credential) .. json.encode { credential = credential } .. ("%s"):format(credential)
      assert.is_nil(seen:find(SECRET, 1, true), kind)
      assert.equal(("msgraph.Credential(%s, ***)"):format(kind), tostring(credential))
    end
  end)

  it("shows nothing in a client either", function()
    local client <close> = assert(graph.connect { auth = graph.auth.client_secret(MADE.client_secret[1]),
      tenant_id = "contoso.com", client_id = "app", endpoint = "https://127.0.0.1:1" })
    assert.is_nil(dump(client):find(SECRET, 1, true))
  end)

  it("keeps its own options, not the caller's table", function()
    local opts = { client_secret = SECRET }
    local credential = graph.auth.client_secret(opts)
    opts.client_secret, opts.tenant_id = nil, "x\n"
    local client <close> = assert(graph.connect { auth = credential, tenant_id = "t", client_id = "c" })
    assert.is_truthy(client)
  end)
end)

describe("options of a credential", function()
  for _, case in ipairs {
    { "client_secret",     nil,                                           "a table is expected, got nil" },
    { "client_secret",     SECRET,                                        "a table is expected, got string" },
    { "client_secret",     {},                                            "option 'client_secret' is missing" },
    { "client_secret",     { client_secret = "" },                        "'client_secret' is empty" },
    { "client_secret",     { client_secret = SECRET .. "\n" },            "'client_secret' holds a line end" },
    { "client_secret",     { client_secret = SECRET .. "\0x" },           "control character" },
    { "client_secret",     { client_secret = 5 },                         "must be a string, got number" },
    { "client_secret",     { client_secret = SECRET, certificate = "c" }, "unknown option 'certificate'" },
    { "client_secret",     { client_secret = SECRET, tenant = "t" },      "unknown option 'tenant'" },
    { "client_secret",     { client_secret = SECRET, tenant_id = "" },    "'tenant_id' is empty" },
    { "client_secret",     { SECRET },                                    "unknown option '1'" },
    { "certificate",       { password = SECRET },                         "option 'certificate' is missing" },
    { "certificate",       { certificate = "c", rs256 = "yes" },          "'rs256' must be a boolean, got string" },
    { "workload_identity", {},                                            "option 'assertion_file' is missing" },
    { "refresh_token",     { client_secret = SECRET },                    "option 'refresh_token' is missing" },
    { "refresh_token",     { refresh_token = SECRET, client_secret = SECRET, certificate = "c" },
      "'client_secret' and 'certificate' exclude each other" },
    { "on_behalf_of",      { client_secret = SECRET },                    "option 'assertion' is missing" },
    { "on_behalf_of",      { assertion = SECRET }, "one of client_secret, certificate, assertion_file is missing" },
    { "callback",          SECRET,                                        "a function is expected, got string" },
  } do
    it(("wrong ones raise where the caller stands: %s: %s"):format(case[1], case[3]), function()
      local ok, message = pcall(function() graph.auth[case[1]](case[2]) end)
      assert.is_false(ok)
      assert.matches("^spec/unit/auth_spec.lua:%d+: auth%." .. case[1] .. ": ", message)
      assert.matches(case[3], message, 1, true)
      assert.is_nil(message:find(SECRET, 1, true))
    end)
  end

  it("may leave tenant and client to connect, where somebody has to say them", function()
    local credential = graph.auth.client_secret { client_secret = SECRET }
    for _, case in ipairs {
      { {},                    "tenant_id" },
      { { client_id = "c" },   "tenant_id" },
      { { tenant_id = "t" },   "client_id" },
    } do
      case[1].auth = credential
      local client, err = graph.connect(case[1])
      assert.is_nil(client)
      assert.equal("invalid", err.kind)
      assert.equal("bad_option", err.code)
      assert.matches("auth.client_secret: there is no " .. case[2], err.message, 1, true)
      assert.matches("AZURE_" .. case[2]:upper(), err.hint, 1, true)
    end
    for _, own in ipairs { { tenant_id = "t" }, {} } do
      own.client_secret, own.client_id = SECRET, "c"
      local client <close> = assert(graph.connect { auth = graph.auth.client_secret(own), tenant_id = "t2" })
      assert.is_truthy(client)
    end
  end)

  for _, case in ipairs {
    { { authority = "http://login.example" },        "authority: it must begin with https://" },
    { { authority = "https://login.example/common" }, "authority: " },
    { { tenant_id = ".." },                          "tenant_id: " },
    { { auth = graph.auth.certificate { certificate = "/no/such.pem", password = SECRET } },
      "certificate /no/such.pem: No such file" },
  } do
    it("the core cannot use come back from connect: " .. case[2], function()
      local opts = { auth = graph.auth.client_secret { client_secret = SECRET }, tenant_id = "t", client_id = "c" }
      for name, value in pairs(case[1]) do opts[name] = value end
      local client, err = graph.connect(opts)
      assert.is_nil(client)
      assert.equal("bad_option", err.code)
      assert.matches(case[2], err.message, 1, true)
      assert.is_nil(tostring(err):find(SECRET, 1, true))
    end)
  end
end)
