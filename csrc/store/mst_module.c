/* csrc/store/mst_module.c - luaopen_msgraph_store. */
#include "store/mst.h"

__attribute__((visibility("default"))) int luaopen_msgraph_store(lua_State *L);

int luaopen_msgraph_store(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"open", mst_open},
        {"blob", mst_blob},
        {"boottime", mst_boottime},
        {"now", mst_now},
        {"boot_id", mst_boot_id},
        {"pid", mst_pid},
        {"hash", mst_hash},
        {"uuid", mst_uuid},
        {"append", mst_append},
        {"reserve", mst_reserve},
        {"presence", mst_presence},
        {"present", mst_present},
        {NULL, NULL},
    };
    mst_error_register(L);
    mst_db_register(L);
    mst_presence_register(L);
    luaL_newlib(L, functions);
    return 1;
}
