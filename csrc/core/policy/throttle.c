/* csrc/core/policy/throttle.c - see throttle.h. */
#include "core/policy/throttle.h"

#include "core/base/clock.h"
#include "core/base/mem.h"

#include <string.h>
#include <strings.h>

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static double at_least(double a, double b)
{
    return a > b ? a : b;
}

static double at_most(double a, double b)
{
    return a < b ? a : b;
}

/* ---- a window: so many units in so much time ------------------------------------------------------ */

/* Units are counted in slices of a window: in that of their sending, so that what is under way counts; when
 * they are answered, in that of the answer. The service saw them some time between. So, however long the ways
 * there are, it never sees more than the limit in one window, wherever its windows begin. */
enum { SLICES = 128, KEPT = SLICES + 1, SPREAD = 32 };

/* Learning. The first refusal trusts what is published, as far as it agrees with what was let through; no
 * refusal takes more than CUT, for it may be somebody else's doing (beta of CUBIC, RFC 9438), or leaves less
 * than FLOOR units a second (design/client.md 2) or a quarter of what is published. The n-th window without
 * one gives back n^2 times GROWTH of what is published: slow where it was refused, quick from far below, as CUBIC
 * is, and the same for all who share a limit, so that in time they share it evenly. */
static const double TAKE = 0.97, CUT = 0.7, FLOOR = 0.5, GROWTH = 0.0001;

struct window {
    struct mgc_quota quota;    /* 0 units: no such limit */
    int32_t          armed;    /* there was a refusal */
    int32_t          clean;    /* windows since without another */
    double           limit;    /* units; of an armed one */
    int64_t          since_ms; /* the last of them, or the refusal */
    int32_t          used;
    int32_t          opened_used; /* since it was opened again */
    int64_t          opened_ms;
    int64_t          newest; /* number of a slice, from the beginning of time */
    int32_t          slices[KEPT];
};

static int64_t slice_ms(const struct window *w)
{
    return (w->quota.window_ms + SLICES - 1) / SLICES;
}

/* Forgets what has left the window. */
static void advance(struct window *w, int64_t now_ms)
{
    const int64_t newest = now_ms / slice_ms(w);
    if (newest - w->newest >= KEPT) {
        memset(w->slices, 0, sizeof w->slices);
        w->used   = 0;
        w->newest = newest;
    }
    while (w->newest < newest) {
        int32_t *slice = &w->slices[++w->newest % KEPT];
        w->used -= *slice;
        *slice = 0;
    }
}

static void grow(struct window *w, int64_t now_ms)
{
    while (now_ms - w->since_ms >= w->quota.window_ms && w->limit < w->quota.units) {
        w->since_ms += w->quota.window_ms;
        w->clean++;
        w->limit += GROWTH * w->quota.units * w->clean * w->clean;
        w->limit = at_most(w->limit, w->quota.units);
    }
}

/* When the units fit. More than the limit fits an empty window, or it would never go. What may go is not sent
 * in one burst, so that little is under way should it be refused. */
static int64_t window_opens(struct window *w, int32_t units, int64_t now_ms)
{
    if (w->quota.units == 0 || !w->armed)
        return now_ms;
    advance(w, now_ms);
    grow(w, now_ms);
    const int32_t in_slice = w->slices[w->newest % KEPT];
    const bool    burst    = in_slice > 0 && in_slice + units > w->limit / SPREAD;
    int32_t       left     = w->used;
    int64_t       at       = burst ? (w->newest + 1) * slice_ms(w) : now_ms;
    for (int64_t i = w->newest - KEPT + 1; i <= w->newest && left > 0 && left + units > w->limit;
         i++)
        if (i >= 0 && w->slices[i % KEPT] != 0) {
            left -= w->slices[i % KEPT];
            at = later(at, (i + KEPT) * slice_ms(w));
        }
    return at;
}

static void window_add(struct window *w, int32_t units, int64_t now_ms)
{
    if (w->quota.units == 0)
        return;
    advance(w, now_ms);
    w->slices[w->newest % KEPT] += units;
    w->used += units;
    w->opened_used += units;
}

/* What was sent then as so many units is answered now, and was in truth that many. */
static void window_answered(struct window *w, int64_t sent_ms, int32_t units, int32_t truth,
                            int64_t now_ms)
{
    if (w->quota.units == 0)
        return;
    advance(w, now_ms);
    const int64_t sent = sent_ms / slice_ms(w);
    if (sent > w->newest - KEPT) { /* else it is forgotten already */
        int32_t *slice = &w->slices[sent % KEPT];
        units          = units < *slice ? units : *slice;
        *slice -= units;
        w->used -= units;
    }
    w->slices[w->newest % KEPT] += truth;
    w->used += truth;
}

/* What was counted then was not sent. */
static void window_withdrawn(struct window *w, int64_t sent_ms, int32_t units, int64_t now_ms)
{
    window_answered(w, sent_ms, units, 0, now_ms);
    if (sent_ms >= w->opened_ms)
        w->opened_used -= units < w->opened_used ? units : w->opened_used;
}

static void window_opened(struct window *w, int64_t now_ms)
{
    w->opened_ms   = now_ms;
    w->opened_used = 0;
}

static void window_refused(struct window *w, int64_t now_ms)
{
    if (w->quota.units == 0)
        return;
    advance(w, now_ms);
    const bool   fresh  = now_ms - w->opened_ms < w->quota.window_ms;
    const double passed = fresh ? w->opened_used
                                : w->used; /* what the service let through in a window */
    const double before = w->armed ? w->limit : w->quota.units;
    const double after  = w->armed ? TAKE * at_most(passed, before) : at_most(passed, before);
    const double floor  = at_most(FLOOR * w->quota.window_ms / 1000, w->quota.units / 4.0);
    w->limit            = at_least(at_least(after, CUT * before), floor);
    w->armed            = true;
    w->clean            = 0;
    w->since_ms         = now_ms;
}

/* ---- a scope: what one refusal closes -------------------------------------------------------------- */

enum side { READS, WRITES, BOTH, SIDES };

struct scope {
    int32_t closed;
    int32_t strikes; /* refusals in a row */
    int64_t not_before_ms;
    int64_t probe_ms; /* until then, the one request that may find out is under way; 0: none is */
};

static int64_t scope_opens(const struct scope *s, int64_t now_ms)
{
    if (!s->closed)
        return now_ms;
    if (s->probe_ms > now_ms)
        return later(s->not_before_ms, now_ms + MGC_GATE_RECHECK);
    return later(s->not_before_ms, now_ms);
}

/* How long to stay away: as told; longer where nothing is told, or where a second is told time and again. */
static int64_t pause_ms(const struct scope *s, int64_t hint_ms)
{
    const int64_t backoff =
        s->strikes > 5 ? MGC_GATE_PAUSE
                       : mgc_earlier((int64_t)MGC_GATE_BACKOFF << (s->strikes - 1), MGC_GATE_PAUSE);
    if (hint_ms < 0)
        return backoff;
    return s->strikes >= 3 && hint_ms <= 1000 ? later(hint_ms, backoff) : hint_ms;
}

/* ---- lanes ------------------------------------------------------------------------------------------- */

/* What is known of the service, which processes may share: no pointers. */
struct state {
    struct scope  scopes[SIDES];
    struct window all, writes;
};

struct mgc_gate_state {
    struct state of[MGC_WORKLOADS];
};

struct mgc_lane {
    struct state *state; /* `own`, or the gate's */
    mgc_workload  workload;
    uint64_t      resource;
    int           under_way, at_once; /* how many are, how many may */
    int           ceiling;            /* of at_once */
    int           successes;          /* since at_once last changed */
    int64_t       used_ms;
    struct state  own;
};

struct mgc_gate {
    struct mgc_lane  whole[MGC_WORKLOADS];
    struct mgc_lane *each[MGC_GATE_RESOURCE];
    int              n_each;
};

static const struct mgc_quotas *quotas_of(mgc_workload w, uint64_t resource)
{
    const struct mgc_limits *limits = mgc_limits_of(w);
    return resource != 0 ? &limits->each : &limits->whole;
}

static void reset(struct state *s, const struct mgc_quotas *quotas)
{
    memset(s, 0, sizeof *s);
    s->all.quota    = quotas->all;
    s->writes.quota = quotas->writes;
}

/* With a state of its own, unless one is given. */
static void lane_init(struct mgc_lane *l, mgc_workload w, uint64_t resource, struct state *given)
{
    const struct mgc_quotas *quotas = quotas_of(w, resource);
    memset(l, 0, sizeof *l);
    reset(&l->own, quotas);
    l->state    = given != NULL ? given : &l->own;
    l->workload = w;
    l->resource = resource;
    l->ceiling = l->at_once = quotas->at_once > 0 ? quotas->at_once : MGC_AT_ONCE_MAX;
}

mgc_code mgc_gate_new(struct mgc_gate **out, struct mgc_gate_state *given)
{
    struct mgc_gate *g = mgc_calloc(sizeof *g);
    if (g == NULL)
        return MGC_ENOMEM;
    for (int w = 0; w < MGC_WORKLOADS; w++)
        lane_init(&g->whole[w], (mgc_workload)w, 0, given != NULL ? &given->of[w] : NULL);
    *out = g;
    return MGC_OK;
}

void mgc_gate_free(struct mgc_gate *g)
{
    if (g == NULL)
        return;
    for (int i = 0; i < g->n_each; i++)
        mgc_free(g->each[i]);
    mgc_free(g);
}

/* Closed ones are kept until they have been open for a while: a hint is not forgotten. */
static bool is_idle(const struct mgc_lane *l, int64_t now_ms)
{
    for (int s = 0; s < SIDES; s++)
        if (l->own.scopes[s].closed && l->own.scopes[s].not_before_ms > now_ms)
            return false;
    return l->under_way == 0;
}

static struct mgc_lane *idlest(const struct mgc_gate *g, int64_t now_ms)
{
    struct mgc_lane *best = NULL;
    for (int i = 0; i < g->n_each; i++)
        if (is_idle(g->each[i], now_ms) && (best == NULL || g->each[i]->used_ms < best->used_ms))
            best = g->each[i];
    return best;
}

/* The resource's lane; NULL when there is neither memory for it nor one to be used again. */
static struct mgc_lane *lane_of(struct mgc_gate *g, const struct mgc_load *load, int64_t now_ms)
{
    struct mgc_lane *l = NULL;
    if (load->resource == 0)
        return NULL;
    for (int i = 0; i < g->n_each; i++)
        if (g->each[i]->resource == load->resource && g->each[i]->workload == load->workload)
            return g->each[i];
    if (g->n_each < MGC_GATE_RESOURCE && (l = mgc_malloc(sizeof *l)) != NULL)
        g->each[g->n_each++] = l;
    else
        l = idlest(g, now_ms);
    if (l != NULL)
        lane_init(l, load->workload, load->resource, NULL);
    return l;
}

static enum side side_of(const struct mgc_load *load)
{
    return load->write ? WRITES : READS;
}

static int64_t lane_opens(struct mgc_lane *l, const struct mgc_load *load, int64_t now_ms)
{
    int64_t at = later(scope_opens(&l->state->scopes[side_of(load)], now_ms),
                       scope_opens(&l->state->scopes[BOTH], now_ms));
    at         = later(at, window_opens(&l->state->all, load->units, now_ms));
    if (load->write)
        at = later(at, window_opens(&l->state->writes, 1, now_ms));
    return l->under_way < l->at_once ? at : later(at, now_ms + MGC_GATE_RECHECK);
}

static unsigned bit_of(int lane, int side)
{
    return 1u << (lane * SIDES + side);
}

static void enter(struct mgc_lane *l, int lane, struct mgc_pass *p, int64_t now_ms)
{
    for (int s = 0; s < SIDES; s++)
        if ((s == BOTH || s == (int)side_of(&p->load)) && l->state->scopes[s].closed) {
            l->state->scopes[s].probe_ms = now_ms + MGC_GATE_PROBE;
            p->probes |= bit_of(lane, s);
        }
    window_add(&l->state->all, p->load.units, now_ms);
    if (p->load.write)
        window_add(&l->state->writes, 1, now_ms);
    l->under_way++;
    l->used_ms = now_ms;
}

int64_t mgc_gate_admit(struct mgc_gate *g, struct mgc_pass *p, int64_t now_ms)
{
    struct mgc_lane *lanes[2] = {&g->whole[p->load.workload], lane_of(g, &p->load, now_ms)};
    for (int i = 0; i < 2; i++) {
        int64_t at = lanes[i] != NULL ? lane_opens(lanes[i], &p->load, now_ms) : now_ms;
        if (at > now_ms)
            return at;
    }
    for (int i = 0; i < 2; i++)
        if ((p->lanes[i] = lanes[i]) != NULL)
            enter(lanes[i], i, p, now_ms);
    p->admitted = true;
    p->sent_ms  = now_ms;
    return MGC_GATE_GO;
}

/* ---- answers ------------------------------------------------------------------------------------------- */

int32_t mgc_reply_units(const char *text, size_t n)
{
    int32_t units = 0;
    if (n == 0 || n > 5)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        units = units * 10 + (text[i] - '0');
    }
    return units;
}

static bool is_refusal(const struct mgc_reply *o)
{
    return o->status == 429 || ((o->status == 503 || o->status == 509) && o->hint_ms >= 0);
}

/* The n-th part of "level/side/app/id", from 0. */
static bool part(const struct mgc_reply *o, int n, const char **at, size_t *len)
{
    const char *s = o->scope, *end = o->scope != NULL ? s + o->scope_len : NULL;
    for (; s != NULL && n > 0; n--)
        if ((s = memchr(s, '/', (size_t)(end - s))) != NULL)
            s++;
    if (s == NULL)
        return false;
    const char *slash = memchr(s, '/', (size_t)(end - s));
    *at               = s;
    *len              = (size_t)((slash != NULL ? slash : end) - s);
    return true;
}

static enum side named_side(const struct mgc_reply *o, const struct mgc_load *load)
{
    static const char *const names[SIDES] = {"Read", "Write", "ReadWrite"};
    const char              *at;
    size_t                   len;
    if (part(o, 1, &at, &len))
        for (int s = 0; s < SIDES; s++)
            if (len == strlen(names[s]) && strncasecmp(at, names[s], len) == 0)
                return (enum side)s;
    return side_of(load);
}

/* Which of the two lanes is meant: the one that is named; else the one that has published limits of its own,
 * the resource's if both have. */
static int named_lane(const struct mgc_pass *p, const struct mgc_reply *o)
{
    const char *at;
    size_t      len;
    if (p->lanes[1] == NULL)
        return 0;
    const bool named = part(o, 3, &at, &len) && len > 0;
    const bool other = named && mgc_resource_of(at, len) != p->load.resource;
    return other && p->lanes[0]->state->all.quota.units > 0 ? 0 : 1;
}

/* A refusal while all is closed is one more answer to what was sent before: it counts once. */
static void refuse(struct mgc_lane *l, enum side side, bool probe, const struct mgc_reply *o,
                   int64_t now_ms)
{
    struct scope *s     = &l->state->scopes[side];
    const bool    first = !s->closed || probe;
    if (first) {
        s->strikes++;
        l->at_once   = l->at_once > 2 ? l->at_once / 2 : 1;
        l->successes = 0;
        window_refused(side == WRITES && l->state->writes.quota.units > 0 ? &l->state->writes
                                                                          : &l->state->all,
                       now_ms);
    }
    s->closed        = true;
    s->not_before_ms = later(s->not_before_ms, now_ms + pause_ms(s, o->hint_ms));
}

static void reopen(struct mgc_lane *l, int side, int64_t now_ms)
{
    struct scope *s = &l->state->scopes[side];
    if (s->not_before_ms > now_ms)
        return; /* closed anew meanwhile, by the answer to an earlier request */
    s->closed  = false;
    s->strikes = 0;
    window_opened(side == WRITES && l->state->writes.quota.units > 0 ? &l->state->writes
                                                                     : &l->state->all,
                  now_ms);
}

static void widen(struct mgc_lane *l)
{
    if (l->at_once == l->ceiling || l->under_way + 1 < l->at_once / 2)
        return;
    if (++l->successes >= l->at_once) {
        l->successes = 0;
        l->at_once++;
    }
}

static void end_probes(struct mgc_lane *l, int lane, const struct mgc_pass *p)
{
    for (int s = 0; s < SIDES; s++)
        if ((p->probes & bit_of(lane, s)) != 0)
            l->state->scopes[s].probe_ms = 0;
}

static void leave(struct mgc_lane *l, int lane, const struct mgc_pass *p, const struct mgc_reply *o,
                  int64_t now_ms)
{
    const bool answered = o->status != 0 && !is_refusal(o);
    l->under_way--;
    window_answered(&l->state->all, p->sent_ms, p->load.units,
                    o->units >= 0 ? o->units : p->load.units, now_ms);
    if (p->load.write)
        window_answered(&l->state->writes, p->sent_ms, 1, 1, now_ms);
    end_probes(l, lane, p);
    for (int s = 0; s < SIDES; s++)
        if (answered && (p->probes & bit_of(lane, s)) != 0)
            reopen(l, s, now_ms);
    if (answered)
        widen(l);
}

void mgc_gate_answer(struct mgc_gate *g, struct mgc_pass *p, const struct mgc_reply *o,
                     int64_t now_ms)
{
    (void)g;
    if (!p->admitted)
        return;
    if (is_refusal(o)) {
        const int       lane = named_lane(p, o);
        const enum side side = named_side(o, &p->load);
        refuse(p->lanes[lane], side, (p->probes & bit_of(lane, (int)side)) != 0, o, now_ms);
    }
    for (int i = 0; i < 2; i++)
        if (p->lanes[i] != NULL)
            leave(p->lanes[i], i, p, o, now_ms);
    *p = (struct mgc_pass){.load = p->load};
}

static void step_back(struct mgc_lane *l, int lane, const struct mgc_pass *p, int64_t now_ms)
{
    l->under_way--;
    window_withdrawn(&l->state->all, p->sent_ms, p->load.units, now_ms);
    if (p->load.write)
        window_withdrawn(&l->state->writes, p->sent_ms, 1, now_ms);
    end_probes(l, lane, p);
}

void mgc_gate_withdraw(struct mgc_gate *g, struct mgc_pass *p, int64_t now_ms)
{
    (void)g;
    for (int i = 0; i < 2; i++)
        if (p->admitted && p->lanes[i] != NULL)
            step_back(p->lanes[i], i, p, now_ms);
    *p = (struct mgc_pass){.load = p->load};
}

/* ---- a state that comes from outside ------------------------------------------------------------------- */

size_t mgc_gate_state_size(void)
{
    return sizeof(struct mgc_gate_state);
}

void mgc_gate_state_reset(struct mgc_gate_state *s)
{
    for (int w = 0; w < MGC_WORKLOADS; w++)
        reset(&s->of[w], quotas_of((mgc_workload)w, 0));
}

static bool is_past(int64_t at_ms, int64_t now_ms)
{
    return at_ms >= 0 && at_ms <= now_ms;
}

static bool window_is_sound(const struct window *w, struct mgc_quota q, int64_t now_ms)
{
    int64_t used = 0;
    if (w->quota.units != q.units || w->quota.window_ms != q.window_ms)
        return false;
    if (q.units == 0)
        return true;
    for (int i = 0; i < KEPT; i++) {
        if (w->slices[i] < 0)
            return false;
        used += w->slices[i];
    }
    return used == w->used && is_past(w->newest, now_ms / slice_ms(w)) &&
           is_past(w->since_ms, now_ms) && is_past(w->opened_ms, now_ms) && w->clean >= 0 &&
           w->clean < KEPT * KEPT && w->opened_used >= 0 &&
           (!w->armed || (w->limit > 0 && w->limit <= q.units));
}

static bool scope_is_sound(const struct scope *s, int64_t now_ms)
{
    return s->not_before_ms <= now_ms + MGC_GATE_LONGEST &&
           s->probe_ms <= now_ms + MGC_GATE_PROBE && s->strikes >= (s->closed != 0) &&
           s->strikes < INT32_MAX / 2;
}

bool mgc_gate_state_is_sound(const struct mgc_gate_state *s, int64_t now_ms)
{
    for (int w = 0; w < MGC_WORKLOADS; w++) {
        const struct mgc_quotas *q     = quotas_of((mgc_workload)w, 0);
        bool                     sound = window_is_sound(&s->of[w].all, q->all, now_ms) &&
                     window_is_sound(&s->of[w].writes, q->writes, now_ms);
        for (int side = 0; side < SIDES; side++)
            sound = sound && scope_is_sound(&s->of[w].scopes[side], now_ms);
        if (!sound)
            return false;
    }
    return true;
}

/* ---- levels ------------------------------------------------------------------------------------------- */

mgc_level mgc_level_next(unsigned waiting, unsigned turn)
{
    static const mgc_level order[MGC_LEVELS] = {MGC_HIGH, MGC_NORMAL, MGC_LOW};
    enum { EVERY = 8 };
    unsigned at = turn % EVERY == EVERY - 1 ? 1 + turn / EVERY % (MGC_LEVELS - 1) : 0;
    while ((waiting & 1u << order[at]) == 0)
        at = (at + 1) % MGC_LEVELS;
    return order[at];
}
