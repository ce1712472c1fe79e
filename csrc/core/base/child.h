/* csrc/core/base/child.h - another program: run without a shell, watched without waiting.
 *
 * The program gets its arguments as they are, a text on standard input (/dev/null where there is none), none of this
 * process's descriptors, its blocked or ignored signals or its secrets: variables that hold one are left out of its
 * environment. What it prints is kept as a secret, for that is what most are run for.
 *
 * It is the leader of a process group, so that what it starts ends with it. A host that ignores SIGCHLD, or waits for
 * every child, takes the exit status away from us: that is an error, never a success.
 *
 * Ownership: the caller owns the child; mgc_child_free() kills what still runs and leaves no zombie. In a forked process
 *            it only gives memory back.
 */
#ifndef MGC_CHILD_H
#define MGC_CHILD_H

#include "core/base/buf.h"

struct mgc_child;

enum { MGC_CHILD_OUTPUT_MAX = 256 * 1024, MGC_CHILD_STDERR_MAX = 4 * 1024 };

/* Starts argv[0], looked for in PATH where it holds no slash; argv ends with NULL. MGC_EPROGRAM when there is no such
 * program. `input` may be NULL. */
mgc_code mgc_child_new(struct mgc_child **out, const char *const argv[], const char *input,
                       size_t input_len, struct mgc_error *e) MGC_NODISCARD;
void     mgc_child_free(struct mgc_child *c);

/* Takes what it printed and looks whether it ended. A failure (MGC_ETOO_LARGE, MGC_ENOMEM, MGC_EPROGRAM) kills it, and
 * every later call fails alike. */
mgc_code mgc_child_step(struct mgc_child *c, struct mgc_error *e) MGC_NODISCARD;

bool mgc_child_ended(const struct mgc_child *c);
int  mgc_child_status(const struct mgc_child *c); /* once ended: exit status, or 128 + signal */

const struct mgc_buf *mgc_child_output(const struct mgc_child *c);
const struct mgc_buf *
mgc_child_stderr(const struct mgc_child *c); /* no more than the first MGC_CHILD_STDERR_MAX bytes */

#endif
