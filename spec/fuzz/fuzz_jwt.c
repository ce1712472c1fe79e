/* spec/fuzz/fuzz_jwt.c - a token's text; and header and payload as they are, a line each, for the fuzzer writes no
 * base64.
 */
#include "core/base/buf.h"
#include "core/identity/base64.h"
#include "core/identity/jwt_read.h"

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
        must((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void check(const char *text, size_t n)
{
    static struct mgc_jwt_view v;
    mgc_code                   rc = mgc_jwt_read(text, n, &v);
    must(rc == MGC_OK || rc == MGC_EANSWER);
    if (rc != MGC_OK)
        return;
    must(v.alg[0] != '\0' && v.exp >= 0 && v.iat >= 0);
    check_text(v.alg, sizeof v.alg);
    check_text(v.kid, sizeof v.kid);
    check_text(v.name, sizeof v.name);
    check_text(v.username, sizeof v.username);
    check_text(v.aud, sizeof v.aud);
    check_text(v.roles, sizeof v.roles);
}

/* What decodes is what encoding makes of it. */
static void check_base64(const char *text, size_t n)
{
    struct mgc_buf bytes, again;
    mgc_buf_init(&bytes, SIZE_MAX);
    mgc_buf_init(&again, SIZE_MAX);
    if (mgc_base64url_decode(&bytes, text, n) == MGC_OK) {
        must(mgc_base64url(&again, mgc_buf_text(&bytes), bytes.len) == MGC_OK);
        must(again.len == n && memcmp(mgc_buf_text(&again), text, n) == 0);
    }
    mgc_buf_clear(&bytes);
    mgc_buf_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char    *text = (const char *)data, *nl = memchr(text, '\n', n);
    struct mgc_buf jwt;
    check(text, n);
    check_base64(text, n);
    if (nl == NULL)
        return 0;
    mgc_buf_init(&jwt, SIZE_MAX);
    must(mgc_base64url(&jwt, text, (size_t)(nl - text)) == MGC_OK);
    must(mgc_buf_append(&jwt, ".", 1) == MGC_OK);
    must(mgc_base64url(&jwt, nl + 1, n - (size_t)(nl - text) - 1) == MGC_OK);
    must(mgc_buf_append(&jwt, ".", 1) == MGC_OK);
    check(jwt.data, jwt.len);
    mgc_buf_clear(&jwt);
    return 0;
}
