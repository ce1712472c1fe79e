/* spec/host/memory.h - a Lua allocator as a host may bring it: counts, has a ceiling, runs dry. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>
#include <stdlib.h>

struct memory {
    size_t used, limit; /* bytes; limit 0: none */
    long   count;       /* requests for more since `dry_at` was set */
    long   dry_at;      /* from this one on there is no more; < 0: never */
};

/* lua_Alloc. Shrinking never fails, as Lua demands. */
static inline void *memory_alloc(void *ud, void *p, size_t had, size_t want)
{
    struct memory *m = ud;
    had              = p != NULL ? had : 0; /* for a new block Lua tells its type there */
    if (want == 0) {
        m->used -= had;
        free(p);
        return NULL;
    }
    if (want > had) {
        long n = m->count++;
        if (m->dry_at >= 0 && n >= m->dry_at)
            return NULL;
        if (m->limit > 0 && m->used - had + want > m->limit)
            return NULL;
    }
    void *moved = realloc(p, want);
    if (moved != NULL)
        m->used += want - had;
    return moved != NULL || want > had ? moved : p;
}

#endif
