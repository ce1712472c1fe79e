-- Workflows that survive a crash, and their journal. As msgraph-scm-1.rockspec, which it needs, with SQLite.
rockspec_format = "3.0"
package = "msgraph-offboard"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "Offboarding workflows for msgraph: planned, journalled, resumed",
  detailed = [[
    Keeps what is planned, intended, sent and found out in one SQLite file that several processes share, so that a run
    that is killed anywhere goes on without losing an action or repeating one that was done.
  ]],
  license = "MIT",
  labels = { "graph", "intune", "workflow" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
  "msgraph",
}
build = {
  type = "make",
  build_target = "store",
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LUA = "$(LUA)",
    LUA_INCLUDE = "-I$(LUA_INCDIR)",
  },
  install_target = "install-offboard",
  install_variables = {
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
  },
}
