/* csrc/core/identity/stored.c - see stored.h. */
#include "core/identity/stored.h"

enum {
    BUSY_MAX_MS = 90 * 1000, /* a renewal takes seconds, unless it waits for the end of an outage */
    BUSY_GAP_MS = 1000       /* who looks again this late begins to wait anew */
};

void mgc_stored_clear(struct mgc_stored *s)
{
    mgc_stored_leave(s);
    mgc_sign_in_clear(&s->in);
    mgc_store_unref(s->store);
    s->store = NULL;
}

mgc_code mgc_stored_read(struct mgc_stored *s, bool *news, struct mgc_error *e)
{
    struct mgc_sign_in fresh = {0};
    mgc_code           rc    = mgc_store_read(s->store, &fresh, e);
    *news                    = rc == MGC_OK && fresh.generation != s->in.generation;
    if (!*news) {
        mgc_sign_in_clear(&fresh);
        return rc;
    }
    mgc_sign_in_clear(&s->in);
    s->in = fresh;
    return MGC_OK;
}

mgc_code mgc_stored_take(struct mgc_stored *s, int64_t now_ms, bool *news, struct mgc_error *e)
{
    mgc_code rc = mgc_store_lock(s->store, e);
    if (rc == MGC_EBUSY) {
        if (now_ms - s->busy_ms > BUSY_GAP_MS)
            s->busy_since_ms = now_ms;
        s->busy_ms = now_ms;
        if (now_ms - s->busy_since_ms < BUSY_MAX_MS)
            return MGC_EBUSY;
        e->code = MGC_ESTORE; /* with its words: they name the process */
    }
    s->busy_ms = 0;
    s->taken   = rc == MGC_OK;
    if (rc == MGC_OK)
        rc = mgc_stored_read(s, news, e);
    if (rc != MGC_OK)
        mgc_stored_leave(s);
    return rc == MGC_OK ? MGC_OK : e->code;
}

void mgc_stored_leave(struct mgc_stored *s)
{
    if (s->taken)
        mgc_store_unlock(s->store);
    s->taken = false;
}
