/* csrc/core/identity/jwt_read.c - see jwt_read.h. */
#include "core/identity/jwt_read.h"

#include "core/base/buf.h"
#include "core/identity/base64.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#define LATEST_S INT64_C(253402300799) /* the year 9999 ends */

/* ---- fields ----------------------------------------------------------------------------------- */

/* No control character: neither ASCII's nor, in UTF-8, U+0080 to U+009F, which terminals obey too. */
static bool is_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i], next = (unsigned char)s[i + 1];
        if (c < ' ' || c == 0x7f || (c == 0xc2 && next < 0xa0))
            return false;
    }
    return true;
}

/* Adds a text, after a space if it is not the first, where it fits. */
static void add_text(char *out, size_t size, json_t *value)
{
    const size_t n = json_string_length(value), have = strlen(out), space = have > 0;
    if (n == 0 || n >= size - have - space || !is_plain(json_string_value(value), n))
        return;
    if (space)
        out[have] = ' ';
    memcpy(out + have + space, json_string_value(value), n + 1);
}

static void read_text(char *out, size_t size, json_t *document, const char *name)
{
    json_t *value = json_object_get(document, name), *one;
    size_t  i;
    add_text(out, size, value);
    json_array_foreach(value, i, one) add_text(out, size, one);
}

static int64_t read_time(json_t *document, const char *name)
{
    double s = json_number_value(json_object_get(document, name));
    return s > 0 && s <= (double)LATEST_S ? (int64_t)s : 0;
}

static void read_header(struct mgc_jwt_view *v, json_t *header)
{
    read_text(v->alg, sizeof v->alg, header, "alg");
    read_text(v->typ, sizeof v->typ, header, "typ");
    read_text(v->kid, sizeof v->kid, header, "kid");
}

static void read_payload(struct mgc_jwt_view *v, json_t *payload)
{
    read_text(v->name, sizeof v->name, payload, "name");
    read_text(v->username, sizeof v->username, payload, "preferred_username");
    if (v->username[0] == '\0')
        read_text(v->username, sizeof v->username, payload, "upn");
    read_text(v->oid, sizeof v->oid, payload, "oid");
    read_text(v->tid, sizeof v->tid, payload, "tid");
    read_text(v->aud, sizeof v->aud, payload, "aud");
    read_text(v->scp, sizeof v->scp, payload, "scp");
    read_text(v->roles, sizeof v->roles, payload, "roles");
    read_text(v->iss, sizeof v->iss, payload, "iss");
    read_text(v->app_displayname, sizeof v->app_displayname, payload, "app_displayname");
    read_text(v->appid, sizeof v->appid, payload, "appid");
    if (v->appid[0] == '\0')
        read_text(v->appid, sizeof v->appid, payload, "azp");
    v->exp = read_time(payload, "exp");
    v->iat = read_time(payload, "iat");
}

/* ---- parts ------------------------------------------------------------------------------------ */

/* The JSON object of one part; NULL with the reason in `rc`. */
static json_t *read_part(const char *text, size_t n, mgc_code *rc)
{
    struct mgc_buf json;
    mgc_buf_init(&json, MGC_JWT_MAX);
    json_t *document = NULL;
    *rc              = mgc_base64url_decode(&json, text, n);
    if (*rc == MGC_OK)
        document = json_loadb(mgc_buf_text(&json), json.len, JSON_REJECT_DUPLICATES, NULL);
    if (*rc == MGC_OK && !json_is_object(document))
        *rc = MGC_EANSWER;
    mgc_buf_clear(&json);
    if (*rc == MGC_OK)
        return document;
    json_decref(document);
    return NULL;
}

/* The signature is not looked at, but has to be one part of the right characters. */
static mgc_code check_signature(const char *text, size_t n)
{
    struct mgc_buf bytes;
    mgc_buf_init(&bytes, MGC_JWT_MAX);
    mgc_code rc = mgc_base64url_decode(&bytes, text, n);
    mgc_buf_clear(&bytes);
    return rc;
}

mgc_code mgc_jwt_read(const char *text, size_t n, struct mgc_jwt_view *out)
{
    struct mgc_jwt_view v     = {0};
    const char *const   end   = text + n;
    const char         *first = n <= MGC_JWT_MAX ? memchr(text, '.', n) : NULL;
    const char *second = first != NULL ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (second == NULL)
        return MGC_EANSWER;
    mgc_code rc = check_signature(second + 1, (size_t)(end - second - 1));
    if (rc != MGC_OK)
        return rc;
    json_t *header  = read_part(text, (size_t)(first - text), &rc);
    json_t *payload = rc == MGC_OK ? read_part(first + 1, (size_t)(second - first - 1), &rc) : NULL;
    if (rc == MGC_OK) {
        read_header(&v, header);
        read_payload(&v, payload);
        rc = v.alg[0] != '\0' ? MGC_OK : MGC_EANSWER;
    }
    json_decref(header);
    json_decref(payload);
    if (rc == MGC_OK)
        *out = v;
    return rc;
}
