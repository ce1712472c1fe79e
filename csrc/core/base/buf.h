/* csrc/core/base/buf.h - growable byte buffer with a ceiling.
 *
 * Holds bytes while they arrive. The ceiling is part of the type, so no peer can make us
 * allocate without bound.
 *
 * Ownership: the caller owns the struct, the buffer owns its bytes until mgc_buf_clear().
 * Failure:   a failed append leaves the content as it was.
 */
#ifndef MGC_BUF_H
#define MGC_BUF_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct mgc_buf {
    bool   secret; /* wiped before memory is given back, growing included */
    char  *data;   /* NUL-terminated once not NULL */
    size_t len;    /* without the NUL */
    size_t cap;    /* bytes allocated */
    size_t limit;  /* largest len ever accepted, below SIZE_MAX / 2 */
};

void mgc_buf_init(struct mgc_buf *b, size_t limit);
void mgc_buf_clear(struct mgc_buf *b); /* gives the bytes back; twice is as good as once */

/* Forgets what came after the first `len` bytes, keeps what is allocated. */
void mgc_buf_truncate(struct mgc_buf *b, size_t len);

/* MGC_ENOMEM, or MGC_ETOO_LARGE past the ceiling. */
mgc_code mgc_buf_append(struct mgc_buf *b, const void *bytes, size_t n) MGC_NODISCARD;

/* The content as a C string: "" while nothing was ever appended. */
const char *mgc_buf_text(const struct mgc_buf *b);

#endif
