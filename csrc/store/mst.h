/* csrc/store/mst.h - what the files of msgraph.store share: a thin binding of SQLite, and what a journal
 * needs of the system (clocks that count suspend, hashes, files that reach the disk).
 *
 * docs/types/store.lua is the contract with Lua. The binding holds no policy: which SQL runs, and what a
 * failure means, is lua/msgraph/offboard/journal's to know.
 *
 * Ownership: a database, a statement and an iteration are userdata, there and closed before there is
 *            anything to close. C memory alive across a Lua call belongs to one of them.
 * Failure:   the world's is `nil, err`, err a msgraph.store.Error; no memory raises, as Lua's own would.
 * Process:   a database belongs to the process that opened it: SQLite does not survive a fork.
 */
#ifndef MST_H
#define MST_H

#include <lauxlib.h>
#include <lua.h>
#include <sqlite3.h>
#include <stdbool.h>

#define MST_ERROR "msgraph.store.Error"
#define MST_BLOB  "msgraph.store.Blob"

/* ---- failures: mst_error.c --------------------------------------------------------------------- */

/* Pushes nil and an Error; returns 2. */
int mst_fail(lua_State *L, const char *code, const char *message);

/* What went wrong, kept where no Lua call can lose it. */
struct mst_failure {
    const char *code;         /* NULL: no memory */
    char        message[256]; /* one sentence */
};

/* The same for a result of SQLite; `db` may be NULL. Raises when there was no memory. */
void mst_describe(struct mst_failure *out, sqlite3 *db, int rc);
int  mst_fail_as(lua_State *L, const struct mst_failure *f);
int  mst_fail_sqlite(lua_State *L, sqlite3 *db, int rc); /* both at once */

/* The same for errno `number`, with what could not be done: "writing /x: No space left on device". */
int mst_fail_errno(lua_State *L, int number, const char *doing, const char *path);

void mst_error_register(lua_State *L);

/* ---- the database: mst_db.c -------------------------------------------------------------------- */

int  mst_open(lua_State *L); /* store.open */
int  mst_blob(lua_State *L); /* store.blob */
void mst_db_register(lua_State *L);

/* ---- the system: mst_system.c ------------------------------------------------------------------ */

int mst_boottime(lua_State *L);
int mst_now(lua_State *L);
int mst_boot_id(lua_State *L);
int mst_hash(lua_State *L);
int mst_uuid(lua_State *L);
int mst_pid(lua_State *L);
int mst_append(lua_State *L);
int mst_reserve(lua_State *L);

/* ---- who is alive: mst_presence.c -------------------------------------------------------------- */

int  mst_presence(lua_State *L);
int  mst_present(lua_State *L);
void mst_presence_register(lua_State *L);

#endif
