/* csrc/core/exchange.c - see exchange.h. */
#include "core/exchange.h"

#include "core/base/clock.h"
#include "core/base/headers.h"
#include "core/base/mem.h"

#include <string.h>

mgc_code mgc_exchange_new(struct mgc_exchange **out, struct mgc_request *r, struct mgc_origin *o,
                          int64_t now_ms)
{
    struct mgc_exchange *x = mgc_calloc(sizeof *x);
    if (x == NULL)
        return MGC_ENOMEM;
    x->origin      = mgc_origin_ref(o);
    x->credential  = o->credential != NULL ? mgc_credential_ref(o->credential) : NULL;
    x->request     = r;
    x->deadline_ms = now_ms + r->deadline_ms;
    x->level       = r->level;
    if (o->gate != NULL)
        x->pass.load = mgc_load_of(r->method, r->url);
    x->since_ms = now_ms;
    mgc_attempt_init(&x->attempt, r, o);
    mgc_exchange_enter(x, MGC_ADMITTING, now_ms);
    *out = x;
    return MGC_OK;
}

void mgc_exchange_free(struct mgc_exchange *x)
{
    if (x == NULL)
        return;
    mgc_attempt_clear(&x->attempt);
    mgc_request_free(x->request);
    mgc_origin_unref(x->origin);
    mgc_credential_unref(x->credential);
    mgc_credential_unref(x->fetch_for);
    mgc_free(x);
}

void mgc_exchange_again(struct mgc_exchange *x, struct mgc_request *r)
{
    mgc_attempt_clear(&x->attempt);
    if (r != NULL) {
        mgc_request_free(x->request);
        x->request = r;
    }
    mgc_attempt_init(&x->attempt, x->request, x->origin);
    x->attempt.body.secret = x->fetch_for != NULL;
}

static void remember(struct mgc_exchange *x)
{
    struct mgc_past now = mgc_exchange_attempt(x, x->n_past);
    if (x->n_past == MGC_PAST_MAX)
        memmove(x->past, x->past + 1, sizeof x->past[0] * (size_t)--x->n_past);
    x->past[x->n_past++] = now;
}

void mgc_exchange_retry(struct mgc_exchange *x, int64_t wait_ms)
{
    struct mgc_outcome o        = mgc_exchange_outcome(x, 0);
    const mgc_retry_class class = mgc_retry_classify(&o);
    if (class == MGC_TRANSIENT || class == MGC_TRANSPORT)
        x->reached = mgc_exchange_phase(x);
    remember(x);
    mgc_exchange_again(x, NULL);
    x->wait_ms = wait_ms;
    x->waited_ms += wait_ms;
}

void mgc_exchange_cut_wait(struct mgc_exchange *x, int64_t now_ms)
{
    int64_t left = x->not_before_ms - now_ms;
    left         = left < x->wait_ms ? left : x->wait_ms;
    if (left <= 0)
        return;
    x->wait_ms -= left;
    x->waited_ms -= left;
}

void mgc_exchange_enter(struct mgc_exchange *x, mgc_state state, int64_t now_ms)
{
    if (x->state != MGC_DONE)
        x->spent_ms[x->state] += (int32_t)(now_ms - x->since_ms);
    x->state    = state;
    x->since_ms = now_ms;
}

/* The earliest limit that applies to how far the request came, and the code for missing it. */
static int64_t limit(const struct mgc_exchange *x, mgc_code *code)
{
    int64_t at = x->deadline_ms;
    *code      = MGC_ETIMEOUT;
    if (x->state != MGC_ATTEMPT)
        return at;
    at = mgc_earlier(at, x->since_ms + MGC_TRY_MS);

    const struct mgc_attempt *a    = &x->attempt;
    int64_t                   next = MGC_NEVER;
    mgc_code                  miss = MGC_ETIMEOUT;
    if (a->phase == MGC_SENT) {
        next = a->sent_ms + x->origin->first_byte_ms;
        miss = MGC_ETIMEOUT_FIRST_BYTE;
    } else if (a->phase == MGC_ANSWERED) {
        next = a->heard_ms + x->origin->stall_ms;
        miss = MGC_ETIMEOUT_STALL;
    }
    if (next < at) {
        at    = next;
        *code = miss;
    }
    return at;
}

int64_t mgc_exchange_due_ms(const struct mgc_exchange *x)
{
    mgc_code code;
    return limit(x, &code);
}

mgc_code mgc_exchange_overdue(const struct mgc_exchange *x, int64_t now_ms)
{
    mgc_code code;
    return limit(x, &code) <= now_ms ? code : MGC_OK;
}

/* ---- what became of it --------------------------------------------------------------------------- */

struct mgc_outcome mgc_exchange_outcome(const struct mgc_exchange *x, int64_t now_unix)
{
    const struct mgc_attempt *a = &x->attempt;
    return (struct mgc_outcome){
        .code       = a->error.code,
        .phase      = a->phase,
        .status     = a->status,
        .hint_ms    = mgc_retry_after_ms(mgc_buf_text(&a->headers), a->headers.len, now_unix),
        .idempotent = x->request->idempotent};
}

bool mgc_exchange_is_ambiguous(const struct mgc_exchange *x)
{
    struct mgc_outcome o = mgc_exchange_outcome(x, 0); /* whether there is a hint, not which */
    return mgc_retry_is_ambiguous(&o);
}

const char *mgc_exchange_kind(const struct mgc_exchange *x)
{
    const mgc_code code = x->attempt.error.code;
    return code != MGC_OK && mgc_exchange_is_ambiguous(x) ? "ambiguous" : mgc_code_kind(code);
}

mgc_phase mgc_exchange_phase(const struct mgc_exchange *x)
{
    return x->reached > x->attempt.phase ? x->reached : x->attempt.phase;
}

int mgc_exchange_attempts(const struct mgc_exchange *x)
{
    return x->n_past + 1;
}

struct mgc_past mgc_exchange_attempt(const struct mgc_exchange *x, int i)
{
    if (i < x->n_past)
        return x->past[i];
    const struct mgc_attempt *a = &x->attempt;
    return (struct mgc_past){.code      = (uint8_t)a->error.code,
                             .phase     = (uint8_t)a->phase,
                             .status    = (int16_t)a->status,
                             .waited_ms = (int32_t)x->wait_ms};
}
