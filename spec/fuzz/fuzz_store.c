/* spec/fuzz/fuzz_store.c - the file of a stored sign-in: as it stands, with and without a key; as what follows a
 * plaintext header; and as what the cipher protects.
 */
#include "core/identity/sign_in.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PLAINTEXT "msgraph sign-in 1 plaintext\n"

static void must(int condition)
{
    if (!condition)
        abort();
}

static const struct mgc_vault_key *the_key(void)
{
    static struct mgc_vault_key *key;
    static const char            text[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    struct mgc_error             e;
    if (key == NULL)
        must(mgc_vault_from_base64(&key, text, strlen(text), "it", &e) == MGC_OK);
    return key;
}

static void parse(const char *bytes, size_t n, const struct mgc_vault_key *key)
{
    struct mgc_sign_in in = {0};
    struct mgc_error   e  = {0};
    mgc_code           rc = mgc_sign_in_parse(bytes, n, key, "it", &in, &e);
    if (rc == MGC_OK) {
        must(in.generation > 0 && in.generation < INT64_MAX && in.expires_s >= 0);
        must(!in.signed_out || (in.refresh_token.text == NULL && in.access_token.text == NULL));
        must(in.refresh_token.text == NULL || in.refresh_token.len > 0);
    } else {
        must(rc == MGC_ESTORE && e.code == rc && e.message[0] != '\0');
        must(in.generation == 0 && in.authority == NULL && in.refresh_token.text == NULL);
    }
    mgc_sign_in_clear(&in);
}

/* The bytes, as if they had been sealed: what the parser meets once the tag is right. */
static void parse_sealed(const char *bytes, size_t n)
{
    static const unsigned char nonce[MGC_VAULT_NONCE];
    struct mgc_buf             file;
    mgc_buf_init(&file, SIZE_MAX);
    must(mgc_buf_append(&file, "msgraph sign-in 1 aes-256-gcm ", 30) == MGC_OK);
    must(mgc_buf_append(&file, mgc_vault_id(the_key()), MGC_VAULT_ID) == MGC_OK);
    must(mgc_buf_append(&file, " 000000000000000000000000\n", 26) == MGC_OK);
    struct mgc_buf body;
    mgc_buf_init(&body, SIZE_MAX);
    must(mgc_vault_seal(the_key(), file.data, file.len, nonce, bytes, n, &body) == MGC_OK);
    must(mgc_buf_append(&file, body.data, body.len) == MGC_OK);
    parse(file.data, file.len, the_key());
    mgc_buf_clear(&body);
    mgc_buf_clear(&file);
}

static void parse_plain(const char *bytes, size_t n)
{
    struct mgc_buf file;
    mgc_buf_init(&file, SIZE_MAX);
    must(mgc_buf_append(&file, PLAINTEXT, strlen(PLAINTEXT)) == MGC_OK);
    must(mgc_buf_append(&file, bytes, n) == MGC_OK);
    parse(file.data, file.len, NULL);
    mgc_buf_clear(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *bytes = (const char *)data;
    parse(bytes, n, NULL);
    parse(bytes, n, the_key());
    parse_plain(bytes, n);
    parse_sealed(bytes, n);
    return 0;
}
