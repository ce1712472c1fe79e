/* spec/core/test_parts.c - parts.h: thousands of random histories of parts and requests of one origin, on a clock
 * of ours; and what a fork, and an origin without a gate, make of it. */
#include "check.h"
#include "fakes.h"
#include "harness.h"

#include "core/base/clock.h"
#include "core/gates.h"
#include "core/parts.h"
#include "core/wire/global.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct mgc_error error;

static struct mgc_origin *open_origin(const char *shared_gate)
{
    static int                tokens;
    struct mgc_origin_options options = origin_options("https://graph.example", NULL);
    struct mgc_origin        *o       = NULL;
    char                      token[40];
    snprintf(token, sizeof token, "%s%d", "token-", tokens++); /* each has a gate of its own */
    CHECK_INT(MGC_OK, mgc_credential_given(&options.credential, token, strlen(token), &error));
    options.shared_gate = shared_gate;
    CHECK_INT(MGC_OK, mgc_origin_new(&o, &options, &error));
    mgc_credential_unref(options.credential);
    return o;
}

/* ---- random histories ------------------------------------------------------------------------------ */

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

enum { TRAVELLERS = 40, STEPS = 600, HISTORIES = 2000, SIDES = 2 };

/* Somebody on his way through the gate: every other one as a part, the rest as requests of their own. */
struct traveller {
    bool               as_part, idempotent, under_way, waits, probes;
    bool               acted; /* by an attempt of which nobody knows */
    struct mgc_pass    pass;  /* of a request */
    int                n;     /* of a part */
    struct mgc_load    load;
    struct mgc_retries met;
    int64_t            deadline_ms, not_before_ms, began_ms;
};

static struct history {
    struct mgc_origin *origin;
    struct mgc_parts   parts;
    struct traveller   all[TRAVELLERS];
    int64_t shut_ms[SIDES]; /* a side of the one service there is; until then nobody may go */
    bool    shut[SIDES];    /* and nobody has got through since */
    int     probes[SIDES], parts_under_way;
    int64_t now_ms;
} h;

static void begin(struct traveller *t)
{
    *t      = (struct traveller){.as_part     = draw(2) == 0,
                                 .idempotent  = draw(2) == 0,
                                 .load        = {.workload = MGC_INTUNE, .write = draw(2), .units = 1},
                                 .deadline_ms = h.now_ms + 1 + (int64_t)draw(1u << draw(20))};
    t->pass = (struct mgc_pass){.load = t->load};
}

static void ask(struct traveller *t)
{
    const int     side = t->load.write;
    const int64_t at   = t->as_part ? mgc_parts_admit(&h.parts, &t->load, &t->n, h.now_ms)
                                    : mgc_shared_gate_admit(h.origin->gate, &t->pass, h.now_ms);
    if (at != MGC_GATE_GO) {
        CHECK(at > h.now_ms);
        return;
    }
    CHECK(h.now_ms >= h.shut_ms[side]); /* never earlier than a hint, whoever was told */
    CHECK(h.now_ms >= t->not_before_ms && h.now_ms < t->deadline_ms);
    CHECK(
        !t->acted); /* what may not be sent twice, and may have been acted on, does not go again */
    t->under_way = true;
    t->began_ms  = h.now_ms;
    t->probes    = h.shut[side];
    h.probes[side] += t->probes;
    h.parts_under_way += t->as_part;
    CHECK(h.probes[side] <= 1); /* never two probes */
}

static void leave(struct traveller *t)
{
    t->under_way = false;
    h.probes[t->load.write] -= t->probes;
    h.parts_under_way -= t->as_part;
}

/* A part that is packed and does not go after all. */
static void withdraw(struct traveller *t)
{
    if (!t->as_part)
        return;
    mgc_parts_withdraw(&h.parts, t->n, h.now_ms);
    leave(t);
}

static void hear(struct traveller *t, const struct mgc_reply *r)
{
    const int  side    = t->load.write;
    const bool refused = r->status == 429 || (r->status == 503 && r->hint_ms >= 0);
    if (refused && h.shut_ms[side] < h.now_ms + r->hint_ms)
        h.shut_ms[side] = h.now_ms + r->hint_ms;
    if (refused)
        h.shut[side] = true;
    else if (t->probes && r->status != 0 && r->status != 424 && h.shut_ms[side] <= h.now_ms)
        h.shut[side] = false;
    if (t->as_part)
        mgc_parts_answer(&h.parts, t->n, r, &t->met, h.now_ms);
    else
        mgc_shared_gate_answer(h.origin->gate, &t->pass, r, h.now_ms);
    leave(t);
}

static void answer(struct traveller *t)
{
    static const int statuses[] = {200, 204, 200, 404, 429, 429, 503, 500, 0};
    struct mgc_reply r          = {.status = statuses[draw(9)], .hint_ms = -1, .units = -1};
    int             *budget     = &h.origin->retry_budget;
    if (t->as_part && draw(8) == 0)
        r.status = 424;
    if (r.status >= 400 && draw(3) != 0)
        r.hint_ms = draw(20000);
    hear(t, &r);
    if (r.status > 0 && r.status < 400) {
        if (!t->as_part)
            mgc_retry_succeed(&t->met, budget);
        begin(t);
        return;
    }
    const struct mgc_outcome  o      = mgc_parts_outcome(r.status, r.hint_ms, t->idempotent);
    const int                 before = *budget;
    const struct mgc_decision d =
        mgc_retry_decide(&t->met, budget, &o, t->deadline_ms - h.now_ms, draw(1000) / 1000.0);
    CHECK(*budget >= 0 && *budget <= MGC_RETRY_BUDGET);
    CHECK((d.verdict == MGC_AGAIN) == (*budget < before));
    if (d.verdict != MGC_AGAIN) {
        begin(t);
        return;
    }
    CHECK(d.wait_ms >= r.hint_ms);
    CHECK(h.now_ms + d.wait_ms < t->deadline_ms);
    t->acted         = mgc_retry_is_ambiguous(&o);
    t->not_before_ms = h.now_ms + d.wait_ms;
}

static void step(struct traveller *t)
{
    if (t->under_way && (draw(8) != 0 || h.now_ms - t->began_ms >= MGC_GATE_PROBE))
        answer(t);
    else if (t->under_way)
        withdraw(t);
    else if (h.now_ms >= t->deadline_ms)
        begin(t);
    else if (h.now_ms >= t->not_before_ms)
        ask(t);
}

static void live(void)
{
    for (int i = 0; i < TRAVELLERS; i++)
        begin(&h.all[i]);
    for (int n = 0; n < STEPS; n++) {
        step(&h.all[draw(TRAVELLERS)]);
        h.now_ms += draw(10) == 0 ? draw(20000) : draw(50);
        for (int i = 0; i < TRAVELLERS;
             i++) /* no attempt takes longer than a probe is waited for */
            if (h.all[i].under_way && h.now_ms - h.all[i].began_ms >= MGC_GATE_PROBE)
                answer(&h.all[i]);
        CHECK_INT(MGC_PARTS_MAX - h.parts_under_way, h.parts.n_vacant);
    }
}

/* Whatever has happened: once all is answered and time has passed, a part goes. */
static void check_alive(void)
{
    for (int i = 0; i < TRAVELLERS; i++)
        if (h.all[i].under_way)
            hear(&h.all[i], &(struct mgc_reply){.hint_ms = -1, .units = -1});
    h.now_ms += MGC_GATE_LONGEST;
    for (int side = 0; side < SIDES; side++) {
        struct mgc_load load = {.workload = MGC_INTUNE, .write = side, .units = 1};
        int             n;
        CHECK_INT(MGC_GATE_GO, mgc_parts_admit(&h.parts, &load, &n, h.now_ms));
        mgc_parts_withdraw(&h.parts, n, h.now_ms);
    }
    CHECK_INT(MGC_PARTS_MAX, h.parts.n_vacant);
}

static void test_promises_hold_in_every_history(void)
{
    for (int n = 0; n < HISTORIES; n++) {
        memset(&h, 0, sizeof h);
        seed     = (uint64_t)n;
        h.now_ms = draw(1000000);
        h.origin = open_origin(NULL);
        mgc_parts_init(&h.parts, h.origin);
        live();
        check_alive();
        mgc_parts_clear(&h.parts);
        mgc_origin_unref(h.origin);
    }
}

/* ---- one by one --------------------------------------------------------------------------------------- */

static const struct mgc_load    WRITE = {.workload = MGC_INTUNE, .write = true, .units = 1};
static const struct mgc_retries NEW;

static void test_more_parts_than_there_are_places(void)
{
    struct mgc_origin_options options = origin_options("https://graph.example", NULL);
    struct mgc_origin        *o       = NULL;
    struct mgc_parts          parts;
    bool                      seen[MGC_PARTS_MAX] = {false};
    int                       n                   = -1;
    CHECK_INT(MGC_OK, mgc_origin_new(&o, &options, &error)); /* without a gate all may go */
    mgc_parts_init(&parts, o);
    for (int i = 0; i < MGC_PARTS_MAX; i++) {
        CHECK_INT(MGC_GATE_GO, mgc_parts_admit(&parts, &WRITE, &n, 1000));
        CHECK(n >= 0 && n < MGC_PARTS_MAX && !seen[n]);
        seen[n] = true;
    }
    CHECK_INT(1000 + MGC_GATE_RECHECK, mgc_parts_admit(&parts, &WRITE, &n, 1000));
    mgc_parts_withdraw(&parts, 7, 1000);
    mgc_parts_withdraw(&parts, 7, 1000);
    mgc_parts_answer(&parts, 7, &(struct mgc_reply){.status = 200}, &NEW, 1000);
    CHECK_INT(MGC_GATE_GO, mgc_parts_admit(&parts, &WRITE, &n, 1000));
    CHECK_INT(7, n);
    CHECK_INT(1000 + MGC_GATE_RECHECK, mgc_parts_admit(&parts, &WRITE, &n, 1000));
    mgc_parts_clear(&parts);
    mgc_parts_clear(&parts);
    mgc_origin_unref(o);
}

static void test_successes_fill_the_budget_that_requests_use(void)
{
    struct mgc_origin *o   = open_origin(NULL);
    struct mgc_retries met = {.cost = 14};
    struct mgc_parts   parts;
    int                n;
    mgc_parts_init(&parts, o);
    o->retry_budget = 100;
    CHECK_INT(MGC_GATE_GO, mgc_parts_admit(&parts, &WRITE, &n, 1000));
    mgc_parts_answer(&parts, n, &(struct mgc_reply){.status = 204, .units = -1}, &NEW, 1000);
    CHECK_INT(101, o->retry_budget);
    CHECK_INT(MGC_GATE_GO, mgc_parts_admit(&parts, &WRITE, &n, 1000));
    mgc_parts_answer(&parts, n, &(struct mgc_reply){.status = 204, .units = -1}, &met, 1000);
    CHECK_INT(115, o->retry_budget);
    CHECK_INT(MGC_GATE_GO, mgc_parts_admit(&parts, &WRITE, &n, 1000));
    mgc_parts_answer(&parts, n, &(struct mgc_reply){.status = 404, .units = -1}, &NEW, 1000);
    CHECK_INT(115, o->retry_budget);
    mgc_parts_clear(&parts);
    mgc_origin_unref(o);
}

/* Nothing that a child sends through its parent's gate is answered there: it may not fill up. */
static bool passes_often(struct mgc_origin *o)
{
    for (int i = 0; i <= MGC_AT_ONCE_MAX; i++) {
        struct mgc_pass pass = {.load = WRITE};
        if (mgc_shared_gate_admit(o->gate, &pass, mgc_now_ms()) != MGC_GATE_GO)
            return false;
        mgc_shared_gate_answer(o->gate, &pass, &(struct mgc_reply){.status = 204}, mgc_now_ms());
    }
    return true;
}

/* With a file, what a child ended would be ended for its parent too. */
static void test_a_child_ends_nothing_of_its_parent(void)
{
    char             folder[] = "/tmp/msgraph-parts-XXXXXX", file[60], command[80];
    struct mgc_parts parts;
    int              n, status = -1;
    struct mgc_load  load = WRITE;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/gate", folder);
    struct mgc_origin *o   = open_origin(file);
    const int64_t      now = mgc_now_ms();
    mgc_parts_init(&parts, o);
    CHECK_INT(MGC_GATE_GO, mgc_parts_admit(&parts, &load, &n, now));
    mgc_parts_answer(&parts, n, &(struct mgc_reply){.status = 429, .units = -1}, &NEW, now);
    CHECK_INT(MGC_GATE_GO, mgc_parts_admit(&parts, &load, &n, now)); /* the probe */
    const pid_t pid = fork();
    if (pid == 0) {
        const bool passes = passes_often(o);
        mgc_parts_clear(&parts);
        mgc_origin_unref(o);
        _exit(passes ? 0 : 1);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK_INT(0, status);
    CHECK_INT(now + 5000 + MGC_GATE_RECHECK, mgc_parts_admit(&parts, &load, &n, now + 5000));
    mgc_parts_clear(&parts);
    mgc_origin_unref(o);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    CHECK_INT(0, system(command));
}

static void test_nothing_is_left(void)
{
    CHECK_INT(0, fake_mem_live());
}

int main(void)
{
    fake_mem_install();
    if (mgc_global_init(&error) != MGC_OK)
        return 2;
    RUN(test_promises_hold_in_every_history);
    RUN(test_more_parts_than_there_are_places);
    RUN(test_successes_fill_the_budget_that_requests_use);
    RUN(test_a_child_ends_nothing_of_its_parent);
    RUN(test_nothing_is_left);
    return REPORT("parts");
}
