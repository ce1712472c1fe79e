/* csrc/lua/lmg_origin.c - the msgraph.core.Origin userdata over struct mgc_origin. */
#include "lua/lmg.h"

#include <string.h>

#define LMG_ORIGIN "msgraph.core.Origin"

struct lmg_origin {
    struct mgc_origin *core; /* NULL when closed or not yet open */
};

struct mgc_origin *lmg_check_origin(lua_State *L, int arg)
{
    struct lmg_origin *h = luaL_checkudata(L, arg, LMG_ORIGIN);
    luaL_argcheck(L, h->core != NULL, arg, "origin is closed");
    return h->core;
}

/* origin:close() */
static int origin_close(lua_State *L)
{
    struct lmg_origin *h    = luaL_checkudata(L, 1, LMG_ORIGIN);
    struct mgc_origin *core = h->core;
    h->core                 = NULL; /* first: closing twice is harmless */
    mgc_origin_unref(core);
    return 0;
}

/* origin:use(credential) */
static int origin_use(lua_State *L)
{
    mgc_origin_use(lmg_check_origin(L, 1), lmg_check_credential(L, 2));
    return 0;
}

struct args {
    struct mgc_origin_options o;
    const char               *http;
};

static const struct lmg_field fields[] = {
    {"endpoint", LMG_TEXT, true, offsetof(struct args, o.endpoint),
     offsetof(struct args, o.endpoint_len)},
    {"ca_file", LMG_TEXT, false, offsetof(struct args, o.ca_file), LMG_NO_LENGTH},
    {"http_version", LMG_TEXT, false, offsetof(struct args, http), LMG_NO_LENGTH},
    {"connect_timeout", LMG_SECONDS, false, offsetof(struct args, o.connect_ms), 0},
    {"first_byte_timeout", LMG_SECONDS, false, offsetof(struct args, o.first_byte_ms), 0},
    {"stall_timeout", LMG_SECONDS, false, offsetof(struct args, o.stall_ms), 0},
    {"shared_gate", LMG_TEXT, false, offsetof(struct args, o.shared_gate), LMG_NO_LENGTH},
    {"max_body", LMG_BYTES, false, offsetof(struct args, o.max_body), 0},
};

static mgc_http http_of(lua_State *L, const char *text)
{
    if (text == NULL)
        return MGC_HTTP_DEFAULT;
    if (strcmp(text, "1.1") == 0)
        return MGC_HTTP_1_1;
    if (strcmp(text, "2") != 0)
        luaL_argerror(L, 1, "http_version must be \"1.1\" or \"2\"");
    return MGC_HTTP_2;
}

/* core.origin(opts) -> Origin | nil, failure */
int lmg_origin(lua_State *L)
{
    struct args a = {0};
    lmg_read(L, 1, fields, sizeof fields / sizeof fields[0], &a);
    a.o.http = http_of(L, a.http);
    lua_getfield(L, 1, "credential");
    a.o.credential = lmg_check_credential(L, -1);

    struct lmg_origin *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->core              = NULL;
    luaL_setmetatable(L, LMG_ORIGIN);

    struct mgc_error e;
    return mgc_origin_new(&h->core, &a.o, &e) == MGC_OK ? 1 : lmg_fail(L, &e);
}

void lmg_origin_register(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"use", origin_use}, {"parts", lmg_parts}, {"close", origin_close}, {NULL, NULL}};
    lmg_new_type(L, LMG_ORIGIN, methods, origin_close);
}
