/* spec/core/harness.h - what the tests of the transport share: one request, and what became of it. */
#ifndef HARNESS_H
#define HARNESS_H

#include "core/identity/credential.h"
#include "core/transport.h"

#include <string.h>

#define TOKEN "eyJhbGciOiJub25lIn0.c2VjcmV0LXNlY3JldC1zZWNyZXQ.Zm9vYmFy"

static inline struct mgc_origin_options origin_options(const char *endpoint, const char *ca_file)
{
    return (struct mgc_origin_options){
        .endpoint = endpoint, .endpoint_len = strlen(endpoint), .ca_file = ca_file};
}

/* An origin that sends TOKEN. */
static inline mgc_code new_origin(struct mgc_origin **out, const struct mgc_origin_options *o,
                                  struct mgc_error *e)
{
    struct mgc_origin_options with = *o;
    mgc_code                  rc = mgc_credential_given(&with.credential, TOKEN, strlen(TOKEN), e);
    if (rc == MGC_OK)
        rc = mgc_origin_new(out, &with, e);
    mgc_credential_unref(with.credential);
    return rc;
}

/* Sent once, unless a test takes that out again. */
static inline struct mgc_request_spec request(const char *method, const char *target)
{
    return (struct mgc_request_spec){
        .method = method, .target = target, .target_len = strlen(target), .once = true};
}

/* Steps until something is finished and takes it; NULL after ten seconds, or when step fails. */
static inline struct mgc_exchange *finish_one(struct mgc_transport *t)
{
    struct mgc_error e;
    int              finished = 0;
    for (int i = 0; i < 1000 && finished == 0; i++)
        if (mgc_transport_step(t, 10, &finished, &e) != MGC_OK)
            return NULL;
    return mgc_transport_take(t);
}

/* Sends one request to its end. NULL: refused, with the reason in `e`. */
static inline struct mgc_exchange *send_one(struct mgc_transport *t, struct mgc_origin *o,
                                            const struct mgc_request_spec *spec,
                                            struct mgc_error              *e)
{
    uint64_t id;
    return mgc_transport_submit(t, o, spec, &id, e) == MGC_OK ? finish_one(t) : NULL;
}

#endif
