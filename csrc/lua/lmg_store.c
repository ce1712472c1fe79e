/* csrc/lua/lmg_store.c - the msgraph.core.Store userdata over struct mgc_store. Secrets stay below: Lua learns
 * who is signed in, not with what.
 */
#include "core/base/child.h"
#include "core/identity/store.h"
#include "lua/lmg.h"

#include <string.h>
#include <time.h>

#define LMG_STORE "msgraph.core.Store"

struct lmg_store {
    struct mgc_store     *core; /* NULL when closed or not yet open */
    struct mgc_vault_key *key;  /* until the store has it */
    struct mgc_sign_in    read; /* while it is turned into a table */
};

static struct lmg_store *check_open(lua_State *L, int arg)
{
    struct lmg_store *h = luaL_checkudata(L, arg, LMG_STORE);
    luaL_argcheck(L, h->core != NULL, arg, "store is closed");
    return h;
}

struct mgc_store *lmg_check_store(lua_State *L, int arg)
{
    return check_open(L, arg)->core;
}

/* store:close() */
static int store_close(lua_State *L)
{
    struct lmg_store *h    = luaL_checkudata(L, 1, LMG_STORE);
    struct mgc_store *core = h->core;
    h->core                = NULL; /* first: closing twice is harmless */
    mgc_store_unref(core);
    mgc_vault_free(h->key);
    h->key = NULL;
    mgc_sign_in_clear(&h->read);
    return 0;
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text); /* nil for NULL */
    lua_setfield(L, -2, name);
}

static void push_sign_in(lua_State *L, const struct mgc_sign_in *in)
{
    lua_createtable(L, 0, 11);
    lua_pushinteger(L, (lua_Integer)in->generation);
    lua_setfield(L, -2, "generation");
    lua_pushboolean(L, in->signed_out);
    lua_setfield(L, -2, "signed_out");
    lua_pushboolean(L, in->refresh_token.text != NULL);
    lua_setfield(L, -2, "has_refresh_token");
    if (in->access_token.text != NULL && in->expires_s > 0) {
        lua_pushinteger(L, (lua_Integer)(in->expires_s - (int64_t)time(NULL)));
        lua_setfield(L, -2, "expires_in");
    }
    set_text(L, "authority", in->authority);
    set_text(L, "tenant_id", in->tenant);
    set_text(L, "client_id", in->client_id);
    set_text(L, "scope", in->scope);
    set_text(L, "username", in->username);
    set_text(L, "object_id", in->object_id);
    set_text(L, "cloud", in->cloud);
}

/* store:read() -> table | nil, failure */
static int store_read(lua_State *L)
{
    struct lmg_store *h = check_open(L, 1);
    struct mgc_error  e;
    mgc_sign_in_clear(&h->read); /* a read that ran out of Lua's memory left it */
    if (mgc_store_read(h->core, &h->read, &e) != MGC_OK)
        return lmg_fail(L, &e);
    push_sign_in(L, &h->read);
    mgc_sign_in_clear(&h->read);
    return 1;
}

/* store:sign_out() -> true | nil, failure */
static int store_sign_out(lua_State *L)
{
    struct mgc_error e;
    if (mgc_store_sign_out(lmg_check_store(L, 1), &e) != MGC_OK)
        return lmg_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

struct args {
    const char *path;
};

static const struct lmg_field fields[] = {
    {"path", LMG_TEXT, true, offsetof(struct args, path), LMG_NO_LENGTH},
};

static mgc_code no_key(struct mgc_vault_key **out, struct mgc_error *e)
{
    (void)e;
    *out = NULL;
    return MGC_OK;
}

typedef mgc_code (*source)(struct mgc_vault_key **, struct mgc_error *);

static source source_of(lua_State *L, const char *name)
{
    static const struct {
        const char *name;
        source      get;
    } sources[] = {{"environment", mgc_vault_from_environment},
                   {"descriptor", mgc_vault_from_descriptor},
                   {"keyring", mgc_vault_from_keyring},
                   {"none", no_key}};
    for (size_t i = 0; name != NULL && i < sizeof sources / sizeof sources[0]; i++)
        if (strcmp(name, sources[i].name) == 0)
            return sources[i].get;
    luaL_argerror(L, 1, "key must be environment, descriptor, keyring, none or a child");
    return NULL;
}

/* What a program printed: its text goes from here to there, and never becomes Lua's. */
static mgc_code key_from_child(struct mgc_vault_key **out, const struct mgc_child *child,
                               struct mgc_error *e)
{
    const struct mgc_buf *text = mgc_child_output(child);
    return mgc_vault_from_base64(out, mgc_buf_text(text), text->len, "what the program printed", e);
}

/* core.store(opts) -> Store | nil, failure */
int lmg_store(lua_State *L)
{
    struct args a = {0};
    lmg_read(L, 1, fields, sizeof fields / sizeof fields[0], &a);
    bool              from_child = lua_getfield(L, 1, "key") == LUA_TUSERDATA;
    struct mgc_child *child      = from_child ? lmg_check_child(L, -1) : NULL;
    source            get        = from_child ? NULL : source_of(L, lua_tostring(L, -1));

    struct lmg_store *h = lua_newuserdatauv(L, sizeof *h, 0);
    *h                  = (struct lmg_store){0};
    luaL_setmetatable(L, LMG_STORE);

    struct mgc_error e;
    mgc_code         rc = from_child ? key_from_child(&h->key, child, &e) : get(&h->key, &e);
    if (rc == MGC_OK)
        rc = mgc_store_open(&h->core, a.path, h->key, &e);
    if (rc != MGC_OK)
        return lmg_fail(L, &e);
    h->key = NULL; /* the store's now */
    return 1;
}

void lmg_store_register(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"read", store_read}, {"sign_out", store_sign_out}, {"close", store_close}, {NULL, NULL}};
    lmg_new_type(L, LMG_STORE, methods, store_close);
}
