/* csrc/core/identity/challenge.h - reads WWW-Authenticate (RFC 9110 11.6.1): why a token was refused, and
 * what the next one must hold (RFC 6750 3, FACTS 6.4).
 *
 * Several headers, several challenges in one, parameters in any order, as the grammar has them. Beyond it: a
 * value without quotes may hold any visible character but a comma and a quote, for Azure Arc sends a path so.
 * Nothing is trusted: what is too long, has control characters or does not decode is as if it had not come.
 *
 * Ownership: the caller owns the struct, which owns its claims until mgc_challenge_clear().
 */
#ifndef MGC_CHALLENGE_H
#define MGC_CHALLENGE_H

#include "core/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct mgc_challenge {
    char           error[64];              /* "insufficient_claims", "invalid_token"; "" for none */
    char           authorization_uri[512]; /* "" for none */
    struct mgc_buf claims;                 /* a JSON object, see claims.h; empty: none */
};

/* Of the Bearer challenges in a header block ("Name: value\r\n" lines), the first one with claims, or else the
 * first. Everything is empty where there is none. MGC_ENOMEM. */
mgc_code mgc_challenge_read(const char *block, size_t n, struct mgc_challenge *out) MGC_NODISCARD;
void     mgc_challenge_clear(struct mgc_challenge *c); /* twice is as good as once */

/* The realm of the first Basic challenge that has one: with Azure Arc, the path of a key file (FACTS 7.3).
 * False: there is none, or it does not fit. */
bool mgc_challenge_basic_realm(const char *block, size_t n, char *out, size_t size);

#endif
