/* bench/skip_clock.c - preloaded: waiting takes no time.
 *
 * For bench/leavers.lua, where hours pass under Graph's limits. Who shares the file named by SKIP_CLOCK (made, and
 * as long as a struct hall, by the first of them) shares one clock. Work takes the time it takes. When all of them
 * wait, each in epoll_wait, time is moved to the moment the first one waits for, so that every window, hint,
 * lease and latency keeps its number of seconds, and none of them passes for real.
 *
 * Nobody waits on another unseen: bytes sent over loopback are with the receiver when send returns, so a thread
 * whose descriptors are quiet after the last of the others has sat down has nothing more to do.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SEATS = 16, LOOK_NS = 200 * 1000 };

struct seat {
    _Atomic int32_t pid;   /* whose it is; 0: nobody's */
    _Atomic int64_t until; /* of the shared clock, ns; 0: at work */
    _Atomic int64_t since; /* sat down then, of the machine's clock */
    _Atomic int64_t quiet; /* had nothing to do then, of the machine's clock */
};

struct hall {
    _Atomic int64_t ahead; /* ns by which the shared clock is before the machine's */
    struct seat     seats[SEATS];
};

static struct hall          *hall;
static __thread struct seat *mine;

static int real_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    return real(id, t);
}

static int64_t machine_ns(void)
{
    struct timespec t;
    real_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("SKIP_CLOCK");
    const int   fd   = path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || ftruncate(fd, sizeof *hall) != 0)
        abort(); /* whoever preloads this wants it */
    hall = mmap(NULL, sizeof *hall, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (hall == MAP_FAILED)
        abort();
    close(fd);
}

__attribute__((destructor)) static void leave(void)
{
    for (int i = 0; i < SEATS; i++)
        if (hall->seats[i].pid == getpid())
            hall->seats[i].pid = 0;
}

/* ---- waiting ------------------------------------------------------------------------------------ */

static void take_seat(void)
{
    for (int i = 0; i < SEATS && mine == NULL; i++) {
        int32_t nobody = 0;
        if (atomic_compare_exchange_strong(&hall->seats[i].pid, &nobody, getpid()))
            mine = &hall->seats[i];
    }
    if (mine == NULL)
        abort(); /* more threads than this is made for */
}

static int is_taken(struct seat *s)
{
    const int32_t pid = s->pid;
    if (pid != 0 && kill(pid, 0) != 0 && errno == ESRCH)
        s->pid = 0;
    return s->pid != 0;
}

/* The moment the first one waits for; 0 while somebody is at work, or may have something to do. */
static int64_t first_wish(void)
{
    int64_t last_sat = 0, first = INT64_MAX;
    int     taken = 0;
    for (int i = 0; i < SEATS; i++)
        if (hall->seats[i].pid != 0 && hall->seats[i].since > last_sat)
            last_sat = hall->seats[i].since;
    for (int i = 0; i < SEATS; i++) {
        struct seat  *s     = &hall->seats[i];
        const int64_t until = s->until;
        if (!is_taken(s))
            continue;
        taken++;
        if (until == 0 || s->quiet <= last_sat)
            return 0;
        first = until < first ? until : first;
    }
    return taken < 2 ? 0 : first; /* one alone waits for somebody who is not here yet */
}

static void skip(void)
{
    int64_t       ahead = hall->ahead; /* before looking: who else moves time meanwhile, wins */
    const int64_t wish = first_wish(), now = machine_ns() + ahead;
    if (wish > now)
        atomic_compare_exchange_strong(&hall->ahead, &ahead, ahead + wish - now);
}

__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int n,
                                                      int ms)
{
    const struct timespec look = {.tv_nsec = LOOK_NS};
    int                   got  = epoll_pwait(fd, events, n, 0, NULL);
    if (got != 0 || ms == 0)
        return got;
    if (mine == NULL)
        take_seat();
    const int64_t sat   = machine_ns();
    const int64_t until = ms < 0 ? INT64_MAX : sat + hall->ahead + (int64_t)ms * 1000000;
    mine->quiet         = 0;
    mine->since         = sat;
    mine->until         = until;
    while (got == 0 && machine_ns() + hall->ahead < until) {
        const int64_t before = machine_ns();
        got                  = epoll_pwait2(fd, events, n, &look, NULL);
        if (got != 0)
            break;
        mine->quiet = before;
        skip();
    }
    mine->until = 0;
    return got;
}

/* ---- the clock ---------------------------------------------------------------------------------- */

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *t)
{
    const int rc = real_gettime(id, t);
    if (rc != 0 || (id != CLOCK_MONOTONIC && id != CLOCK_BOOTTIME && id != CLOCK_REALTIME))
        return rc;
    const int64_t ns = t->tv_nsec + hall->ahead;
    t->tv_sec += (time_t)(ns / 1000000000);
    t->tv_nsec = (long)(ns % 1000000000);
    return 0;
}

__attribute__((visibility("default"))) time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out != NULL)
        *out = t.tv_sec;
    return t.tv_sec;
}
