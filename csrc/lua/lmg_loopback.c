/* csrc/lua/lmg_loopback.c - the msgraph.core.Loopback userdata over struct mgc_loopback. Verifier and code stay in the
 * core: a credential takes them from there.
 */
#include "core/base/clock.h"
#include "core/identity/loopback.h"
#include "lua/lmg.h"

#define LMG_LOOPBACK "msgraph.core.Loopback"

struct lmg_loopback {
    struct mgc_loopback *core; /* NULL when closed or not yet open */
};

struct mgc_loopback *lmg_check_loopback(lua_State *L, int arg)
{
    struct lmg_loopback *h = luaL_checkudata(L, arg, LMG_LOOPBACK);
    luaL_argcheck(L, h->core != NULL, arg, "loopback is closed");
    return h->core;
}

/* loopback:close() */
static int loopback_close(lua_State *L)
{
    struct lmg_loopback *h    = luaL_checkudata(L, 1, LMG_LOOPBACK);
    struct mgc_loopback *core = h->core;
    h->core                   = NULL; /* first: closing twice is harmless */
    mgc_loopback_free(core);
    return 0;
}

/* core.loopback() -> Loopback | nil, failure */
int lmg_loopback(lua_State *L)
{
    struct lmg_loopback *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->core                = NULL;
    luaL_setmetatable(L, LMG_LOOPBACK);

    struct mgc_error e;
    return mgc_loopback_new(&h->core, &e) == MGC_OK ? 1 : lmg_fail(L, &e);
}

/* loopback:port() -> integer */
static int loopback_port(lua_State *L)
{
    lua_pushinteger(L, mgc_loopback_port(lmg_check_loopback(L, 1)));
    return 1;
}

static const struct lmg_field fields[] = {
    {"authorize", LMG_TEXT, true, offsetof(struct mgc_loopback_ask, authorize), LMG_NO_LENGTH},
    {"client_id", LMG_TEXT, true, offsetof(struct mgc_loopback_ask, client_id), LMG_NO_LENGTH},
    {"scope", LMG_TEXT, true, offsetof(struct mgc_loopback_ask, scope), LMG_NO_LENGTH},
    {"prompt", LMG_TEXT, false, offsetof(struct mgc_loopback_ask, prompt), LMG_NO_LENGTH},
    {"login_hint", LMG_TEXT, false, offsetof(struct mgc_loopback_ask, login_hint), LMG_NO_LENGTH},
    {"claims", LMG_TEXT, false, offsetof(struct mgc_loopback_ask, claims), LMG_NO_LENGTH},
};

/* loopback:url(ask) -> text | nil, failure */
static int loopback_url(lua_State *L)
{
    struct mgc_loopback    *l   = lmg_check_loopback(L, 1);
    struct mgc_loopback_ask ask = {0};
    lmg_read(L, 2, fields, sizeof fields / sizeof fields[0], &ask);
    const char      *url;
    struct mgc_error e;
    if (mgc_loopback_url(l, &url, &ask, &e) != MGC_OK)
        return lmg_fail(L, &e);
    lua_pushstring(L, url);
    return 1;
}

/* loopback:step() -> "waiting" | "done" | nil, failure */
static int loopback_step(lua_State *L)
{
    struct mgc_loopback *l = lmg_check_loopback(L, 1);
    struct mgc_error     e;
    if (mgc_loopback_step(l, mgc_now_ms(), &e) != MGC_OK)
        return lmg_fail(L, &e);
    if (mgc_loopback_get(l) == MGC_LOOPBACK_REFUSED)
        return lmg_fail(L, mgc_loopback_error(l));
    lua_pushstring(L, mgc_loopback_get(l) == MGC_LOOPBACK_CODE ? "done" : "waiting");
    return 1;
}

void lmg_loopback_register(lua_State *L)
{
    static const luaL_Reg methods[] = {{"port", loopback_port},
                                       {"url", loopback_url},
                                       {"step", loopback_step},
                                       {"close", loopback_close},
                                       {NULL, NULL}};
    lmg_new_type(L, LMG_LOOPBACK, methods, loopback_close);
}
