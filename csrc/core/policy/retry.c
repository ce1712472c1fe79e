/* csrc/core/policy/retry.c - see retry.h. */
#include "core/policy/retry.h"

/* Waits and attempts: design/client.md 1. Costs: the AWS SDKs' standard mode of 2026, same place. */
struct rule {
    uint8_t attempts;         /* that may end so */
    uint8_t cost;             /* of one more */
    int64_t first_ms, cap_ms; /* backoff: doubled each time, up to the cap */
};

static const struct rule rules[MGC_RETRY_CLASSES] = {
    [MGC_THROTTLE]  = {8, 5, 2000, 60 * 1000},
    [MGC_TRANSIENT] = {4, 14, 500, 20 * 1000},
    [MGC_TRANSPORT] = {4, 14, 500, 20 * 1000},
};

enum {
    LEAST_MS = 50, /* before a failed request is sent again */
    /* so that those who were throttled together do not come back together */
    SPREAD_MIN_MS   = 250,
    SPREAD_MAX_MS   = 5 * 1000,
    SPREAD_PART     = 10,   /* a tenth of the hint */
    SHORT_HINT_MS   = 1000, /* a hint that is up to this, */
    SHORT_HINTS_MAX = 3     /* this many times running, is not believed */
};

/* ---- classes ----------------------------------------------------------------------------------- */

/* No answer, or half of one; the rest of the codes would come out the same again. */
static bool is_lost(mgc_code code)
{
    switch (code) {
    case MGC_EDNS:
    case MGC_ECONNECT:
    case MGC_ETLS:
    case MGC_ERESET:
    case MGC_ETRUNCATED:
    case MGC_ETIMEOUT_CONNECT:
    case MGC_ETIMEOUT_FIRST_BYTE:
    case MGC_ETIMEOUT_STALL:
    case MGC_ETIMEOUT:
        return true;
    default:
        return false;
    }
}

mgc_retry_class mgc_retry_classify(const struct mgc_outcome *o)
{
    if (o->code != MGC_OK && !is_lost(o->code))
        return MGC_FINAL;
    if (o->status == 429 || o->status == 509 || (o->status == 503 && o->hint_ms >= 0))
        return MGC_THROTTLE; /* be the rest of the answer there or not */
    if (o->code != MGC_OK)
        return MGC_TRANSPORT;
    switch (o->status) {
    case 408:
    case 424:
    case 500:
    case 502:
    case 503:
    case 504:
        return MGC_TRANSIENT;
    default:
        return MGC_FINAL;
    }
}

/* Nothing was done: nothing of it left, or the server says so. */
static bool is_undone(const struct mgc_outcome *o, mgc_retry_class class)
{
    return o->phase == MGC_NOT_SENT || class == MGC_THROTTLE || o->status == 424;
}

bool mgc_retry_may_have_acted(const struct mgc_outcome *o)
{
    const mgc_retry_class class = mgc_retry_classify(o);
    if (is_undone(o, class))
        return false;
    if (o->code == MGC_OK || o->status == 408)
        return class != MGC_FINAL;
    const bool refused = o->status >= 400 && o->status < 500;
    return !refused && o->code != MGC_ETOO_LARGE &&
           o->code != MGC_ECANCELLED; /* whoever cancelled knows; the phase tells the rest */
}

bool mgc_retry_is_ambiguous(const struct mgc_outcome *o)
{
    return !o->idempotent && mgc_retry_may_have_acted(o);
}

/* ---- waits --------------------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t up_to(int64_t ms, double random)
{
    return (int64_t)((double)ms * random);
}

/* The n-th step of a class's backoff, n from 1. */
static int64_t backoff_ms(const struct rule *rule, int n)
{
    return n < 16 ? least(rule->cap_ms, rule->first_ms << (n - 1)) : rule->cap_ms;
}

static int64_t hinted_ms(int64_t hint_ms, double random)
{
    int64_t spread = least(SPREAD_MAX_MS, most(SPREAD_MIN_MS, hint_ms / SPREAD_PART));
    return hint_ms + up_to(spread, random);
}

/* Half of it for certain, half by chance: who is throttled shall not come back at once. */
static int64_t equal_jitter_ms(int64_t ms, double random)
{
    return ms - ms / 2 + up_to(ms / 2, random);
}

static int64_t full_jitter_ms(int64_t ms, double random)
{
    return LEAST_MS + up_to(ms, random);
}

static int64_t throttle_wait_ms(const struct mgc_retries *r, const struct mgc_outcome *o,
                                double random)
{
    int64_t blind = equal_jitter_ms(backoff_ms(&rules[MGC_THROTTLE], r->throttled), random);
    if (o->hint_ms < 0)
        return blind;
    int64_t told = hinted_ms(o->hint_ms, random);
    return r->short_hints >= SHORT_HINTS_MAX ? most(told, blind) : told;
}

static int64_t failure_wait_ms(const struct mgc_retries *r, const struct mgc_outcome *o,
                               double random)
{
    int64_t ms = full_jitter_ms(backoff_ms(&rules[MGC_TRANSIENT], r->failed), random);
    return o->hint_ms < 0 ? ms : most(ms, hinted_ms(o->hint_ms, random));
}

/* ---- the decision --------------------------------------------------------------------------------- */

/* Counts the attempt; returns how many of the same sort there are now. */
static int count(struct mgc_retries *r, const struct mgc_outcome *o, mgc_retry_class class)
{
    bool is_short  = class == MGC_THROTTLE && o->hint_ms >= 0 && o->hint_ms <= SHORT_HINT_MS;
    r->short_hints = is_short ? (uint8_t)(r->short_hints + 1) : 0;
    return class == MGC_THROTTLE ? ++r->throttled : ++r->failed;
}

struct mgc_decision mgc_retry_decide(struct mgc_retries *r, int *budget,
                                     const struct mgc_outcome *o, int64_t left_ms, double random)
{
    struct mgc_decision d       = {.verdict = MGC_END};
    const mgc_retry_class class = mgc_retry_classify(o);
    const struct rule *rule     = &rules[class];
    if (class == MGC_FINAL || (!o->idempotent && !is_undone(o, class)) || left_ms <= 0 ||
        count(r, o, class) >= rule->attempts)
        return d;
    d.wait_ms = class == MGC_THROTTLE ? throttle_wait_ms(r, o, random)
                                      : failure_wait_ms(r, o, random);
    d.fresh   = class == MGC_TRANSPORT || o->status == 503; /* FACTS 4: best practices say so */
    if (d.wait_ms >= left_ms) {
        d.verdict = MGC_TOO_LATE;
    } else if (*budget < rule->cost) {
        d.verdict = MGC_NO_BUDGET;
    } else {
        d.verdict = MGC_AGAIN;
        r->cost   = rule->cost;
        *budget -= rule->cost;
    }
    return d;
}
