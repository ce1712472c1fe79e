/* csrc/core/line.c - see line.h. */
#include "core/line.h"

void mgc_line_init(struct mgc_line *l)
{
    l->turn = 0;
    for (int level = 0; level < MGC_LEVELS; level++)
        TAILQ_INIT(&l->levels[level]);
}

/* Most come with the latest deadline, and those that come back with one of the earliest: the search begins at
 * the nearer end. */
void mgc_line_put(struct mgc_line *l, struct mgc_exchange *x)
{
    struct mgc_exchanges *list  = &l->levels[x->level];
    struct mgc_exchange  *first = TAILQ_FIRST(list), *last = TAILQ_LAST(list, mgc_exchanges);
    const int64_t         at = x->deadline_ms;
    if (first == NULL || at >= last->deadline_ms) {
        TAILQ_INSERT_TAIL(list, x, link);
    } else if (at - first->deadline_ms < last->deadline_ms - at) {
        while (first->deadline_ms <= at)
            first = TAILQ_NEXT(first, link);
        TAILQ_INSERT_BEFORE(first, x, link);
    } else {
        while (last != NULL && last->deadline_ms > at)
            last = TAILQ_PREV(last, mgc_exchanges, link);
        if (last != NULL)
            TAILQ_INSERT_AFTER(list, last, x, link);
        else
            TAILQ_INSERT_HEAD(list, x, link);
    }
}

void mgc_line_put_first(struct mgc_line *l, struct mgc_exchange *x)
{
    TAILQ_INSERT_HEAD(&l->levels[x->level], x, link);
}

void mgc_line_remove(struct mgc_line *l, struct mgc_exchange *x)
{
    TAILQ_REMOVE(&l->levels[x->level], x, link);
    l->turn++;
}

struct mgc_exchange *mgc_line_next(const struct mgc_line *l)
{
    unsigned waiting = 0;
    for (unsigned level = 0; level < MGC_LEVELS; level++)
        waiting |= TAILQ_EMPTY(&l->levels[level]) ? 0 : 1u << level;
    return waiting != 0 ? TAILQ_FIRST(&l->levels[mgc_level_next(waiting, l->turn)]) : NULL;
}
