/* spec/fuzz/fuzz_answer.c - a token endpoint's answer. */
#include "core/identity/answer.h"
#include "core/identity/claims.h"

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
    struct mgc_token_answer a = {0};
    if (mgc_answer_read(&a, (const char *)data, n) == MGC_OK) {
        must(a.access_token.text != NULL || a.error[0] != '\0' || a.text[0] != '\0');
        must(a.life_s >= 0 && a.refresh_s >= 0 && a.expires_on_s >= 0);
        must(strpbrk(a.text, "\r\n") == NULL && strpbrk(a.error, "\r\n") == NULL);
        must(strpbrk(a.suberror, "\r\n") == NULL);
        must(a.claims.len == 0 || mgc_claims_are_valid(a.claims.data, a.claims.len));
    } else {
        must(a.access_token.text == NULL && a.refresh_token.text == NULL);
        must(a.id_token.text == NULL && a.claims.data == NULL && a.scope.data == NULL);
    }
    mgc_answer_clear(&a);
    return 0;
}
