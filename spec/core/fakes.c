/* spec/core/fakes.c - see fakes.h. */
#include "fakes.h"

#include "core/base/mem.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* libcurl's resolver threads allocate too */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long            count, fail_at = -1, live;
static const char     *wanted;
static bool            seen;

/* Before each block. So they are not malloc's own pointers: whoever hands them to malloc_usable_size() or free() is
 * found. */
struct head {
    _Alignas(max_align_t) size_t size;
    LIST_ENTRY(head) link;
};

static LIST_HEAD(, head) blocks = LIST_HEAD_INITIALIZER(blocks);

static struct head *head_of(const void *p)
{
    return (struct head *)p - 1;
}

static bool holds(const struct head *h, const char *text)
{
    return memmem(h + 1, h->size, text, strlen(text)) != NULL;
}

static bool refuse(void)
{
    pthread_mutex_lock(&lock);
    bool no = count++ == fail_at;
    live += !no;
    pthread_mutex_unlock(&lock);
    return no;
}

static void *fake_malloc(size_t n)
{
    if (refuse())
        return NULL;
    struct head *h = malloc(sizeof *h + n);
    if (h == NULL)
        abort();
    h->size = n;
    if (wanted != NULL)
        memset(h + 1, 0, n); /* OpenSSL may have had an answer there */
    pthread_mutex_lock(&lock);
    LIST_INSERT_HEAD(&blocks, h, link);
    pthread_mutex_unlock(&lock);
    return h + 1;
}

static void fake_free(void *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&lock);
    live--;
    LIST_REMOVE(head_of(p), link);
    if (wanted != NULL && holds(head_of(p), wanted))
        seen = true;
    pthread_mutex_unlock(&lock);
    free(head_of(p));
}

static void *fake_realloc(void *p, size_t n)
{
    void *moved = fake_malloc(n); /* always moves: finds who keeps the old address */
    if (moved == NULL || p == NULL)
        return moved;
    size_t had = head_of(p)->size;
    memcpy(moved, p, had < n ? had : n);
    fake_free(p);
    return moved;
}

void fake_mem_install(void)
{
    mgc_mem_set(&(struct mgc_allocator){fake_malloc, fake_realloc, fake_free});
}

void fake_mem_fail_at(long n)
{
    pthread_mutex_lock(&lock);
    fail_at = n;
    count   = 0;
    pthread_mutex_unlock(&lock);
}

long fake_mem_count(void)
{
    return count;
}

long fake_mem_live(void)
{
    return live;
}

void fake_mem_look_for(const char *text)
{
    wanted = text;
    seen   = false;
}

bool fake_mem_seen(void)
{
    return seen;
}

bool fake_mem_holds(const char *text)
{
    bool         found = false;
    struct head *h;
    pthread_mutex_lock(&lock);
    LIST_FOREACH(h, &blocks, link)
    found = found || holds(h, text);
    pthread_mutex_unlock(&lock);
    return found;
}
