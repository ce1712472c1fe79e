/* csrc/store/mst_presence.c - who is alive, as the kernel knows it.
 *
 * A process holds a lock on one byte of a file, and the kernel lets go of it when the process dies, however
 * it dies. Who has no lock is dead; who has one may still be stopped for good, so that a lease is needed
 * as well. The lock belongs to the open file: another descriptor of the same process does not disturb it. A
 * child that outlives a fork keeps it: then, too, only the lease tells.
 */
#include "store/mst.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MST_PRESENCE "msgraph.store.Presence"

struct presence {
    int fd; /* -1: closed */
};

static struct flock lock_on(lua_Integer slot)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = slot, .l_len = 1};
}

static int open_file(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int presence_close(lua_State *L)
{
    struct presence *p  = luaL_checkudata(L, 1, MST_PRESENCE);
    int              fd = p->fd;
    p->fd               = -1;
    if (fd >= 0)
        close(fd);
    return 0;
}

static lua_Integer check_slot(lua_State *L, int arg)
{
    lua_Integer slot = luaL_checkinteger(L, arg);
    luaL_argcheck(L, 0 <= slot && slot < LUA_MAXINTEGER, arg, "out of range");
    return slot;
}

/* store.presence(path, slot) -> handle, to be closed | nil, err ("busy": somebody else has it) */
int mst_presence(lua_State *L)
{
    const char      *path = luaL_checkstring(L, 1);
    struct flock     lock = lock_on(check_slot(L, 2));
    struct presence *p    = lua_newuserdatauv(L, sizeof *p, 0);
    *p                    = (struct presence){-1};
    luaL_setmetatable(L, MST_PRESENCE);
    p->fd = open_file(path);
    if (p->fd >= 0 && fcntl(p->fd, F_OFD_SETLK, &lock) == 0)
        return 1;
    if (p->fd >= 0 && (errno == EAGAIN || errno == EACCES))
        return mst_fail(L, "busy", "the slot is taken");
    return mst_fail_errno(L, errno, "locking", path);
}

/* store.present(path, slot) -> boolean | nil, err */
int mst_present(lua_State *L)
{
    const char  *path = luaL_checkstring(L, 1);
    struct flock lock = lock_on(check_slot(L, 2));
    int          fd   = open_file(path);
    int          rc = fd >= 0 ? fcntl(fd, F_OFD_GETLK, &lock) : -1, err = errno;
    if (fd >= 0)
        close(fd);
    if (rc != 0)
        return mst_fail_errno(L, err, "looking at", path);
    lua_pushboolean(L, lock.l_type != F_UNLCK);
    return 1;
}

void mst_presence_register(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__gc", presence_close}, {"__close", presence_close}, {NULL, NULL}};
    luaL_newmetatable(L, MST_PRESENCE);
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    lua_pushcfunction(L, presence_close);
    lua_setfield(L, -2, "close");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
