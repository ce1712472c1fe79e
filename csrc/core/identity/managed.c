/* csrc/core/identity/managed.c - see managed.h. */
#include "core/identity/managed.h"

#include "core/base/headers.h"
#include "core/base/mem.h"
#include "core/base/secret.h"
#include "core/base/url.h"
#include "core/identity/arc.h"
#include "core/identity/form.h"

#include <stdio.h>
#include <string.h>

enum {
    CONNECT_MS    = 2 * 1000, /* it is near, or it is not there */
    DEADLINE_MS   = 30 * 1000,
    ANSWER_MAX    = 256 * 1024,
    HINT_MAX_MS   = 30 * 1000,
    UPDATE_MS     = 70 * 1000, /* IMDS is gone that long at most while it is updated (410) */
    UPDATE_ASK_MS = 10 * 1000,
    TRIES         = 5
};

/* How each host is spoken to. Sources: FACTS 7.3, Microsoft's azure-identity and MSAL. */
struct host {
    const char *name, *api_version;
    const char *header; /* carries the secret; NULL: the host has none, "Metadata: true" is sent */
    const char *client, *object, *resource; /* what it calls the ids; NULL: no such choice */
    bool        post, pinned, challenges;
};

static const struct host hosts[] = {
    {.name        = "imds",
     .api_version = "2018-02-01",
     .client      = "client_id",
     .object      = "object_id",
     .resource    = "msi_res_id"},
    {.name        = "app_service",
     .api_version = "2019-08-01",
     .header      = "X-IDENTITY-HEADER",
     .client      = "client_id",
     .object      = "principal_id",
     .resource    = "mi_res_id"},
    {.name = "azure_arc", .api_version = "2020-06-01", .challenges = true},
    {.name = "azure_ml", .api_version = "2017-09-01", .header = "secret", .client = "clientid"},
    {.name        = "service_fabric",
     .api_version = "2019-07-01-preview",
     .header      = "Secret",
     .pinned      = true},
    {.name = "cloud_shell", .post = true},
};

struct mgc_managed {
    const struct host *host;
    struct mgc_origin *origin;
    struct mgc_buf     target; /* path and query */
    struct mgc_form    form;   /* the query, or the body of a POST */
    struct mgc_secret  secret;
    struct mgc_secret  proof; /* Azure Arc: the Authorization of the next request */
    bool               proven;
    int                tries;
    int64_t            first_ms;
};

/* ---- making -------------------------------------------------------------------------------------- */

static const struct host *find_host(const char *name)
{
    for (size_t i = 0; name != NULL && i < sizeof hosts / sizeof hosts[0]; i++)
        if (strcmp(hosts[i].name, name) == 0)
            return &hosts[i];
    return NULL;
}

static mgc_code check(const struct host *h, const struct mgc_managed_options *o,
                      struct mgc_error *e)
{
    const char *unknown = NULL;
    if (h == NULL)
        return mgc_error_set(e, MGC_EOPTION, "host: there is no such one");
    if (o->endpoint == NULL || o->resource == NULL)
        return mgc_error_set(e, MGC_EOPTION, "endpoint or resource is missing");
    if ((o->client_id != NULL) + (o->object_id != NULL) + (o->resource_id != NULL) > 1)
        return mgc_error_set(e, MGC_EOPTION,
                             "client_id, object_id and resource_id exclude each other");
    if (o->client_id != NULL && h->client == NULL)
        unknown = "client_id";
    if (o->object_id != NULL && h->object == NULL)
        unknown = "object_id";
    if (o->resource_id != NULL && h->resource == NULL)
        unknown = "resource_id";
    if (unknown != NULL)
        return mgc_error_set(e, MGC_EOPTION, "%s: no identity can be chosen by it on %s", unknown,
                             h->name);
    if (h->header != NULL && o->secret == NULL)
        return mgc_error_set(e, MGC_EOPTION, "secret is missing: %s gives one", h->name);
    if (h->pinned && o->thumbprint == NULL)
        return mgc_error_set(e, MGC_EOPTION, "thumbprint is missing: %s gives one", h->name);
    return MGC_OK;
}

static mgc_code set_origin(struct mgc_managed *m, const struct mgc_managed_options *o,
                           size_t host_len, struct mgc_error *e)
{
    const struct mgc_origin_options origin = {.endpoint      = o->endpoint,
                                              .endpoint_len  = host_len,
                                              .http          = MGC_HTTP_1_1,
                                              .connect_ms    = CONNECT_MS,
                                              .first_byte_ms = DEADLINE_MS,
                                              .max_body      = ANSWER_MAX,
                                              .metadata      = true,
                                              .thumbprint = m->host->pinned ? o->thumbprint : NULL};
    return mgc_origin_new(&m->origin, &origin, e);
}

/* What is asked: in the query, or in the body where the host wants a POST. */
static mgc_code set_question(struct mgc_managed *m, const struct mgc_managed_options *o,
                             const char *path)
{
    struct mgc_form *q = &m->form;
    if (m->host->api_version != NULL)
        mgc_form_add(q, "api-version", m->host->api_version);
    mgc_form_add(q, "resource", o->resource);
    if (o->client_id != NULL)
        mgc_form_add(q, m->host->client, o->client_id);
    if (o->object_id != NULL)
        mgc_form_add(q, m->host->object, o->object_id);
    if (o->resource_id != NULL)
        mgc_form_add(q, m->host->resource, o->resource_id);
    mgc_code rc = q->rc;
    if (rc == MGC_OK)
        rc = mgc_buf_append(&m->target, path, strlen(path));
    if (rc == MGC_OK && !m->host->post)
        rc = mgc_buf_append(&m->target, "?", 1);
    if (rc == MGC_OK && !m->host->post)
        rc = mgc_buf_append(&m->target, mgc_buf_text(&q->text), q->text.len);
    return rc;
}

/* A URL that can not be asked is found now, not with the first request. */
static mgc_code check_target(const struct mgc_managed *m, struct mgc_error *e)
{
    struct mgc_error why;
    struct mgc_buf   url;
    mgc_buf_init(&url, SIZE_MAX);
    mgc_code rc =
        mgc_url_target(&url, m->origin->base, mgc_buf_text(&m->target), m->target.len, &why);
    mgc_buf_clear(&url);
    if (rc == MGC_EREQUEST)
        return mgc_error_set(e, MGC_EOPTION, "endpoint: %s", mgc_error_detail(&why));
    return rc == MGC_OK ? MGC_OK : mgc_error_set(e, rc, NULL);
}

static mgc_code fill(struct mgc_managed *m, const struct mgc_managed_options *o,
                     struct mgc_error *e)
{
    const char *authority = strstr(o->endpoint, "://");
    size_t      host_len  = authority != NULL ? (size_t)(authority - o->endpoint) + 3 : 0;
    host_len += strcspn(o->endpoint + host_len, "/?#");
    const char *path = o->endpoint + host_len;
    if (strpbrk(path, "?#") != NULL)
        return mgc_error_set(e, MGC_EOPTION, "endpoint: it must end with the path");
    mgc_code rc = set_origin(m, o, host_len, e);
    if (rc != MGC_OK)
        return rc;
    rc = set_question(m, o, *path != '\0' ? path : "/");
    if (rc == MGC_OK && m->host->header != NULL)
        rc = mgc_secret_set(&m->secret, "", o->secret, strlen(o->secret));
    return rc == MGC_OK ? check_target(m, e) : mgc_error_set(e, rc, NULL);
}

mgc_code mgc_managed_new(struct mgc_managed **out, const struct mgc_managed_options *o,
                         struct mgc_error *e)
{
    const struct host *h  = find_host(o->host);
    mgc_code           rc = check(h, o, e);
    if (rc != MGC_OK)
        return rc;
    struct mgc_managed *m = mgc_calloc(sizeof *m);
    if (m == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    m->host = h;
    mgc_buf_init(&m->target, SIZE_MAX);
    mgc_form_init(&m->form);
    rc = fill(m, o, e);
    if (rc != MGC_OK) {
        mgc_managed_free(m);
        return rc;
    }
    *out = m;
    return MGC_OK;
}

void mgc_managed_free(struct mgc_managed *m)
{
    if (m == NULL)
        return;
    mgc_secret_clear(&m->proof);
    mgc_secret_clear(&m->secret);
    mgc_form_clear(&m->form);
    mgc_buf_clear(&m->target);
    mgc_origin_unref(m->origin);
    mgc_free(m);
}

struct mgc_origin *mgc_managed_origin(const struct mgc_managed *m)
{
    return m->origin;
}

/* ---- asking -------------------------------------------------------------------------------------- */

static struct mgc_header header(const char *name, const char *value)
{
    return (struct mgc_header){
        .name = name, .name_len = strlen(name), .value = value, .value_len = strlen(value)};
}

mgc_code mgc_managed_begin(struct mgc_managed *m, struct mgc_request **out,
                           struct mgc_uuid_pool *ids, struct mgc_error *e)
{
    const struct host *h = m->host;
    struct mgc_header  headers[3];
    size_t             n = 0;
    headers[n++]         = h->header != NULL ? header(h->header, m->secret.text)
                                             : header("Metadata", "true");
    if (h->post)
        headers[n++] = header("Content-Type", "application/x-www-form-urlencoded");
    if (m->proof.text != NULL)
        headers[n++] = header("Authorization", m->proof.text);
    const struct mgc_request_spec spec = {.method     = h->post ? "POST" : "GET",
                                          .target     = mgc_buf_text(&m->target),
                                          .target_len = m->target.len,
                                          .headers    = headers,
                                          .n_headers  = n,
                                          .body     = h->post ? mgc_buf_text(&m->form.text) : NULL,
                                          .body_len = h->post ? m->form.text.len : 0,
                                          .repeat   = MGC_IDEMPOTENT,
                                          .authorised  = m->proof.text != NULL,
                                          .deadline_ms = DEADLINE_MS};
    m->proven                          = m->proof.text != NULL;
    mgc_code rc                        = mgc_request_new(out, &spec, m->origin, ids, e);
    mgc_secret_clear(&m->proof); /* each is good for one request */
    return rc;
}

void mgc_managed_reset(struct mgc_managed *m)
{
    mgc_secret_clear(&m->proof);
    m->proven = false;
    m->tries  = 0;
}

/* ---- the answer ---------------------------------------------------------------------------------- */

int64_t mgc_managed_delay_ms(int status, int tries, int64_t waited_ms)
{
    static const int before_s[TRIES] = {0, 2, 6, 14, 30};
    if (status == 410) /* says when it will be over, and not how often to ask */
        return waited_ms + UPDATE_ASK_MS <= UPDATE_MS ? UPDATE_ASK_MS : -1;
    const bool passing = status == 0 || status == 404 || status == 408 || status == 429 ||
                         status >= 500;
    return passing && tries < TRIES ? before_s[tries] * 1000 : -1;
}

static int64_t delay(const struct mgc_managed *m, const struct mgc_attempt *a, int64_t now_ms,
                     int64_t now_unix)
{
    const bool answered = a->error.code == MGC_OK;
    if (!answered && (a->phase == MGC_NOT_SENT || a->error.code == MGC_ENOMEM ||
                      a->error.code == MGC_ECANCELLED))
        return -1; /* nobody lives there, or nobody wants it */
    int64_t ms   = mgc_managed_delay_ms(answered ? a->status : 0, m->tries, now_ms - m->first_ms);
    int64_t hint = mgc_retry_after_ms(mgc_buf_text(&a->headers), a->headers.len, now_unix);
    if (ms < 0 || hint > HINT_MAX_MS)
        return -1;
    return hint > ms ? hint : ms;
}

/* Some say when a token ends, not how long it lives. */
static void set_life(struct mgc_token_answer *t, int64_t now_unix)
{
    if (t->life_s == 0 && t->expires_on_s > 0)
        t->life_s = t->expires_on_s > now_unix ? t->expires_on_s - now_unix : 1;
}

/* Our word for all that will not do: the hosts have none in common. */
static const char refused[] = "managed_identity";

static mgc_code refuse(const struct mgc_managed *m, const struct mgc_attempt *a,
                       const struct mgc_token_answer *t, struct mgc_error *e)
{
    const bool passing = a->status == 429 || a->status >= 500;
    mgc_error_set(e, MGC_ETOKEN, "%s (%s) answered HTTP %d%s%s%s%s", m->origin->base, m->host->name,
                  a->status, t->error[0] != '\0' ? ": " : "", t->error,
                  t->text[0] != '\0' ? ": " : "", t->text);
    snprintf(e->word, sizeof e->word, "%.*s", MGC_WORD_MAX - 1,
             passing ? "temporarily_unavailable" : refused);
    snprintf(e->subword, sizeof e->subword, "%.*s", MGC_WORD_MAX - 1, t->suberror);
    return MGC_ETOKEN;
}

static mgc_code read_answer(const struct mgc_managed *m, const struct mgc_attempt *a,
                            int64_t now_unix, struct mgc_token_answer *token, struct mgc_error *e)
{
    struct mgc_token_answer t  = {0};
    const bool              ok = a->status >= 200 && a->status < 300;
    mgc_code                rc = mgc_answer_read(&t, mgc_buf_text(&a->body), a->body.len);
    if (rc == MGC_ENOMEM)
        return mgc_error_set(e, rc, NULL);
    if (ok && t.access_token.text != NULL) {
        set_life(&t, now_unix);
        *token = t;
        return MGC_OK;
    }
    if (ok)
        rc = mgc_error_set(e, MGC_EANSWER, "%s (%s) answered HTTP %d, and no token",
                           m->origin->base, m->host->name, a->status);
    else
        rc = refuse(m, a, &t, e);
    mgc_answer_clear(&t);
    return rc;
}

static mgc_code judge(struct mgc_managed *m, const struct mgc_attempt *a, int64_t now_ms,
                      int64_t now_unix, struct mgc_token_answer *token, int64_t *again_ms,
                      struct mgc_error *e)
{
    *again_ms = delay(m, a, now_ms, now_unix);
    if (a->error.code != MGC_OK)
        return mgc_error_set(e, a->error.code, "no managed identity at %s (%s): %s",
                             m->origin->base, m->host->name, mgc_error_detail(&a->error));
    if (a->status == 401 && m->host->challenges && !m->proven) {
        mgc_code rc = mgc_arc_prove(&m->proof, mgc_buf_text(&a->headers), a->headers.len, e);
        if (rc != MGC_OK) {
            snprintf(e->word, sizeof e->word, "%s", rc == MGC_ETOKEN ? refused : "");
            return rc;
        }
        m->tries--; /* asking what proof is wanted was none */
        *again_ms = 0;
        return mgc_error_set(e, MGC_ETOKEN, "Azure Arc wants a proof");
    }
    return read_answer(m, a, now_unix, token, e);
}

mgc_code mgc_managed_settle(struct mgc_managed *m, const struct mgc_attempt *a, int64_t now_ms,
                            int64_t now_unix, struct mgc_token_answer *token, int64_t *again_ms,
                            struct mgc_error *e)
{
    if (m->tries++ == 0)
        m->first_ms = now_ms;
    mgc_code rc = judge(m, a, now_ms, now_unix, token, again_ms, e);
    if (rc == MGC_OK || *again_ms < 0) {
        *again_ms = -1;
        mgc_managed_reset(m);
    }
    return rc;
}
