/* csrc/core/identity/stored.h - a user's sign-in as one process sees it: the store it is kept in, and what was read
 * there last.
 *
 * Whoever wants to spend the refresh token takes his turn, which reads again: another process may have renewed
 * meanwhile, and then there is nothing to spend.
 *
 * Ownership: the caller owns the struct, zeroed; mgc_stored_clear() wipes it and gives the turn back.
 */
#ifndef MGC_STORED_H
#define MGC_STORED_H

#include "core/base/error.h"
#include "core/identity/store.h"

#include <stdbool.h>
#include <stdint.h>

struct mgc_stored {
    struct mgc_store  *store; /* NULL: it is kept nowhere */
    struct mgc_sign_in in;
    bool               taken; /* the turn is ours, not another's with the same store */
    int64_t            busy_since_ms, busy_ms; /* somebody else was at it: first and last seen */
};

enum { MGC_STORED_AGAIN_MS = 50 }; /* between two tries to get the turn */

void mgc_stored_clear(struct mgc_stored *s);

/* Reads what is there into `in`. `*news`: it is another generation than before. As mgc_store_read(). */
mgc_code mgc_stored_read(struct mgc_stored *s, bool *news, struct mgc_error *e) MGC_NODISCARD;

/* Takes the turn and reads. MGC_EBUSY: another process has it, come again; MGC_ESTORE: so for 90 s in which we
 * came again and again, or as mgc_store_read(). */
mgc_code mgc_stored_take(struct mgc_stored *s, int64_t now_ms, bool *news,
                         struct mgc_error *e) MGC_NODISCARD;
void     mgc_stored_leave(struct mgc_stored *s); /* one that was not taken is fine */

#endif
