--- Sign-in that lasts: outages, refusals that are not the token's fault, a certificate replaced in place.
local graph = require "msgraph"
local helper = require "spec.support.helper"
local sign_in = require "spec.support.sign_in"
local sim = require "msgraph.sim"

local function connect(tenant, app, auth)
  return assert(graph.connect {
    endpoint = tenant.endpoint, ca_file = tenant.ca_file, authority = tenant.authority,
    tenant_id = tenant.tenant_id, client_id = app.client_id, auth = auth,
  })
end

describe("a sign-in that lasts", function()
  it("is renewed again before the token ends, when the first renewal failed", function()
    local tenant <close> = assert(sim.start { users = 5, token_lifetime = 4 })
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, app, graph.auth.client_secret { client_secret = app.client_secret })
    assert(client:get "/users?$top=1")
    tenant:fault { kind = "status", status = 503, path = "oauth2", times = 2 }
    for _ = 1, 50 do -- through the end of the first token's life
      assert(client:get "/users?$top=1")
      graph.sleep(0.1)
    end
    assert.is_true(#tenant:token_requests() > 3)
  end)

  it("asks for no new token when a 401 is not about the token", function()
    local tenant <close> = assert(sim.start { users = 5 })
    local app = tenant:app { secret = true }
    local client <close> = connect(tenant, app, graph.auth.client_secret { client_secret = app.client_secret })
    tenant:fault { kind = "status", status = 401, code = "Forbidden", path = "users", times = math.huge }
    for _ = 1, 20 do assert.is_nil((client:get "/users?$top=1")) end
    assert.equal(1, #tenant:token_requests())
  end)

  it("goes on with a certificate that was replaced in its file", function()
    local tenant <close> = assert(sim.start { users = 5, start = os.time() })
    local app = tenant:app { certificate = helper.read_file(sign_in.pair "one" .. ".crt") }
    local path = helper.tmp() .. "/rotated.pem"
    helper.write_file(path, helper.read_file((sign_in.certificate("one", "pem"))))
    local client <close> = connect(tenant, app, graph.auth.certificate { certificate = path })
    assert(client:get "/users?$top=1")
    helper.write_file(path, helper.read_file((sign_in.certificate("two", "pem"))))
    tenant:set_credentials(app.client_id, { certificate = helper.read_file(sign_in.pair "two" .. ".crt") })
    tenant:revoke(app.client_id) -- the token it has is refused from now on
    assert(client:get "/users?$top=1")
  end)
end)
