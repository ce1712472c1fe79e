/* csrc/core/identity/device.c - see device.h. */
#include "core/identity/device.h"

#include "core/base/mem.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LIFE_S = 15 * 60, LIFE_MAX_S = 24 * 3600, INTERVAL_S = 5, INTERVAL_MAX_S = 300 };

/* Bytes of the control character there, 0: it is none. Those beyond ASCII (U+0080 to U+009F) command terminals, too. */
static size_t control_at(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] < ' ' || at[0] == 0x7f)
        return 1;
    return at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0 ? 2 : 0;
}

/* False where there is none, or one that does not fit: half an address is none. */
static bool copy_clean(char *out, size_t size, json_t *value)
{
    const char *text = json_string_value(value);
    size_t      n    = json_string_length(value);
    if (n == 0 || n >= size)
        return false;
    memcpy(out, text, n + 1);
    for (size_t i = 0; i < n; i++)
        memset(out + i, ' ', control_at(text + i));
    return true;
}

/* A number, or a string of one, as some issuers send. */
static int64_t seconds(json_t *value, int64_t missing, int64_t most)
{
    double s = json_is_string(value) ? strtod(json_string_value(value), NULL)
                                     : json_number_value(value);
    if (!(s > 0))
        return missing;
    return s < (double)most ? (int64_t)s : most;
}

static mgc_code read_document(struct mgc_prompt *out, struct mgc_secret *device_code, json_t *doc)
{
    json_t *code = json_object_get(doc, "device_code");
    json_t *uri  = json_object_get(doc, "verification_uri");
    if (uri == NULL)
        uri = json_object_get(doc, "verification_url"); /* as Entra's v1 and Google have it */
    if (!copy_clean(out->user_code, sizeof out->user_code, json_object_get(doc, "user_code")) ||
        !copy_clean(out->verification_uri, sizeof out->verification_uri, uri) ||
        json_string_length(code) == 0)
        return MGC_EANSWER;
    copy_clean(out->message, sizeof out->message, json_object_get(doc, "message"));
    out->life_s     = seconds(json_object_get(doc, "expires_in"), LIFE_S, LIFE_MAX_S);
    out->interval_s = seconds(json_object_get(doc, "interval"), INTERVAL_S, INTERVAL_MAX_S);

    char    *text = (char *)(uintptr_t)json_string_value(code);
    mgc_code rc   = mgc_secret_set(device_code, "", text, strlen(text));
    mgc_wipe(text, strlen(text));
    return rc;
}

mgc_code mgc_device_read(struct mgc_prompt *out, struct mgc_secret *device_code, const char *json,
                         size_t n)
{
    struct mgc_prompt p   = {0};
    json_t           *doc = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
    mgc_code          rc  = doc != NULL ? read_document(&p, device_code, doc) : MGC_EANSWER;
    json_decref(doc);
    if (rc == MGC_OK)
        *out = p;
    return rc;
}
