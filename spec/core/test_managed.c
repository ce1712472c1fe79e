/* spec/core/test_managed.c - managed identities: what each host is asked, what its answer means, and how a
 * metadata endpoint is spoken to, over real sockets.
 */
#include "check.h"
#include "fakes.h"
#include "harness.h"
#include "server.h"

#include "core/identity/arc.h"
#include "core/identity/managed.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct mgc_error     error;
static struct mgc_uuid_pool ids;

/* ---- what is asked ------------------------------------------------------------------------------ */

static struct mgc_managed_options options(const char *host)
{
    return (struct mgc_managed_options){.host       = host,
                                        .endpoint   = "http://127.0.0.1:41000/msi/token",
                                        .resource   = "https://graph.microsoft.com",
                                        .secret     = "s3cr3t-of-host",
                                        .thumbprint = "00112233445566778899AABBCCDDEEFF00112233"};
}

static struct mgc_managed *managed(const struct mgc_managed_options *o)
{
    struct mgc_managed *m = NULL;
    CHECK_INT(MGC_OK, mgc_managed_new(&m, o, &error));
    return m;
}

static struct mgc_request *begin(struct mgc_managed *m)
{
    struct mgc_request *r = NULL;
    CHECK_INT(MGC_OK, mgc_managed_begin(m, &r, &ids, &error));
    return r;
}

static bool has_header(const struct mgc_request *r, const char *line)
{
    for (const struct curl_slist *h = r->headers->next; h != NULL; h = h->next)
        if (strcmp(h->data, line) == 0)
            return true;
    return false;
}

#define ASKED(version) "http://127.0.0.1:41000/msi/token?api-version=" version RESOURCE
#define RESOURCE       "&resource=https%3A%2F%2Fgraph.microsoft.com"

static void test_each_host_is_asked_in_its_own_way(void)
{
    static const struct {
        const char *host, *client, *object, *resource, *method, *url, *header;
    } cases[] = {
        {"imds", NULL, NULL, NULL, "GET", ASKED("2018-02-01"), "Metadata: true"},
        {"imds", "c", NULL, NULL, "GET", ASKED("2018-02-01") "&client_id=c", "Metadata: true"},
        {"imds", NULL, "o", NULL, "GET", ASKED("2018-02-01") "&object_id=o", "Metadata: true"},
        {"imds", NULL, NULL, "/s/r", "GET", ASKED("2018-02-01") "&msi_res_id=%2Fs%2Fr",
         "Metadata: true"},
        {"app_service", "c", NULL, NULL, "GET", ASKED("2019-08-01") "&client_id=c",
         "X-IDENTITY-HEADER: s3cr3t-of-host"},
        {"app_service", NULL, "o", NULL, "GET", ASKED("2019-08-01") "&principal_id=o",
         "X-IDENTITY-HEADER: s3cr3t-of-host"},
        {"app_service", NULL, NULL, "r", "GET", ASKED("2019-08-01") "&mi_res_id=r",
         "X-IDENTITY-HEADER: s3cr3t-of-host"},
        {"azure_arc", NULL, NULL, NULL, "GET", ASKED("2020-06-01"), "Metadata: true"},
        {"azure_ml", "c", NULL, NULL, "GET", ASKED("2017-09-01") "&clientid=c",
         "secret: s3cr3t-of-host"},
        {"cloud_shell", NULL, NULL, NULL, "POST", "http://127.0.0.1:41000/msi/token",
         "Metadata: true"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_managed_options o = options(cases[i].host);
        o.client_id                  = cases[i].client;
        o.object_id                  = cases[i].object;
        o.resource_id                = cases[i].resource;
        struct mgc_managed *m        = managed(&o);
        struct mgc_request *r        = begin(m);
        CHECK_TEXT(cases[i].method, r->method);
        CHECK_TEXT(cases[i].url, r->url);
        CHECK(has_header(r, cases[i].header));
        CHECK(r->idempotent);
        if (r->body != NULL)
            CHECK(r->body_len == strlen(RESOURCE) - 1 &&
                  memcmp(r->body, &RESOURCE[1], r->body_len) == 0);
        CHECK((r->body != NULL) == (strcmp(r->method, "POST") == 0));
        mgc_request_free(r);
        mgc_managed_free(m);
    }
}

static void test_service_fabric_is_asked_over_https(void)
{
    struct mgc_managed_options o = options("service_fabric");
    struct mgc_managed        *m = NULL;
    CHECK_INT(MGC_EOPTION,
              mgc_managed_new(&m, &o, &error)); /* http, where a pin would be for nothing */
    CHECK(strstr(error.message, "thumbprint") != NULL);
    o.endpoint            = "https://localhost:2377/metadata/identity/oauth2/token";
    m                     = managed(&o);
    struct mgc_request *r = begin(m);
    CHECK_TEXT(
        "https://localhost:2377/metadata/identity/oauth2/token?api-version=2019-07-01-preview"
        "&resource=https%3A%2F%2Fgraph.microsoft.com",
        r->url);
    CHECK(has_header(r, "Secret: s3cr3t-of-host"));
    CHECK(mgc_managed_origin(m)->pinned);
    mgc_request_free(r);
    mgc_managed_free(m);
}

static void refuses(const struct mgc_managed_options *o, const char *word)
{
    struct mgc_managed *m = NULL;
    CHECK_INT(MGC_EOPTION, mgc_managed_new(&m, o, &error));
    if (strstr(error.message, word) == NULL)
        CHECK_TEXT(word, error.message);
    CHECK(strstr(error.message, "s3cr3t") == NULL);
}

static void test_what_a_host_does_not_know_is_refused(void)
{
    static const char *const   choiceless[] = {"azure_arc", "cloud_shell", "service_fabric"};
    struct mgc_managed_options o;
    for (size_t i = 0; i < 3; i++) {
        o           = options(choiceless[i]);
        o.client_id = "c";
        refuses(&o, "client_id: no identity can be chosen by it");
    }
    o           = options("azure_ml");
    o.object_id = "o";
    refuses(&o, "object_id");
    o             = options("imds");
    o.client_id   = "c";
    o.resource_id = "r";
    refuses(&o, "exclude each other");
    o        = options("app_service");
    o.secret = NULL;
    refuses(&o, "secret is missing");
    o            = options("service_fabric");
    o.thumbprint = NULL;
    refuses(&o, "thumbprint is missing");
    o.endpoint = "https://localhost:2377/t";
    for (size_t i = 0; i < 4; i++) {
        static const char *const bad[] = {"", "0011", "00112233445566778899AABBCCDDEEFF0011223g",
                                          "00112233445566778899AABBCCDDEEFF0011223300"};
        o.thumbprint                   = bad[i];
        refuses(&o, "40 hex digits");
    }
    o = options("moon");
    refuses(&o, "host");
}

static void test_endpoints_that_can_not_be_used(void)
{
    static const char *const bad[] = {"",           "127.0.0.1/x",       "ftp://127.0.0.1/x",
                                      "http:///x",  "http://u@h/x",      "http://h/x?y=1",
                                      "http://h/#", "http://h/../x",     "http://h%2f/x",
                                      "http://h x", "http://[::1/token", "file:///etc/passwd"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mgc_managed_options o = options("imds");
        o.endpoint                   = bad[i];
        refuses(&o, "endpoint: ");
    }
}

/* ---- what is answered ---------------------------------------------------------------------------- */

static void test_waits(void)
{
    static const int passing[] = {0, 404, 408, 429, 500, 502, 503, 504};
    static const int final[]   = {200, 302, 307, 400, 401, 403, 405};
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        static const int64_t want[] = {2000, 6000, 14000, 30000, -1, -1};
        for (int tries = 1; tries <= 6; tries++)
            CHECK_INT(want[tries - 1], mgc_managed_delay_ms(passing[i], tries, 0));
    }
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++)
        CHECK_INT(-1, mgc_managed_delay_ms(final[i], 1, 0));
    for (int n = 0; n <= 6; n++) /* an update takes 70 s at most, and asks for no patience beyond */
        CHECK_INT(10000, mgc_managed_delay_ms(410, n + 1, n * 10000));
    CHECK_INT(-1, mgc_managed_delay_ms(410, 8, 70000));
}

/* One answer to `m`, as if it had come. */
struct said {
    int         status;
    const char *headers, *body;
    mgc_code    code; /* instead of an answer */
    mgc_phase   phase;
};

static mgc_code settle(struct mgc_managed *m, const struct said *s, int64_t now_ms,
                       struct mgc_token_answer *t, int64_t *again_ms)
{
    struct mgc_attempt a = {.status = s->status, .phase = s->phase};
    mgc_buf_init(&a.headers, 10000);
    mgc_buf_init(&a.body, 10000);
    mgc_request_free(begin(m));
    if (s->headers != NULL)
        CHECK_INT(MGC_OK, mgc_buf_append(&a.headers, s->headers, strlen(s->headers)));
    if (s->body != NULL)
        CHECK_INT(MGC_OK, mgc_buf_append(&a.body, s->body, strlen(s->body)));
    if (s->code != MGC_OK)
        mgc_error_set(&a.error, s->code, NULL);
    *t          = (struct mgc_token_answer){0};
    mgc_code rc = mgc_managed_settle(m, &a, now_ms, 1000000000, t, again_ms, &error);
    mgc_buf_clear(&a.headers);
    mgc_buf_clear(&a.body);
    return rc;
}

static int64_t life_of(const char *json)
{
    struct mgc_managed_options o = options("imds");
    struct mgc_managed        *m = managed(&o);
    struct mgc_token_answer    t;
    int64_t                    again;
    const struct said          s = {200, NULL, json, MGC_OK, MGC_ANSWERED};
    CHECK_INT(MGC_OK, settle(m, &s, 0, &t, &again));
    CHECK_TEXT("t", t.access_token.text);
    CHECK_INT(-1, again);
    mgc_answer_clear(&t);
    mgc_managed_free(m);
    return t.life_s;
}

static void test_the_life_of_a_token(void)
{
    CHECK_INT(3599,
              life_of("{\"access_token\":\"t\",\"expires_in\":\"3599\",\"expires_on\":\"1\"}"));
    CHECK_INT(3599, life_of("{\"access_token\":\"t\",\"expires_in\":3599}"));
    CHECK_INT(86400, life_of("{\"access_token\":\"t\",\"expires_on\":\"1000086400\"}"));
    CHECK_INT(86400, life_of("{\"access_token\":\"t\",\"expires_on\":1000086400}"));
    CHECK_INT(1, life_of("{\"access_token\":\"t\",\"expires_on\":\"999999999\"}"));
    CHECK_INT(0, life_of("{\"access_token\":\"t\",\"expires_on\":\"1/16/2026 12:24:54 AM\"}"));
    CHECK_INT(0, life_of("{\"access_token\":\"t\"}"));
}

static void test_five_tries_then_the_reason(void)
{
    static const int64_t       want[] = {2000, 6000, 14000, 30000, -1};
    struct mgc_managed_options o      = options("imds");
    struct mgc_managed        *m      = managed(&o);
    struct mgc_token_answer    t;
    int64_t                    again;
    const struct said          busy = {404, NULL,
                                       "{\"error\":\"not_found\",\"error_description\":\"Wait.\"}", MGC_OK,
                                       MGC_ANSWERED};
    for (int round = 0; round < 2; round++) /* the count begins anew */
        for (size_t i = 0; i < 5; i++) {
            CHECK_INT(MGC_ETOKEN, settle(m, &busy, 0, &t, &again));
            CHECK_INT(want[i], again);
        }
    CHECK(strstr(error.message, "answered HTTP 404: not_found: Wait.") != NULL);
    CHECK_TEXT("managed_identity", error.word);
    const struct said hinted = {503, "Retry-After: 7\r\n", NULL, MGC_OK, MGC_ANSWERED};
    CHECK_INT(MGC_ETOKEN, settle(m, &hinted, 0, &t, &again));
    CHECK_INT(7000, again);
    const struct said hours = {429, "Retry-After: 7200\r\n", NULL, MGC_OK, MGC_ANSWERED};
    CHECK_INT(MGC_ETOKEN, settle(m, &hours, 0, &t, &again));
    CHECK_INT(-1, again);
    CHECK_TEXT("temporarily_unavailable", error.word);
    mgc_managed_free(m);
}

static void test_refusals_in_every_dialect(void)
{
    static const struct {
        const char *body, *words;
    } cases[] = {
        {"{\"error\":\"invalid_request\",\"error_description\":\"Identity not found\"}",
         "answered HTTP 400: invalid_request: Identity not found"},
        {"{\"statusCode\":400,\"message\":\"No identity.\"}", "answered HTTP 400: No identity."},
        {"{\"error\":{\"code\":\"NotThere\",\"message\":\"No identity.\"}}",
         "answered HTTP 400: NotThere: No identity."},
        {"<html>", "answered HTTP 400"},
        {"", "answered HTTP 400"},
    };
    struct mgc_managed_options o = options("app_service");
    struct mgc_managed        *m = managed(&o);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_token_answer t;
        int64_t                 again;
        const struct said       s = {400, NULL, cases[i].body, MGC_OK, MGC_ANSWERED};
        CHECK_INT(MGC_ETOKEN, settle(m, &s, 0, &t, &again));
        CHECK_INT(-1, again);
        CHECK(strstr(error.message, cases[i].words) != NULL);
        CHECK_TEXT("managed_identity", error.word);
    }
    mgc_managed_free(m);
}

static void test_when_no_answer_comes(void)
{
    static const struct {
        mgc_code  code;
        mgc_phase phase;
        int64_t   again;
    } cases[] = {{MGC_ECONNECT, MGC_NOT_SENT, -1},
                 {MGC_ETIMEOUT_CONNECT, MGC_NOT_SENT, -1},
                 {MGC_ERESET, MGC_SENT, 2000},
                 {MGC_ETRUNCATED, MGC_ANSWERED, 2000},
                 {MGC_ETIMEOUT_FIRST_BYTE, MGC_SENT, 2000},
                 {MGC_ECANCELLED, MGC_SENT, -1},
                 {MGC_ENOMEM, MGC_SENT, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_managed_options o = options("imds");
        struct mgc_managed        *m = managed(&o);
        struct mgc_token_answer    t;
        int64_t                    again;
        const struct said          s = {0, NULL, NULL, cases[i].code, cases[i].phase};
        CHECK_INT(cases[i].code, settle(m, &s, 0, &t, &again));
        CHECK_INT(cases[i].again, again);
        CHECK(strstr(error.message, "no managed identity at http://127.0.0.1:41000 (imds)") !=
              NULL);
        mgc_managed_free(m);
    }
}

/* ---- Azure Arc ------------------------------------------------------------------------------------ */

static char tokens[] = "/tmp/msgraph-arc-XXXXXX", outside[] = "/tmp/msgraph-key-XXXXXX.key";

#define KEY "a2V5LW9mLWFyYw=="

static const char *in_tokens(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", tokens, name);
    return path;
}

static void put(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

static void set_up_arc(void)
{
    static char large[5000];
    memset(large, 'k', sizeof large);
    mgc_arc_directory = mkdtemp(tokens);
    close(mkstemps(outside, 4));
    put(outside, KEY, strlen(KEY));
    put(in_tokens("good.key"), KEY "\n", strlen(KEY) + 1);
    put(in_tokens("full.key"), large, 4096);
    put(in_tokens("large.key"), large, 4097);
    put(in_tokens("empty.key"), "\n", 1);
    put(in_tokens("lines.key"), "a\r\nX-Evil: 1", 12);
    put(in_tokens("good.txt"), KEY, strlen(KEY));
    put(in_tokens(".key"), KEY, strlen(KEY));
    CHECK_INT(0, symlink(outside, in_tokens("link.key")));
    CHECK_INT(0, mkdir(in_tokens("dir.key"), 0700));
    CHECK_INT(0, mkfifo(in_tokens("pipe.key"), 0600));
    put(in_tokens("dir.key/deep.key"), KEY, strlen(KEY));
}

static void clean_up_arc(void)
{
    static const char *const names[] = {"good.key",  "full.key",        "large.key", "empty.key",
                                        "lines.key", "good.txt",        ".key",      "link.key",
                                        "pipe.key",  "dir.key/deep.key"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(in_tokens(names[i]));
    rmdir(in_tokens("dir.key"));
    rmdir(tokens);
    unlink(outside);
}

static mgc_code prove(struct mgc_secret *proof, const char *format, const char *path)
{
    char headers[1024];
    snprintf(headers, sizeof headers, format, path);
    return mgc_arc_prove(proof, headers, strlen(headers), &error);
}

static void test_the_key_of_arc(void)
{
    static const char *const forms[] = {"WWW-Authenticate: Basic realm=%s\r\n",
                                        "www-authenticate: basic realm=\"%s\"\r\n"};
    struct mgc_secret        proof   = {0};
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(MGC_OK, prove(&proof, forms[i], in_tokens("good.key")));
        CHECK_TEXT("Basic " KEY, proof.text);
        mgc_secret_clear(&proof);
    }
    CHECK_INT(MGC_OK, prove(&proof, forms[0], in_tokens("full.key")));
    CHECK_INT(6 + 4096, proof.len);
    mgc_secret_clear(&proof);
}

static void test_what_arc_may_not_make_us_read(void)
{
    static const char        realm[]   = "WWW-Authenticate: Basic realm=%s\r\n";
    static const char *const names[]   = {"large.key",  "empty.key", "lines.key",        "good.txt",
                                          ".key",       "link.key",  "dir.key",          "pipe.key",
                                          "none.key",   "",          "dir.key/deep.key", "../x.key",
                                          "./good.key", "/good.key"};
    static const char *const headers[] = {
        "", "WWW-Authenticate: Bearer realm=%s\r\n", "WWW-Authenticate: Basic\r\n",
        "WWW-Authenticate: Basic realm=\r\n", "X-Authenticate: Basic realm=%s\r\n"};
    struct mgc_secret proof = {0};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_INT(MGC_ETOKEN, prove(&proof, realm, in_tokens(names[i])));
    CHECK_INT(MGC_ETOKEN, prove(&proof, realm, outside));
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        CHECK_INT(MGC_ETOKEN, prove(&proof, headers[i], in_tokens("good.key")));
    CHECK(proof.text == NULL);
}

static void test_arc_is_asked_twice(void)
{
    struct mgc_managed_options o = options("azure_arc");
    struct mgc_managed        *m = managed(&o);
    struct mgc_token_answer    t;
    int64_t                    again;
    char                       headers[512];
    snprintf(headers, sizeof headers, "WWW-Authenticate: Basic realm=%s\r\n",
             in_tokens("good.key"));
    const struct said challenge = {401, headers, "", MGC_OK, MGC_ANSWERED};
    CHECK_INT(MGC_ETOKEN, settle(m, &challenge, 0, &t, &again));
    CHECK_INT(0, again);
    CHECK_INT(MGC_ETOKEN, settle(m, &challenge, 0, &t, &again)); /* its proof was refused */
    CHECK_INT(-1, again);
    CHECK_INT(MGC_ETOKEN, settle(m, &challenge, 0, &t, &again)); /* and it all begins anew */
    CHECK_INT(0, again);
    struct mgc_request *r = begin(m);
    CHECK(has_header(r, "Authorization: Basic " KEY));
    CHECK(has_header(r, "Metadata: true"));
    mgc_request_free(r);
    r = begin(m); /* a proof is for one request */
    CHECK(!has_header(r, "Authorization: Basic " KEY));
    mgc_request_free(r);
    mgc_managed_free(m);
    o = options("imds"); /* who does not play Arc can not make us read */
    m = managed(&o);
    CHECK_INT(MGC_ETOKEN, settle(m, &challenge, 0, &t, &again));
    CHECK_INT(-1, again);
    mgc_managed_free(m);
}

/* A host over plain HTTP, for so many requests: Arc's agent. */
static int agent;

static void *play_agent(void *unused)
{
    char request[8192], answer[512];
    for (int i = 0; i < 2; i++) {
        int     fd             = accept(agent, NULL, NULL);
        ssize_t n              = read(fd, request, sizeof request - 1);
        request[n > 0 ? n : 0] = '\0';
        const char *token      = "{\"access_token\":\"token-2\",\"expires_in\":\"3600\"}";
        if (strstr(request, "\r\nAuthorization: Basic " KEY "\r\n") != NULL)
            snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(token), token);
        else
            snprintf(answer, sizeof answer,
                     "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=%s/good.key\r\n"
                     "Connection: close\r\nContent-Length: 0\r\n\r\n",
                     tokens);
        if (write(fd, answer, strlen(answer)) < 0)
            perror("agent");
        close(fd);
    }
    return unused;
}

static int listen_on_loopback(void)
{
    struct sockaddr_in at   = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          size = sizeof at;
    agent                   = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(agent, (struct sockaddr *)&at, sizeof at) == 0 && listen(agent, 8) == 0 &&
          getsockname(agent, (struct sockaddr *)&at, &size) == 0);
    return ntohs(at.sin_port);
}

/* ---- over real sockets ---------------------------------------------------------------------------- */

static struct server server;

/* A request to the server with a token from the host. */
static struct mgc_exchange *fetch_and_send(const struct mgc_managed_options *host)
{
    struct mgc_credential_options who   = {.grant = MGC_MANAGED_IDENTITY, .managed = *host};
    struct mgc_origin_options     graph = origin_options(server.endpoint, server.ca_file);
    struct mgc_request_spec       spec  = request("GET", "/echo");
    struct mgc_transport         *t     = NULL;
    struct mgc_origin            *o     = NULL;
    CHECK_INT(MGC_OK, mgc_credential_new(&graph.credential, &who, &error));
    CHECK_INT(MGC_OK, mgc_origin_new(&o, &graph, &error));
    CHECK_INT(MGC_OK, mgc_transport_new(&t, &error));
    mgc_credential_unref(graph.credential);
    struct mgc_exchange *x = send_one(t, o, &spec, &error);
    CHECK(x != NULL);
    mgc_transport_free(t);
    mgc_origin_unref(o);
    return x;
}

static void test_arc_over_plain_http(void)
{
    struct mgc_managed_options o = options("azure_arc");
    char                       url[64];
    pthread_t                  thread;
    fake_mem_look_for(KEY);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/token", listen_on_loopback());
    o.endpoint = url;
    CHECK_INT(0, pthread_create(&thread, NULL, play_agent, NULL));
    struct mgc_exchange *x = fetch_and_send(&o);
    pthread_join(thread, NULL);
    close(agent);
    CHECK_INT(MGC_OK, x->attempt.error.code);
    CHECK(strstr(mgc_buf_text(&x->attempt.body), "Authorization: Bearer token-2") != NULL);
    mgc_exchange_free(x);
    CHECK(!fake_mem_seen());
    fake_mem_look_for(NULL);
}

static void test_a_pinned_certificate(void)
{
    struct mgc_managed_options o = options("service_fabric");
    char                       url[128];
    snprintf(url, sizeof url, "%s/good/oauth2/v2.0/token", server.endpoint);
    o.endpoint   = url;
    o.thumbprint = server.thumbprint;
    fake_mem_look_for("s3cr3t-of-host");
    struct mgc_exchange *x = fetch_and_send(&o);
    CHECK_INT(MGC_OK, x->attempt.error.code);
    CHECK(strstr(mgc_buf_text(&x->attempt.body), "Authorization: Bearer token-") != NULL);
    CHECK(strstr(mgc_buf_text(&x->attempt.body), "s3cr3t") == NULL); /* Graph is not told */
    mgc_exchange_free(x);
    CHECK(!fake_mem_seen());
    fake_mem_look_for(NULL);

    o.thumbprint = "00112233445566778899AABBCCDDEEFF00112233";
    x            = fetch_and_send(&o);
    CHECK_INT(MGC_ETLS_UNTRUSTED, x->attempt.error.code);
    mgc_exchange_free(x);
}

static mgc_code code_of(struct mgc_transport *t, struct mgc_origin *o)
{
    struct mgc_request_spec spec = request("GET", "/json");
    struct mgc_exchange    *x    = send_one(t, o, &spec, &error);
    mgc_code                code = x->attempt.error.code;
    mgc_exchange_free(x);
    mgc_origin_unref(o);
    return code;
}

/* A certificate for another name, which no authority signed: a pin accepts it, and no other origin of the
 * same transport does, before or after. */
static void test_a_pin_is_for_its_origin_alone(void)
{
    struct server         odd;
    struct mgc_transport *t = NULL;
    struct mgc_origin    *o = NULL;
    server_start(&odd, SERVER_WRONG_NAME);
    struct mgc_origin_options strict = origin_options(odd.endpoint, odd.ca_file),
                              bare = origin_options(odd.endpoint, NULL), pinned = bare;
    pinned.metadata                    = true;
    pinned.thumbprint                  = odd.thumbprint;
    struct mgc_origin_options other    = pinned;
    other.thumbprint                   = server.thumbprint;
    struct mgc_origin_options unpinned = bare;
    unpinned.metadata                  = true;
    const struct {
        const struct mgc_origin_options *options;
        mgc_code                         code;
    } steps[] = {{&strict, MGC_ETLS_NAME}, {&pinned, MGC_OK},
                 {&strict, MGC_ETLS_NAME}, {&bare, MGC_ETLS_UNTRUSTED},
                 {&pinned, MGC_OK},        {&other, MGC_ETLS_UNTRUSTED},
                 {&pinned, MGC_OK},        {&unpinned, MGC_ETLS_UNTRUSTED}};
    CHECK_INT(MGC_OK, mgc_transport_new(&t, &error));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        CHECK_INT(MGC_OK, mgc_origin_new(&o, steps[i].options, &error));
        CHECK_INT(steps[i].code, code_of(t, o));
    }
    mgc_transport_free(t);
    server_stop(&odd);
}

static void test_only_metadata_may_be_plain_or_pinned(void)
{
    struct mgc_origin        *o     = NULL;
    struct mgc_origin_options plain = origin_options("http://127.0.0.1", NULL);
    CHECK_INT(MGC_EOPTION, mgc_origin_new(&o, &plain, &error));
    CHECK_INT(MGC_EOPTION, new_origin(&o, &plain, &error));
    plain.metadata = true;
    CHECK_INT(MGC_EOPTION, new_origin(&o, &plain, &error)); /* with a token */
    CHECK(strstr(error.message, "no token") != NULL);
    struct mgc_origin_options pinned = origin_options("https://127.0.0.1", NULL);
    pinned.thumbprint                = server.thumbprint;
    CHECK_INT(MGC_EOPTION, mgc_origin_new(&o, &pinned, &error));
    CHECK(o == NULL);
}

static void test_nobody_there(void)
{
    struct mgc_managed_options o = options("imds");
    char                       url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/token", listen_on_loopback());
    close(agent); /* the port is free again, and nobody listens */
    o.endpoint             = url;
    struct mgc_exchange *x = fetch_and_send(&o);
    CHECK_INT(MGC_ECONNECT, x->attempt.error.code);
    CHECK_INT(MGC_NOT_SENT, x->attempt.phase);
    CHECK(strstr(x->attempt.error.message, "no managed identity at") != NULL);
    mgc_exchange_free(x);
}

int main(void)
{
    server_start(&server, SERVER_GOOD);
    fake_mem_install();
    set_up_arc();
    RUN(test_each_host_is_asked_in_its_own_way);
    RUN(test_service_fabric_is_asked_over_https);
    RUN(test_what_a_host_does_not_know_is_refused);
    RUN(test_endpoints_that_can_not_be_used);
    RUN(test_waits);
    RUN(test_the_life_of_a_token);
    RUN(test_five_tries_then_the_reason);
    RUN(test_refusals_in_every_dialect);
    RUN(test_when_no_answer_comes);
    RUN(test_the_key_of_arc);
    RUN(test_what_arc_may_not_make_us_read);
    RUN(test_arc_is_asked_twice);
    RUN(test_arc_over_plain_http);
    RUN(test_a_pinned_certificate);
    RUN(test_a_pin_is_for_its_origin_alone);
    RUN(test_only_metadata_may_be_plain_or_pinned);
    RUN(test_nobody_there);
    clean_up_arc();
    server_stop(&server);
    return REPORT("managed");
}
