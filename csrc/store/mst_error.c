/* csrc/store/mst_error.c - msgraph.store.Error: { code, message }, a tostring of one line. */
#include "store/mst.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int mst_fail(lua_State *L, const char *code, const char *message)
{
    lua_pushnil(L);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, code);
    lua_setfield(L, -2, "code");
    lua_pushstring(L, message);
    lua_setfield(L, -2, "message");
    luaL_setmetatable(L, MST_ERROR);
    return 2;
}

static const char *code_of(int number, const char *otherwise)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return "full";
    case EROFS:
    case EACCES:
    case EPERM:
        return "readonly";
    default:
        return otherwise;
    }
}

static const char *code_of_errno(sqlite3 *db, const char *otherwise)
{
    return code_of(db != NULL ? sqlite3_system_errno(db) : 0, otherwise);
}

/* SQLite's codes as far as somebody would act on them. */
static const char *code_of_sqlite(sqlite3 *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "busy";
    case SQLITE_FULL:
        return "full";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "readonly";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "corrupt";
    case SQLITE_CONSTRAINT:
        return "constraint";
    case SQLITE_CANTOPEN: /* on a disk that can not be written the file opens, and what lies beside it does not */
        return db != NULL && sqlite3_db_readonly(db, "main") == 1
                   ? "readonly"
                   : code_of_errno(db, "cannot_open");
    case SQLITE_IOERR:
        return code_of_errno(db, "io");
    default:
        return "sql";
    }
}

void mst_describe(struct mst_failure *out, sqlite3 *db, int rc)
{
    bool out_of_memory = (rc & 0xff) == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM;
    out->code          = out_of_memory ? NULL : code_of_sqlite(db, rc);
    /* the words of the last call are another one's when this is not its code */
    bool own = db != NULL && sqlite3_extended_errcode(db) == rc;
    snprintf(out->message, sizeof out->message, "%s",
             own ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

int mst_fail_as(lua_State *L, const struct mst_failure *f)
{
    return f->code != NULL ? mst_fail(L, f->code, f->message) : luaL_error(L, "not enough memory");
}

int mst_fail_sqlite(lua_State *L, sqlite3 *db, int rc)
{
    struct mst_failure f;
    mst_describe(&f, db, rc);
    return mst_fail_as(L, &f);
}

int mst_fail_errno(lua_State *L, int number, const char *doing, const char *path)
{
    lua_pushfstring(L, "%s %s: %s", doing, path, strerror(number));
    return mst_fail(L, code_of(number, "io"), lua_tostring(L, -1));
}

static int error_tostring(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "message");
    lua_getfield(L, 1, "code");
    lua_pushfstring(L, "%s (%s)", lua_tostring(L, -2), lua_tostring(L, -1));
    return 1;
}

void mst_error_register(lua_State *L)
{
    luaL_newmetatable(L, MST_ERROR);
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
}
