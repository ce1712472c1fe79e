/* csrc/lua/lmg_transport.c - the msgraph.core.Transport userdata over struct mgc_transport. */
#include "core/base/clock.h"
#include "core/base/headers.h"
#include "core/transport.h"
#include "lua/lmg.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define LMG_TRANSPORT "msgraph.core.Transport"

enum { WAIT_MAX_S = 3600 };

#define FAR_S 1e12 /* later than any clock of ours will show */

struct lmg_transport {
    struct mgc_transport *core; /* NULL when closed or not yet open */
};

static struct mgc_transport *check_open(lua_State *L)
{
    struct lmg_transport *h = luaL_checkudata(L, 1, LMG_TRANSPORT);
    struct mgc_error      e;
    luaL_argcheck(L, h->core != NULL, 1, "transport is closed");
    if (mgc_transport_check(h->core, &e) != MGC_OK)
        luaL_error(L, "%s", e.message);
    return h->core;
}

/* transport:close() */
static int transport_close(lua_State *L)
{
    struct lmg_transport *h    = luaL_checkudata(L, 1, LMG_TRANSPORT);
    struct mgc_transport *core = h->core;
    h->core                    = NULL; /* first: closing twice is harmless */
    mgc_transport_free(core);
    return 0;
}

/* core.transport() -> Transport | nil, failure */
int lmg_transport(lua_State *L)
{
    struct lmg_transport *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->core                 = NULL;
    luaL_setmetatable(L, LMG_TRANSPORT);

    struct mgc_error e;
    return mgc_transport_new(&h->core, &e) == MGC_OK ? 1 : lmg_fail(L, &e);
}

/* ---- submit ---------------------------------------------------------------------------------- */

struct args {
    struct mgc_request_spec spec;
    int                     idempotent, retry;
    const char             *priority;
};

static const struct lmg_field fields[] = {
    {"method", LMG_TEXT, true, offsetof(struct args, spec.method), LMG_NO_LENGTH},
    {"target", LMG_TEXT, true, offsetof(struct args, spec.target),
     offsetof(struct args, spec.target_len)},
    {"body", LMG_TEXT, false, offsetof(struct args, spec.body),
     offsetof(struct args, spec.body_len)},
    {"idempotent", LMG_BOOLEAN, false, offsetof(struct args, idempotent), 0},
    {"retry", LMG_BOOLEAN, false, offsetof(struct args, retry), 0},
    {"priority", LMG_TEXT, false, offsetof(struct args, priority), LMG_NO_LENGTH},
    {"deadline", LMG_SECONDS, false, offsetof(struct args, spec.deadline_ms), 0},
    {"max_body", LMG_BYTES, false, offsetof(struct args, spec.max_body), 0},
};

static size_t count_headers(lua_State *L, int table)
{
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            luaL_argerror(L, 3, "headers must map names to strings");
        n++;
    }
    return n;
}

/* Leaves on the stack what the headers are kept in: the array, and the table that lends the text. */
static void read_headers(lua_State *L, int arg, struct mgc_request_spec *spec)
{
    if (lua_getfield(L, arg, "headers") == LUA_TNIL)
        return;
    if (!lua_istable(L, -1))
        luaL_argerror(L, arg, "headers must be a table");
    int                table = lua_gettop(L);
    size_t             n     = count_headers(L, table);
    struct mgc_header *h     = lua_newuserdatauv(L, (n + 1) * sizeof *h, 0);
    spec->headers            = h;
    spec->n_headers          = n;
    for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1), h++) {
        h->name  = lua_tolstring(L, -2, &h->name_len);
        h->value = lua_tolstring(L, -1, &h->value_len);
    }
}

static mgc_level level_of(lua_State *L, const char *text)
{
    if (text == NULL || strcmp(text, "normal") == 0)
        return MGC_NORMAL;
    if (strcmp(text, "high") == 0)
        return MGC_HIGH;
    if (strcmp(text, "low") != 0)
        luaL_argerror(L, 3, "priority must be \"low\", \"normal\" or \"high\"");
    return MGC_LOW;
}

/* transport:submit(origin, request) -> id | nil, failure */
static int transport_submit(lua_State *L)
{
    struct mgc_transport *t = check_open(L);
    struct mgc_origin    *o = lmg_check_origin(L, 2);
    struct args           a = {0};
    lmg_read(L, 3, fields, sizeof fields / sizeof fields[0], &a);
    read_headers(L, 3, &a.spec);
    if (a.idempotent >= 0)
        a.spec.repeat = a.idempotent ? MGC_IDEMPOTENT : MGC_NOT_IDEMPOTENT;
    a.spec.once  = a.retry == 0;
    a.spec.level = level_of(L, a.priority);

    uint64_t         id = 0;
    struct mgc_error e;
    if (mgc_transport_submit(t, o, &a.spec, &id, &e) != MGC_OK)
        return lmg_fail(L, &e);
    lua_pushinteger(L, (lua_Integer)id);
    return 1;
}

/* transport:sign_in(credential, step, seconds or nil) -> id | nil, failure */
static int transport_sign_in(lua_State *L)
{
    static const char *const names[] = {"token", "device_code", "device_poll", "code", NULL};
    static const mgc_step    steps[] = {MGC_RENEW, MGC_DEVICE_START, MGC_DEVICE_POLL, MGC_REDEEM};
    struct mgc_transport    *t       = check_open(L);
    struct mgc_credential   *c       = lmg_check_credential(L, 2);
    mgc_step                 step    = steps[luaL_checkoption(L, 3, NULL, names)];

    lua_Number wait = luaL_optnumber(L, 4, 0);
    luaL_argcheck(L, wait >= 0 && wait <= WAIT_MAX_S, 4, "must be 0 to 3600 seconds");

    uint64_t         id = 0;
    struct mgc_error e;
    if (mgc_transport_sign_in(t, c, step, (int64_t)ceil((double)wait * 1000), &id, &e) != MGC_OK)
        return lmg_fail(L, &e);
    lua_pushinteger(L, (lua_Integer)id);
    return 1;
}

/* ---- step and take ----------------------------------------------------------------------------- */

/* transport:step(wait) -> number of requests to take | nil, failure */
static int transport_step(lua_State *L)
{
    struct mgc_transport *t    = check_open(L);
    lua_Number            wait = luaL_checknumber(L, 2);
    luaL_argcheck(L, wait >= 0 && wait <= WAIT_MAX_S, 2, "must be 0 to 3600 seconds");

    int              finished = 0;
    struct mgc_error e;
    if (mgc_transport_step(t, (int)ceil((double)wait * 1000), &finished, &e) != MGC_OK)
        return lmg_fail(L, &e);
    lua_pushinteger(L, finished);
    return 1;
}

static void set_text(lua_State *L, const char *name, const char *text, size_t n)
{
    lua_pushlstring(L, text, n);
    lua_setfield(L, -2, name);
}

static void set_ids(lua_State *L, const struct mgc_exchange *x)
{
    const struct mgc_buf *h = &x->attempt.headers;
    const char           *id;
    size_t                n;
    lua_pushstring(L, x->request->client_request_id);
    lua_setfield(L, -2, "client_request_id");
    if (mgc_header_find(mgc_buf_text(h), h->len, "request-id", &id, &n))
        set_text(L, "request_id", id, n);
}

static void set_seconds(lua_State *L, const char *name, int64_t ms)
{
    lua_pushnumber(L, (lua_Number)ms / 1000);
    lua_setfield(L, -2, name);
}

static void set_true(lua_State *L, const char *name)
{
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, name);
}

static void push_attempt(lua_State *L, struct mgc_past p)
{
    lua_createtable(L, 0, 3);
    if (p.status != 0) {
        lua_pushinteger(L, p.status);
        lua_setfield(L, -2, "status");
    }
    if (p.code != MGC_OK) {
        lua_pushstring(L, mgc_code_name((mgc_code)p.code));
        lua_setfield(L, -2, "code");
    }
    lua_pushstring(L, mgc_phase_name((mgc_phase)p.phase));
    lua_setfield(L, -2, "phase");
    if (p.waited_ms > 0)
        set_seconds(L, "waited", p.waited_ms);
}

/* What is to be said of retries: nothing in most cases. */
static void set_retries(lua_State *L, const struct mgc_exchange *x)
{
    const int n = mgc_exchange_attempts(x);
    if (x->verdict == MGC_NO_BUDGET)
        set_true(L, "retry_budget");
    if (x->verdict == MGC_TOO_LATE)
        set_seconds(L, "retry_in", x->late_ms);
    if (n == 1)
        return;
    set_seconds(L, "waited", x->waited_ms);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        push_attempt(L, mgc_exchange_attempt(x, i));
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "attempts");
}

/* How long it took, and where, as far as there is anything to say. */
static void set_times(lua_State *L, const struct mgc_exchange *x)
{
    set_seconds(L, "on_wire", x->spent_ms[MGC_ATTEMPT]);
    if (x->spent_ms[MGC_ADMITTING] > 0)
        set_seconds(L, "queued", x->spent_ms[MGC_ADMITTING]);
    if (x->spent_ms[MGC_TOKEN] > 0)
        set_seconds(L, "for_token", x->spent_ms[MGC_TOKEN]);
}

static void push_response(lua_State *L, const struct mgc_exchange *x)
{
    const struct mgc_attempt *a = &x->attempt;
    lua_createtable(L, 0, 8);
    lua_pushinteger(L, a->status);
    lua_setfield(L, -2, "status");
    set_text(L, "headers", mgc_buf_text(&a->headers), a->headers.len);
    set_text(L, "body", mgc_buf_text(&a->body), a->body.len);
    set_ids(L, x);
    int64_t wait = mgc_retry_after_ms(mgc_buf_text(&a->headers), a->headers.len, time(NULL));
    if (wait >= 0)
        set_seconds(L, "retry_after", wait);
    set_times(L, x);
    set_retries(L, x);
    if (a->status >= 400 && mgc_exchange_is_ambiguous(x))
        set_true(L, "ambiguous");
    if (x->reached != MGC_NOT_SENT)
        set_true(L, "acted_before");
    lua_pushstring(L, a->http2 ? "2" : "1.1");
    lua_setfield(L, -2, "http_version");
}

static void push_failure(lua_State *L, const struct mgc_exchange *x)
{
    const struct mgc_attempt *a = &x->attempt;
    lmg_push_failure(L, &a->error, mgc_exchange_kind(x), mgc_exchange_phase(x));
    set_ids(L, x);
    set_times(L, x);
    set_retries(L, x);
    if (a->status != 0) {
        lua_pushinteger(L, a->status);
        lua_setfield(L, -2, "status");
    }
}

/* transport:take() -> id, response | id, nil, failure | nothing */
static int transport_take(lua_State *L)
{
    struct mgc_transport      *t = check_open(L);
    const struct mgc_exchange *x = mgc_transport_first(t);
    if (x == NULL)
        return 0;
    int n = x->attempt.error.code == MGC_OK ? 2 : 3;
    lua_pushinteger(L, (lua_Integer)x->id);
    if (n == 2) {
        push_response(L, x);
    } else {
        lua_pushnil(L);
        push_failure(L, x);
    }
    mgc_exchange_free(mgc_transport_take(t)); /* last: had Lua raised, nothing were lost */
    return n;
}

/* transport:cancel(id) -> boolean */
static int transport_cancel(lua_State *L)
{
    struct mgc_transport *t  = check_open(L);
    lua_Integer           id = luaL_checkinteger(L, 2);
    lua_pushboolean(L, mgc_transport_cancel(t, (uint64_t)id));
    return 1;
}

/* ---- hosts --------------------------------------------------------------------------------------- */

/* transport:pollfd() -> fd */
static int transport_pollfd(lua_State *L)
{
    lua_pushinteger(L, mgc_transport_fd(check_open(L)));
    return 1;
}

/* transport:timeout() -> seconds | nil */
static int transport_timeout(lua_State *L)
{
    int64_t due = mgc_transport_due_ms(check_open(L));
    if (due == MGC_NEVER)
        return 0;
    int64_t left = due - mgc_now_ms();
    lua_pushnumber(L, left > 0 ? (lua_Number)left / 1000 : 0);
    return 1;
}

/* transport:wake(at or nil) */
static int transport_wake(lua_State *L)
{
    struct mgc_transport *t  = check_open(L);
    lua_Number            at = luaL_optnumber(L, 2, HUGE_VAL);
    luaL_argcheck(L, at >= 0, 2, "must be a time");
    mgc_transport_wake(t, at < FAR_S ? (int64_t)ceil((double)at * 1000) : MGC_NEVER);
    return 0;
}

void lmg_transport_register(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"submit", transport_submit},   {"sign_in", transport_sign_in},
        {"step", transport_step},       {"take", transport_take},
        {"cancel", transport_cancel},   {"pollfd", transport_pollfd},
        {"timeout", transport_timeout}, {"wake", transport_wake},
        {"close", transport_close},     {NULL, NULL}};
    lmg_new_type(L, LMG_TRANSPORT, methods, transport_close);
}
