/* csrc/core/identity/token.c - see token.h. */
#include "core/identity/token.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

enum { MARGIN_MS = 300 * 1000, LONG_LIFE_MS = 2 * 3600 * 1000, EARLY_MS = 600 * 1000 };

const char *mgc_token_fault(const char *text, size_t n)
{
    if (n == 0)
        return "it is empty";
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] >= 0x7f)
            return "it holds white space or other characters no token has";
    return NULL;
}

static int64_t stale_after(int64_t life_ms)
{
    return life_ms - mgc_earlier(MARGIN_MS, life_ms / 10);
}

static int64_t aging_after(int64_t life_ms, int64_t refresh_ms, double jitter)
{
    int64_t early = life_ms - EARLY_MS, half = life_ms / 2;
    int64_t at = life_ms > LONG_LIFE_MS || early < half ? half : early;
    if (refresh_ms > 0)
        at = refresh_ms;
    at -= (int64_t)((double)at * 0.05 * jitter);
    return mgc_earlier(at, stale_after(life_ms));
}

mgc_code mgc_token_new(struct mgc_token **out, const char *text, size_t n, int64_t received_ms,
                       int64_t life_ms, int64_t refresh_ms, double jitter)
{
    struct mgc_token *t = mgc_calloc(sizeof *t);
    if (t == NULL)
        return MGC_ENOMEM;
    if (mgc_secret_set(&t->authorization, "Authorization: Bearer ", text, n) != MGC_OK) {
        mgc_free(t);
        return MGC_ENOMEM;
    }
    t->references = 1;
    t->aging_ms = t->stale_ms = MGC_NEVER;
    if (life_ms > 0) {
        t->aging_ms = received_ms + aging_after(life_ms, refresh_ms, jitter);
        t->stale_ms = received_ms + stale_after(life_ms);
    }
    *out = t;
    return MGC_OK;
}

struct mgc_token *mgc_token_ref(struct mgc_token *t)
{
    t->references++;
    return t;
}

void mgc_token_unref(struct mgc_token *t)
{
    if (t == NULL || --t->references > 0)
        return;
    mgc_secret_clear(&t->authorization);
    mgc_free(t);
}

mgc_freshness mgc_token_freshness(const struct mgc_token *t, int64_t now_ms)
{
    return now_ms < t->aging_ms ? MGC_FRESH : now_ms < t->stale_ms ? MGC_AGING : MGC_STALE;
}
