/* spec/core/test_base.c - buf, secret, uuid, url, headers. */
#include "check.h"
#include "fakes.h"

#include "core/base/buf.h"
#include "core/base/headers.h"
#include "core/base/secret.h"
#include "core/base/url.h"
#include "core/base/uuid.h"

#include <stdint.h>

/* ---- buf ------------------------------------------------------------------------------------- */

static void test_buf_keeps_what_fits_and_refuses_the_rest(void)
{
    struct mgc_buf b;
    mgc_buf_init(&b, 5);
    CHECK_TEXT("", mgc_buf_text(&b));
    CHECK_INT(MGC_OK, mgc_buf_append(&b, "abc", 3));
    CHECK_INT(MGC_ETOO_LARGE, mgc_buf_append(&b, "def", 3));
    CHECK_TEXT("abc", mgc_buf_text(&b));
    CHECK_INT(MGC_OK, mgc_buf_append(&b, "de", 2));
    CHECK_TEXT("abcde", mgc_buf_text(&b));
    mgc_buf_truncate(&b, 9);
    CHECK_TEXT("abcde", mgc_buf_text(&b));
    mgc_buf_truncate(&b, 0);
    CHECK_TEXT("", mgc_buf_text(&b));
    mgc_buf_clear(&b);
    mgc_buf_clear(&b);
}

static void test_buf_failed_growth_leaves_the_content(void)
{
    struct mgc_buf b;
    char           more[1000] = {0};
    mgc_buf_init(&b, SIZE_MAX);
    CHECK_INT(MGC_OK, mgc_buf_append(&b, "abc", 3));
    fake_mem_fail_at(0);
    CHECK_INT(MGC_ENOMEM, mgc_buf_append(&b, more, sizeof more));
    fake_mem_fail_at(-1);
    CHECK_TEXT("abc", mgc_buf_text(&b));
    CHECK_INT(MGC_OK, mgc_buf_append(&b, more, sizeof more));
    CHECK_INT(1003, b.len);
    mgc_buf_clear(&b);
}

/* ---- secret ------------------------------------------------------------------------------------ */

static void test_secret_is_wiped_before_it_is_freed(void)
{
    struct mgc_secret s = {0};
    fake_mem_look_for("eyJtoken");
    CHECK_INT(MGC_OK, mgc_secret_set(&s, "Bearer ", "eyJtoken1", 9));
    CHECK_TEXT("Bearer eyJtoken1", s.text);
    CHECK_INT(MGC_OK, mgc_secret_set(&s, "Bearer ", "eyJtoken2", 9)); /* the first one goes */
    mgc_secret_clear(&s);
    mgc_secret_clear(&s);
    CHECK(!fake_mem_seen());
    fake_mem_look_for(NULL);
}

static void test_secret_survives_a_failed_change(void)
{
    struct mgc_secret s = {0};
    CHECK_INT(MGC_OK, mgc_secret_set(&s, "", "one", 3));
    fake_mem_fail_at(0);
    CHECK_INT(MGC_ENOMEM, mgc_secret_set(&s, "", "two", 3));
    fake_mem_fail_at(-1);
    CHECK_TEXT("one", s.text);
    mgc_secret_clear(&s);
}

/* ---- uuid ------------------------------------------------------------------------------------- */

static void test_uuid_is_version_4_and_differs(void)
{
    static struct mgc_uuid_pool pool;
    char                        a[MGC_UUID_LEN + 1], b[MGC_UUID_LEN + 1];
    for (int i = 0; i < 200; i++) { /* more than one fill of the pool */
        CHECK_INT(MGC_OK, mgc_uuid_make(&pool, a));
        CHECK_INT(MGC_OK, mgc_uuid_make(&pool, b));
        CHECK(strcmp(a, b) != 0);
        CHECK_INT(36, strlen(a));
        CHECK_INT('4', a[14]);
        CHECK(strchr("89ab", a[19]) != NULL);
        CHECK(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
    }
}

/* ---- url -------------------------------------------------------------------------------------- */

static void test_escape_leaves_only_unreserved_characters(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"ada@contoso.com", "ada%40contoso.com"},
        {"bob_example.com#EXT#@contoso.onmicrosoft.com",
         "bob_example.com%23EXT%23%40contoso.onmicrosoft.com"},
        {"a b+c%d/e", "a%20b%2Bc%25d%2Fe"},
        {"j\xc3\xb6rg~-._", "j%C3%B6rg~-._"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char   out[256];
        size_t n = mgc_url_escape(out, cases[i].text, strlen(cases[i].text));
        out[n]   = '\0';
        CHECK_TEXT(cases[i].want, out);
    }
}

static void test_segment_faults(void)
{
    static const struct {
        const char *text, *want;
    } cases[] = {{"", "is empty"},
                 {"  ", "is blank"},
                 {".", "is \".\""},
                 {"..", "is \"..\""},
                 {"a\nb", "holds a control character"},
                 {"a\x7f", "holds a control character"},
                 {"a\xff", "is not UTF-8"},
                 {"\xc3", "is not UTF-8"},
                 {"\xc0\xaf", "is not UTF-8"},         /* overlong "/" */
                 {"\xed\xa0\x80", "is not UTF-8"},     /* surrogate */
                 {"\xf4\x90\x80\x80", "is not UTF-8"}, /* above U+10FFFF */
                 {"...", NULL},
                 {"a b", NULL},
                 {"\xe2\x82\xac\xf0\x9f\x98\x80", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = mgc_url_segment_fault(cases[i].text, strlen(cases[i].text));
        if (cases[i].want == NULL)
            CHECK(got == NULL);
        else
            CHECK_TEXT(cases[i].want, got);
    }
    CHECK_TEXT("holds a control character", mgc_url_segment_fault("a\0b", 3));
}

static void test_origins(void)
{
    static const struct {
        const char *endpoint, *want; /* NULL: refused */
    } cases[] = {{"https://graph.microsoft.com", "https://graph.microsoft.com"},
                 {"https://Graph.Microsoft.com:443/", "https://graph.microsoft.com"},
                 {"HTTPS://localhost:8443", "https://localhost:8443"},
                 {"https://[::1]:8443", "https://[::1]:8443"},
                 {"http://graph.microsoft.com", NULL},
                 {"graph.microsoft.com", NULL},
                 {"https://graph.microsoft.com/v1.0", NULL},
                 {"https://graph.microsoft.com?x", NULL},
                 {"https://user@graph.microsoft.com", NULL},
                 {"https://graph.microsoft.com:x@evil.example/", NULL},
                 {"https://graph.microsoft.com\\@evil.example", NULL},
                 {"https://graph%2emicrosoft.com", NULL},
                 {"https://a b", NULL},
                 {"https://", NULL},
                 {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_buf   b;
        struct mgc_error e = {0};
        mgc_buf_init(&b, SIZE_MAX);
        mgc_code rc = mgc_url_origin(&b, cases[i].endpoint, strlen(cases[i].endpoint), &e);
        CHECK_INT(cases[i].want != NULL ? MGC_OK : MGC_EOPTION, rc);
        CHECK_TEXT(cases[i].want != NULL ? cases[i].want : "", mgc_buf_text(&b));
        CHECK(rc == MGC_OK || strstr(e.message, "endpoint") != NULL);
        mgc_buf_clear(&b);
    }
}

static void test_targets(void)
{
    static const char origin[] = "https://graph.microsoft.com";
    static const struct {
        const char *target, *want;
        mgc_code    code;
    } cases[] = {
        {"/v1.0/users?$top=5", "https://graph.microsoft.com/v1.0/users?$top=5", MGC_OK},
        {"https://graph.microsoft.com/v1.0/users?$skiptoken=a%2Fb",
         "https://graph.microsoft.com/v1.0/users?$skiptoken=a%2Fb", MGC_OK},
        {"https://GRAPH.microsoft.com:443/v1.0/x", "https://graph.microsoft.com/v1.0/x", MGC_OK},
        {"/v1.0/a?b=..", "https://graph.microsoft.com/v1.0/a?b=..", MGC_OK},
        {"/v1.0/...", "https://graph.microsoft.com/v1.0/...", MGC_OK},
        {"https://evil.example/v1.0/users", "", MGC_EFOREIGN},
        {"https://graph.microsoft.com:8443/v1.0/users", "", MGC_EFOREIGN},
        {"https://graph.microsoft.com.evil.example/v1.0", "", MGC_EFOREIGN},
        {"https://graph.microsoft.com:x@evil.example/", "", MGC_EREQUEST},
        {"https://graph.microsoft.com@evil.example/", "", MGC_EREQUEST},
        {"http://graph.microsoft.com/v1.0/users", "", MGC_EREQUEST},
        {"//evil.example/x", "https://graph.microsoft.com//evil.example/x", MGC_OK},
        {"https://graph.microsoft.com", "", MGC_EREQUEST},
        {"users", "", MGC_EREQUEST},
        {"", "", MGC_EREQUEST},
        {"/v1.0/a b", "", MGC_EREQUEST},
        {"/v1.0/\xc3\xb6", "", MGC_EREQUEST},
        {"/v1.0/a#b", "", MGC_EREQUEST},
        {"/v1.0/a\r\nX: y", "", MGC_EREQUEST},
        {"/v1.0/../beta", "", MGC_EREQUEST},
        {"/v1.0/%2e%2E/beta", "", MGC_EREQUEST},
        {"/v1.0/.", "", MGC_EREQUEST},
        {"/v1.0/.%2e?x", "", MGC_EREQUEST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_buf   b;
        struct mgc_error e = {0};
        mgc_buf_init(&b, SIZE_MAX);
        CHECK_INT(cases[i].code,
                  mgc_url_target(&b, origin, cases[i].target, strlen(cases[i].target), &e));
        CHECK_TEXT(cases[i].want, mgc_buf_text(&b));
        mgc_buf_clear(&b);
    }
}

/* ---- headers ------------------------------------------------------------------------------------ */

static void test_header_lookup(void)
{
    static const char block[] =
        "Content-Type: text/html\r\nrequest-ID:  one \r\nrequest-id: two\r\nX:\r\nlast: no newline";
    const char *v;
    size_t      n;
    CHECK(mgc_header_find(block, strlen(block), "request-id", &v, &n));
    CHECK(n == 3 && memcmp(v, "two", 3) == 0); /* the last one wins */
    CHECK(mgc_header_find(block, strlen(block), "X", &v, &n));
    CHECK_INT(0, n);
    CHECK(mgc_header_find(block, strlen(block), "LAST", &v, &n));
    CHECK(n == 10 && memcmp(v, "no newline", 10) == 0);
    CHECK(!mgc_header_find(block, strlen(block), "Content", &v, &n));
    CHECK(!mgc_header_find("", 0, "X", &v, &n));
}

static void test_retry_after(void)
{
    static const struct {
        const char *block;
        int64_t     want_ms;
    } cases[] = {
        {"Retry-After: 7\r\n", 7000},
        {"Retry-After: 2.128\r\n", 2128},
        {"retry-after: 0.0001\r\n", 1}, /* never rounded down */
        {"Retry-After: 600\r\n", 600000},
        {"Retry-After: 99999999999999999999\r\n", MGC_RETRY_AFTER_MAX_MS},
        {"Retry-After: 5\r\nretry-after-ms: 1500\r\n", 1500},
        {"x-ms-retry-after-ms: 20\r\n", 20},
        {"x-ms-retry-after-ms: 20.5\r\nRetry-After: 9\r\n", 21},
        {"retry-after-ms: soon\r\nRetry-After: 9\r\n", 9000},
        {"Retry-After: 0\r\n", 0},
        {"Retry-After: 86401\r\n", MGC_RETRY_AFTER_MAX_MS},
        {"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nRetry-After: Mon, 23 Nov 2026 10:00:30 GMT\r\n",
         30000},
        {"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nRetry-After: Mon, 23 Nov 2026 09:00:00 GMT\r\n",
         0},
        {"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
         MGC_RETRY_AFTER_MAX_MS},
        {"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nRetry-After: Monday, 23-Nov-26 10:00:30 GMT\r\n",
         30000}, /* RFC 850's and asctime's form, RFC 9110 5.6.7 */
        {"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nRetry-After: Mon Nov 23 10:00:30 2026\r\n", 30000},
        {"Retry-After: Thu, 01 Jan 1970 00:20:00 GMT\r\n", 200000}, /* now is 1000 */
        {"Date: nonsense\r\nRetry-After: Thu, 01 Jan 1970 00:20:00 GMT\r\n", 200000},
        {"Retry-After: soon\r\n", -1},
        {"Retry-After: M Nov3 20001217\r\n", -1},
        {"Retry-After: -5\r\n", -1},
        {"Retry-After: .\r\n", -1},
        {"Retry-After:\r\n", -1},
        {"Date: x\r\n", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_INT(cases[i].want_ms,
                  mgc_retry_after_ms(cases[i].block, strlen(cases[i].block), 1000));
}

static void test_headers_that_may_be_sent(void)
{
    CHECK(mgc_header_is_valid("X-a", 3, "b", 1));
    CHECK(mgc_header_is_valid("Prefer", 6, "", 0));
    CHECK(mgc_header_is_valid("X", 1, "caf\xc3\xa9\t", 6));
    CHECK(!mgc_header_is_valid("", 0, "b", 1));
    CHECK(!mgc_header_is_valid("X a", 3, "b", 1));
    CHECK(!mgc_header_is_valid("X:", 2, "b", 1));
    CHECK(!mgc_header_is_valid("X", 1, "b\r\nY: z", 7));
    CHECK(!mgc_header_is_valid("X", 1, "b\0", 2));
}

int main(void)
{
    fake_mem_install();
    RUN(test_buf_keeps_what_fits_and_refuses_the_rest);
    RUN(test_buf_failed_growth_leaves_the_content);
    RUN(test_secret_is_wiped_before_it_is_freed);
    RUN(test_secret_survives_a_failed_change);
    RUN(test_uuid_is_version_4_and_differs);
    RUN(test_escape_leaves_only_unreserved_characters);
    RUN(test_segment_faults);
    RUN(test_origins);
    RUN(test_targets);
    RUN(test_header_lookup);
    RUN(test_retry_after);
    RUN(test_headers_that_may_be_sent);
    return REPORT("base");
}
