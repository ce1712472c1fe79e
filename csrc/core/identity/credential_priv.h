/* csrc/core/identity/credential_priv.h - what credential.c, fetch.c and settle.c share: for them only. */
#ifndef MGC_CREDENTIAL_PRIV_H
#define MGC_CREDENTIAL_PRIV_H

#include "core/identity/credential.h"
#include "core/identity/stored.h"

enum {
    MGC_RENEW_AGAIN_MS = 30 * 1000, /* after a renewal failed, doubling */
    MGC_REFUSED_MS     = 60 * 1000  /* a refusal is not asked for again so soon */
};

struct mgc_credential {
    unsigned           references;
    mgc_grant          grant;
    uint64_t           quota; /* mgc_credential_quota(), but of MGC_GIVEN */
    struct mgc_origin *login;
    char              *tenant, *tenant_path; /* "/{tenant}/oauth2/v2.0/" */
    char              *scope;
    struct mgc_proof   proof;
    struct mgc_secret  refresh_token, assertion;
    struct mgc_buf     claims; /* what a challenge wants of the next token, or empty */
    bool claims_asked; /* the request under way is the first that asks for them, or a later one */

    struct mgc_managed *managed; /* NULL: the authority is asked, not the host we run on */

    struct mgc_stored stored; /* of a user, shared with other processes; or nothing */

    struct mgc_prompt prompt;
    struct mgc_secret device_code, code, verifier;
    char             *redirect_uri;

    struct mgc_token *token; /* NULL: none yet, or refused */
    struct mgc_error  failure;
    mgc_step          step; /* of the fetch under way */
    bool              fetching, clock_mended, needs_user;
    bool              served;  /* it has had a token from where it signs in */
    bool              in_line; /* another process is at the store: begin again at next_try_ms */
    unsigned          forks;   /* when the fetch began: in a child it is not ours */
    int               tries;
    int64_t           next_try_ms, renew_again_ms, began_ms;
    int64_t           offset_s; /* the server's clock minus ours */
};

/* Replaces the token; see mgc_token_new(). */
mgc_code mgc_credential_set_token(struct mgc_credential *c, const char *text, size_t n,
                                  int64_t received_ms, int64_t life_ms,
                                  int64_t refresh_ms) MGC_NODISCARD;

/* A number in [0, 1), so that many processes do not do the same at the same moment. */
double mgc_credential_jitter(void);

mgc_freshness mgc_credential_freshness(const struct mgc_credential *c, int64_t now_ms);

/* Whether it can get a token without a user. */
bool mgc_credential_can_renew(const struct mgc_credential *c);

/* What the store holds becomes the credential's; what it had may have been another user's. MGC_ENOMEM: it is news
 * still, when it is read again. */
mgc_code mgc_credential_adopt(struct mgc_credential *c, int64_t now_ms) MGC_NODISCARD;

/* What the next token is asked for with; NULL: nothing more. */
void mgc_credential_want_claims(struct mgc_credential *c, const char *claims);

#endif
