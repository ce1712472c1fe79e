/* csrc/lua/lmg.h - what the binding files share.
 *
 * The binding translates and holds no policy. Two rules keep it safe: a handle exists, closed,
 * before there is anything to close; and C memory that is alive across a Lua call (which may
 * raise) belongs to a userdata or to the core, never to a local.
 */
#ifndef LMG_H
#define LMG_H

#include "core/base/error.h"
#include "core/identity/store.h"
#include "core/origin.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- options: lmg_args.c --------------------------------------------------------------------- */

typedef enum lmg_type {
    LMG_TEXT,    /* const char *; its length in the size_t that `length` names, or no NUL inside */
    LMG_SECONDS, /* a number above 0, kept as int64_t milliseconds, rounded up */
    LMG_BYTES,   /* a positive integer, kept as size_t */
    LMG_BOOLEAN  /* int: -1 when absent, 0, 1 */
} lmg_type;

struct lmg_field {
    const char *name;
    lmg_type    type;
    bool        required;
    size_t      at;     /* offset of the value */
    size_t      length; /* LMG_TEXT: offset of its length, or LMG_NO_LENGTH */
};

#define LMG_NO_LENGTH ((size_t)-1)

/* Reads the table at `arg` into `out` (zeroed by the caller) as `fields` say; raises, naming the
 * option, for a wrong type. Texts are lent by the table. */
void lmg_read(lua_State *L, int arg, const struct lmg_field *fields, size_t n, void *out);

enum { LMG_SECONDS_MAX = 30 * 24 * 3600 };

/* ---- failures: lmg_error.c ------------------------------------------------------------------- */

/* Pushes nil and a msgraph.core.Failure; returns 2. MGC_ENOMEM raises, as Lua's own would. */
int lmg_fail(lua_State *L, const struct mgc_error *e);

/* Pushes a msgraph.core.Failure with code, kind, message and phase. */
void lmg_push_failure(lua_State *L, const struct mgc_error *e, const char *kind, mgc_phase phase);

/* Pushes the table of all codes. */
void lmg_push_codes(lua_State *L);

/* ---- handles ----------------------------------------------------------------------------------- */

void lmg_origin_register(lua_State *L);
int  lmg_origin(lua_State *L); /* core.origin */

/* The open origin at `arg`; raises. */
struct mgc_origin *lmg_check_origin(lua_State *L, int arg);

void lmg_credential_register(lua_State *L);
int  lmg_credential(lua_State *L); /* core.credential */

/* The open credential at `arg`; raises. */
struct mgc_credential *lmg_check_credential(lua_State *L, int arg);

void lmg_loopback_register(lua_State *L);
int  lmg_loopback(lua_State *L); /* core.loopback */

/* The open listener at `arg`; raises. */
struct mgc_loopback *lmg_check_loopback(lua_State *L, int arg);

void lmg_child_register(lua_State *L);
int  lmg_child(lua_State *L); /* core.child */

/* The open child at `arg`; raises. */
struct mgc_child *lmg_check_child(lua_State *L, int arg);

void lmg_store_register(lua_State *L);
int  lmg_store(lua_State *L); /* core.store */

/* The open store at `arg`; raises. */
struct mgc_store *lmg_check_store(lua_State *L, int arg);

void lmg_parts_register(lua_State *L);
int  lmg_parts(lua_State *L); /* origin:parts */
int  lmg_load(lua_State *L);  /* core.load */

void lmg_transport_register(lua_State *L);
int  lmg_transport(lua_State *L); /* core.transport */

/* ---- plain functions: lmg_file.c ------------------------------------------------------------- */

int lmg_sha256(lua_State *L);        /* core.sha256 */
int lmg_random(lua_State *L);        /* core.random */
int lmg_terminal(lua_State *L);      /* core.terminal */
int lmg_write_private(lua_State *L); /* core.write_private */

/* Gives a handle's metatable its methods, with close() as __close and __gc. */
void lmg_new_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction close);

#endif
