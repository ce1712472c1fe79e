/* csrc/core/gate_file.c - see gate_file.h. */
#include "core/gate_file.h"

#include "core/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What stands before the state. The version changes with the state's layout or what it means. */
struct head {
    char     magic[8];
    uint32_t version, size;
    char     boot[40]; /* kernel.random.boot_id */
};

enum { VERSION = 1 };

static size_t file_size(void)
{
    return sizeof(struct head) + mgc_gate_state_size();
}

static struct head head_of_this_boot(void)
{
    struct head h    = {.magic = "msgraph", .version = VERSION, .size = (uint32_t)file_size()};
    FILE       *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file != NULL) {
        if (fgets(h.boot, sizeof h.boot, file) == NULL)
            h.boot[0] = '\0';
        fclose(file);
    }
    return h;
}

struct mgc_gate_state *mgc_gate_file_state(const struct mgc_gate_file *f)
{
    return (struct mgc_gate_state *)(void *)((char *)f->map + sizeof(struct head));
}

void mgc_gate_file_lock(const struct mgc_gate_file *f)
{
    while (flock(f->fd, LOCK_EX) != 0 && errno == EINTR)
        ;
}

void mgc_gate_file_unlock(const struct mgc_gate_file *f)
{
    flock(f->fd, LOCK_UN);
}

static void remake_unless_sound(const struct mgc_gate_file *f)
{
    const struct head head = head_of_this_boot();
    if (memcmp(f->map, &head, sizeof head) == 0 &&
        mgc_gate_state_is_sound(mgc_gate_file_state(f), mgc_now_ms()))
        return;
    memcpy(f->map, &head, sizeof head);
    mgc_gate_state_reset(mgc_gate_file_state(f));
}

/* NULL, or why the file can not be used. */
static const char *fault_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "it is no file";
    if (st.st_uid != geteuid())
        return "it belongs to somebody else";
    if ((st.st_mode & 077) != 0)
        return "others may read or write it: chmod 600";
    if (st.st_size < (off_t)file_size() && ftruncate(fd, (off_t)file_size()) != 0)
        return strerror(errno);
    return NULL;
}

mgc_code mgc_gate_file_open(struct mgc_gate_file *f, const char *path, struct mgc_error *e)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return mgc_error_set(e, MGC_EOPTION, "shared_gate: %s: %s", path, strerror(errno));
    struct mgc_gate_file own = {.fd = fd};
    mgc_gate_file_lock(&own);
    const char *fault = fault_of(fd);
    if (fault == NULL) {
        own.map = mmap(NULL, file_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        fault   = own.map == MAP_FAILED ? strerror(errno) : NULL;
    }
    if (fault == NULL)
        remake_unless_sound(&own);
    mgc_gate_file_unlock(&own);
    if (fault != NULL) {
        close(fd);
        return mgc_error_set(e, MGC_EOPTION, "shared_gate: %s: %s", path, fault);
    }
    *f = own;
    return MGC_OK;
}

void mgc_gate_file_close(struct mgc_gate_file *f)
{
    munmap(f->map, file_size());
    close(f->fd);
}
