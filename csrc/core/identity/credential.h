/* csrc/core/identity/credential.h - who we are, and the token that proves it.
 *
 * A credential knows one client (and maybe one user) at one authority, and keeps the current token. It does no
 * I/O: the transport asks it for a token, fetches when it wants one, and hands it the answer. Who needs a
 * token while one is fetched waits for that one: a credential never wants two at a time.
 *
 * A token that is AGING is renewed in the background; should that fail it goes on being used, and the next
 * try is 30 s later, doubling to 300 s (design/client.md 3).
 *
 * Ownership: counted, like origins. Secrets are wiped with the last reference.
 */
#ifndef MGC_CREDENTIAL_H
#define MGC_CREDENTIAL_H

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/identity/key.h"
#include "core/identity/token.h"
#include "core/origin.h"
#include "core/wire/attempt.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a token is asked for with (OAuth's grants)... */
typedef enum mgc_grant {
    MGC_GIVEN,
    MGC_CLIENT_CREDENTIALS,
    MGC_REFRESH,
    MGC_ON_BEHALF_OF
} mgc_grant;

/* Zero or NULL: not used. How the client proves itself follows from which one is there: a secret, a
 * certificate, an assertion file (workload identity), or none (public client). */
struct mgc_credential_options {
    mgc_grant   grant;
    const char *authority; /* "https://login.microsoftonline.com" */
    const char *tenant;    /* id or domain, or "organizations" */
    const char *client_id;
    const char *scope; /* "https://graph.microsoft.com/.default" */
    const char *client_secret;
    const char *certificate, *password; /* file; its password */
    bool        rs256;                  /* AD FS: RS256 and x5t instead of PS256 and x5t#S256 */
    const char *assertion_file;         /* read again for each request: it rotates */
    const char *refresh_token;          /* MGC_REFRESH */
    const char *assertion;              /* MGC_ON_BEHALF_OF: the token of the user we act for */
    const char *ca_file;                /* as the origin's */
};

/* MGC_EOPTION, naming the option; MGC_ENOMEM. */
mgc_code mgc_credential_new(struct mgc_credential              **out,
                            const struct mgc_credential_options *options,
                            struct mgc_error                    *e) MGC_NODISCARD;

/* One that has a token and can not get another. */
mgc_code mgc_credential_given(struct mgc_credential **out, const char *token, size_t n,
                              struct mgc_error *e) MGC_NODISCARD;

/* Replaces the token of a given one, good for `life_ms`; <= 0: for ever. MGC_EOPTION, MGC_ENOMEM. */
mgc_code mgc_credential_give(struct mgc_credential *c, const char *token, size_t n, int64_t life_ms,
                             struct mgc_error *e) MGC_NODISCARD;

struct mgc_credential *mgc_credential_ref(struct mgc_credential *c);
void                   mgc_credential_unref(struct mgc_credential *c); /* NULL is fine */

/* The token to send now, lent; NULL: there is none that is good. */
struct mgc_token *mgc_credential_token(const struct mgc_credential *c, int64_t now_ms);

/* Whether a fetch should be started now. */
bool mgc_credential_wants(const struct mgc_credential *c, int64_t now_ms);

/* Whether one is under way, for which it is worth waiting. */
bool mgc_credential_is_fetching(const struct mgc_credential *c);

/* Why there is no token, when none is there, wanted or under way. */
void mgc_credential_failure(const struct mgc_credential *c, struct mgc_error *e);

/* A token that was sent has been refused: it is not used again. False: there can be no other. */
bool mgc_credential_refused(struct mgc_credential *c, const struct mgc_token *t);

/* ---- fetching: what the transport does for it --------------------------------------------------- */

/* The login endpoint, as an origin that sends no token. NULL for a given credential. */
struct mgc_origin *mgc_credential_login(const struct mgc_credential *c);

/* The request for a token; from here on until mgc_credential_settle() it wants no other.
 * MGC_ENOMEM, MGC_EOPTION (an assertion file that can not be read), with the reason in `e`. */
mgc_code mgc_credential_begin(struct mgc_credential *c, struct mgc_request **out,
                              struct mgc_uuid_pool *ids, struct mgc_error *e) MGC_NODISCARD;

/* The request could not be sent at all. */
void mgc_credential_abandon(struct mgc_credential *c, mgc_code code);

/* Reads the answer. MGC_OK: there is a token now. Otherwise the error is in `e`, and `*again_ms` >= 0 says
 * that it is not final: begin again after that time. */
mgc_code mgc_credential_settle(struct mgc_credential *c, const struct mgc_attempt *a,
                               int64_t now_ms, int64_t *again_ms,
                               struct mgc_error *e) MGC_NODISCARD;

#endif
