/* csrc/core/identity/claims.h - claims requests (OpenID Connect Core 5.5): JSON objects that say what a token
 * must hold. A resource's challenge has one, a token endpoint's refusal may have one, and each is sent
 * back with the next token request, together with what this client is capable of (FACTS 6.4).
 */
#ifndef MGC_CLAIMS_H
#define MGC_CLAIMS_H

#include "core/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum { MGC_CLAIMS_MAX = 8 * 1024 }; /* bytes of one that comes from outside */

/* Whether it is a JSON object, without a NUL, of at most MGC_CLAIMS_MAX bytes. */
bool mgc_claims_are_valid(const char *text, size_t n);

/* Appends one request that asks for what `a` and `b` ask for; either may be NULL. Objects are merged member by
 * member, lists are united, both in their order with `a` first; where they contradict, `b` holds.
 * MGC_EANSWER when one is no JSON object, MGC_ETOO_LARGE, MGC_ENOMEM: `out` stays as it was. */
mgc_code mgc_claims_merge(const char *a, const char *b, struct mgc_buf *out) MGC_NODISCARD;

#endif
