/* csrc/core/identity/loopback.h - waits on 127.0.0.1 for the browser that brings the outcome of a sign-in (RFC 8252 7.3).
 *
 * Listens on a free port, registered as http://localhost whatever the port (FACTS 7.1). Not on ::1: a browser that
 * tries it first is refused there and comes to 127.0.0.1. No thread and no waiting: step() does what can be done at
 * once, and its caller sleeps in between.
 *
 * Only a redirect with this sign-in's state ends it. Everything else (a wrong state, garbage, another path, a connection
 * that says nothing) is answered or dropped, and the listener goes on: somebody else's page must not end a sign-in. At
 * most 8 connections at a time, 10 seconds and 16 KiB each.
 *
 * Ownership: the listener owns verifier, state and code; they are lent until mgc_loopback_free(), which wipes them, as
 *            every request's bytes are. The code is nobody's without the verifier, and neither leaves the core.
 */
#ifndef MGC_LOOPBACK_H
#define MGC_LOOPBACK_H

#include "core/base/secret.h"
#include "core/identity/pkce.h"

#include <stdint.h>

struct mgc_loopback;

typedef enum mgc_loopback_result {
    MGC_LOOPBACK_WAITING,
    MGC_LOOPBACK_CODE,   /* mgc_loopback_code() has it, and the browser its page */
    MGC_LOOPBACK_REFUSED /* mgc_loopback_error() says why: MGC_ETOKEN, OAuth's word in it */
} mgc_loopback_result;

mgc_code mgc_loopback_new(struct mgc_loopback **out, struct mgc_error *e) MGC_NODISCARD;
void     mgc_loopback_free(struct mgc_loopback *l);

unsigned mgc_loopback_port(const struct mgc_loopback *l);

/* What the sign-in page is asked for. Texts that are NULL are left out, all but the first three. */
struct mgc_loopback_ask {
    const char *authorize; /* "https://host/tenant/oauth2/v2.0/authorize" */
    const char *client_id, *scope;
    const char *prompt, *login_hint, *claims;
};

/* The URL to open, lent until the next call. MGC_EOPTION for an authorize URL that is none. */
mgc_code mgc_loopback_url(struct mgc_loopback *l, const char **out,
                          const struct mgc_loopback_ask *ask, struct mgc_error *e) MGC_NODISCARD;

/* Accepts, reads and answers whatever is there. MGC_ENOMEM: a code came and could not be kept; the browser is told to
 * load the page again. */
mgc_code mgc_loopback_step(struct mgc_loopback *l, int64_t now_ms,
                           struct mgc_error *e) MGC_NODISCARD;

mgc_loopback_result      mgc_loopback_get(const struct mgc_loopback *l);
const struct mgc_error  *mgc_loopback_error(const struct mgc_loopback *l);
const struct mgc_secret *mgc_loopback_code(const struct mgc_loopback *l);
const struct mgc_pkce   *mgc_loopback_pkce(const struct mgc_loopback *l); /* with the state */

/* What the token request must repeat: "http://localhost:PORT/". */
const char *mgc_loopback_redirect_uri(const struct mgc_loopback *l);

#endif
