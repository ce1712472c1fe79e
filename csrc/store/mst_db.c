/* csrc/store/mst_db.c - msgraph.store.Db: prepare, bind, step, column, and transactions that end.
 *
 * Statements are kept by their text, in a table that is the database's user value, and lent to one use at
 * a time: the same text run while an iteration over it is open is prepared again.
 */
#include "store/mst.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define MST_DB        "msgraph.store.Db"
#define MST_STATEMENT "msgraph.store.Statement"
#define MST_ROWS      "msgraph.store.Rows"

enum { BUSY_MS = 5000, CACHED_MAX = 128, SQL_MAX = 1 << 20 };

struct db {
    sqlite3 *sqlite; /* NULL when closed or not yet open */
    pid_t    pid;    /* who opened it */
    int      cached;
    bool     in_transaction; /* between BEGIN and the end of db:transaction() */
};

struct statement {
    sqlite3_stmt *sqlite; /* NULL when finalized */
    bool          lent;
};

struct rows {
    struct statement *statement; /* NULL when over; its userdata is our user value */
};

static struct db *check_open(lua_State *L, int arg)
{
    struct db *d = luaL_checkudata(L, arg, MST_DB);
    luaL_argcheck(L, d->sqlite != NULL, arg, "database is closed");
    luaL_argcheck(L, d->pid == getpid(), arg, "database was opened by another process");
    return d;
}

/* ---- statements -------------------------------------------------------------------------------- */

static void give_back(struct statement *s)
{
    if (s->sqlite != NULL) {
        sqlite3_reset(s->sqlite); /* says again what the last step said */
        sqlite3_clear_bindings(s->sqlite);
    }
    s->lent = false;
}

static int statement_gc(lua_State *L)
{
    struct statement *s = luaL_checkudata(L, 1, MST_STATEMENT);
    sqlite3_finalize(s->sqlite);
    s->sqlite = NULL;
    return 0;
}

static struct statement *new_statement(lua_State *L)
{
    struct statement *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s                  = (struct statement){NULL, false};
    luaL_setmetatable(L, MST_STATEMENT);
    return s;
}

/* cache[sql] = the statement on top, where there is room. */
static void keep(lua_State *L, struct db *d, int cache, int sql)
{
    if (d->cached >= CACHED_MAX)
        return;
    lua_pushvalue(L, sql);
    lua_pushvalue(L, -2);
    lua_rawset(L, cache);
    d->cached++;
}

static bool only_blanks(const char *text)
{
    return text[strspn(text, " \t\r\n;")] == '\0';
}

/* Pushes the statement for the SQL at `sql`, lent; or nil and an Error, and returns NULL. */
static struct statement *lend(lua_State *L, struct db *d, int db, int sql)
{
    lua_getiuservalue(L, db, 1);
    int cache = lua_gettop(L);
    lua_pushvalue(L, sql);
    bool              known = lua_rawget(L, cache) == LUA_TUSERDATA;
    struct statement *s     = known ? lua_touserdata(L, -1) : NULL;
    if (s == NULL || s->lent) {
        size_t      len  = 0;
        const char *text = lua_tolstring(L, sql, &len), *rest = NULL;
        luaL_argcheck(L, len < SQL_MAX, sql, "too long");
        s      = new_statement(L);
        int rc = sqlite3_prepare_v3(d->sqlite, text, (int)len + 1, SQLITE_PREPARE_PERSISTENT,
                                    &s->sqlite, &rest);
        if (rc != SQLITE_OK) {
            mst_fail_sqlite(L, d->sqlite, rc);
            return NULL;
        }
        luaL_argcheck(L, s->sqlite != NULL && only_blanks(rest), sql, "one statement expected");
        if (!known)
            keep(L, d, cache, sql);
    }
    s->lent = true;
    return s;
}

/* ---- values ------------------------------------------------------------------------------------ */

int mst_blob(lua_State *L)
{
    luaL_checkstring(L, 1);
    lua_newuserdatauv(L, 0, 1);
    luaL_setmetatable(L, MST_BLOB);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

static const char *why_not(lua_State *L, int arg)
{
    size_t len = 0;
    switch (lua_type(L, arg)) {
    case LUA_TNONE:
    case LUA_TNIL:
        return NULL;
    case LUA_TNUMBER:
        return lua_isinteger(L, arg) || !isnan(lua_tonumber(L, arg)) ? NULL
                                                                     : "NaN has no place here";
    case LUA_TSTRING:
        (void)lua_tolstring(L, arg, &len);
        return memchr(lua_tostring(L, arg), '\0', len) == NULL ? NULL
                                                               : "text holds NUL: use store.blob";
    default:
        return luaL_testudata(L, arg, MST_BLOB) != NULL ? NULL
                                                        : "number, string, blob or nil expected";
    }
}

static int bind_bytes(lua_State *L, sqlite3_stmt *s, int at, int arg, bool blob)
{
    size_t      len   = 0;
    const char *bytes = lua_tolstring(L, arg, &len);
    if (!blob)
        return sqlite3_bind_text64(s, at, bytes, len, SQLITE_TRANSIENT, SQLITE_UTF8);
    if (len == 0)
        return sqlite3_bind_zeroblob(s, at, 0);
    return sqlite3_bind_blob64(s, at, bytes, len, SQLITE_TRANSIENT);
}

static int bind(lua_State *L, sqlite3_stmt *s, int at, int arg)
{
    switch (lua_type(L, arg)) {
    case LUA_TNUMBER:
        return lua_isinteger(L, arg) ? sqlite3_bind_int64(s, at, lua_tointeger(L, arg))
                                     : sqlite3_bind_double(s, at, lua_tonumber(L, arg));
    case LUA_TSTRING:
        return bind_bytes(L, s, at, arg, false);
    case LUA_TUSERDATA:
        lua_getiuservalue(L, arg, 1);
        int rc = bind_bytes(L, s, at, lua_gettop(L), true);
        lua_pop(L, 1);
        return rc;
    default:
        return sqlite3_bind_null(s, at);
    }
}

/* The text and the values of a call, before anything is taken. */
static void check_values(lua_State *L, int first, int last)
{
    luaL_checkstring(L, first - 1);
    for (int arg = first; arg <= last; arg++) {
        const char *reason = why_not(L, arg);
        if (reason != NULL)
            luaL_argerror(L, arg, reason);
    }
    luaL_checkstack(L, 10, NULL);
}

static int bind_all(lua_State *L, struct statement *s, int first, int last)
{
    int wanted = sqlite3_bind_parameter_count(s->sqlite);
    if (last - first + 1 != wanted) {
        give_back(s);
        return luaL_error(L, "%d values for %d parameters", last - first + 1, wanted);
    }
    int rc = SQLITE_OK;
    for (int i = 1; i <= wanted && rc == SQLITE_OK; i++)
        rc = bind(L, s->sqlite, i, first + i - 1);
    return rc;
}

static void push_column(lua_State *L, sqlite3_stmt *s, int i)
{
    switch (sqlite3_column_type(s, i)) {
    case SQLITE_INTEGER:
        lua_pushinteger(L, sqlite3_column_int64(s, i));
        break;
    case SQLITE_FLOAT:
        lua_pushnumber(L, sqlite3_column_double(s, i));
        break;
    case SQLITE_NULL:
        lua_pushnil(L);
        break;
    default: {
        const char *bytes = sqlite3_column_blob(s, i); /* NULL when empty */
        lua_pushlstring(L, bytes ? bytes : "", (size_t)sqlite3_column_bytes(s, i));
    }
    }
}

static void push_row(lua_State *L, sqlite3_stmt *s)
{
    int n = sqlite3_column_count(s);
    lua_createtable(L, 0, n);
    for (int i = 0; i < n; i++) {
        push_column(L, s, i);
        lua_setfield(L, -2, sqlite3_column_name(s, i));
    }
}

/* ---- running ----------------------------------------------------------------------------------- */

static void roll_back(struct db *d)
{
    d->in_transaction = false;
    if (d->sqlite != NULL && !sqlite3_get_autocommit(d->sqlite))
        sqlite3_exec(d->sqlite, "ROLLBACK", NULL, NULL, NULL);
}

/* Makes the rows of `db:what(sql, ...)`, closed before there is a statement in it, at index `last` + 1;
 * false: nil and an Error are on top. SQLite gives a transaction up by itself when the disk is full: what
 * came after would each stand alone, so it is refused. */
static bool start(lua_State *L, struct db **out, struct rows **rows)
{
    int        last = lua_gettop(L);
    struct db *d = *out = check_open(L, 1);
    check_values(L, 3, last);
    struct rows *r = *rows = lua_newuserdatauv(L, sizeof *r, 2);
    *r                     = (struct rows){NULL};
    luaL_setmetatable(L, MST_ROWS);
    if (!d->in_transaction)
        roll_back(d); /* one that memory did not suffice to end */
    if (d->in_transaction && sqlite3_get_autocommit(d->sqlite)) {
        mst_fail(L, "aborted", "the transaction was given up when a statement before this failed");
        return false;
    }
    struct statement *s = lend(L, d, 1, 2);
    if (s == NULL)
        return false;
    lua_setiuservalue(L, last + 1, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, last + 1, 2);
    r->statement = s;
    int rc       = bind_all(L, s, 3, last);
    if (rc != SQLITE_OK) {
        give_back(s);
        r->statement = NULL;
        mst_fail_sqlite(L, d->sqlite, rc);
        return false;
    }
    lua_settop(L, last + 1);
    return true;
}

static int rows_close(lua_State *L)
{
    struct rows      *r = luaL_checkudata(L, 1, MST_ROWS);
    struct statement *s = r->statement;
    r->statement        = NULL;
    if (s != NULL)
        give_back(s);
    return 0;
}

static void end(struct rows *r)
{
    give_back(r->statement);
    r->statement = NULL;
}

/* The failure of a step: taken down before the reset that says it again. */
static int fail_step(lua_State *L, struct db *d, struct rows *r, int rc)
{
    int pushed = mst_fail_sqlite(L, d->sqlite, rc);
    end(r);
    return pushed;
}

/* db:exec(sql, ...) -> rows changed | nil, err */
static int db_exec(lua_State *L)
{
    struct db   *d = NULL;
    struct rows *r = NULL;
    if (!start(L, &d, &r))
        return 2;
    int before = sqlite3_total_changes(d->sqlite), rc = SQLITE_ROW;
    while (rc == SQLITE_ROW)
        rc = sqlite3_step(r->statement->sqlite);
    if (rc != SQLITE_DONE)
        return fail_step(L, d, r, rc);
    end(r);
    bool changed = sqlite3_total_changes(d->sqlite) !=
                   before; /* else the count is an older one's */
    lua_pushinteger(L, changed ? sqlite3_changes(d->sqlite) : 0);
    return 1;
}

/* db:one(sql, ...) -> row | nil where there is none | nil, err */
static int db_one(lua_State *L)
{
    struct db   *d = NULL;
    struct rows *r = NULL;
    if (!start(L, &d, &r))
        return 2;
    int rc = sqlite3_step(r->statement->sqlite);
    if (rc == SQLITE_ROW) {
        push_row(L, r->statement->sqlite);
        while (rc == SQLITE_ROW) /* to its end: what RETURNING shows is done, or not, only there */
            rc = sqlite3_step(r->statement->sqlite);
    } else {
        lua_pushnil(L);
    }
    if (rc != SQLITE_DONE)
        return fail_step(L, d, r, rc);
    end(r);
    return 1;
}

/* db:all(sql, ...) -> list of rows | nil, err */
static int db_all(lua_State *L)
{
    struct db   *d = NULL;
    struct rows *r = NULL;
    if (!start(L, &d, &r))
        return 2;
    lua_newtable(L);
    int rc = SQLITE_ROW;
    for (lua_Integer n = 1; (rc = sqlite3_step(r->statement->sqlite)) == SQLITE_ROW; n++) {
        push_row(L, r->statement->sqlite);
        lua_rawseti(L, -2, n);
    }
    if (rc != SQLITE_DONE)
        return fail_step(L, d, r, rc);
    end(r);
    return 1;
}

/* next() -> row | nil; raises an Error: inside a `for` there is nobody to return it to */
static int rows_next(lua_State *L)
{
    struct rows *r = lua_touserdata(L, lua_upvalueindex(1));
    if (r->statement == NULL)
        return 0;
    lua_getiuservalue(L, lua_upvalueindex(1), 2);
    struct db *d = check_open(L, lua_gettop(L));
    if (r->statement->sqlite == NULL)
        return luaL_error(L, "database is closed");
    int rc = sqlite3_step(r->statement->sqlite);
    if (rc == SQLITE_ROW) {
        push_row(L, r->statement->sqlite);
        return 1;
    }
    if (rc == SQLITE_DONE) {
        end(r);
        return 0;
    }
    fail_step(L, d, r, rc);
    return lua_error(L);
}

/* for row in db:rows(sql, ...) do */
static int db_rows(lua_State *L)
{
    struct db   *d = NULL;
    struct rows *r = NULL;
    if (!start(L, &d, &r))
        return lua_error(L);
    int at = lua_gettop(L);
    lua_pushvalue(L, at);
    lua_pushcclosure(L, rows_next, 1);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_pushvalue(L, at); /* closed by the `for`, however it is left */
    return 4;
}

/* ---- transactions ------------------------------------------------------------------------------ */

/* What a function raised: SQLite's failures are returned, all else goes on up. */
static int return_or_raise(lua_State *L)
{
    if (lua_getmetatable(L, -1)) {
        luaL_getmetatable(L, MST_ERROR);
        bool ours = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
        if (ours) {
            lua_pushnil(L);
            lua_insert(L, -2);
            return 2;
        }
    }
    return lua_error(L);
}

/* The failure is told in SQLite's words of now, and the rollback has words of its own; and nothing of Lua's may
 * raise while the transaction is open. */
static int commit(lua_State *L, struct db *d)
{
    struct mst_failure f = {"aborted",
                            "the transaction was given up when a statement in it failed"};
    if (!sqlite3_get_autocommit(d->sqlite)) {
        int rc = sqlite3_exec(d->sqlite, "COMMIT", NULL, NULL, NULL);
        if (rc == SQLITE_OK) {
            d->in_transaction = false;
            return 0;
        }
        mst_describe(&f, d->sqlite, rc);
    }
    roll_back(d);
    return mst_fail_as(L, &f);
}

/* db:transaction(fn) -> what fn returned, true if nothing | nil, err */
static int db_transaction(lua_State *L)
{
    struct db *d = check_open(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (d->in_transaction)
        return luaL_error(L, "a transaction is open already");
    roll_back(d); /* one that memory did not suffice to end */
    lua_settop(L, 2);
    luaL_checkstack(L, 10, NULL);
    int rc = sqlite3_exec(d->sqlite, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return mst_fail_sqlite(L, d->sqlite, rc);
    d->in_transaction = true;
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 1, LUA_MULTRET, 0) != LUA_OK) {
        roll_back(d);
        return return_or_raise(L);
    }
    if (d->sqlite == NULL)
        return luaL_error(L, "database was closed inside its transaction");
    int returned = lua_gettop(L) - 1;
    if (returned >= 2 && lua_isnil(L, 2) && !lua_isnil(L, 3)) {
        roll_back(d);
        return returned;
    }
    int pushed = commit(L, d);
    if (pushed > 0)
        return pushed;
    if (returned > 0)
        return returned;
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- opening, closing -------------------------------------------------------------------------- */

/* db:close(); also __close and __gc. A child after a fork only lets go: the file is its parent's. */
static int db_close(lua_State *L)
{
    struct db *d      = luaL_checkudata(L, 1, MST_DB);
    sqlite3   *sqlite = d->sqlite;
    d->sqlite         = NULL; /* first: closing twice is harmless */
    if (sqlite == NULL || d->pid != getpid())
        return 0;
    if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            struct statement *s = lua_touserdata(L, -1);
            sqlite3_finalize(s->sqlite);
            s->sqlite = NULL;
        }
    sqlite3_close_v2(sqlite); /* a statement still lent ends with its iteration */
    return 0;
}

static bool option(lua_State *L, const char *name)
{
    if (lua_isnoneornil(L, 2))
        return false;
    int type = lua_getfield(L, 2, name);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN)
        luaL_error(L, "bad option '%s' (boolean expected, got %s)", name, luaL_typename(L, -1));
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

/* An URI is the one way to say "immutable", and there ?, # and % are not letters. */
static const char *immutable_uri(lua_State *L, const char *path)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, path[0] == '/' ? "file://" : "file:");
    for (const char *c = path; *c != '\0'; c++) {
        if (*c == '?' || *c == '#' || *c == '%') {
            lua_pushfstring(L, "%%%s", *c == '?' ? "3f" : *c == '#' ? "23" : "25");
            luaL_addvalue(&b);
        } else {
            luaL_addchar(&b, *c);
        }
    }
    luaL_addstring(&b, "?immutable=1");
    luaL_pushresult(&b);
    return lua_tostring(L, -1);
}

/* SQLite would make it readable to all; what lies beside it (-wal, -shm) takes its mode from it.
 * Returns the errno of a disk that takes no file; of anything else that is wrong SQLite will tell. */
static int create_private(const char *path)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST || errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    close(fd);
    return 0;
}

static int configure(sqlite3 *db)
{
    int rc = sqlite3_extended_result_codes(db, 1);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db, BUSY_MS);
    if (rc == SQLITE_OK) /* a file from elsewhere may not run what its schema holds */
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return rc;
}

/* store.open(path, { readonly =, create =, immutable = }) -> db | nil, err */
int mst_open(lua_State *L)
{
    size_t      len  = 0;
    const char *path = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, len > 0 && strlen(path) == len, 1, "is no path");
    luaL_argcheck(L, path[0] != ':' && strncmp(path, "file:", 5) != 0, 1, "is no plain path");
    bool immutable = option(L, "immutable"), create = option(L, "create");
    bool readonly = immutable || option(L, "readonly");
    luaL_argcheck(L, !(readonly && create), 2, "readonly and create exclude each other");

    struct db *d = lua_newuserdatauv(L, sizeof *d, 1);
    *d           = (struct db){.pid = getpid()};
    luaL_setmetatable(L, MST_DB);
    lua_newtable(L);
    lua_setiuservalue(L, -2, 1);

    int number = create ? create_private(path) : 0;
    if (number != 0)
        return mst_fail_errno(L, number, "creating", path);
    int flags = SQLITE_OPEN_NOMUTEX | (readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
    if (immutable) {
        path = immutable_uri(L, path);
        flags |= SQLITE_OPEN_URI;
    }
    int rc = sqlite3_open_v2(path, &d->sqlite, flags, NULL);
    if (rc == SQLITE_OK)
        rc = configure(d->sqlite);
    if (immutable)
        lua_pop(L, 1);
    return rc == SQLITE_OK ? 1 : mst_fail_sqlite(L, d->sqlite, rc);
}

static void new_type(lua_State *L, const char *name, lua_CFunction close, const luaL_Reg *methods)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__close");
    if (methods != NULL) {
        lua_newtable(L);
        luaL_setfuncs(L, methods, 0);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
}

void mst_db_register(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"exec", db_exec}, {"one", db_one},     {"all", db_all},
        {"rows", db_rows}, {"close", db_close}, {"transaction", db_transaction},
        {NULL, NULL},
    };
    new_type(L, MST_DB, db_close, methods);
    new_type(L, MST_STATEMENT, statement_gc, NULL);
    new_type(L, MST_ROWS, rows_close, NULL);
    luaL_newmetatable(L, MST_BLOB);
    lua_pop(L, 1);
}
