/* csrc/core/part.h - a request that travels in a $batch: its way through the throttle gate, and its retries.
 *
 * The service counts each part as a request of its own, and refuses or serves it by itself (FACTS 5). So a part
 * passes its origin's gate as an exchange does, and is judged by the same policy, out of the same budget. Whoever
 * packs batches asks here which requests may go into one now, and tells what became of them.
 *
 * Ownership: the caller owns the struct, and the struct a reference of the origin.
 * Thread: that of the origin.
 */
#ifndef MGC_PART_H
#define MGC_PART_H

#include "core/origin.h"
#include "core/policy/retry.h"
#include "core/policy/throttle.h"

#include <stdbool.h>
#include <stdint.h>

struct mgc_part {
    struct mgc_origin *origin;
    struct mgc_pass    pass;
    struct mgc_retries retries;
    bool               idempotent;
};

/* `target` as in mgc_request_spec; what can not be read of it is of no workload. */
void mgc_part_init(struct mgc_part *p, struct mgc_origin *o, const char *method, const char *target,
                   bool idempotent);
void mgc_part_clear(
    struct mgc_part *p); /* under way, it ends unanswered; twice is as good as once */

/* MGC_GATE_GO: it is under way, or was already. Otherwise when to ask again, as mgc_gate_admit(). */
int64_t mgc_part_admit(struct mgc_part *p, int64_t now_ms);

/* It does not go in a batch after all. Nothing, if it is not under way. */
void mgc_part_withdraw(struct mgc_part *p, int64_t now_ms);

/* It is under way no longer: the gate hears what became of it, the budget of a success. */
void mgc_part_answer(struct mgc_part *p, const struct mgc_reply *r, int64_t now_ms);

/* What the retry policy has to know of its answer; status 0: it has none, but may have been sent. */
struct mgc_outcome mgc_part_outcome(const struct mgc_part *p, int status, int64_t hint_ms);

/* mgc_retry_decide(), for this part. */
struct mgc_decision mgc_part_decide(struct mgc_part *p, const struct mgc_outcome *o,
                                    int64_t left_ms, double random);

#endif
