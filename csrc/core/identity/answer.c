/* csrc/core/identity/answer.c - see answer.h. */
#include "core/identity/answer.h"

#include "core/base/mem.h"
#include "core/identity/claims.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIFE_MAX_S = 10 * 365 * 24 * 3600, CLOCK_WRONG = 700024, SCOPE_MAX = 8 * 1024 };

static const int64_t DATE_MAX_S = (int64_t)1 << 40;

void mgc_answer_clear(struct mgc_token_answer *a)
{
    mgc_secret_clear(&a->access_token);
    mgc_secret_clear(&a->refresh_token);
    mgc_secret_clear(&a->id_token);
    mgc_buf_clear(&a->scope);
    mgc_buf_clear(&a->claims);
}

/* Moves a text of the document into a secret: the document's own copy is wiped. */
static mgc_code take_secret(struct mgc_secret *out, json_t *document, const char *name)
{
    json_t *value = json_object_get(document, name);
    size_t  n     = json_string_length(value);
    if (n == 0)
        return MGC_OK;
    char    *text = (char *)(uintptr_t)json_string_value(value);
    mgc_code rc   = mgc_secret_set(out, "", text, n);
    mgc_wipe(text, n);
    return rc;
}

/* Managed identity sends its numbers as strings (FACTS 0.17). */
static int64_t seconds(json_t *document, const char *name, int64_t most)
{
    json_t     *value = json_object_get(document, name);
    const char *text  = json_string_value(value);
    char       *end   = NULL;
    double      s     = text != NULL ? strtod(text, &end) : json_number_value(value);
    if (text != NULL && *end != '\0') /* a date in words */
        return 0;
    return s > 0 && s <= (double)most ? (int64_t)s : 0;
}

static void copy_line(char *out, size_t size, json_t *value)
{
    const char *text = json_string_value(value);
    size_t      n    = text != NULL ? strcspn(text, "\r\n") : 0;
    snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), text != NULL ? text : "");
}

/* A text that is longer than `limit` is as if it had not come. */
static mgc_code copy_text(struct mgc_buf *out, json_t *value, size_t limit)
{
    size_t n = json_string_length(value);
    mgc_buf_init(out, limit);
    return n > 0 && n <= limit ? mgc_buf_append(out, json_string_value(value), n) : MGC_OK;
}

/* In an answer claims are JSON as it is, not in base64 (FACTS 6.4). */
static mgc_code copy_claims(struct mgc_buf *out, json_t *value)
{
    mgc_code rc = copy_text(out, value, MGC_CLAIMS_MAX);
    if (rc == MGC_OK && !mgc_claims_are_valid(mgc_buf_text(out), out->len))
        mgc_buf_clear(out);
    return rc;
}

static bool has_code(json_t *document, json_int_t code)
{
    json_t *codes = json_object_get(document, "error_codes"), *one;
    size_t  i;
    json_array_foreach(codes, i, one) if (json_integer_value(one) == code) return true;
    return false;
}

/* OAuth's words; or those of the hosts of managed identities, which say {"error":{"code","message"}} or
 * {"statusCode","message"}. Whether there is a refusal at all. */
static bool read_refusal(struct mgc_token_answer *out, json_t *document)
{
    json_t    *error = json_object_get(document, "error");
    json_t    *text  = json_object_get(document, "error_description");
    const bool plain = json_is_integer(json_object_get(document, "statusCode"));
    if (json_is_object(error)) {
        text  = json_object_get(error, "message");
        error = json_object_get(error, "code");
    } else if (plain) {
        text = json_object_get(document, "message");
    }
    copy_line(out->error, sizeof out->error, error);
    copy_line(out->text, sizeof out->text, text);
    return out->error[0] != '\0' || (plain && out->text[0] != '\0');
}

static mgc_code read_document(struct mgc_token_answer *out, json_t *document)
{
    const bool refused = read_refusal(out, document);
    copy_line(out->suberror, sizeof out->suberror, json_object_get(document, "suberror"));
    out->clock_wrong  = has_code(document, CLOCK_WRONG);
    out->life_s       = seconds(document, "expires_in", LIFE_MAX_S);
    out->refresh_s    = seconds(document, "refresh_in", LIFE_MAX_S);
    out->expires_on_s = seconds(document, "expires_on", DATE_MAX_S);
    mgc_code rc       = take_secret(&out->access_token, document, "access_token");
    if (rc == MGC_OK)
        rc = take_secret(&out->refresh_token, document, "refresh_token");
    if (rc == MGC_OK)
        rc = take_secret(&out->id_token, document, "id_token");
    if (rc == MGC_OK)
        rc = copy_text(&out->scope, json_object_get(document, "scope"), SCOPE_MAX);
    if (rc == MGC_OK)
        rc = copy_claims(&out->claims, json_object_get(document, "claims"));
    if (rc == MGC_OK && out->access_token.text == NULL && !refused)
        rc = MGC_EANSWER;
    return rc;
}

mgc_code mgc_answer_read(struct mgc_token_answer *out, const char *json, size_t n)
{
    struct mgc_token_answer a        = {0};
    json_t                 *document = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
    mgc_code                rc       = document != NULL ? read_document(&a, document) : MGC_EANSWER;
    json_decref(document);
    if (rc != MGC_OK)
        mgc_answer_clear(&a);
    else
        *out = a;
    return rc;
}
