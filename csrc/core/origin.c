/* csrc/core/origin.c - see origin.h. */
#include "core/origin.h"

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/url.h"
#include "core/gates.h"
#include "core/identity/credential.h"
#include "core/policy/retry.h"
#include "core/wire/global.h"
#include "core/wire/wire.h"

#include <ctype.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECT_MS    = 10 * 1000,
    FIRST_BYTE_MS = 60 * 1000,
    STALL_MS      = 20 * 1000,
    MAX_BODY      = 64 << 20
};

static atomic_uint_fast64_t serials; /* given out so far */

static mgc_code copy_text(char **out, const char *text)
{
    size_t n = strlen(text) + 1;
    *out     = mgc_malloc(n);
    if (*out == NULL)
        return MGC_ENOMEM;
    memcpy(*out, text, n);
    return MGC_OK;
}

static mgc_code set_ca_file(struct mgc_origin *o, const char *path, struct mgc_error *e)
{
    if (path == NULL)
        return MGC_OK;
    if (access(path, R_OK) != 0)
        return mgc_error_set(e, MGC_EOPTION, "ca_file: %s can not be read: %s", path,
                             strerror(errno));
    mgc_code rc = copy_text(&o->ca_file, path);
    return rc == MGC_OK ? MGC_OK : mgc_error_set(e, rc, NULL);
}

static mgc_code set_base(struct mgc_origin *o, const struct mgc_origin_options *options,
                         struct mgc_error *e)
{
    struct mgc_buf base;
    mgc_buf_init(&base, SIZE_MAX);
    mgc_code rc = (options->metadata ? mgc_url_metadata_origin : mgc_url_origin)(
        &base, options->endpoint, options->endpoint_len, e);
    if (rc == MGC_OK && copy_text(&o->base, mgc_buf_text(&base)) != MGC_OK)
        rc = mgc_error_set(e, MGC_ENOMEM, NULL);
    mgc_buf_clear(&base);
    return rc;
}

/* 40 hex digits, in any letter case. */
static bool read_thumbprint(unsigned char out[MGC_THUMBPRINT], const char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 2 * MGC_THUMBPRINT; i++) {
        const char *at = text[i] != '\0' ? strchr(digits, tolower((unsigned char)text[i])) : NULL;
        if (at == NULL)
            return false;
        out[i / 2] = (unsigned char)(out[i / 2] << 4 | (at - digits));
    }
    return text[2 * MGC_THUMBPRINT] == '\0';
}

static mgc_code set_metadata(struct mgc_origin *o, const struct mgc_origin_options *options,
                             struct mgc_error *e)
{
    o->metadata = options->metadata;
    o->pinned   = options->thumbprint != NULL;
    if (o->metadata && options->credential != NULL)
        return mgc_error_set(e, MGC_EOPTION, "endpoint: a metadata endpoint is sent no token");
    if (!o->pinned)
        return MGC_OK;
    if (!o->metadata || strncmp(o->base, "https:", 6) != 0)
        return mgc_error_set(e, MGC_EOPTION, "thumbprint: for a metadata endpoint with https only");
    if (!read_thumbprint(o->thumbprint, options->thumbprint))
        return mgc_error_set(e, MGC_EOPTION, "thumbprint: 40 hex digits are expected");
    return MGC_OK;
}

/* With it comes the gate for its quota. */
static mgc_code set_credential(struct mgc_origin *o, const struct mgc_origin_options *options,
                               struct mgc_error *e)
{
    struct mgc_credential *c = options->credential;
    if (c == NULL)
        return MGC_OK;
    o->credential = mgc_credential_ref(c);
    return mgc_shared_gate_get(&o->gate, o->base, mgc_credential_quota(c), options->shared_gate, e);
}

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value > 0 ? value : fallback;
}

mgc_code mgc_origin_new(struct mgc_origin **out, const struct mgc_origin_options *options,
                        struct mgc_error *e)
{
    struct mgc_origin *o = mgc_calloc(sizeof *o);
    if (o == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    o->references    = 1;
    o->serial        = atomic_fetch_add(&serials, 1) + 1;
    o->http          = options->http != MGC_HTTP_DEFAULT ? options->http : mgc_wire_default_http();
    o->connect_ms    = or_default(options->connect_ms, CONNECT_MS);
    o->first_byte_ms = or_default(options->first_byte_ms, FIRST_BYTE_MS);
    o->stall_ms      = or_default(options->stall_ms, STALL_MS);
    o->max_body      = options->max_body > 0 ? options->max_body : MAX_BODY;
    o->retry_budget  = MGC_RETRY_BUDGET;

    mgc_code rc =
        mgc_global_init(e); /* or libcurl's allocator would change under another thread's URL */
    if (rc == MGC_OK)
        rc = set_base(o, options, e);
    if (rc == MGC_OK)
        rc = set_ca_file(o, options->ca_file, e);
    if (rc == MGC_OK)
        rc = set_metadata(o, options, e);
    if (rc == MGC_OK)
        rc = set_credential(o, options, e);
    if (rc != MGC_OK) {
        mgc_origin_unref(o);
        return rc;
    }
    *out = o;
    return MGC_OK;
}

void mgc_origin_use(struct mgc_origin *o, struct mgc_credential *c)
{
    struct mgc_credential *before = o->credential;
    o->credential                 = mgc_credential_ref(c);
    mgc_credential_unref(before);
}

struct mgc_origin *mgc_origin_ref(struct mgc_origin *o)
{
    o->references++;
    return o;
}

void mgc_origin_unref(struct mgc_origin *o)
{
    if (o == NULL || --o->references > 0)
        return;
    mgc_credential_unref(o->credential);
    mgc_shared_gate_unref(o->gate);
    mgc_free(o->ca_file);
    mgc_free(o->base);
    mgc_free(o);
    mgc_global_forget();
}
