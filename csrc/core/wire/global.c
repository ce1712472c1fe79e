/* csrc/core/wire/global.c - see global.h. */
#include "core/wire/global.h"

#include "core/base/mem.h"

#include <curl/curl.h>
#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST = 0x075800 };

/* Before each block of libcurl's stands its size, so that any allocator will do. */
enum { SIZE_ROOM = 16 };

static size_t size_of(const void *p)
{
    size_t n;
    memcpy(&n, (const char *)p - SIZE_ROOM, sizeof n);
    return n;
}

static void wipe_and_free(void *p)
{
    if (p == NULL)
        return;
    mgc_wipe(p, size_of(p));
    mgc_free((char *)p - SIZE_ROOM);
}

/* With each request libcurl takes a buffer to send from and one to receive into, of the sizes slot.c asks for, and gives
 * them back behind it. The last of each waits for the next request as it is, instead of being wiped to be written over:
 * docs/decisions/0005. */
static _Atomic(void *) kept[2];
static atomic_int      users;

static _Atomic(void *) *place_of(size_t n)
{
    if (n == MGC_SEND_BUFFER)
        return &kept[0];
    return n == MGC_RECEIVE_BUFFER + 1 ? &kept[1] : NULL; /* libcurl's NUL */
}

static void *curl_take(size_t n)
{
    _Atomic(void *) *place = place_of(n);
    void            *again = place != NULL ? atomic_exchange(place, NULL) : NULL;
    if (again != NULL)
        return again;
    char *block = n < (size_t)-1 - SIZE_ROOM ? mgc_malloc(SIZE_ROOM + n) : NULL;
    if (block == NULL)
        return NULL;
    memcpy(block, &n, sizeof n);
    return block + SIZE_ROOM;
}

static void curl_wiping_free(void *p)
{
    _Atomic(void *) *place = p != NULL && atomic_load(&users) > 0 ? place_of(size_of(p)) : NULL;
    wipe_and_free(place != NULL ? atomic_exchange(place, p) : p);
    if (place != NULL && atomic_load(&users) == 0) /* the last has just left, in another thread */
        mgc_global_forget();
}

void mgc_global_enter(void)
{
    atomic_fetch_add(&users, 1);
}

void mgc_global_leave(void)
{
    if (atomic_fetch_sub(&users, 1) == 1)
        mgc_global_forget();
}

void mgc_global_forget(void)
{
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        wipe_and_free(atomic_exchange(&kept[i], NULL));
}

/* realloc() would leave the old bytes behind when it moves them. What grows gets room to grow on. */
static void *curl_wiping_realloc(void *p, size_t n)
{
    enum { SMALL = 2048, ROOM = 4 };
    if (p == NULL)
        return curl_take(n);
    size_t had = size_of(p);
    if (n <= had)
        return p;
    void *moved = curl_take(n < SMALL ? ROOM * n : n);
    if (moved == NULL)
        return NULL;
    memcpy(moved, p, had);
    curl_wiping_free(p);
    return moved;
}

static char *curl_copy(const char *s)
{
    size_t n    = strlen(s) + 1;
    char  *copy = curl_take(n);
    return copy != NULL ? memcpy(copy, s, n) : NULL;
}

static void *curl_zeroed(size_t n, size_t size)
{
    void *p = size > 0 && n > (size_t)-1 / size ? NULL : curl_take(n * size);
    if (p != NULL)
        memset(p, 0, n * size);
    return p;
}

static CURLcode outcome;
static unsigned forks;

static void count_fork(void)
{
    forks++;
}

unsigned mgc_global_forks(void)
{
    return forks;
}

static void wiping_free(void *p)
{
    if (p != NULL)
        mgc_wipe(p, malloc_usable_size(p));
    free(p);
}

/* jansson has one allocator for the process: it is changed only where nobody did before. */
static void wipe_json(void)
{
    json_malloc_t give;
    json_free_t   take;
    json_get_alloc_funcs(&give, &take);
    if (give == malloc && take == free)
        json_set_alloc_funcs(malloc, wiping_free);
}

static void init_once(void)
{
    pthread_atfork(NULL, NULL, count_fork);
    /* a no-op that only counts when the host was first; then its allocator stays */
    outcome = curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_take, curl_wiping_free,
                                   curl_wiping_realloc, curl_copy, curl_zeroed);
    wipe_json();
}

mgc_code mgc_global_init(struct mgc_error *e)
{
    static pthread_once_t         once = PTHREAD_ONCE_INIT;
    const curl_version_info_data *v    = curl_version_info(CURLVERSION_NOW);
    if (v->version_num < OLDEST)
        return mgc_error_set(e, MGC_EINTERNAL, "libcurl %s is too old, 7.88 is needed", v->version);
    pthread_once(&once, init_once);
    if (outcome == CURLE_OK)
        return MGC_OK;
    return mgc_error_set(e, MGC_EINTERNAL, "libcurl: %s", curl_easy_strerror(outcome));
}
