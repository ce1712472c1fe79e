/* spec/fuzz/fuzz_claims.c - two claims requests, a line each: merged they are one, which asks for all of the second. */
#include "core/identity/claims.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

static void check(const char *a, const char *b)
{
    struct mgc_buf merged, again;
    mgc_buf_init(&merged, SIZE_MAX);
    mgc_buf_init(&again, SIZE_MAX);
    mgc_code rc = mgc_claims_merge(a, b, &merged);
    must(rc == MGC_OK || (rc == MGC_EANSWER && merged.len == 0));
    if (mgc_claims_are_valid(a, strlen(a)) && mgc_claims_are_valid(b, strlen(b)))
        must(rc == MGC_OK);
    if (rc == MGC_OK) {
        must(mgc_claims_merge(merged.data, b, &again) == MGC_OK);
        must(strcmp(merged.data, again.data) == 0);
    }
    mgc_buf_clear(&merged);
    mgc_buf_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    must(text != NULL);
    memcpy(text, data, n);
    text[n]  = '\0';
    char *nl = strchr(text, '\n');
    if (nl != NULL) {
        *nl = '\0';
        check(text, nl + 1);
    }
    free(text);
    return 0;
}
