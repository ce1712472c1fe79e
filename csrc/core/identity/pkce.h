/* csrc/core/identity/pkce.h - what ties a sign-in to the process that began it: a code verifier with its
 * challenge (RFC 7636), and a state (RFC 6749 10.12).
 *
 * Both are 32 random bytes, which base64url makes 43 characters. The verifier leaves only with the token
 * request; challenge and state are in the URL the browser gets.
 *
 * Ownership: the caller owns the struct; mgc_pkce_clear() wipes it.
 */
#ifndef MGC_PKCE_H
#define MGC_PKCE_H

#include "core/base/error.h"

enum { MGC_PKCE_LEN = 43 };

struct mgc_pkce {
    char verifier[MGC_PKCE_LEN + 1];
    char challenge[MGC_PKCE_LEN + 1]; /* S256 of the verifier */
    char state[MGC_PKCE_LEN + 1];
};

/* MGC_EINTERNAL when there are no random numbers; MGC_ENOMEM. */
mgc_code mgc_pkce_make(struct mgc_pkce *out) MGC_NODISCARD;
void     mgc_pkce_clear(struct mgc_pkce *p); /* twice is as good as once */

/* The S256 challenge of a verifier (RFC 7636 4.2). */
mgc_code mgc_pkce_challenge(char out[MGC_PKCE_LEN + 1], const char *verifier) MGC_NODISCARD;

#endif
