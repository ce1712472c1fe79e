/* csrc/core/identity/base64.h - base64url without padding (RFC 4648 5), as JOSE writes it. */
#ifndef MGC_BASE64_H
#define MGC_BASE64_H

#include "core/base/buf.h"

mgc_code mgc_base64url(struct mgc_buf *out, const void *data, size_t n) MGC_NODISCARD;

/* Appends the bytes a text stands for; `out` stays as it was on failure. MGC_EANSWER for every text that
 * mgc_base64url() does not write: padding, white space, stray bits. MGC_ENOMEM, MGC_ETOO_LARGE. */
mgc_code mgc_base64url_decode(struct mgc_buf *out, const char *text, size_t n) MGC_NODISCARD;

#endif
