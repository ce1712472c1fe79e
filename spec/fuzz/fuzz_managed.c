/* spec/fuzz/fuzz_managed.c - the answers of the hosts of managed identities: a byte for the host, one for the status,
 * then headers and, after a NUL, the body. */
#include "core/base/clock.h"
#include "core/identity/managed.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1700000000 };

static void must(int condition)
{
    if (!condition)
        abort();
}

static struct mgc_managed *new_host(unsigned which)
{
    static const char *const   names[] = {"imds",     "app_service",    "azure_arc",
                                          "azure_ml", "service_fabric", "cloud_shell"};
    struct mgc_managed        *m       = NULL;
    struct mgc_error           e;
    struct mgc_managed_options o = {.host       = names[which % 6],
                                    .endpoint   = "https://127.0.0.1/msi/token",
                                    .resource   = "https://graph.microsoft.com",
                                    .secret     = "secret-of-host",
                                    .thumbprint = "00112233445566778899AABBCCDDEEFF00112233"};
    must(mgc_managed_new(&m, &o, &e) == MGC_OK);
    return m;
}

static void settle(struct mgc_managed *m, const struct mgc_attempt *a)
{
    struct mgc_token_answer token    = {0};
    struct mgc_error        e        = {0};
    int64_t                 again_ms = 0;
    mgc_code                rc       = mgc_managed_settle(m, a, 1000, NOW, &token, &again_ms, &e);
    if (rc == MGC_OK)
        must(token.access_token.text != NULL && token.life_s >= 0 && again_ms == -1);
    else
        must(token.access_token.text == NULL && e.code == rc && again_ms >= -1 &&
             again_ms <= 30 * 1000);
    mgc_answer_clear(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int   statuses[] = {200, 200, 201, 302, 400, 401, 403, 404, 408, 410, 429, 500};
    struct mgc_attempt a          = {0};
    if (n < 2)
        return 0;
    const char         *text  = (const char *)data + 2;
    const char         *end   = memchr(text, '\0', n - 2);
    const size_t        heads = end != NULL ? (size_t)(end - text) : n - 2;
    struct mgc_managed *m     = new_host(data[0]);
    a.status                  = statuses[data[1] % (sizeof statuses / sizeof statuses[0])];
    mgc_buf_init(&a.headers, SIZE_MAX / 4);
    mgc_buf_init(&a.body, SIZE_MAX / 4);
    must(mgc_buf_append(&a.headers, text, heads) == MGC_OK);
    if (end != NULL)
        must(mgc_buf_append(&a.body, end + 1, n - 2 - heads - 1) == MGC_OK);
    settle(m, &a);
    settle(m, &a); /* as the answer to the next try */
    mgc_buf_clear(&a.headers);
    mgc_buf_clear(&a.body);
    mgc_managed_free(m);
    return 0;
}
