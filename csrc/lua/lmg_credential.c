/* csrc/lua/lmg_credential.c - the msgraph.core.Credential userdata over struct mgc_credential. */
#include "core/base/child.h"
#include "core/base/clock.h"
#include "core/identity/claims.h"
#include "core/identity/credential.h"
#include "core/identity/loopback.h"
#include "core/identity/printed.h"
#include "lua/lmg.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define LMG_CREDENTIAL "msgraph.core.Credential"

struct lmg_credential {
    struct mgc_credential *core; /* NULL when closed or not yet open */
};

struct mgc_credential *lmg_check_credential(lua_State *L, int arg)
{
    struct lmg_credential *h = luaL_checkudata(L, arg, LMG_CREDENTIAL);
    luaL_argcheck(L, h->core != NULL, arg, "credential is closed");
    return h->core;
}

/* credential:close() */
static int credential_close(lua_State *L)
{
    struct lmg_credential *h    = luaL_checkudata(L, 1, LMG_CREDENTIAL);
    struct mgc_credential *core = h->core;
    h->core                     = NULL; /* first: closing twice is harmless */
    mgc_credential_unref(core);
    return 0;
}

/* credential:give(token, seconds or nil) -> true | nil, failure */
static int credential_give(lua_State *L)
{
    struct mgc_credential *c = lmg_check_credential(L, 1);
    size_t                 n;
    const char            *token = luaL_checklstring(L, 2, &n);
    lua_Number             life  = luaL_optnumber(L, 3, 0);
    luaL_argcheck(L, life >= 0 && life < LMG_SECONDS_MAX, 3, "must be seconds, up to 30 days");
    struct mgc_error e;
    if (mgc_credential_give(c, token, n, (int64_t)ceil((double)life * 1000), &e) != MGC_OK)
        return lmg_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

/* credential:give_printed(child) -> seconds | nil, failure */
static int credential_give_printed(lua_State *L)
{
    struct mgc_credential *c      = lmg_check_credential(L, 1);
    const struct mgc_buf  *json   = mgc_child_output(lmg_check_child(L, 2));
    struct mgc_secret      token  = {0};
    int64_t                life_s = 0;
    struct mgc_error       e;
    mgc_code rc = mgc_printed_read(&token, &life_s, mgc_buf_text(json), json->len, time(NULL), &e);
    if (rc == MGC_OK)
        rc = mgc_credential_give(c, token.text, token.len, life_s * 1000, &e);
    mgc_secret_clear(&token);
    if (rc != MGC_OK)
        return lmg_fail(L, &e);
    lua_pushinteger(L, (lua_Integer)life_s);
    return 1;
}

/* credential:needs_user() -> boolean */
static int credential_needs_user(lua_State *L)
{
    lua_pushboolean(L, mgc_credential_needs_user(lmg_check_credential(L, 1), mgc_now_ms()));
    return 1;
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* credential:claims() -> JSON text | nil */
static int credential_claims(lua_State *L)
{
    struct mgc_credential *c = lmg_check_credential(L, 1);
    struct mgc_buf         claims;
    struct mgc_error       e;
    mgc_buf_init(&claims, 2 * MGC_CLAIMS_MAX);
    mgc_code rc = mgc_credential_claims(c, &claims);
    if (rc == MGC_OK && claims.len > 0)
        lua_pushlstring(L, mgc_buf_text(&claims), claims.len);
    else if (rc == MGC_OK)
        lua_pushnil(L);
    mgc_buf_clear(&claims);
    if (rc == MGC_OK)
        return 1;
    mgc_error_set(&e, rc, NULL);
    return lmg_fail(L, &e);
}

/* credential:describe() -> table | nil */
static int credential_describe(lua_State *L)
{
    struct mgc_jwt_view   *v = lua_newuserdatauv(L, sizeof *v, 0);
    struct mgc_credential *c = lmg_check_credential(L, 1);
    int64_t                left_ms;
    const struct {
        const char *name, *text;
    } texts[] = {{"username", v->username}, {"name", v->name},    {"object_id", v->oid},
                 {"tenant_id", v->tid},     {"app_id", v->appid}, {"app_name", v->app_displayname},
                 {"audience", v->aud},      {"scopes", v->scp},   {"roles", v->roles}};
    if (mgc_credential_describe(c, v, &left_ms) != MGC_OK)
        return 0;
    lua_createtable(L, 0, 10);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].text[0] != '\0')
            set_text(L, texts[i].name, texts[i].text);
    if (left_ms != MGC_NEVER) {
        lua_pushnumber(L, (lua_Number)left_ms / 1000);
        lua_setfield(L, -2, "expires_in");
    }
    return 1;
}

/* credential:prompt() -> table | nil */
static int credential_prompt(lua_State *L)
{
    const struct mgc_prompt *p = mgc_credential_prompt(lmg_check_credential(L, 1));
    if (p == NULL)
        return 0;
    lua_createtable(L, 0, 5);
    set_text(L, "user_code", p->user_code);
    set_text(L, "verification_uri", p->verification_uri);
    if (p->message[0] != '\0')
        set_text(L, "message", p->message);
    lua_pushinteger(L, p->life_s);
    lua_setfield(L, -2, "expires_in");
    lua_pushinteger(L, p->interval_s);
    lua_setfield(L, -2, "interval");
    return 1;
}

/* credential:redeem(loopback) -> true | nil, failure */
static int credential_redeem(lua_State *L)
{
    struct mgc_credential *c = lmg_check_credential(L, 1);
    struct mgc_loopback   *l = lmg_check_loopback(L, 2);
    luaL_argcheck(L, mgc_loopback_get(l) == MGC_LOOPBACK_CODE, 2, "no code has come");
    struct mgc_error e;
    mgc_code         rc = mgc_credential_bring(c, mgc_loopback_code(l)->text,
                                               mgc_loopback_pkce(l)->verifier,
                                               mgc_loopback_redirect_uri(l));
    if (rc != MGC_OK) {
        mgc_error_set(&e, rc, NULL);
        return lmg_fail(L, &e);
    }
    lua_pushboolean(L, 1);
    return 1;
}

struct args {
    struct mgc_credential_options o;
    const char                   *token, *grant;
    size_t                        token_len;
    int                           rs256;
};

static const struct lmg_field fields[] = {
    {"token", LMG_TEXT, false, offsetof(struct args, token), offsetof(struct args, token_len)},
    {"grant", LMG_TEXT, false, offsetof(struct args, grant), LMG_NO_LENGTH},
    {"authority", LMG_TEXT, false, offsetof(struct args, o.authority), LMG_NO_LENGTH},
    {"tenant_id", LMG_TEXT, false, offsetof(struct args, o.tenant), LMG_NO_LENGTH},
    {"client_id", LMG_TEXT, false, offsetof(struct args, o.proof.client_id), LMG_NO_LENGTH},
    {"scope", LMG_TEXT, false, offsetof(struct args, o.scope), LMG_NO_LENGTH},
    {"client_secret", LMG_TEXT, false, offsetof(struct args, o.proof.client_secret), LMG_NO_LENGTH},
    {"certificate", LMG_TEXT, false, offsetof(struct args, o.proof.certificate), LMG_NO_LENGTH},
    {"password", LMG_TEXT, false, offsetof(struct args, o.proof.password), LMG_NO_LENGTH},
    {"rs256", LMG_BOOLEAN, false, offsetof(struct args, rs256), 0},
    {"assertion_file", LMG_TEXT, false, offsetof(struct args, o.proof.assertion_file),
     LMG_NO_LENGTH},
    {"refresh_token", LMG_TEXT, false, offsetof(struct args, o.refresh_token), LMG_NO_LENGTH},
    {"assertion", LMG_TEXT, false, offsetof(struct args, o.assertion), LMG_NO_LENGTH},
    {"ca_file", LMG_TEXT, false, offsetof(struct args, o.ca_file), LMG_NO_LENGTH},
    {"host", LMG_TEXT, false, offsetof(struct args, o.managed.host), LMG_NO_LENGTH},
    {"endpoint", LMG_TEXT, false, offsetof(struct args, o.managed.endpoint), LMG_NO_LENGTH},
    {"resource", LMG_TEXT, false, offsetof(struct args, o.managed.resource), LMG_NO_LENGTH},
    {"secret", LMG_TEXT, false, offsetof(struct args, o.managed.secret), LMG_NO_LENGTH},
    {"thumbprint", LMG_TEXT, false, offsetof(struct args, o.managed.thumbprint), LMG_NO_LENGTH},
    {"object_id", LMG_TEXT, false, offsetof(struct args, o.managed.object_id), LMG_NO_LENGTH},
    {"resource_id", LMG_TEXT, false, offsetof(struct args, o.managed.resource_id), LMG_NO_LENGTH},
};

static mgc_grant grant_of(lua_State *L, const char *name)
{
    static const struct {
        const char *name;
        mgc_grant   grant;
    } grants[] = {{"client_credentials", MGC_CLIENT_CREDENTIALS},
                  {"refresh_token", MGC_REFRESH},
                  {"on_behalf_of", MGC_ON_BEHALF_OF},
                  {"managed_identity", MGC_MANAGED_IDENTITY}};
    for (size_t i = 0; name != NULL && i < sizeof grants / sizeof grants[0]; i++)
        if (strcmp(name, grants[i].name) == 0)
            return grants[i].grant;
    luaL_argerror(
        L, 1, "grant must be client_credentials, refresh_token, on_behalf_of or managed_identity");
    return MGC_GIVEN;
}

/* core.credential(opts) -> Credential | nil, failure */
int lmg_credential(lua_State *L)
{
    struct args a = {0};
    lmg_read(L, 1, fields, sizeof fields / sizeof fields[0], &a);
    a.o.proof.rs256       = a.rs256 > 0;
    a.o.managed.client_id = a.o.proof.client_id;
    if (a.token == NULL)
        a.o.grant = grant_of(L, a.grant);
    if (lua_getfield(L, 1, "store") != LUA_TNIL)
        a.o.store = lmg_check_store(L, -1);

    struct lmg_credential *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->core                  = NULL;
    luaL_setmetatable(L, LMG_CREDENTIAL);

    struct mgc_error e;
    mgc_code         rc = a.token != NULL ? mgc_credential_given(&h->core, a.token, a.token_len, &e)
                                          : mgc_credential_new(&h->core, &a.o, &e);
    return rc == MGC_OK ? 1 : lmg_fail(L, &e);
}

void lmg_credential_register(lua_State *L)
{
    static const luaL_Reg methods[] = {{"give", credential_give},
                                       {"give_printed", credential_give_printed},
                                       {"needs_user", credential_needs_user},
                                       {"claims", credential_claims},
                                       {"describe", credential_describe},
                                       {"prompt", credential_prompt},
                                       {"redeem", credential_redeem},
                                       {"close", credential_close},
                                       {NULL, NULL}};
    lmg_new_type(L, LMG_CREDENTIAL, methods, credential_close);
}
