/* spec/fuzz/fuzz_headers.c - a header block as a server may send it. */
#include "core/base/headers.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const names[] = {"Retry-After", "request-id", "Date", "x-ms-retry-after-ms"};
    const char              *block   = (const char *)data;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = NULL;
        size_t      len   = 0;
        if (mgc_header_find(block, n, names[i], &value, &len)) {
            must(value >= block && value + len <= block + n);
            must(memchr(value, '\n', len) == NULL);
        }
    }
    int64_t wait = mgc_retry_after_ms(block, n, 1764000000);
    must(wait >= -1 && wait <= MGC_RETRY_AFTER_MAX_MS);

    size_t half = n / 2;
    if (mgc_header_is_valid(block, half, block + half, n - half))
        must(memchr(block, '\n', n) == NULL && memchr(block, '\r', n) == NULL &&
             memchr(block, ':', half) == NULL && memchr(block, '\0', n) == NULL);
    return 0;
}
