/* spec/core/fakes.c - see fakes.h. */
#include "fakes.h"

#include "core/base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* libcurl's resolver threads allocate too */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long            count, fail_at = -1, live;
static const char     *wanted;
static bool            seen;

/* Not malloc's own pointers: whoever hands them to malloc_usable_size() or free() is found. */
enum { ROOM = 16 };

static size_t size_of(const void *p)
{
    size_t n;
    memcpy(&n, (const char *)p - ROOM, sizeof n);
    return n;
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
    char *p = malloc(ROOM + n);
    if (p == NULL)
        abort();
    memcpy(p, &n, sizeof n);
    return p + ROOM;
}

static void fake_free(void *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&lock);
    live--;
    if (wanted != NULL && memmem(p, size_of(p), wanted, strlen(wanted)) != NULL)
        seen = true;
    pthread_mutex_unlock(&lock);
    free((char *)p - ROOM);
}

static void *fake_realloc(void *p, size_t n)
{
    void *moved = fake_malloc(n); /* always moves: finds who keeps the old address */
    if (moved == NULL || p == NULL)
        return moved;
    size_t had = size_of(p);
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
