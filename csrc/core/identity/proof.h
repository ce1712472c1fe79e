/* csrc/core/identity/proof.h - how a client proves to a token endpoint who it is (FACTS 7.1, 7.2).
 *
 * With a secret, with an assertion it signs with its certificate's key, with an assertion another
 * issuer left in a file (workload identity), or not at all (public client).
 *
 * Ownership: the caller owns the struct, zeroed; mgc_proof_clear() wipes what it holds.
 */
#ifndef MGC_PROOF_H
#define MGC_PROOF_H

#include "core/base/error.h"
#include "core/base/secret.h"
#include "core/base/uuid.h"
#include "core/identity/form.h"
#include "core/identity/key.h"

#include <stdbool.h>
#include <stdint.h>

struct mgc_proof_options {
    const char *client_id; /* needed; the rest NULL: not used */
    const char *client_secret;
    const char *certificate, *password; /* file; its password */
    bool        rs256;                  /* AD FS: RS256 and x5t instead of PS256 and x5t#S256 */
    const char *assertion_file;
};

struct mgc_proof {
    char             *client_id, *certificate, *assertion_file;
    struct mgc_secret client_secret, password;
    struct mgc_key   *key;
    mgc_alg           alg;
};

/* MGC_EOPTION: the certificate can not be used; MGC_ENOMEM. Clear it in either case. */
mgc_code mgc_proof_set(struct mgc_proof *p, const struct mgc_proof_options *o,
                       struct mgc_error *e) MGC_NODISCARD;
void     mgc_proof_clear(struct mgc_proof *p);

/* Adds client_id and the proof. Files are read again each time: they are renewed in place while a service runs.
 * `audience` is the token endpoint's URL, `now_s` its Unix time.
 * A failure is the form's, and in `e`: MGC_EOPTION (an assertion file that can not be read), MGC_ENOMEM. */
void mgc_proof_add(struct mgc_proof *p, struct mgc_form *f, const char *audience, int64_t now_s,
                   struct mgc_uuid_pool *ids, struct mgc_error *e);

#endif
