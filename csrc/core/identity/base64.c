/* csrc/core/identity/base64.c - see base64.h. */
#include "core/identity/base64.h"

mgc_code mgc_base64url(struct mgc_buf *out, const void *data, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *in    = data;
    const size_t         start = out->len;
    for (size_t i = 0; i < n; i += 3) {
        size_t   have = n - i < 3 ? n - i : 3;
        unsigned v    = (unsigned)in[i] << 16 | (have > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                     (have > 2 ? (unsigned)in[i + 2] : 0);
        char quad[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};
        mgc_code rc  = mgc_buf_append(out, quad, have + 1);
        if (rc != MGC_OK) {
            mgc_buf_truncate(out, start);
            return rc;
        }
    }
    return MGC_OK;
}
