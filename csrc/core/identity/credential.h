/* csrc/core/identity/credential.h - who we are, and the token that proves it.
 *
 * A credential knows one client (and maybe one user) at one authority, and keeps the current token. It does no
 * I/O: the transport asks it for a token, fetches when it wants one, and hands it the answer. Who needs a
 * token while one is fetched waits for that one: a credential never wants two at a time.
 *
 * A user signs in by steps, asked for one by one: a device code and questions whether the user is done with
 * it, or the authorization code that a browser brought. From then on there is a refresh token.
 *
 * A token that is AGING is renewed in the background; should that fail it goes on being used, and the next
 * try is 30 s later, doubling to 300 s (design/client.md 3). When its end comes before the end of an outage, whoever
 * needs the next one waits for it as long as his own deadline allows.
 *
 * A sign-in that is kept in a store is shared with other processes: whoever renews it does so for all, one at
 * a time, and the others take over what he got.
 *
 * Ownership: counted, like origins. Secrets are wiped with the last reference.
 */
#ifndef MGC_CREDENTIAL_H
#define MGC_CREDENTIAL_H

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/identity/device.h"
#include "core/identity/jwt_read.h"
#include "core/identity/managed.h"
#include "core/identity/proof.h"
#include "core/identity/store.h"
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
    MGC_REFRESH, /* without a refresh token, a user has to sign in first */
    MGC_ON_BEHALF_OF,
    MGC_MANAGED_IDENTITY
} mgc_grant;

/* ... and what one request to the authority is about. */
typedef enum mgc_step {
    MGC_RENEW,        /* a token, by the credential's own grant */
    MGC_DEVICE_START, /* a device code; then see mgc_credential_prompt() */
    MGC_DEVICE_POLL, /* is the user done? Refused with OAuth's "authorization_pending" until then */
    MGC_REDEEM       /* the authorization code of mgc_credential_bring() */
} mgc_step;

/* Zero or NULL: not used. */
struct mgc_credential_options {
    mgc_grant                grant;
    const char              *authority; /* "https://login.microsoftonline.com" */
    const char              *tenant;    /* id or domain, or "organizations" */
    const char              *scope;     /* "https://graph.microsoft.com/.default" */
    struct mgc_proof_options proof;
    const char              *refresh_token; /* MGC_REFRESH */
    struct mgc_store        *store;     /* MGC_REFRESH: kept there, one more reference is taken */
    const char              *assertion; /* MGC_ON_BEHALF_OF: the token of the user we act for */
    const char              *ca_file;   /* as the origin's */

    struct mgc_managed_options managed; /* MGC_MANAGED_IDENTITY, which needs nothing of the above */
};

/* MGC_EOPTION, naming the option; MGC_ESTORE; MGC_ENOMEM. */
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

/* Stands for the tenant and app whose quota its requests count against, as far as can be told: a token that was
 * given stands for itself. 0: it can not be told. */
uint64_t mgc_credential_quota(const struct mgc_credential *c);

/* The token to send now, lent; NULL: there is none that is good. */
struct mgc_token *mgc_credential_token(const struct mgc_credential *c, int64_t now_ms);

/* Whether a fetch should be started now. */
bool mgc_credential_wants(const struct mgc_credential *c, int64_t now_ms);

/* Whether one is under way, for which it is worth waiting. */
bool mgc_credential_is_fetching(const struct mgc_credential *c);

/* Whether one is under way that may bring a token before `until_ms`. */
bool mgc_credential_may_serve(const struct mgc_credential *c, int64_t until_ms);

/* When to begin again because another process is renewing the sign-in just now; MGC_NEVER: it is not. */
int64_t mgc_credential_in_line_ms(const struct mgc_credential *c);

/* Why there is no token, when none is there, wanted or under way. */
void mgc_credential_failure(const struct mgc_credential *c, struct mgc_error *e);

/* A token that was sent has been refused: it is not used again. `claims` (JSON, or NULL) is what the server
 * wants of the next one (FACTS 6.4). False: there can be no other. */
bool mgc_credential_refused(struct mgc_credential *c, const struct mgc_token *t,
                            const char *claims);

/* What its token says, for people to see. MGC_EANSWER: it has none, or one that is not to be read. */
mgc_code mgc_credential_describe(const struct mgc_credential *c, struct mgc_jwt_view *out,
                                 int64_t *left_ms) MGC_NODISCARD;

/* ---- users ------------------------------------------------------------------------------------- */

/* There will be no token before a user signs in: there is no refresh token, or it was refused. */
bool mgc_credential_needs_user(const struct mgc_credential *c, int64_t now_ms);

/* Appends the claims request (JSON) that a user has to be sent to the authority with: nothing unless a challenge wants
 * one. Of what we are capable of only token requests speak: elsewhere OpenID providers refuse claims that are about
 * the access token alone. MGC_ENOMEM. */
mgc_code mgc_credential_claims(const struct mgc_credential *c, struct mgc_buf *out) MGC_NODISCARD;

/* What MGC_DEVICE_START brought; NULL: nothing yet. */
const struct mgc_prompt *mgc_credential_prompt(const struct mgc_credential *c);

/* The code to redeem, with the verifier and the redirect URI it was asked for with (RFC 7636 4.5).
 * MGC_ENOMEM. */
mgc_code mgc_credential_bring(struct mgc_credential *c, const char *code, const char *verifier,
                              const char *redirect_uri) MGC_NODISCARD;

/* ---- fetching: what the transport does for it --------------------------------------------------- */

/* The login endpoint, as an origin that sends no token. NULL for a given credential. */
struct mgc_origin *mgc_credential_login(const struct mgc_credential *c);

/* The request for a step; from here on until mgc_credential_settle() it wants no other. `*out` is NULL when
 * another process has renewed meanwhile, so there is a token. MGC_EBUSY: one is at it, see above.
 * MGC_ENOMEM, MGC_EOPTION (an assertion file that can not be read), MGC_EREQUEST (a step that comes before the
 * one it needs), MGC_ESTORE, with the reason in `e`. */
mgc_code mgc_credential_begin(struct mgc_credential *c, mgc_step step, struct mgc_request **out,
                              struct mgc_uuid_pool *ids, struct mgc_error *e) MGC_NODISCARD;

/* The same request once more, after mgc_credential_settle() said so. */
mgc_code mgc_credential_repeat(struct mgc_credential *c, struct mgc_request **out,
                               struct mgc_uuid_pool *ids, struct mgc_error *e) MGC_NODISCARD;

/* The request could not be sent at all. */
void mgc_credential_abandon(struct mgc_credential *c, mgc_code code);

/* Reads the answer. MGC_OK: there is a token now, or a prompt. Otherwise the error is in `e`, and `*again_ms` >= 0 says
 * that it is not final: repeat it after that time. `awaited`: somebody waits for the token. */
mgc_code mgc_credential_settle(struct mgc_credential *c, const struct mgc_attempt *a,
                               int64_t now_ms, bool awaited, int64_t *again_ms,
                               struct mgc_error *e) MGC_NODISCARD;

#endif
