/* csrc/core/identity/credential.c - see credential.h. */
#include "core/identity/credential.h"

#include "core/base/clock.h"
#include "core/base/headers.h"
#include "core/base/mem.h"
#include "core/base/url.h"
#include "core/identity/answer.h"
#include "core/identity/form.h"
#include "core/wire/global.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    LOGIN_CONNECT_MS   = 5 * 1000,
    LOGIN_DEADLINE_MS  = 30 * 1000,
    ANSWER_MAX         = 256 * 1024,
    TRIES              = 2, /* a token request that failed for a passing reason is sent once more */
    AGAIN_MS           = 1000,
    HINT_MAX_MS        = 30 * 1000,  /* a longer Retry-After is not waited for, but respected */
    REFUSED_MS         = 60 * 1000,  /* a refusal is not asked for again so soon */
    FOR_USER_MS        = 120 * 1000, /* nor one that only a user can mend */
    RENEW_AGAIN_MS     = 30 * 1000,
    RENEW_AGAIN_MAX_MS = 300 * 1000,
    CLAIMS_MAX         = 8 * 1024,
    OFFSET_MIN_S       = 2
};

struct mgc_credential {
    unsigned           references;
    mgc_grant          grant;
    struct mgc_origin *login;
    char              *tenant_path; /* "/{tenant}/oauth2/v2.0/" */
    char              *scope;
    struct mgc_proof   proof;
    struct mgc_secret  refresh_token, assertion;
    struct mgc_buf     claims; /* what a challenge wants of the next token, or empty */

    struct mgc_managed *managed; /* NULL: the authority is asked, not the host we run on */

    struct mgc_prompt prompt;
    struct mgc_secret device_code, code, verifier;
    char             *redirect_uri;

    struct mgc_token *token; /* NULL: none yet, or refused */
    struct mgc_error  failure;
    mgc_step          step; /* of the fetch under way */
    bool              fetching, clock_mended, needs_user;
    unsigned          forks; /* when the fetch began: in a child it is not ours */
    int               tries;
    int64_t           next_try_ms, renew_again_ms, began_ms;
    int64_t           offset_s; /* the server's clock minus ours */
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
    mgc_code rc = mgc_copy_text(&c->scope, o->scope) ? MGC_OK : MGC_ENOMEM;
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
        c->renew_again_ms = RENEW_AGAIN_MS;
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
    return rc;
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
    *out = c;
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
    mgc_buf_clear(&c->claims);
    mgc_managed_free(c->managed);
    mgc_origin_unref(c->login);
    mgc_free(c->redirect_uri);
    mgc_free(c->scope);
    mgc_free(c->tenant_path);
    mgc_free(c);
}

/* ---- the token it has -------------------------------------------------------------------------- */

static double draw_jitter(void)
{
    unsigned char byte = 128;
    ssize_t       n    = getrandom(&byte, 1, GRND_NONBLOCK);
    return n == 1 ? byte / 256.0 : 0.5;
}

static mgc_code set_token(struct mgc_credential *c, const char *text, size_t n, int64_t received_ms,
                          int64_t life_ms, int64_t refresh_ms)
{
    struct mgc_token *t = NULL;
    mgc_code rc = mgc_token_new(&t, text, n, received_ms, life_ms, refresh_ms, draw_jitter());
    if (rc != MGC_OK)
        return rc;
    mgc_token_unref(c->token);
    c->token = t;
    return MGC_OK;
}

mgc_code mgc_credential_give(struct mgc_credential *c, const char *token, size_t n, int64_t life_ms,
                             struct mgc_error *e)
{
    const char *fault = mgc_token_fault(token, n);
    if (fault != NULL)
        return mgc_error_set(e, MGC_EOPTION, "token: %s", fault);
    mgc_code rc = set_token(c, token, n, mgc_now_ms(), life_ms, 0);
    return rc == MGC_OK ? MGC_OK : mgc_error_set(e, rc, NULL);
}

static mgc_freshness freshness(const struct mgc_credential *c, int64_t now_ms)
{
    return c->token != NULL ? mgc_token_freshness(c->token, now_ms) : MGC_STALE;
}

struct mgc_token *mgc_credential_token(const struct mgc_credential *c, int64_t now_ms)
{
    return freshness(c, now_ms) != MGC_STALE ? c->token : NULL;
}

/* Whether it can get one without a user. */
static bool can_renew(const struct mgc_credential *c)
{
    return c->grant != MGC_GIVEN && (c->grant != MGC_REFRESH || c->refresh_token.text != NULL);
}

bool mgc_credential_wants(const struct mgc_credential *c, int64_t now_ms)
{
    return can_renew(c) && !mgc_credential_is_fetching(c) && now_ms >= c->next_try_ms &&
           freshness(c, now_ms) != MGC_FRESH;
}

bool mgc_credential_is_fetching(const struct mgc_credential *c)
{
    return c->fetching && c->forks == mgc_global_forks();
}

void mgc_credential_failure(const struct mgc_credential *c, struct mgc_error *e)
{
    if (c->grant == MGC_GIVEN)
        mgc_error_set(e, MGC_ETOKEN, "the token that was given has expired");
    else if (c->failure.code == MGC_OK)
        mgc_error_set(e, MGC_ETOKEN, "nobody has signed in");
    else
        *e = c->failure;
}

static void set_claims(struct mgc_credential *c, const char *claims)
{
    mgc_buf_truncate(&c->claims, 0);
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
        set_claims(c, claims);
    }
    return true;
}

/* ---- users -------------------------------------------------------------------------------------- */

bool mgc_credential_needs_user(const struct mgc_credential *c, int64_t now_ms)
{
    return c->grant == MGC_REFRESH && freshness(c, now_ms) == MGC_STALE &&
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

/* ---- asking for one ---------------------------------------------------------------------------- */

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

/* We understand claims challenges, and say so (FACTS 6.4). */
static void add_claims(const struct mgc_credential *c, struct mgc_form *f)
{
    static const char capable[] = "{\"access_token\":{\"xms_cc\":{\"values\":[\"cp1\"]}}}";
    mgc_form_add(f, "claims", c->claims.len > 0 ? mgc_buf_text(&c->claims) : capable);
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
                                              .deadline_ms = LOGIN_DEADLINE_MS};
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
    if (step == MGC_RENEW && !can_renew(c))
        return "nobody has signed in";
    return NULL;
}

mgc_code mgc_credential_repeat(struct mgc_credential *c, struct mgc_request **out,
                               struct mgc_uuid_pool *ids, struct mgc_error *e)
{
    mgc_code rc = c->managed != NULL ? mgc_managed_begin(c->managed, out, ids, e)
                                     : make_request(c, out, ids, e);
    c->fetching = rc == MGC_OK;
    c->began_ms = mgc_now_ms();
    c->forks    = mgc_global_forks();
    if (rc != MGC_OK)
        c->failure = *e;
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
    c->step = step;
    return mgc_credential_repeat(c, out, ids, e);
}

void mgc_credential_abandon(struct mgc_credential *c, mgc_code code)
{
    c->fetching = false;
    c->tries    = 0;
    if (c->managed != NULL)
        mgc_managed_reset(c->managed);
    mgc_error_set(&c->failure, code, "while a token was asked for");
}

/* ---- the answer --------------------------------------------------------------------------------- */

static void learn_clock(struct mgc_credential *c, const struct mgc_attempt *a)
{
    const char *date;
    size_t      n;
    char        text[64];
    if (!mgc_header_find(mgc_buf_text(&a->headers), a->headers.len, "Date", &date, &n) ||
        n >= sizeof text)
        return;
    memcpy(text, date, n);
    text[n]     = '\0';
    time_t then = curl_getdate(text, NULL);
    if (then == -1)
        return;
    int64_t offset = (int64_t)then - (int64_t)time(NULL);
    c->offset_s    = offset <= -OFFSET_MIN_S || offset >= OFFSET_MIN_S ? offset : 0;
}

static mgc_code take_token(struct mgc_credential *c, const struct mgc_token_answer *t,
                           struct mgc_error *e)
{
    const char *fault = mgc_token_fault(t->access_token.text, t->access_token.len);
    if (fault != NULL)
        return mgc_error_set(e, MGC_EANSWER, "the access token: %s", fault);
    /* counted from when it was asked for: never too long */
    int64_t  life_s = t->life_s > 0 ? t->life_s : 3600;
    mgc_code rc     = set_token(c, t->access_token.text, t->access_token.len, c->began_ms,
                                life_s * 1000, t->refresh_s * 1000);
    if (rc == MGC_OK && t->refresh_token.text != NULL && c->grant == MGC_REFRESH)
        rc = mgc_secret_set(&c->refresh_token, "", t->refresh_token.text, t->refresh_token.len);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, NULL);
    set_claims(c, NULL);
    c->needs_user = false;
    mgc_secret_clear(&c->device_code); /* each is good for one token */
    mgc_secret_clear(&c->code);
    mgc_secret_clear(&c->verifier);
    return MGC_OK;
}

static mgc_code take_prompt(struct mgc_credential *c, const struct mgc_attempt *a,
                            struct mgc_error *e)
{
    mgc_code rc = mgc_device_read(&c->prompt, &c->device_code, mgc_buf_text(&a->body), a->body.len);
    return rc == MGC_OK ? MGC_OK
                        : mgc_error_set(e, rc, "%s answered HTTP %d, and no device code",
                                        c->login->base, a->status);
}

/* Words that say: the user must come (RFC 6749 5.2, OpenID Connect Core 3.1.2.6). */
static bool is_for_user(const char *error)
{
    static const char *const words[] = {"invalid_grant", "interaction_required", "login_required",
                                        "consent_required"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(error, words[i]) == 0)
            return true;
    return false;
}

static mgc_code refuse(struct mgc_credential *c, const struct mgc_token_answer *t,
                       struct mgc_error *e)
{
    c->needs_user |= c->step == MGC_RENEW && is_for_user(t->error);
    mgc_error_set(e, MGC_ETOKEN, "%s%s%s", t->error, t->error[0] != '\0' ? ": " : "", t->text);
    snprintf(e->word, sizeof e->word, "%.*s", MGC_WORD_MAX - 1, t->error);
    return MGC_ETOKEN;
}

/* Nothing says that the next try would end the same. */
static bool is_passing(const struct mgc_attempt *a)
{
    return a->error.code != MGC_OK || a->status >= 500 || a->status == 429 || a->status == 408;
}

static bool is_final(mgc_code code)
{
    return code == MGC_ENOMEM || code == MGC_ECANCELLED;
}

static mgc_code judge_managed(struct mgc_credential *c, const struct mgc_attempt *a, int64_t now_ms,
                              int64_t *again_ms, struct mgc_error *e)
{
    struct mgc_token_answer t = {0};
    if (a->error.code == MGC_OK)
        learn_clock(c, a); /* some say when a token ends, by their own clock */
    mgc_code rc = mgc_managed_settle(c->managed, a, now_ms, (int64_t)time(NULL) + c->offset_s, &t,
                                     again_ms, e);
    if (rc == MGC_OK)
        rc = take_token(c, &t, e);
    mgc_answer_clear(&t);
    return rc;
}

/* `*again_ms` >= 0 when it is worth a second try at once or a little later. */
static mgc_code judge(struct mgc_credential *c, const struct mgc_attempt *a, int64_t *again_ms,
                      struct mgc_error *e)
{
    struct mgc_token_answer t = {0};
    int64_t ms = mgc_retry_after_ms(mgc_buf_text(&a->headers), a->headers.len, time(NULL));
    if (a->error.code != MGC_OK) {
        *again_ms = is_final(a->error.code) ? -1 : AGAIN_MS;
        return mgc_error_set(e, a->error.code, "while signing in at %s: %s", c->login->base,
                             mgc_error_detail(&a->error));
    }
    learn_clock(c, a);
    if (is_passing(a)) {
        *again_ms = ms < 0 ? AGAIN_MS : ms <= HINT_MAX_MS ? ms : -1;
        mgc_error_set(e, MGC_ETOKEN, "%s answered HTTP %d", c->login->base, a->status);
        snprintf(e->word, sizeof e->word, "temporarily_unavailable"); /* RFC 6749's word for it */
        return MGC_ETOKEN;
    }
    if (c->step == MGC_DEVICE_START && a->status == 200)
        return take_prompt(c, a, e);
    mgc_code rc = mgc_answer_read(&t, mgc_buf_text(&a->body), a->body.len);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, "%s answered HTTP %d, and no token", c->login->base, a->status);
    if (t.access_token.text != NULL) {
        rc = take_token(c, &t, e);
    } else {
        rc        = refuse(c, &t, e);
        *again_ms = t.clock_wrong && !c->clock_mended ? 0 : -1;
        c->clock_mended |= t.clock_wrong;
    }
    mgc_answer_clear(&t);
    return rc;
}

static void note_failure(struct mgc_credential *c, const struct mgc_attempt *a, int64_t now_ms,
                         const struct mgc_error *e)
{
    int64_t hint = mgc_retry_after_ms(mgc_buf_text(&a->headers), a->headers.len, time(NULL));
    c->failure   = *e;
    if (freshness(c, now_ms) != MGC_STALE) { /* the renewal failed; the token is still good */
        c->next_try_ms    = mgc_earlier(now_ms + c->renew_again_ms, c->token->stale_ms);
        c->renew_again_ms = mgc_earlier(2 * c->renew_again_ms, RENEW_AGAIN_MAX_MS);
    } else if (is_passing(a)) {
        c->next_try_ms = hint >= 0 ? now_ms + hint : now_ms;
    } else {
        c->next_try_ms = now_ms + (c->needs_user ? FOR_USER_MS : REFUSED_MS);
    }
}

mgc_code mgc_credential_settle(struct mgc_credential *c, const struct mgc_attempt *a,
                               int64_t now_ms, int64_t *again_ms, struct mgc_error *e)
{
    *again_ms   = -1;
    mgc_code rc = c->managed != NULL ? judge_managed(c, a, now_ms, again_ms, e)
                                     : judge(c, a, again_ms, e);
    c->tries++;
    if (rc != MGC_OK && *again_ms >= 0 && (c->managed != NULL || c->tries < TRIES))
        return rc; /* still fetching */
    *again_ms   = -1;
    c->fetching = false;
    c->tries    = 0;
    if (rc == MGC_OK) {
        c->renew_again_ms = RENEW_AGAIN_MS;
        c->clock_mended   = false;
        c->next_try_ms    = 0;
    } else if (c->step == MGC_RENEW) { /* the other steps have somebody who hears of it */
        note_failure(c, a, now_ms, e);
    }
    return rc;
}
