/* csrc/core/exchange.c - see exchange.h. */
#include "core/exchange.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

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

void mgc_exchange_enter(struct mgc_exchange *x, mgc_state state, int64_t now_ms)
{
    x->state = state;
    if (state == MGC_ATTEMPT)
        x->started_ms = now_ms;
}

/* The earliest limit that applies to how far the request came, and the code for missing it. */
static int64_t limit(const struct mgc_exchange *x, mgc_code *code)
{
    int64_t at = x->deadline_ms;
    *code      = MGC_ETIMEOUT;
    if (x->state != MGC_ATTEMPT)
        return at;
    at = mgc_earlier(at, x->started_ms + MGC_TRY_MS);

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

static bool is_certain(const struct mgc_exchange *x)
{
    const struct mgc_attempt *a       = &x->attempt;
    const bool                refused = a->status >= 400 && a->status < 500;
    return x->request->idempotent || a->phase == MGC_NOT_SENT || refused ||
           a->error.code == MGC_ETOO_LARGE ||
           a->error.code == MGC_ECANCELLED; /* whoever cancelled knows; `phase` tells the rest */
}

const char *mgc_exchange_kind(const struct mgc_exchange *x)
{
    if (x->attempt.error.code != MGC_OK && !is_certain(x))
        return "ambiguous";
    return mgc_code_kind(x->attempt.error.code);
}
