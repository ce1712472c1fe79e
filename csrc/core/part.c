/* csrc/core/part.c - see part.h. */
#include "core/part.h"

#include "core/base/clock.h"
#include "core/gates.h"

#include <stddef.h>

void mgc_part_init(struct mgc_part *p, struct mgc_origin *o, const char *method, const char *target,
                   bool idempotent)
{
    *p = (struct mgc_part){.origin     = mgc_origin_ref(o),
                           .pass.load  = mgc_load_of(method, target),
                           .idempotent = idempotent};
}

void mgc_part_clear(struct mgc_part *p)
{
    static const struct mgc_reply none = {.hint_ms = -1, .units = -1};
    if (p->origin == NULL)
        return;
    mgc_part_answer(p, &none, mgc_now_ms());
    mgc_origin_unref(p->origin);
    p->origin = NULL;
}

int64_t mgc_part_admit(struct mgc_part *p, int64_t now_ms)
{
    return p->pass.admitted ? MGC_GATE_GO
                            : mgc_shared_gate_admit(p->origin->gate, &p->pass, now_ms);
}

void mgc_part_withdraw(struct mgc_part *p, int64_t now_ms)
{
    mgc_shared_gate_withdraw(p->origin->gate, &p->pass, now_ms);
}

void mgc_part_answer(struct mgc_part *p, const struct mgc_reply *r, int64_t now_ms)
{
    struct mgc_reply heard = *r;
    if (heard.status == 424) /* it was not tried: that says nothing of the gate */
        heard.status = 0;
    mgc_shared_gate_answer(p->origin->gate, &p->pass, &heard, now_ms);
    if (r->status > 0 && r->status < 400)
        mgc_retry_succeed(&p->retries, &p->origin->retry_budget);
}

struct mgc_outcome mgc_part_outcome(const struct mgc_part *p, int status, int64_t hint_ms)
{
    return (struct mgc_outcome){.code       = status != 0 ? MGC_OK : MGC_ERESET,
                                .phase      = status != 0 ? MGC_ANSWERED : MGC_SENT,
                                .status     = status,
                                .hint_ms    = hint_ms,
                                .idempotent = p->idempotent};
}

struct mgc_decision mgc_part_decide(struct mgc_part *p, const struct mgc_outcome *o,
                                    int64_t left_ms, double random)
{
    return mgc_retry_decide(&p->retries, &p->origin->retry_budget, o, left_ms, random);
}
