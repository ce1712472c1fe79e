/* spec/host/test_sqlite.c - msgraph.store while memory runs dry at allocation n, Lua's or SQLite's, for
 * n = 0, 1, 2, ... until the scenario passes untouched.
 *
 * After each n the database must still be whole and take a transaction: the failed one left nothing, not
 * half of itself, and no lock. At the end no byte of either is left.
 */
#include "../core/check.h"
#include "memory.h"

#include <lauxlib.h>
#include <lualib.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <unistd.h>

enum { LONGEST = 100000 };

static const char guest_script[] =
    "local store = require 'msgraph.store'\n"
    "local path = ...\n"
    "local function must(ok, err) if ok == nil then error(err, 0) end return ok end\n"
    "local function work()\n"
    "  local db <close> = must(store.open(path, { create = true }))\n"
    "  must(db:exec 'PRAGMA journal_mode = WAL')\n"
    "  must(db:exec 'CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b, c)')\n"
    "  must(db:transaction(function()\n"
    "    must(db:exec('INSERT INTO t(b, c) VALUES (?, ?)', 'text', store.blob(('x'):rep(5000))))\n"
    "    must(db:exec('INSERT INTO t(b, c) VALUES (?, ?)', 1 << 62, 0.5))\n"
    "  end))\n"
    "  local n = 0\n"
    "  for row in db:rows 'SELECT a, b, c FROM t ORDER BY a' do n = n + (row.c and 1 or 0) end\n"
    "  must(n == #must(db:all 'SELECT a FROM t') or nil, 'rows are missing')\n"
    "  must(n % 2 == 0 or nil, 'half a transaction is there')\n"
    "  local _, err = db:exec 'SELEC'\n"
    "  must(tostring(err))\n"
    "  must(db:exec 'DELETE FROM t')\n"
    "  store.hash(store.uuid(store.uuid(), 'name'))\n"
    "end\n"
    "work()\n"
    "return work\n";

static struct memory lua_memory = {.dry_at = -1}, sqlite_memory = {.dry_at = -1};

/* ---- SQLite's allocator: the size is kept before the block ------------------------------------- */

enum { HEAD = 16 };

static void *sq_malloc(int n)
{
    char *p = memory_alloc(&sqlite_memory, NULL, 0, (size_t)n + HEAD);
    if (p == NULL)
        return NULL;
    *(size_t *)(void *)p = (size_t)n;
    return p + HEAD;
}

static int sq_size(void *p)
{
    return p != NULL ? (int)*(size_t *)(void *)((char *)p - HEAD) : 0;
}

static void sq_free(void *p)
{
    if (p != NULL)
        memory_alloc(&sqlite_memory, (char *)p - HEAD, (size_t)sq_size(p) + HEAD, 0);
}

static void *sq_realloc(void *p, int n)
{
    char *moved =
        memory_alloc(&sqlite_memory, (char *)p - HEAD, (size_t)sq_size(p) + HEAD, (size_t)n + HEAD);
    if (moved == NULL)
        return NULL;
    *(size_t *)(void *)moved = (size_t)n;
    return moved + HEAD;
}

static int sq_roundup(int n)
{
    return (n + 7) & ~7;
}

static int sq_init(void *arg)
{
    (void)arg;
    return SQLITE_OK;
}

static void sq_shutdown(void *arg)
{
    (void)arg;
}

/* ---- the scenario ------------------------------------------------------------------------------ */

static char folder[] = "/tmp/msgraph-store-XXXXXX";

static lua_State *load_guest(void)
{
    lua_State *L = lua_newstate(memory_alloc, &lua_memory);
    CHECK(L != NULL);
    luaL_openlibs(L);
    CHECK_INT(LUA_OK, luaL_loadstring(L, guest_script));
    lua_pushfstring(L, "%s/x.db", folder);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK)
        fprintf(stderr, "guest: %s\n", luaL_tolstring(L, -1, NULL));
    CHECK(lua_isfunction(L, 1));
    return L;
}

static bool works(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    bool ok = lua_pcall(L, 0, 0, 0) == LUA_OK;
    if (!ok)
        fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
    lua_settop(L, 1);
    return ok;
}

/* True when memory ran dry on the way. */
static bool starve(lua_State *L, struct memory *m, long n)
{
    lua_pushvalue(L, 1);
    m->count  = 0;
    m->dry_at = n;
    lua_pcall(L, 0, 0, 0);
    bool dry  = m->count > n;
    m->dry_at = -1;
    lua_settop(L, 1);
    return dry;
}

static void torture(struct memory *m, const char *whose)
{
    lua_State *L = load_guest();
    long       n = 0;
    while (n < LONGEST && starve(L, m, n)) {
        lua_gc(L, LUA_GCCOLLECT, 0);
        CHECK(works(L));
        n++;
    }
    printf("# memory of %s ran dry at each of %ld allocations\n", whose, n);
    CHECK(n > 20 && n < LONGEST);
    lua_close(L);
    CHECK_INT(0, lua_memory.used);
}

static void test_lua_runs_dry(void)
{
    torture(&lua_memory, "Lua");
}

static void test_sqlite_runs_dry(void)
{
    torture(&sqlite_memory, "SQLite");
}

static void test_nothing_is_left(void)
{
    CHECK_INT(SQLITE_OK, sqlite3_shutdown());
    CHECK_INT(0, sqlite_memory.used);
}

int main(void)
{
    static const sqlite3_mem_methods methods = {sq_malloc,  sq_free, sq_realloc,  sq_size,
                                                sq_roundup, sq_init, sq_shutdown, NULL};
    if (mkdtemp(folder) == NULL || sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
        return 2;
    RUN(test_lua_runs_dry);
    RUN(test_sqlite_runs_dry);
    RUN(test_nothing_is_left);
    char path[64];
    snprintf(path, sizeof path, "%s/x.db", folder);
    unlink(path);
    rmdir(folder);
    return REPORT("sqlite");
}
