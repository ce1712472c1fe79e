/* csrc/core/holds.c - see holds.h. */
#include "core/holds.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

void mgc_holds_init(struct mgc_holds *h)
{
    TAILQ_INIT(&h->all);
    h->due_ms = MGC_NEVER;
}

static void drop(struct mgc_holds *h, struct mgc_hold *hold)
{
    TAILQ_REMOVE(&h->all, hold, link);
    mgc_free(hold);
}

void mgc_holds_clear(struct mgc_holds *h)
{
    struct mgc_hold *hold;
    while ((hold = TAILQ_FIRST(&h->all)) != NULL)
        drop(h, hold);
    h->due_ms = MGC_NEVER;
}

static bool same_lane(const struct mgc_hold *hold, const struct mgc_exchange *x)
{
    return hold->gate == x->origin->gate && hold->load.workload == x->pass.load.workload &&
           hold->load.resource == x->pass.load.resource;
}

static struct mgc_hold *hold_for(struct mgc_holds *h, const struct mgc_exchange *x)
{
    struct mgc_hold *hold;
    TAILQ_FOREACH (hold, &h->all, link)
        if (same_lane(hold, x) && hold->load.write == x->pass.load.write)
            return hold;
    hold = mgc_malloc(sizeof *hold);
    if (hold == NULL)
        return NULL;
    *hold = (struct mgc_hold){.gate = x->origin->gate, .load = x->pass.load};
    mgc_line_init(&hold->line);
    TAILQ_INSERT_TAIL(&h->all, hold, link);
    return hold;
}

bool mgc_holds_put(struct mgc_holds *h, struct mgc_line *from, struct mgc_exchange *x,
                   int64_t at_ms)
{
    struct mgc_hold *hold = hold_for(h, x);
    if (hold == NULL)
        return false;
    mgc_line_remove(from, x);
    mgc_line_put(&hold->line, x);
    x->hold     = hold;
    hold->at_ms = at_ms;
    h->due_ms   = mgc_earlier(h->due_ms, at_ms);
    return true;
}

struct mgc_exchange *mgc_holds_next(struct mgc_holds *h, int64_t now_ms)
{
    struct mgc_hold *next;
    if (now_ms < h->due_ms)
        return NULL;
    h->due_ms = MGC_NEVER;
    for (struct mgc_hold *hold = TAILQ_FIRST(&h->all); hold != NULL; hold = next) {
        struct mgc_exchange *x = mgc_line_next(&hold->line);
        next                   = TAILQ_NEXT(hold, link);
        if (x == NULL) {
            drop(h, hold);
        } else if (hold->at_ms <= now_ms) {
            h->due_ms = now_ms; /* and so may others */
            return x;
        } else {
            h->due_ms = mgc_earlier(h->due_ms, hold->at_ms);
        }
    }
    return NULL;
}

void mgc_holds_wait(struct mgc_exchange *x, int64_t at_ms)
{
    x->hold->at_ms = at_ms;
}

void mgc_holds_stir(struct mgc_holds *h, const struct mgc_exchange *x)
{
    struct mgc_hold *hold;
    TAILQ_FOREACH (hold, &h->all, link)
        if (same_lane(hold, x))
            hold->at_ms = h->due_ms = 0;
}
