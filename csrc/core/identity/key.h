/* csrc/core/identity/key.h - a private key with its certificate, from PEM or PKCS#12.
 *
 * Ownership: mgc_key_load() and mgc_key_parse() make it yours, mgc_key_free() gives it back; libcrypto wipes the key.
 */
#ifndef MGC_KEY_H
#define MGC_KEY_H

#include "core/base/buf.h"
#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct mgc_key;

/* Reads a file that holds an RSA private key and the certificate that belongs to it, as PEM (as
 * AZURE_CLIENT_CERTIFICATE_PATH names one) or PKCS#12. `password` may be NULL.
 * MGC_EOPTION, with what is wrong and the file's name in `e`; MGC_ENOMEM. A certificate that is not valid today is
 * wrong too: Entra refuses it, in words that say less. */
mgc_code mgc_key_load(struct mgc_key **out, const char *path, const char *password,
                      struct mgc_error *e) MGC_NODISCARD;

/* The same from memory; `name` stands for the file, `now` is today in Unix seconds. */
mgc_code mgc_key_parse(struct mgc_key **out, const char *name, const void *bytes, size_t n,
                       const char *password, int64_t now, struct mgc_error *e) MGC_NODISCARD;
void     mgc_key_free(struct mgc_key *k); /* NULL is fine */

typedef enum mgc_alg { MGC_PS256, MGC_RS256 } mgc_alg;

/* Appends the signature's bytes. MGC_EINTERNAL when libcrypto fails. */
mgc_code mgc_key_sign(const struct mgc_key *k, mgc_alg alg, const void *data, size_t n,
                      struct mgc_buf *out) MGC_NODISCARD;

/* The certificate's thumbprint, base64url: SHA-256 for PS256 (x5t#S256), SHA-1 for RS256 (x5t). */
mgc_code mgc_key_thumbprint(const struct mgc_key *k, mgc_alg alg,
                            struct mgc_buf *out) MGC_NODISCARD;

#endif
