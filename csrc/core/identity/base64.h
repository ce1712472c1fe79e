/* csrc/core/identity/base64.h - base64url without padding (RFC 4648 5), as JOSE writes it. */
#ifndef MGC_BASE64_H
#define MGC_BASE64_H

#include "core/base/buf.h"

mgc_code mgc_base64url(struct mgc_buf *out, const void *data, size_t n) MGC_NODISCARD;

#endif
