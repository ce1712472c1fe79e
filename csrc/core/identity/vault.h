/* csrc/core/identity/vault.h - the key that sign-ins are encrypted with: where it comes from, and its use.
 *
 * 32 random bytes, in memory of their own that is neither swapped out nor dumped (where the system allows that)
 * and wiped when freed. No function gives them away. Encryption is AES-256-GCM, by libcrypto.
 *
 * Ownership: each source makes a key that is yours; mgc_vault_free() wipes it.
 * Failure:   MGC_ESTORE, with what is wrong with that source and how to mend it in `e`, never its value;
 *            MGC_ENOMEM. `*out` stays as it was.
 */
#ifndef MGC_VAULT_H
#define MGC_VAULT_H

#include "core/base/buf.h"
#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { MGC_VAULT_NONCE = 12, MGC_VAULT_TAG = 16, MGC_VAULT_ID = 16 };

struct mgc_vault_key;

/* From the variable MSGRAPH_STORE_KEY: 32 bytes as base64. */
mgc_code mgc_vault_from_environment(struct mgc_vault_key **out, struct mgc_error *e) MGC_NODISCARD;

/* From the descriptor that MSGRAPH_STORE_KEY_FD names, in base64, read to its end; one that can be positioned
 * (a file) from its beginning, so that it can be read again. It is closed in children from then on. */
mgc_code mgc_vault_from_descriptor(struct mgc_vault_key **out, struct mgc_error *e) MGC_NODISCARD;

/* From the kernel's keyring of this user; made there at the first use. Gone when the machine restarts. */
mgc_code mgc_vault_from_keyring(struct mgc_vault_key **out, struct mgc_error *e) MGC_NODISCARD;

/* From text; `source` names it in errors. */
mgc_code mgc_vault_from_base64(struct mgc_vault_key **out, const char *text, size_t n,
                               const char *source, struct mgc_error *e) MGC_NODISCARD;

void mgc_vault_free(struct mgc_vault_key *k); /* NULL is fine */

/* Tells two keys apart and nothing about them: hexadecimal digits of a hash. */
const char *mgc_vault_id(const struct mgc_vault_key *k);

/* Appends the bytes encrypted, and the tag that vouches for them and for `header`. No nonce may be used twice
 * with one key. MGC_ENOMEM, MGC_EINTERNAL when libcrypto fails. */
mgc_code mgc_vault_seal(const struct mgc_vault_key *k, const char *header, size_t header_len,
                        const unsigned char nonce[MGC_VAULT_NONCE], const char *bytes, size_t n,
                        struct mgc_buf *out) MGC_NODISCARD;

/* The way back. MGC_ESTORE: not what was sealed with this key, header and nonce; MGC_ENOMEM. */
mgc_code mgc_vault_unseal(const struct mgc_vault_key *k, const char *header, size_t header_len,
                          const unsigned char nonce[MGC_VAULT_NONCE], const char *bytes, size_t n,
                          struct mgc_buf *out) MGC_NODISCARD;

/* Up to 256 random bytes. False: the system gives none. */
bool mgc_vault_random(void *out, size_t n) MGC_NODISCARD;

#endif
