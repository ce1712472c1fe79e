/* spec/fuzz/fuzz_headers.c - a header block as a server may send it. */
#include "core/base/headers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

enum { NOW = 1764000000, VALUE_MAX = 64 };

static int64_t wait_of(const char *value, const char *name, const char *after)
{
    char block[256];
    int  n = snprintf(block, sizeof block, "%s: %s\r\n%s", name, value, after);
    return mgc_retry_after_ms(block, (size_t)n, NOW);
}

/* The same bytes as the value of each header that may hold a hint. */
static void check_hint(const char *bytes, size_t n)
{
    char value[VALUE_MAX] = {0};
    memcpy(value, bytes, n < VALUE_MAX - 1 ? n : VALUE_MAX - 1);
    value[strcspn(value, "\r\n")] = '\0';

    int64_t seconds = wait_of(value, "Retry-After", ""), ms = wait_of(value, "retry-after-ms", "");
    must(seconds >= -1 && seconds <= MGC_RETRY_AFTER_MAX_MS);
    must(ms >= -1 && ms <= seconds); /* a number: fewer of it; a date is none */
    must(ms == wait_of(value, "x-ms-retry-after-ms", ""));
    size_t digits = strspn(value, "0123456789");
    if (digits > 0 && digits == strlen(value)) {
        double asked = strtod(value, NULL) * 1000;
        must((double)seconds == (asked < MGC_RETRY_AFTER_MAX_MS ? asked : MGC_RETRY_AFTER_MAX_MS));
    }
    if (ms < 0) { /* a date, if anything: nothing is left of it when it is the server's now */
        char date[VALUE_MAX + 16];
        snprintf(date, sizeof date, "Date: %s\r\n", value);
        must(wait_of(value, "Retry-After", date) == (seconds < 0 ? -1 : 0));
    }
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
    int64_t wait = mgc_retry_after_ms(block, n, NOW);
    must(wait >= -1 && wait <= MGC_RETRY_AFTER_MAX_MS);
    check_hint(block, n);

    size_t half = n / 2;
    if (mgc_header_is_valid(block, half, block + half, n - half))
        must(memchr(block, '\n', n) == NULL && memchr(block, '\r', n) == NULL &&
             memchr(block, ':', half) == NULL && memchr(block, '\0', n) == NULL);
    return 0;
}
