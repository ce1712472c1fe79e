/* csrc/core/parts.c - see parts.h. */
#include "core/parts.h"

#include "core/base/clock.h"
#include "core/gates.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

void mgc_parts_init(struct mgc_parts *p, struct mgc_origin *o)
{
    memset(p, 0, sizeof *p);
    p->origin = mgc_origin_ref(o);
    for (int i = 0; i < MGC_PARTS_MAX; i++)
        p->vacant[p->n_vacant++] = (uint8_t)i;
}

void mgc_parts_clear(struct mgc_parts *p)
{
    static const struct mgc_reply   none = {.hint_ms = -1, .units = -1};
    static const struct mgc_retries met;
    if (p->origin == NULL)
        return;
    for (int i = 0; i < MGC_PARTS_MAX; i++)
        mgc_parts_answer(p, i, &none, &met, mgc_now_ms());
    mgc_origin_unref(p->origin);
    p->origin = NULL;
}

int64_t mgc_parts_admit(struct mgc_parts *p, const struct mgc_load *load, int *n, int64_t now_ms)
{
    if (p->n_vacant == 0)
        return now_ms + MGC_GATE_RECHECK;
    const int        i    = p->vacant[p->n_vacant - 1];
    struct mgc_pass *pass = &p->passes[i];
    *pass                 = (struct mgc_pass){.load = *load};
    const int64_t at      = mgc_shared_gate_admit(p->origin->gate, pass, now_ms);
    if (at != MGC_GATE_GO)
        return at;
    pass->admitted = true; /* where there is no gate, too */
    p->n_vacant--;
    *n = i;
    return MGC_GATE_GO;
}

static bool is_under_way(const struct mgc_parts *p, int n)
{
    return n >= 0 && n < MGC_PARTS_MAX && p->passes[n].admitted;
}

static void vacate(struct mgc_parts *p, int n)
{
    p->passes[n].admitted    = false;
    p->vacant[p->n_vacant++] = (uint8_t)n;
}

void mgc_parts_withdraw(struct mgc_parts *p, int n, int64_t now_ms)
{
    if (!is_under_way(p, n))
        return;
    mgc_shared_gate_withdraw(p->origin->gate, &p->passes[n], now_ms);
    vacate(p, n);
}

void mgc_parts_answer(struct mgc_parts *p, int n, const struct mgc_reply *r,
                      const struct mgc_retries *met, int64_t now_ms)
{
    struct mgc_reply heard = *r;
    if (!is_under_way(p, n))
        return;
    if (heard.status == 424) /* it was not tried: that says nothing of the gate */
        heard.status = 0;
    mgc_shared_gate_answer(p->origin->gate, &p->passes[n], &heard, now_ms);
    vacate(p, n);
    if (r->status > 0 && r->status < 400)
        mgc_retry_succeed(met, &p->origin->retry_budget);
}

struct mgc_outcome mgc_parts_outcome(int status, int64_t hint_ms, bool idempotent)
{
    return (struct mgc_outcome){.code       = status != 0 ? MGC_OK : MGC_ERESET,
                                .phase      = status != 0 ? MGC_ANSWERED : MGC_SENT,
                                .status     = status,
                                .hint_ms    = hint_ms,
                                .idempotent = idempotent};
}
