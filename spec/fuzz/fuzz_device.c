/* spec/fuzz/fuzz_device.c - a device authorization's answer. What is shown of it must not command a terminal. */
#include "core/identity/device.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

static void must_be_harmless(const char *text, size_t size)
{
    must(memchr(text, '\0', size) != NULL);
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
        must(*at >= ' ' && *at != 0x7f && !(at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct mgc_prompt p    = {0};
    struct mgc_secret code = {0};
    if (mgc_device_read(&p, &code, (const char *)data, n) == MGC_OK) {
        must(code.text != NULL && code.len > 0);
        must(p.user_code[0] != '\0' && p.verification_uri[0] != '\0');
        must(p.life_s >= 0 && p.life_s <= 24 * 3600 && p.interval_s >= 0 && p.interval_s <= 300);
        must_be_harmless(p.user_code, sizeof p.user_code);
        must_be_harmless(p.verification_uri, sizeof p.verification_uri);
        must_be_harmless(p.message, sizeof p.message);
    } else {
        must(code.text == NULL && p.user_code[0] == '\0');
    }
    mgc_secret_clear(&code);
    return 0;
}
