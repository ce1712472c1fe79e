/* csrc/core/identity/lock.c - see lock.h. */
#include "core/identity/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOT = 16 }; /* bytes: a process id, blanks, a line feed */

/* ---- what a fork must not copy ------------------------------------------------------------------- */

/* The lock belongs to the open file, and a child has the same file open: it would keep the lock of a parent
 * that died. So all that are held are known, and closed in the child. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, mgc_lock) held = LIST_HEAD_INITIALIZER(held);

static void before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

static void in_child(void)
{
    struct mgc_lock *l;
    while ((l = LIST_FIRST(&held)) != NULL) {
        LIST_REMOVE(l, others);
        close(l->fd);
        l->fd = -1;
    }
    pthread_mutex_unlock(&mutex);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

/* ---- the lock ------------------------------------------------------------------------------------ */

static int set_lock(int fd, short type, int slot)
{
    struct flock range = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)slot * SLOT, .l_len = SLOT};
    return fcntl(fd, F_OFD_SETLK, &range) == 0 ? 0 : errno;
}

static long read_holder(int fd, int slot)
{
    char text[SLOT + 1] = {0};
    return pread(fd, text, SLOT, (off_t)slot * SLOT) > 0 ? strtol(text, NULL, 10) : 0;
}

static void write_holder(int fd, int slot)
{
    char text[SLOT + 1];
    snprintf(text, sizeof text, "%-15ld\n", (long)getpid());
    ssize_t n = pwrite(fd, text, SLOT, (off_t)slot * SLOT);
    (void)n; /* a full disk: nobody learns who holds it */
}

static int take(struct mgc_lock *l, int dir, const char *name, int slot, long *holder)
{
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int fault = set_lock(fd, F_WRLCK, slot);
    if (fault != 0) {
        *holder = read_holder(fd, slot);
        close(fd);
        return fault == EACCES ? EAGAIN : fault; /* POSIX leaves the choice between them */
    }
    write_holder(fd, slot);
    l->fd   = fd;
    l->slot = slot;
    LIST_INSERT_HEAD(&held, l, others);
    return 0;
}

int mgc_lock_take(struct mgc_lock *l, int dir, const char *name, int slot, long *holder)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    *holder = mgc_lock_held(l) ? (long)getpid() : 0;
    if (mgc_lock_held(l))
        return EAGAIN;
    pthread_mutex_lock(&mutex); /* no fork between open and the list */
    int fault = take(l, dir, name, slot, holder);
    pthread_mutex_unlock(&mutex);
    return fault;
}

void mgc_lock_release(struct mgc_lock *l)
{
    if (!mgc_lock_held(l))
        return;
    pthread_mutex_lock(&mutex);
    LIST_REMOVE(l, others);
    set_lock(l->fd, F_UNLCK, l->slot); /* a child that was just made may not have closed it yet */
    close(l->fd);
    l->fd = -1;
    pthread_mutex_unlock(&mutex);
}

bool mgc_lock_held(const struct mgc_lock *l)
{
    return l->fd >= 0;
}
