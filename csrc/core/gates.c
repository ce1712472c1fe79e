/* csrc/core/gates.c - see gates.h. */
#include "core/gates.h"

#include "core/base/mem.h"
#include "core/gate_file.h"
#include "core/wire/global.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

struct mgc_shared_gate {
    struct mgc_gate     *gate;
    struct mgc_gate_file file;
    bool                 has_file;
    unsigned             references;
    unsigned             forks; /* of the process it is for */
    uint64_t             quota;
    LIST_ENTRY(mgc_shared_gate) link;
    char endpoint[];
};

static LIST_HEAD(, mgc_shared_gate) gates;
static pthread_mutex_t lock      = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t  fork_once = PTHREAD_ONCE_INIT;

static void enter(void)
{
    pthread_mutex_lock(&lock);
}

static void leave(void)
{
    pthread_mutex_unlock(&lock);
}

/* So that no child is born with a lock that nobody holds. */
static void watch_forks(void)
{
    pthread_atfork(enter, leave, leave);
}

static struct mgc_shared_gate *find(const char *endpoint, uint64_t quota)
{
    struct mgc_shared_gate *g;
    LIST_FOREACH(g, &gates, link)
    if (quota != 0 && g->quota == quota && g->forks == mgc_global_forks() &&
        strcmp(g->endpoint, endpoint) == 0)
        return g;
    return NULL;
}

static mgc_code open_file(struct mgc_shared_gate *g, const char *begin, struct mgc_error *e)
{
    char           path[4096];
    const uint64_t key = g->quota * 31 + mgc_resource_of(g->endpoint, strlen(g->endpoint));
    if (snprintf(path, sizeof path, "%s-%016" PRIx64, begin, key) >= (int)sizeof path)
        return mgc_error_set(e, MGC_EOPTION, "shared_gate: the path is too long");
    mgc_code rc = mgc_gate_file_open(&g->file, path, e);
    g->has_file = rc == MGC_OK;
    return rc;
}

static void destroy(struct mgc_shared_gate *g)
{
    mgc_gate_free(g->gate);
    if (g->has_file)
        mgc_gate_file_close(&g->file);
    mgc_free(g);
}

static mgc_code make(struct mgc_shared_gate **out, const char *endpoint, uint64_t quota,
                     const char *file, struct mgc_error *e)
{
    const size_t            n  = strlen(endpoint) + 1;
    struct mgc_shared_gate *g  = mgc_calloc(sizeof *g + n);
    mgc_code                rc = MGC_OK;
    if (g == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    g->forks = mgc_global_forks();
    g->quota = quota;
    memcpy(g->endpoint, endpoint, n);
    if (file != NULL && quota != 0)
        rc = open_file(g, file, e);
    if (rc == MGC_OK &&
        mgc_gate_new(&g->gate, g->has_file ? mgc_gate_file_state(&g->file) : NULL) != MGC_OK)
        rc = mgc_error_set(e, MGC_ENOMEM, NULL);
    if (rc != MGC_OK) {
        destroy(g);
        return rc;
    }
    LIST_INSERT_HEAD(&gates, g, link);
    *out = g;
    return MGC_OK;
}

mgc_code mgc_shared_gate_get(struct mgc_shared_gate **out, const char *endpoint, uint64_t quota,
                             const char *file, struct mgc_error *e)
{
    pthread_once(&fork_once, watch_forks);
    enter();
    struct mgc_shared_gate *g  = find(endpoint, quota);
    mgc_code                rc = g != NULL ? MGC_OK : make(&g, endpoint, quota, file, e);
    if (rc == MGC_OK) {
        g->references++;
        *out = g;
    }
    leave();
    return rc;
}

void mgc_shared_gate_unref(struct mgc_shared_gate *g)
{
    if (g == NULL)
        return;
    enter();
    const bool last = --g->references == 0;
    if (last)
        LIST_REMOVE(g, link);
    leave();
    if (last)
        destroy(g);
}

/* Nobody else, thread or process, is at the gate between these. */
static void enter_gate(const struct mgc_shared_gate *g)
{
    enter();
    if (g->has_file)
        mgc_gate_file_lock(&g->file);
}

static void leave_gate(const struct mgc_shared_gate *g)
{
    if (g->has_file)
        mgc_gate_file_unlock(&g->file);
    leave();
}

int64_t mgc_shared_gate_admit(struct mgc_shared_gate *g, struct mgc_pass *p, int64_t now_ms)
{
    if (g == NULL || g->forks != mgc_global_forks())
        return MGC_GATE_GO;
    enter_gate(g);
    const int64_t at = mgc_gate_admit(g->gate, p, now_ms);
    leave_gate(g);
    return at;
}

static bool is_under_way(const struct mgc_shared_gate *g, const struct mgc_pass *p)
{
    return g != NULL && p->admitted && g->forks == mgc_global_forks();
}

void mgc_shared_gate_answer(struct mgc_shared_gate *g, struct mgc_pass *p,
                            const struct mgc_reply *r, int64_t now_ms)
{
    if (!is_under_way(g, p))
        return;
    enter_gate(g);
    mgc_gate_answer(g->gate, p, r, now_ms);
    leave_gate(g);
}

void mgc_shared_gate_withdraw(struct mgc_shared_gate *g, struct mgc_pass *p, int64_t now_ms)
{
    if (!is_under_way(g, p))
        return;
    enter_gate(g);
    mgc_gate_withdraw(g->gate, p, now_ms);
    leave_gate(g);
}
