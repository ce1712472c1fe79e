/* spec/core/test_again.c - retries over real TLS on loopback: what is sent again, when, and what is told of it. */
#include "check.h"
#include "fakes.h"
#include "harness.h"
#include "server.h"

#include "core/base/clock.h"

#include <unistd.h>

static struct server         server;
static struct mgc_transport *transport;
static struct mgc_origin    *origin;
static struct mgc_error      error;

static void open_all(void)
{
    struct mgc_origin_options o = origin_options(server.endpoint, server.ca_file);
    CHECK_INT(MGC_OK, new_origin(&origin, &o, &error));
    CHECK_INT(MGC_OK, mgc_transport_new(&transport, &error));
}

static void close_all(void)
{
    mgc_transport_free(transport);
    mgc_origin_unref(origin);
    transport = NULL;
    origin    = NULL;
}

static struct mgc_request_spec again(const char *method, const char *target)
{
    struct mgc_request_spec spec = request(method, target);
    spec.once                    = false;
    if (strcmp(method, "GET") != 0) {
        spec.body     = "the same\nbytes";
        spec.body_len = strlen(spec.body);
    }
    return spec;
}

static struct mgc_exchange *go(const struct mgc_request_spec *spec)
{
    struct mgc_exchange *x = send_one(transport, origin, spec, &error);
    CHECK(x != NULL);
    return x;
}

static int acted(void)
{
    struct mgc_request_spec spec = request("GET", "/count");
    struct mgc_exchange    *x    = go(&spec);
    int                     n    = atoi(mgc_buf_text(&x->attempt.body));
    mgc_exchange_free(x);
    return n;
}

/* ---- what is sent again ---------------------------------------------------------------------------- */

static void test_a_throttled_post_is_sent_again_byte_for_byte(void)
{
    struct mgc_request_spec spec = again("POST", "/odd/1/429/2");
    open_all();
    int                  before = acted();
    int64_t              from   = mgc_now_ms();
    struct mgc_exchange *x      = go(&spec);
    CHECK_INT(200, x->attempt.status);
    CHECK_TEXT("the same\nbytes", mgc_buf_text(&x->attempt.body));
    CHECK_INT(3, mgc_exchange_attempts(x));
    CHECK_INT(429, mgc_exchange_attempt(x, 0).status);
    CHECK_INT(0, mgc_exchange_attempt(x, 0).waited_ms);
    CHECK(mgc_exchange_attempt(x, 1).waited_ms >= 20);
    CHECK(mgc_exchange_attempt(x, 2).waited_ms >= 20);
    CHECK_INT(200, mgc_exchange_attempt(x, 2).status);
    CHECK(x->waited_ms >= 40 && mgc_now_ms() - from >= x->waited_ms);
    CHECK_INT(MGC_RETRY_BUDGET - 5, origin->retry_budget); /* the retry that helped is paid back */
    mgc_exchange_free(x);
    CHECK_INT(before + 3, acted());
    close_all();
}

static void test_a_post_that_failed_is_not_sent_again(void)
{
    static const char *const paths[] = {"/odd/2/502/1", "/odd/3/0/1", "/close", "/cut"};
    open_all();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct mgc_request_spec spec   = again("POST", paths[i]);
        int                     before = acted();
        struct mgc_exchange    *x      = go(&spec);
        CHECK(mgc_exchange_is_ambiguous(x));
        CHECK_INT(1, mgc_exchange_attempts(x));
        mgc_exchange_free(x);
        CHECK_INT(before + 1, acted());
    }
    close_all();
}

static void test_a_read_that_was_lost_is_made_on_a_new_connection(void)
{
    struct mgc_request_spec spec = again("GET", "/odd/4/0/1");
    open_all();
    int                  before = acted();
    struct mgc_exchange *x      = go(&spec);
    CHECK_INT(200, x->attempt.status);
    CHECK(x->attempt.fresh);
    CHECK_INT(2, mgc_exchange_attempts(x));
    CHECK_INT(MGC_ERESET, mgc_exchange_attempt(x, 0).code);
    CHECK_INT(MGC_SENT, mgc_exchange_attempt(x, 0).phase);
    mgc_exchange_free(x);
    CHECK_INT(before + 2, acted());
    close_all();
}

static void test_a_write_that_was_lost_and_may_be_repeated_says_how_far_it_came(void)
{
    struct mgc_request_spec spec = again("PATCH", "/reset");
    uint64_t                id;
    int                     n;
    open_all();
    int before = acted();
    CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    while (acted() == before) /* which steps */
        ;
    for (int i = 0; i < 3; i++) /* its wait is 50 ms at least */
        CHECK_INT(MGC_OK, mgc_transport_step(transport, 1, &n, &error));
    int64_t from = mgc_now_ms();
    CHECK(mgc_transport_cancel(transport, id));
    struct mgc_exchange *x = mgc_transport_take(transport);
    CHECK(x != NULL && mgc_now_ms() - from < 50);
    CHECK_INT(MGC_ECANCELLED, x->attempt.error.code);
    CHECK_INT(MGC_SENT, mgc_exchange_phase(x)); /* though the second attempt had not begun */
    mgc_exchange_free(x);
    close_all();
}

static void test_a_wait_that_is_cut_short_counts_as_far_as_it_went(void)
{
    struct mgc_request_spec spec = again("POST", "/retry"); /* asks for 2.128 s */
    uint64_t                id;
    int                     n;
    open_all();
    int before = acted();
    CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    int64_t from = mgc_now_ms();
    while (acted() == before)
        ;
    for (int i = 0; i < 10; i++)
        CHECK_INT(MGC_OK, mgc_transport_step(transport, 20, &n, &error));
    CHECK(mgc_transport_cancel(transport, id));
    int64_t              took = mgc_now_ms() - from;
    struct mgc_exchange *x    = mgc_transport_take(transport);
    CHECK_INT(MGC_ECANCELLED, x->attempt.error.code);
    CHECK_INT(MGC_NOT_SENT, mgc_exchange_phase(x)); /* the attempt that was, was refused */
    CHECK(x->waited_ms >= 0 && x->waited_ms <= took);
    CHECK_INT(x->waited_ms, mgc_exchange_attempt(x, 1).waited_ms);
    mgc_exchange_free(x);
    close_all();
}

static void test_attempts_are_bounded(void)
{
    struct mgc_request_spec spec = again("GET", "/status/502");
    open_all();
    int                  before = acted();
    struct mgc_exchange *x      = go(&spec);
    CHECK_INT(502, x->attempt.status);
    CHECK_INT(MGC_END, x->verdict);
    CHECK_INT(4, mgc_exchange_attempts(x));
    mgc_exchange_free(x);
    CHECK_INT(before + 4, acted());
    close_all();
}

static void test_one_that_shall_be_sent_once_is(void)
{
    struct mgc_request_spec spec = request("GET", "/odd/5/429/1");
    open_all();
    int                  before = acted();
    struct mgc_exchange *x      = go(&spec);
    CHECK_INT(429, x->attempt.status);
    mgc_exchange_free(x);
    CHECK_INT(before + 1, acted());
    close_all();
}

/* ---- deadline and budget ------------------------------------------------------------------------------ */

static void test_a_wait_beyond_the_deadline_is_not_begun(void)
{
    struct mgc_request_spec spec = again("GET", "/retry"); /* asks for 2.128 s */
    open_all();
    spec.deadline_ms          = 2000;
    int64_t              from = mgc_now_ms();
    struct mgc_exchange *x    = go(&spec);
    CHECK(mgc_now_ms() - from < 2000);
    CHECK_INT(429, x->attempt.status); /* the answer itself, and not a timeout */
    CHECK_INT(MGC_TOO_LATE, x->verdict);
    CHECK(x->late_ms >= 2128);
    mgc_exchange_free(x);
    close_all();
}

static void test_an_empty_budget_pays_for_nothing(void)
{
    struct mgc_request_spec spec = again("GET", "/status/502"), good = again("GET", "/json");
    open_all();
    origin->retry_budget   = 13;
    struct mgc_exchange *x = go(&spec);
    CHECK_INT(502, x->attempt.status);
    CHECK_INT(MGC_NO_BUDGET, x->verdict);
    CHECK_INT(1, mgc_exchange_attempts(x));
    mgc_exchange_free(x);
    mgc_exchange_free(go(&good));
    CHECK_INT(14, origin->retry_budget);
    close_all();
}

static void test_the_wait_is_no_time_on_the_wire(void)
{
    struct mgc_request_spec spec = again("GET", "/odd/6/429/1");
    int                     n;
    uint64_t                id;
    open_all();
    origin->first_byte_ms = 1000;
    mgc_transport_fd(transport); /* with a host */
    CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    for (n = 0; n == 0;) {
        CHECK(mgc_transport_due_ms(transport) != MGC_NEVER);
        CHECK_INT(MGC_OK, mgc_transport_step(transport, 1000, &n, &error));
    }
    struct mgc_exchange *x = mgc_transport_take(transport);
    CHECK_INT(200, x->attempt.status);
    CHECK(x->waited_ms > 0 && x->spent_ms[MGC_DELAYED] >= x->waited_ms);
    mgc_exchange_free(x);
    close_all();
}

/* A limit of the second attempt is kept, though nothing else makes the transport look at its clock. */
static void test_limits_hold_for_every_attempt(void)
{
    struct mgc_request_spec spec = again("GET", "/silent");
    open_all();
    origin->first_byte_ms  = 150;
    spec.deadline_ms       = 30000;
    struct mgc_exchange *x = go(&spec);
    CHECK_INT(MGC_ETIMEOUT_FIRST_BYTE, x->attempt.error.code);
    CHECK_INT(4, mgc_exchange_attempts(x));
    for (int i = 0; i < 4; i++)
        CHECK_INT(MGC_ETIMEOUT_FIRST_BYTE, mgc_exchange_attempt(x, i).code);
    mgc_exchange_free(x);
    close_all();
}

/* ---- what is remembered ------------------------------------------------------------------------------- */

static void test_the_last_attempts_are_remembered(void)
{
    struct mgc_request_spec spec = request("GET", "/json");
    struct mgc_exchange    *x    = NULL;
    uint64_t                id;
    open_all();
    CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    CHECK(mgc_transport_cancel(transport, id));
    x = mgc_transport_take(transport);
    for (int i = 1; i <= 20; i++) {
        x->attempt.error.code = MGC_OK;
        x->attempt.status     = 500 + i;
        mgc_exchange_retry(x, i * 1000);
    }
    CHECK_INT(MGC_PAST_MAX + 1, mgc_exchange_attempts(x));
    CHECK_INT(500 + 20, mgc_exchange_attempt(x, MGC_PAST_MAX - 1).status);
    CHECK_INT(19 * 1000, mgc_exchange_attempt(x, MGC_PAST_MAX - 1).waited_ms);
    CHECK_INT(500 + 20 - MGC_PAST_MAX + 1, mgc_exchange_attempt(x, 0).status);
    CHECK_INT(20 * 1000, mgc_exchange_attempt(x, MGC_PAST_MAX).waited_ms);
    CHECK_INT(210 * 1000, x->waited_ms);
    mgc_exchange_free(x);
    close_all();
}

static void test_freeing_while_one_waits_leaves_nothing(void)
{
    struct mgc_request_spec spec = again("POST", "/retry");
    uint64_t                id;
    int                     n;
    long                    live = fake_mem_live();
    open_all();
    CHECK_INT(MGC_OK, mgc_transport_submit(transport, origin, &spec, &id, &error));
    for (int i = 0; i < 20; i++)
        CHECK_INT(MGC_OK, mgc_transport_step(transport, 10, &n, &error));
    CHECK_INT(0, n);
    close_all();
    CHECK_INT(live, fake_mem_live());
}

int main(void)
{
    server_start(&server, SERVER_GOOD);
    fake_mem_install();
    RUN(test_a_throttled_post_is_sent_again_byte_for_byte);
    RUN(test_a_post_that_failed_is_not_sent_again);
    RUN(test_a_read_that_was_lost_is_made_on_a_new_connection);
    RUN(test_a_write_that_was_lost_and_may_be_repeated_says_how_far_it_came);
    RUN(test_a_wait_that_is_cut_short_counts_as_far_as_it_went);
    RUN(test_attempts_are_bounded);
    RUN(test_one_that_shall_be_sent_once_is);
    RUN(test_a_wait_beyond_the_deadline_is_not_begun);
    RUN(test_an_empty_budget_pays_for_nothing);
    RUN(test_the_wait_is_no_time_on_the_wire);
    RUN(test_limits_hold_for_every_attempt);
    RUN(test_the_last_attempts_are_remembered);
    RUN(test_freeing_while_one_waits_leaves_nothing);
    server_stop(&server);
    return REPORT("again");
}
