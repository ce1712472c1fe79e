/* csrc/core/base/mem.h - the allocator seam: everything the core allocates goes through it,
 * libcurl's memory included (wire/global.c).
 *
 * A host or a test that wants its own allocator sets it once, before anything else is called.
 * The library keeps no memory between two transports.
 */
#ifndef MGC_MEM_H
#define MGC_MEM_H

#include <stdbool.h>
#include <stddef.h>

struct mgc_allocator {
    void *(*malloc)(size_t n);           /* NULL when out of memory */
    void *(*realloc)(void *p, size_t n); /* as C's, n > 0 */
    void (*free)(void *p);               /* as C's, p may be NULL */
};

void mgc_mem_set(const struct mgc_allocator *a); /* copied; NULL restores the C library's */

void *mgc_malloc(size_t n);
void *mgc_calloc(size_t n); /* zeroed */
void *mgc_realloc(void *p, size_t n);
void  mgc_free(void *p);

/* A copy of a text in `*out`; of NULL, NULL. False: no memory. */
bool mgc_copy_text(char **out, const char *text);

/* Overwrites memory in a way the compiler may not leave out. */
void mgc_wipe(void *p, size_t n);

#endif
