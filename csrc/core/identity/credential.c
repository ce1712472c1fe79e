/* csrc/core/identity/credential.c - see credential.h. */
#include "core/identity/credential.h"

#include "core/base/clock.h"
#include "core/base/headers.h"
#include "core/base/mem.h"
#include "core/base/url.h"
#include "core/identity/answer.h"
#include "core/identity/jwt.h"
#include "core/wire/global.h"

#include <curl/curl.h>
#include <errno.h>
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
    HINT_MAX_MS        = 30 * 1000, /* a longer Retry-After is not waited for, but respected */
    REFUSED_MS         = 60 * 1000, /* a refusal is not asked for again so soon */
    RENEW_AGAIN_MS     = 30 * 1000,
    RENEW_AGAIN_MAX_MS = 300 * 1000,
    FILE_MAX           = 64 * 1024,
    OFFSET_MIN_S       = 2
};

struct mgc_credential {
    unsigned           references;
    mgc_grant          grant;
    struct mgc_origin *login;
    char              *token_path; /* "/{tenant}/oauth2/v2.0/token" */
    char              *client_id, *scope, *assertion_file, *certificate;
    struct mgc_secret  client_secret, refresh_token, assertion, password;
    struct mgc_key    *key;
    mgc_alg            alg;

    struct mgc_token *token; /* NULL: none yet, or refused */
    struct mgc_error  failure;
    bool              fetching, clock_mended;
    unsigned          forks; /* when the fetch began: in a child it is not ours */
    int               tries;
    int64_t           next_try_ms, renew_again_ms, began_ms;
    int64_t           offset_s; /* the server's clock minus ours */
};

/* ---- making ------------------------------------------------------------------------------------ */

static mgc_code copy_text(char **out, const char *text, mgc_code rc)
{
    if (rc != MGC_OK || text == NULL)
        return rc;
    size_t n = strlen(text) + 1;
    *out     = mgc_malloc(n);
    if (*out == NULL)
        return MGC_ENOMEM;
    memcpy(*out, text, n);
    return MGC_OK;
}

static mgc_code copy_secret(struct mgc_secret *out, const char *text, mgc_code rc)
{
    return rc != MGC_OK || text == NULL ? rc : mgc_secret_set(out, "", text, strlen(text));
}

static mgc_code set_path(struct mgc_credential *c, const char *tenant, struct mgc_error *e)
{
    static const char end[] = "/oauth2/v2.0/token";
    const size_t      n     = strlen(tenant);
    const char       *fault = mgc_url_segment_fault(tenant, n);
    if (fault != NULL)
        return mgc_error_set(e, MGC_EOPTION, "tenant_id: it %s", fault);
    c->token_path = mgc_malloc(1 + 3 * n + sizeof end);
    if (c->token_path == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    c->token_path[0] = '/';
    size_t len       = 1 + mgc_url_escape(c->token_path + 1, tenant, n);
    memcpy(c->token_path + len, end, sizeof end);
    return MGC_OK;
}

/* Which options each grant can not do without. */
static const char *missing(const struct mgc_credential_options *o)
{
    const bool proven = o->client_secret != NULL || o->certificate != NULL ||
                        o->assertion_file != NULL;
    if (o->authority == NULL)
        return "authority";
    if (o->tenant == NULL)
        return "tenant_id";
    if (o->client_id == NULL || *o->client_id == '\0')
        return "client_id";
    if (o->scope == NULL)
        return "scope";
    if (o->grant == MGC_REFRESH && o->refresh_token == NULL)
        return "refresh_token";
    if (o->grant == MGC_ON_BEHALF_OF && o->assertion == NULL)
        return "assertion";
    if (o->grant != MGC_REFRESH && !proven)
        return "client_secret, certificate or assertion_file";
    return NULL;
}

static mgc_code set_texts(struct mgc_credential *c, const struct mgc_credential_options *o,
                          struct mgc_error *e)
{
    mgc_code rc = copy_text(&c->client_id, o->client_id, MGC_OK);
    rc          = copy_text(&c->scope, o->scope, rc);
    rc          = copy_text(&c->assertion_file, o->assertion_file, rc);
    rc          = copy_text(&c->certificate, o->certificate, rc);
    rc          = copy_secret(&c->password, o->certificate != NULL ? o->password : NULL, rc);
    rc          = copy_secret(&c->client_secret, o->client_secret, rc);
    rc          = copy_secret(&c->refresh_token, o->refresh_token, rc);
    rc          = copy_secret(&c->assertion, o->assertion, rc);
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
    }
    return c;
}

mgc_code mgc_credential_new(struct mgc_credential **out, const struct mgc_credential_options *o,
                            struct mgc_error *e)
{
    const char *name = missing(o);
    if (name != NULL)
        return mgc_error_set(e, MGC_EOPTION, "%s is missing", name);
    struct mgc_credential *c = blank(o->grant);
    if (c == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    c->alg      = o->rs256 ? MGC_RS256 : MGC_PS256;
    mgc_code rc = set_path(c, o->tenant, e);
    if (rc == MGC_OK)
        rc = set_texts(c, o, e);
    if (rc == MGC_OK)
        rc = set_login(c, o, e);
    if (rc == MGC_OK && o->certificate != NULL)
        rc = mgc_key_load(&c->key, o->certificate, o->password, e);
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
    mgc_secret_clear(&c->client_secret);
    mgc_secret_clear(&c->refresh_token);
    mgc_secret_clear(&c->assertion);
    mgc_secret_clear(&c->password);
    mgc_key_free(c->key);
    mgc_origin_unref(c->login);
    mgc_free(c->certificate);
    mgc_free(c->assertion_file);
    mgc_free(c->scope);
    mgc_free(c->client_id);
    mgc_free(c->token_path);
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

bool mgc_credential_wants(const struct mgc_credential *c, int64_t now_ms)
{
    return c->grant != MGC_GIVEN && !mgc_credential_is_fetching(c) && now_ms >= c->next_try_ms &&
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
    else
        *e = c->failure;
}

bool mgc_credential_refused(struct mgc_credential *c, const struct mgc_token *t)
{
    if (c->grant == MGC_GIVEN)
        return false;
    if (c->token == t) { /* it may have been replaced meanwhile */
        mgc_token_unref(c->token);
        c->token       = NULL;
        c->next_try_ms = 0;
    }
    return true;
}

/* ---- asking for one ---------------------------------------------------------------------------- */

struct mgc_origin *mgc_credential_login(const struct mgc_credential *c)
{
    return c->login;
}

static mgc_code field(struct mgc_buf *form, const char *name, const char *value, mgc_code rc)
{
    char           escaped[3 * 256];
    const size_t   chunk = sizeof escaped / 3;
    const mgc_code sep   = form->len > 0 && rc == MGC_OK ? mgc_buf_append(form, "&", 1) : rc;
    rc                   = sep == MGC_OK ? mgc_buf_append(form, name, strlen(name)) : sep;
    if (rc == MGC_OK)
        rc = mgc_buf_append(form, "=", 1);
    for (size_t left = strlen(value); left > 0 && rc == MGC_OK;) {
        size_t n = left < chunk ? left : chunk;
        rc       = mgc_buf_append(form, escaped, mgc_url_escape(escaped, value, n));
        value += n;
        left -= n;
    }
    mgc_wipe(escaped, sizeof escaped);
    return rc;
}

static mgc_code sign_assertion(struct mgc_credential *c, struct mgc_buf *form,
                               struct mgc_uuid_pool *ids)
{
    char           id[MGC_UUID_LEN + 1];
    struct mgc_buf audience, jwt;
    mgc_buf_init(&audience, SIZE_MAX);
    mgc_buf_init(&jwt, SIZE_MAX);
    jwt.secret  = true;
    mgc_code rc = mgc_uuid_make(ids, id);
    if (rc == MGC_OK)
        rc = mgc_buf_append(&audience, c->login->base, strlen(c->login->base));
    if (rc == MGC_OK)
        rc = mgc_buf_append(&audience, c->token_path, strlen(c->token_path));
    if (rc == MGC_OK) {
        const struct mgc_jwt_claims claims = {.client_id = c->client_id,
                                              .audience  = mgc_buf_text(&audience),
                                              .id        = id,
                                              .now       = (int64_t)time(NULL) + c->offset_s};
        rc                                 = mgc_jwt_assertion(&jwt, c->key, c->alg, &claims);
    }
    rc = field(form, "client_assertion", mgc_buf_text(&jwt), rc);
    mgc_buf_clear(&jwt);
    mgc_buf_clear(&audience);
    return rc;
}

static mgc_code read_assertion(struct mgc_credential *c, struct mgc_buf *form, struct mgc_error *e)
{
    char   text[FILE_MAX + 1];
    FILE  *file = fopen(c->assertion_file, "rb");
    size_t n    = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file == NULL || ferror(file)) {
        mgc_error_set(e, MGC_EOPTION, "the token file %s can not be read: %s", c->assertion_file,
                      strerror(errno));
        if (file != NULL)
            fclose(file);
        return e->code;
    }
    fclose(file);
    while (n > 0 && (unsigned char)text[n - 1] <= ' ')
        n--;
    text[n]     = '\0';
    mgc_code rc = field(form, "client_assertion", text, MGC_OK);
    mgc_wipe(text, sizeof text);
    return rc;
}

/* Certificates are renewed in place while a service runs. One that can not be read just now, perhaps
 * because it is being written, leaves the one before. */
static void reload_key(struct mgc_credential *c)
{
    struct mgc_key  *fresh = NULL;
    struct mgc_error e;
    if (mgc_key_load(&fresh, c->certificate, c->password.text, &e) != MGC_OK)
        return;
    mgc_key_free(c->key);
    c->key = fresh;
}

/* How the client proves itself. */
static mgc_code add_client(struct mgc_credential *c, struct mgc_buf *form,
                           struct mgc_uuid_pool *ids, struct mgc_error *e)
{
    static const char bearer[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    mgc_code          rc       = field(form, "client_id", c->client_id, MGC_OK);
    if (c->client_secret.text != NULL)
        return field(form, "client_secret", c->client_secret.text, rc);
    if (c->key == NULL && c->assertion_file == NULL)
        return rc;
    rc = field(form, "client_assertion_type", bearer, rc);
    if (rc != MGC_OK)
        return rc;
    if (c->key == NULL)
        return read_assertion(c, form, e);
    reload_key(c);
    return sign_assertion(c, form, ids);
}

/* What is asked for. */
static mgc_code add_grant(struct mgc_credential *c, struct mgc_buf *form)
{
    static const char jwt_bearer[] = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    /* we understand claims challenges (FACTS 6.4) */
    static const char capable[] = "{\"access_token\":{\"xms_cc\":{\"values\":[\"cp1\"]}}}";
    mgc_code          rc        = field(form, "scope", c->scope, MGC_OK);
    rc                          = field(form, "claims", capable, rc);
    switch (c->grant) {
    case MGC_CLIENT_CREDENTIALS:
        return field(form, "grant_type", "client_credentials", rc);
    case MGC_REFRESH:
        rc = field(form, "grant_type", "refresh_token", rc);
        return field(form, "refresh_token", c->refresh_token.text, rc);
    case MGC_ON_BEHALF_OF:
        rc = field(form, "grant_type", jwt_bearer, rc);
        rc = field(form, "requested_token_use", "on_behalf_of", rc);
        return field(form, "assertion", c->assertion.text, rc);
    case MGC_GIVEN:
        break;
    }
    return MGC_EINTERNAL;
}

mgc_code mgc_credential_begin(struct mgc_credential *c, struct mgc_request **out,
                              struct mgc_uuid_pool *ids, struct mgc_error *e)
{
    static const struct mgc_header typed = {.name      = "Content-Type",
                                            .value     = "application/x-www-form-urlencoded",
                                            .name_len  = 12,
                                            .value_len = 33};
    struct mgc_buf                 form;
    mgc_buf_init(&form, SIZE_MAX);
    form.secret = true;
    e->code     = MGC_OK;
    mgc_code rc = add_grant(c, &form);
    if (rc == MGC_OK)
        rc = add_client(c, &form, ids, e);
    if (rc != MGC_OK && e->code == MGC_OK)
        mgc_error_set(e, rc, "while a token was asked for");
    if (rc == MGC_OK) {
        const struct mgc_request_spec spec = {.method      = "POST",
                                              .target      = c->token_path,
                                              .target_len  = strlen(c->token_path),
                                              .headers     = &typed,
                                              .n_headers   = 1,
                                              .body        = mgc_buf_text(&form),
                                              .body_len    = form.len,
                                              .repeat      = MGC_IDEMPOTENT,
                                              .deadline_ms = LOGIN_DEADLINE_MS};
        rc                                 = mgc_request_new(out, &spec, c->login, ids, e);
    }
    mgc_buf_clear(&form);
    c->fetching = rc == MGC_OK;
    c->began_ms = mgc_now_ms();
    c->forks    = mgc_global_forks();
    if (rc != MGC_OK)
        c->failure = *e;
    return rc;
}

void mgc_credential_abandon(struct mgc_credential *c, mgc_code code)
{
    c->fetching = false;
    c->tries    = 0;
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
    return rc == MGC_OK ? MGC_OK : mgc_error_set(e, rc, NULL);
}

static mgc_code refuse(const struct mgc_token_answer *t, struct mgc_error *e)
{
    mgc_error_set(e, MGC_ETOKEN, "%s: %s", t->error, t->text);
    snprintf(e->word, sizeof e->word, "%.*s", MGC_WORD_MAX - 1, t->error);
    return MGC_ETOKEN;
}

/* Nothing says that the next try would end the same. */
static bool is_passing(const struct mgc_attempt *a)
{
    return a->error.code != MGC_OK || a->status >= 500 || a->status == 429 || a->status == 408;
}

/* `*again_ms` >= 0 when it is worth a second try at once or a little later. */
static mgc_code judge(struct mgc_credential *c, const struct mgc_attempt *a, int64_t *again_ms,
                      struct mgc_error *e)
{
    struct mgc_token_answer t = {0};
    int64_t ms = mgc_retry_after_ms(mgc_buf_text(&a->headers), a->headers.len, time(NULL));
    if (a->error.code != MGC_OK) {
        *again_ms = a->error.code != MGC_ENOMEM ? AGAIN_MS : -1;
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
    mgc_code rc = mgc_answer_read(&t, mgc_buf_text(&a->body), a->body.len);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, "%s answered HTTP %d, and no token", c->login->base, a->status);
    if (t.access_token.text != NULL) {
        rc = take_token(c, &t, e);
    } else {
        rc        = refuse(&t, e);
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
        c->next_try_ms = now_ms + REFUSED_MS;
    }
}

mgc_code mgc_credential_settle(struct mgc_credential *c, const struct mgc_attempt *a,
                               int64_t now_ms, int64_t *again_ms, struct mgc_error *e)
{
    *again_ms   = -1;
    mgc_code rc = judge(c, a, again_ms, e);
    c->tries++;
    if (rc != MGC_OK && *again_ms >= 0 && c->tries < TRIES)
        return rc; /* still fetching */
    *again_ms   = -1;
    c->fetching = false;
    c->tries    = 0;
    if (rc == MGC_OK) {
        c->renew_again_ms = RENEW_AGAIN_MS;
        c->clock_mended   = false;
    } else {
        note_failure(c, a, now_ms, e);
    }
    return rc;
}
