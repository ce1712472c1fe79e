-- The tenant in a box, for those who test workflows with it. As msgraph-scm-1.rockspec, with libmicrohttpd.
rockspec_format = "3.0"
package = "msgraph-sim"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "A simulated Microsoft Graph tenant on loopback, to test msgraph workflows with",
  detailed = [[
    Serves the Graph paths of offboarding over HTTPS with a certificate authority of its own: seeded users
    and devices, permission checks, device check-in over time, and faults on demand.
  ]],
  license = "MIT",
  labels = { "graph", "intune", "testing" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
  "lua-cjson >= 2.1.0",
}
build = {
  type = "make",
  build_target = "sim",
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LUA = "$(LUA)",
    LUA_INCLUDE = "-I$(LUA_INCDIR)",
  },
  install_target = "install-sim",
  install_variables = {
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
  },
}
