/* csrc/core/gates.c - see gates.h. */
#include "core/gates.h"

#include "core/base/mem.h"
#include "core/wire/global.h"

#include <pthread.h>
#include <string.h>
#include <sys/queue.h>

struct mgc_shared_gate {
    struct mgc_gate *gate;
    unsigned         references;
    unsigned         forks; /* of the process it is for */
    uint64_t         quota;
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

static struct mgc_shared_gate *make(const char *endpoint, uint64_t quota)
{
    const size_t            n = strlen(endpoint) + 1;
    struct mgc_shared_gate *g = mgc_calloc(sizeof *g + n);
    if (g == NULL || mgc_gate_new(&g->gate) != MGC_OK) {
        mgc_free(g);
        return NULL;
    }
    g->forks = mgc_global_forks();
    g->quota = quota;
    memcpy(g->endpoint, endpoint, n);
    LIST_INSERT_HEAD(&gates, g, link);
    return g;
}

mgc_code mgc_shared_gate_get(struct mgc_shared_gate **out, const char *endpoint, uint64_t quota)
{
    pthread_once(&fork_once, watch_forks);
    enter();
    struct mgc_shared_gate *g = find(endpoint, quota);
    if (g == NULL)
        g = make(endpoint, quota);
    if (g != NULL)
        g->references++;
    leave();
    if (g == NULL)
        return MGC_ENOMEM;
    *out = g;
    return MGC_OK;
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
    if (!last)
        return;
    mgc_gate_free(g->gate);
    mgc_free(g);
}

int64_t mgc_shared_gate_admit(struct mgc_shared_gate *g, struct mgc_pass *p, int64_t now_ms)
{
    if (g == NULL)
        return MGC_GATE_GO;
    enter();
    const int64_t at = mgc_gate_admit(g->gate, p, now_ms);
    leave();
    return at;
}

void mgc_shared_gate_answer(struct mgc_shared_gate *g, struct mgc_pass *p,
                            const struct mgc_reply *r, int64_t now_ms)
{
    if (g == NULL)
        return;
    enter();
    mgc_gate_answer(g->gate, p, r, now_ms);
    leave();
}
