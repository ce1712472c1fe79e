/* csrc/core/base/mem.c - see mem.h. */
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

static const struct mgc_allocator libc_allocator = {malloc, realloc, free};
static struct mgc_allocator       current        = {malloc, realloc, free};

void mgc_mem_set(const struct mgc_allocator *a)
{
    current = a != NULL ? *a : libc_allocator;
}

void *mgc_malloc(size_t n)
{
    return current.malloc(n);
}

void *mgc_calloc(size_t n)
{
    void *p = current.malloc(n);
    if (p != NULL)
        memset(p, 0, n);
    return p;
}

void *mgc_realloc(void *p, size_t n)
{
    return current.realloc(p, n);
}

void mgc_free(void *p)
{
    current.free(p);
}

void mgc_wipe(void *p, size_t n)
{
    if (n > 0)
        explicit_bzero(p, n);
}

bool mgc_copy_text(char **out, const char *text)
{
    size_t n = text != NULL ? strlen(text) + 1 : 0;
    *out     = n > 0 ? mgc_malloc(n) : NULL;
    if (*out != NULL)
        memcpy(*out, text, n);
    return n == 0 || *out != NULL;
}
