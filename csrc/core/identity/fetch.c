/* csrc/core/identity/fetch.c - see credential.h: its requests for tokens. What comes back is settle.c's. */
#include "core/base/clock.h"
#include "core/identity/claims.h"
#include "core/identity/credential.h"
#include "core/identity/credential_priv.h"
#include "core/identity/form.h"
#include "core/wire/global.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DEADLINE_MS = 30 * 1000 };

struct mgc_origin *mgc_credential_login(const struct mgc_credential *c)
{
    return c->login;
}

/* What a token is asked for with. */
static void add_grant(const struct mgc_credential *c, struct mgc_form *f)
{
    switch (c->grant) {
    case MGC_CLIENT_CREDENTIALS:
        mgc_form_add(f, "grant_type", "client_credentials");
        break;
    case MGC_REFRESH:
        mgc_form_add(f, "grant_type", "refresh_token");
        mgc_form_add(f, "refresh_token", c->refresh_token.text);
        break;
    case MGC_ON_BEHALF_OF:
        mgc_form_add(f, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
        mgc_form_add(f, "requested_token_use", "on_behalf_of");
        mgc_form_add(f, "assertion", c->assertion.text);
        break;
    case MGC_GIVEN:
    case MGC_MANAGED_IDENTITY: /* has no form */
        break;
    }
}

static void add_step(const struct mgc_credential *c, struct mgc_form *f)
{
    switch (c->step) {
    case MGC_RENEW:
        add_grant(c, f);
        break;
    case MGC_DEVICE_START:
        break;
    case MGC_DEVICE_POLL:
        mgc_form_add(f, "grant_type", "urn:ietf:params:oauth:grant-type:device_code");
        mgc_form_add(f, "device_code", c->device_code.text);
        break;
    case MGC_REDEEM:
        mgc_form_add(f, "grant_type", "authorization_code");
        mgc_form_add(f, "code", c->code.text);
        mgc_form_add(f, "code_verifier", c->verifier.text);
        mgc_form_add(f, "redirect_uri", c->redirect_uri);
        break;
    }
}

static mgc_code merge_claims(const struct mgc_credential *c, struct mgc_buf *out)
{
    /* we understand claims challenges, and say so (FACTS 6.4) */
    static const char capable[] = "{\"access_token\":{\"xms_cc\":{\"values\":[\"cp1\"]}}}";
    return mgc_claims_merge(capable, c->claims.len > 0 ? mgc_buf_text(&c->claims) : NULL, out);
}

mgc_code mgc_credential_claims(const struct mgc_credential *c, struct mgc_buf *out)
{
    return c->claims.len > 0 ? merge_claims(c, out) : MGC_OK;
}

static void add_claims(const struct mgc_credential *c, struct mgc_form *f)
{
    struct mgc_buf claims;
    mgc_buf_init(&claims, SIZE_MAX);
    mgc_code rc = c->step == MGC_DEVICE_START ? mgc_credential_claims(c, &claims)
                                              : merge_claims(c, &claims);
    if (rc != MGC_OK)
        f->rc = rc;
    if (claims.len > 0)
        mgc_form_add(f, "claims", mgc_buf_text(&claims));
    mgc_buf_clear(&claims);
}

static mgc_code fill(struct mgc_credential *c, struct mgc_form *f, const char *token_path,
                     struct mgc_uuid_pool *ids, struct mgc_error *e)
{
    struct mgc_buf audience;
    mgc_buf_init(&audience, SIZE_MAX);
    f->rc = mgc_buf_append(&audience, c->login->base, strlen(c->login->base));
    if (f->rc == MGC_OK)
        f->rc = mgc_buf_append(&audience, token_path, strlen(token_path));
    mgc_form_add(f, "scope", c->scope);
    add_claims(c, f);
    add_step(c, f);
    mgc_proof_add(&c->proof, f, mgc_buf_text(&audience), (int64_t)time(NULL) + c->offset_s, ids, e);
    mgc_buf_clear(&audience);
    return f->rc;
}

/* Path below the authority; the token endpoint's unless it is about a device code. */
static mgc_code path_of(const struct mgc_credential *c, mgc_step step, struct mgc_buf *path)
{
    const char *last = step == MGC_DEVICE_START ? "devicecode" : "token";
    mgc_code    rc   = mgc_buf_append(path, c->tenant_path, strlen(c->tenant_path));
    return rc == MGC_OK ? mgc_buf_append(path, last, strlen(last)) : rc;
}

static mgc_code make_request(struct mgc_credential *c, struct mgc_request **out,
                             struct mgc_uuid_pool *ids, struct mgc_error *e)
{
    static const struct mgc_header typed = {.name      = "Content-Type",
                                            .value     = "application/x-www-form-urlencoded",
                                            .name_len  = 12,
                                            .value_len = 33};
    struct mgc_form                form;
    struct mgc_buf                 path;
    mgc_form_init(&form);
    mgc_buf_init(&path, SIZE_MAX);
    mgc_code rc = path_of(c, c->step, &path);
    rc          = rc == MGC_OK ? fill(c, &form, mgc_buf_text(&path), ids, e)
                               : mgc_error_set(e, rc, "while a token was asked for");
    if (rc == MGC_OK) {
        const struct mgc_request_spec spec = {.method      = "POST",
                                              .target      = mgc_buf_text(&path),
                                              .target_len  = path.len,
                                              .headers     = &typed,
                                              .n_headers   = 1,
                                              .body        = mgc_buf_text(&form.text),
                                              .body_len    = form.text.len,
                                              .repeat      = MGC_IDEMPOTENT,
                                              .deadline_ms = DEADLINE_MS};
        rc                                 = mgc_request_new(out, &spec, c->login, ids, e);
    }
    mgc_form_clear(&form);
    mgc_buf_clear(&path);
    return rc;
}

static const char *comes_too_early(const struct mgc_credential *c, mgc_step step)
{
    if (step == MGC_DEVICE_POLL && c->device_code.text == NULL)
        return "there is no device code yet";
    if (step == MGC_REDEEM && c->code.text == NULL)
        return "there is no authorization code yet";
    if (step == MGC_RENEW && !mgc_credential_can_renew(c))
        return "nobody has signed in";
    return NULL;
}

mgc_code mgc_credential_repeat(struct mgc_credential *c, struct mgc_request **out,
                               struct mgc_uuid_pool *ids, struct mgc_error *e)
{
    mgc_code rc     = c->managed != NULL ? mgc_managed_begin(c->managed, out, ids, e)
                                         : make_request(c, out, ids, e);
    c->fetching     = rc == MGC_OK;
    c->claims_asked = true;
    c->began_ms     = mgc_now_ms();
    c->forks        = mgc_global_forks();
    if (rc != MGC_OK) {
        c->failure = *e;
        mgc_stored_leave(&c->stored);
    }
    return rc;
}

/* The turn to renew a sign-in that is shared. `*done`: somebody else has. */
static mgc_code take_turn(struct mgc_credential *c, bool *done, struct mgc_error *e)
{
    const int64_t now_ms = mgc_now_ms();
    bool          news   = false;
    mgc_code      rc     = mgc_stored_take(&c->stored, now_ms, &news, e);
    c->in_line           = rc == MGC_EBUSY;
    if (c->in_line) {
        c->next_try_ms = now_ms + MGC_STORED_AGAIN_MS;
        return rc;
    }
    if (rc == MGC_OK && news && mgc_credential_adopt(c, now_ms) != MGC_OK)
        rc = mgc_error_set(e, MGC_ENOMEM, NULL);
    if (rc == MGC_OK && !mgc_credential_can_renew(c)) {
        rc = mgc_error_set(e, MGC_ETOKEN, "the user has signed out");
        snprintf(e->word, sizeof e->word, "signed_out");
    }
    *done = rc == MGC_OK && mgc_credential_freshness(c, now_ms) == MGC_FRESH;
    if (rc != MGC_OK || *done)
        mgc_stored_leave(&c->stored);
    if (rc != MGC_OK) {
        c->failure     = *e;
        c->next_try_ms = now_ms + MGC_REFUSED_MS;
    }
    return rc;
}

mgc_code mgc_credential_begin(struct mgc_credential *c, mgc_step step, struct mgc_request **out,
                              struct mgc_uuid_pool *ids, struct mgc_error *e)
{
    const char *reason = comes_too_early(c, step);
    if (reason != NULL)
        return mgc_error_set(e, MGC_EREQUEST, "%s", reason);
    if (mgc_credential_is_fetching(c))
        return mgc_error_set(e, MGC_EREQUEST, "the credential is signing in already");
    c->step       = step;
    c->in_line    = false;
    c->tries      = 0; /* in a child of a fork the last fetch has no end */
    bool     done = false;
    mgc_code rc   = MGC_OK;
    *out          = NULL;
    if (c->managed != NULL)
        mgc_managed_reset(c->managed);
    if (step == MGC_RENEW && c->stored.store != NULL)
        rc = take_turn(c, &done, e);
    return rc != MGC_OK || done ? rc : mgc_credential_repeat(c, out, ids, e);
}

void mgc_credential_abandon(struct mgc_credential *c, mgc_code code)
{
    c->fetching = false;
    c->tries    = 0;
    if (c->managed != NULL)
        mgc_managed_reset(c->managed);
    mgc_error_set(&c->failure, code, "while a token was asked for");
    mgc_stored_leave(&c->stored);
}
