/* spec/core/test_throttle.c - workload.h and throttle.h: a table of paths, thousands of random histories on a
 * clock of ours, and a service that enforces the published limits. */
#include "check.h"
#include "fakes.h"

#include "core/base/clock.h"
#include "core/policy/throttle.h"

#include <stdint.h>

/* ---- workload ---------------------------------------------------------------------------------- */

#define GRAPH "https://graph.microsoft.com"

static void test_loads(void)
{
    static const struct {
        const char  *method, *url;
        mgc_workload workload;
        bool         write;
        int          units;
        const char  *resource;
    } cases[] = {
        {"GET", GRAPH "/v1.0/users", MGC_IDENTITY, false, 2, NULL},
        {"GET", GRAPH "/v1.0/users?$top=999", MGC_IDENTITY, false, 2, NULL},
        {"GET", GRAPH "/v1.0/users?$top=5&$select=id", MGC_IDENTITY, false, 1, NULL},
        {"GET", GRAPH "/v1.0/users?%24expand=manager($select=id)", MGC_IDENTITY, false, 3, NULL},
        {"GET", GRAPH "/v1.0/users/ada@contoso.com", MGC_IDENTITY, false, 1, NULL},
        {"GET", GRAPH "/beta/me", MGC_IDENTITY, false, 1, NULL},
        {"GET", GRAPH "/v1.0/me/memberOf", MGC_IDENTITY, false, 2, NULL},
        {"GET", GRAPH "/v1.0/Users/1/transitiveMemberOf?$select=id", MGC_IDENTITY, false, 1, NULL},
        {"GET", GRAPH "/v1.0/groups/1/transitiveMembers", MGC_IDENTITY, false, 5, NULL},
        {"GET", GRAPH "/v1.0/oauth2PermissionGrants/7", MGC_IDENTITY, false, 2, NULL},
        {"GET", GRAPH "/v1.0/subscribedSkus", MGC_IDENTITY, false, 3, NULL},
        {"POST", GRAPH "/v1.0/directoryObjects/getByIds", MGC_IDENTITY, false, 5, NULL},
        {"POST", GRAPH "/v1.0/directoryObjects/getByIds?$select=id", MGC_IDENTITY, false, 2, NULL},
        {"POST", GRAPH "/v1.0/users/1/getMemberGroups", MGC_IDENTITY, false, 2, NULL},
        {"POST", GRAPH "/v1.0/users/1/revokeSignInSessions", MGC_IDENTITY, true, 1, NULL},
        {"PATCH", GRAPH "/v1.0/users/1", MGC_IDENTITY, true, 1, NULL},
        {"DELETE", GRAPH "/v1.0/groups/1/members/2/$ref", MGC_IDENTITY, true, 1, NULL},
        {"POST", GRAPH "/v1.0/users/1/removeAllDevicesFromManagement", MGC_INTUNE, true, 1, NULL},
        {"GET", GRAPH "/v1.0/users/1/managedDevices?$select=id", MGC_INTUNE, false, 1, NULL},
        {"POST", GRAPH "/v1.0/deviceManagement/managedDevices/1/retire", MGC_INTUNE_DEVICES, true,
         1, NULL},
        {"GET", GRAPH "/v1.0/deviceManagement/detectedApps", MGC_INTUNE, false, 1, NULL},
        {"GET", GRAPH "/v1.0/users/1/authentication/methods", MGC_REPORTS, false, 1, NULL},
        {"GET", GRAPH "/v1.0/auditLogs/signIns", MGC_REPORTS, false, 1, NULL},
        {"GET", GRAPH "/v1.0/identity/conditionalAccess/policies", MGC_PROTECTION, false, 1, NULL},
        {"PATCH", GRAPH "/v1.0/users/Ada/mailboxSettings", MGC_OUTLOOK, true, 1, "ada"},
        {"GET", GRAPH "/v1.0/me/messages", MGC_OUTLOOK, false, 1, "me"},
        {"POST", GRAPH "/v1.0/teams/7/members", MGC_TEAMS, true, 1, "7"},
        {"GET", GRAPH "/v1.0/users/1/joinedTeams", MGC_TEAMS, false, 1, NULL},
        {"GET", GRAPH "/v1.0/users/1/drive/root", MGC_FILES, false, 1, "1"},
        {"POST", GRAPH "/v1.0/$batch", MGC_BATCH, true, 1, NULL},
        {"GET", GRAPH "/v1.0/planner/plans/1?$select=id", MGC_OTHER, false, 1, NULL},
        {"GET", GRAPH, MGC_OTHER, false, 1, NULL},
        {"GET", GRAPH "/v1.0", MGC_OTHER, false, 1, NULL},
        {"GET", GRAPH "/v1.0/", MGC_OTHER, false, 1, NULL},
        {"GET", GRAPH "/v1.0/me/a/b/c/d/e/f", MGC_IDENTITY, false, 1, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mgc_load load = mgc_load_of(cases[i].method, cases[i].url);
        const char     *id   = cases[i].resource;
        if (load.workload != cases[i].workload || load.units != cases[i].units)
            fprintf(stderr, "  %s %s\n", cases[i].method, cases[i].url);
        CHECK_INT(cases[i].workload, load.workload);
        CHECK_INT(cases[i].write, load.write);
        CHECK_INT(cases[i].units, load.units);
        CHECK(load.resource == (id != NULL ? mgc_resource_of(id, strlen(id)) : 0));
    }
}

static void test_units_as_the_service_says(void)
{
    static const struct {
        const char *text;
        int         units;
    } cases[] = {{"0", 0}, {"3", 3},   {"12345", 12345}, {"123456", -1},
                 {"", -1}, {"-1", -1}, {"1.5", -1},      {"two", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT(cases[i].units, mgc_reply_units(cases[i].text, strlen(cases[i].text)));
    CHECK_INT(1, mgc_reply_units("17", 1)); /* the rest is not ours */
}

/* ---- random numbers, the same ones each time --------------------------------------------------------- */

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

/* ---- loads of any URL ---------------------------------------------------------------------------------- */

static void append(char *url, size_t size, const char *const *words, uint32_t n)
{
    const size_t len = strlen(url);
    snprintf(url + len, size - len, "%s", words[draw(n)]);
}

static void make_path(char *url, size_t size)
{
    static const char *const words[] = {
        "users",       "me",    "groups",      "teams",    "deviceManagement",  "managedDevices",
        "$batch",      "drive", "messages",    "Events",   "getByIds",          "directoryObjects",
        "auditLogs",   "",      "a%2Fb",       "members",  "subscribedSkus",    "memberOf",
        "identity",    "sites", "0-1-2",       "chats",    "conditionalAccess", "authentication",
        "checkMember", "team",  "joinedTeams", "ada@x.io", "applications",      "removeAllDevices"};
    static const char *const options[] = {
        "$select=id", "$top=5", "%24expand=x($select=id)", "&&",
        "$top=",      "=",      "$filter=a%20eq%20'/b'",   "$select"};
    for (uint32_t i = 0, n = draw(6); i < n; i++) {
        append(url, size, (const char *const[]){"/"}, 1);
        append(url, size, words, sizeof words / sizeof *words);
    }
    for (uint32_t i = 0, n = draw(4); i < n; i++) {
        append(url, size, (const char *const[]){i == 0 ? "?" : "&"}, 1);
        append(url, size, options, sizeof options / sizeof *options);
    }
}

static bool same_load(struct mgc_load a, struct mgc_load b)
{
    return a.workload == b.workload && a.write == b.write && a.units == b.units &&
           a.resource == b.resource;
}

/* Whatever the path: a load that exists, the same with and without a host and in any letter case. */
static void test_loads_of_any_url(void)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"};
    for (int n = 0; n < 20000; n++) {
        char target[512]   = "/v1.0", url[600], upper[512];
        seed               = (uint64_t)n;
        const char *method = methods[draw(6)];
        make_path(target, sizeof target);
        snprintf(url, sizeof url, "%s%s", GRAPH, target);
        snprintf(upper, sizeof upper, "%s", target);
        for (char *c = upper + strlen("/v1.0"); *c != '\0' && *c != '?'; c++)
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        const struct mgc_load load = mgc_load_of(method, url);
        CHECK(load.workload < MGC_WORKLOADS && load.units >= 1 && load.units < 256);
        CHECK(load.resource >> MGC_RESOURCE_BITS == 0);
        CHECK(!load.write || (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0));
        CHECK(same_load(load, mgc_load_of(method, target)));
        CHECK(same_load(load, mgc_load_of(method, upper)));
    }
}

/* ---- random histories ---------------------------------------------------------------------------------- */

/* What a history keeps beside the gate: how each side of each place was last refused. Places 0 to 2 are
 * workloads without resources, 3 and 4 two mailboxes. */
enum { PLACES = 5, PASSES = 40, STEPS = 400, HISTORIES = 3000 };

static const mgc_workload workloads[PLACES] = {MGC_IDENTITY, MGC_INTUNE, MGC_REPORTS, MGC_OUTLOOK,
                                               MGC_OUTLOOK};

struct shut {
    bool    closed; /* refused, and nothing got through since */
    int64_t until_ms;
    int     probes; /* admitted while closed and not answered */
};

struct history {
    struct mgc_gate *gate;
    struct mgc_pass  passes[PASSES];
    int              places[PASSES];
    bool             probing[PASSES];
    int64_t          begun_ms[PASSES];
    struct shut      shut[PLACES][2];
    int              under_way[PLACES];
    int64_t          now_ms;
};

static struct mgc_pass pass_to(int place, bool write)
{
    struct mgc_pass p = {.load = {.workload = workloads[place], .write = write, .units = 1}};
    if (place >= 3)
        p.load.resource = (uint64_t)place;
    return p;
}

static void ask(struct history *h, int i)
{
    const int        place = (int)draw(PLACES);
    struct mgc_pass *p     = &h->passes[i];
    *p                     = pass_to(place, draw(2) == 0);
    struct shut  *s        = &h->shut[place][p->load.write];
    const int64_t at       = mgc_gate_admit(h->gate, p, h->now_ms);
    if (at != MGC_GATE_GO) {
        CHECK(at > h->now_ms);
        CHECK(!p->admitted);
        return;
    }
    h->places[i]   = place;
    h->begun_ms[i] = h->now_ms;
    h->probing[i]  = p->probes != 0;
    h->under_way[place]++;
    CHECK(h->now_ms >= s->until_ms); /* never before the hint */
    CHECK(!s->closed || h->probing[i]);
    s->probes += h->probing[i];
    CHECK(s->probes <= 1); /* never two probes */
    CHECK(h->under_way[place] <= (place >= 3 ? 4 : MGC_AT_ONCE_MAX));
}

static void answer(struct history *h, int i)
{
    static const int statuses[] = {200, 200, 204, 404, 429, 429, 503, 500, 0};
    struct mgc_pass *p          = &h->passes[i];
    struct mgc_reply o = {.status = statuses[draw(9)], .hint_ms = -1, .units = (int)draw(4) - 1};
    if (!p->admitted)
        return;
    if (draw(3) != 0)
        o.hint_ms = draw(20000);
    struct shut *s       = &h->shut[h->places[i]][p->load.write];
    const bool   refused = o.status == 429 || (o.status == 503 && o.hint_ms >= 0);
    s->probes -= h->probing[i];
    h->under_way[h->places[i]]--;
    if (refused) {
        s->closed = true;
        if (s->until_ms < h->now_ms + o.hint_ms)
            s->until_ms = h->now_ms + o.hint_ms;
    } else if (h->probing[i] && o.status != 0 && s->until_ms <= h->now_ms) {
        s->closed = false;
    }
    mgc_gate_answer(h->gate, p, &o, h->now_ms);
}

/* It was admitted, and is not sent. */
static void withdraw(struct history *h, int i)
{
    struct mgc_pass *p = &h->passes[i];
    h->shut[h->places[i]][p->load.write].probes -= h->probing[i];
    h->under_way[h->places[i]]--;
    mgc_gate_withdraw(h->gate, p, h->now_ms);
    CHECK(!p->admitted);
}

/* No attempt takes longer than a probe is waited for. */
static void end_overdue(struct history *h)
{
    for (int i = 0; i < PASSES; i++)
        if (h->passes[i].admitted && h->now_ms - h->begun_ms[i] >= MGC_GATE_PROBE)
            answer(h, i);
}

/* Whatever has happened: once all is answered and time has passed, the next one goes. */
static void check_alive(struct history *h)
{
    for (int i = 0; i < PASSES; i++)
        answer(h, i);
    for (int place = 0; place < PLACES; place++)
        for (int write = 0; write < 2; write++) {
            h->now_ms += 24 * 3600 * 1000;
            struct mgc_pass p = pass_to(place, write != 0);
            CHECK_INT(MGC_GATE_GO, mgc_gate_admit(h->gate, &p, h->now_ms));
            mgc_gate_answer(h->gate, &p, &(struct mgc_reply){.status = 200, .units = -1},
                            h->now_ms);
        }
}

static void test_random_histories(void)
{
    struct mgc_gate_state *state = malloc(mgc_gate_state_size());
    for (int n = 0; n < HISTORIES; n++) {
        static struct history h;
        memset(&h, 0, sizeof h);
        seed     = (uint64_t)n;
        h.now_ms = draw(1000000);
        mgc_gate_state_reset(state);
        CHECK_INT(MGC_OK, mgc_gate_new(&h.gate, state));
        for (int step = 0; step < STEPS; step++) {
            const int i = (int)draw(PASSES);
            if (h.passes[i].admitted && draw(8) == 0)
                withdraw(&h, i);
            else if (h.passes[i].admitted)
                answer(&h, i);
            else
                ask(&h, i);
            h.now_ms += draw(10) == 0 ? draw(30000) : draw(50);
            end_overdue(&h);
        }
        CHECK(mgc_gate_state_is_sound(state, h.now_ms)); /* nothing counted less than nothing */
        check_alive(&h);
        mgc_gate_free(h.gate);
    }
    free(state);
}

/* ---- one refusal ------------------------------------------------------------------------------------- */

static struct mgc_gate *gate;

static int64_t admit(struct mgc_pass *p, int64_t now_ms)
{
    return mgc_gate_admit(gate, p, now_ms);
}

static void refuse(struct mgc_pass *p, int64_t hint_ms, const char *scope, int64_t now_ms)
{
    struct mgc_reply o = {.status    = 429,
                          .hint_ms   = hint_ms,
                          .scope     = scope,
                          .scope_len = scope ? strlen(scope) : 0,
                          .units     = -1};
    mgc_gate_answer(gate, p, &o, now_ms);
}

static void succeed(struct mgc_pass *p, int64_t now_ms)
{
    mgc_gate_answer(gate, p, &(struct mgc_reply){.status = 200, .units = -1}, now_ms);
}

static void test_a_refusal_closes_its_own_side_until_a_probe_gets_through(void)
{
    struct mgc_pass write = pass_to(0, true), second = write, read = pass_to(0, false);
    CHECK_INT(MGC_OK, mgc_gate_new(&gate, NULL));
    CHECK_INT(MGC_GATE_GO, admit(&write, 1000));
    refuse(&write, 7000, NULL, 1100);
    CHECK_INT(8100, admit(&write, 1100));
    CHECK_INT(MGC_GATE_GO, admit(&read, 1100));
    CHECK_INT(8100, admit(&write, 8099));
    CHECK_INT(MGC_GATE_GO, admit(&write, 8100));
    CHECK_INT(8100 + MGC_GATE_RECHECK, admit(&second, 8100));
    succeed(&write, 8150);
    CHECK_INT(MGC_GATE_GO, admit(&second, 8150));
    mgc_gate_free(gate);
}

static void test_a_probe_without_an_answer_makes_room_for_another(void)
{
    struct mgc_pass p = pass_to(0, true), second = p, third = p;
    CHECK_INT(MGC_OK, mgc_gate_new(&gate, NULL));
    CHECK_INT(MGC_GATE_GO, admit(&p, 0));
    refuse(&p, 1000, NULL, 0);
    CHECK_INT(MGC_GATE_GO, admit(&p, 1000));
    mgc_gate_answer(gate, &p, &(struct mgc_reply){.status = 0, .units = -1}, 1500);
    CHECK_INT(MGC_GATE_GO, admit(&second, 1500));
    CHECK(admit(&third, 1500) > 1500);
    mgc_gate_free(gate);
}

/* Whom a refusal of one mailbox's PATCH or one team's POST holds up. */
static void test_scopes_as_the_service_names_them(void)
{
    static const struct {
        mgc_workload workload;
        const char  *scope;
        bool         same_read, same_write, other_write;
    } cases[] = {
        {MGC_TEAMS, NULL, false, true, false},
        {MGC_TEAMS, "Tenant_Application/ReadWrite/app/one", true, true, false},
        {MGC_TEAMS, "Tenant_Application/Write/app/ONE", false, true, false},
        {MGC_TEAMS, "Tenant_Application/Write/app/tenant", false, true, true},
        {MGC_TEAMS, "Tenant/Read/app/tenant", true, false, false},
        {MGC_TEAMS, "Tenant/Nonsense", false, true, false},
        {MGC_TEAMS, "///", false, true, false},
        {MGC_OUTLOOK, "Tenant_Application/ReadWrite/app/some-object-id", true, true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mgc_pass p = {.load = {.workload = cases[i].workload, .write = true, .units = 1}};
        CHECK_INT(MGC_OK, mgc_gate_new(&gate, NULL));
        p.load.resource      = mgc_resource_of("one", 3);
        struct mgc_pass read = p, other = p;
        read.load.write     = false;
        other.load.resource = mgc_resource_of("two", 3);
        CHECK_INT(MGC_GATE_GO, admit(&p, 0));
        refuse(&p, 5000, cases[i].scope, 10);
        CHECK_INT(cases[i].same_write, admit(&p, 20) != MGC_GATE_GO);
        CHECK_INT(cases[i].same_read, admit(&read, 30) != MGC_GATE_GO);
        CHECK_INT(cases[i].other_write, admit(&other, 40) != MGC_GATE_GO);
        mgc_gate_free(gate);
    }
}

/* Where nothing is told, or "a second" again and again: 2 s, 4 s, ... 60 s. */
static void test_refusals_in_a_row_wait_longer(void)
{
    static const int64_t silent[] = {2000, 4000, 8000, 16000, 32000, 60000, 60000};
    static const int64_t stuck[]  = {1000, 1000, 8000, 16000, 32000, 60000, 60000};
    for (int k = 0; k < 2; k++) {
        struct mgc_pass p      = pass_to(0, true);
        int64_t         now_ms = 0;
        CHECK_INT(MGC_OK, mgc_gate_new(&gate, NULL));
        for (int i = 0; i < 7; i++) {
            CHECK_INT(MGC_GATE_GO, admit(&p, now_ms));
            refuse(&p, k == 0 ? -1 : 1000, NULL, now_ms);
            now_ms += (k == 0 ? silent : stuck)[i];
            CHECK_INT(now_ms, admit(&p, now_ms - 1));
        }
        mgc_gate_free(gate);
    }
}

/* One at a time, where little is allowed: whoever steps back leaves his place to another. */
static void test_what_is_withdrawn_was_never_counted(void)
{
    struct mgc_pass p = {.load = {.workload = MGC_REPORTS, .units = 1}}, q = p;
    CHECK_INT(MGC_OK, mgc_gate_new(&gate, NULL));
    CHECK_INT(MGC_GATE_GO, admit(&p, 1000));
    refuse(&p, 1000, NULL, 1000);
    CHECK_INT(MGC_GATE_GO, admit(&q, 12000)); /* a probe, which is not sent */
    mgc_gate_withdraw(gate, &q, 12000);
    CHECK_INT(MGC_GATE_GO, admit(&p, 12000));
    succeed(&p, 12000);
    for (int i = 0; i < 20; i++) {
        const int64_t now_ms = 12200 + i;
        CHECK_INT(MGC_GATE_GO, admit(&p, now_ms));
        CHECK(admit(&q, now_ms) > now_ms);
        mgc_gate_withdraw(gate, &p, now_ms);
        mgc_gate_withdraw(gate, &p, now_ms); /* twice is as good as once */
        CHECK_INT(MGC_GATE_GO, admit(&q, now_ms));
        mgc_gate_withdraw(gate, &q, now_ms);
    }
    mgc_gate_free(gate);
}

static void test_no_slow_start(void)
{
    static struct mgc_pass passes[MGC_AT_ONCE_MAX];
    CHECK_INT(MGC_OK, mgc_gate_new(&gate, NULL));
    for (int64_t now_ms = 0; now_ms < 100; now_ms += 10) {
        for (int i = 0; i < MGC_AT_ONCE_MAX; i++) {
            passes[i] = pass_to(1, true);
            CHECK_INT(MGC_GATE_GO, admit(&passes[i], now_ms));
        }
        for (int i = 0; i < MGC_AT_ONCE_MAX; i++)
            succeed(&passes[i], now_ms + 5);
    }
    mgc_gate_free(gate);
}

static void test_a_mailbox_has_four_at_once(void)
{
    struct mgc_pass passes[5], other = pass_to(4, false);
    CHECK_INT(MGC_OK, mgc_gate_new(&gate, NULL));
    for (int i = 0; i < 5; i++) {
        passes[i] = pass_to(3, false);
        CHECK_INT(i < 4 ? MGC_GATE_GO : MGC_GATE_RECHECK, admit(&passes[i], 0));
    }
    CHECK_INT(MGC_GATE_GO, admit(&other, 0));
    succeed(&passes[0], 1);
    CHECK_INT(MGC_GATE_GO, admit(&passes[4], 1));
    mgc_gate_free(gate);
}

static void test_more_mailboxes_than_lanes(void)
{
    CHECK_INT(MGC_OK, mgc_gate_new(&gate, NULL));
    struct mgc_pass shut = pass_to(3, false);
    CHECK_INT(MGC_GATE_GO, admit(&shut, 0));
    refuse(&shut, 60000, NULL, 0);
    for (uint64_t i = 10; i < 10 + 3 * MGC_GATE_RESOURCE; i++) {
        struct mgc_pass p = pass_to(3, false);
        p.load.resource   = i;
        CHECK_INT(MGC_GATE_GO, admit(&p, (int64_t)i));
        succeed(&p, (int64_t)i);
    }
    CHECK_INT(60000, admit(&shut, 10000)); /* a hint is not forgotten for want of room */
    mgc_gate_free(gate);
}

static void test_without_memory_all_may_pass(void)
{
    struct mgc_pass p = pass_to(3, false);
    fake_mem_fail_at(0);
    CHECK_INT(MGC_ENOMEM, mgc_gate_new(&gate, NULL));
    fake_mem_fail_at(-1);
    CHECK_INT(MGC_OK, mgc_gate_new(&gate, NULL));
    fake_mem_fail_at(0);
    CHECK_INT(MGC_GATE_GO, admit(&p, 0));
    fake_mem_fail_at(-1);
    refuse(&p, 1000, NULL, 0);
    mgc_gate_free(gate);
}

/* What two processes do with one file. */
static void test_gates_that_share_a_state(void)
{
    struct mgc_gate_state *state = malloc(mgc_gate_state_size());
    struct mgc_gate       *other;
    struct mgc_pass        p = pass_to(1, true), q = p;
    memset(state, 0x5a, mgc_gate_state_size());
    CHECK(!mgc_gate_state_is_sound(state, 5000));
    mgc_gate_state_reset(state);
    CHECK_INT(MGC_OK, mgc_gate_new(&gate, state));
    CHECK_INT(MGC_OK, mgc_gate_new(&other, state));
    CHECK_INT(MGC_GATE_GO, admit(&p, 1000));
    refuse(&p, 3000, NULL, 1000);
    CHECK_INT(4000, mgc_gate_admit(other, &q, 1500));
    CHECK_INT(MGC_GATE_GO, admit(&p, 4000));
    CHECK_INT(4500 + MGC_GATE_RECHECK, mgc_gate_admit(other, &q, 4500));
    mgc_gate_free(gate); /* and the process is gone, with the probe */
    CHECK(mgc_gate_state_is_sound(state, 5000));
    CHECK(!mgc_gate_state_is_sound(state, 3000)); /* another boot's clock */
    CHECK_INT(MGC_GATE_GO, mgc_gate_admit(other, &q, 4000 + MGC_GATE_PROBE));
    mgc_gate_free(other);
    free(state);
}

/* Whatever a file holds: it is refused, or does no harm. */
static void test_a_state_of_any_bytes(void)
{
    const size_t           n     = mgc_gate_state_size();
    struct mgc_gate_state *state = malloc(n);
    for (int i = 0; i < 20000; i++) {
        seed = (uint64_t)i;
        mgc_gate_state_reset(state);
        for (int k = 0; k < 3; k++)
            ((unsigned char *)state)[draw((uint32_t)n)] = (unsigned char)draw(256);
        if (!mgc_gate_state_is_sound(state, 1000000))
            continue;
        CHECK_INT(MGC_OK, mgc_gate_new(&gate, state));
        for (int place = 0; place < PLACES; place++) {
            struct mgc_pass p = pass_to(place, true);
            if (admit(&p, 1000000) == MGC_GATE_GO)
                refuse(&p, -1, NULL, 1000001);
        }
        mgc_gate_free(gate);
    }
    free(state);
}

static void test_no_level_starves(void)
{
    unsigned turn = 0;
    int      served[MGC_LEVELS];
    for (unsigned waiting = 1; waiting < 1u << MGC_LEVELS; waiting++) {
        memset(served, 0, sizeof served);
        for (int i = 0; i < 160; i++) {
            mgc_level level = mgc_level_next(waiting, turn++);
            CHECK((waiting & 1u << level) != 0);
            served[level]++;
        }
        for (int level = 0; level < MGC_LEVELS; level++)
            CHECK((waiting & 1u << level) == 0 || served[level] >= 10);
    }
    CHECK(served[MGC_HIGH] > 130);
}

/* ---- a service with limits ------------------------------------------------------------------------------ */

/* What the service counts: units and writes of each workload, in windows that begin when the first request
 * after the last one ends, or in windows that slide. */
struct counter {
    int     limit, used;
    int64_t window_ms, begun_ms;
};

static bool counter_full(struct counter *c, int units, int64_t now_ms, int64_t *hint_ms)
{
    if (now_ms - c->begun_ms >= c->window_ms) {
        c->begun_ms += (now_ms - c->begun_ms) / c->window_ms * c->window_ms;
        c->used = 0;
    }
    if (c->used + units <= c->limit)
        return false;
    *hint_ms = (c->begun_ms + c->window_ms - now_ms + 999) / 1000 * 1000; /* whole seconds */
    return true;
}

/* One request that a process has under way. */
struct flight {
    struct mgc_pass pass;
    int             process;
    int64_t         arrives_ms, answered_ms;
    int             status;
    int64_t         hint_ms;
    const char     *scope;
};

enum { PROCESSES = 2, FLIGHTS = PROCESSES * MGC_AT_ONCE_MAX };

struct bulk {
    struct counter   units, writes;
    struct mgc_gate *gates[PROCESSES];
    int64_t          asks_ms[PROCESSES];
    struct flight    flights[FLIGHTS];
    bool             flying[FLIGHTS];
    int64_t          now_ms;
    int              passed, refused;
};

static void serve(struct bulk *b, struct flight *f)
{
    const struct mgc_load *l = &f->pass.load;
    f->hint_ms               = -1;
    f->scope                 = NULL;
    f->status                = 429;
    if (l->write && counter_full(&b->writes, 1, b->now_ms, &f->hint_ms)) {
        f->scope = "Tenant_Application/Write/app/tenant";
    } else if (counter_full(&b->units, l->units, b->now_ms, &f->hint_ms)) {
        f->scope = "Tenant_Application/ReadWrite/app/tenant";
    } else {
        f->status = 200;
        b->units.used += l->units;
        b->writes.used += l->write;
    }
    b->passed += f->status == 200;
    b->refused += f->status != 200;
}

static void fly(struct bulk *b, int process, const struct mgc_load *load)
{
    for (int i = 0; i < FLIGHTS; i++) {
        struct flight *f = &b->flights[i];
        if (b->flying[i])
            continue;
        f->pass             = (struct mgc_pass){.load = *load};
        b->asks_ms[process] = mgc_gate_admit(b->gates[process], &f->pass, b->now_ms);
        b->flying[i]        = f->pass.admitted;
        f->process          = process;
        f->arrives_ms       = b->now_ms + 10 + draw(50);
        f->answered_ms      = 0;
        return;
    }
    b->asks_ms[process] = b->now_ms + 1;
}

static void land(struct bulk *b, int i)
{
    struct flight *f = &b->flights[i];
    if (f->answered_ms == 0 && f->arrives_ms <= b->now_ms) {
        serve(b, f);
        f->answered_ms = b->now_ms + 10 + draw(50);
    } else if (f->answered_ms != 0 && f->answered_ms <= b->now_ms) {
        struct mgc_reply o = {.status    = f->status,
                              .hint_ms   = f->hint_ms,
                              .scope     = f->scope,
                              .scope_len = f->scope ? strlen(f->scope) : 0,
                              .units     = -1};
        mgc_gate_answer(b->gates[f->process], &f->pass, &o, b->now_ms);
        b->flying[i]           = false;
        b->asks_ms[f->process] = b->now_ms;
    }
}

static int64_t next_event_ms(const struct bulk *b, int processes)
{
    int64_t at = MGC_NEVER;
    for (int i = 0; i < FLIGHTS; i++)
        if (b->flying[i])
            at = mgc_earlier(at, b->flights[i].answered_ms != 0 ? b->flights[i].answered_ms
                                                                : b->flights[i].arrives_ms);
    for (int k = 0; k < processes; k++)
        at = mgc_earlier(at, b->asks_ms[k]);
    return at;
}

/* Processes that always want more, for so long. */
static void run(struct bulk *b, int processes, const struct mgc_load *load, int64_t until_ms)
{
    while (b->now_ms < until_ms) {
        for (int i = 0; i < FLIGHTS; i++)
            if (b->flying[i])
                land(b, i);
        for (int k = 0; k < processes * MGC_AT_ONCE_MAX; k++)
            if (b->asks_ms[k % processes] <= b->now_ms)
                fly(b, k % processes, load);
        const int64_t next = next_event_ms(b, processes);
        b->now_ms          = next > b->now_ms ? next : b->now_ms + 1;
    }
}

/* Always more to do than is allowed, through as many gates as there are processes. The service's windows are
 * not ours: they begin when they like. */
static void run_bulk(struct bulk *b, int processes, const struct mgc_load *load,
                     struct counter limit, int64_t until_ms)
{
    memset(b, 0, sizeof *b);
    b->units  = load->write ? (struct counter){.limit = 8000, .window_ms = 10000} : limit;
    b->writes = limit;
    for (int k = 0; k < processes; k++)
        CHECK_INT(MGC_OK, mgc_gate_new(&b->gates[k], NULL));
    run(b, processes, load, until_ms);
    for (int k = 0; k < processes; k++)
        mgc_gate_free(b->gates[k]);
}

/* Two processes that know nothing of each other share authentication methods' five in ten seconds worse. */
static const struct {
    const char  *what;
    mgc_workload workload;
    bool         write;
    int          units, limit, window_ms, minutes;
    double       refused_by_two;
} bulks[] = {
    {"identity, tenant L", MGC_IDENTITY, false, 1, 8000, 10000, 5, 0.01},
    {"identity, tenant M", MGC_IDENTITY, false, 2, 5000, 10000, 5, 0.01},
    {"identity, tenant S", MGC_IDENTITY, false, 1, 3500, 10000, 5, 0.01},
    {"identity writes", MGC_IDENTITY, true, 1, 3000, 150000, 60, 0.01},
    {"Intune writes", MGC_INTUNE, true, 1, 100, 20000, 60, 0.01},
    {"Intune", MGC_INTUNE, false, 1, 1000, 20000, 20, 0.01},
    {"authentication methods", MGC_REPORTS, false, 1, 5, 10000, 300, 0.1},
};

static void test_bulk_uses_what_is_allowed(void)
{
    static struct bulk b;
    for (size_t i = 0; i < sizeof bulks / sizeof *bulks; i++)
        for (int processes = 1; processes <= PROCESSES; processes++) {
            const struct mgc_load load = {
                .workload = bulks[i].workload, .write = bulks[i].write, .units = bulks[i].units};
            const struct counter limit = {
                .limit = bulks[i].limit, .window_ms = bulks[i].window_ms, .begun_ms = -3210};
            const int64_t for_ms = (int64_t)bulks[i].minutes * 60 * 1000;
            seed                 = i;
            run_bulk(&b, processes, &load, limit, for_ms);
            const double allowed = (double)bulks[i].limit / bulks[i].units / bulks[i].window_ms;
            const double used    = (double)b.passed / (double)for_ms / allowed;
            const double refused = (double)b.refused / (b.passed + b.refused);
            const double most    = processes == 1 ? 0.01 : bulks[i].refused_by_two;
            if (used < 0.95 || refused >= most)
                fprintf(stderr, "  %s, %d: %.1f %% used, %.2f %% refused\n", bulks[i].what,
                        processes, used * 100, refused * 100);
            CHECK(used >= 0.95);
            CHECK(refused < most);
        }
}

int main(void)
{
    fake_mem_install();
    RUN(test_loads);
    RUN(test_loads_of_any_url);
    RUN(test_units_as_the_service_says);
    RUN(test_a_refusal_closes_its_own_side_until_a_probe_gets_through);
    RUN(test_a_probe_without_an_answer_makes_room_for_another);
    RUN(test_scopes_as_the_service_names_them);
    RUN(test_refusals_in_a_row_wait_longer);
    RUN(test_what_is_withdrawn_was_never_counted);
    RUN(test_no_slow_start);
    RUN(test_a_mailbox_has_four_at_once);
    RUN(test_more_mailboxes_than_lanes);
    RUN(test_without_memory_all_may_pass);
    RUN(test_gates_that_share_a_state);
    RUN(test_a_state_of_any_bytes);
    RUN(test_no_level_starves);
    RUN(test_random_histories);
    RUN(test_bulk_uses_what_is_allowed);
    return REPORT("throttle");
}
