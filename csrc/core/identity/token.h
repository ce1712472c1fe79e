/* csrc/core/identity/token.h - an access token, and when it stops being fresh. Pure: the clock and
 * the jitter are handed in.
 *
 * A token is FRESH, then AGING (still good, but time to get the next one in the background), then
 * STALE (not to be sent any more, a margin before it expires). Numbers: design/client.md 3.
 *
 * Ownership: counted. A request under way holds the token it was sent with, so a refresh can not
 *            take it away; the last one wipes it.
 */
#ifndef MGC_TOKEN_H
#define MGC_TOKEN_H

#include "core/base/error.h"
#include "core/base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mgc_token {
    unsigned          references;
    struct mgc_secret authorization;      /* "Authorization: Bearer ..." */
    int64_t           aging_ms, stale_ms; /* monotonic; MGC_NEVER for a token that is just given */
    bool adopted; /* another process got it, perhaps before what made ours be refused */
};

/* Where in `authorization` the token itself begins. */
enum { MGC_TOKEN_AT = sizeof "Authorization: Bearer " - 1 };

typedef enum mgc_freshness { MGC_FRESH, MGC_AGING, MGC_STALE } mgc_freshness;

/* Why the text can be no bearer token: NULL when it can (RFC 6750 2.1, and what issuers really make). */
const char *mgc_token_fault(const char *text, size_t n);

/* `life_ms` from `received_ms` on; <= 0: for ever. `refresh_ms`: when the issuer wants it renewed,
 * <= 0: not said. `jitter` in [0, 1) spreads renewals and is drawn once for each token. */
mgc_code mgc_token_new(struct mgc_token **out, const char *text, size_t n, int64_t received_ms,
                       int64_t life_ms, int64_t refresh_ms, double jitter) MGC_NODISCARD;

struct mgc_token *mgc_token_ref(struct mgc_token *t);   /* returns t */
void              mgc_token_unref(struct mgc_token *t); /* NULL is fine */

mgc_freshness mgc_token_freshness(const struct mgc_token *t, int64_t now_ms);

#endif
