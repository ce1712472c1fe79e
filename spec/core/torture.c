/* spec/core/torture.c - every scenario with allocation n failing, for n = 0, 1, 2, ... until it
 * passes untouched. libcurl's memory is counted too. At no n may it crash, leak, send a POST
 * twice, or call a success what is none.
 */
#include "fakes.h"
#include "harness.h"
#include "server.h"

#include "core/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct server server;

enum { LONGEST = 20000 }; /* no scenario allocates as often: more means it never ends */

struct scenario {
    const char *name, *method, *path;
    int         status; /* of its answer; 0: none comes */
    bool        fails;  /* when it has all its memory, too */
    bool        rich;   /* with headers and a body */
    bool        cancel;
    enum {
        GIVEN,
        SECRET,
        CAPABLE,
        HOST,
        DEVICE,
        CODE,
        STORED
    } signs_in; /* a token is fetched first: with a secret, twice with one, from the host, of a user */
    bool again; /* sent again when it is throttled */
    bool held;  /* until the gate opens, which another has closed */
};

static const struct scenario scenarios[] = {
    {"a POST", "POST", "/status/204", 204, false, false, false, GIVEN, false, false},
    {"a page", "GET", "/json", 200, false, false, false, GIVEN, false, false},
    {"a PATCH with a body", "PATCH", "/json", 200, false, true, false, GIVEN, false, false},
    {"a large body", "GET", "/large/300000", 200, false, false, false, GIVEN, false, false},
    {"a reset", "POST", "/reset", 0, true, false, false, GIVEN, false, false},
    {"a cut body", "GET", "/cut", 200, true, false, false, GIVEN, false, false},
    {"a deadline", "GET", "/silent", 0, true, false, false, GIVEN, false, false},
    {"a cancel", "POST", "/silent", 0, true, false, true, GIVEN, false, false},
    {"a sign-in", "POST", "/status/204", 204, false, false, false, SECRET, false, false},
    {"a managed identity", "POST", "/status/204", 204, false, false, false, HOST, false, false},
    {"a challenge", "POST", "/private", 204, false, false, false, CAPABLE, false, false},
    {"a device code", "POST", "/status/204", 204, false, false, false, DEVICE, false, false},
    {"an authorization code", "POST", "/status/204", 204, false, false, false, CODE, false, false},
    {"a stored sign-in", "POST", "/status/204", 204, false, false, false, STORED, false, false},
    {"a retry", "GET", "/odd/15/429/1", 200, false, false, false, GIVEN, true, false},
    {"a request that is held", "GET", "/json", 200, false, false, false, GIVEN, false, true},
};

static struct mgc_exchange *perform(const struct scenario *s, struct mgc_transport *t,
                                    struct mgc_origin *o)
{
    static const struct mgc_header headers[] = {{"Content-Type", "application/json", 12, 16},
                                                {"Prefer", "return=minimal", 6, 14}};
    struct mgc_request_spec        spec      = request(s->method, s->path);
    struct mgc_error               e;
    uint64_t                       id;
    int                            n;
    spec.deadline_ms = s->status == 0 ? 40 : 2000;
    spec.once        = !s->again;
    if (s->rich) {
        spec.headers   = headers;
        spec.n_headers = 2;
        spec.body      = "{\"a\":[]}";
        spec.body_len  = 8;
    }
    if (s->held) {
        const struct mgc_request_spec busy = request("GET", "/busy");
        mgc_exchange_free(send_one(t, o, &busy, &e));
    }
    if (!s->cancel)
        return send_one(t, o, &spec, &e);
    if (mgc_transport_submit(t, o, &spec, &id, &e) != MGC_OK ||
        mgc_transport_step(t, 5, &n, &e) != MGC_OK)
        return NULL;
    mgc_transport_cancel(t, id);
    return mgc_transport_take(t);
}

static mgc_code new_credential(const struct scenario *s, struct mgc_credential **out,
                               struct mgc_store *store, struct mgc_error *e)
{
    char       url[128];
    const bool user = s->signs_in >= DEVICE;
    snprintf(url, sizeof url, "%s/good/oauth2/v2.0/token", server.endpoint);
    const struct mgc_credential_options who = {.grant = user ? MGC_REFRESH : MGC_CLIENT_CREDENTIALS,
                                               .authority           = server.endpoint,
                                               .tenant              = user ? "user"
                                                                      : s->signs_in == CAPABLE ? "capable"
                                                                                               : "good",
                                               .proof.client_id     = "client",
                                               .scope               = "https://graph/.default",
                                               .proof.client_secret = user ? NULL : "secret",
                                               .store               = store,
                                               .ca_file             = server.ca_file};
    const struct mgc_credential_options host = {.grant              = MGC_MANAGED_IDENTITY,
                                                .managed.host       = "service_fabric",
                                                .managed.endpoint   = url,
                                                .managed.resource   = "https://graph",
                                                .managed.secret     = "secret",
                                                .managed.thumbprint = server.thumbprint};
    if (s->signs_in == GIVEN)
        return mgc_credential_given(out, TOKEN, strlen(TOKEN), e);
    return mgc_credential_new(out, s->signs_in == HOST ? &host : &who, e);
}

/* One step of a user's sign-in; "not yet" is asked again. */
static mgc_code step(struct mgc_transport *t, struct mgc_credential *c, mgc_step what,
                     struct mgc_error *e)
{
    for (int i = 0; i < 3; i++) {
        uint64_t id;
        mgc_code rc = mgc_transport_sign_in(t, c, what, 0, &id, e);
        if (rc != MGC_OK)
            return rc;
        struct mgc_exchange *x = finish_one(t);
        *e = x != NULL ? x->attempt.error : (struct mgc_error){.code = MGC_ENOMEM};
        mgc_exchange_free(x);
        if (strcmp(e->word, "authorization_pending") != 0)
            break;
    }
    return e->code;
}

static mgc_code sign_in(const struct scenario *s, struct mgc_transport *t, struct mgc_credential *c,
                        struct mgc_error *e)
{
    mgc_code rc = MGC_OK;
    if (s->signs_in == DEVICE && (rc = step(t, c, MGC_DEVICE_START, e)) == MGC_OK)
        return step(t, c, MGC_DEVICE_POLL, e);
    if (s->signs_in == CODE &&
        (rc = mgc_credential_bring(c, "code", "verifier", "http://x")) == MGC_OK)
        return step(t, c, MGC_REDEEM, e);
    return rc;
}

/* Where a user's sign-ins are kept. */
static char sign_in_file[] = "/tmp/msgraph-torture-XXXXXX";

static mgc_code open_store(struct mgc_store **out, struct mgc_error *e)
{
    static const char     text[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    struct mgc_vault_key *key    = NULL;
    mgc_code              rc     = mgc_vault_from_base64(&key, text, strlen(text), "it", e);
    if (rc != MGC_OK)
        return rc;
    rc = mgc_store_open(out, sign_in_file, key, e);
    if (rc != MGC_OK)
        mgc_vault_free(key);
    return rc;
}

/* A sign-in with a refresh token alone, whatever was there. */
static void fill_store(void)
{
    struct mgc_store  *s  = NULL;
    struct mgc_sign_in in = {0};
    struct mgc_error   e;
    if (open_store(&s, &e) != MGC_OK ||
        mgc_store_read(s, &in, &e) != MGC_OK) /* it is whole at any n */
    {
        fprintf(stderr, "the store: %s\n", e.message);
        exit(2);
    }
    mgc_secret_clear(&in.access_token);
    if (mgc_secret_set(&in.refresh_token, "", "refresh", 7) != MGC_OK ||
        mgc_store_write(s, &in, &e) != MGC_OK)
        exit(2);
    mgc_sign_in_clear(&in);
    mgc_store_unref(s);
}

/* The origin whose credential it is; the store is needed until both are there. */
static mgc_code open_origin(const struct scenario *s, struct mgc_origin **o, struct mgc_error *e)
{
    struct mgc_origin_options options = origin_options(server.endpoint, server.ca_file);
    struct mgc_store         *store   = NULL;
    mgc_code                  rc      = s->signs_in >= DEVICE ? open_store(&store, e) : MGC_OK;
    if (rc == MGC_OK)
        rc = new_credential(s, &options.credential, store, e);
    if (rc == MGC_OK)
        rc = mgc_origin_new(o, &options, e);
    mgc_credential_unref(options.credential);
    mgc_store_unref(store);
    return rc;
}

/* True when it came to its proper end. */
static bool play(const struct scenario *s)
{
    struct mgc_transport *t = NULL;
    struct mgc_origin    *o = NULL;
    struct mgc_exchange  *x = NULL;
    struct mgc_error      e;
    if (open_origin(s, &o, &e) == MGC_OK && mgc_transport_new(&t, &e) == MGC_OK &&
        sign_in(s, t, o->credential, &e) == MGC_OK)
        x = perform(s, t, o);
    bool proper = x != NULL && x->attempt.status == s->status &&
                  (x->attempt.error.code != MGC_OK) == s->fails;
    mgc_exchange_free(x);
    mgc_transport_free(t);
    mgc_origin_unref(o);
    return proper;
}

static int acted(void)
{
    struct mgc_origin_options options = origin_options(server.endpoint, server.ca_file);
    struct mgc_request_spec   spec    = request("GET", "/count");
    struct mgc_transport     *t       = NULL;
    struct mgc_origin        *o       = NULL;
    struct mgc_error          e;
    if (new_origin(&o, &options, &e) != MGC_OK || mgc_transport_new(&t, &e) != MGC_OK)
        exit(2);
    struct mgc_exchange *x = send_one(t, o, &spec, &e);
    int                  n = x != NULL ? atoi(mgc_buf_text(&x->attempt.body)) : -1;
    mgc_exchange_free(x);
    mgc_transport_free(t);
    mgc_origin_unref(o);
    return n;
}

/* How many allocations were made to fail; -1 after a failure, which is told. */
static long torture(const struct scenario *s)
{
    for (long n = 0; n < LONGEST; n++) {
        int before = acted();
        if (s->signs_in >= DEVICE)
            fill_store();
        long live = fake_mem_live();
        fake_mem_fail_at(n);
        bool proper  = play(s);
        bool starved = fake_mem_count() > n;
        fake_mem_fail_at(-1);
        if (fake_mem_live() != live)
            return fprintf(stderr, "%s: %ld blocks leaked at n = %ld\n", s->name,
                           fake_mem_live() - live, n),
                   -1;
        if (s->method[0] == 'P' && s->method[1] == 'O' && acted() > before + 1)
            return fprintf(stderr, "%s: sent twice at n = %ld\n", s->name, n), -1;
        if (!starved)
            return proper ? n : (fprintf(stderr, "%s: fails with all its memory\n", s->name), -1);
    }
    return fprintf(stderr, "%s: no end in sight\n", s->name), -1;
}

static void remove_store(void)
{
    char lock[sizeof sign_in_file + 5];
    snprintf(lock, sizeof lock, "%s.lock", sign_in_file);
    unlink(lock);
    unlink(sign_in_file);
}

int main(void)
{
    int passed = 0, failed = 0;
    server_start(&server, SERVER_GOOD);
    close(mkstemp(sign_in_file));
    unlink(sign_in_file);
    fake_mem_install();
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (scenarios[i].signs_in >= DEVICE)
            fill_store();
        play(&scenarios[i]); /* what libcurl and OpenSSL keep for the process is made now */
        long n = torture(&scenarios[i]);
        printf("# %s: %ld allocations failed one by one\n", scenarios[i].name, n);
        passed += n >= 0;
        failed += n < 0;
    }
    server_stop(&server);
    remove_store();
    printf("torture: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
