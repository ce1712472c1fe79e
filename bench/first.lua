-- bench/first.lua URL TRUST TOKEN_FILE - one call, written as a user would; TRUST "system": the system's authorities.
local graph = require "msgraph"

local url, trust, token_file = table.unpack(arg)
local client <close> = assert(graph.connect {
  endpoint = url,
  ca_file = trust ~= "system" and trust or nil,
  auth = graph.auth.token((assert(io.open(token_file)):read())),
})
assert(client:remove_all_devices "ada@contoso.com")
