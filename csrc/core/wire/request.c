/* csrc/core/wire/request.c - see request.h. */
#include "core/wire/request.h"

#include "core/base/headers.h"
#include "core/base/mem.h"
#include "core/base/url.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* ---- what a caller may ask for ------------------------------------------------------------- */

static bool is_method(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n <= MGC_METHOD_MAX && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == n;
}

/* RFC 9110 9.2.2; PATCH too, because Graph's sets properties to values (design/client.md 1). */
static bool method_is_idempotent(const char *method)
{
    static const char *const safe[] = {"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"};
    for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++)
        if (strcmp(method, safe[i]) == 0)
            return true;
    return false;
}

static bool header_is(const struct mgc_header *h, const char *name)
{
    return h->name_len == strlen(name) && strncasecmp(h->name, name, h->name_len) == 0;
}

static const struct mgc_header *find(const struct mgc_request_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_headers; i++)
        if (header_is(&spec->headers[i], name))
            return &spec->headers[i];
    return NULL;
}

/* These belong to the client and the connection: a caller's copy could only do harm. */
static const char *const reserved[] = {"Authorization", "Host",       "Content-Length",
                                       "Expect",        "Connection", "Transfer-Encoding"};

static mgc_code check(const struct mgc_request_spec *spec, struct mgc_error *e)
{
    if (!is_method(spec->method))
        return mgc_error_set(e, MGC_EREQUEST, "the method must be 1 to %d upper case letters",
                             MGC_METHOD_MAX);
    if (spec->body != NULL && strcmp(spec->method, "HEAD") == 0)
        return mgc_error_set(e, MGC_EREQUEST, "HEAD has no body");
    for (size_t i = 0; i < spec->n_headers; i++) {
        const struct mgc_header *h = &spec->headers[i];
        if (!mgc_header_is_valid(h->name, h->name_len, h->value, h->value_len))
            return mgc_error_set(e, MGC_EREQUEST,
                                 "header %zu has characters that no header may have", i + 1);
    }
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (find(spec, reserved[i]) != NULL && !(i == 0 && spec->authorised))
            return mgc_error_set(e, MGC_EREQUEST, "the header %s is set by the client itself",
                                 reserved[i]);
    return MGC_OK;
}

/* ---- one block of memory: struct, list nodes, text, body ------------------------------------ */

static const char id_header[] = "client-request-id";

struct layout {
    size_t lines;      /* header lines beside Authorization */
    size_t text_bytes; /* of those lines, each with its NUL */
};

struct writer {
    struct curl_slist *node; /* the next free one */
    char              *text; /* the next free byte */
};

static void put(struct writer *w, const char *bytes, size_t n)
{
    if (n > 0)
        memcpy(w->text, bytes, n);
    w->text += n;
}

/* One header line. libcurl reads "Name;" as a header without a value (CURLOPT_HTTPHEADER). */
static void put_line(struct writer *w, const char *name, size_t name_len, const char *value,
                     size_t value_len)
{
    *w->node = (struct curl_slist){.data = w->text, .next = w->node + 1};
    w->node++;
    put(w, name, name_len);
    put(w, value_len > 0 ? ": " : ";", value_len > 0 ? 2 : 1);
    put(w, value, value_len);
    put(w, "", 1);
}

static size_t line_bytes(size_t name_len, size_t value_len)
{
    return name_len + 2 + value_len + 1;
}

/* What is sent unless the caller brings his own: name, value. */
struct standing {
    const char *name, *value;
};

static size_t standing_headers(const struct mgc_request_spec *spec, const char *id,
                               struct standing out[4])
{
    static const char priority[] = "x-ms-throttle-priority"; /* FACTS 4 */
    size_t            n          = 0;
    if (find(spec, "Accept") == NULL)
        out[n++] = (struct standing){"Accept", "application/json"};
    if (find(spec, id_header) == NULL)
        out[n++] = (struct standing){id_header, id};
    if (spec->level != MGC_NORMAL && find(spec, priority) == NULL)
        out[n++] = (struct standing){priority, spec->level == MGC_HIGH ? "High" : "Low"};
    if (spec->body != NULL)
        return n;
    /* Without a body, libcurl is told "GET" with another method: one write instead of two on
     * HTTP/2, and no Expect nor Content-Type to take out again. Graph wants the length (FACTS 1). */
    if (strcmp(spec->method, "POST") == 0 || strcmp(spec->method, "PUT") == 0 ||
        strcmp(spec->method, "PATCH") == 0)
        out[n++] = (struct standing){"Content-Length", "0"};
    return n;
}

static size_t count_bytes(const struct mgc_request_spec *spec, const struct standing *s, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += line_bytes(strlen(s[i].name), strlen(s[i].value));
    for (size_t i = 0; i < spec->n_headers; i++)
        bytes += line_bytes(spec->headers[i].name_len, spec->headers[i].value_len);
    return bytes;
}

static struct mgc_request *pack(const struct mgc_request_spec *spec, const struct mgc_buf *url,
                                const struct standing *s, size_t n)
{
    /* libcurl would ask for a 100-continue and guess a type: with a body both are taken out */
    const bool   typed = find(spec, "Content-Type") != NULL;
    const size_t extra = spec->body == NULL ? 0 : typed ? 1 : 2;
    const size_t nodes = 1 + n + spec->n_headers + extra;
    const size_t text  = count_bytes(spec, s, n) + sizeof "Expect:" + sizeof "Content-Type:";
    const size_t size  = sizeof(struct mgc_request) + nodes * sizeof(struct curl_slist) + text +
                        url->len + 1 + spec->body_len;
    struct mgc_request *r = mgc_malloc(size);
    if (r == NULL)
        return NULL;
    *r = (struct mgc_request){.headers = (struct curl_slist *)(void *)(r + 1), .size = size};
    *r->headers = (struct curl_slist){.data = NULL, .next = r->headers + 1};

    struct writer w = {.node = r->headers + 1, .text = (char *)(r->headers + nodes)};
    for (size_t i = 0; i < n; i++)
        put_line(&w, s[i].name, strlen(s[i].name), s[i].value, strlen(s[i].value));
    for (size_t i = 0; i < spec->n_headers; i++)
        put_line(&w, spec->headers[i].name, spec->headers[i].name_len, spec->headers[i].value,
                 spec->headers[i].value_len);
    for (size_t i = 0; i < extra; i++) {
        *w.node = (struct curl_slist){.data = w.text, .next = w.node + 1};
        w.node++;
        put(&w, i == 0 ? "Expect:" : "Content-Type:",
            i == 0 ? sizeof "Expect:" : sizeof "Content-Type:");
    }
    w.node[-1].next = NULL;

    r->url = w.text;
    put(&w, mgc_buf_text(url), url->len + 1);
    if (spec->body != NULL) {
        r->body     = w.text;
        r->body_len = spec->body_len;
        put(&w, spec->body, spec->body_len);
    }
    return r;
}

/* ---- the request ---------------------------------------------------------------------------- */

static void fill(struct mgc_request *r, const struct mgc_request_spec *spec,
                 const struct mgc_origin *origin, const char *id)
{
    memcpy(r->method, spec->method, strlen(spec->method) + 1);
    const struct mgc_header *theirs = find(spec, id_header);
    if (theirs == NULL)
        memcpy(r->client_request_id, id, MGC_UUID_LEN + 1);
    else if (theirs->value_len <= MGC_UUID_LEN)
        memcpy(r->client_request_id, theirs->value, theirs->value_len); /* the rest is zeroed */
    r->idempotent  = spec->repeat == MGC_BY_METHOD ? method_is_idempotent(spec->method)
                                                   : spec->repeat == MGC_IDEMPOTENT;
    r->once        = spec->once;
    r->level       = spec->level;
    r->deadline_ms = spec->deadline_ms > 0 ? spec->deadline_ms : MGC_DEADLINE_MS;
    r->max_body    = spec->max_body > 0 ? spec->max_body : origin->max_body;
}

mgc_code mgc_request_new(struct mgc_request **out, const struct mgc_request_spec *spec,
                         const struct mgc_origin *origin, struct mgc_uuid_pool *ids,
                         struct mgc_error *e)
{
    struct mgc_buf  url;
    struct standing standing[4];
    char            id[MGC_UUID_LEN + 1];
    mgc_code        rc = check(spec, e);
    if (rc != MGC_OK)
        return rc;
    rc = mgc_uuid_make(ids, id);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, "no random numbers");

    mgc_buf_init(&url, SIZE_MAX);
    rc = mgc_url_target(&url, origin->base, spec->target, spec->target_len, e);
    if (rc == MGC_OK) {
        size_t              n = standing_headers(spec, id, standing);
        struct mgc_request *r = pack(spec, &url, standing, n);
        if (r != NULL) {
            fill(r, spec, origin, id);
            *out = r;
        } else {
            rc = mgc_error_set(e, MGC_ENOMEM, NULL);
        }
    }
    mgc_buf_clear(&url);
    return rc;
}

void mgc_request_free(struct mgc_request *r)
{
    if (r != NULL)
        mgc_wipe(r, r->size);
    mgc_free(r);
}
