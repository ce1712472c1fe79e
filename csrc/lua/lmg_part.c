/* csrc/lua/lmg_part.c - the msgraph.core.Part userdata over struct mgc_part. */
#include "core/base/clock.h"
#include "core/part.h"
#include "lua/lmg.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define LMG_PART "msgraph.core.Part"

static struct mgc_part *check_open(lua_State *L)
{
    struct mgc_part *p = luaL_checkudata(L, 1, LMG_PART);
    luaL_argcheck(L, p->origin != NULL, 1, "part is closed");
    return p;
}

/* part:close() */
static int part_close(lua_State *L)
{
    mgc_part_clear(luaL_checkudata(L, 1, LMG_PART));
    return 0;
}

/* origin:part(method, target, idempotent) -> Part, lane */
int lmg_part(lua_State *L)
{
    struct mgc_origin *o          = lmg_check_origin(L, 1);
    const char        *method     = luaL_checkstring(L, 2);
    const char        *target     = luaL_checkstring(L, 3);
    const bool         idempotent = lua_toboolean(L, 4) != 0;

    struct mgc_part *p = lua_newuserdatauv(L, sizeof *p, 0);
    p->origin          = NULL;
    luaL_setmetatable(L, LMG_PART);
    mgc_part_init(p, o, method, target, idempotent);
    lua_pushinteger(L, (lua_Integer)mgc_load_lane(&p->pass.load));
    return 2;
}

/* part:admit() -> nil | time */
static int part_admit(lua_State *L)
{
    const int64_t at = mgc_part_admit(check_open(L), mgc_now_ms());
    if (at == MGC_GATE_GO)
        return 0;
    lua_pushnumber(L, (lua_Number)at / 1000);
    return 1;
}

/* part:withdraw() */
static int part_withdraw(lua_State *L)
{
    mgc_part_withdraw(check_open(L), mgc_now_ms());
    return 0;
}

/* ---- what became of it --------------------------------------------------------------------------- */

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

/* Leaves the value of a header, by any spelling, on the stack; false, and nothing, when there is none. */
static bool find_header(lua_State *L, int table, const char *name)
{
    for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1))
        if (is_named(L, -2, name))
            return true;
    return false;
}

/* Of the value on top. */
static int32_t units_of(lua_State *L)
{
    size_t      n    = 0;
    const char *text = lua_tolstring(L, -1, &n);
    return text != NULL ? mgc_reply_units(text, n) : -1;
}

/* part:answer(status or nil, hint or nil, headers or nil) */
static int part_answer(lua_State *L)
{
    struct mgc_part *p = check_open(L);
    struct mgc_reply r = {
        .status = (int)luaL_optinteger(L, 2, 0), .hint_ms = hint_ms(L, 3), .units = -1};
    const bool named = lua_istable(L, 4);
    if (named && r.status >= 400 && find_header(L, 4, "x-ms-throttle-scope"))
        r.scope = lua_isstring(L, -1) ? lua_tolstring(L, -1, &r.scope_len) : NULL;
    else if (named && p->pass.load.workload == MGC_IDENTITY &&
             find_header(L, 4, "x-ms-resource-unit"))
        r.units = units_of(L);
    mgc_part_answer(p, &r, mgc_now_ms());
    return 0;
}

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

/* part:judge(status or nil, hint or nil, left, random) -> Verdict */
static int part_judge(lua_State *L)
{
    struct mgc_part         *p      = check_open(L);
    const int                status = (int)luaL_optinteger(L, 2, 0);
    const struct mgc_outcome o      = mgc_part_outcome(p, status, hint_ms(L, 3));
    const double             left   = fmin((double)luaL_checknumber(L, 4), LMG_SECONDS_MAX);
    const double             random = (double)luaL_checknumber(L, 5);
    luaL_argcheck(L, random >= 0 && random < 1, 5, "must be from 0 to below 1");

    const struct mgc_decision d =
        mgc_part_decide(p, &o, left > 0 ? (int64_t)(left * 1000) : 0, random);
    lua_createtable(L, 0, 2);
    if (d.verdict == MGC_AGAIN)
        set_seconds(L, "wait", d.wait_ms);
    if (d.verdict == MGC_TOO_LATE)
        set_seconds(L, "retry_in", d.wait_ms);
    set_true(L, "retry_budget", d.verdict == MGC_NO_BUDGET);
    set_true(L, "may_have_acted", mgc_retry_may_have_acted(&o));
    set_true(L, "ambiguous", mgc_retry_is_ambiguous(&o));
    return 1;
}

void lmg_part_register(lua_State *L)
{
    static const luaL_Reg methods[] = {{"admit", part_admit},   {"withdraw", part_withdraw},
                                       {"answer", part_answer}, {"judge", part_judge},
                                       {"close", part_close},   {NULL, NULL}};
    lmg_new_type(L, LMG_PART, methods, part_close);
}
