/* spec/core/test_identity.c - tokens, assertions, answers; and credentials at work over real TLS. */
#include "check.h"
#include "fakes.h"
#include "harness.h"
#include "server.h"

#include "core/base/clock.h"
#include "core/identity/answer.h"
#include "core/identity/base64.h"
#include "core/identity/jwt.h"
#include "core/identity/token.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <unistd.h>

static struct mgc_error error;

/* ---- tokens ------------------------------------------------------------------------------------- */

static mgc_freshness at(int64_t life_s, int64_t refresh_s, double jitter, int64_t age_s)
{
    struct mgc_token *t = NULL;
    CHECK_INT(MGC_OK, mgc_token_new(&t, "x", 1, 1000, life_s * 1000, refresh_s * 1000, jitter));
    mgc_freshness f = mgc_token_freshness(t, 1000 + age_s * 1000);
    mgc_token_unref(t);
    return f;
}

static void test_a_token_ages_before_it_is_stale(void)
{
    CHECK_INT(MGC_FRESH, at(3600, 0, 0, 2999));
    CHECK_INT(MGC_AGING, at(3600, 0, 0, 3000)); /* life - 600 s */
    CHECK_INT(MGC_AGING, at(3600, 0, 0, 3299));
    CHECK_INT(MGC_STALE, at(3600, 0, 0, 3300)); /* a margin of 300 s */
    CHECK_INT(MGC_FRESH, at(86400, 0, 0, 43199));
    CHECK_INT(MGC_AGING, at(86400, 0, 0, 43200)); /* long ones: half life */
    CHECK_INT(MGC_AGING, at(86400, 600, 0, 600)); /* the issuer's own word wins */
    CHECK_INT(MGC_FRESH, at(60, 0, 0, 29));       /* short ones: half life, a tenth as margin */
    CHECK_INT(MGC_AGING, at(60, 0, 0, 53));
    CHECK_INT(MGC_STALE, at(60, 0, 0, 54));
    CHECK_INT(MGC_FRESH, at(0, 0, 0, 1000000)); /* given for ever */
}

static void test_jitter_only_makes_renewal_earlier(void)
{
    CHECK_INT(MGC_FRESH, at(3600, 0, 0.999, 2849));
    CHECK_INT(MGC_AGING, at(3600, 0, 0.999, 2851)); /* 5 % of 3000 s */
    CHECK_INT(MGC_STALE, at(3600, 0, 0.999, 3300));
}

static void test_base64url(void)
{
    static const struct {
        const char *in, *out;
    } cases[] = {{"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"}, {"\xfb\xff", "-_8"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_buf b;
        mgc_buf_init(&b, 100);
        CHECK_INT(MGC_OK, mgc_base64url(&b, cases[i].in, strlen(cases[i].in)));
        CHECK_TEXT(cases[i].out, mgc_buf_text(&b));
        mgc_buf_clear(&b);
    }
}

/* ---- answers -------------------------------------------------------------------------------------- */

static mgc_code read_answer(struct mgc_token_answer *a, const char *json)
{
    memset(a, 0, sizeof *a);
    return mgc_answer_read(a, json, strlen(json));
}

static void test_answers(void)
{
    struct mgc_token_answer a;
    CHECK_INT(MGC_OK,
              read_answer(&a, "{\"access_token\":\"t\",\"expires_in\":3599,\"refresh_in\":1800,"
                              "\"refresh_token\":\"r\"}"));
    CHECK_TEXT("t", a.access_token.text);
    CHECK_TEXT("r", a.refresh_token.text);
    CHECK_INT(3599, a.life_s);
    CHECK_INT(1800, a.refresh_s);
    mgc_answer_clear(&a);
    CHECK_INT(MGC_OK, read_answer(&a, "{\"access_token\":\"t\",\"expires_in\":\"3599\"}"));
    CHECK_INT(3599, a.life_s); /* managed identity sends texts */
    mgc_answer_clear(&a);
    CHECK_INT(
        MGC_OK,
        read_answer(&a, "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS1: a\\r\\nb\","
                        "\"error_codes\":[1,700024]}"));
    CHECK_TEXT("invalid_grant", a.error);
    CHECK_TEXT("AADSTS1: a", a.text);
    CHECK(a.clock_wrong);
    CHECK(a.access_token.text == NULL);
}

static void test_what_is_no_answer(void)
{
    static const char *const cases[] = {"",
                                        "{}",
                                        "[]",
                                        "<html>",
                                        "{\"access_token\":5}",
                                        "{\"access_token\":\"\"}",
                                        "{\"access_token\":\"a\",\"access_token\":\"b\"}",
                                        "null"};
    struct mgc_token_answer  a;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_INT(MGC_EANSWER, read_answer(&a, cases[i]));
}

/* ---- keys and assertions ---------------------------------------------------------------------------- */

static char      pem_file[] = "/tmp/msgraph-key-XXXXXX", p12_file[] = "/tmp/msgraph-p12-XXXXXX";
static EVP_PKEY *rsa;
static X509     *certificate;

static void make_files(void)
{
    rsa         = EVP_RSA_gen(2048);
    certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, rsa);
    X509_sign(certificate, rsa, EVP_sha256());
    FILE *pem = fdopen(mkstemp(pem_file), "w");
    PEM_write_X509(pem, certificate);
    PEM_write_PrivateKey(pem, rsa, EVP_aes_256_cbc(), NULL, 0, NULL, (void *)"sesame");
    fclose(pem);
    FILE   *p12    = fdopen(mkstemp(p12_file), "w");
    PKCS12 *bundle = PKCS12_create("sesame", "me", rsa, certificate, NULL, 0, 0, 0, 0, 0);
    i2d_PKCS12_fp(p12, bundle);
    PKCS12_free(bundle);
    fclose(p12);
}

static void remove_files(void)
{
    unlink(pem_file);
    unlink(p12_file);
    X509_free(certificate);
    EVP_PKEY_free(rsa);
}

static size_t decode(unsigned char *out, const char *text, size_t n)
{
    char padded[4096];
    for (size_t i = 0; i < n; i++)
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    size_t pad = (4 - n % 4) % 4;
    memset(padded + n, '=', pad);
    int len = EVP_DecodeBlock(out, (unsigned char *)padded, (int)(n + pad));
    CHECK(len > 0);
    return (size_t)len - pad;
}

static bool verifies(const char *jwt, const char *dot, bool pss)
{
    unsigned char sig[512];
    size_t        n   = decode(sig, dot + 1, strlen(dot + 1));
    EVP_MD_CTX   *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options;
    EVP_DigestVerifyInit(ctx, &options, EVP_sha256(), NULL, rsa);
    if (pss) {
        EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST);
    }
    bool ok = EVP_DigestVerify(ctx, sig, n, (const unsigned char *)jwt, (size_t)(dot - jwt)) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static json_t *part(const char *text, size_t n)
{
    unsigned char out[4096];
    size_t        len = decode(out, text, n);
    return json_loadb((char *)out, len, 0, NULL);
}

static void check_assertion(const char *path, mgc_alg alg)
{
    const struct mgc_jwt_claims claims = {"client", "https://login/t/oauth2/v2.0/token", "id-1",
                                          1000000};
    struct mgc_key             *k      = NULL;
    struct mgc_buf              b, thumb;
    mgc_buf_init(&b, 8192);
    mgc_buf_init(&thumb, 100);
    CHECK_INT(MGC_OK, mgc_key_load(&k, path, "sesame", &error));
    CHECK_INT(MGC_OK, mgc_jwt_assertion(&b, k, alg, &claims));
    const char *jwt = mgc_buf_text(&b), *first = strchr(jwt, '.'), *second = strchr(first + 1, '.');
    CHECK(verifies(jwt, second, alg == MGC_PS256));
    json_t *head = part(jwt, (size_t)(first - jwt)),
           *body = part(first + 1, (size_t)(second - first - 1));
    CHECK_INT(MGC_OK, mgc_key_thumbprint(k, alg, &thumb));
    CHECK_TEXT(alg == MGC_PS256 ? "PS256" : "RS256",
               json_string_value(json_object_get(head, "alg")));
    CHECK_TEXT(mgc_buf_text(&thumb),
               json_string_value(json_object_get(head, alg == MGC_PS256 ? "x5t#S256" : "x5t")));
    CHECK_INT(alg == MGC_PS256 ? 43 : 27, thumb.len);
    CHECK_TEXT("client", json_string_value(json_object_get(body, "iss")));
    CHECK_TEXT("client", json_string_value(json_object_get(body, "sub")));
    CHECK_TEXT(claims.audience, json_string_value(json_object_get(body, "aud")));
    CHECK_TEXT("id-1", json_string_value(json_object_get(body, "jti")));
    CHECK_INT(1000000 - 30, json_integer_value(json_object_get(body, "nbf")));
    CHECK_INT(1000000 + 600, json_integer_value(json_object_get(body, "exp")));
    json_decref(head);
    json_decref(body);
    mgc_buf_clear(&thumb);
    mgc_buf_clear(&b);
    mgc_key_free(k);
}

static void test_assertions_verify(void)
{
    check_assertion(pem_file, MGC_PS256);
    check_assertion(pem_file, MGC_RS256);
    check_assertion(p12_file, MGC_PS256);
}

static void test_key_files_that_can_not_be_used(void)
{
    struct mgc_key *k = NULL;
    CHECK_INT(MGC_EOPTION, mgc_key_load(&k, "/no/such/file", NULL, &error));
    CHECK(strstr(error.message, "/no/such/file: No such file") != NULL);
    CHECK_INT(MGC_EOPTION, mgc_key_load(&k, pem_file, "wrong", &error));
    CHECK(strstr(error.message, "password") != NULL);
    CHECK_INT(MGC_EOPTION,
              mgc_key_load(&k, pem_file, NULL, &error)); /* and nobody is asked on the terminal */
    CHECK_INT(MGC_EOPTION, mgc_key_load(&k, p12_file, "wrong", &error));
    CHECK(strstr(error.message, "password") != NULL);
    CHECK(strstr(error.message, "wrong") == NULL);
    CHECK_INT(MGC_EOPTION, mgc_key_load(&k, "/etc/hostname", NULL, &error));
    CHECK(k == NULL);
}

/* ---- at work ---------------------------------------------------------------------------------------- */

static struct server         server;
static struct mgc_transport *transport;
static struct mgc_origin    *origin;

static struct mgc_credential *credential(const char *tenant, bool certified)
{
    struct mgc_credential              *c = NULL;
    const struct mgc_credential_options o = {.grant               = MGC_CLIENT_CREDENTIALS,
                                             .authority           = server.endpoint,
                                             .tenant              = tenant,
                                             .proof.client_id     = "client",
                                             .scope               = "https://graph/.default",
                                             .proof.client_secret = certified ? NULL : "s3cr3t+&=",
                                             .proof.certificate   = certified ? pem_file : NULL,
                                             .proof.password      = "sesame",
                                             .ca_file             = server.ca_file};
    CHECK_INT(MGC_OK, mgc_credential_new(&c, &o, &error));
    return c;
}

static void open_for(const char *tenant, bool certified)
{
    struct mgc_origin_options o = origin_options(server.endpoint, server.ca_file);
    o.credential                = credential(tenant, certified);
    CHECK_INT(MGC_OK, mgc_origin_new(&origin, &o, &error));
    mgc_credential_unref(o.credential); /* the origin has its own */
    CHECK_INT(MGC_OK, mgc_transport_new(&transport, &error));
}

static void close_all(void)
{
    mgc_transport_free(transport);
    mgc_origin_unref(origin);
}

static struct mgc_exchange *go(const char *method, const char *target)
{
    struct mgc_request_spec spec = request(method, target);
    return send_one(transport, origin, &spec, &error);
}

static int ask(const char *target)
{
    struct mgc_exchange *x = go("GET", target);
    int                  n = atoi(mgc_buf_text(&x->attempt.body));
    mgc_exchange_free(x);
    return n;
}

static void test_many_requests_share_one_token_request(void)
{
    enum { MANY = 64 };
    struct mgc_request_spec spec = request("GET", "/echo");
    uint64_t                id;
    int                     before;
    open_for("good", false);
    before = ask("/tokens");
    close_all();
    open_for("good", false);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    for (int i = 0; i < MANY; i++) {
        struct mgc_exchange *x = finish_one(transport);
        CHECK_INT(MGC_OK, x->attempt.error.code);
        CHECK(strstr(mgc_buf_text(&x->attempt.body), "Authorization: Bearer token-") != NULL);
        mgc_exchange_free(x);
    }
    CHECK_INT(before + 1, ask("/tokens"));
    close_all();
}

static void test_a_certificate_signs_in(void)
{
    open_for("good", true);
    struct mgc_exchange *x = go("GET", "/json");
    CHECK_INT(200, x->attempt.status);
    mgc_exchange_free(x);
    close_all();
}

static void test_a_refusal_reaches_all_who_wait_and_is_not_repeated(void)
{
    struct mgc_request_spec spec = request("POST", "/status/204");
    uint64_t                id;
    open_for("refused", false);
    for (int i = 0; i < 5; i++)
        CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    for (int i = 0; i < 5; i++) {
        struct mgc_exchange *x = finish_one(transport);
        CHECK_INT(MGC_ETOKEN, x->attempt.error.code);
        CHECK_TEXT("auth", mgc_exchange_kind(x));
        CHECK_TEXT("invalid_client", x->attempt.error.word);
        CHECK(strstr(x->attempt.error.message, "AADSTS7000215: Wrong.") != NULL);
        CHECK_INT(MGC_NOT_SENT, x->attempt.phase);
        mgc_exchange_free(x);
    }
    struct mgc_exchange *x = go("POST", "/status/204"); /* answered from memory for a minute */
    CHECK_INT(MGC_ETOKEN, x->attempt.error.code);
    mgc_exchange_free(x);
    close_all();
}

static void test_a_passing_failure_is_tried_once_more(void)
{
    for (int i = 0; i < 2; i++) { /* one of them meets the 503 first */
        open_for("flaky", false);
        struct mgc_exchange *x = go("GET", "/json");
        CHECK_INT(MGC_OK, x->attempt.error.code);
        CHECK_INT(200, x->attempt.status);
        mgc_exchange_free(x);
        close_all();
    }
    open_for("down", false);
    struct mgc_exchange *x = go("GET", "/json");
    CHECK_INT(MGC_ETOKEN, x->attempt.error.code);
    CHECK(strstr(x->attempt.error.message, "503") != NULL);
    mgc_exchange_free(x);
    close_all();
}

static void test_an_odd_answer_is_an_error(void)
{
    open_for("odd", false);
    struct mgc_exchange *x = go("GET", "/json");
    CHECK_INT(MGC_EANSWER, x->attempt.error.code);
    CHECK_TEXT("protocol", mgc_exchange_kind(x));
    mgc_exchange_free(x);
    close_all();
}

static void test_a_wrong_clock_is_mended_once(void)
{
    for (int i = 0; i < 2; i++) { /* one of them is told that its clock is wrong */
        open_for("late", true);
        struct mgc_exchange *x = go("GET", "/json");
        CHECK_INT(MGC_OK, x->attempt.error.code);
        mgc_exchange_free(x);
        close_all();
    }
}

/* An odd token is refused with 401, the next one is even: a POST too goes on with it. */
static void test_a_refused_token_is_replaced_once(void)
{
    for (int i = 0; i < 3; i++) {
        open_for("good", false);
        struct mgc_exchange *x = go("POST", "/private");
        CHECK_INT(204, x->attempt.status);
        mgc_exchange_free(x);
        close_all();
    }
}

static void test_a_given_token_is_not(void)
{
    struct mgc_origin_options o = origin_options(server.endpoint, server.ca_file);
    CHECK_INT(MGC_OK, new_origin(&origin, &o, &error));
    CHECK_INT(MGC_OK, mgc_transport_new(&transport, &error));
    struct mgc_exchange *x = go("POST", "/private");
    CHECK_INT(401, x->attempt.status);
    mgc_exchange_free(x);
    close_all();
}

static void test_a_short_token_is_renewed(void)
{
    open_for("short", false);
    int first = ask("/tokens");
    usleep(1300 * 1000); /* past half of its life: aging */
    mgc_exchange_free(go("GET", "/json"));
    for (int i = 0; i < 100 && ask("/tokens") == first; i++)
        usleep(10000);
    CHECK(ask("/tokens") > first);
    close_all();
}

static void test_waiting_for_a_token_can_be_cancelled(void)
{
    struct mgc_request_spec spec = request("POST", "/status/204");
    uint64_t                id;
    int                     n;
    open_for("good", false);
    CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    CHECK_INT(MGC_OK, mgc_transport_step(transport, 0, &n, &error));
    CHECK(mgc_transport_cancel(transport, id));
    struct mgc_exchange *x = mgc_transport_take(transport);
    CHECK_INT(MGC_ECANCELLED, x->attempt.error.code);
    CHECK_INT(MGC_NOT_SENT, x->attempt.phase);
    mgc_exchange_free(x);
    close_all(); /* with the token request under way */
}

static void test_no_freed_memory_holds_a_secret(void)
{
    static const char *const secrets[] = {"s3cr3t", "token-"};
    for (size_t i = 0; i < 2; i++) {
        fake_mem_look_for(secrets[i]);
        open_for("good", false);
        mgc_exchange_free(go("POST", "/status/204"));
        close_all();
        CHECK(!fake_mem_seen());
        fake_mem_look_for(NULL);
    }
}

static void test_options_that_are_missing_are_named(void)
{
    struct mgc_credential        *c = NULL;
    struct mgc_credential_options o = {.grant           = MGC_CLIENT_CREDENTIALS,
                                       .authority       = "https://login",
                                       .tenant          = "t",
                                       .proof.client_id = "c",
                                       .scope           = "s"};
    CHECK_INT(MGC_EOPTION, mgc_credential_new(&c, &o, &error));
    CHECK(strstr(error.message, "client_secret") != NULL);
    o.proof.client_secret = "x";
    o.tenant              = "";
    CHECK_INT(MGC_EOPTION, mgc_credential_new(&c, &o, &error));
    CHECK(strstr(error.message, "tenant_id") != NULL);
    o.tenant    = "t";
    o.authority = "http://login";
    CHECK_INT(MGC_EOPTION, mgc_credential_new(&c, &o, &error));
    CHECK(strstr(error.message, "authority: it must begin with https") != NULL);
    o.authority       = "https://login";
    o.proof.client_id = NULL;
    CHECK_INT(MGC_EOPTION, mgc_credential_new(&c, &o, &error));
    CHECK(strstr(error.message, "client_id") != NULL);
    CHECK(c == NULL);
}

int main(void)
{
    server_start(&server, SERVER_GOOD);
    fake_mem_install();
    make_files();
    RUN(test_a_token_ages_before_it_is_stale);
    RUN(test_jitter_only_makes_renewal_earlier);
    RUN(test_base64url);
    RUN(test_answers);
    RUN(test_what_is_no_answer);
    RUN(test_assertions_verify);
    RUN(test_key_files_that_can_not_be_used);
    RUN(test_many_requests_share_one_token_request);
    RUN(test_a_certificate_signs_in);
    RUN(test_a_refusal_reaches_all_who_wait_and_is_not_repeated);
    RUN(test_a_passing_failure_is_tried_once_more);
    RUN(test_an_odd_answer_is_an_error);
    RUN(test_a_wrong_clock_is_mended_once);
    RUN(test_a_refused_token_is_replaced_once);
    RUN(test_a_given_token_is_not);
    RUN(test_a_short_token_is_renewed);
    RUN(test_waiting_for_a_token_can_be_cancelled);
    RUN(test_no_freed_memory_holds_a_secret);
    RUN(test_options_that_are_missing_are_named);
    remove_files();
    server_stop(&server);
    return REPORT("identity");
}
