/* csrc/core/wire/request.h - a request as a value: method, URL, headers, body, may it be sent twice.
 *
 * Checked once, when it is made; what exists can be sent. Everything is copied into one
 * allocation, because ten thousand of these wait in a queue.
 */
#ifndef MGC_REQUEST_H
#define MGC_REQUEST_H

#include "core/base/error.h"
#include "core/base/uuid.h"
#include "core/origin.h"
#include "core/policy/throttle.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mgc_header {
    const char *name, *value;
    size_t      name_len, value_len;
};

/* What a caller asks for. Pointers are only read while mgc_request_new() runs. */
struct mgc_request_spec {
    const char              *method; /* "GET": upper case letters, at most MGC_METHOD_MAX */
    const char              *target; /* see url.h */
    size_t                   target_len;
    const struct mgc_header *headers;
    size_t                   n_headers;
    const char              *body; /* NULL: none */
    size_t                   body_len;
    enum { MGC_BY_METHOD, MGC_IDEMPOTENT, MGC_NOT_IDEMPOTENT } repeat;
    bool      authorised; /* Authorization is among the headers: for the core's own requests */
    bool      once;       /* no retries */
    mgc_level level; /* who goes first, here and at the service; not MGC_NORMAL: as a header, too */
    int64_t   deadline_ms; /* for the whole operation, from now; 0: MGC_DEADLINE_MS */
    size_t    max_body;    /* bytes of the answer; 0: the origin's */
};

enum { MGC_METHOD_MAX = 15, MGC_DEADLINE_MS = 120 * 1000 };

struct mgc_request {
    char        method[MGC_METHOD_MAX + 1];
    char        client_request_id[MGC_UUID_LEN + 1]; /* "" when the caller's is longer */
    bool        idempotent; /* sending it twice does what sending it once does */
    bool        once;       /* no retries */
    mgc_level   level;
    int64_t     deadline_ms;
    size_t      max_body;
    const char *url;
    const char *body; /* NULL: none */
    size_t      body_len;
    struct curl_slist
          *headers; /* first node: Authorization, its text lent by the attempt's token */
    size_t size;    /* of the whole block */
};

/* Makes the request, with a fresh client-request-id unless the headers bring one.
 * MGC_EREQUEST or MGC_EFOREIGN with the reason in `e`, MGC_ENOMEM. */
mgc_code mgc_request_new(struct mgc_request **out, const struct mgc_request_spec *spec,
                         const struct mgc_origin *origin, struct mgc_uuid_pool *ids,
                         struct mgc_error *e) MGC_NODISCARD;
void     mgc_request_free(struct mgc_request *r); /* wipes: bodies hold secrets; NULL is fine */

#endif
