/* spec/core/test_challenge.c - what servers tell of a token: challenges, claims, and the token's own text. */
#include "check.h"
#include "fakes.h"

#include "core/identity/base64.h"
#include "core/identity/challenge.h"
#include "core/identity/claims.h"
#include "core/identity/jwt_read.h"

#include <stdbool.h>

/* {"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}, in base64 with padding and without */
#define NBF      "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ"
#define NBF_JSON "{\"access_token\":{\"nbf\":{\"essential\":true,\"value\":\"1604106651\"}}}"

static struct mgc_challenge challenge;

static const struct mgc_challenge *of(const char *block)
{
    mgc_challenge_clear(&challenge);
    CHECK_INT(MGC_OK, mgc_challenge_read(block, strlen(block), &challenge));
    return &challenge;
}

static const char *claims_of(const char *block)
{
    return mgc_buf_text(&of(block)->claims);
}

static const char *error_of(const char *block)
{
    return of(block)->error;
}

/* ---- challenges ----------------------------------------------------------------------------------- */

static void test_the_challenge_graph_sends(void)
{
    of("HTTP/1.1 401 Unauthorized\r\nDate: x\r\nWWW-Authenticate: Bearer realm=\"\", "
       "authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", "
       "client_id=\"00000003-0000-0000-c000-000000000000\", error=\"insufficient_claims\", "
       "claims=\"" NBF "==\"\r\nContent-Length: 0\r\n");
    CHECK_TEXT("insufficient_claims", challenge.error);
    CHECK_TEXT("https://login.microsoftonline.com/common/oauth2/authorize",
               challenge.authorization_uri);
    CHECK_TEXT(NBF_JSON, mgc_buf_text(&challenge.claims));
}

static void test_claims_are_found_however_they_are_written(void)
{
    static const char *const cases[] = {
        "Bearer claims=\"" NBF "\"",
        "Bearer claims=\"" NBF "==\"",
        "Bearer claims=" NBF,
        "Bearer claims=" NBF "==",
        "bearer CLAIMS=\"" NBF "\"",
        "Bearer claims = \"" NBF "\"",
        "Bearer\tclaims\t=\t\"" NBF "\" \t",
        "Bearer ,, claims=\"" NBF "\",,",
        "Bearer claims=\"" NBF "\",error=\"insufficient_claims\"",
        "Bearer error=\"insufficient_claims\",claims=\"" NBF "\"",
        "Bearer realm=\"a, claims=\\\"eyJ9\\\"\", claims=\"" NBF "\"",
        "Bearer realm=\"\\\\\", claims=\"" NBF "\"",
        "Negotiate, Bearer claims=\"" NBF "\"",
        "Negotiate abcd==, Bearer claims=\"" NBF "\"",
        "Negotiate a+b/c=, Bearer claims=\"" NBF "\"",
        "Basic realm=\"Bearer claims=x\", Bearer claims=\"" NBF "\"",
        "Bearer claims=\"" NBF "\", Basic realm=\"x\", claims=\"e30\"",
        "Bearer error=\"invalid_token\", Bearer error=\"insufficient_claims\", claims=\"" NBF "\"",
        "Bearer claims=\"?\", Bearer claims=\"" NBF "\"",
    };
    char block[512];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(block, sizeof block, "www-authenticate: %s\r\n", cases[i]);
        CHECK_TEXT(NBF_JSON, claims_of(block));
    }
    CHECK_TEXT(NBF_JSON,
               claims_of("WWW-Authenticate: Bearer claims=\"" NBF "\"")); /* no line end */
    CHECK_TEXT(NBF_JSON, claims_of("WWW-Authenticate: Basic realm=\"x\"\r\n"
                                   "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"
                                   "WWW-Authenticate: Bearer claims=\"" NBF "\"\r\n"));
    CHECK_TEXT("{\"a\":\"\xc3\xbf\xc3\xbe?\"}",
               claims_of("WWW-Authenticate: Bearer claims=eyJhIjoiw7/Dvj8ifQ==\n"));
    CHECK_TEXT("{\"a\":\"\xc3\xbf\xc3\xbe?\"}",
               claims_of("WWW-Authenticate: Bearer claims=eyJhIjoiw7_Dvj8ifQ\n"));
}

static void test_what_holds_no_claims(void)
{
    static const char *const cases[] = {
        "",
        "Bearer",
        "Bearer ",
        "Bearer " NBF,
        "Bearer claims",
        "Bearer claims=",
        "Bearer claims=\"\"",
        "Bearer claims=\"" NBF,        /* the quote never ends */
        "Bearer claims=\"" NBF "\\\"", /* nor here */
        "Bearer xclaims=\"" NBF "\"",
        "Bearer, claims2=\"" NBF "\"",
        "Basic claims=\"" NBF "\"",
        "Bearer claims=\"" NBF "===\"",
        "Bearer claims=\"" NBF "!\"",
        "Bearer claims=\"eyJ hIjoxfQ\"",
        "Bearer claims=\"W10\"",                      /* [] */
        "Bearer claims=\"bnVsbA\"",                   /* null */
        "Bearer claims=\"eyJhIjoxLCJhIjoyfQ\"",       /* {"a":1,"a":2} */
        "Bearer claims=\"e30A\"",                     /* {} and a NUL */
        "Bearer claims=\"eyJhIjoiXHUwMDAwIn0\"",      /* {"a":"\u0000"} */
        "Bearer claims=\"e31c\", claims=\"" NBF "\"", /* the first counts */
        "Bearer realm=\"x, claims=" NBF "\"",
        "\"Bearer claims=" NBF "\"",
        "Bearer=x, claims=\"" NBF "\"",
        "Basic x=y, PoP claims=\"" NBF "\"",
    };
    char block[512];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(block, sizeof block, "WWW-Authenticate: %s\r\n", cases[i]);
        CHECK_TEXT("", claims_of(block));
    }
    CHECK_TEXT("", claims_of("X-WWW-Authenticate: Bearer claims=\"" NBF "\"\r\n"));
    CHECK_TEXT("", claims_of("WWW-Authenticate : Bearer claims=\"" NBF "\"\r\n"));
    CHECK_INT(MGC_OK,
              mgc_challenge_read("WWW-Authenticate: Bearer claims=\"e3\00330\"", 36, &challenge));
    CHECK_INT(0, challenge.claims.len);
}

static void test_claims_have_a_largest_size(void)
{
    for (size_t n = MGC_CLAIMS_MAX - 1; n <= MGC_CLAIMS_MAX + 1; n++) {
        char          *json = malloc(n);
        struct mgc_buf block;
        mgc_buf_init(&block, SIZE_MAX);
        memset(json, ' ', n);
        json[0]     = '{';
        json[n - 1] = '}';
        CHECK_INT(MGC_OK, mgc_buf_append(&block, "WWW-Authenticate: Bearer claims=", 32));
        CHECK_INT(MGC_OK, mgc_base64url(&block, json, n));
        of(mgc_buf_text(&block));
        CHECK_INT(n <= MGC_CLAIMS_MAX ? n : 0, challenge.claims.len);
        mgc_buf_clear(&block);
        free(json);
    }
}

static void test_texts_of_a_challenge(void)
{
    CHECK_TEXT("invalid_token", error_of("WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"));
    CHECK_TEXT("invalid_token", error_of("WWW-Authenticate: Bearer error=invalid_token, a=b\r\n"));
    CHECK_TEXT("a\"b", error_of("WWW-Authenticate: Bearer error=\"a\\\"b\"\r\n"));
    CHECK_TEXT("", error_of("WWW-Authenticate: Bearer error=\"a\033[0m\"\r\n"));
    CHECK_TEXT("", error_of("WWW-Authenticate: Bearer error=\"a\xc3\xbc\"\r\n"));
    CHECK_TEXT("", error_of("Date: x\r\n"));
    CHECK_TEXT(
        "", error_of("WWW-Authenticate: Bearer "
                     "error=\"0123456789012345678901234567890123456789012345678901234567890123\""));
    CHECK_TEXT(
        "012345678901234567890123456789012345678901234567890123456789012",
        error_of("WWW-Authenticate: Bearer "
                 "error=\"012345678901234567890123456789012345678901234567890123456789012\""));
    CHECK_TEXT("first",
               error_of("WWW-Authenticate: Bearer error=\"first\", Bearer error=\"second\"\r\n"));
    CHECK_TEXT("insufficient_claims", /* the one whose claims are taken */
               error_of("WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"
                        "WWW-Authenticate: Bearer error=\"insufficient_claims\", claims=e30\r\n"));
}

static void test_the_realm_of_azure_arc(void)
{
    char        out[64];
    const char *arc = "WWW-Authenticate: Basic realm=/var/opt/azcmagent/tokens/1-2.key\r\n";
    CHECK(mgc_challenge_basic_realm(arc, strlen(arc), out, sizeof out));
    CHECK_TEXT("/var/opt/azcmagent/tokens/1-2.key", out);
    CHECK(!mgc_challenge_basic_realm(arc, strlen(arc), out, 33));
    CHECK(mgc_challenge_basic_realm(arc, strlen(arc), out, 34));
    arc = "WWW-Authenticate: Bearer realm=\"no\", Basic charset=x, realm=\"C:\\\\a b.key\"\r\n";
    CHECK(mgc_challenge_basic_realm(arc, strlen(arc), out, sizeof out));
    CHECK_TEXT("C:\\a b.key", out);
    arc = "WWW-Authenticate: Bearer realm=\"no\"\r\nWWW-Authenticate: Basic\r\n";
    CHECK(!mgc_challenge_basic_realm(arc, strlen(arc), out, sizeof out));
}

/* ---- claims -------------------------------------------------------------------------------------- */

#define CP1 "{\"access_token\":{\"xms_cc\":{\"values\":[\"cp1\"]}}}"

static void merges(const char *a, const char *b, const char *want)
{
    struct mgc_buf out;
    mgc_buf_init(&out, 1000);
    CHECK_INT(MGC_OK, mgc_claims_merge(a, b, &out));
    CHECK_TEXT(want, mgc_buf_text(&out));
    mgc_buf_clear(&out);
}

static void test_claims_are_merged(void)
{
    merges(CP1, NBF_JSON,
           "{\"access_token\":{\"xms_cc\":{\"values\":[\"cp1\"]},"
           "\"nbf\":{\"essential\":true,\"value\":\"1604106651\"}}}");
    merges(CP1, CP1, CP1);
    merges(CP1, NULL, CP1);
    merges(NULL, CP1, CP1);
    merges(NULL, NULL, "{}");
    merges("{\"a\":{\"values\":[1,2]}}", "{\"a\":{\"values\":[2,3,1,4]}}",
           "{\"a\":{\"values\":[1,2,3,4]}}");
    merges("{\"a\":null,\"b\":{\"x\":1}}", "{\"b\":null,\"a\":{\"y\":1},\"c\":null}",
           "{\"a\":{\"y\":1},\"b\":{\"x\":1},\"c\":null}");
    merges("{\"a\":{\"value\":\"c1\",\"essential\":true}}", "{\"a\":{\"value\":\"c2\"}}",
           "{\"a\":{\"value\":\"c2\",\"essential\":true}}");
    merges("{\"z\":1,\"a\":1}", "{\"m\":{\"k\":[]},\"b\":2}",
           "{\"z\":1,\"a\":1,\"m\":{\"k\":[]},\"b\":2}");
}

static void test_what_can_not_be_merged(void)
{
    static const char *const none[] = {"", "[]", "null", "{", "{}x", "{\"a\":1,\"a\":1}"};
    struct mgc_buf           out;
    mgc_buf_init(&out, 50);
    CHECK_INT(MGC_OK, mgc_buf_append(&out, "kept", 4));
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        CHECK_INT(MGC_EANSWER, mgc_claims_merge(CP1, none[i], &out));
        CHECK_INT(MGC_EANSWER, mgc_claims_merge(none[i], CP1, &out));
    }
    CHECK_INT(MGC_ETOO_LARGE, mgc_claims_merge(CP1, NBF_JSON, &out));
    CHECK_TEXT("kept", mgc_buf_text(&out));
    mgc_buf_clear(&out);
}

/* ---- JWT ------------------------------------------------------------------------------------------- */

static struct mgc_jwt_view view;

/* Header and payload as JSON; the signature is "c2ln". */
static mgc_code read_jwt(const char *header, const char *payload)
{
    struct mgc_buf text;
    mgc_buf_init(&text, SIZE_MAX);
    CHECK_INT(MGC_OK, mgc_base64url(&text, header, strlen(header)));
    CHECK_INT(MGC_OK, mgc_buf_append(&text, ".", 1));
    CHECK_INT(MGC_OK, mgc_base64url(&text, payload, strlen(payload)));
    CHECK_INT(MGC_OK, mgc_buf_append(&text, ".c2ln", 5));
    mgc_code rc = mgc_jwt_read(text.data, text.len, &view);
    mgc_buf_clear(&text);
    return rc;
}

#define HEAD "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"k1\"}"

static void test_a_users_token(void)
{
    CHECK_INT(MGC_OK,
              read_jwt(HEAD, "{\"aud\":\"https://graph.microsoft.com\",\"iss\":\"https://sts/t/\","
                             "\"iat\":1700000000,\"exp\":1700003600.5,\"name\":\"Ada L\xc3\xb6we\","
                             "\"upn\":\"ada@contoso.com\",\"oid\":\"o-1\",\"tid\":\"t-1\","
                             "\"scp\":\"User.Read Mail.Read\",\"appid\":\"app\","
                             "\"app_displayname\":\"Leavers\"}"));
    CHECK_TEXT("RS256", view.alg);
    CHECK_TEXT("JWT", view.typ);
    CHECK_TEXT("k1", view.kid);
    CHECK_TEXT("https://graph.microsoft.com", view.aud);
    CHECK_TEXT("https://sts/t/", view.iss);
    CHECK_TEXT("Ada L\xc3\xb6we", view.name);
    CHECK_TEXT("ada@contoso.com", view.username);
    CHECK_TEXT("o-1", view.oid);
    CHECK_TEXT("t-1", view.tid);
    CHECK_TEXT("User.Read Mail.Read", view.scp);
    CHECK_TEXT("", view.roles);
    CHECK_TEXT("app", view.appid);
    CHECK_TEXT("Leavers", view.app_displayname);
    CHECK_INT(1700000000, view.iat);
    CHECK_INT(1700003600, view.exp);
}

static void test_an_apps_token_and_an_id_token(void)
{
    CHECK_INT(MGC_OK,
              read_jwt(HEAD, "{\"roles\":[\"User.Read.All\",5,\"\",\"Mail.Send\"],\"azp\":\"app\","
                             "\"aud\":[\"a\",\"b\"]}"));
    CHECK_TEXT("User.Read.All Mail.Send", view.roles);
    CHECK_TEXT("app", view.appid);
    CHECK_TEXT("a b", view.aud);
    CHECK_TEXT("", view.name);
    CHECK_INT(
        MGC_OK,
        read_jwt(HEAD,
                 "{\"preferred_username\":\"p\",\"upn\":\"u\",\"appid\":\"a\",\"azp\":\"z\"}"));
    CHECK_TEXT("p", view.username);
    CHECK_TEXT("a", view.appid);
}

static void test_fields_of_the_wrong_form_are_left_out(void)
{
    char payload[600];
    CHECK_INT(MGC_OK,
              read_jwt(HEAD,
                       "{\"name\":\"a\\u001b[0m\",\"upn\":\"a\\u009b0m\",\"oid\":5,\"tid\":null,"
                       "\"exp\":-1,\"iat\":1e300,\"scp\":{},\"kid\":\"payload's\"}"));
    CHECK_TEXT("", view.name);
    CHECK_TEXT("", view.username);
    CHECK_TEXT("", view.oid);
    CHECK_TEXT("", view.tid);
    CHECK_TEXT("", view.scp);
    CHECK_TEXT("k1", view.kid);
    CHECK_INT(0, view.exp);
    CHECK_INT(0, view.iat);
    for (int n = 255; n <= 256; n++) {
        snprintf(payload, sizeof payload, "{\"name\":\"%0*d\",\"upn\":\"\xc2\xa0\"}", n, 1);
        CHECK_INT(MGC_OK, read_jwt(HEAD, payload));
        CHECK_INT(n == 255 ? 255 : 0, strlen(view.name));
        CHECK_TEXT("\xc2\xa0", view.username);
    }
}

static void test_what_is_not_a_jwt(void)
{
    static const char *const cases[] = {
        "",
        "EwBgA8l6BAAUO9chh8cJscQLmU+LSWpbnr0vmwwAAQ",
        "eyJhbGciOiJub25lIn0",
        "eyJhbGciOiJub25lIn0.e30",
        "eyJhbGciOiJkaXIifQ..aXY.Y3Q.dGFn", /* encrypted: five parts */
        "eyJhbGciOiJub25lIn0.e30.c2ln.",
        "eyJhbGciOiJub25lIn0=.e30.c2ln",
        "eyJhbGciOiJub25lIn0.e30=.c2ln",
        "eyJhbGciOiJub25lIn0.e30.c2ln=",
        "eyJhbGciOiJub25lIn0.e30 .c2ln",
        "eyJhbGciOiJub25lIn0.W10.c2ln",
        "W10.e30.c2ln",
        "e30.e30.c2ln", /* no alg */
        "..",
        ".e30.",
        "eyJhbGciOiJub25lIn0..c2ln",
    };
    memset(&view, 0, sizeof view);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_INT(MGC_EANSWER, mgc_jwt_read(cases[i], strlen(cases[i]), &view));
    CHECK_INT(MGC_EANSWER, mgc_jwt_read("eyJhbGciOiJub25lIn0.e30\0.c2ln", 29, &view));
    CHECK_TEXT("", view.alg);                                               /* untouched */
    CHECK_INT(MGC_OK, mgc_jwt_read("eyJhbGciOiJub25lIn0.e30.", 24, &view)); /* unsigned */
    CHECK_TEXT("none", view.alg);
}

/* ---- without memory ----------------------------------------------------------------------------- */

static mgc_code read_one_challenge(void)
{
    static const char block[] = "WWW-Authenticate: Bearer claims=" NBF "\r\n";
    mgc_code          rc      = mgc_challenge_read(block, sizeof block - 1, &challenge);
    mgc_challenge_clear(&challenge);
    return rc;
}

static mgc_code merge_two(void)
{
    struct mgc_buf out;
    mgc_buf_init(&out, 1000);
    mgc_code rc = mgc_claims_merge(CP1, NBF_JSON, &out);
    CHECK_INT(rc == MGC_OK, out.len > 0);
    mgc_buf_clear(&out);
    return rc;
}

static mgc_code read_one_jwt(void)
{
    return mgc_jwt_read("eyJhbGciOiJub25lIn0.e30.c2ln", 28, &view);
}

static void test_every_lack_of_memory_is_survived(void)
{
    mgc_code (*const runs[])(void) = {read_one_challenge, merge_two, read_one_jwt};
    mgc_challenge_clear(&challenge);
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        const long live = fake_mem_live();
        mgc_code   rc   = MGC_ENOMEM;
        long       n    = 0;
        for (; rc == MGC_ENOMEM; n++) {
            fake_mem_fail_at(n);
            rc = runs[i]();
            fake_mem_fail_at(-1);
            CHECK_INT(live, fake_mem_live());
        }
        CHECK_INT(MGC_OK, rc);
        CHECK(n > 1); /* something was made to fail */
    }
}

int main(void)
{
    fake_mem_install();
    RUN(test_the_challenge_graph_sends);
    RUN(test_claims_are_found_however_they_are_written);
    RUN(test_what_holds_no_claims);
    RUN(test_claims_have_a_largest_size);
    RUN(test_texts_of_a_challenge);
    RUN(test_the_realm_of_azure_arc);
    RUN(test_claims_are_merged);
    RUN(test_what_can_not_be_merged);
    RUN(test_a_users_token);
    RUN(test_an_apps_token_and_an_id_token);
    RUN(test_fields_of_the_wrong_form_are_left_out);
    RUN(test_what_is_not_a_jwt);
    RUN(test_every_lack_of_memory_is_survived);
    mgc_challenge_clear(&challenge);
    return REPORT("challenge");
}
