/* csrc/lua/lmg_error.c - mgc_error to msgraph.core.Failure; Lua makes a msgraph.Error of it. */
#include "lua/lmg.h"

void lmg_push_failure(lua_State *L, const struct mgc_error *e, const char *kind, mgc_phase phase)
{
    lua_createtable(L, 0, 9);
    lua_pushstring(L, mgc_code_name(e->code));
    lua_setfield(L, -2, "code");
    lua_pushstring(L, kind);
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, e->message);
    lua_setfield(L, -2, "message");
    if (e->word[0] != '\0') {
        lua_pushstring(L, e->word);
        lua_setfield(L, -2, "word");
    }
    if (e->subword[0] != '\0') {
        lua_pushstring(L, e->subword);
        lua_setfield(L, -2, "subword");
    }
    lua_pushstring(L, mgc_phase_name(phase));
    lua_setfield(L, -2, "phase");
}

int lmg_fail(lua_State *L, const struct mgc_error *e)
{
    if (e->code == MGC_ENOMEM)
        return luaL_error(L, "%s", e->message);
    lua_pushnil(L);
    lmg_push_failure(L, e, mgc_code_kind(e->code), MGC_NOT_SENT);
    return 2;
}

void lmg_push_codes(lua_State *L)
{
    lua_createtable(L, 0, MGC_CODES);
    for (int code = MGC_OK + 1; code < MGC_CODES; code++) {
        lua_pushstring(L, mgc_code_kind((mgc_code)code));
        lua_setfield(L, -2, mgc_code_name((mgc_code)code));
    }
}
