/* spec/fuzz/fuzz_redirect.c - what a browser, or anything else on this machine, sends to the loopback listener. The same
 * bytes, come in two pieces, are read alike. */
#include "core/identity/redirect.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

/* Reads a copy of exactly that size, so that one byte too far is found. */
static mgc_reading read_copy(const uint8_t *data, size_t n)
{
    struct mgc_redirect    r     = {{0}, {0}, {0}, {0}};
    char                  *copy  = malloc(n);
    const struct mgc_text *all[] = {&r.state, &r.code, &r.error, &r.description};
    must(copy != NULL || n == 0);
    if (n > 0)
        memcpy(copy, data, n);
    mgc_reading reading = mgc_redirect_read(&r, copy, n, 4711);
    if (reading == MGC_READ_REDIRECT)
        must(r.state.len > 0 && (r.code.len > 0) != (r.error.len > 0));
    else
        must(r.state.at == NULL && r.code.at == NULL && r.error.at == NULL);
    for (size_t i = 0; i < 4; i++) {
        must(all[i]->at == NULL || (all[i]->at >= copy && all[i]->at + all[i]->len <= copy + n));
        for (size_t k = 0; i < 3 && k < all[i]->len; k++)
            must(all[i]->at[k] > ' ' && all[i]->at[k] < 0x7f);
    }
    free(copy);
    return reading;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    mgc_reading whole = read_copy(data, n);
    for (size_t part = n / 2; part < n; part += 1 + (n - part) / 2) {
        mgc_reading early = read_copy(data, part);
        must(early == MGC_READ_MORE || early == whole);
    }
    return 0;
}
