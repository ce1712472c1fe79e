/* csrc/lua/lmg_module.c - luaopen_msgraph_core: the functions and the types of msgraph.core.
 *
 * Opening does no work: no socket, no clock, libcurl untouched. docs/types/core.lua is the
 * reference of everything exported here.
 */
#include "core/base/clock.h"
#include "core/base/headers.h"
#include "core/base/url.h"
#include "core/identity/challenge.h"
#include "core/identity/claims.h"
#include "core/policy/workload.h"
#include "core/wire/wire.h"
#include "lua/lmg.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define MSGRAPH_VERSION "0.1.0"

/* core.curl() -> { version, ssl, http } */
static int core_curl(lua_State *L)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, v->version);
    lua_setfield(L, -2, "version");
    lua_pushstring(L, v->ssl_version);
    lua_setfield(L, -2, "ssl");
    lua_pushstring(L, mgc_wire_default_http() == MGC_HTTP_2 ? "2" : "1.1");
    lua_setfield(L, -2, "http");
    return 1;
}

/* core.now() -> seconds */
static int core_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)mgc_now_ms() / 1000);
    return 1;
}

static void push_escaped(lua_State *L, const char *text, size_t n)
{
    luaL_Buffer b;
    char       *out = luaL_buffinitsize(L, &b, 3 * n);
    luaL_pushresultsize(&b, mgc_url_escape(out, text, n));
}

/* core.escape(text) -> text */
static int core_escape(lua_State *L)
{
    size_t      n;
    const char *text = luaL_checklstring(L, 1, &n);
    push_escaped(L, text, n);
    return 1;
}

/* core.segment(text) -> text | nil, reason */
static int core_segment(lua_State *L)
{
    size_t      n;
    const char *text = luaL_checklstring(L, 1, &n);
    const char *why  = mgc_url_segment_fault(text, n);
    if (why != NULL) {
        lua_pushnil(L);
        lua_pushstring(L, why);
        return 2;
    }
    push_escaped(L, text, n);
    return 1;
}

/* core.target_fault(target) -> reason | nothing */
static int core_target_fault(lua_State *L)
{
    size_t      n;
    const char *target = luaL_checklstring(L, 1, &n);
    const char *why    = mgc_url_target_fault(target, n);
    if (why == NULL)
        return 0;
    lua_pushstring(L, why);
    return 1;
}

/* core.header(block, name) -> value | nil */
static int core_header(lua_State *L)
{
    size_t      n, value_len;
    const char *block = luaL_checklstring(L, 1, &n);
    const char *name  = luaL_checkstring(L, 2);
    const char *value;
    if (!mgc_header_find(block, n, name, &value, &value_len))
        return 0;
    lua_pushlstring(L, value, value_len);
    return 1;
}

/* core.claims(block) -> JSON text | nil */
static int core_claims(lua_State *L)
{
    size_t               n;
    const char          *block = luaL_checklstring(L, 1, &n);
    struct mgc_challenge c;
    struct mgc_error     e;
    luaL_Buffer          b; /* before what would be lost if this raised */
    char                *out = luaL_buffinitsize(L, &b, MGC_CLAIMS_MAX);
    mgc_code             rc  = mgc_challenge_read(block, n, &c);
    if (rc != MGC_OK) {
        mgc_error_set(&e, rc, NULL);
        return lmg_fail(L, &e);
    }
    const size_t len = c.claims.len;
    memcpy(out, mgc_buf_text(&c.claims), len);
    mgc_challenge_clear(&c);
    if (len == 0)
        return 0;
    luaL_pushresultsize(&b, len);
    return 1;
}

/* ---- numbers that JSON left as floats ------------------------------------------------------ */

enum { MAX_NESTED = 200 }; /* tables in tables; JSON of ours has less */

/* 2^53: below it a whole float is exactly one integer. */
static const lua_Number EXACT = 9007199254740992.0;

/* The number on top as an integer, where it is a float that is one. */
static bool to_integer(lua_State *L, lua_Integer *out)
{
    lua_Number n;
    if (lua_isinteger(L, -1))
        return false;
    n = lua_tonumber(L, -1);
    if (!(-EXACT < n && n < EXACT) || (lua_Number)(lua_Integer)n != n)
        return false;
    *out = (lua_Integer)n;
    return true;
}

/* Changes the table on top, and those in it. */
static void make_integers(lua_State *L, int depth)
{
    int         table = lua_gettop(L);
    lua_Integer n;
    if (depth > MAX_NESTED)
        luaL_error(L, "the table is nested too deeply");
    luaL_checkstack(L, 4, "tables in tables");
    for (lua_pushnil(L); lua_next(L, table) != 0; lua_settop(L, table + 1)) {
        int type = lua_type(L, -1);
        if (type == LUA_TTABLE) {
            make_integers(L, depth + 1);
        } else if (type == LUA_TNUMBER && to_integer(L, &n)) {
            lua_pushvalue(L, -2);
            lua_pushinteger(L, n);
            lua_rawset(L, table); /* of a key that is there: the walk may go on */
        }
    }
}

/* What is behind a string of JSON, whose first byte is at `s`. */
static const char *skip_string(const char *s, const char *end)
{
    const char *quote;
    while ((quote = memchr(s, '"', (size_t)(end - s))) != NULL) {
        const char *slash = quote;
        while (slash > s && slash[-1] == '\\')
            slash--;
        s = quote + 1;
        if ((quote - slash) % 2 == 0) /* or else the quote belongs to the string */
            return s;
    }
    return end;
}

/* Whether JSON has a number in it: in most pages of Graph's there is none, and looking at the text is
 * cheaper than at all that was made of it. */
static bool has_number(const char *s, const char *end)
{
    while (s < end) {
        if (*s == '"')
            s = skip_string(s + 1, end);
        else if (*s == '-' || (*s >= '0' && *s <= '9'))
            return true;
        else
            s++;
    }
    return false;
}

/* core.integers(table, json or nil) -> table */
static int core_integers(lua_State *L)
{
    size_t      n;
    const char *json = luaL_optlstring(L, 2, NULL, &n);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2); /* the text stays where it is while it is read */
    if (json == NULL || has_number(json, json + n)) {
        lua_settop(L, 1);
        make_integers(L, 1);
    }
    lua_settop(L, 1);
    return 1;
}

/* core.retry_after(block) -> seconds | nothing */
static int core_retry_after(lua_State *L)
{
    size_t      n;
    const char *block = luaL_checklstring(L, 1, &n);
    int64_t     wait  = mgc_retry_after_ms(block, n, time(NULL));
    if (wait < 0)
        return 0;
    lua_pushnumber(L, (lua_Number)wait / 1000);
    return 1;
}

/* ---- published limits ---------------------------------------------------------------------- */

static lua_Number spacing_ms(const struct mgc_quota *quota, int32_t cost)
{
    return quota->units > 0 ? (lua_Number)cost * quota->window_ms / quota->units : 0;
}

/* core.spacing(method, target) -> ms */
static int core_spacing(lua_State *L)
{
    const char              *method = luaL_checkstring(L, 1), *target = luaL_checkstring(L, 2);
    const struct mgc_load    load   = mgc_load_of(method, target);
    const struct mgc_quotas *quotas = &mgc_limits_of(load.workload)->whole;
    const lua_Number         all    = spacing_ms(&quotas->all, load.units);
    const lua_Number         writes = load.write ? spacing_ms(&quotas->writes, 1) : 0;
    lua_pushnumber(L, all > writes ? all : writes);
    return 1;
}

__attribute__((visibility("default"))) int luaopen_msgraph_core(lua_State *L);

int luaopen_msgraph_core(lua_State *L)
{
    static const luaL_Reg functions[] = {{"curl", core_curl},
                                         {"now", core_now},
                                         {"escape", core_escape},
                                         {"segment", core_segment},
                                         {"header", core_header},
                                         {"child", lmg_child},
                                         {"claims", core_claims},
                                         {"integers", core_integers},
                                         {"random", lmg_random},
                                         {"retry_after", core_retry_after},
                                         {"sha256", lmg_sha256},
                                         {"spacing", core_spacing},
                                         {"target_fault", core_target_fault},
                                         {"terminal", lmg_terminal},
                                         {"credential", lmg_credential},
                                         {"load", lmg_load},
                                         {"loopback", lmg_loopback},
                                         {"origin", lmg_origin},
                                         {"store", lmg_store},
                                         {"transport", lmg_transport},
                                         {"write_private", lmg_write_private},
                                         {NULL, NULL}};
    luaL_checkversion(L);
    lmg_child_register(L);
    lmg_credential_register(L);
    lmg_loopback_register(L);
    lmg_origin_register(L);
    lmg_parts_register(L);
    lmg_store_register(L);
    lmg_transport_register(L);
    luaL_newlib(L, functions);
    lua_pushstring(L, MSGRAPH_VERSION);
    lua_setfield(L, -2, "version");
    lmg_push_codes(L);
    lua_setfield(L, -2, "codes");
    return 1;
}
