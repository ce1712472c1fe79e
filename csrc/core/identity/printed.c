/* csrc/core/identity/printed.c - see printed.h. */
#include "core/identity/printed.h"

#include "core/base/mem.h"

#include <jansson.h>
#include <string.h>

enum { LIFE_MAX_S = 30 * 24 * 3600 };

/* "expires_on" is Unix time; az before 2.54 has only "expiresOn", in local time. 0: neither. */
static int64_t expiry(json_t *doc)
{
    const char *local = json_string_value(json_object_get(doc, "expiresOn"));
    json_t     *unix_ = json_object_get(doc, "expires_on");
    struct tm   tm    = {.tm_isdst = -1};
    if (json_is_integer(unix_))
        return json_integer_value(unix_);
    if (local == NULL || strptime(local, "%Y-%m-%d %H:%M:%S", &tm) == NULL)
        return 0;
    return (int64_t)mktime(&tm);
}

static mgc_code read_document(struct mgc_secret *token, int64_t *life_s, json_t *doc, time_t now)
{
    json_t *value = json_object_get(doc, "accessToken");
    size_t  n     = json_string_length(value);
    int64_t until = expiry(doc);
    if (n == 0 || until <= now || until - now > LIFE_MAX_S)
        return MGC_EANSWER;
    char    *text = (char *)(uintptr_t)json_string_value(value);
    mgc_code rc   = mgc_secret_set(token, "", text, n);
    mgc_wipe(text, n);
    *life_s = until - now;
    return rc;
}

mgc_code mgc_printed_read(struct mgc_secret *token, int64_t *life_s, const char *json, size_t n,
                          time_t now, struct mgc_error *e)
{
    json_t  *doc = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
    mgc_code rc  = doc != NULL ? read_document(token, life_s, doc, now) : MGC_EANSWER;
    json_decref(doc);
    return rc == MGC_OK ? MGC_OK
                        : mgc_error_set(e, rc, "the program printed no token that is good");
}
