/* csrc/core/identity/base64.c - see base64.h. */
#include "core/identity/base64.h"

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

mgc_code mgc_base64url(struct mgc_buf *out, const void *data, size_t n)
{
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

/* Up to four digits as 24 bits, the first one highest; false when one is no digit, or bits are left over. */
static bool read_quad(const char *text, size_t n, unsigned *out)
{
    unsigned v = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *digit = i < n ? memchr(digits, text[i], sizeof digits - 1) : digits;
        if (digit == NULL)
            return false;
        v = v << 6 | (unsigned)(digit - digits);
    }
    *out = v;
    return n == 4 || (n == 3 && (v & 0xff) == 0) || (n == 2 && (v & 0xffff) == 0);
}

mgc_code mgc_base64url_decode(struct mgc_buf *out, const char *text, size_t n)
{
    const size_t start = out->len;
    for (size_t i = 0; i < n; i += 4) {
        unsigned v;
        size_t   have = n - i < 4 ? n - i : 4;
        mgc_code rc   = read_quad(text + i, have, &v) ? MGC_OK : MGC_EANSWER;
        if (rc == MGC_OK) {
            const char bytes[3] = {(char)(v >> 16), (char)(v >> 8 & 0xff), (char)(v & 0xff)};
            rc                  = mgc_buf_append(out, bytes, have - 1);
        }
        if (rc != MGC_OK) {
            mgc_buf_truncate(out, start);
            return rc;
        }
    }
    return MGC_OK;
}
