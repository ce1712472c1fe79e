/* spec/core/test_loopback.c - PKCE, the reader of redirects, and the listener with real sockets. */
#include "check.h"
#include "fakes.h"

#include "core/identity/loopback.h"
#include "core/identity/redirect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

static struct mgc_error error;

/* ---- PKCE ---------------------------------------------------------------------------------------- */

static void test_the_challenge_of_rfc_7636(void)
{
    char challenge[MGC_PKCE_LEN + 1];
    CHECK_INT(MGC_OK, mgc_pkce_challenge(challenge, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    CHECK_TEXT("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", challenge);
}

static void test_pkce_is_never_the_same(void)
{
    struct mgc_pkce a, b;
    char            challenge[MGC_PKCE_LEN + 1];
    CHECK_INT(MGC_OK, mgc_pkce_make(&a));
    CHECK_INT(MGC_OK, mgc_pkce_make(&b));
    CHECK_INT(MGC_PKCE_LEN, strlen(a.verifier));
    CHECK_INT(MGC_PKCE_LEN, strlen(a.state));
    CHECK(strcmp(a.verifier, b.verifier) != 0 && strcmp(a.state, b.state) != 0);
    CHECK(strcmp(a.verifier, a.state) != 0);
    CHECK_INT(MGC_OK, mgc_pkce_challenge(challenge, a.verifier));
    CHECK_TEXT(challenge, a.challenge);
    mgc_pkce_clear(&a);
    for (size_t i = 0; i < sizeof a; i++)
        CHECK_INT(0, ((const char *)&a)[i]);
}

/* ---- redirects ----------------------------------------------------------------------------------- */

#define HOST        "Host: localhost:4711\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"
#define FORM(length)                                                                               \
    "POST / HTTP/1.1\r\n" HOST "Content-Type: application/x-www-form-urlencoded\r\n"               \
    "Content-Length: " length "\r\n\r\n"

static char request[4096];

static mgc_reading read_text(struct mgc_redirect *r, const char *text)
{
    snprintf(request, sizeof request, "%s", text);
    memset(r, 0, sizeof *r);
    return mgc_redirect_read(r, request, strlen(request), 4711);
}

static void check_text(const char *want, struct mgc_text got)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%.*s", (int)got.len, got.at != NULL ? got.at : "");
    CHECK_TEXT(want, copy);
}

static void test_redirects(void)
{
    static const struct {
        const char *request, *state, *code, *error, *description;
    } cases[] = {
        {GET("/?code=a.b-c_d&state=xyz&session_state=1"), "xyz", "a.b-c_d", "", ""},
        {GET("/?state=x%2By&code=%41%2f%3D"), "x+y", "A/=", "", ""},
        {GET("/?error=access_denied&error_description=The+user+said%20%22no%22&state=x"), "x", "",
         "access_denied", "The user said \"no\""},
        {GET("/?code=a&state=x&unknown&&unknown"), "x", "a", "", ""},
        {"GET /?code=a&state=x HTTP/1.0\r\nhost:\t127.0.0.1:4711 \r\n\r\n", "x", "a", "", ""},
        {"GET /?code=a&state=x HTTP/1.1\r\nHOST: LocalHost:4711\r\nX-Any: \r\n\r\n", "x", "a", "",
         ""},
        {FORM("14") "code=a&state=x", "x", "a", "", ""},
        {FORM("14") "code=a&state=xtail", "x", "a", "", ""},
        {"POST /?state=no HTTP/1.1\r\n" HOST "Content-Length: 14\r\n"
         "Content-Type: Application/X-WWW-Form-URLencoded; charset=utf-8\r\n\r\ncode=a&state=x",
         "x", "a", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_redirect r;
        CHECK_INT(MGC_READ_REDIRECT, read_text(&r, cases[i].request));
        check_text(cases[i].state, r.state);
        check_text(cases[i].code, r.code);
        check_text(cases[i].error, r.error);
        check_text(cases[i].description, r.description);
    }
}

static void test_what_is_no_redirect(void)
{
    static const struct {
        mgc_reading reading;
        const char *request;
    } cases[] = {
        {MGC_READ_ELSEWHERE, GET("/favicon.ico")},
        {MGC_READ_ELSEWHERE, GET("/")},
        {MGC_READ_ELSEWHERE, GET("/?code=a")},
        {MGC_READ_ELSEWHERE, GET("/?state=x")},
        {MGC_READ_ELSEWHERE, GET("/other?code=a&state=x")},
        {MGC_READ_ELSEWHERE, GET("//?code=a&state=x")},
        {MGC_READ_ELSEWHERE, "HEAD /?code=a&state=x HTTP/1.1\r\n" HOST "\r\n"},
        {MGC_READ_ELSEWHERE, "OPTIONS / HTTP/1.1\r\n" HOST "\r\n"},
        {MGC_READ_ELSEWHERE, FORM("0")},
        {MGC_READ_FOREIGN, "GET /?code=a&state=x HTTP/1.1\r\nHost: evil.example:4711\r\n\r\n"},
        {MGC_READ_FOREIGN, "GET /?code=a&state=x HTTP/1.1\r\nHost: localhost:4712\r\n\r\n"},
        {MGC_READ_FOREIGN, "GET /?code=a&state=x HTTP/1.1\r\nHost: localhost\r\n\r\n"},
        {MGC_READ_FOREIGN, "GET /?code=a&state=x HTTP/1.1\r\nHost:\r\n\r\n"},
        {MGC_READ_FOREIGN, "GET /?code=a&state=x HTTP/1.1\r\nHost: localhost:47110\r\n\r\n"},
        {MGC_READ_MALFORMED, "GET /?code=a&state=x HTTP/1.1\r\n\r\n"},
        {MGC_READ_MALFORMED, "GET /?code=a&state=x HTTP/1.1\r\n" HOST HOST "\r\n"},
        {MGC_READ_MALFORMED, GET("/?code=a&state=x&code=b")},
        {MGC_READ_MALFORMED, GET("/?code=a&state=x&state=x")},
        {MGC_READ_MALFORMED, GET("/?code=a&state=x&error=e")},
        {MGC_READ_MALFORMED, GET("/?code=&state=x")},
        {MGC_READ_MALFORMED, GET("/?code=a%00b&state=x")},
        {MGC_READ_MALFORMED, GET("/?code=a%0d%0ab&state=x")},
        {MGC_READ_MALFORMED, GET("/?code=a+b&state=x")},
        {MGC_READ_MALFORMED, GET("/?code=a&state=%zz")},
        {MGC_READ_MALFORMED, GET("/?code=a&state=x%4")},
        {MGC_READ_MALFORMED, GET("/?code=a&state=x%")},
        {MGC_READ_MALFORMED, GET("/?code=a &state=x")},
        {MGC_READ_MALFORMED, GET("http://localhost:4711/?code=a&state=x")},
        {MGC_READ_MALFORMED, "GET /?code=a&state=x\r\n" HOST "\r\n"},
        {MGC_READ_MALFORMED, "GET /?code=a&state=x HTTP/2.0\r\n" HOST "\r\n"},
        {MGC_READ_MALFORMED, "GET /?code=a&state=x HTTP/1.1\r\n folded: line\r\n" HOST "\r\n"},
        {MGC_READ_MALFORMED, "GET /?code=a&state=x HTTP/1.1\r\nno colon\r\n" HOST "\r\n"},
        {MGC_READ_MALFORMED, "GET\r\n\r\n"},
        {MGC_READ_MALFORMED, "\x16\x03\x01"}, /* TLS */
        {MGC_READ_MALFORMED, "\r\n\r\n"},
        {MGC_READ_MALFORMED, FORM("-1") "code=a&state=x"},
        {MGC_READ_MALFORMED, FORM("99999999999999999999999") "code=a&state=x"},
        {MGC_READ_MALFORMED, FORM("14\r\nContent-Length: 14") "code=a&state=x"},
        {MGC_READ_MALFORMED, FORM("14\r\nTransfer-Encoding: chunked") "code=a&state=x"},
        {MGC_READ_MALFORMED, "POST / HTTP/1.1\r\n" HOST "Content-Length: 14\r\n\r\ncode=a&state=x"},
        {MGC_READ_MORE, ""},
        {MGC_READ_MORE, "GET /?code=a&state=x HTTP/1.1\r\n" HOST},
        {MGC_READ_MORE, FORM("15") "code=a&state=x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_redirect r;
        CHECK_INT(cases[i].reading, read_text(&r, cases[i].request));
        CHECK(r.state.at == NULL && r.code.at == NULL && r.error.at == NULL);
    }
}

/* ---- the listener -------------------------------------------------------------------------------- */

static struct mgc_loopback *loopback;
static int64_t              now; /* turned by the tests */
static char                 reply[16384];

static void open_loopback(void)
{
    now      = 0;
    loopback = NULL;
    CHECK_INT(MGC_OK, mgc_loopback_new(&loopback, &error));
}

static void close_loopback(void)
{
    mgc_loopback_free(loopback);
    loopback = NULL;
}

static int connect_once(void)
{
    struct sockaddr_in at = {.sin_family      = AF_INET,
                             .sin_port        = htons((uint16_t)mgc_loopback_port(loopback)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

static int connect_peer(void)
{
    int fd = connect_once();
    CHECK(fd >= 0);
    return fd;
}

static void say(int fd, const char *text)
{
    CHECK_INT(strlen(text), send(fd, text, strlen(text), MSG_NOSIGNAL));
}

static void step(void)
{
    CHECK_INT(MGC_OK, mgc_loopback_step(loopback, now, &error));
}

/* Steps until the peer has all it gets. The peer is closed. */
static const char *listen_to(int fd)
{
    size_t have = 0;
    for (int i = 0; i < 5000; i++) {
        step();
        ssize_t n = recv(fd, reply + have, sizeof reply - 1 - have, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        have += n > 0 ? (size_t)n : 0;
        usleep(n < 0 ? 1000 : 0);
    }
    reply[have] = '\0';
    close(fd);
    return reply;
}

static const char *ask(const char *text)
{
    int fd = connect_peer();
    say(fd, text);
    return listen_to(fd);
}

/* "GET /?{what}&state={this sign-in's}" */
static const char *redirect(const char *what)
{
    static char text[2048];
    snprintf(text, sizeof text, "GET /?%s&state=%s HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", what,
             mgc_loopback_pkce(loopback)->state, mgc_loopback_port(loopback));
    return text;
}

static bool waits(void)
{
    return mgc_loopback_get(loopback) == MGC_LOOPBACK_WAITING;
}

static void test_a_code_comes(void)
{
    open_loopback();
    CHECK(waits());
    const char *page = ask(redirect("code=the-code"));
    CHECK(strncmp(page, "HTTP/1.1 200 OK\r\n", 17) == 0);
    CHECK(strstr(page, "You are signed in to msgraph") != NULL);
    CHECK(strstr(page, "You may close this window") != NULL);
    CHECK(strstr(page, "Connection: close\r\n") != NULL);
    CHECK(strstr(page, "Cache-Control: no-store\r\n") != NULL);
    CHECK(strstr(page, "Content-Security-Policy: default-src 'none'") != NULL);
    const char *body = strstr(page, "\r\n\r\n");
    CHECK(body != NULL);
    CHECK_INT(strlen(body + 4), atoi(strstr(page, "Content-Length: ") + 16));
    CHECK_INT(MGC_LOOPBACK_CODE, mgc_loopback_get(loopback));
    CHECK_TEXT("the-code", mgc_loopback_code(loopback)->text);
    CHECK(connect_once() < 0); /* nobody listens any more */
    close_loopback();
}

static void test_a_form_comes(void)
{
    open_loopback();
    char text[1024], body[256];
    snprintf(body, sizeof body, "code=the-code&state=%s", mgc_loopback_pkce(loopback)->state);
    snprintf(
        text, sizeof text,
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nOrigin: https://login.microsoftonline.com\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n",
        mgc_loopback_port(loopback), strlen(body));
    int fd = connect_peer();
    say(fd, text);
    step();
    step();
    CHECK(waits());
    say(fd, body);
    CHECK(strstr(listen_to(fd), "You are signed in") != NULL);
    CHECK_TEXT("the-code", mgc_loopback_code(loopback)->text);
    close_loopback();
}

static void test_a_refusal_comes(void)
{
    open_loopback();
    const char *page =
        ask(redirect("error=access_denied&error_description="
                     "AADSTS65004%3a+User+%3cb%3edeclined%3c%2fb%3e.%0d%0aTrace+ID%3a+1"));
    CHECK(strstr(page, "You are not signed in to msgraph") != NULL);
    CHECK(strstr(page, "AADSTS65004: User &lt;b&gt;declined&lt;/b&gt;.<") != NULL);
    CHECK(strstr(page, "<b>") == NULL && strstr(page, "Trace") == NULL);
    CHECK_INT(MGC_LOOPBACK_REFUSED, mgc_loopback_get(loopback));
    CHECK_INT(MGC_ETOKEN, mgc_loopback_error(loopback)->code);
    CHECK_TEXT("access_denied", mgc_loopback_error(loopback)->word);
    CHECK_TEXT("no access token: AADSTS65004: User <b>declined</b>.",
               mgc_loopback_error(loopback)->message);
    CHECK(mgc_loopback_code(loopback)->text == NULL);
    close_loopback();
}

static void test_a_long_refusal_is_cut(void)
{
    char what[1200] = "error=server_error&error_description=";
    memset(what + strlen(what), '"', 1000);
    open_loopback();
    const char *page = ask(redirect(what));
    CHECK(strstr(page, "&quot;&quot;</p>") != NULL);
    CHECK_INT(MGC_MESSAGE_MAX - 1, strlen(mgc_loopback_error(loopback)->message));
    close_loopback();
    open_loopback();
    ask(redirect("error=server_error"));
    CHECK_TEXT("no access token: server_error", mgc_loopback_error(loopback)->message);
    close_loopback();
}

static void test_nothing_else_ends_it(void)
{
    char other[512], foreign[512], favicon[512];
    open_loopback();
    unsigned port = mgc_loopback_port(loopback);
    snprintf(other, sizeof other,
             "GET /?code=evil&state=%043d HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", 0, port);
    snprintf(foreign, sizeof foreign, "GET /?code=evil&state=%s HTTP/1.1\r\nHost: evil:%u\r\n\r\n",
             mgc_loopback_pkce(loopback)->state, port);
    snprintf(favicon, sizeof favicon, "GET /favicon.ico HTTP/1.1\r\nHost: localhost:%u\r\n\r\n",
             port);
    CHECK(strstr(ask(other), "HTTP/1.1 400") != NULL);
    CHECK(strstr(reply, "not the sign-in") != NULL);
    CHECK(strstr(ask(foreign), "HTTP/1.1 421") != NULL);
    CHECK(strstr(ask(favicon), "HTTP/1.1 404") != NULL);
    CHECK(strstr(ask("\x16\x03\x01\x02"), "HTTP/1.1 400") != NULL);
    CHECK(strstr(ask("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400") != NULL);
    close(connect_peer()); /* a preconnect that comes to nothing */
    step();
    CHECK(waits());
    CHECK(strstr(ask(redirect("code=good")), "HTTP/1.1 200") != NULL);
    CHECK_TEXT("good", mgc_loopback_code(loopback)->text);
    close_loopback();
}

static void test_a_state_of_another_length_is_wrong(void)
{
    char text[512];
    open_loopback();
    snprintf(text, sizeof text,
             "GET /?code=evil&state=%.42s HTTP/1.1\r\nHost: localhost:%u\r\n\r\n",
             mgc_loopback_pkce(loopback)->state, mgc_loopback_port(loopback));
    CHECK(strstr(ask(text), "HTTP/1.1 400") != NULL);
    CHECK(waits());
    close_loopback();
}

static void test_a_second_redirect_changes_nothing(void)
{
    open_loopback();
    int a = connect_peer(), b = connect_peer();
    step(); /* both are in before the outcome is known */
    say(a, redirect("code=first"));
    CHECK(strstr(listen_to(a), "HTTP/1.1 200") != NULL);
    say(b, redirect("code=second"));
    CHECK(strstr(listen_to(b), "HTTP/1.1 400") != NULL);
    CHECK_TEXT("first", mgc_loopback_code(loopback)->text);
    close_loopback();
}

static void test_a_slow_peer_has_ten_seconds(void)
{
    open_loopback();
    const char *text = redirect("code=slow");
    int         fd   = connect_peer();
    for (const char *c = text; *c != '\0'; c++) {
        char one[2] = {*c, '\0'};
        now += 9000 / (int)strlen(text);
        say(fd, one);
        step();
    }
    CHECK(strstr(listen_to(fd), "HTTP/1.1 200") != NULL);
    close_loopback();

    open_loopback();
    fd = connect_peer();
    say(fd, "GET /");
    step();
    now = 9999;
    step();
    CHECK_INT(-1, recv(fd, reply, 1, MSG_DONTWAIT));
    now = 10000;
    CHECK_TEXT("", listen_to(fd));
    CHECK(waits());
    close_loopback();
}

static void test_who_says_nothing_does_not_hold_the_place(void)
{
    int silent[8];
    open_loopback();
    for (int i = 0; i < 8; i++)
        silent[i] = connect_peer();
    step();
    int fd = connect_peer();
    say(fd, redirect("code=ninth"));
    for (int i = 0; i < 10; i++)
        step();
    CHECK(waits()); /* no more than eight */
    now = 10000;
    CHECK(strstr(listen_to(fd), "HTTP/1.1 200") != NULL);
    CHECK_TEXT("ninth", mgc_loopback_code(loopback)->text);
    for (int i = 0; i < 8; i++)
        close(silent[i]);
    close_loopback();
}

static void test_a_request_has_a_ceiling(void)
{
    char *text = malloc(16 * 1024 + 2);
    CHECK(text != NULL);
    memset(text, 'A', 16 * 1024 + 1);
    text[16 * 1024 + 1] = '\0';
    open_loopback();
    int fd = connect_peer();
    say(fd, text); /* with a byte that is thrown away, so that the answer is not */
    CHECK(strstr(listen_to(fd), "HTTP/1.1 400") != NULL);
    CHECK(waits());
    close_loopback();
    free(text);
}

/* ---- the URL ------------------------------------------------------------------------------------- */

static void test_the_url(void)
{
    char                          want[1024];
    const char                   *url;
    const struct mgc_loopback_ask ask = {.authorize  = "https://login/t/oauth2/v2.0/authorize",
                                         .client_id  = "me & you",
                                         .scope      = "User.Read offline_access",
                                         .prompt     = "select_account",
                                         .login_hint = "ada+1@contoso.com",
                                         .claims     = "{\"a\":1}"};
    open_loopback();
    const struct mgc_pkce *p = mgc_loopback_pkce(loopback);
    snprintf(want, sizeof want,
             "https://login/t/oauth2/v2.0/authorize?client_id=me%%20%%26%%20you&response_type=code"
             "&redirect_uri=http%%3A%%2F%%2Flocalhost%%3A%u%%2F&response_mode=query"
             "&scope=User.Read%%20offline_access&state=%s&code_challenge=%s"
             "&code_challenge_method=S256&prompt=select_account&login_hint=ada%%2B1%%40contoso.com"
             "&claims=%%7B%%22a%%22%%3A1%%7D",
             mgc_loopback_port(loopback), p->state, p->challenge);
    for (int i = 0; i < 2; i++) { /* the second replaces the first */
        CHECK_INT(MGC_OK, mgc_loopback_url(loopback, &url, &ask, &error));
        CHECK_TEXT(want, url);
    }
    CHECK(strstr(url, p->verifier) == NULL);
    close_loopback();
}

static void test_urls_that_can_not_be(void)
{
    static const char *const cases[] = {
        "http://login/authorize", "--help", "", "https://a?b", "https://a#b", "https://a b"};
    const char             *url;
    struct mgc_loopback_ask ask = {.client_id = "c", .scope = "s"};
    open_loopback();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask.authorize = cases[i];
        CHECK_INT(MGC_EOPTION, mgc_loopback_url(loopback, &url, &ask, &error));
        CHECK(strstr(error.message, "authorize") != NULL);
    }
    close_loopback();
}

/* ---- memory -------------------------------------------------------------------------------------- */

static void test_no_freed_memory_holds_the_code_or_the_verifier(void)
{
    char verifier[MGC_PKCE_LEN + 1];
    open_loopback();
    snprintf(verifier, sizeof verifier, "%s", mgc_loopback_pkce(loopback)->verifier);
    ask(redirect("code=s3cr3t-code"));
    CHECK_TEXT("s3cr3t-code", mgc_loopback_code(loopback)->text);
    fake_mem_look_for("s3cr3t");
    close_loopback();
    CHECK(!fake_mem_seen());

    open_loopback();
    snprintf(verifier, sizeof verifier, "%s", mgc_loopback_pkce(loopback)->verifier);
    fake_mem_look_for(verifier);
    close_loopback();
    CHECK(!fake_mem_seen());
    fake_mem_look_for(NULL);
}

static mgc_code whole_life(void)
{
    const struct mgc_loopback_ask ask = {"https://login", "c", "s", NULL, NULL, NULL};
    const char                   *url;
    mgc_code                      rc = mgc_loopback_new(&loopback, &error);
    if (rc == MGC_OK)
        rc = mgc_loopback_url(loopback, &url, &ask, &error);
    int fd = rc == MGC_OK ? connect_peer() : -1;
    if (fd >= 0)
        say(fd, redirect("code=good"));
    for (int i = 0; rc == MGC_OK && i < 1000 && waits(); i++, usleep(1000))
        rc = mgc_loopback_step(loopback, now, &error);
    if (fd >= 0)
        close(fd);
    return rc;
}

static void test_every_allocation_may_fail(void)
{
    const long live = fake_mem_live();
    bool       done = false;
    for (long n = 0; n < 100 && !done; n++) {
        fake_mem_fail_at(n);
        loopback    = NULL;
        mgc_code rc = whole_life();
        done        = rc == MGC_OK && fake_mem_count() <= n;
        fake_mem_fail_at(-1);
        CHECK(rc == MGC_ENOMEM || done);
        CHECK(rc == MGC_OK || loopback == NULL || waits());
        close_loopback();
        CHECK_INT(live, fake_mem_live());
    }
    CHECK(done);
}

static void test_a_code_without_memory_may_come_again(void)
{
    open_loopback();
    int fd = connect_peer();
    say(fd, redirect("code=good"));
    fake_mem_fail_at(0);
    mgc_code rc = MGC_OK;
    for (int i = 0; i < 1000 && rc == MGC_OK; i++, usleep(1000))
        rc = mgc_loopback_step(loopback, now, &error);
    fake_mem_fail_at(-1);
    CHECK_INT(MGC_ENOMEM, rc);
    CHECK(strstr(listen_to(fd), "HTTP/1.1 500") != NULL);
    CHECK(strstr(ask(redirect("code=good")), "HTTP/1.1 200") != NULL);
    CHECK_TEXT("good", mgc_loopback_code(loopback)->text);
    close_loopback();
}

int main(void)
{
    fake_mem_install();
    RUN(test_the_challenge_of_rfc_7636);
    RUN(test_pkce_is_never_the_same);
    RUN(test_redirects);
    RUN(test_what_is_no_redirect);
    RUN(test_a_code_comes);
    RUN(test_a_form_comes);
    RUN(test_a_refusal_comes);
    RUN(test_a_long_refusal_is_cut);
    RUN(test_nothing_else_ends_it);
    RUN(test_a_state_of_another_length_is_wrong);
    RUN(test_a_second_redirect_changes_nothing);
    RUN(test_a_slow_peer_has_ten_seconds);
    RUN(test_who_says_nothing_does_not_hold_the_place);
    RUN(test_a_request_has_a_ceiling);
    RUN(test_the_url);
    RUN(test_urls_that_can_not_be);
    RUN(test_no_freed_memory_holds_the_code_or_the_verifier);
    RUN(test_every_allocation_may_fail);
    RUN(test_a_code_without_memory_may_come_again);
    return REPORT("loopback");
}
