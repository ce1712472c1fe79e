/* csrc/core/base/secret.h - bytes that are wiped when freed, and never printed.
 *
 * Ownership: the caller owns the struct, the secret owns its bytes until mgc_secret_clear().
 * Nothing in the core formats the content of one of these into a message.
 */
#ifndef MGC_SECRET_H
#define MGC_SECRET_H

#include "core/base/error.h"

#include <stddef.h>

struct mgc_secret {
    char  *text; /* NUL-terminated, NULL when empty */
    size_t len;
};

/* Keeps a copy of prefix followed by the bytes. On MGC_ENOMEM `s` stays as it was. */
mgc_code mgc_secret_set(struct mgc_secret *s, const char *prefix, const char *bytes,
                        size_t n) MGC_NODISCARD;
void     mgc_secret_clear(struct mgc_secret *s); /* wipes; twice is as good as once */

#endif
