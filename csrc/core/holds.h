/* csrc/core/holds.h - exchanges that the throttle gate holds, out of the way of those whose gate is open.
 *
 * Those that are held for the same reason, the same side of the same lane, stand in one line; a line knows
 * when its gate is worth asking again, and whoever is next in it asks for all.
 *
 * Ownership: a hold ends by itself once its line is empty; mgc_holds_clear() ends those that are left. The
 *            exchanges are the caller's, who finds the line of one by its `hold`.
 */
#ifndef MGC_HOLDS_H
#define MGC_HOLDS_H

#include "core/exchange.h"
#include "core/line.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct mgc_hold {
    struct mgc_shared_gate *gate;
    struct mgc_load         load; /* of the first that came: its lane and side are everybody's */
    struct mgc_line         line;
    int64_t                 at_ms; /* when to ask the gate again */
    TAILQ_ENTRY(mgc_hold) link;
};

struct mgc_holds {
    TAILQ_HEAD(, mgc_hold) all;
    int64_t due_ms; /* no gate is worth asking before; MGC_NEVER: nobody is held */
};

void mgc_holds_init(struct mgc_holds *h);
void mgc_holds_clear(struct mgc_holds *h); /* whoever is still in a line is not touched */

/* Moves an exchange out of the line it stands in to where it is held until `at_ms`. False, and nothing has
 * changed: no memory. */
bool mgc_holds_put(struct mgc_holds *h, struct mgc_line *from, struct mgc_exchange *x,
                   int64_t at_ms);

/* Who may ask its gate now, or NULL. It then leaves its line, or is told to wait. */
struct mgc_exchange *mgc_holds_next(struct mgc_holds *h, int64_t now_ms);
void                 mgc_holds_wait(struct mgc_exchange *x, int64_t at_ms);

/* An answer to this exchange may have opened the gate for others of its lane. */
void mgc_holds_stir(struct mgc_holds *h, const struct mgc_exchange *x);

#endif
