/* csrc/lua/lmg_parts.c - the msgraph.core.Parts userdata over struct mgc_parts.
 *
 * A load, and what a part has met, are integers to Lua: one table less for each part.
 */
#include "core/base/clock.h"
#include "core/parts.h"
#include "lua/lmg.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define LMG_PARTS "msgraph.core.Parts"

static struct mgc_parts *check_open(lua_State *L)
{
    struct mgc_parts *p = luaL_checkudata(L, 1, LMG_PARTS);
    luaL_argcheck(L, p->origin != NULL, 1, "parts are closed");
    return p;
}

/* parts:close() */
static int parts_close(lua_State *L)
{
    mgc_parts_clear(luaL_checkudata(L, 1, LMG_PARTS));
    return 0;
}

/* origin:parts() -> Parts */
int lmg_parts(lua_State *L)
{
    struct mgc_origin *o = lmg_check_origin(L, 1);
    struct mgc_parts  *p = lua_newuserdatauv(L, sizeof *p, 0);
    p->origin            = NULL;
    luaL_setmetatable(L, LMG_PARTS);
    mgc_parts_init(p, o);
    return 1;
}

/* ---- the gate ------------------------------------------------------------------------------------ */

enum { UNITS_BITS = 8, WORKLOAD_BITS = 7 };

_Static_assert(MGC_RESOURCE_BITS + UNITS_BITS + WORKLOAD_BITS < 64, "a load fits an integer");

/* core.load(method, target) -> load */
int lmg_load(lua_State *L)
{
    const struct mgc_load l = mgc_load_of(luaL_checkstring(L, 1), luaL_checkstring(L, 2));
    uint64_t              n = l.resource;
    n                       = n << UNITS_BITS | ((uint64_t)l.units & 0xff);
    n                       = n << WORKLOAD_BITS | (uint64_t)l.workload;
    lua_pushinteger(L, (lua_Integer)(n << 1 | l.write));
    return 1;
}

static struct mgc_load check_load(lua_State *L, int arg)
{
    uint64_t        n = (uint64_t)luaL_checkinteger(L, arg);
    struct mgc_load l = {.write = n & 1};
    n >>= 1;
    l.workload = (mgc_workload)(n & ((1u << WORKLOAD_BITS) - 1));
    n >>= WORKLOAD_BITS;
    l.units    = (int32_t)(n & 0xff);
    l.resource = n >> UNITS_BITS;
    luaL_argcheck(L, l.workload < MGC_WORKLOADS, arg, "is no load");
    return l;
}

/* parts:admit(load) -> number | nil, time */
static int parts_admit(lua_State *L)
{
    struct mgc_parts     *p    = check_open(L);
    const struct mgc_load load = check_load(L, 2);
    int                   n    = 0;
    const int64_t         at   = mgc_parts_admit(p, &load, &n, mgc_now_ms());
    if (at == MGC_GATE_GO) {
        lua_pushinteger(L, n);
        return 1;
    }
    lua_pushnil(L);
    lua_pushnumber(L, (lua_Number)at / 1000);
    return 2;
}

static int check_number(lua_State *L)
{
    const lua_Integer n = luaL_checkinteger(L, 2);
    luaL_argcheck(L, n >= 0 && n < MGC_PARTS_MAX, 2, "is no part's number");
    return (int)n;
}

/* parts:withdraw(number) */
static int parts_withdraw(lua_State *L)
{
    struct mgc_parts *p = check_open(L);
    mgc_parts_withdraw(p, check_number(L), mgc_now_ms());
    return 0;
}

/* ---- what became of one -------------------------------------------------------------------------- */

static int64_t hint_ms(lua_State *L, int arg)
{
    const lua_Number s = luaL_optnumber(L, arg, -1);
    return s >= 0 && s <= LMG_SECONDS_MAX ? (int64_t)ceil((double)s * 1000) : -1;
}

static bool is_named(lua_State *L, int at, const char *name)
{
    size_t      n;
    const char *text = lua_type(L, at) == LUA_TSTRING ? lua_tolstring(L, at, &n) : NULL;
    return text != NULL && n == strlen(name) && strcasecmp(text, name) == 0;
}

/* A header's value, by any spelling of its name, lent by the stack; NULL when there is none. */
static const char *find_header(lua_State *L, int table, const char *name, size_t *n)
{
    if (!lua_istable(L, table))
        return NULL;
    for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1))
        if (is_named(L, -2, name))
            return lua_tolstring(L, -1, n);
    return NULL;
}

static struct mgc_retries opt_met(lua_State *L, int arg)
{
    const uint32_t     n = (uint32_t)luaL_optinteger(L, arg, 0);
    struct mgc_retries r;
    _Static_assert(sizeof r == sizeof n, "what a part has met fits an integer");
    memcpy(&r, &n, sizeof r);
    return r;
}

/* parts:answer(number, status or nil, hint or nil, headers or nil, met or nil) */
static int parts_answer(lua_State *L)
{
    struct mgc_parts        *p   = check_open(L);
    const int                n   = check_number(L);
    const struct mgc_retries met = opt_met(L, 6);
    struct mgc_reply         r   = {
                  .status = (int)luaL_optinteger(L, 3, 0), .hint_ms = hint_ms(L, 4), .units = -1};
    if (r.status >= 400) {
        r.scope = find_header(L, 5, "x-ms-throttle-scope", &r.scope_len);
    } else if (p->passes[n].load.workload == MGC_IDENTITY) {
        size_t      len   = 0;
        const char *units = find_header(L, 5, "x-ms-resource-unit", &len);
        r.units           = units != NULL ? mgc_reply_units(units, len) : -1;
    }
    mgc_parts_answer(p, n, &r, &met, mgc_now_ms());
    return 0;
}

/* ---- another attempt ---------------------------------------------------------------------------- */

static void set_seconds(lua_State *L, const char *name, int64_t ms)
{
    lua_pushnumber(L, (lua_Number)ms / 1000);
    lua_setfield(L, -2, name);
}

static void set_true(lua_State *L, const char *name, bool is)
{
    if (!is)
        return;
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, name);
}

static void push_verdict(lua_State *L, const struct mgc_outcome *o, const struct mgc_retries *r,
                         const struct mgc_decision *d)
{
    uint32_t met;
    memcpy(&met, r, sizeof met);
    lua_createtable(L, 0, 4);
    if (d->verdict == MGC_AGAIN) {
        set_seconds(L, "wait", d->wait_ms);
        lua_pushinteger(L, met);
        lua_setfield(L, -2, "met");
    }
    if (d->verdict == MGC_TOO_LATE)
        set_seconds(L, "retry_in", d->wait_ms);
    set_true(L, "retry_budget", d->verdict == MGC_NO_BUDGET);
    set_true(L, "may_have_acted", mgc_retry_may_have_acted(o));
    set_true(L, "ambiguous", mgc_retry_is_ambiguous(o));
}

/* parts:judge(met or nil, status or nil, hint or nil, idempotent, left, random) -> Verdict */
static int parts_judge(lua_State *L)
{
    struct mgc_parts  *p      = check_open(L);
    struct mgc_retries r      = opt_met(L, 2);
    const int          status = (int)luaL_optinteger(L, 3, 0);
    const double       left   = fmin((double)luaL_checknumber(L, 6), LMG_SECONDS_MAX);
    const double       random = (double)luaL_checknumber(L, 7);
    luaL_argcheck(L, random >= 0 && random < 1, 7, "must be from 0 to below 1");

    const struct mgc_outcome o = mgc_parts_outcome(status, hint_ms(L, 4), lua_toboolean(L, 5) != 0);
    const struct mgc_decision d = mgc_retry_decide(&r, &p->origin->retry_budget, &o,
                                                   left > 0 ? (int64_t)(left * 1000) : 0, random);
    push_verdict(L, &o, &r, &d);
    return 1;
}

void lmg_parts_register(lua_State *L)
{
    static const luaL_Reg methods[] = {{"admit", parts_admit},   {"withdraw", parts_withdraw},
                                       {"answer", parts_answer}, {"judge", parts_judge},
                                       {"close", parts_close},   {NULL, NULL}};
    lmg_new_type(L, LMG_PARTS, methods, parts_close);
}
