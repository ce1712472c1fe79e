/* csrc/core/wire/watch.h - the sockets libcurl wants watched, in one epoll descriptor.
 *
 * libcurl says "watch" at the start of each request and "forget" at its end. For a connection
 * that is about to be used again that would be two system calls a request for nothing, so
 * forgetting is put off: the kernel keeps watching, and only if something happens on a socket
 * that nobody wants is it really taken out.
 */
#ifndef MGC_WATCH_H
#define MGC_WATCH_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct mgc_watched; /* what is known of one descriptor */

struct mgc_watch {
    int                 epoll; /* -1 when closed */
    struct mgc_watched *fds;   /* by number */
    size_t              n_fds;
};

enum { MGC_READABLE = 1, MGC_WRITABLE = 2 };

mgc_code mgc_watch_open(struct mgc_watch *w) MGC_NODISCARD; /* MGC_EINTERNAL */
void     mgc_watch_close(struct mgc_watch *w);

/* Wants exactly these events of a descriptor; 0: nothing more. */
mgc_code mgc_watch_want(struct mgc_watch *w, int fd, int events) MGC_NODISCARD;

/* A descriptor whose closing will be told to mgc_watch_gone(): only for these is forgetting put
 * off, since another descriptor of the same number may come at any time. */
mgc_code mgc_watch_adopt(struct mgc_watch *w, int fd) MGC_NODISCARD;
void     mgc_watch_gone(struct mgc_watch *w, int fd);

/* Whether the peer has closed an adopted connection that has this local port. */
bool mgc_watch_is_hung_up(struct mgc_watch *w, int local_port);

/* Whether anybody still wants this descriptor; takes it out of the kernel's set when not. */
bool mgc_watch_is_wanted(struct mgc_watch *w, int fd);

#endif
