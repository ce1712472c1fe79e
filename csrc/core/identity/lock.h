/* csrc/core/identity/lock.h - a lock between processes (and between threads of one), in a file.
 *
 * An open file description lock on one slot of the file. The kernel gives it back when its holder dies, so a
 * dead process never stands in the way. A child made by fork() does not have it, and does not keep it alive.
 * The holder's process id is written into the slot, for people: nothing is decided by it.
 *
 * Ownership: the caller owns the struct, MGC_LOCK_FREE at first; it may not move while it is held.
 */
#ifndef MGC_LOCK_H
#define MGC_LOCK_H

#include "core/base/error.h"

#include <stdbool.h>
#include <sys/queue.h>

struct mgc_lock {
    int fd; /* -1: not held */
    int slot;
    LIST_ENTRY(mgc_lock) others;
};

#define MGC_LOCK_FREE ((struct mgc_lock){.fd = -1})

/* Never waits. 0, or an errno: EAGAIN while it is held, by the process `*holder` (0: not known). The file is
 * made where there is none, and never removed: it would be another file for whoever comes next. */
int mgc_lock_take(struct mgc_lock *l, int dir, const char *name, int slot,
                  long *holder) MGC_NODISCARD;

void mgc_lock_release(struct mgc_lock *l); /* one that is not held is fine */
bool mgc_lock_held(const struct mgc_lock *l);

#endif
