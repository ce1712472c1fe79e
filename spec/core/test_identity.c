/* spec/core/test_identity.c - tokens, assertions, answers; and credentials at work over real TLS. */
#include "check.h"
#include "fakes.h"
#include "harness.h"
#include "server.h"

#include "core/base/clock.h"
#include "core/identity/answer.h"
#include "core/identity/base64.h"
#include "core/identity/claims.h"
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

static void test_jitter_is_drawn_once(void)
{
    struct mgc_token *t = NULL;
    CHECK_INT(MGC_OK, mgc_token_new(&t, "x", 1, 0, 3600 * 1000, 0, 0.5));
    const int64_t due_ms = 3000 * 1000 - 3000 * 1000 / 40; /* half of 5 % earlier */
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(MGC_FRESH, mgc_token_freshness(t, due_ms - 1));
        CHECK_INT(MGC_AGING, mgc_token_freshness(t, due_ms));
    }
    mgc_token_unref(t);
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
        mgc_buf_truncate(&b, 0);
        CHECK_INT(MGC_OK, mgc_base64url_decode(&b, cases[i].out, strlen(cases[i].out)));
        CHECK_TEXT(cases[i].in, mgc_buf_text(&b));
        mgc_buf_clear(&b);
    }
}

static void test_what_is_not_base64url(void)
{
    static const char *const cases[] = {"Z",   "Zg==",    "Zh",    "Zm9",  "+_8",
                                        "/_8", "Zm9v Zg", "Zm9v.", "Zm9=", "\xc3\xbc"};
    struct mgc_buf           b;
    mgc_buf_init(&b, 8);
    CHECK_INT(MGC_OK, mgc_buf_append(&b, "kept", 4));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_INT(MGC_EANSWER, mgc_base64url_decode(&b, cases[i], strlen(cases[i])));
    CHECK_INT(MGC_EANSWER, mgc_base64url_decode(&b, "Zm9v\0Zm9v", 9));
    CHECK_INT(MGC_ETOO_LARGE, mgc_base64url_decode(&b, "Zm9vZm9v", 8));
    CHECK_TEXT("kept", mgc_buf_text(&b));
    mgc_buf_clear(&b);
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

static void test_answers_in_full(void)
{
    struct mgc_token_answer a;
    CHECK_INT(MGC_OK,
              read_answer(&a, "{\"access_token\":\"t\",\"id_token\":\"i\",\"scope\":\"User.Read "
                              "Mail.Read\"}"));
    CHECK_TEXT("i", a.id_token.text);
    CHECK_TEXT("User.Read Mail.Read", mgc_buf_text(&a.scope));
    CHECK_TEXT("", a.suberror);
    CHECK_INT(0, a.claims.len);
    mgc_answer_clear(&a);
    mgc_answer_clear(&a);
    CHECK_INT(MGC_OK,
              read_answer(&a, "{\"error\":\"interaction_required\",\"suberror\":\"basic_action\","
                              "\"claims\":\"{\\\"access_token\\\":{}}\"}"));
    CHECK_TEXT("basic_action", a.suberror);
    CHECK_TEXT("{\"access_token\":{}}", mgc_buf_text(&a.claims));
    mgc_answer_clear(&a);
}

static void test_claims_of_an_answer_that_are_none(void)
{
    static const char *const cases[] = {"\"\"",          "5", "{}", "\"[]\"", "\"{\"", "\"{}{}\"",
                                        "\"eyJhIjoxfQ\""};
    struct mgc_token_answer  a;
    char                     json[2 * MGC_CLAIMS_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(json, sizeof json, "{\"error\":\"x\",\"claims\":%s}", cases[i]);
        CHECK_INT(MGC_OK, read_answer(&a, json));
        CHECK_INT(0, a.claims.len);
        mgc_answer_clear(&a);
    }
    for (int n = MGC_CLAIMS_MAX; n <= MGC_CLAIMS_MAX + 1; n++) {
        snprintf(json, sizeof json, "{\"error\":\"x\",\"claims\":\"{%*s}\"}", n - 2, "");
        CHECK_INT(MGC_OK, read_answer(&a, json));
        CHECK_INT(n <= MGC_CLAIMS_MAX ? n : 0, a.claims.len);
        mgc_answer_clear(&a);
    }
}

static void test_an_answer_survives_every_lack_of_memory(void)
{
    static const char json[] = "{\"access_token\":\"t\",\"refresh_token\":\"r\",\"id_token\":\"i\","
                               "\"scope\":\"s\",\"claims\":\"{}\"}";
    const long        live   = fake_mem_live();
    mgc_code          rc     = MGC_ENOMEM;
    long              n      = 0;
    for (; rc == MGC_ENOMEM; n++) {
        struct mgc_token_answer a;
        fake_mem_fail_at(n);
        rc = read_answer(&a, json);
        fake_mem_fail_at(-1);
        CHECK(rc == MGC_OK || a.access_token.text == NULL);
        mgc_answer_clear(&a);
        CHECK_INT(live, fake_mem_live());
    }
    CHECK_INT(MGC_OK, rc);
    CHECK_INT(6, n);
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

/* Valid from `from` to `until` seconds from now. */
static X509 *new_certificate(EVP_PKEY *key, long from, long until)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), from);
    X509_gmtime_adj(X509_getm_notAfter(cert), until);
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, EVP_sha256());
    return cert;
}

static void make_files(void)
{
    rsa         = EVP_RSA_gen(2048);
    certificate = new_certificate(rsa, 0, 86400);
    FILE *pem   = fdopen(mkstemp(pem_file), "w");
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

static void refuses(const char *path, const char *password, const char *why)
{
    struct mgc_key *k = NULL;
    CHECK_INT(MGC_EOPTION, mgc_key_load(&k, path, password, &error));
    CHECK(strstr(error.message, path) != NULL);
    if (strstr(error.message, why) == NULL)
        CHECK_TEXT(why, error.message);
    CHECK(password == NULL || strstr(error.message, password) == NULL);
    CHECK(k == NULL);
}

static void test_key_files_that_can_not_be_used(void)
{
    refuses("/no/such/file", NULL, "/no/such/file: No such file");
    refuses("/tmp", NULL, "/tmp: Is a directory");
    refuses("/dev/zero", NULL, "too large");
    refuses("/dev/null", NULL, "holds no private key");
    refuses("/etc/hostname", NULL, "holds no private key");
    refuses(pem_file, "wr0ng", "the password does not open its private key");
    refuses(pem_file, NULL, "no password was given"); /* and nobody is asked on the terminal */
    refuses(p12_file, "wr0ng", "the password does not open it");
    refuses(p12_file, NULL, "no password was given");
}

/* The key and the certificate in memory, as PEM or PKCS#12 with the password "sesame". */
static BIO *bundle(EVP_PKEY *key, X509 *cert, bool pkcs12)
{
    BIO *out = BIO_new(BIO_s_mem());
    if (pkcs12) {
        PKCS12 *p12 = PKCS12_create("sesame", "me", key, cert, NULL, 0, 0, 1, 1, 0);
        i2d_PKCS12_bio(out, p12);
        PKCS12_free(p12);
    } else {
        PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
        if (cert != NULL)
            PEM_write_bio_X509(out, cert);
    }
    return out;
}

/* Frees the bundle. */
static mgc_code parse(BIO *bytes, int64_t now)
{
    char           *data;
    struct mgc_key *k  = NULL;
    size_t          n  = (size_t)BIO_get_mem_data(bytes, &data);
    mgc_code        rc = mgc_key_parse(&k, "my.pem", data, n, "sesame", now, &error);
    CHECK((rc == MGC_OK) == (k != NULL));
    mgc_key_free(k);
    BIO_free(bytes);
    return rc;
}

static void test_a_certificate_is_of_use_between_its_dates(void)
{
    for (int pkcs12 = 0; pkcs12 <= 1; pkcs12++) {
        X509   *cert = new_certificate(rsa, 0, 0);
        int64_t day  = 24 * 3600;
        ASN1_TIME_set(X509_getm_notBefore(cert), 1700000000); /* 2023-11-14 */
        ASN1_TIME_set(X509_getm_notAfter(cert), 1700000000 + 10 * day);
        X509_sign(cert, rsa, EVP_sha256());
        CHECK_INT(MGC_OK, parse(bundle(rsa, cert, pkcs12), 1700000000));
        CHECK_INT(MGC_OK, parse(bundle(rsa, cert, pkcs12), 1700000000 + 10 * day - 1));
        CHECK_INT(MGC_EOPTION, parse(bundle(rsa, cert, pkcs12), 1700000000 + 10 * day));
        CHECK(strstr(error.message, "certificate my.pem: its certificate expired on 2023-11-24"));
        CHECK_INT(MGC_EOPTION, parse(bundle(rsa, cert, pkcs12), 1700000000 - 1));
        CHECK(strstr(error.message, "not valid before 2023-11-14: check this machine's clock"));
        X509_free(cert);
    }
}

static void test_a_key_must_be_rsa_and_the_certificate_its_own(void)
{
    EVP_PKEY *ec = EVP_EC_gen("P-256"), *other = EVP_RSA_gen(1024);
    X509     *ec_cert = new_certificate(ec, 0, 60), *other_cert = new_certificate(other, 0, 60);
    int64_t   now = time(NULL) + 1;
    CHECK_INT(MGC_EOPTION, parse(bundle(ec, ec_cert, false), now));
    CHECK(strstr(error.message, "not an RSA key") != NULL);
    CHECK_INT(MGC_EOPTION, parse(bundle(ec, ec_cert, true), now));
    CHECK(strstr(error.message, "not an RSA key") != NULL);
    CHECK_INT(MGC_EOPTION, parse(bundle(rsa, other_cert, false), now));
    CHECK(strstr(error.message, "no certificate that belongs to its private key") != NULL);
    CHECK_INT(MGC_EOPTION, parse(bundle(rsa, NULL, false), now));
    CHECK(strstr(error.message, "no certificate that belongs to its private key") != NULL);
    CHECK_INT(MGC_EOPTION, parse(bundle(rsa, NULL, true), now));
    CHECK(strstr(error.message, "no certificate that belongs to its private key") != NULL);
    BIO *chain = bundle(rsa, other_cert, false); /* its own may come later */
    PEM_write_bio_X509(chain, certificate);
    CHECK_INT(MGC_OK, parse(chain, now));
    X509_free(ec_cert);
    X509_free(other_cert);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(other);
}

static void test_a_damaged_bundle_is_an_error(void)
{
    char *data;
    BIO  *whole = bundle(rsa, certificate, true);
    long  n     = BIO_get_mem_data(whole, &data);
    for (long cut = 0; cut < n; cut += 97) {
        BIO *part = BIO_new(BIO_s_mem());
        BIO_write(part, data, (int)cut);
        CHECK_INT(MGC_EOPTION, parse(part, time(NULL)));
    }
    BIO_free(whole);
}

static void test_a_key_file_survives_every_lack_of_memory(void)
{
    const long live = fake_mem_live();
    mgc_code   rc   = MGC_ENOMEM;
    for (long n = 0; rc == MGC_ENOMEM; n++) {
        struct mgc_key *k = NULL;
        fake_mem_fail_at(n);
        rc = mgc_key_load(&k, p12_file, "sesame", &error);
        fake_mem_fail_at(-1);
        CHECK_INT(rc, error.code * (k == NULL));
        mgc_key_free(k);
        CHECK_INT(live, fake_mem_live());
    }
    CHECK_INT(MGC_OK, rc);
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
                                             .proof.certificate   = certified ? p12_file : NULL,
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

/* The claims of the challenge go with the request for the next token: without them it would be refused, too. */
static void test_a_challenge_is_fulfilled(void)
{
    open_for("capable", false);
    int                  before = ask("/tokens");
    struct mgc_exchange *x      = go("POST", "/private");
    CHECK_INT(204, x->attempt.status);
    CHECK_INT(2, mgc_exchange_attempts(x));
    mgc_exchange_free(x);
    CHECK_INT(before + 1, ask("/tokens")); /* the first token was there before */
    close_all();
}

/* Writes a sign-in as another process would. */
static void write_sign_in(struct mgc_store *s, const char *token)
{
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, mgc_store_read(s, &in, &error));
    CHECK_INT(MGC_OK, mgc_secret_set(&in.refresh_token, "", "refresh", 7));
    CHECK_INT(MGC_OK, mgc_secret_set(&in.access_token, "", token, strlen(token)));
    in.expires_s = time(NULL) + 3600;
    CHECK_INT(MGC_OK, mgc_store_write(s, &in, &error));
    mgc_sign_in_clear(&in);
}

/* What another process got may be from before the session was revoked: that it is refused as well says nothing about
 * the token we would get. */
static void test_a_token_that_was_taken_over_may_be_refused_too(void)
{
    static char                   file[] = "/tmp/msgraph-identity-XXXXXX", lock[sizeof file + 5];
    struct mgc_store             *mine = NULL, *other = NULL;
    struct mgc_credential_options who = {.grant           = MGC_REFRESH,
                                         .authority       = server.endpoint,
                                         .tenant          = "good",
                                         .proof.client_id = "client",
                                         .scope           = "https://graph/.default",
                                         .ca_file         = server.ca_file};
    close(mkstemp(file));
    unlink(file);
    CHECK_INT(MGC_OK, mgc_store_open(&mine, file, NULL, &error));
    CHECK_INT(MGC_OK, mgc_store_open(&other, file, NULL, &error));
    write_sign_in(other, "token-1001");
    struct mgc_origin_options o = origin_options(server.endpoint, server.ca_file);
    who.store                   = mine;
    CHECK_INT(MGC_OK, mgc_credential_new(&o.credential, &who, &error));
    CHECK_INT(MGC_OK, mgc_origin_new(&origin, &o, &error));
    mgc_credential_unref(o.credential);
    CHECK_INT(MGC_OK, mgc_transport_new(&transport, &error));
    write_sign_in(other, "token-1003");
    if (ask("/tokens") % 2 == 0) { /* the next shall be even */
        struct mgc_transport *t = transport;
        struct mgc_origin    *p = origin;
        open_for("good", false);
        mgc_exchange_free(go("GET", "/json"));
        close_all();
        transport = t;
        origin    = p;
    }
    struct mgc_exchange *x = go("POST", "/private");
    CHECK_INT(204, x->attempt.status);
    CHECK_INT(3, mgc_exchange_attempts(x));
    mgc_exchange_free(x);
    close_all();
    mgc_store_unref(mine);
    mgc_store_unref(other);
    snprintf(lock, sizeof lock, "%s.lock", file);
    unlink(lock);
    unlink(file);
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
    static const char *const secrets[] = {"s3cr3t", "token-", "sesame", "client_assertion="};
    for (size_t i = 0; i < 4; i++) {
        fake_mem_look_for(secrets[i]);
        open_for("good", i >= 2);
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
    RUN(test_jitter_is_drawn_once);
    RUN(test_base64url);
    RUN(test_what_is_not_base64url);
    RUN(test_answers);
    RUN(test_answers_in_full);
    RUN(test_claims_of_an_answer_that_are_none);
    RUN(test_an_answer_survives_every_lack_of_memory);
    RUN(test_what_is_no_answer);
    RUN(test_assertions_verify);
    RUN(test_key_files_that_can_not_be_used);
    RUN(test_a_certificate_is_of_use_between_its_dates);
    RUN(test_a_key_must_be_rsa_and_the_certificate_its_own);
    RUN(test_a_damaged_bundle_is_an_error);
    RUN(test_a_key_file_survives_every_lack_of_memory);
    RUN(test_many_requests_share_one_token_request);
    RUN(test_a_certificate_signs_in);
    RUN(test_a_refusal_reaches_all_who_wait_and_is_not_repeated);
    RUN(test_a_passing_failure_is_tried_once_more);
    RUN(test_an_odd_answer_is_an_error);
    RUN(test_a_wrong_clock_is_mended_once);
    RUN(test_a_refused_token_is_replaced_once);
    RUN(test_a_challenge_is_fulfilled);
    RUN(test_a_token_that_was_taken_over_may_be_refused_too);
    RUN(test_a_given_token_is_not);
    RUN(test_a_short_token_is_renewed);
    RUN(test_waiting_for_a_token_can_be_cancelled);
    RUN(test_no_freed_memory_holds_a_secret);
    RUN(test_options_that_are_missing_are_named);
    remove_files();
    server_stop(&server);
    return REPORT("identity");
}
