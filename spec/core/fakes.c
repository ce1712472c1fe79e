/* spec/core/fakes.c - see fakes.h. */
#include "fakes.h"

#include "core/base/mem.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* libcurl's resolver threads allocate too */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long            count, fail_at = -1, live;
static const char     *wanted;
static bool            seen;

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
    void *p = malloc(n > 0 ? n : 1);
    if (p == NULL)
        abort();
    return p;
}

static void fake_free(void *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&lock);
    live--;
    if (wanted != NULL && memmem(p, malloc_usable_size(p), wanted, strlen(wanted)) != NULL)
        seen = true;
    pthread_mutex_unlock(&lock);
    free(p);
}

static void *fake_realloc(void *p, size_t n)
{
    void *moved = fake_malloc(n); /* always moves: finds who keeps the old address */
    if (moved == NULL || p == NULL)
        return moved;
    size_t had = malloc_usable_size(p);
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
