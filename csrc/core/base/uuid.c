/* csrc/core/base/uuid.c - see uuid.h. */
#include "core/base/uuid.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

enum { UUID_BYTES = 16 };

static const unsigned char *draw(struct mgc_uuid_pool *pool)
{
    if (pool->left < UUID_BYTES) {
        size_t have = 0;
        while (have < sizeof pool->bytes) { /* a signal may cut a long read short */
            ssize_t n = getrandom(pool->bytes + have, sizeof pool->bytes - have, 0);
            if (n < 0 && errno != EINTR)
                return NULL;
            have += n > 0 ? (size_t)n : 0;
        }
        pool->left = have;
    }
    pool->left -= UUID_BYTES;
    return pool->bytes + pool->left;
}

mgc_code mgc_uuid_make(struct mgc_uuid_pool *pool, char out[MGC_UUID_LEN + 1])
{
    static const char    hex[]  = "0123456789abcdef";
    const unsigned char *random = draw(pool);
    if (random == NULL)
        return MGC_EINTERNAL;
    char *o = out;
    for (int i = 0; i < UUID_BYTES; i++) {
        unsigned byte = random[i];
        if (i == 6)
            byte = 0x40 | (byte & 0x0f); /* version 4 */
        if (i == 8)
            byte = 0x80 | (byte & 0x3f); /* variant */
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *o++ = '-';
        *o++ = hex[byte >> 4];
        *o++ = hex[byte & 0x0f];
    }
    *o = '\0';
    return MGC_OK;
}

double mgc_uuid_fraction(struct mgc_uuid_pool *pool)
{
    const unsigned char *random = draw(pool);
    uint32_t             n;
    if (random == NULL)
        return 0.5;
    memcpy(&n, random, sizeof n);
    return (double)n / ((double)UINT32_MAX + 1);
}
