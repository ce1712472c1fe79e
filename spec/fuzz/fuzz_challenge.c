/* spec/fuzz/fuzz_challenge.c - WWW-Authenticate in a header block: what is read of it can be printed and sent. */
#include "core/identity/challenge.h"
#include "core/identity/claims.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

static void check_text(const char *text, size_t size)
{
    must(memchr(text, '\0', size) != NULL);
    for (; *text != '\0'; text++)
        must(*text >= ' ' && *text < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct mgc_challenge c;
    const char          *block = (const char *)data;
    char                 realm[64];
    must(mgc_challenge_read(block, n, &c) == MGC_OK);
    check_text(c.error, sizeof c.error);
    check_text(c.authorization_uri, sizeof c.authorization_uri);
    if (c.claims.len > 0)
        must(mgc_claims_are_valid(c.claims.data, c.claims.len) &&
             strlen(c.claims.data) == c.claims.len);
    mgc_challenge_clear(&c);
    if (mgc_challenge_basic_realm(block, n, realm, sizeof realm)) {
        must(realm[0] != '\0');
        check_text(realm, sizeof realm);
    }
    return 0;
}
