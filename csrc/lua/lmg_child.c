/* csrc/lua/lmg_child.c - the msgraph.core.Child userdata over struct mgc_child. */
#include "core/base/child.h"
#include "lua/lmg.h"

#include <string.h>

#define LMG_CHILD "msgraph.core.Child"

struct lmg_child {
    struct mgc_child *core; /* NULL when closed or not yet started */
};

struct mgc_child *lmg_check_child(lua_State *L, int arg)
{
    struct lmg_child *h = luaL_checkudata(L, arg, LMG_CHILD);
    luaL_argcheck(L, h->core != NULL, arg, "child is closed");
    return h->core;
}

/* child:close() */
static int child_close(lua_State *L)
{
    struct lmg_child *h    = luaL_checkudata(L, 1, LMG_CHILD);
    struct mgc_child *core = h->core;
    h->core                = NULL; /* first: closing twice is harmless */
    mgc_child_free(core);
    return 0;
}

/* Pushes the array of arguments as a userdata; the texts are lent by the table at 1. */
static const char **push_arguments(lua_State *L)
{
    size_t n = lua_rawlen(L, 1);
    luaL_argcheck(L, n > 0, 1, "the program is missing");
    const char **argv = lua_newuserdatauv(L, (n + 1) * sizeof *argv, 0);
    for (size_t i = 0; i < n; i++) {
        if (lua_rawgeti(L, 1, (lua_Integer)i + 1) !=
            LUA_TSTRING) /* a number would be converted, and not lent */
            luaL_argerror(L, 1, "arguments must be strings");
        argv[i] = lua_tostring(L, -1);
        if (strlen(argv[i]) != lua_rawlen(L, -1))
            luaL_argerror(L, 1, "arguments must be free of NUL bytes");
        lua_pop(L, 1);
    }
    argv[n] = NULL;
    return argv;
}

struct args {
    const char *input;
    size_t      input_len;
};

static const struct lmg_field fields[] = {
    {"input", LMG_TEXT, false, offsetof(struct args, input), offsetof(struct args, input_len)},
};

/* core.child{ program, argument..., input = text } -> Child | nil, failure */
int lmg_child(lua_State *L)
{
    struct args a = {0};
    lua_settop(L, 1);
    lmg_read(L, 1, fields, sizeof fields / sizeof fields[0], &a);
    const char      **argv = push_arguments(L);
    struct lmg_child *h    = lua_newuserdatauv(L, sizeof *h, 0);
    h->core                = NULL;
    luaL_setmetatable(L, LMG_CHILD);

    struct mgc_error e;
    mgc_code         rc = mgc_child_new(&h->core, argv, a.input, a.input_len, &e);
    return rc == MGC_OK ? 1 : lmg_fail(L, &e);
}

/* child:step() -> "running" | "ended", status | nil, failure */
static int child_step(lua_State *L)
{
    struct mgc_child *c = lmg_check_child(L, 1);
    struct mgc_error  e;
    if (mgc_child_step(c, &e) != MGC_OK)
        return lmg_fail(L, &e);
    if (!mgc_child_ended(c)) {
        lua_pushliteral(L, "running");
        return 1;
    }
    lua_pushliteral(L, "ended");
    lua_pushinteger(L, mgc_child_status(c));
    return 2;
}

static int push_buf(lua_State *L, const struct mgc_buf *b)
{
    lua_pushlstring(L, mgc_buf_text(b), b->len);
    return 1;
}

/* child:output() -> text */
static int child_output(lua_State *L)
{
    return push_buf(L, mgc_child_output(lmg_check_child(L, 1)));
}

/* child:stderr() -> text */
static int child_stderr(lua_State *L)
{
    return push_buf(L, mgc_child_stderr(lmg_check_child(L, 1)));
}

void lmg_child_register(lua_State *L)
{
    static const luaL_Reg methods[] = {{"step", child_step},
                                       {"output", child_output},
                                       {"stderr", child_stderr},
                                       {"close", child_close},
                                       {NULL, NULL}};
    lmg_new_type(L, LMG_CHILD, methods, child_close);
}
