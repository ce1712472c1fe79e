/* csrc/lua/lmg_handle.c - what every handle's type has in common. */
#include "lua/lmg.h"

void lmg_new_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction close)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__close");
    lua_pushstring(L, name); /* getmetatable() gives this: nobody reaches __gc */
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
