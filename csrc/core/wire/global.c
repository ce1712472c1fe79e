/* csrc/core/wire/global.c - see global.h. */
#include "core/wire/global.h"

#include "core/base/mem.h"

#include <curl/curl.h>
#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST = 0x075800 };

static void curl_wiping_free(void *p)
{
    if (p != NULL)
        mgc_wipe(p, malloc_usable_size(p));
    mgc_free(p);
}

/* realloc() would leave the old bytes behind when it moves them. */
static void *curl_wiping_realloc(void *p, size_t n)
{
    if (p == NULL)
        return mgc_malloc(n);
    size_t had = malloc_usable_size(p);
    if (n > 0 && n <= had && had <= 2 * n)
        return p;
    void *moved = mgc_malloc(n);
    if (moved == NULL)
        return NULL;
    memcpy(moved, p, n < had ? n : had);
    curl_wiping_free(p);
    return moved;
}

static char *curl_copy(const char *s)
{
    size_t n    = strlen(s) + 1;
    char  *copy = mgc_malloc(n);
    return copy != NULL ? memcpy(copy, s, n) : NULL;
}

static void *curl_zeroed(size_t n, size_t size)
{
    return size > 0 && n > (size_t)-1 / size ? NULL : mgc_calloc(n * size);
}

static CURLcode outcome;

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
    /* a no-op that only counts when the host was first; then its allocator stays */
    outcome = curl_global_init_mem(CURL_GLOBAL_DEFAULT, mgc_malloc, curl_wiping_free,
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
