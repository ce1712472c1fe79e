/* csrc/core/wire/watch.c - see watch.h. */
#include "core/wire/watch.h"

#include "core/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct mgc_watched {
    unsigned char  wanted, told; /* MGC_READABLE | MGC_WRITABLE: by libcurl; to the kernel */
    bool           adopted;
    unsigned short port; /* local, host order; 0 until somebody asks */
};

mgc_code mgc_watch_open(struct mgc_watch *w)
{
    *w = (struct mgc_watch){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    return w->epoll >= 0 ? MGC_OK : MGC_EINTERNAL;
}

void mgc_watch_close(struct mgc_watch *w)
{
    if (w->epoll >= 0)
        close(w->epoll);
    mgc_free(w->fds);
    *w = (struct mgc_watch){.epoll = -1};
}

static mgc_code make_room(struct mgc_watch *w, int fd)
{
    if ((size_t)fd < w->n_fds)
        return MGC_OK;
    size_t              n   = ((size_t)fd + 64) & ~(size_t)63;
    struct mgc_watched *fds = mgc_realloc(w->fds, n * sizeof *fds);
    if (fds == NULL)
        return MGC_ENOMEM;
    memset(fds + w->n_fds, 0, (n - w->n_fds) * sizeof *fds);
    w->fds   = fds;
    w->n_fds = n;
    return MGC_OK;
}

static mgc_code tell_kernel(struct mgc_watch *w, int fd, int events)
{
    struct mgc_watched *d  = &w->fds[fd];
    struct epoll_event  ev = {.data.fd = fd};
    if (events == d->told)
        return MGC_OK;
    ev.events |= (events & MGC_READABLE) != 0 ? (uint32_t)EPOLLIN : 0u;
    ev.events |= (events & MGC_WRITABLE) != 0 ? (uint32_t)EPOLLOUT : 0u;
    int op = events == 0 ? EPOLL_CTL_DEL : d->told == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(w->epoll, op, fd, &ev) != 0 && op != EPOLL_CTL_DEL)
        return errno == ENOMEM ? MGC_ENOMEM : MGC_EINTERNAL;
    d->told = (unsigned char)events;
    return MGC_OK;
}

mgc_code mgc_watch_want(struct mgc_watch *w, int fd, int events)
{
    mgc_code rc = make_room(w, fd);
    if (rc != MGC_OK)
        return rc;
    w->fds[fd].wanted = (unsigned char)events;
    if (events == 0 && w->fds[fd].adopted)
        return MGC_OK; /* it may be wanted again soon */
    return tell_kernel(w, fd, events);
}

mgc_code mgc_watch_adopt(struct mgc_watch *w, int fd)
{
    mgc_code rc = make_room(w, fd);
    if (rc == MGC_OK)
        w->fds[fd] =
            (struct mgc_watched){.adopted = true}; /* new: the kernel knows nothing of it */
    return rc;
}

void mgc_watch_gone(struct mgc_watch *w, int fd)
{
    if ((size_t)fd < w->n_fds)
        w->fds[fd] = (struct mgc_watched){0}; /* closing takes it out of the kernel's set */
}

static unsigned short local_port_of(int fd)
{
    union {
        struct sockaddr     any;
        struct sockaddr_in  v4;
        struct sockaddr_in6 v6;
    } at           = {.v6 = {.sin6_port = 0}};
    socklen_t size = sizeof at;
    if (getsockname(fd, &at.any, &size) != 0)
        return 0;
    return ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
}

bool mgc_watch_is_hung_up(struct mgc_watch *w, int local_port)
{
    for (size_t fd = 0; fd < w->n_fds; fd++) {
        struct mgc_watched *d = &w->fds[fd];
        if (!d->adopted)
            continue;
        if (d->port == 0)
            d->port = local_port_of((int)fd);
        struct pollfd p = {.fd = (int)fd, .events = POLLRDHUP};
        if (d->port == local_port && poll(&p, 1, 0) > 0)
            return true; /* two peers may share a port of ours: a false alarm costs a connection */
    }
    return false;
}

bool mgc_watch_is_wanted(struct mgc_watch *w, int fd)
{
    if ((size_t)fd >= w->n_fds)
        return false;
    if (w->fds[fd].wanted != 0)
        return true;
    mgc_code ignored = tell_kernel(w, fd, 0); /* taking out can not fail in a way that matters */
    (void)ignored;
    return false;
}
