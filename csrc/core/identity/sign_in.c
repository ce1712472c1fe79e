/* csrc/core/identity/sign_in.c - see sign_in.h. */
#include "core/identity/sign_in.h"

#include "core/base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Text that is shown, so the next command comes before a path that may be long. */
#define ANEW "begin anew with msgraph logout and msgraph login"

static const struct field {
    const char *name;
    size_t      at;
} texts[]   = {{"authority", offsetof(struct mgc_sign_in, authority)},
               {"tenant_id", offsetof(struct mgc_sign_in, tenant)},
               {"client_id", offsetof(struct mgc_sign_in, client_id)},
               {"scope", offsetof(struct mgc_sign_in, scope)},
               {"username", offsetof(struct mgc_sign_in, username)},
               {"object_id", offsetof(struct mgc_sign_in, object_id)},
               {"cloud", offsetof(struct mgc_sign_in, cloud)}},
  secrets[] = {{"refresh_token", offsetof(struct mgc_sign_in, refresh_token)},
               {"access_token", offsetof(struct mgc_sign_in, access_token)}};

enum { TEXTS = sizeof texts / sizeof *texts, SECRETS = sizeof secrets / sizeof *secrets };

static char **text_of(const struct mgc_sign_in *in, size_t i)
{
    return (char **)((uintptr_t)in + texts[i].at);
}

static struct mgc_secret *secret_of(const struct mgc_sign_in *in, size_t i)
{
    return (struct mgc_secret *)((uintptr_t)in + secrets[i].at);
}

void mgc_sign_in_clear(struct mgc_sign_in *in)
{
    for (size_t i = 0; i < TEXTS; i++)
        mgc_free(*text_of(in, i));
    for (size_t i = 0; i < SECRETS; i++)
        mgc_secret_clear(secret_of(in, i));
    *in = (struct mgc_sign_in){0};
}

/* ---- as JSON ------------------------------------------------------------------------------------- */

/* jansson's own copies of what is secret. Those it makes while reading are wiped by wire/global.h. */
static void wipe_secrets(json_t *document)
{
    for (size_t i = 0; i < SECRETS; i++) {
        json_t *value = json_object_get(document, secrets[i].name);
        if (json_is_string(value))
            mgc_wipe((char *)(uintptr_t)json_string_value(value), json_string_length(value));
    }
}

static mgc_code read_text(char **out, json_t *value)
{
    if (value == NULL)
        return MGC_OK;
    if (!json_is_string(value))
        return MGC_ESTORE;
    return mgc_copy_text(out, json_string_value(value)) ? MGC_OK : MGC_ENOMEM; /* it holds no NUL */
}

static mgc_code read_secret(struct mgc_secret *out, json_t *value)
{
    if (value == NULL)
        return MGC_OK;
    if (json_string_length(value) == 0) /* or no string */
        return MGC_ESTORE;
    return mgc_secret_set(out, "", json_string_value(value), json_string_length(value));
}

static mgc_code read_document(struct mgc_sign_in *out, json_t *document)
{
    json_t *generation = json_object_get(document, "generation");
    json_t *signed_out = json_object_get(document, "signed_out");
    json_t *expires    = json_object_get(document, "expires_s");
    if (json_integer_value(generation) <= 0 || json_integer_value(generation) == INT64_MAX ||
        !json_is_boolean(signed_out) || !json_is_integer(expires) ||
        json_integer_value(expires) < 0)
        return MGC_ESTORE;
    out->generation = (uint64_t)json_integer_value(generation);
    out->signed_out = json_is_true(signed_out);
    out->expires_s  = json_integer_value(expires);

    mgc_code rc = MGC_OK;
    for (size_t i = 0; i < TEXTS && rc == MGC_OK; i++)
        rc = read_text(text_of(out, i), json_object_get(document, texts[i].name));
    for (size_t i = 0; i < SECRETS && rc == MGC_OK; i++)
        rc = read_secret(secret_of(out, i), json_object_get(document, secrets[i].name));
    if (out->signed_out && (out->refresh_token.text != NULL || out->access_token.text != NULL))
        return MGC_ESTORE;
    return rc;
}

static mgc_code from_json(struct mgc_sign_in *out, const char *bytes, size_t n)
{
    struct mgc_sign_in in = {0};
    json_error_t       why;
    json_t            *document = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &why);
    if (document == NULL)
        return json_error_code(&why) == json_error_out_of_memory ? MGC_ENOMEM : MGC_ESTORE;
    mgc_code rc = read_document(&in, document);
    wipe_secrets(document);
    json_decref(document);
    if (rc == MGC_OK)
        *out = in;
    else
        mgc_sign_in_clear(&in);
    return rc;
}

/* NULL: a text is not UTF-8, or out of memory. */
static json_t *to_document(const struct mgc_sign_in *in)
{
    json_t *document = json_pack("{s:I, s:b, s:I}", "generation", (json_int_t)in->generation,
                                 "signed_out", in->signed_out, "expires_s",
                                 (json_int_t)in->expires_s);
    int     failed   = document == NULL;
    for (size_t i = 0; i < TEXTS; i++)
        if (*text_of(in, i) != NULL)
            failed |= json_object_set_new(document, texts[i].name, json_string(*text_of(in, i)));
    for (size_t i = 0; i < SECRETS; i++)
        if (secret_of(in, i)->text != NULL)
            failed |=
                json_object_set_new(document, secrets[i].name,
                                    json_stringn(secret_of(in, i)->text, secret_of(in, i)->len));
    if (!failed)
        return document;
    wipe_secrets(document);
    json_decref(document);
    return NULL;
}

static int append(const char *bytes, size_t n, void *out)
{
    return mgc_buf_append(out, bytes, n) == MGC_OK ? 0 : -1;
}

static mgc_code to_json(const struct mgc_sign_in *in, struct mgc_buf *out)
{
    json_t *document = to_document(in);
    if (document == NULL)
        return MGC_EOPTION;
    int failed = json_dump_callback(document, append, out, JSON_COMPACT);
    wipe_secrets(document);
    json_decref(document);
    return failed ? MGC_ENOMEM : MGC_OK;
}

/* ---- as a file's bytes --------------------------------------------------------------------------- */

#define KIND      "msgraph sign-in "
#define VERSION   KIND "1 "
#define PLAINTEXT VERSION "plaintext\n"
#define CIPHER    VERSION "aes-256-gcm "

enum {
    HEADER = sizeof CIPHER - 1 + MGC_VAULT_ID + 1 + 2 * MGC_VAULT_NONCE + 1
}; /* of an encrypted one */

static bool begins(const char *bytes, size_t n, const char *with)
{
    return n >= strlen(with) && memcmp(bytes, with, strlen(with)) == 0;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False unless the header ends as it should. */
static bool read_nonce(unsigned char out[MGC_VAULT_NONCE], const char *header)
{
    const char *digits = header + HEADER - 1 - 2 * MGC_VAULT_NONCE;
    if (header[HEADER - 1] != '\n' || digits[-1] != ' ')
        return false;
    for (size_t i = 0; i < MGC_VAULT_NONCE; i++) {
        int high = hex(digits[2 * i]), low = hex(digits[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

mgc_code mgc_sign_in_damaged(struct mgc_error *e, mgc_code rc, const char *name)
{
    if (rc == MGC_ENOMEM)
        return mgc_error_set(e, rc, NULL);
    return mgc_error_set(e, MGC_ESTORE, "damaged: " ANEW ": %s", name);
}

static mgc_code parse_encrypted(const char *bytes, size_t n, const struct mgc_vault_key *key,
                                const char *name, struct mgc_sign_in *out, struct mgc_error *e)
{
    unsigned char nonce[MGC_VAULT_NONCE];
    if (n < HEADER || !read_nonce(nonce, bytes))
        return mgc_sign_in_damaged(e, MGC_ESTORE, name);
    if (key == NULL)
        return mgc_error_set(e, MGC_ESTORE, "encrypted: give its key, or " ANEW ": %s", name);
    if (memcmp(bytes + strlen(CIPHER), mgc_vault_id(key), MGC_VAULT_ID) != 0)
        return mgc_error_set(e, MGC_ESTORE,
                             "encrypted with another key: give that one, or " ANEW ": %s", name);
    struct mgc_buf json;
    mgc_buf_init(&json, MGC_SIGN_IN_MAX);
    json.secret = true;
    mgc_code rc = mgc_vault_unseal(key, bytes, HEADER, nonce, bytes + HEADER, n - HEADER, &json);
    if (rc == MGC_OK)
        rc = from_json(out, mgc_buf_text(&json), json.len);
    mgc_buf_clear(&json);
    return rc == MGC_OK ? MGC_OK : mgc_sign_in_damaged(e, rc, name);
}

mgc_code mgc_sign_in_parse(const char *bytes, size_t n, const struct mgc_vault_key *key,
                           const char *name, struct mgc_sign_in *out, struct mgc_error *e)
{
    if (begins(bytes, n, CIPHER))
        return parse_encrypted(bytes, n, key, name, out, e);
    if (begins(bytes, n, PLAINTEXT) && key == NULL) {
        size_t   header = strlen(PLAINTEXT);
        mgc_code rc     = from_json(out, bytes + header, n - header);
        return rc == MGC_OK ? MGC_OK : mgc_sign_in_damaged(e, rc, name);
    }
    if (begins(bytes, n, PLAINTEXT)) /* whoever can write the file must not choose */
        return mgc_error_set(e, MGC_ESTORE, "not encrypted, though a key is given: " ANEW ": %s",
                             name);
    if (begins(bytes, n, KIND) && !begins(bytes, n, VERSION))
        return mgc_error_set(e, MGC_ESTORE,
                             "written by a newer msgraph: update this one, or " ANEW ": %s", name);
    return mgc_sign_in_damaged(e, MGC_ESTORE, name);
}

/* `header` is a text of HEADER bytes. */
static bool write_header(char header[HEADER + 1], unsigned char nonce[MGC_VAULT_NONCE],
                         const struct mgc_vault_key *key)
{
    if (!mgc_vault_random(nonce, MGC_VAULT_NONCE))
        return false;
    int at = snprintf(header, HEADER + 1, CIPHER "%s ", mgc_vault_id(key));
    for (size_t i = 0; i < MGC_VAULT_NONCE; i++)
        at += snprintf(header + at, 3, "%02x", nonce[i]);
    header[at]     = '\n';
    header[at + 1] = '\0';
    return true;
}

static mgc_code seal(const struct mgc_vault_key *key, const struct mgc_buf *json,
                     struct mgc_buf *out)
{
    char          header[HEADER + 1];
    unsigned char nonce[MGC_VAULT_NONCE];
    if (!write_header(header, nonce, key))
        return MGC_EINTERNAL;
    mgc_code rc = mgc_buf_append(out, header, HEADER);
    if (rc == MGC_OK)
        rc = mgc_vault_seal(key, header, HEADER, nonce, mgc_buf_text(json), json->len, out);
    return rc;
}

mgc_code mgc_sign_in_print(const struct mgc_sign_in *in, const struct mgc_vault_key *key,
                           struct mgc_buf *out)
{
    struct mgc_buf json;
    mgc_buf_init(&json, MGC_SIGN_IN_MAX / 2);
    json.secret = true;
    mgc_code rc = to_json(in, &json);
    if (rc == MGC_OK && key != NULL)
        rc = seal(key, &json, out);
    else if (rc == MGC_OK && (rc = mgc_buf_append(out, PLAINTEXT, strlen(PLAINTEXT))) == MGC_OK)
        rc = mgc_buf_append(out, json.data, json.len);
    mgc_buf_clear(&json);
    return rc;
}
