/* csrc/core/wire/watch.c - see watch.h. */
#include "core/wire/watch.h"

#include "core/base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Flags of a descriptor: what is wanted, what the kernel was told, and whether it is adopted. */
enum { WANTED = 0x03, TOLD_SHIFT = 2, TOLD = 0x0c, ADOPTED = 0x10 };

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
    size_t         n   = ((size_t)fd + 64) & ~(size_t)63;
    unsigned char *fds = mgc_realloc(w->fds, n);
    if (fds == NULL)
        return MGC_ENOMEM;
    memset(fds + w->n_fds, 0, n - w->n_fds);
    w->fds   = fds;
    w->n_fds = n;
    return MGC_OK;
}

static mgc_code tell_kernel(struct mgc_watch *w, int fd, int events)
{
    int                told = (w->fds[fd] & TOLD) >> TOLD_SHIFT;
    struct epoll_event ev   = {.data.fd = fd};
    ev.events |= (events & MGC_READABLE) != 0 ? (uint32_t)EPOLLIN : 0u;
    ev.events |= (events & MGC_WRITABLE) != 0 ? (uint32_t)EPOLLOUT : 0u;
    int op = events == 0 ? EPOLL_CTL_DEL : told == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (events == told)
        return MGC_OK;
    if (epoll_ctl(w->epoll, op, fd, &ev) != 0 && op != EPOLL_CTL_DEL)
        return errno == ENOMEM ? MGC_ENOMEM : MGC_EINTERNAL;
    w->fds[fd] = (unsigned char)((w->fds[fd] & ~TOLD) | events << TOLD_SHIFT);
    return MGC_OK;
}

mgc_code mgc_watch_want(struct mgc_watch *w, int fd, int events)
{
    mgc_code rc = make_room(w, fd);
    if (rc != MGC_OK)
        return rc;
    w->fds[fd] = (unsigned char)((w->fds[fd] & ~WANTED) | events);
    if (events == 0 && (w->fds[fd] & ADOPTED) != 0)
        return MGC_OK; /* it may be wanted again soon */
    return tell_kernel(w, fd, events);
}

mgc_code mgc_watch_adopt(struct mgc_watch *w, int fd)
{
    mgc_code rc = make_room(w, fd);
    if (rc == MGC_OK)
        w->fds[fd] = ADOPTED; /* a new descriptor: the kernel knows nothing of it */
    return rc;
}

void mgc_watch_gone(struct mgc_watch *w, int fd)
{
    if ((size_t)fd < w->n_fds)
        w->fds[fd] = 0; /* closing takes it out of the kernel's set */
}

bool mgc_watch_is_wanted(struct mgc_watch *w, int fd)
{
    if ((size_t)fd >= w->n_fds)
        return false;
    if ((w->fds[fd] & WANTED) != 0)
        return true;
    mgc_code ignored = tell_kernel(w, fd, 0); /* taking out can not fail in a way that matters */
    (void)ignored;
    return false;
}
