/* spec/host/torture.c - the Lua path while the state's memory runs dry at allocation n, for
 * n = 0, 1, 2, ... until the scenario passes untouched.
 *
 * From n on every allocation fails until the scenario has unwound. One state lives through all of it,
 * so that what an earlier n left behind would be seen: the client must still work, and at
 * the end no descriptor and no byte may be left. Modules are loaded before: what the parser
 * does without memory is Lua's own affair.
 */
#include "memory.h"

#include <dirent.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST = 100000 };

static const char server_script[] =
    "local sim = require 'msgraph.sim'\n"
    "tenant = assert(sim.start { users = 10, seed = 1, speed = 600 })\n"
    "return tenant.endpoint, tenant.ca_file, tenant:token { expires_in = 1e9 }\n";

static const char guest_script[] =
    "local endpoint, ca_file, token = ...\n"
    "local graph = require 'msgraph'\n"
    "local function work()\n"
    "  local client <close> = assert(graph.connect { endpoint = endpoint, ca_file = ca_file,\n"
    "    auth = graph.auth.token(token) })\n"
    "  assert(client:remove_all_devices 'ada@contoso.com')\n"
    "  local page = assert(client:get('/users', { query = { ['$top'] = 2 } }))\n"
    "  assert(#page.value == 2)\n"
    "  local done = graph.map({ 'ada@contoso.com', 'nobody@contoso.com' }, { concurrency = 2 },\n"
    "    function(user) return client:remove_all_devices(user) end)\n"
    "  assert(done[1] and not done[2])\n"
    "  local task = graph.spawn(function() return client:post('/users', { a = graph.array {} }) "
    "end)\n"
    "  local ok, err = task:join()\n"
    "  assert(not ok and tostring(err))\n"
    "  graph.sleep(0.001)\n"
    "end\n"
    "work()\n"
    "return work\n";

static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int  n = 0;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* The server lives in this process too, and closes its ends a moment after us. */
static int descriptors_at_rest(int wanted)
{
    for (int i = 0; i < 500 && descriptors() != wanted; i++)
        usleep(10000);
    return descriptors();
}

static lua_State *start_server(char at[3][4096])
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_dostring(L, server_script) != LUA_OK) {
        fprintf(stderr, "server: %s\n", lua_tostring(L, -1));
        exit(2);
    }
    for (int i = 0; i < 3; i++)
        snprintf(at[i], 4096, "%s", lua_tostring(L, i - 3));
    return L;
}

/* Leaves the scenario as a function on the stack, having run it once. */
static void load_guest(lua_State *L, char at[3][4096])
{
    luaL_openlibs(L);
    int rc = luaL_loadstring(L, guest_script);
    for (int i = 0; i < 3; i++)
        lua_pushstring(L, at[i]);
    if (rc != LUA_OK || lua_pcall(L, 3, 1, 0) != LUA_OK) {
        fprintf(stderr, "guest: %s\n", lua_tostring(L, -1));
        exit(2);
    }
}

static bool works(lua_State *L)
{
    lua_pushvalue(L, 1);
    bool ok = lua_pcall(L, 0, 0, 0) == LUA_OK;
    if (!ok) {
        fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
        lua_settop(L, 1);
    }
    return ok;
}

/* True when memory ran dry on the way. */
static bool starve(lua_State *L, struct memory *m, long n)
{
    lua_pushvalue(L, 1);
    m->count  = 0;
    m->dry_at = n;
    int  rc   = lua_pcall(L, 0, 0, 0);
    bool dry  = m->count > n;
    m->dry_at = -1;
    if (rc == LUA_OK && dry)
        m->count = n; /* it can do without that one */
    lua_settop(L, 1);
    return dry;
}

static bool torture(lua_State *L, struct memory *m)
{
    long n = 0;
    while (n < LONGEST && starve(L, m, n)) {
        if (n % 25 == 0 && !works(L)) {
            fprintf(stderr, "does not work any more after n = %ld\n", n);
            return false;
        }
        n++;
    }
    printf("# the Lua path: memory ran dry at each of %ld allocations\n", n);
    return n > 100 && n < LONGEST && works(L); /* the last task of a broken run is let go of here */
}

int main(void)
{
    char          at[3][4096];
    struct memory memory = {.dry_at = -1};
    lua_State    *server = start_server(at);
    lua_State    *L      = lua_newstate(memory_alloc, &memory);
    load_guest(L, at);
    lua_gc(L, LUA_GCCOLLECT, 0);
    usleep(100000); /* the warm-up's connections are closed on both sides */
    int  before = descriptors();
    bool ok     = torture(L, &memory);
    /* Clients that nobody could close end at the loop's next rest. Twice: failed tasks have finalizers. */
    lua_gc(L, LUA_GCCOLLECT, 0);
    lua_gc(L, LUA_GCCOLLECT, 0);
    ok        = ok && works(L);
    int after = descriptors_at_rest(before);
    if (after != before)
        ok = fprintf(stderr, "%d descriptors before, %d after\n", before, after) < 0;
    lua_close(L);
    if (memory.used != 0)
        ok = fprintf(stderr, "%zu bytes were not given back\n", memory.used) < 0;
    lua_close(server);
    printf("lua torture: %d passed, %d failed\n", ok, !ok);
    return !ok;
}
