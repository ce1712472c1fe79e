/* csrc/sim/sim_tenant.c - a tenant's Lua state. Contract: sim_tenant.h.
 *
 * Whatever touches the state runs inside lua_pcall, as a C function that is handed one pointer:
 * a Lua error, memory included, ends there and not in the host.
 */
#include "sim/sim_tenant.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct sim_tenant {
    pthread_mutex_t lock;
    lua_State      *L;
    int             answer_ref, control_ref; /* the tenant's two functions, in the registry */
};

double sim_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static char *copy_bytes(const char *bytes, size_t len)
{
    char *copy = malloc(len + 1);
    if (copy != NULL) {
        memcpy(copy, bytes, len);
        copy[len] = '\0';
    }
    return copy;
}

/* Runs f(arg) protected. False: the error's text is on the stack. */
static bool protect(lua_State *L, lua_CFunction f, void *arg)
{
    lua_settop(L, 0);
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, arg);
    return lua_pcall(L, 1, 0, 0) == LUA_OK;
}

static const char *error_text(lua_State *L)
{
    return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error that is not a text";
}

/* ---- open and close -------------------------------------------------------------------------- */

struct opening {
    struct sim_tenant *tenant;
    const char        *path, *cpath, *options;
    size_t             options_len;
};

static int lua_now(lua_State *L)
{
    lua_pushnumber(L, sim_now());
    return 1;
}

static int protected_open(lua_State *L)
{
    struct opening *o = lua_touserdata(L, 1);
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_pushstring(L, o->path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, o->cpath);
    lua_setfield(L, -2, "cpath");

    lua_getglobal(L, "require");
    lua_pushliteral(L, "msgraph.sim.host");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "open");
    lua_pushlstring(L, o->options, o->options_len);
    lua_pushcfunction(L, lua_now);
    lua_call(L, 2, 2); /* open(options, now) -> answer, control */
    o->tenant->control_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    o->tenant->answer_ref  = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

struct sim_tenant *sim_tenant_open(const char *path, const char *cpath, const char *options,
                                   size_t options_len, char **error)
{
    *error               = NULL;
    struct sim_tenant *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->L             = luaL_newstate();
    struct opening o = {t, path, cpath, options, options_len};
    if (t->L != NULL && protect(t->L, protected_open, &o))
        return t;
    if (t->L != NULL)
        *error = strdup(error_text(t->L));
    sim_tenant_close(t);
    return NULL;
}

void sim_tenant_close(struct sim_tenant *t)
{
    if (t == NULL)
        return;
    if (t->L != NULL)
        lua_close(t->L);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- one request ----------------------------------------------------------------------------- */

struct asking {
    const struct sim_tenant  *tenant;
    const struct sim_request *request;
    struct sim_answer        *answer;
};

/* { ["name in lower case"] = value }; of a header sent twice the last counts */
static void push_headers(lua_State *L, const struct sim_request *r)
{
    lua_createtable(L, 0, (int)r->n_headers);
    for (size_t i = 0; i < r->n_headers; i++) {
        luaL_Buffer b;
        luaL_buffinit(L, &b);
        for (const char *c = r->headers[i].name; *c; c++)
            luaL_addchar(&b, (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c));
        luaL_pushresult(&b);
        lua_pushstring(L, r->headers[i].value ? r->headers[i].value : "");
        lua_rawset(L, -3);
    }
}

static char *string_field(lua_State *L, const char *name, size_t *len)
{
    lua_getfield(L, -1, name);
    const char *text = luaL_optlstring(L, -1, "", len);
    char       *copy = copy_bytes(text, *len);
    lua_pop(L, 1);
    return copy;
}

static int64_t integer_field(lua_State *L, const char *name, int64_t missing)
{
    lua_getfield(L, -1, name);
    int64_t value = luaL_optinteger(L, -1, missing);
    lua_pop(L, 1);
    return value;
}

static int protected_answer(lua_State *L)
{
    struct asking            *q = lua_touserdata(L, 1);
    const struct sim_request *r = q->request;
    struct sim_answer        *a = q->answer;

    lua_rawgeti(L, LUA_REGISTRYINDEX, q->tenant->answer_ref);
    lua_pushstring(L, r->method);
    lua_pushstring(L, r->target);
    push_headers(L, r);
    if (r->body_refused)
        lua_pushnil(L);
    else
        lua_pushlstring(L, r->body ? r->body : "", r->body_len);
    lua_pushboolean(L, r->plain);
    lua_call(L, 5, 1); /* answer(method, target, headers, body or nil, plain) -> table */

    luaL_checktype(L, -1, LUA_TTABLE);
    a->status   = (unsigned int)integer_field(L, "status", 0);
    a->delay_ms = integer_field(L, "delay_ms", 0);
    a->reset    = integer_field(L, "reset", 0) != 0;
    a->cut_at   = integer_field(L, "cut_at", -1);
    a->stall_at = integer_field(L, "stall_at", -1);
    a->stall_ms = integer_field(L, "stall_ms", 0);
    a->headers  = string_field(L, "headers", &a->headers_len);
    a->body     = string_field(L, "body", &a->body_len);
    if (a->headers == NULL || a->body == NULL)
        return luaL_error(L, "out of memory");
    return 0;
}

/* Our own mistake, said where a spec will see it. */
static void answer_with_bug(struct sim_answer *a, const char *text)
{
    static const char headers[] = "Content-Type\0text/plain; charset=utf-8";
    sim_answer_clear(a);
    a->status      = 500;
    a->headers     = copy_bytes(headers, sizeof headers);
    a->headers_len = a->headers ? sizeof headers : 0;
    a->body        = strdup(text);
    a->body_len    = a->body ? strlen(a->body) : 0;
}

void sim_tenant_answer(struct sim_tenant *t, const struct sim_request *r, struct sim_answer *out)
{
    struct asking q = {t, r, out};
    *out            = (struct sim_answer){.cut_at = -1, .stall_at = -1};
    pthread_mutex_lock(&t->lock);
    if (!protect(t->L, protected_answer, &q))
        answer_with_bug(out, error_text(t->L));
    lua_settop(t->L, 0);
    pthread_mutex_unlock(&t->lock);
}

void sim_answer_clear(struct sim_answer *a)
{
    free(a->headers);
    free(a->body);
    *a = (struct sim_answer){.cut_at = -1, .stall_at = -1};
}

/* ---- the one who started it ------------------------------------------------------------------ */

struct commanding {
    const struct sim_tenant *tenant;
    const char              *command;
    size_t                   command_len;
    char                    *out;
    size_t                   out_len;
};

static int protected_control(lua_State *L)
{
    struct commanding *c = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->tenant->control_ref);
    lua_pushlstring(L, c->command, c->command_len);
    lua_call(L, 1, 1); /* control(json) -> json */
    const char *json = luaL_checklstring(L, -1, &c->out_len);
    c->out           = copy_bytes(json, c->out_len);
    return 0;
}

bool sim_tenant_control(struct sim_tenant *t, const char *command, size_t command_len, char **out,
                        size_t *out_len)
{
    struct commanding c = {t, command, command_len, NULL, 0};
    pthread_mutex_lock(&t->lock);
    bool ok = protect(t->L, protected_control, &c);
    if (!ok) {
        c.out     = strdup(error_text(t->L));
        c.out_len = c.out ? strlen(c.out) : 0;
    }
    lua_settop(t->L, 0);
    pthread_mutex_unlock(&t->lock);
    *out     = c.out;
    *out_len = c.out_len;
    return ok && c.out != NULL;
}
