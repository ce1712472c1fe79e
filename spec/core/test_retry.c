/* spec/core/test_retry.c - the retry policy: cases with their numbers, and its promises held against
 * thousands of random histories on a clock of the test's own. */
#include "check.h"
#include "core/policy/retry.h"

enum { PLENTY_MS = INT32_MAX };

static struct mgc_outcome answered(int status, int64_t hint_ms, bool idempotent)
{
    return (struct mgc_outcome){
        .phase = MGC_ANSWERED, .status = status, .hint_ms = hint_ms, .idempotent = idempotent};
}

static struct mgc_outcome lost(mgc_code code, mgc_phase phase, bool idempotent)
{
    return (struct mgc_outcome){
        .code = code, .phase = phase, .hint_ms = -1, .idempotent = idempotent};
}

/* The wait after the n-th of the same outcome running; -1: no other attempt. */
static int64_t wait_after(struct mgc_outcome o, int n, double random)
{
    struct mgc_retries  r      = {0};
    int                 budget = MGC_RETRY_BUDGET;
    struct mgc_decision d      = {0};
    while (n-- > 0)
        d = mgc_retry_decide(&r, &budget, &o, PLENTY_MS, random);
    return d.verdict == MGC_AGAIN ? d.wait_ms : -1;
}

/* ---- classes ------------------------------------------------------------------------------------- */

static void test_statuses_have_their_class(void)
{
    static const struct {
        int             status;
        int64_t         hint_ms;
        mgc_retry_class want;
    } cases[] = {
        {429, 1000, MGC_THROTTLE}, {429, -1, MGC_THROTTLE},  {509, -1, MGC_THROTTLE},
        {503, 0, MGC_THROTTLE},    {503, -1, MGC_TRANSIENT}, {500, 1000, MGC_TRANSIENT},
        {408, -1, MGC_TRANSIENT},  {502, -1, MGC_TRANSIENT}, {504, -1, MGC_TRANSIENT},
        {200, 1000, MGC_FINAL},    {204, -1, MGC_FINAL},     {302, -1, MGC_FINAL},
        {400, 1000, MGC_FINAL},    {401, -1, MGC_FINAL},     {403, -1, MGC_FINAL},
        {404, -1, MGC_FINAL},      {405, -1, MGC_FINAL},     {409, -1, MGC_FINAL},
        {410, -1, MGC_FINAL},      {412, -1, MGC_FINAL},     {413, -1, MGC_FINAL},
        {415, -1, MGC_FINAL},      {423, -1, MGC_FINAL},     {501, -1, MGC_FINAL},
        {507, -1, MGC_FINAL},      {424, -1, MGC_TRANSIENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_outcome o = answered(cases[i].status, cases[i].hint_ms, true);
        CHECK_INT(cases[i].want, mgc_retry_classify(&o));
    }
}

static void test_a_lost_request_is_sent_again_where_that_can_do_no_harm(void)
{
    static const mgc_code lost_codes[] = {MGC_EDNS,
                                          MGC_ECONNECT,
                                          MGC_ETLS,
                                          MGC_ERESET,
                                          MGC_ETRUNCATED,
                                          MGC_ETIMEOUT_CONNECT,
                                          MGC_ETIMEOUT_FIRST_BYTE,
                                          MGC_ETIMEOUT_STALL};
    for (size_t i = 0; i < sizeof lost_codes / sizeof lost_codes[0]; i++)
        for (int phase = MGC_NOT_SENT; phase <= MGC_ANSWERED; phase++) {
            struct mgc_outcome post = lost(lost_codes[i], (mgc_phase)phase, false);
            CHECK((wait_after(lost(lost_codes[i], (mgc_phase)phase, true), 1, 0)) >= 0);
            CHECK((wait_after(post, 1, 0) >= 0) == (phase == MGC_NOT_SENT));
            CHECK(mgc_retry_is_ambiguous(&post) == (phase != MGC_NOT_SENT));
        }
}

static void test_what_would_fail_again_is_not_tried_again(void)
{
    static const mgc_code codes[] = {
        MGC_ENOMEM,    MGC_ECANCELLED, MGC_ETOKEN,       MGC_EPROXY,     MGC_ETLS_UNTRUSTED,
        MGC_ETLS_NAME, MGC_EFORKED,    MGC_ETLS_EXPIRED, MGC_ETOO_LARGE, MGC_EANSWER,
        MGC_EINTERNAL, MGC_EREQUEST,   MGC_EFOREIGN};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        CHECK_INT(-1, wait_after(lost(codes[i], MGC_NOT_SENT, true), 1, 0));
}

static void test_a_throttled_post_may_be_repeated_and_a_failed_one_may_not(void)
{
    static const int failures[] = {408, 500, 502, 503, 504};
    CHECK(wait_after(answered(429, 10, false), 1, 0) >= 0);
    CHECK(wait_after(answered(503, 10, false), 1, 0) >= 0);
    CHECK(wait_after(answered(509, -1, false), 1, 0) >= 0);
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        struct mgc_outcome post = answered(failures[i], -1, false);
        CHECK_INT(-1, wait_after(post, 1, 0));
        CHECK(mgc_retry_is_ambiguous(&post));
        CHECK(wait_after(answered(failures[i], -1, true), 1, 0) >= 0);
    }
}

static void test_what_failed_with_another_was_not_acted_on(void)
{
    struct mgc_outcome post = answered(424, -1, false);
    CHECK_INT(50, wait_after(post, 1, 0));
    CHECK(wait_after(post, 3, 0) >= 0);
    CHECK_INT(-1, wait_after(post, 4, 0));
    CHECK(!mgc_retry_may_have_acted(&post));
    struct mgc_outcome get = answered(500, -1, true);
    CHECK(mgc_retry_may_have_acted(&get) && !mgc_retry_is_ambiguous(&get));
}

static void test_a_refusal_is_never_ambiguous(void)
{
    static const int refusals[] = {400, 401, 403, 404, 409, 412, 424, 429, 501, 507, 509};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct mgc_outcome o = answered(refusals[i], -1, false);
        CHECK(!mgc_retry_is_ambiguous(&o));
    }
    struct mgc_outcome cut = lost(MGC_ETRUNCATED, MGC_ANSWERED, false);
    cut.status             = 404; /* it had said so before it broke off */
    CHECK(!mgc_retry_is_ambiguous(&cut));
    cut.status = 429;
    CHECK(!mgc_retry_is_ambiguous(&cut));
    CHECK(wait_after(cut, 1, 0) >= 0);
    cut.status = 408;
    CHECK(mgc_retry_is_ambiguous(&cut));
}

/* ---- waits ---------------------------------------------------------------------------------------- */

static void test_waits(void)
{
    const double                    all   = 0.999999;
    static const struct mgc_outcome blind = {.phase = MGC_ANSWERED, .status = 429, .hint_ms = -1};
    CHECK_INT(7000, wait_after(answered(429, 7000, false), 1, 0));
    CHECK_INT(7699, wait_after(answered(429, 7000, false), 1, all)); /* a tenth more */
    CHECK_INT(1000 + 249, wait_after(answered(429, 1000, false), 1, all));
    CHECK_INT(600000, wait_after(answered(429, 600000, false), 1, 0));
    CHECK_INT(604999, wait_after(answered(429, 600000, false), 1, all)); /* five seconds at most */
    CHECK_INT(1000, wait_after(blind, 1, 0));
    CHECK_INT(1999, wait_after(blind, 1, all));
    CHECK_INT(4000, wait_after(blind, 3, 0));
    CHECK_INT(30000, wait_after(blind, 7, 0)); /* 128 s are cut to 60 */
    CHECK_INT(50, wait_after(answered(502, -1, true), 1, 0));
    CHECK_INT(549, wait_after(answered(502, -1, true), 1, all));
    CHECK_INT(2049, wait_after(lost(MGC_ERESET, MGC_SENT, true), 3, all));
    CHECK_INT(9000, wait_after(answered(500, 9000, true), 1, 0)); /* a hint holds there too */
}

static void test_a_short_hint_that_does_not_help_is_not_believed(void)
{
    CHECK_INT(300, wait_after(answered(429, 300, false), 2, 0));
    CHECK_INT(4000, wait_after(answered(429, 300, false), 3, 0));
    CHECK_INT(1001, wait_after(answered(429, 1001, false), 7, 0));

    struct mgc_retries r      = {0};
    int                budget = MGC_RETRY_BUDGET;
    struct mgc_outcome quick = answered(429, 300, false), slow = answered(429, 2000, false);
    mgc_retry_decide(&r, &budget, &quick, PLENTY_MS, 0);
    mgc_retry_decide(&r, &budget, &quick, PLENTY_MS, 0);
    mgc_retry_decide(&r, &budget, &slow, PLENTY_MS, 0);
    CHECK_INT(300, mgc_retry_decide(&r, &budget, &quick, PLENTY_MS, 0).wait_ms);
}

static void test_attempts_are_counted_by_sort(void)
{
    CHECK(wait_after(answered(429, 1, false), 7, 0) >= 0);
    CHECK_INT(-1, wait_after(answered(429, 1, false), 8, 0));
    CHECK(wait_after(answered(500, -1, true), 3, 0) >= 0);
    CHECK_INT(-1, wait_after(answered(500, -1, true), 4, 0));
    CHECK_INT(-1, wait_after(lost(MGC_EDNS, MGC_NOT_SENT, false), 4, 0));
}

static void test_a_lost_connection_is_not_used_again(void)
{
    struct mgc_retries r      = {0};
    int                budget = MGC_RETRY_BUDGET;
    struct mgc_outcome reset  = lost(MGC_ERESET, MGC_SENT, true);
    struct mgc_outcome busy = answered(503, -1, true), slow = answered(429, 5, true);
    CHECK(mgc_retry_decide(&r, &budget, &reset, PLENTY_MS, 0).fresh);
    CHECK(mgc_retry_decide(&r, &budget, &busy, PLENTY_MS, 0).fresh);
    CHECK(!mgc_retry_decide(&r, &budget, &slow, PLENTY_MS, 0).fresh);
}

/* ---- deadline and budget ---------------------------------------------------------------------------- */

static void test_a_wait_that_does_not_fit_is_not_begun(void)
{
    struct mgc_retries  r      = {0};
    int                 budget = MGC_RETRY_BUDGET;
    struct mgc_outcome  o      = answered(429, 600000, false);
    struct mgc_decision d      = mgc_retry_decide(&r, &budget, &o, 120000, 0);
    CHECK_INT(MGC_TOO_LATE, d.verdict);
    CHECK_INT(600000, d.wait_ms);
    CHECK_INT(MGC_RETRY_BUDGET, budget);
    CHECK_INT(MGC_TOO_LATE, mgc_retry_decide(&r, &budget, &o, 600000, 0).verdict);
    CHECK_INT(MGC_AGAIN, mgc_retry_decide(&r, &budget, &o, 600001, 0).verdict);
    CHECK_INT(MGC_END, mgc_retry_decide(&r, &budget, &o, 0, 0).verdict);
}

static void test_the_budget_runs_dry_and_successes_fill_it(void)
{
    struct mgc_outcome o      = answered(502, -1, true);
    int                budget = MGC_RETRY_BUDGET, n = 0;
    for (;; n++) {
        struct mgc_retries r = {0}; /* each time another request */
        if (mgc_retry_decide(&r, &budget, &o, PLENTY_MS, 0).verdict != MGC_AGAIN)
            break;
    }
    CHECK_INT(MGC_RETRY_BUDGET / 14, n);
    CHECK_INT(MGC_RETRY_BUDGET % 14, budget);

    struct mgc_retries r = {0};
    CHECK_INT(MGC_NO_BUDGET, mgc_retry_decide(&r, &budget, &o, PLENTY_MS, 0).verdict);
    mgc_retry_succeed(&r, &budget);
    CHECK_INT(MGC_RETRY_BUDGET % 14 + 1, budget);
    budget = 14;
    CHECK_INT(MGC_AGAIN, mgc_retry_decide(&(struct mgc_retries){0}, &budget, &o, 9999, 0).verdict);
    CHECK_INT(0, budget);
    budget = 14;
    r      = (struct mgc_retries){0};
    CHECK_INT(MGC_AGAIN, mgc_retry_decide(&r, &budget, &o, 9999, 0).verdict);
    mgc_retry_succeed(&r, &budget); /* a retry that helped costs nothing */
    CHECK_INT(14, budget);
    budget = MGC_RETRY_BUDGET;
    mgc_retry_succeed(&r, &budget);
    CHECK_INT(MGC_RETRY_BUDGET, budget);
}

/* ---- random histories ------------------------------------------------------------------------------- */

static uint64_t seed = 1;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13; /* xorshift64, Marsaglia 2003 */
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (seed >> 11) % below;
}

static double chance(void)
{
    return (double)draw(1 << 20) / (1 << 20);
}

static struct mgc_outcome any_outcome(bool idempotent)
{
    static const int   statuses[] = {200, 204, 400, 401, 404, 408, 409, 424, 429, 429,
                                     429, 500, 501, 502, 503, 503, 504, 507, 509};
    struct mgc_outcome o = {.idempotent = idempotent, .hint_ms = -1, .phase = MGC_ANSWERED};
    if (draw(3) == 0) {
        o.code  = (mgc_code)(1 + draw(MGC_CODES - 1));
        o.phase = (mgc_phase)draw(3);
    }
    if (o.phase == MGC_ANSWERED)
        o.status = statuses[draw(sizeof statuses / sizeof statuses[0])];
    if (o.phase == MGC_ANSWERED && draw(2) == 0)
        o.hint_ms = (int64_t)draw(1 + (UINT64_C(1) << draw(27)));
    return o;
}

/* One request from its beginning to its end. Returns how often it was sent. */
static int live_one(int *budget, int64_t *now_ms)
{
    const bool         idempotent  = draw(2) == 0;
    const int64_t      deadline_ms = *now_ms + (int64_t)draw(1 + (UINT64_C(1) << draw(28)));
    struct mgc_retries r           = {0};
    int                sent        = 0;
    bool               acted       = false;
    for (;;) {
        *now_ms += (int64_t)draw(3000); /* on the wire */
        struct mgc_outcome o = any_outcome(idempotent);
        CHECK(
            !acted); /* what may not be sent twice, and may have been acted on, is not sent again */
        acted = !idempotent && o.phase != MGC_NOT_SENT &&
                (mgc_retry_is_ambiguous(&o) || (o.code == MGC_OK && o.status < 400));
        sent++;
        if (o.code == MGC_OK && o.status < 400) {
            mgc_retry_succeed(&r, budget);
            break;
        }
        int                 before = *budget;
        struct mgc_decision d = mgc_retry_decide(&r, budget, &o, deadline_ms - *now_ms, chance());
        CHECK(*budget >= 0 && *budget <= before);
        if (d.verdict != MGC_AGAIN) {
            CHECK_INT(before, *budget);
            CHECK(d.verdict != MGC_TOO_LATE || *now_ms + d.wait_ms >= deadline_ms);
            break;
        }
        CHECK(*budget < before);
        CHECK(d.wait_ms >= o.hint_ms); /* never earlier than the hint */
        CHECK(d.wait_ms >= 0);
        *now_ms += d.wait_ms;
        CHECK(*now_ms < deadline_ms); /* never beyond the deadline */
    }
    CHECK(*budget <= MGC_RETRY_BUDGET);
    return sent;
}

static void test_promises_hold_in_every_history(void)
{
    enum { CLIENTS = 200, REQUESTS = 200 };
    int most = 0;
    for (int c = 0; c < CLIENTS; c++) {
        int     budget = MGC_RETRY_BUDGET;
        int64_t now_ms = 0;
        seed           = (uint64_t)c + 1;
        for (int i = 0; i < REQUESTS; i++) {
            int sent = live_one(&budget, &now_ms);
            most     = sent > most ? sent : most;
        }
    }
    CHECK(most > 4);          /* the histories are worth something */
    CHECK(most <= 7 + 3 + 1); /* all the retries of both sorts */
}

int main(void)
{
    RUN(test_statuses_have_their_class);
    RUN(test_a_lost_request_is_sent_again_where_that_can_do_no_harm);
    RUN(test_what_would_fail_again_is_not_tried_again);
    RUN(test_a_throttled_post_may_be_repeated_and_a_failed_one_may_not);
    RUN(test_what_failed_with_another_was_not_acted_on);
    RUN(test_a_refusal_is_never_ambiguous);
    RUN(test_waits);
    RUN(test_a_short_hint_that_does_not_help_is_not_believed);
    RUN(test_attempts_are_counted_by_sort);
    RUN(test_a_lost_connection_is_not_used_again);
    RUN(test_a_wait_that_does_not_fit_is_not_begun);
    RUN(test_the_budget_runs_dry_and_successes_fill_it);
    RUN(test_promises_hold_in_every_history);
    return REPORT("retry");
}
