/* csrc/core/parts.h - requests that travel in a $batch: their way through the throttle gate, and their retries.
 *
 * The service counts each part as a request of its own, and refuses or serves it by itself (FACTS 5). So a part
 * passes its origin's gate as an exchange does, and is judged by the same policy, out of the same budget. Whoever
 * packs batches asks here which requests may go into one now, and tells what became of them.
 *
 * What is kept here is the passes of those under way. They are few: four batches, and those that were
 * admitted for the next.
 *
 * Ownership: the caller owns the struct, and the struct a reference of the origin.
 * Thread: that of the origin.
 */
#ifndef MGC_PARTS_H
#define MGC_PARTS_H

#include "core/origin.h"
#include "core/policy/retry.h"
#include "core/policy/throttle.h"

#include <stdbool.h>
#include <stdint.h>

enum { MGC_PARTS_MAX = 128 };

struct mgc_parts {
    struct mgc_origin *origin;
    struct mgc_pass    passes[MGC_PARTS_MAX];
    uint8_t            vacant[MGC_PARTS_MAX]; /* passes that nobody has: the first n_vacant */
    int                n_vacant;
};

void mgc_parts_init(struct mgc_parts *p, struct mgc_origin *o);
void mgc_parts_clear(struct mgc_parts *p); /* ends those under way, unanswered; twice is fine */

/* MGC_GATE_GO: it is under way, as number `*n`, until it is withdrawn or answered. Otherwise when to ask
 * again, as mgc_gate_admit(). Both below leave alone a number that is not under way. */
int64_t mgc_parts_admit(struct mgc_parts *p, const struct mgc_load *load, int *n, int64_t now_ms);

/* It does not go after all. */
void mgc_parts_withdraw(struct mgc_parts *p, int n, int64_t now_ms);

/* What became of it: the gate hears of it, the budget of a success. `met` is what came of its attempts before. */
void mgc_parts_answer(struct mgc_parts *p, int n, const struct mgc_reply *r,
                      const struct mgc_retries *met, int64_t now_ms);

/* What the retry policy has to know of a part's answer; status 0: it has none, but may have been sent. */
struct mgc_outcome mgc_parts_outcome(int status, int64_t hint_ms, bool idempotent);

#endif
