/* bench/fast_clock.c - preloaded: time passes FAST times as fast for whoever looks at the monotonic clock.
 *
 * For bench/bulk.lua, where a thousand seconds of throttling should not take as long: the clock runs faster and
 * waits on descriptors end sooner by the same factor, in client and tenant alike, so that every window,
 * hint and deadline keeps its number of seconds.
 */
#include <dlfcn.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

static long fast = 1;

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("FAST");
    if (text != NULL && atol(text) > 1)
        fast = atol(text);
}

static int sooner(int ms)
{
    return ms <= 0 ? ms : (int)((ms + fast - 1) / fast);
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    const int rc = real(id, t);
    if (rc != 0 || id != CLOCK_MONOTONIC)
        return rc;
    const long long ns = (t->tv_sec * 1000000000LL + t->tv_nsec) * fast;
    t->tv_sec          = ns / 1000000000LL;
    t->tv_nsec         = ns % 1000000000LL;
    return 0;
}

__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int n,
                                                      int ms)
{
    return epoll_pwait(fd, events, n, sooner(ms), NULL);
}

__attribute__((visibility("default"))) int poll(struct pollfd *fds, nfds_t n, int ms)
{
    static int (*real)(struct pollfd *, nfds_t, int);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "poll");
    return real(fds, n, sooner(ms));
}
