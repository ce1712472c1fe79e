/* csrc/core/identity/jwt.h - the signed assertion by which a client proves who it is (RFC 7523,
 * FACTS 7.2): a fresh one for each token request.
 */
#ifndef MGC_JWT_H
#define MGC_JWT_H

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/identity/key.h"

#include <stdint.h>

struct mgc_jwt_claims {
    const char *client_id; /* iss and sub */
    const char *audience;  /* the token endpoint's URL */
    const char *id;        /* jti, never used twice */
    int64_t     now;       /* Unix seconds, the server's if they are known */
};

/* Appends header.payload.signature. Valid from 30 s before now for 600 s.
 * MGC_ENOMEM, MGC_EINTERNAL when libcrypto fails. */
mgc_code mgc_jwt_assertion(struct mgc_buf *out, const struct mgc_key *key, mgc_alg alg,
                           const struct mgc_jwt_claims *claims) MGC_NODISCARD;

#endif
