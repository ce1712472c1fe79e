/* csrc/core/origin.h - where requests may go, and the right to speak to it.
 *
 * One host, the credential for it, and how a connection to it is made. The credential's token leaves
 * only in the Authorization header of a request to this very origin.
 *
 * Ownership: counted. mgc_origin_new() gives you one reference; each request under way holds
 *            its own, so closing a client can not pull the token from under one.
 */
#ifndef MGC_ORIGIN_H
#define MGC_ORIGIN_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mgc_http { MGC_HTTP_DEFAULT, MGC_HTTP_1_1, MGC_HTTP_2 } mgc_http;

struct mgc_credential;  /* identity/credential.h */
struct mgc_shared_gate; /* gates.h */

/* Zero or NULL stands for the default of each. Limits and sources: design/client.md 7. */
struct mgc_origin_options {
    const char            *endpoint; /* "https://host[:port]" */
    size_t                 endpoint_len;
    struct mgc_credential *credential;    /* one more reference is taken; NULL: no token is sent */
    const char            *ca_file;       /* PEM bundle; default: the system's authorities */
    mgc_http               http;          /* default: mgc_wire_default_http() */
    int64_t                connect_ms;    /* DNS, TCP and TLS together; default 10,000 */
    int64_t                first_byte_ms; /* connected until the answer begins; default 60,000 */
    int64_t                stall_ms;      /* silence within an answer; default 20,000 */
    size_t                 max_body;      /* bytes of an answer; default 64 MiB */
    const char            *shared_gate;   /* gates.h's file; default: none */
    bool        metadata;   /* an endpoint of this machine's own: see below; no credential */
    const char *thumbprint; /* of a metadata endpoint: 40 hex digits, see below */
};

/* The metadata endpoint of a machine (managed identity) may speak plain http, which no other origin may: it
 * is on this machine or one hop away, and where it is was said by the system, not by a caller. It is
 * sent no bearer token, and never through a proxy.
 *
 * One that has a certificate nobody vouches for is known by its thumbprint: the SHA-1 of the DER certificate.
 * Then that very certificate is what it must show, instead of a chain and a name. Nothing else switches
 * verification off. */
enum { MGC_THUMBPRINT = 20 };

struct mgc_origin {
    unsigned                references;
    uint64_t                serial; /* no other origin of this process has it */
    char                   *base;   /* "https://host[:port]", or "http://..." where that may be */
    char                   *ca_file;
    mgc_http                http; /* never MGC_HTTP_DEFAULT */
    int64_t                 connect_ms, first_byte_ms, stall_ms;
    size_t                  max_body;
    struct mgc_credential  *credential; /* or NULL */
    bool                    metadata, pinned;
    unsigned char           thumbprint[MGC_THUMBPRINT]; /* when pinned */
    int                     retry_budget;               /* policy/retry.h */
    struct mgc_shared_gate *gate;                       /* or NULL, where there is no credential */
};

/* MGC_EOPTION, with the option's name in `e`, or MGC_ENOMEM. */
mgc_code mgc_origin_new(struct mgc_origin **out, const struct mgc_origin_options *options,
                        struct mgc_error *e) MGC_NODISCARD;

/* From now on requests are sent with this credential's token; those under way go on with theirs. */
void mgc_origin_use(struct mgc_origin *o, struct mgc_credential *c);

struct mgc_origin *mgc_origin_ref(struct mgc_origin *o);   /* one more reference; returns o */
void               mgc_origin_unref(struct mgc_origin *o); /* the last one wipes; NULL is fine */

#endif
