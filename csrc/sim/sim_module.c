/* csrc/sim/sim_module.c - luaopen_msgraph_sim_server: the server as a Lua userdata.
 *
 * Meant for lua/msgraph/sim alone; the tenant's own Lua state takes its cryptography from here.
 * The handle exists, closed, before the server does; stop, <close> and the collector are one
 * function. After a fork the child may only drop it.
 */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "sim/sim_jws.h"
#include "sim/sim_server.h"
#include "sim/sim_tenant.h"

#define SIM_SERVER "msgraph.sim.Server"
#define SIM_TEXT   "msgraph.sim.Text"

struct handle {
    struct sim_server *server; /* NULL when stopped or not yet started */
    pid_t              pid;    /* who started it */
};

/* NULL when it may not be used, and then *reason says why. */
static struct sim_server *get_running(lua_State *L, const char **reason)
{
    struct handle *h = luaL_checkudata(L, 1, SIM_SERVER);
    if (h->server == NULL)
        *reason = "the tenant is stopped";
    else if (h->pid != getpid())
        *reason = "the tenant belongs to the process that started it";
    else
        return h->server;
    return NULL;
}

static int fail(lua_State *L, const char *reason)
{
    lua_pushnil(L);
    lua_pushstring(L, reason ? reason : "out of memory");
    return 2;
}

/* A place for a malloc'ed text on the stack: the collector frees it, whatever raises meanwhile. */
static char **new_text(lua_State *L)
{
    char **text = lua_newuserdatauv(L, sizeof *text, 0);
    *text       = NULL;
    luaL_setmetatable(L, SIM_TEXT);
    return text;
}

static int text_free(lua_State *L)
{
    char **text = luaL_checkudata(L, 1, SIM_TEXT);
    free(*text);
    *text = NULL;
    return 0;
}

/* server.start(options_json, port, certificate, lua_path, lua_cpath) -> server | nil, reason */
static int server_start(lua_State *L)
{
    static const char *const  kinds[] = {"valid", "expired", "wrong_name", NULL};
    struct sim_server_options o       = {0};

    o.tenant         = luaL_checklstring(L, 1, &o.tenant_len);
    lua_Integer port = luaL_checkinteger(L, 2);
    luaL_argcheck(L, 0 <= port && port <= UINT16_MAX, 2, "out of range");
    o.port        = (uint16_t)port;
    o.certificate = (enum sim_certificate)luaL_checkoption(L, 3, NULL, kinds);
    o.lua_path    = luaL_checkstring(L, 4);
    o.lua_cpath   = luaL_checkstring(L, 5);

    char         **reason = new_text(L);
    struct handle *h      = lua_newuserdatauv(L, sizeof *h, 0);
    *h                    = (struct handle){NULL, getpid()};
    luaL_setmetatable(L, SIM_SERVER);

    h->server = sim_server_start(&o, reason);
    return h->server ? 1 : fail(L, *reason);
}

/* server:stop(); also __close and __gc */
static int server_stop(lua_State *L)
{
    struct handle     *h      = luaL_checkudata(L, 1, SIM_SERVER);
    struct sim_server *server = h->server;
    h->server                 = NULL; /* first: stopping twice is harmless */
    if (h->pid == getpid())
        sim_server_stop(server);
    return 0;
}

/* server:control(json) -> json | nil, reason */
static int server_control(lua_State *L)
{
    const char        *reason = NULL;
    struct sim_server *s      = get_running(L, &reason);
    size_t             len = 0, out_len = 0;
    const char        *command = luaL_checklstring(L, 2, &len);
    if (s == NULL)
        return fail(L, reason);
    char **out = new_text(L);
    if (!sim_server_control(s, command, len, out, &out_len))
        return fail(L, *out);
    lua_pushlstring(L, *out, out_len);
    free(*out); /* it may be large: not left to the collector */
    *out = NULL;
    return 1;
}

/* server:port() -> integer | nil, reason */
static int server_port(lua_State *L)
{
    const char        *reason = NULL;
    struct sim_server *s      = get_running(L, &reason);
    if (s == NULL)
        return fail(L, reason);
    lua_pushinteger(L, sim_server_port(s));
    return 1;
}

/* server:plain_port() -> integer | nil, reason */
static int server_plain_port(lua_State *L)
{
    const char        *reason = NULL;
    struct sim_server *s      = get_running(L, &reason);
    if (s == NULL)
        return fail(L, reason);
    lua_pushinteger(L, sim_server_plain_port(s));
    return 1;
}

/* server:certificate() -> PEM | nil, reason */
static int server_certificate(lua_State *L)
{
    const char        *reason = NULL;
    struct sim_server *s      = get_running(L, &reason);
    lua_pushstring(L, s ? sim_server_certificate(s) : NULL);
    return s ? 1 : fail(L, reason);
}

/* server:ca_file() -> path | nil, reason */
static int server_ca_file(lua_State *L)
{
    const char        *reason = NULL;
    struct sim_server *s      = get_running(L, &reason);
    lua_pushstring(L, s ? sim_server_ca_file(s) : NULL);
    return s ? 1 : fail(L, reason);
}

/* server.sleep(seconds): returns early when a signal arrives */
static int module_sleep(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1, "out of range");
    struct timespec ts = {.tv_sec = (time_t)seconds};
    ts.tv_nsec         = (long)((seconds - floor(seconds)) * 1e9);
    nanosleep(&ts, NULL);
    return 0;
}

/* server.verify(pem, "PS256" | "RS256", data, signature) -> boolean */
static int module_verify(lua_State *L)
{
    static const char *const algs[]  = {"PS256", "RS256", NULL};
    size_t                   pem_len = 0, data_len = 0, signature_len = 0;
    const char              *pem       = luaL_checklstring(L, 1, &pem_len);
    enum sim_jws_alg         alg       = (enum sim_jws_alg)luaL_checkoption(L, 2, NULL, algs);
    const char              *data      = luaL_checklstring(L, 3, &data_len);
    const char              *signature = luaL_checklstring(L, 4, &signature_len);
    lua_pushboolean(L, sim_jws_verify(pem, pem_len, alg, data, data_len, signature, signature_len));
    return 1;
}

/* server.certificate(pem) -> { sha256 = bytes, sha1 = bytes, not_before =, not_after = } | nil */
static int module_certificate(lua_State *L)
{
    struct sim_certificate_facts facts;
    size_t                       len = 0;
    const char                  *pem = luaL_checklstring(L, 1, &len);
    if (!sim_jws_read_certificate(pem, len, &facts)) {
        lua_pushnil(L);
        return 1;
    }
    lua_createtable(L, 0, 4);
    lua_pushlstring(L, (const char *)facts.sha256, sizeof facts.sha256);
    lua_setfield(L, -2, "sha256");
    lua_pushlstring(L, (const char *)facts.sha1, sizeof facts.sha1);
    lua_setfield(L, -2, "sha1");
    lua_pushinteger(L, facts.not_before);
    lua_setfield(L, -2, "not_before");
    lua_pushinteger(L, facts.not_after);
    lua_setfield(L, -2, "not_after");
    return 1;
}

/* server.sha256(bytes) -> bytes */
static int module_sha256(lua_State *L)
{
    unsigned char digest[32];
    size_t        len  = 0;
    const char   *data = luaL_checklstring(L, 1, &len);
    if (!sim_jws_sha256(data, len, digest))
        return luaL_error(L, "SHA-256 is not to be had");
    lua_pushlstring(L, (const char *)digest, sizeof digest);
    return 1;
}

static void make_metatables(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"control", server_control},
        {"port", server_port},
        {"plain_port", server_plain_port},
        {"certificate", server_certificate},
        {"ca_file", server_ca_file},
        {"stop", server_stop},
        {NULL, NULL},
    };
    static const luaL_Reg meta[] = {
        {"__close", server_stop},
        {"__gc", server_stop},
        {NULL, NULL},
    };
    luaL_newmetatable(L, SIM_SERVER);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newmetatable(L, SIM_TEXT);
    lua_pushcfunction(L, text_free);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 2);
}

__attribute__((visibility("default"))) int luaopen_msgraph_sim_server(lua_State *L);

int luaopen_msgraph_sim_server(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"start", server_start},   {"sleep", module_sleep},
        {"verify", module_verify}, {"certificate", module_certificate},
        {"sha256", module_sha256}, {NULL, NULL},
    };
    make_metatables(L);
    luaL_newlib(L, functions);
    return 1;
}
