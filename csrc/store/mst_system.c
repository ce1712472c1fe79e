/* csrc/store/mst_system.c - what a journal needs of the system: clocks, ids, hashes, bytes that reach the disk. */
#include "store/mst.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static lua_Integer clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (lua_Integer)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* store.boottime() -> ms since the machine was started, suspend included */
int mst_boottime(lua_State *L)
{
    lua_pushinteger(L, clock_ms(CLOCK_BOOTTIME));
    return 1;
}

/* store.now() -> Unix time in ms */
int mst_now(lua_State *L)
{
    lua_pushinteger(L, clock_ms(CLOCK_REALTIME));
    return 1;
}

/* store.pid() -> this process */
int mst_pid(lua_State *L)
{
    lua_pushinteger(L, getpid());
    return 1;
}

/* store.boot_id() -> which start of which machine this is | nil, err */
int mst_boot_id(lua_State *L)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    char              id[64];
    int               fd  = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t           len = fd >= 0 ? read(fd, id, sizeof id) : -1;
    int               err = errno;
    if (fd >= 0)
        close(fd);
    if (len < 36)
        return mst_fail_errno(L, len < 0 ? err : EIO, "reading", path);
    lua_pushlstring(L, id, 36);
    return 1;
}

static void push_hex(lua_State *L, const unsigned char *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char              hex[2 * EVP_MAX_MD_SIZE];
    for (size_t i = 0; i < n; i++) {
        hex[2 * i]     = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    lua_pushlstring(L, hex, 2 * n);
}

/* store.hash(bytes) -> SHA-256 in lower-case hex */
int mst_hash(lua_State *L)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int  n     = 0;
    size_t        len   = 0;
    const char   *bytes = luaL_checklstring(L, 1, &len);
    if (EVP_Digest(bytes, len, digest, &n, EVP_sha256(), NULL) != 1)
        return luaL_error(L, "SHA-256 is not to be had");
    push_hex(L, digest, n);
    return 1;
}

/* ---- ids (RFC 9562) ---------------------------------------------------------------------------- */

static int push_uuid(lua_State *L, unsigned char id[16], int version)
{
    id[6] = (unsigned char)((id[6] & 0x0f) | version << 4);
    id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
    push_hex(L, id, 16);
    const char *hex = lua_tostring(L, -1);
    char        text[37];
    for (int i = 0, at = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            text[at++] = '-';
        text[at++] = hex[i];
    }
    lua_pushlstring(L, text, 36);
    return 1;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_uuid(const char *text, size_t len, unsigned char out[16])
{
    int n = 0;
    memset(out, 0, 16);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '-')
            continue;
        if (digit(text[i]) < 0 || n == 32)
            return false;
        out[n / 2] = (unsigned char)(out[n / 2] << 4 | digit(text[i]));
        n++;
    }
    return n == 32 && len == 36;
}

static bool sha1_of(const unsigned char space[16], const char *name, size_t len,
                    unsigned char out[EVP_MAX_MD_SIZE])
{
    EVP_MD_CTX *c  = EVP_MD_CTX_new();
    bool        ok = c != NULL && EVP_DigestInit_ex(c, EVP_sha1(), NULL) == 1 &&
              EVP_DigestUpdate(c, space, 16) == 1 && EVP_DigestUpdate(c, name, len) == 1 &&
              EVP_DigestFinal_ex(c, out, NULL) == 1;
    EVP_MD_CTX_free(c);
    return ok;
}

/* store.uuid() -> a random id; store.uuid(namespace, name) -> always the same for these two */
int mst_uuid(lua_State *L)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    if (lua_isnoneornil(L, 1)) {
        if (getrandom(id, 16, 0) != 16)
            return luaL_error(L, "no random bytes are to be had");
        return push_uuid(L, id, 4);
    }
    size_t        space_len = 0, len = 0;
    const char   *text = luaL_checklstring(L, 1, &space_len);
    const char   *name = luaL_checklstring(L, 2, &len);
    unsigned char space[16];
    luaL_argcheck(L, read_uuid(text, space_len, space), 1, "is no UUID");
    if (!sha1_of(space, name, len, id))
        return luaL_error(L, "SHA-1 is not to be had");
    return push_uuid(L, id, 5);
}

/* ---- bytes that reach the disk ----------------------------------------------------------------- */

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        bytes += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

/* store.append(path, bytes) -> true | nil, err: at the end of a private file, and on the disk */
int mst_append(lua_State *L)
{
    const char *path  = luaL_checkstring(L, 1);
    size_t      len   = 0;
    const char *bytes = luaL_checklstring(L, 2, &len);
    int         fd    = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int         err   = fd >= 0 ? write_all(fd, bytes, len) : errno;
    if (fd >= 0)
        close(fd);
    if (err != 0)
        return mst_fail_errno(L, err, "writing", path);
    lua_pushboolean(L, 1);
    return 1;
}

/* store.reserve(path, bytes) -> true | nil, err: room on the disk that is had by removing the file */
int mst_reserve(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_Integer size = luaL_checkinteger(L, 2);
    luaL_argcheck(L, 0 < size && size < 1 << 30, 2, "out of range");
    int fd  = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int err = fd >= 0 ? posix_fallocate(fd, 0, size) : errno;
    if (fd >= 0)
        close(fd);
    if (err != 0)
        return mst_fail_errno(L, err, "reserving room in", path);
    lua_pushboolean(L, 1);
    return 1;
}
