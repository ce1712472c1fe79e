/* csrc/core/identity/credential.c - see credential.h: what it holds. What it asks for is in fetch.c,
 * what it gets in settle.c. */
#include "core/identity/credential.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/url.h"
#include "core/identity/credential_priv.h"
#include "core/wire/global.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    LOGIN_CONNECT_MS  = 5 * 1000,
    LOGIN_DEADLINE_MS = 30 * 1000,
    ANSWER_MAX        = 256 * 1024,
    CLAIMS_MAX        = 8 * 1024,
    ADOPT_MIN_S       = 300, /* a stored token that lives no longer is not worth taking over, */
    ADOPT_MAX_S       = 30 * 24 * 3600 /* one that lives so long is none we wrote */
};

/* ---- making ------------------------------------------------------------------------------------ */

static mgc_code set_secret(struct mgc_secret *out, const char *text)
{
    return text == NULL ? MGC_OK : mgc_secret_set(out, "", text, strlen(text));
}

static mgc_code set_path(struct mgc_credential *c, const char *tenant, struct mgc_error *e)
{
    static const char end[] = "/oauth2/v2.0/";
    const size_t      n     = strlen(tenant);
    const char       *fault = mgc_url_segment_fault(tenant, n);
    if (fault != NULL)
        return mgc_error_set(e, MGC_EOPTION, "tenant_id: it %s", fault);
    c->tenant_path = mgc_malloc(1 + 3 * n + sizeof end);
    if (c->tenant_path == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    c->tenant_path[0] = '/';
    size_t len        = 1 + mgc_url_escape(c->tenant_path + 1, tenant, n);
    memcpy(c->tenant_path + len, end, sizeof end);
    return MGC_OK;
}

/* Which options each grant can not do without. */
static const char *missing(const struct mgc_credential_options *o)
{
    const bool proven = o->proof.client_secret != NULL || o->proof.certificate != NULL ||
                        o->proof.assertion_file != NULL;
    if (o->authority == NULL)
        return "authority";
    if (o->tenant == NULL)
        return "tenant_id";
    if (o->proof.client_id == NULL || *o->proof.client_id == '\0')
        return "client_id";
    if (o->scope == NULL)
        return "scope";
    if (o->grant == MGC_ON_BEHALF_OF && o->assertion == NULL)
        return "assertion";
    if (o->grant != MGC_REFRESH && !proven)
        return "client_secret, certificate or assertion_file";
    return NULL;
}

static mgc_code set_texts(struct mgc_credential *c, const struct mgc_credential_options *o,
                          struct mgc_error *e)
{
    mgc_code rc = mgc_copy_text(&c->scope, o->scope) && mgc_copy_text(&c->tenant, o->tenant)
                      ? MGC_OK
                      : MGC_ENOMEM;
    if (rc == MGC_OK)
        rc = set_secret(&c->refresh_token, o->refresh_token);
    if (rc == MGC_OK)
        rc = set_secret(&c->assertion, o->assertion);
    return rc == MGC_OK ? MGC_OK : mgc_error_set(e, rc, NULL);
}

static mgc_code set_login(struct mgc_credential *c, const struct mgc_credential_options *o,
                          struct mgc_error *e)
{
    const struct mgc_origin_options login = {.endpoint      = o->authority,
                                             .endpoint_len  = strlen(o->authority),
                                             .ca_file       = o->ca_file,
                                             .http          = MGC_HTTP_1_1,
                                             .connect_ms    = LOGIN_CONNECT_MS,
                                             .first_byte_ms = LOGIN_DEADLINE_MS,
                                             .max_body      = ANSWER_MAX};
    mgc_code                        rc    = mgc_origin_new(&c->login, &login, e);
    if (rc == MGC_EOPTION) { /* its "endpoint" is our "authority" */
        const char      *why  = strstr(e->message, "endpoint: ");
        struct mgc_error said = *e;
        if (why != NULL)
            mgc_error_set(e, rc, "authority: %s", strstr(said.message, "endpoint: ") + 10);
    }
    return rc;
}

static struct mgc_credential *blank(mgc_grant grant)
{
    struct mgc_credential *c = mgc_calloc(sizeof *c);
    if (c != NULL) {
        c->references     = 1;
        c->grant          = grant;
        c->renew_again_ms = MGC_RENEW_AGAIN_MS;
        mgc_buf_init(&c->claims, CLAIMS_MAX);
    }
    return c;
}

static mgc_code set_managed(struct mgc_credential *c, const struct mgc_credential_options *o,
                            struct mgc_error *e)
{
    mgc_code rc = mgc_managed_new(&c->managed, &o->managed, e);
    if (rc == MGC_OK)
        c->login = mgc_origin_ref(mgc_managed_origin(c->managed));
    return rc;
}

static mgc_code set_store(struct mgc_credential *c, struct mgc_store *store, struct mgc_error *e)
{
    bool news       = false;
    c->stored.store = mgc_store_ref(store);
    mgc_code rc     = mgc_stored_read(&c->stored, &news, e);
    if (rc == MGC_OK && mgc_credential_adopt(c, mgc_now_ms()) != MGC_OK)
        rc = mgc_error_set(e, MGC_ENOMEM, NULL);
    return rc;
}

static mgc_code set_client(struct mgc_credential *c, const struct mgc_credential_options *o,
                           struct mgc_error *e)
{
    const char *name = missing(o);
    if (name != NULL)
        return mgc_error_set(e, MGC_EOPTION, "%s is missing", name);
    mgc_code rc = set_path(c, o->tenant, e);
    if (rc == MGC_OK)
        rc = set_texts(c, o, e);
    if (rc == MGC_OK)
        rc = set_login(c, o, e);
    if (rc == MGC_OK)
        rc = mgc_proof_set(&c->proof, &o->proof, e);
    if (rc == MGC_OK && o->store != NULL)
        rc = set_store(c, o->store, e);
    return rc;
}

/* The app and its tenant; a managed identity by whichever id it goes, or the host's own. */
static uint64_t quota_of(const struct mgc_credential_options *o)
{
    const struct mgc_managed_options *m       = &o->managed;
    const char *const                 names[] = {
                        o->tenant,    o->proof.client_id, m->host,        m->endpoint,
                        m->client_id, m->object_id,       m->resource_id,
    };
    uint64_t quota = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        quota = quota * 31 + (names[i] != NULL ? mgc_resource_of(names[i], strlen(names[i])) : 1);
    return quota != 0 ? quota : 1;
}

mgc_code mgc_credential_new(struct mgc_credential **out, const struct mgc_credential_options *o,
                            struct mgc_error *e)
{
    struct mgc_credential *c = blank(o->grant);
    if (c == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    mgc_code rc = (o->grant == MGC_MANAGED_IDENTITY ? set_managed : set_client)(c, o, e);
    if (rc != MGC_OK) {
        mgc_credential_unref(c);
        return rc;
    }
    c->quota = quota_of(o);
    *out     = c;
    return MGC_OK;
}

mgc_code mgc_credential_given(struct mgc_credential **out, const char *token, size_t n,
                              struct mgc_error *e)
{
    struct mgc_credential *c = blank(MGC_GIVEN);
    if (c == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    mgc_code rc = mgc_credential_give(c, token, n, 0, e);
    if (rc != MGC_OK) {
        mgc_credential_unref(c);
        return rc;
    }
    *out = c;
    return MGC_OK;
}

struct mgc_credential *mgc_credential_ref(struct mgc_credential *c)
{
    c->references++;
    return c;
}

void mgc_credential_unref(struct mgc_credential *c)
{
    if (c == NULL || --c->references > 0)
        return;
    mgc_token_unref(c->token);
    mgc_secret_clear(&c->refresh_token);
    mgc_secret_clear(&c->assertion);
    mgc_secret_clear(&c->device_code);
    mgc_secret_clear(&c->code);
    mgc_secret_clear(&c->verifier);
    mgc_proof_clear(&c->proof);
    mgc_stored_clear(&c->stored);
    mgc_buf_clear(&c->claims);
    mgc_managed_free(c->managed);
    mgc_origin_unref(c->login);
    mgc_free(c->redirect_uri);
    mgc_free(c->scope);
    mgc_free(c->tenant);
    mgc_free(c->tenant_path);
    mgc_free(c);
}

/* ---- the token it has -------------------------------------------------------------------------- */

double mgc_credential_jitter(void)
{
    unsigned char byte = 128;
    ssize_t       n    = getrandom(&byte, 1, GRND_NONBLOCK);
    return n == 1 ? byte / 256.0 : 0.5;
}

mgc_code mgc_credential_set_token(struct mgc_credential *c, const char *text, size_t n,
                                  int64_t received_ms, int64_t life_ms, int64_t refresh_ms)
{
    struct mgc_token *t = NULL;
    mgc_code          rc =
        mgc_token_new(&t, text, n, received_ms, life_ms, refresh_ms, mgc_credential_jitter());
    if (rc != MGC_OK)
        return rc;
    mgc_token_unref(c->token);
    c->token = t;
    return MGC_OK;
}

mgc_code mgc_credential_adopt(struct mgc_credential *c, int64_t now_ms)
{
    struct mgc_sign_in *in     = &c->stored.in;
    const int64_t       left_s = in->expires_s - ((int64_t)time(NULL) + c->offset_s);
    mgc_code            rc     = set_secret(&c->refresh_token, in->refresh_token.text);
    if (in->refresh_token.text == NULL) /* signed out */
        mgc_secret_clear(&c->refresh_token);
    mgc_token_unref(c->token);
    c->token        = NULL;
    c->needs_user   = false;
    c->next_try_ms  = 0;
    c->failure.code = MGC_OK;
    if (rc == MGC_OK && in->access_token.text != NULL && left_s > ADOPT_MIN_S &&
        left_s < ADOPT_MAX_S) {
        rc = mgc_credential_set_token(c, in->access_token.text, in->access_token.len, now_ms,
                                      left_s * 1000, 0);
        if (rc == MGC_OK)
            c->token->adopted = c->served = true;
    }
    if (rc != MGC_OK)
        in->generation = 0;
    return rc;
}

mgc_code mgc_credential_give(struct mgc_credential *c, const char *token, size_t n, int64_t life_ms,
                             struct mgc_error *e)
{
    const char *fault = mgc_token_fault(token, n);
    if (fault != NULL)
        return mgc_error_set(e, MGC_EOPTION, "token: %s", fault);
    mgc_code rc = mgc_credential_set_token(c, token, n, mgc_now_ms(), life_ms, 0);
    return rc == MGC_OK ? MGC_OK : mgc_error_set(e, rc, NULL);
}

mgc_freshness mgc_credential_freshness(const struct mgc_credential *c, int64_t now_ms)
{
    return c->token != NULL ? mgc_token_freshness(c->token, now_ms) : MGC_STALE;
}

uint64_t mgc_credential_quota(const struct mgc_credential *c)
{
    const struct mgc_token *t = c->token;
    if (c->grant != MGC_GIVEN)
        return c->quota;
    return t != NULL ? mgc_resource_of(t->authorization.text, t->authorization.len) : 0;
}

struct mgc_token *mgc_credential_token(const struct mgc_credential *c, int64_t now_ms)
{
    return mgc_credential_freshness(c, now_ms) != MGC_STALE ? c->token : NULL;
}

bool mgc_credential_can_renew(const struct mgc_credential *c)
{
    return c->grant != MGC_GIVEN && (c->grant != MGC_REFRESH || c->refresh_token.text != NULL);
}

bool mgc_credential_wants(const struct mgc_credential *c, int64_t now_ms)
{
    const bool orphaned = c->fetching; /* the fetch is the parent's, and so is its next try */
    return mgc_credential_can_renew(c) && !mgc_credential_is_fetching(c) &&
           (orphaned || now_ms >= c->next_try_ms) &&
           mgc_credential_freshness(c, now_ms) != MGC_FRESH;
}

bool mgc_credential_is_fetching(const struct mgc_credential *c)
{
    return c->fetching && c->forks == mgc_global_forks();
}

bool mgc_credential_may_serve(const struct mgc_credential *c, int64_t until_ms)
{
    return mgc_credential_is_fetching(c) && c->next_try_ms < until_ms;
}

void mgc_credential_failure(const struct mgc_credential *c, struct mgc_error *e)
{
    if (c->grant == MGC_GIVEN)
        mgc_error_set(e, MGC_ETOKEN, "the token that was given has expired");
    else if (c->failure.code == MGC_OK) {
        mgc_error_set(e, MGC_ETOKEN, "nobody has signed in");
        snprintf(e->word, sizeof e->word, "signed_out");
    } else
        *e = c->failure;
}

void mgc_credential_want_claims(struct mgc_credential *c, const char *claims)
{
    mgc_buf_truncate(&c->claims, 0);
    c->claims_asked = false;
    if (claims != NULL && mgc_buf_append(&c->claims, claims, strlen(claims)) != MGC_OK)
        mgc_buf_truncate(&c->claims, 0); /* the next token is asked for without them */
}

bool mgc_credential_refused(struct mgc_credential *c, const struct mgc_token *t, const char *claims)
{
    if (c->grant == MGC_GIVEN)
        return false;
    if (c->token == t) { /* it may have been replaced meanwhile */
        mgc_token_unref(c->token);
        c->token       = NULL;
        c->next_try_ms = 0;
        mgc_credential_want_claims(c, claims);
    }
    return true;
}

int64_t mgc_credential_in_line_ms(const struct mgc_credential *c)
{
    return c->in_line ? c->next_try_ms : MGC_NEVER;
}

mgc_code mgc_credential_describe(const struct mgc_credential *c, struct mgc_jwt_view *out,
                                 int64_t *left_ms)
{
    const int64_t     now_ms = mgc_now_ms();
    struct mgc_token *t      = mgc_credential_token(c, now_ms);
    if (t == NULL)
        return MGC_EANSWER;
    *left_ms = t->stale_ms == MGC_NEVER ? MGC_NEVER : t->stale_ms - now_ms;
    return mgc_jwt_read(t->authorization.text + MGC_TOKEN_AT, t->authorization.len - MGC_TOKEN_AT,
                        out);
}

/* ---- users -------------------------------------------------------------------------------------- */

bool mgc_credential_needs_user(const struct mgc_credential *c, int64_t now_ms)
{
    return c->grant == MGC_REFRESH && mgc_credential_freshness(c, now_ms) == MGC_STALE &&
           (c->refresh_token.text == NULL || c->needs_user);
}

const struct mgc_prompt *mgc_credential_prompt(const struct mgc_credential *c)
{
    return c->device_code.text != NULL ? &c->prompt : NULL;
}

mgc_code mgc_credential_bring(struct mgc_credential *c, const char *code, const char *verifier,
                              const char *redirect_uri)
{
    char *uri = NULL;
    if (!mgc_copy_text(&uri, redirect_uri))
        return MGC_ENOMEM;
    mgc_free(c->redirect_uri);
    c->redirect_uri = uri;
    mgc_code rc     = set_secret(&c->verifier, verifier);
    return rc == MGC_OK ? set_secret(&c->code, code) : rc;
}
