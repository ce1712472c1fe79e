/* csrc/core/transport.c - see transport.h. */
#include "core/transport.h"

#include "core/base/clock.h"
#include "core/base/headers.h"
#include "core/base/mem.h"
#include "core/base/uuid.h"
#include "core/gates.h"
#include "core/holds.h"
#include "core/identity/challenge.h"
#include "core/identity/credential.h"
#include "core/line.h"
#include "core/wire/global.h"
#include "core/wire/wire.h"

#include <stddef.h>
#include <stdlib.h>
#include <time.h>

struct mgc_transport {
    struct mgc_wire     *wire;
    unsigned             forks; /* when it was made */
    uint64_t             last_id;
    struct mgc_exchanges parked, under_way, delayed, done; /* one for each state, but ADMITTING: */
    struct mgc_line      waiting;
    struct mgc_holds     holds; /* those the gate has refused */
    int                  n_done;
    int64_t              check_ms; /* no deadline lies before this moment */
    int64_t              wake_ms;
    struct mgc_uuid_pool ids;
};

mgc_code mgc_transport_new(struct mgc_transport **out, struct mgc_error *e)
{
    struct mgc_transport *t = mgc_calloc(sizeof *t);
    if (t == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    mgc_code rc = mgc_wire_new(&t->wire, e);
    if (rc != MGC_OK) {
        mgc_free(t);
        return rc;
    }
    t->forks    = mgc_global_forks();
    t->check_ms = t->wake_ms = MGC_NEVER;
    mgc_line_init(&t->waiting);
    mgc_holds_init(&t->holds);
    TAILQ_INIT(&t->parked);
    TAILQ_INIT(&t->delayed);
    TAILQ_INIT(&t->under_way);
    TAILQ_INIT(&t->done);
    *out = t;
    return MGC_OK;
}

/* ---- the throttle gate, on the way out ---------------------------------------------------------- */

static bool find_header(const struct mgc_attempt *a, const char *name, const char **value,
                        size_t *n)
{
    return mgc_header_find(mgc_buf_text(&a->headers), a->headers.len, name, value, n);
}

/* What the gate has to know of an answer. */
static struct mgc_reply read_reply(const struct mgc_attempt *a, mgc_workload workload)
{
    struct mgc_reply r = {.status = a->status, .hint_ms = -1, .units = -1};
    const char      *units;
    size_t           n;
    if (a->status == 429 || a->status == 503 || a->status == 509) {
        r.hint_ms = mgc_retry_after_ms(mgc_buf_text(&a->headers), a->headers.len, time(NULL));
        find_header(a, "x-ms-throttle-scope", &r.scope, &r.scope_len);
    } else if (workload == MGC_IDENTITY && find_header(a, "x-ms-resource-unit", &units, &n)) {
        r.units = mgc_reply_units(units, n);
    }
    return r;
}

static void free_all(struct mgc_exchanges *list)
{
    struct mgc_exchange *x;
    while ((x = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, x, link);
        if (x->fetch_for != NULL && x->state != MGC_DONE) /* another transport may fetch for it */
            mgc_credential_abandon(x->fetch_for, MGC_ECANCELLED);
        mgc_exchange_free(x);
    }
}

static void free_line(struct mgc_line *l)
{
    for (int level = 0; level < MGC_LEVELS; level++)
        free_all(&l->levels[level]);
}

static void free_holds(struct mgc_holds *h)
{
    struct mgc_hold *hold;
    TAILQ_FOREACH (hold, &h->all, link)
        free_line(&hold->line);
    mgc_holds_clear(h);
}

/* It is under way no longer: the gate hears what became of it. */
static void leave_gate(struct mgc_exchange *x)
{
    if (!x->pass.admitted)
        return;
    const struct mgc_reply r = read_reply(&x->attempt, x->pass.load.workload);
    mgc_shared_gate_answer(x->origin->gate, &x->pass, &r, mgc_now_ms());
}

void mgc_transport_free(struct mgc_transport *t)
{
    if (t == NULL || t->forks != mgc_global_forks())
        return; /* in a child: closing TLS would end the parent's connections */
    struct mgc_exchange *x;
    TAILQ_FOREACH (x, &t->under_way, link) {
        mgc_wire_cancel(t->wire, &x->attempt);
        leave_gate(x);
    }
    mgc_wire_free(t->wire);
    free_line(&t->waiting);
    free_holds(&t->holds);
    free_all(&t->parked);
    free_all(&t->delayed);
    free_all(&t->under_way);
    free_all(&t->done);
    mgc_free(t);
}

mgc_code mgc_transport_check(const struct mgc_transport *t, struct mgc_error *e)
{
    return t->forks == mgc_global_forks() ? MGC_OK : mgc_error_set(e, MGC_EFORKED, NULL);
}

/* ---- an exchange's way through --------------------------------------------------------------- */

static struct mgc_exchanges *list_of(struct mgc_transport *t, mgc_state state)
{
    switch (state) {
    case MGC_TOKEN:
        return &t->parked;
    case MGC_ATTEMPT:
        return &t->under_way;
    case MGC_DELAYED:
        return &t->delayed;
    case MGC_ADMITTING:
    case MGC_DONE:
        break;
    }
    return &t->done;
}

static struct mgc_line *line_of(struct mgc_transport *t, const struct mgc_exchange *x)
{
    return x->hold != NULL ? &x->hold->line : &t->waiting;
}

static void move(struct mgc_transport *t, struct mgc_exchange *x, mgc_state state)
{
    if (x->state == MGC_ADMITTING)
        mgc_line_remove(line_of(t, x), x);
    else
        TAILQ_REMOVE(list_of(t, x->state), x, link);
    x->hold = NULL;
    mgc_exchange_enter(x, state, mgc_now_ms());
    if (state == MGC_ADMITTING)
        mgc_line_put(&t->waiting, x);
    else
        TAILQ_INSERT_TAIL(list_of(t, state), x, link);
    t->n_done += state == MGC_DONE;
}

/* ---- tokens: one request for all who wait ------------------------------------------------------ */

static bool is_awaited(const struct mgc_transport *t, const struct mgc_credential *c)
{
    const struct mgc_exchange *x;
    TAILQ_FOREACH (x, &t->parked, link)
        if (x->credential == c)
            return true;
    return false;
}

/* Those who wait for this credential's token, and no longer than until `due_ms`: back into the queue, or ended with
 * the error. */
static void release_parked(struct mgc_transport *t, const struct mgc_credential *c, int64_t due_ms,
                           const struct mgc_error *failure)
{
    struct mgc_exchange *next;
    for (struct mgc_exchange *x = TAILQ_FIRST(&t->parked); x != NULL; x = next) {
        next = TAILQ_NEXT(x, link);
        if (x->credential != c || x->deadline_ms > due_ms)
            continue;
        if (failure != NULL)
            x->attempt.error = *failure;
        move(t, x, failure != NULL ? MGC_DONE : MGC_ADMITTING);
    }
}

/* Queues a request to the authority before all others; `*out` stays when none is needed after all. */
static mgc_code fetch(struct mgc_transport *t, struct mgc_credential *c, mgc_step step,
                      struct mgc_exchange **out, struct mgc_error *e)
{
    struct mgc_request  *r  = NULL;
    struct mgc_exchange *x  = NULL;
    mgc_code             rc = mgc_credential_begin(c, step, &r, &t->ids, e);
    if (rc != MGC_OK || r == NULL)
        return rc;
    if (mgc_exchange_new(&x, r, mgc_credential_login(c), mgc_now_ms()) != MGC_OK) {
        mgc_request_free(r);
        mgc_credential_abandon(c, MGC_ENOMEM);
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    }
    x->fetch_for           = mgc_credential_ref(c);
    x->attempt.body.secret = true;
    x->level               = MGC_HIGH; /* all others need it */
    t->check_ms            = mgc_earlier(t->check_ms, x->deadline_ms);
    mgc_line_put_first(&t->waiting, x);
    *out = x;
    return MGC_OK;
}

/* Ends a token request: whoever asked for it hears of it, but is shown nothing. */
static void end_fetch(struct mgc_transport *t, struct mgc_exchange *x,
                      const struct mgc_error *failure)
{
    mgc_exchange_again(x, NULL);
    if (failure != NULL)
        x->attempt.error = *failure;
    move(t, x, MGC_DONE);
    if (x->id != 0)
        return;
    t->n_done--;
    TAILQ_REMOVE(&t->done, x, link);
    mgc_exchange_free(x);
}

/* A token request has ended. */
static void judge_fetch(struct mgc_transport *t, struct mgc_exchange *x)
{
    struct mgc_error       e;
    struct mgc_request    *r        = NULL;
    struct mgc_credential *c        = x->fetch_for;
    int64_t                again_ms = -1, now_ms = mgc_now_ms();
    mgc_code rc = mgc_credential_settle(c, &x->attempt, now_ms, is_awaited(t, c), &again_ms, &e);
    if (rc != MGC_OK && again_ms >= 0 && mgc_credential_repeat(c, &r, &t->ids, &e) == MGC_OK) {
        mgc_exchange_again(x, r);
        x->not_before_ms = now_ms + again_ms;
        x->deadline_ms   = x->not_before_ms + r->deadline_ms;
        t->check_ms      = mgc_earlier(t->check_ms, x->not_before_ms);
        move(t, x, MGC_DELAYED);
        mgc_credential_failure(c, &e);
        release_parked(t, c, x->not_before_ms, &e); /* their deadline comes first */
        return;
    }
    const struct mgc_error *failure = rc != MGC_OK ? &e : NULL;
    /* one who gives up does so for himself: the others ask again */
    release_parked(t, c, MGC_NEVER, rc == MGC_ECANCELLED ? NULL : failure);
    end_fetch(t, x, failure);
}

/* Whether the exchange may go on now, and with which token. */
static bool has_token(struct mgc_transport *t, struct mgc_exchange *x, int64_t now_ms)
{
    struct mgc_credential *c = x->credential;
    struct mgc_exchange   *fetching;
    struct mgc_error       e;
    if (c == NULL)
        return true;
    if (mgc_credential_wants(c, now_ms) && fetch(t, c, MGC_RENEW, &fetching, &e) != MGC_OK)
        e.code = MGC_OK; /* the credential knows why */
    struct mgc_token *token = mgc_credential_token(c, now_ms);
    if (token != NULL) {
        x->attempt.token = mgc_token_ref(token);
        return true;
    }
    const int64_t turn_ms = mgc_credential_in_line_ms(c);
    if (mgc_credential_may_serve(c, x->deadline_ms) || turn_ms != MGC_NEVER) {
        t->check_ms = mgc_earlier(t->check_ms, turn_ms);
        move(t, x, MGC_TOKEN);
    } else {
        mgc_credential_failure(c, &x->attempt.error);
        move(t, x, MGC_DONE);
    }
    return false;
}

/* ---- attempts ------------------------------------------------------------------------------------- */

static void give_up(struct mgc_transport *t, struct mgc_exchange *x, mgc_code code)
{
    mgc_error_set(&x->attempt.error, code, NULL);
    move(t, x, MGC_DONE);
}

/* Sends it on its way. The moment before which that can not be, if the gate is closed; else 0. */
static int64_t start(struct mgc_transport *t, struct mgc_exchange *x)
{
    const int64_t now_ms = mgc_now_ms();
    if (!has_token(t, x, now_ms))
        return 0;
    if (x->only_token) {
        move(t, x, MGC_DONE);
        return 0;
    }
    const int64_t at_ms = mgc_shared_gate_admit(x->origin->gate, &x->pass, now_ms);
    if (at_ms == MGC_GATE_GO) {
        move(t, x, MGC_ATTEMPT);
        mgc_wire_start(t->wire, &x->attempt);
        return 0;
    }
    mgc_token_unref(x->attempt.token); /* by then there may be another */
    x->attempt.token = NULL;
    if (at_ms <= x->deadline_ms)
        return at_ms;
    x->verdict = MGC_TOO_LATE;
    x->late_ms = at_ms - now_ms;
    give_up(t, x, MGC_ETHROTTLED);
    return 0;
}

static void start_held(struct mgc_transport *t)
{
    struct mgc_exchange *x;
    const int64_t        now_ms = mgc_now_ms();
    while (mgc_wire_has_room(t->wire) && (x = mgc_holds_next(&t->holds, now_ms)) != NULL) {
        const int64_t at_ms = start(t, x);
        if (at_ms != 0)
            mgc_holds_wait(x, at_ms);
    }
}

static void start_waiting(struct mgc_transport *t)
{
    struct mgc_exchange *x;
    start_held(t);
    while (mgc_wire_has_room(t->wire) && (x = mgc_line_next(&t->waiting)) != NULL) {
        const int64_t at_ms = start(t, x);
        if (at_ms != 0 && !mgc_holds_put(&t->holds, &t->waiting, x, at_ms))
            give_up(t, x, MGC_ENOMEM);
    }
}

/* An answer may have opened the gate for others of its lane. */
static void pass_gate(struct mgc_transport *t, struct mgc_exchange *x)
{
    leave_gate(x);
    mgc_holds_stir(&t->holds, x);
}

/* Whether the answer is about the token: a 401 with that header (RFC 9110 15.5.2; Intune sends others), or a 403 that
 * asks for more in it (FACTS 6.1). What it asks for goes to `claims`. */
static bool is_challenge(const struct mgc_attempt *a, struct mgc_challenge *c)
{
    const char *value;
    size_t      n;
    const char *block = mgc_buf_text(&a->headers);
    return a->error.code == MGC_OK && (a->status == 401 || a->status == 403) &&
           mgc_header_find(block, a->headers.len, "WWW-Authenticate", &value, &n) &&
           mgc_challenge_read(block, a->headers.len, c) == MGC_OK &&
           (a->status == 401 || c->claims.len > 0);
}

/* A refused token was not acted on, whatever the method: one new token, one more attempt. */
static bool reauthorise(struct mgc_transport *t, struct mgc_exchange *x)
{
    const struct mgc_attempt *a     = &x->attempt;
    struct mgc_challenge      c     = {0};
    const bool                asked = a->token != NULL && (!x->reauthorised || a->token->adopted) &&
                       is_challenge(a, &c);
    const bool again = asked &&
                       mgc_credential_refused(x->credential, a->token,
                                              c.claims.len > 0 ? mgc_buf_text(&c.claims) : NULL);
    mgc_challenge_clear(&c);
    if (!again)
        return false;
    x->reauthorised = true;
    mgc_exchange_retry(x, 0);
    move(t, x, MGC_ADMITTING);
    return true;
}

static bool has_succeeded(const struct mgc_attempt *a)
{
    return a->error.code == MGC_OK && a->status < 400;
}

/* Delays it for another attempt if the policy says so. */
static bool retry(struct mgc_transport *t, struct mgc_exchange *x)
{
    const int64_t       now_ms = mgc_now_ms() + 1; /* rounded up: no wait shall be too short */
    struct mgc_outcome  o      = mgc_exchange_outcome(x, time(NULL));
    struct mgc_decision d      = mgc_retry_decide(&x->retries, &x->origin->retry_budget, &o,
                                                  x->deadline_ms - now_ms, mgc_uuid_fraction(&t->ids));
    x->verdict                 = d.verdict;
    x->late_ms                 = d.wait_ms;
    if (d.verdict != MGC_AGAIN)
        return false;
    mgc_exchange_retry(x, d.wait_ms);
    x->attempt.fresh = d.fresh;
    x->not_before_ms = now_ms + d.wait_ms;
    t->check_ms      = mgc_earlier(t->check_ms, x->not_before_ms);
    move(t, x, MGC_DELAYED);
    return true;
}

/* An attempt has ended: is there another? */
static void judge(struct mgc_transport *t, struct mgc_exchange *x)
{
    if (x->fetch_for != NULL) {
        judge_fetch(t, x);
        return;
    }
    pass_gate(t, x);
    if (has_succeeded(&x->attempt))
        mgc_retry_succeed(&x->retries, &x->origin->retry_budget);
    else if (reauthorise(t, x) || (!x->request->once && retry(t, x)))
        return;
    move(t, x, MGC_DONE);
}

/* Ends an exchange before its time. */
static void end(struct mgc_transport *t, struct mgc_exchange *x, mgc_code code)
{
    if (x->state == MGC_ATTEMPT)
        mgc_wire_cancel(t->wire, &x->attempt);
    if (x->state == MGC_DELAYED)
        mgc_exchange_cut_wait(x, mgc_now_ms());
    mgc_error_set(&x->attempt.error, code, NULL);
    judge(t, x);
}

static struct mgc_exchange *exchange_of(struct mgc_attempt *a)
{
    return (struct mgc_exchange *)(void *)((char *)a - offsetof(struct mgc_exchange, attempt));
}

static void settle(struct mgc_transport *t)
{
    struct mgc_attempt *a;
    while ((a = mgc_wire_take(t->wire)) != NULL)
        judge(t, exchange_of(a));
}

/* ---- time ------------------------------------------------------------------------------------------ */

static int64_t shortest_limit(const struct mgc_exchange *x)
{
    int64_t ms = mgc_earlier(x->origin->first_byte_ms, x->origin->stall_ms);
    return mgc_earlier(mgc_earlier(ms, MGC_TRY_MS), x->request->deadline_ms);
}

/* A limit that begins later, say with the first byte of an answer, may end before the one that
 * applies now: so no exchange is trusted for longer than its shortest limit. */
static int64_t look_again_ms(const struct mgc_exchange *x, int64_t now_ms)
{
    return mgc_earlier(mgc_exchange_due_ms(x), now_ms + shortest_limit(x));
}

static void end_delays(struct mgc_transport *t, int64_t now_ms)
{
    struct mgc_exchange *next;
    for (struct mgc_exchange *x = TAILQ_FIRST(&t->delayed); x != NULL; x = next) {
        next = TAILQ_NEXT(x, link);
        if (x->not_before_ms <= now_ms)
            move(t, x, MGC_ADMITTING);
        t->check_ms = mgc_earlier(t->check_ms, x->state == MGC_DELAYED ? x->not_before_ms
                                                                       : look_again_ms(x, now_ms));
    }
}

static void end_overdue(struct mgc_transport *t, struct mgc_exchanges *list, int64_t now_ms)
{
    struct mgc_exchange *next;
    for (struct mgc_exchange *x = TAILQ_FIRST(list); x != NULL; x = next) {
        next          = TAILQ_NEXT(x, link);
        mgc_code code = mgc_exchange_overdue(x, now_ms);
        if (code != MGC_OK)
            end(t, x, code);
        else
            t->check_ms = mgc_earlier(t->check_ms, look_again_ms(x, now_ms));
    }
}

/* Those who wait for another process to renew a shared sign-in look again. */
static void look_at_parked(struct mgc_transport *t, int64_t now_ms)
{
    struct mgc_exchange *next;
    for (struct mgc_exchange *x = TAILQ_FIRST(&t->parked); x != NULL; x = next) {
        next                  = TAILQ_NEXT(x, link);
        const int64_t turn_ms = mgc_credential_in_line_ms(x->credential);
        if (turn_ms <= now_ms)
            move(t, x, MGC_ADMITTING);
        else
            t->check_ms = mgc_earlier(t->check_ms, turn_ms);
    }
}

static void end_overdue_line(struct mgc_transport *t, struct mgc_line *l, int64_t now_ms)
{
    for (int level = 0; level < MGC_LEVELS; level++)
        end_overdue(t, &l->levels[level], now_ms);
}

/* `check_ms` is a lower bound of all deadlines: when it is reached, all are looked at and it is
 * drawn anew. That happens every few seconds, not at every step. */
static void check_deadlines(struct mgc_transport *t)
{
    int64_t          now_ms = mgc_now_ms();
    struct mgc_hold *h;
    if (now_ms < t->check_ms)
        return;
    t->check_ms = MGC_NEVER;
    end_overdue(t, &t->under_way, now_ms);
    end_overdue_line(t, &t->waiting, now_ms);
    TAILQ_FOREACH (h, &t->holds.all, link)
        end_overdue_line(t, &h->line, now_ms);
    end_overdue(t, &t->parked, now_ms);
    look_at_parked(t, now_ms);
    end_delays(t, now_ms);
}

/* ---- what a caller does ------------------------------------------------------------------------ */

mgc_code mgc_transport_submit(struct mgc_transport *t, struct mgc_origin *o,
                              const struct mgc_request_spec *spec, uint64_t *id,
                              struct mgc_error *e)
{
    struct mgc_request  *r      = NULL;
    struct mgc_exchange *x      = NULL;
    int64_t              now_ms = mgc_now_ms();
    mgc_code             rc     = mgc_request_new(&r, spec, o, &t->ids, e);
    if (rc != MGC_OK)
        return rc;
    if (mgc_exchange_new(&x, r, o, now_ms) != MGC_OK) {
        mgc_request_free(r);
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    }
    x->id = *id = ++t->last_id;
    mgc_line_put(&t->waiting, x);
    t->check_ms = mgc_earlier(t->check_ms, look_again_ms(x, now_ms));
    mgc_wire_alarm(t->wire, mgc_transport_due_ms(t));
    return MGC_OK;
}

/* An exchange that only waits: its request is never sent. */
static mgc_code wait_for_token(struct mgc_transport *t, struct mgc_credential *c, int64_t wait_ms,
                               struct mgc_exchange **out, struct mgc_error *e)
{
    const struct mgc_request_spec spec = {
        .method = "GET", .target = "/", .target_len = 1, .deadline_ms = wait_ms};
    struct mgc_origin  *o = mgc_credential_login(c);
    struct mgc_request *r = NULL;
    if (o == NULL)
        return mgc_error_set(e, MGC_EREQUEST, "a token that was given can not be renewed");
    mgc_code rc = mgc_request_new(&r, &spec, o, &t->ids, e);
    if (rc != MGC_OK)
        return rc;
    rc = mgc_exchange_new(out, r, o, mgc_now_ms());
    if (rc != MGC_OK) {
        mgc_request_free(r);
        return mgc_error_set(e, rc, NULL);
    }
    (*out)->credential = mgc_credential_ref(c);
    (*out)->only_token = true;
    mgc_line_put(&t->waiting, *out);
    t->check_ms = mgc_earlier(t->check_ms, (*out)->deadline_ms);
    return MGC_OK;
}

mgc_code mgc_transport_sign_in(struct mgc_transport *t, struct mgc_credential *c, mgc_step step,
                               int64_t wait_ms, uint64_t *id, struct mgc_error *e)
{
    struct mgc_exchange *x  = NULL;
    mgc_code             rc = step == MGC_RENEW ? wait_for_token(t, c, wait_ms, &x, e)
                                                : fetch(t, c, step, &x, e);
    if (x == NULL)
        return rc;
    x->id = *id = ++t->last_id;
    mgc_wire_alarm(t->wire, mgc_transport_due_ms(t));
    return MGC_OK;
}

/* When the gate may open for somebody. Without room on the wire that is of no use. */
static int64_t open_ms(const struct mgc_transport *t)
{
    return mgc_wire_has_room(t->wire) ? t->holds.due_ms : MGC_NEVER;
}

/* The wait ends at the next moment that matters, rounded so that it has really come then. */
static int shorten(const struct mgc_transport *t, int wait_ms)
{
    int64_t until = mgc_earlier(mgc_earlier(t->check_ms, t->wake_ms), open_ms(t));
    if (t->n_done > 0)
        return 0;
    if (until == MGC_NEVER)
        return wait_ms;
    int64_t left = until - mgc_now_ms();
    return (int)mgc_earlier(wait_ms, left > 0 ? left : 0);
}

mgc_code mgc_transport_step(struct mgc_transport *t, int wait_ms, int *finished,
                            struct mgc_error *e)
{
    start_waiting(t);
    settle(t); /* what could not even be started */
    mgc_code rc = mgc_wire_step(t->wire, shorten(t, wait_ms), e);
    settle(t);
    if (rc != MGC_OK)
        return rc;
    check_deadlines(t);
    if (t->wake_ms != MGC_NEVER && t->wake_ms <= mgc_now_ms())
        t->wake_ms = MGC_NEVER; /* it has done its work; or no step would ever wait again */
    mgc_wire_alarm(t->wire, mgc_transport_due_ms(t));
    *finished = t->n_done;
    return MGC_OK;
}

const struct mgc_exchange *mgc_transport_first(const struct mgc_transport *t)
{
    return TAILQ_FIRST(&t->done);
}

struct mgc_exchange *mgc_transport_take(struct mgc_transport *t)
{
    struct mgc_exchange *x = TAILQ_FIRST(&t->done);
    if (x == NULL)
        return NULL;
    TAILQ_REMOVE(&t->done, x, link);
    t->n_done--;
    return x;
}

static struct mgc_exchange *find(struct mgc_exchanges *list, uint64_t id)
{
    struct mgc_exchange *x;
    TAILQ_FOREACH (x, list, link)
        if (x->id == id)
            return x;
    return NULL;
}

static struct mgc_exchange *find_in_line(struct mgc_line *l, uint64_t id)
{
    struct mgc_exchange *x = NULL;
    for (int level = 0; level < MGC_LEVELS && x == NULL; level++)
        x = find(&l->levels[level], id);
    return x;
}

static struct mgc_exchange *find_waiting(struct mgc_transport *t, uint64_t id)
{
    struct mgc_exchange *x = find_in_line(&t->waiting, id);
    for (struct mgc_hold *h = TAILQ_FIRST(&t->holds.all); x == NULL && h != NULL;
         h                  = TAILQ_NEXT(h, link))
        x = find_in_line(&h->line, id);
    return x;
}

bool mgc_transport_cancel(struct mgc_transport *t, uint64_t id)
{
    struct mgc_exchange *x = find(&t->under_way, id);
    if (x == NULL)
        x = find_waiting(t, id);
    if (x == NULL)
        x = find(&t->parked, id);
    if (x == NULL)
        x = find(&t->delayed, id);
    if (x == NULL)
        return false;
    end(t, x, MGC_ECANCELLED);
    mgc_wire_alarm(t->wire, mgc_transport_due_ms(t));
    return true;
}

int mgc_transport_fd(struct mgc_transport *t)
{
    int fd = mgc_wire_fd(t->wire);
    mgc_wire_alarm(t->wire, mgc_transport_due_ms(t));
    return fd;
}

int64_t mgc_transport_due_ms(struct mgc_transport *t)
{
    bool ready = t->n_done > 0 ||
                 (mgc_line_next(&t->waiting) != NULL && mgc_wire_has_room(t->wire));
    if (ready)
        return 0;
    return mgc_earlier(mgc_wire_due_ms(t->wire),
                       mgc_earlier(mgc_earlier(t->check_ms, t->wake_ms), open_ms(t)));
}

void mgc_transport_wake(struct mgc_transport *t, int64_t at_ms)
{
    t->wake_ms = at_ms;
    mgc_wire_alarm(t->wire, mgc_transport_due_ms(t));
}
