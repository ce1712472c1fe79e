/* csrc/lua/lmg_file.c - core.sha256, core.random, core.write_private, core.terminal. */
#include "core/base/file.h"
#include "core/identity/vault.h"
#include "lua/lmg.h"

#include <string.h>
#include <sys/ioctl.h>

enum { RANDOM_MAX = 256 };

/* core.sha256(bytes) -> text */
int lmg_sha256(lua_State *L)
{
    size_t      n;
    const char *bytes = luaL_checklstring(L, 1, &n);
    char        digest[MGC_SHA256_HEX + 1];
    if (!mgc_sha256(bytes, n, digest))
        return luaL_error(L, "libcrypto has no SHA-256");
    lua_pushlstring(L, digest, MGC_SHA256_HEX);
    return 1;
}

/* core.random(n) -> bytes */
int lmg_random(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);
    char        bytes[RANDOM_MAX];
    luaL_argcheck(L, 1 <= n && n <= RANDOM_MAX, 1, "out of range");
    if (!mgc_vault_random(bytes, (size_t)n))
        return luaL_error(L, "the system gives no random bytes");
    lua_pushlstring(L, bytes, (size_t)n);
    return 1;
}

/* core.write_private(path, bytes) -> true | nil, reason */
int lmg_write_private(lua_State *L)
{
    size_t      n;
    const char *path  = luaL_checkstring(L, 1);
    const char *bytes = luaL_checklstring(L, 2, &n);
    int         fault = mgc_file_replace(path, bytes, n);
    if (fault != 0) {
        lua_pushnil(L);
        lua_pushfstring(L, "%s: %s", path, strerror(fault));
        return 2;
    }
    lua_pushboolean(L, true);
    return 1;
}

/* core.terminal(fd) -> columns, rows | nothing */
int lmg_terminal(lua_State *L)
{
    lua_Integer    fd = luaL_checkinteger(L, 1);
    struct winsize size;
    luaL_argcheck(L, 0 <= fd && fd <= 2, 1, "out of range");
    if (ioctl((int)fd, TIOCGWINSZ, &size) != 0)
        return 0;
    lua_pushinteger(L, size.ws_col);
    lua_pushinteger(L, size.ws_row);
    return 2;
}
