/* csrc/core/line.h - exchanges in line: by level, and by deadline within a level.
 *
 * The next is of the highest level, but now and then of another (mgc_level_next()), so that none starves.
 * Equal deadlines go first come, first served.
 *
 * Ownership: the line owns nothing. An exchange is in one line at a time, or in another list by its `link`.
 */
#ifndef MGC_LINE_H
#define MGC_LINE_H

#include "core/exchange.h"

struct mgc_line {
    struct mgc_exchanges levels[MGC_LEVELS];
    unsigned             turn;
};

void mgc_line_init(struct mgc_line *l);
void mgc_line_put(struct mgc_line *l, struct mgc_exchange *x);
void mgc_line_put_first(struct mgc_line *l, struct mgc_exchange *x); /* whatever its deadline */

/* Who is next, or NULL; the same until one is removed. */
struct mgc_exchange *mgc_line_next(const struct mgc_line *l);

/* With it a turn is over: the next may be another level's. */
void mgc_line_remove(struct mgc_line *l, struct mgc_exchange *x);

#endif
