/* spec/support/asan.c - what a process needs that runs under the address sanitizer: linked into the
 * programs of spec/host, preloaded into Lua (`make asan`).
 */
#include <stdlib.h>

/* The sanitizer's runtime is preloaded into Lua, which is not built with it. What Lua starts would
 * inherit that, and date and mktemp fail under it: so it ends here, before main() runs. */
__attribute__((constructor)) static void forget_preload(void)
{
    unsetenv("LD_PRELOAD");
}

/* Modules stay when a state closes: a leak in one that is gone has no name to be reported by. */
__attribute__((visibility("default"))) int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
