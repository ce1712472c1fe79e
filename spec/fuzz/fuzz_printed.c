/* spec/fuzz/fuzz_printed.c - what the Azure CLI prints, or whatever else is called `az`. */
#include "core/identity/printed.h"

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
    struct mgc_secret token  = {0};
    struct mgc_error  e      = {0};
    int64_t           life_s = 0;
    mgc_code          rc = mgc_printed_read(&token, &life_s, (const char *)data, n, 1700000000, &e);
    if (rc == MGC_OK)
        must(token.text != NULL && token.len > 0 && life_s > 0 && life_s <= 30 * 24 * 3600);
    else
        must(token.text == NULL && e.code == rc && e.message[0] != '\0');
    mgc_secret_clear(&token);
    return 0;
}
