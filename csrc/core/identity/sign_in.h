/* csrc/core/identity/sign_in.h - what is kept of a sign-in, and its form as a file's bytes. No file here: store.h.
 *
 * Format:    one line, "msgraph sign-in 1 aes-256-gcm KEY-ID NONCE" or "msgraph sign-in 1 plaintext", then a
 *            JSON object, encrypted with that line as additional data.
 * Failure:   MGC_ESTORE, with the reason and what to do in `e`; MGC_ENOMEM; MGC_EINTERNAL when the system has no
 *            random bytes. What was handed in stays as it was.
 */
#ifndef MGC_SIGN_IN_H
#define MGC_SIGN_IN_H

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/base/secret.h"
#include "core/identity/vault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MGC_SIGN_IN_MAX = 1 << 20 }; /* bytes of a file */

struct mgc_sign_in {
    uint64_t generation; /* +1 with each write, from a random one on; 0: nothing was ever written */
    bool     signed_out; /* nothing else is kept then */
    char    *authority, *tenant, *client_id, *scope, *username, *object_id, *cloud; /* or NULL */
    struct mgc_secret refresh_token, access_token;
    int64_t expires_s; /* of the access token, Unix time by the server's clock; 0: not known */
};

/* Wipes the secrets and gives everything back; what it was, all zero, is fine. */
void mgc_sign_in_clear(struct mgc_sign_in *in);

/* From a file's bytes, into `out` (all zero before). `name` is what errors call the file. `key`: NULL where it is
 * kept in plaintext. */
mgc_code mgc_sign_in_parse(const char *bytes, size_t n, const struct mgc_vault_key *key,
                           const char *name, struct mgc_sign_in *out,
                           struct mgc_error *e) MGC_NODISCARD;

/* To a file's bytes; `e` is left to the caller. MGC_EOPTION for text that is not UTF-8. */
mgc_code mgc_sign_in_print(const struct mgc_sign_in *in, const struct mgc_vault_key *key,
                           struct mgc_buf *out) MGC_NODISCARD;

/* Damaged, if that is what `rc` says: what to do about the file called `name`. Returns the code. */
mgc_code mgc_sign_in_damaged(struct mgc_error *e, mgc_code rc, const char *name);

#endif
