/* spec/core/test_transport.c - request, wire, exchange, transport over real TLS on loopback. */
#include "check.h"
#include "fakes.h"
#include "harness.h"
#include "server.h"

#include "core/base/clock.h"
#include "core/base/headers.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct server         server;
static struct mgc_transport *transport;
static struct mgc_origin    *origin;
static struct mgc_error      error;

static struct mgc_origin *make_origin(const struct mgc_origin_options *o)
{
    struct mgc_origin *made = NULL;
    CHECK_INT(MGC_OK, new_origin(&made, o, &error));
    return made;
}

static void open_all(void)
{
    struct mgc_origin_options o = origin_options(server.endpoint, server.ca_file);
    o.connect_ms                = 10000;
    o.first_byte_ms             = 1000; /* what runs under valgrind is slow */
    o.stall_ms                  = 700;
    origin                      = make_origin(&o);
    CHECK_INT(MGC_OK, mgc_transport_new(&transport, &error));
}

static void close_all(void)
{
    mgc_transport_free(transport);
    mgc_origin_unref(origin);
    transport = NULL;
    origin    = NULL;
}

static struct mgc_exchange *go(const char *method, const char *target)
{
    struct mgc_request_spec spec = request(method, target);
    return send_one(transport, origin, &spec, &error);
}

static const char *body_of(const struct mgc_exchange *x)
{
    return mgc_buf_text(&x->attempt.body);
}

/* ---- what is sent -------------------------------------------------------------------------------- */

static void test_a_post_without_body_is_exactly_this(void)
{
    char want[1024];
    open_all();
    struct mgc_exchange *x = go("POST", "/echo/v1.0/users/a%40b/removeAllDevicesFromManagement");
    CHECK_INT(MGC_OK, x->attempt.error.code);
    snprintf(want, sizeof want,
             "POST /echo/v1.0/users/a%%40b/removeAllDevicesFromManagement HTTP/1.1\r\n"
             "Host: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\nAccept: application/json\r\n"
             "client-request-id: %s\r\nContent-Length: 0\r\n\r\n",
             server.port, TOKEN, x->request->client_request_id);
    CHECK_TEXT(want, body_of(x));
    mgc_exchange_free(x);
    close_all();
}

static void test_a_body_travels_without_guesses(void)
{
    static const struct mgc_header typed[] = {{"Content-Type", "application/json", 12, 16},
                                              {"client-request-id", "mine", 17, 4},
                                              {"Prefer", "", 6, 0}};
    open_all();
    struct mgc_request_spec spec = request("PATCH", "/echo");
    spec.body                    = "{\"a\":1}";
    spec.body_len                = 7;
    struct mgc_exchange *x       = send_one(transport, origin, &spec, &error);
    CHECK(strstr(body_of(x), "PATCH /echo HTTP/1.1\r\n") == body_of(x));
    CHECK(strcasestr(body_of(x), "content-type") == NULL);
    CHECK(strcasestr(body_of(x), "expect") == NULL);
    CHECK(strstr(body_of(x), "Content-Length: 7\r\n") != NULL);
    mgc_exchange_free(x);

    spec.headers   = typed;
    spec.n_headers = 3;
    x              = send_one(transport, origin, &spec, &error);
    CHECK(strstr(body_of(x), "Content-Type: application/json\r\n") != NULL);
    CHECK(strstr(body_of(x), "client-request-id: mine\r\n") != NULL);
    CHECK(strstr(body_of(x), "Prefer:\r\n") != NULL);
    CHECK_TEXT("mine", x->request->client_request_id);
    mgc_exchange_free(x);
    close_all();
}

static void test_methods(void)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    open_all();
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct mgc_exchange *x = go(methods[i], "/echo");
        CHECK_INT(0, strncmp(methods[i], body_of(x), strlen(methods[i])));
        bool has_length = methods[i][0] == 'P';
        CHECK_INT(has_length, strstr(body_of(x), "Content-Length: 0\r\n") != NULL);
        mgc_exchange_free(x);
    }
    struct mgc_exchange *x = go("HEAD", "/status/200");
    CHECK_INT(200, x->attempt.status);
    CHECK_INT(0, x->attempt.body.len);
    mgc_exchange_free(x);
    x = go("GET", "/json"); /* the handle that sent HEAD is itself again */
    CHECK_TEXT("{\"value\":[]}", body_of(x));
    mgc_exchange_free(x);
    close_all();
}

static void test_what_can_not_be_sent_is_refused_at_once(void)
{
    static const struct mgc_header bad[] = {{"X", "a\r\nb", 1, 4},
                                            {"authorization", "x", 13, 1},
                                            {"Host", "x", 4, 1},
                                            {"content-length", "1", 14, 1},
                                            {"", "x", 0, 1}};
    open_all();
    CHECK(go("get", "/json") == NULL);
    CHECK_INT(MGC_EREQUEST, error.code);
    CHECK(go("", "/json") == NULL);
    struct mgc_request_spec head = request("HEAD", "/json");
    head.body                    = "{}";
    head.body_len                = 2;
    CHECK(send_one(transport, origin, &head, &error) == NULL); /* libcurl would make a POST of it */
    CHECK(go("GET", "https://elsewhere.example/json") == NULL);
    CHECK_INT(MGC_EFOREIGN, error.code);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mgc_request_spec spec = request("GET", "/json");
        spec.headers                 = &bad[i];
        spec.n_headers               = 1;
        CHECK(send_one(transport, origin, &spec, &error) == NULL);
        CHECK_INT(MGC_EREQUEST, error.code);
    }
    struct mgc_exchange *x = go("GET", "/count");
    static char          before[32];
    snprintf(before, sizeof before, "%s", body_of(x));
    mgc_exchange_free(x);
    x = go("GET", "/count");
    CHECK_TEXT(before, body_of(x)); /* none of them had reached the server */
    mgc_exchange_free(x);
    close_all();
}

/* ---- what comes back ------------------------------------------------------------------------------ */

static void test_answers_of_every_status(void)
{
    static const struct {
        const char *path;
        int         status;
    } cases[] = {{"/status/204", 204}, {"/status/200", 200}, {"/status/401", 401},
                 {"/status/404", 404}, {"/status/503", 503}, {"/redirect", 302},
                 {"/continue", 204},   {"/retry", 429}};
    open_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_exchange *x = go("POST", cases[i].path);
        CHECK_INT(MGC_OK, x->attempt.error.code);
        CHECK_INT(cases[i].status, x->attempt.status);
        CHECK_INT(MGC_ANSWERED, x->attempt.phase);
        CHECK(strstr(mgc_buf_text(&x->attempt.headers), "early") == NULL); /* 100 Continue's */
        mgc_exchange_free(x);
    }
    close_all();
}

static void test_failures_have_their_code_kind_and_phase(void)
{
    static const struct {
        const char *method, *path;
        mgc_code    code;
        const char *kind;
        mgc_phase   phase;
    } cases[] = {
        {"POST", "/reset", MGC_ERESET, "ambiguous", MGC_SENT},
        {"POST", "/close", MGC_ERESET, "ambiguous", MGC_SENT},
        {"GET", "/reset", MGC_ERESET, "network", MGC_SENT},
        {"POST", "/silent", MGC_ETIMEOUT_FIRST_BYTE, "ambiguous", MGC_SENT},
        {"GET", "/silent", MGC_ETIMEOUT_FIRST_BYTE, "timeout", MGC_SENT},
        {"POST", "/stall", MGC_ETIMEOUT_STALL, "ambiguous", MGC_ANSWERED},
        {"GET", "/stall", MGC_ETIMEOUT_STALL, "timeout", MGC_ANSWERED},
        {"POST", "/cut", MGC_ETRUNCATED, "ambiguous", MGC_ANSWERED},
        {"GET", "/cut", MGC_ETRUNCATED, "network", MGC_ANSWERED},
        {"POST", "/large/200000000", MGC_ETOO_LARGE, "protocol", MGC_ANSWERED},
        {"GET", "/garbage", MGC_EANSWER, "protocol", MGC_SENT},
        {"POST", "/garbage", MGC_EANSWER, "ambiguous", MGC_SENT},
    };
    open_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_exchange *x = go(cases[i].method, cases[i].path);
        fprintf(stderr, "# %s %s: %s\n", cases[i].method, cases[i].path, x->attempt.error.message);
        CHECK_INT(cases[i].code, x->attempt.error.code);
        CHECK_TEXT(cases[i].kind, mgc_exchange_kind(x));
        CHECK_INT(cases[i].phase, x->attempt.phase);
        CHECK(strstr(x->attempt.error.message, TOKEN) == NULL);
        mgc_exchange_free(x);
    }
    close_all();
}

static void test_where_no_connection_is_made_nothing_was_sent(void)
{
    static const struct {
        const char *endpoint;
        mgc_code    code;
    } cases[] = {{"https://127.0.0.1:1", MGC_ECONNECT}, {"https://no-such-host.invalid", MGC_EDNS}};
    open_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_origin_options o     = origin_options(cases[i].endpoint, server.ca_file);
        struct mgc_origin        *other = make_origin(&o);
        struct mgc_request_spec   spec  = request("POST", "/json");
        struct mgc_exchange      *x     = send_one(transport, other, &spec, &error);
        CHECK_INT(cases[i].code, x->attempt.error.code);
        CHECK_INT(MGC_NOT_SENT, x->attempt.phase);
        CHECK_TEXT("network", mgc_exchange_kind(x));
        mgc_exchange_free(x);
        mgc_origin_unref(other);
    }
    close_all();
}

static void test_certificates_are_always_checked(void)
{
    static const struct {
        enum server_certificate kind;
        bool                    own_ca;
        mgc_code                code;
    } cases[] = {{SERVER_GOOD, false, MGC_ETLS_UNTRUSTED},
                 {SERVER_EXPIRED, true, MGC_ETLS_EXPIRED},
                 {SERVER_WRONG_NAME, true, MGC_ETLS_NAME}};
    open_all();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct server other;
        server_start(&other, cases[i].kind);
        struct mgc_origin_options o =
            origin_options(other.endpoint, cases[i].own_ca ? other.ca_file : NULL);
        struct mgc_origin      *there = make_origin(&o);
        struct mgc_request_spec spec  = request("POST", "/json");
        struct mgc_exchange    *x     = send_one(transport, there, &spec, &error);
        server_stop(&other);
        CHECK_INT(cases[i].code, x->attempt.error.code);
        CHECK_INT(MGC_NOT_SENT, x->attempt.phase);
        mgc_exchange_free(x);
        mgc_origin_unref(there);
    }
    close_all();
}

static void test_a_body_has_a_ceiling(void)
{
    open_all();
    struct mgc_request_spec spec = request("GET", "/large/1000");
    spec.max_body                = 1000;
    struct mgc_exchange *x       = send_one(transport, origin, &spec, &error);
    CHECK_INT(MGC_OK, x->attempt.error.code);
    CHECK_INT(1000, x->attempt.body.len);
    mgc_exchange_free(x);
    spec.max_body = 999;
    x             = send_one(transport, origin, &spec, &error);
    CHECK_INT(MGC_ETOO_LARGE, x->attempt.error.code);
    CHECK_INT(200, x->attempt.status);
    mgc_exchange_free(x);
    close_all();
}

/* ---- repeating ------------------------------------------------------------------------------------- */

static int acted(void)
{
    struct mgc_exchange *x = go("GET", "/count");
    int                  n = atoi(body_of(x));
    mgc_exchange_free(x);
    return n;
}

/* libcurl would send it again on a fresh connection: the server saw one keep-alive connection. */
static void test_a_post_on_a_kept_connection_is_never_sent_twice(void)
{
    open_all();
    int                  before = acted(); /* and the connection is kept now */
    struct mgc_exchange *x      = go("POST", "/close");
    CHECK_INT(MGC_ERESET, x->attempt.error.code);
    CHECK_TEXT("ambiguous", mgc_exchange_kind(x));
    mgc_exchange_free(x);
    CHECK_INT(before + 1, acted());
    close_all();
}

static void test_nor_is_a_get_without_being_asked(void)
{
    open_all();
    int                  before = acted();
    struct mgc_exchange *x      = go("GET", "/close");
    CHECK_TEXT("network", mgc_exchange_kind(x));
    mgc_exchange_free(x);
    CHECK_INT(before + 1, acted());
    close_all();
}

/* libcurl takes the close_notify that waits on such a connection for a sign of life. */
static void test_a_connection_closed_while_idle_is_replaced(void)
{
    open_all();
    int before = acted();
    for (int i = 0; i < 5; i++) {
        mgc_exchange_free(go("POST", "/idle"));
        usleep(20000); /* the close arrives */
        struct mgc_exchange *x = go("POST", "/status/204");
        CHECK_INT(MGC_OK, x->attempt.error.code);
        CHECK_INT(204, x->attempt.status);
        mgc_exchange_free(x);
    }
    CHECK_INT(before + 10, acted());
    close_all();
}

/* ---- time, cancelling, many ------------------------------------------------------------------------ */

static void test_the_whole_operation_has_a_deadline(void)
{
    open_all();
    struct mgc_request_spec spec = request("GET", "/silent");
    spec.deadline_ms             = 60;
    int64_t              from    = mgc_now_ms();
    struct mgc_exchange *x       = send_one(transport, origin, &spec, &error);
    CHECK_INT(MGC_ETIMEOUT, x->attempt.error.code);
    CHECK(mgc_now_ms() - from >= 60);
    mgc_exchange_free(x);
    close_all();
}

static void test_cancel_at_every_stage(void)
{
    struct mgc_request_spec spec = request("POST", "/silent");
    uint64_t                id;
    int                     n;
    open_all();
    CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    CHECK(mgc_transport_cancel(transport, id)); /* queued */
    CHECK(!mgc_transport_cancel(transport, id));
    struct mgc_exchange *x = mgc_transport_take(transport);
    CHECK_INT(MGC_ECANCELLED, x->attempt.error.code);
    CHECK_INT(MGC_NOT_SENT, x->attempt.phase);
    mgc_exchange_free(x);

    CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    for (int i = 0; i < 10; i++)
        CHECK_INT(MGC_OK, mgc_transport_step(transport, 10, &n, &error));
    CHECK(mgc_transport_cancel(transport, id)); /* sent */
    x = mgc_transport_take(transport);
    CHECK_INT(MGC_SENT, x->attempt.phase);
    CHECK_TEXT("cancelled", mgc_exchange_kind(x));
    mgc_exchange_free(x);
    CHECK(!mgc_transport_cancel(transport, 4711));
    CHECK(mgc_transport_take(transport) == NULL);
    close_all();
}

static void test_more_than_the_wire_holds_are_queued(void)
{
    enum { MANY = MGC_IN_FLIGHT_MAX + 200 };
    struct mgc_request_spec spec = request("POST", "/status/204");
    open_all();
    origin->first_byte_ms = origin->connect_ms = 20000; /* so many handshakes on a slow machine */
    for (int i = 0; i < MANY; i++) {
        uint64_t id;
        CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
        CHECK_INT(i + 1, id);
    }
    for (int i = 0; i < MANY; i++) {
        struct mgc_exchange *x = finish_one(transport);
        CHECK(x != NULL);
        CHECK_INT(204, x->attempt.status);
        mgc_exchange_free(x);
    }
    close_all();
}

/* A host that was busy for longer than the limits finds its answers in the kernel. */
static void test_answers_that_came_meanwhile_are_not_too_late(void)
{
    enum { MANY = 200 };
    struct mgc_request_spec spec = request("POST", "/status/204");
    uint64_t                id;
    int                     n;
    open_all();
    origin->connect_ms = origin->first_byte_ms = 20000;
    for (int round = 0; round < 2; round++) { /* in the second one the connections stand */
        for (int i = 0; i < MANY; i++)
            CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
        if (round == 1) {
            origin->first_byte_ms = 1000;
            CHECK_INT(MGC_OK, mgc_transport_step(transport, 0, &n, &error));
            usleep(1200 * 1000);
        }
        for (int i = 0; i < MANY; i++) {
            struct mgc_exchange *x = finish_one(transport);
            CHECK_INT(MGC_OK, x->attempt.error.code);
            mgc_exchange_free(x);
        }
    }
    close_all();
}

static void test_freeing_with_everything_under_way(void)
{
    struct mgc_request_spec spec = request("POST", "/silent");
    uint64_t                id;
    int                     n;
    open_all();
    for (int i = 0; i < MGC_IN_FLIGHT_MAX + 10; i++)
        CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    CHECK_INT(MGC_OK, mgc_transport_step(transport, 20, &n, &error));
    close_all();
}

/* ---- hosts -------------------------------------------------------------------------------------------- */

static int watch(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, wait_ms);
}

static void test_a_host_needs_one_descriptor(void)
{
    static const char *const paths[] = {"/json", "/silent", "/stall"};
    open_all();
    int fd = mgc_transport_fd(transport);
    CHECK_INT(0, watch(fd, 0)); /* quiet while there is nothing to do */
    for (size_t i = 0; i < 3; i++) {
        struct mgc_request_spec spec = request("GET", paths[i]);
        uint64_t                id;
        int                     n = 0, rounds = 0;
        CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
        for (; n == 0 && rounds < 100; rounds++) {
            CHECK_INT(1, watch(fd, 5000)); /* deadlines wake it too */
            CHECK_INT(MGC_OK, mgc_transport_step(transport, 0, &n, &error));
        }
        CHECK(rounds < 100); /* and it is no busy loop */
        mgc_exchange_free(mgc_transport_take(transport));
    }
    mgc_transport_wake(transport, mgc_now_ms() + 30);
    CHECK_INT(1, watch(fd, 5000));
    mgc_transport_wake(transport, MGC_NEVER);
    close_all();
}

static void test_a_wake_ends_the_wait(void)
{
    int n;
    open_all();
    int64_t from = mgc_now_ms();
    mgc_transport_wake(transport, from + 30);
    CHECK_INT(MGC_OK, mgc_transport_step(transport, 5000, &n, &error));
    CHECK(mgc_now_ms() >= from + 30);
    CHECK(mgc_now_ms() < from + 4000);
    from = mgc_now_ms();
    CHECK_INT(MGC_OK, mgc_transport_step(transport, 30, &n, &error));
    CHECK(mgc_now_ms() >= from + 30); /* once: the next wait is a wait again */
    close_all();
}

static int count_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int  n = 0;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void test_nothing_is_left_behind(void)
{
    int  fds  = count_descriptors();
    long live = fake_mem_live();
    open_all();
    for (int i = 0; i < 20; i++)
        mgc_exchange_free(go("POST", i % 3 == 0 ? "/reset" : "/status/204"));
    close_all();
    CHECK_INT(fds, count_descriptors());
    CHECK_INT(live, fake_mem_live());
}

static void test_no_freed_memory_holds_the_token(void)
{
    fake_mem_look_for("c2VjcmV0LXNlY3JldC1zZWNyZXQ");
    open_all();
    mgc_exchange_free(go("POST", "/status/204"));
    mgc_exchange_free(go("POST", "/reset"));
    mgc_exchange_free(go("GET", "/cut"));
    close_all();
    CHECK(!fake_mem_seen());
    fake_mem_look_for(NULL);
}

static void test_a_token_is_gone_with_its_origin(void)
{
    fake_mem_look_for("c2VjcmV0LXNlY3JldC1zZWNyZXQ");
    open_all();
    mgc_exchange_free(go("POST", "/status/204"));
    CHECK(fake_mem_holds("c2VjcmV0LXNlY3JldC1zZWNyZXQ"));
    mgc_origin_unref(origin); /* a client closes, another goes on */
    origin = NULL;
    CHECK(!fake_mem_holds("c2VjcmV0LXNlY3JldC1zZWNyZXQ"));
    close_all();
    fake_mem_look_for(NULL);
}

static void test_a_child_is_refused_and_harms_nothing(void)
{
    open_all();
    mgc_exchange_free(go("GET", "/json"));
    int before = acted();
    int pid    = fork();
    if (pid == 0) {
        mgc_code rc = mgc_transport_check(transport, &error);
        mgc_transport_free(transport);
        _exit(rc == MGC_EFORKED ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_INT(0, status);
    struct mgc_exchange *x = go("POST", "/status/204"); /* the kept connection still stands */
    CHECK_INT(204, x->attempt.status);
    mgc_exchange_free(x);
    CHECK_INT(before + 1, acted());
    close_all();
}

static void test_a_reset_raises_no_signal(void)
{
    signal(SIGPIPE, SIG_DFL); /* would end this program */
    open_all();
    for (int i = 0; i < 10; i++) {
        mgc_exchange_free(go("GET", "/json"));
        mgc_exchange_free(go("POST", i % 2 == 0 ? "/reset" : "/close"));
    }
    close_all();
}

static void test_http_2_only_where_libcurl_can_be_trusted(void)
{
    CHECK_INT(MGC_HTTP_1_1, mgc_wire_http_for(0x075801));
    CHECK_INT(MGC_HTTP_1_1, mgc_wire_http_for(0x080500));
    CHECK_INT(MGC_HTTP_2, mgc_wire_http_for(0x080600));
    CHECK_INT(MGC_HTTP_1_1, mgc_wire_http_for(0x080901));
    CHECK_INT(MGC_HTTP_1_1, mgc_wire_http_for(0x080a00));
    CHECK_INT(MGC_HTTP_2, mgc_wire_http_for(0x080a01));
}

static void test_origin_options(void)
{
    struct mgc_origin        *o   = NULL;
    struct mgc_credential    *c   = NULL;
    struct mgc_origin_options bad = origin_options("https://localhost", "/no/such/file");
    CHECK_INT(MGC_EOPTION, mgc_origin_new(&o, &bad, &error));
    CHECK(strstr(error.message, "/no/such/file") != NULL);
    CHECK_INT(MGC_EOPTION, mgc_credential_given(&c, "", 0, &error));
    CHECK_INT(MGC_EOPTION, mgc_credential_given(&c, "a\nb", 3, &error));
    CHECK(strstr(error.message, "a\nb") == NULL);
    CHECK(o == NULL && c == NULL);
}

int main(void)
{
    server_start(&server, SERVER_GOOD);
    fake_mem_install();
    RUN(test_a_post_without_body_is_exactly_this);
    RUN(test_a_body_travels_without_guesses);
    RUN(test_methods);
    RUN(test_what_can_not_be_sent_is_refused_at_once);
    RUN(test_answers_of_every_status);
    RUN(test_failures_have_their_code_kind_and_phase);
    RUN(test_where_no_connection_is_made_nothing_was_sent);
    RUN(test_certificates_are_always_checked);
    RUN(test_a_body_has_a_ceiling);
    RUN(test_a_post_on_a_kept_connection_is_never_sent_twice);
    RUN(test_nor_is_a_get_without_being_asked);
    RUN(test_a_connection_closed_while_idle_is_replaced);
    RUN(test_the_whole_operation_has_a_deadline);
    RUN(test_cancel_at_every_stage);
    RUN(test_more_than_the_wire_holds_are_queued);
    RUN(test_answers_that_came_meanwhile_are_not_too_late);
    RUN(test_freeing_with_everything_under_way);
    RUN(test_a_host_needs_one_descriptor);
    RUN(test_a_wake_ends_the_wait);
    RUN(test_nothing_is_left_behind);
    RUN(test_no_freed_memory_holds_the_token);
    RUN(test_a_token_is_gone_with_its_origin);
    RUN(test_a_child_is_refused_and_harms_nothing);
    RUN(test_a_reset_raises_no_signal);
    RUN(test_http_2_only_where_libcurl_can_be_trusted);
    RUN(test_origin_options);
    server_stop(&server);
    return REPORT("transport");
}
