/* csrc/core/base/uuid.h - random identifiers (RFC 9562 version 4) for client-request-id, and jitter.
 *
 * Random bytes are fetched from the kernel a block at a time, because a system call for each
 * request would cost more than the identifier. The pool belongs to one transport.
 */
#ifndef MGC_UUID_H
#define MGC_UUID_H

#include "core/base/error.h"

#include <stddef.h>

enum { MGC_UUID_LEN = 36 };

struct mgc_uuid_pool {
    unsigned char bytes[1024];
    size_t        left; /* unused bytes at the end; 0 in a zeroed struct */
};

/* Writes MGC_UUID_LEN characters and a NUL. MGC_EINTERNAL when the kernel gives no randomness. */
mgc_code mgc_uuid_make(struct mgc_uuid_pool *pool, char out[MGC_UUID_LEN + 1]) MGC_NODISCARD;

/* A number from [0, 1): 0.5 when the kernel gives no randomness. */
double mgc_uuid_fraction(struct mgc_uuid_pool *pool);

#endif
