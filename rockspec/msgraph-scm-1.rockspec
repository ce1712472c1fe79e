-- The client. Run `luarocks make rockspec/msgraph-scm-1.rockspec` in the tree; what is built and
-- installed is the Makefile's to know. The headers of libcurl and OpenSSL are found through pkg-config: a list of
-- external_dependencies would look for them in /usr/include alone, and Debian keeps curl's elsewhere.
rockspec_format = "3.0"
package = "msgraph"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "Microsoft Graph for Lua: remove a leaver's devices from management, over a core in C",
  detailed = [[
    A Graph client for Lua 5.4 with an HTTP core in C over libcurl. Inside a task a call yields, outside
    it waits; it never owns the loop of its host.
  ]],
  license = "MIT",
  labels = { "graph", "intune", "http", "automation" },
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.4, < 5.5",
  "lua-cjson >= 2.1.0",
  "argparse >= 0.7.0",
}
build = {
  type = "make",
  build_target = "core",
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LUA = "$(LUA)",
    LUA_INCLUDE = "-I$(LUA_INCDIR)",
  },
  install_target = "install-client",
  install_variables = {
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
    BINDIR = "$(BINDIR)",
  },
}
