/* spec/support/unpreload.c - the sanitizer's runtime for one process, not for its children.
 *
 * Lua is not built with the sanitizer, so its runtime is preloaded (`make asan`). What Lua starts
 * would inherit that, and date and mktemp fail under it. Preloaded after the runtime, this takes
 * the order back before main() runs.
 */
#include <stdlib.h>

__attribute__((constructor)) static void forget_preload(void)
{
    unsetenv("LD_PRELOAD");
}
