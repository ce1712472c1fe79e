/* csrc/core/gate_file.h - the state of a throttle gate in a mapped file, for processes that share it.
 *
 * Private to its user, and good for one boot of the machine: its times are of the monotonic clock. A file that is
 * of another version or boot, or damaged, is made anew in place. It never shrinks, so that
 * nobody's mapping breaks; it may be removed at any time, and then whoever comes later shares another.
 *
 * Ownership: the caller owns the struct; mgc_gate_file_close() once after a successful open.
 */
#ifndef MGC_GATE_FILE_H
#define MGC_GATE_FILE_H

#include "core/base/error.h"
#include "core/policy/throttle.h"

struct mgc_gate_file {
    int   fd;
    void *map;
};

/* MGC_EOPTION, with the reason in `e`. */
mgc_code mgc_gate_file_open(struct mgc_gate_file *f, const char *path,
                            struct mgc_error *e) MGC_NODISCARD;
void     mgc_gate_file_close(struct mgc_gate_file *f);

struct mgc_gate_state *mgc_gate_file_state(const struct mgc_gate_file *f);

/* Between these no other process looks at the state; the kernel unlocks for one that dies. */
void mgc_gate_file_lock(const struct mgc_gate_file *f);
void mgc_gate_file_unlock(const struct mgc_gate_file *f);

#endif
