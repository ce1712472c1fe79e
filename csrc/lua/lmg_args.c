/* csrc/lua/lmg_args.c - reads an options table through a description, one message for all. */
#include "lua/lmg.h"

#include <math.h>
#include <string.h>

static _Noreturn void reject(lua_State *L, int arg, const char *name, const char *want)
{
    luaL_argerror(L, arg,
                  lua_pushfstring(L, "%s must be %s, not %s", name, want, luaL_typename(L, -1)));
    for (;;) /* luaL_argerror does not return, but is not declared so */
        ;
}

static void read_text(lua_State *L, int arg, const struct lmg_field *f, char *out)
{
    if (lua_type(L, -1) != LUA_TSTRING) /* a number would be converted in place, and not lent */
        reject(L, arg, f->name, "a string");
    size_t      n;
    const char *text = lua_tolstring(L, -1, &n);
    memcpy(out + f->at, &text, sizeof text);
    if (f->length != LMG_NO_LENGTH)
        memcpy(out + f->length, &n, sizeof n);
    else if (strlen(text) != n)
        reject(L, arg, f->name, "free of NUL bytes");
}

static void read_seconds(lua_State *L, int arg, const struct lmg_field *f, char *out)
{
    lua_Number s = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : 0;
    if (!(s > 0 && s <= LMG_SECONDS_MAX)) /* also refuses NaN */
        reject(L, arg, f->name, "a number of seconds above 0 and up to 30 days");
    int64_t ms = (int64_t)ceil((double)s * 1000);
    memcpy(out + f->at, &ms, sizeof ms);
}

static void read_bytes(lua_State *L, int arg, const struct lmg_field *f, char *out)
{
    int         whole;
    lua_Integer n = lua_tointegerx(L, -1, &whole);
    if (!whole || n <= 0)
        reject(L, arg, f->name, "a positive integer");
    size_t bytes = (size_t)n;
    memcpy(out + f->at, &bytes, sizeof bytes);
}

static void read_boolean(lua_State *L, int arg, const struct lmg_field *f, char *out)
{
    if (!lua_isboolean(L, -1))
        reject(L, arg, f->name, "true or false");
    int value = lua_toboolean(L, -1);
    memcpy(out + f->at, &value, sizeof value);
}

void lmg_read(lua_State *L, int arg, const struct lmg_field *fields, size_t n, void *out)
{
    static void (*const readers[])(lua_State *, int, const struct lmg_field *,
                                   char *) = {[LMG_TEXT]    = read_text,
                                              [LMG_SECONDS] = read_seconds,
                                              [LMG_BYTES]   = read_bytes,
                                              [LMG_BOOLEAN] = read_boolean};
    static const int absent                = -1;

    luaL_checktype(L, arg, LUA_TTABLE);
    for (size_t i = 0; i < n; i++) {
        const struct lmg_field *f = &fields[i];
        if (lua_getfield(L, arg, f->name) != LUA_TNIL)
            readers[f->type](L, arg, f, out);
        else if (f->required)
            luaL_argerror(L, arg, lua_pushfstring(L, "%s is missing", f->name));
        else if (f->type == LMG_BOOLEAN)
            memcpy((char *)out + f->at, &absent, sizeof absent);
        lua_pop(L, 1);
    }
}
