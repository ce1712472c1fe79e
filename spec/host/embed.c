/* spec/host/embed.c - a plain C program that embeds Lua 5.4 and uses msgraph, with its own allocator
 * and a memory limit, in as many threads and states as asked for.
 *
 *     embed LIMIT_BYTES THREADS SCRIPT     LIMIT_BYTES 0: none
 *
 * Prints what each script returned, "THREAD: TEXT", and "THREAD: error: TEXT" for an error. Ends with 1
 * when a state did not give all of its memory back. A script can call in_child(fn): runs fn in a
 * forked child and returns its result, or the text of its error.
 */
#include "memory.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct guest {
    pthread_t     thread;
    struct memory memory;
    const char   *script;
    int           number;
};

/* in_child(fn) -> text */
static int in_child(lua_State *L)
{
    int     ends[2];
    char    text[512];
    ssize_t n = pipe(ends) == 0 ? 0 : luaL_error(L, "no pipe");
    if (fork() == 0) {
        lua_pcall(L, 0, 1, 0);
        const char *said = luaL_tolstring(L, -1, NULL);
        n                = write(ends[1], said, strlen(said));
        lua_gc(L, LUA_GCCOLLECT, 0); /* finalizers run there too */
        _exit(n < 0);
    }
    close(ends[1]);
    n = read(ends[0], text, sizeof text);
    close(ends[0]);
    lua_pushlstring(L, text, n > 0 ? (size_t)n : 0);
    return 1;
}

static int run_script(lua_State *L)
{
    luaL_openlibs(L);
    lua_register(L, "in_child", in_child);
    if (luaL_loadfile(L, lua_touserdata(L, 1)) != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 1);
    luaL_tolstring(L, -1, NULL);
    return 1;
}

static void *guest_main(void *arg)
{
    struct guest *g = arg;
    lua_State    *L = lua_newstate(memory_alloc, &g->memory);
    if (L == NULL) {
        printf("%d: error: no state\n", g->number);
        return NULL;
    }
    lua_pushcfunction(L, run_script);
    lua_pushlightuserdata(L, (void *)g->script);
    int rc = lua_pcall(L, 1, 1, 0);
    printf("%d: %s%s\n", g->number,
           rc == LUA_OK ? "" : "error: ", lua_tostring(L, -1) != NULL ? lua_tostring(L, -1) : "?");
    lua_close(L);
    return NULL;
}

int main(int argc, char **argv)
{
    struct guest guests[16];
    int          n = argc == 4 ? atoi(argv[2]) : 0, left = 0;
    if (n < 1 || n > 16) {
        fprintf(stderr, "usage: embed LIMIT_BYTES THREADS SCRIPT\n");
        return 2;
    }
    for (int i = 0; i < n; i++) {
        guests[i]        = (struct guest){.script = argv[3], .number = i + 1};
        guests[i].memory = (struct memory){.limit = strtoul(argv[1], NULL, 10), .dry_at = -1};
        if (pthread_create(&guests[i].thread, NULL, guest_main, &guests[i]) != 0)
            return 2;
    }
    for (int i = 0; i < n; i++) {
        pthread_join(guests[i].thread, NULL);
        left += guests[i].memory.used != 0;
    }
    return left != 0;
}
