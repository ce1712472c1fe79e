/* spec/core/check.h - the assertion macros of the C tests, one page.
 *
 * A test program is main() { RUN(test_a); RUN(test_b); return REPORT("name"); }. A failed check
 * prints where and goes on with the next test; REPORT prints "name: N passed, N failed" and is the
 * exit status.
 */
#ifndef CHECK_H
#define CHECK_H

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int     check_passed, check_failed;
static jmp_buf check_out;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_fail(__FILE__, __LINE__, #condition);                                            \
    } while (0)

#define CHECK_INT(want, got)                                                                       \
    do {                                                                                           \
        long long check_w = (long long)(want), check_g = (long long)(got);                         \
        if (check_w != check_g) {                                                                  \
            fprintf(stderr, "  want %lld, got %lld\n", check_w, check_g);                          \
            check_fail(__FILE__, __LINE__, #got);                                                  \
        }                                                                                          \
    } while (0)

#define CHECK_TEXT(want, got)                                                                      \
    do {                                                                                           \
        const char *check_w = (want), *check_g = (got);                                            \
        if (check_g == NULL || strcmp(check_w, check_g) != 0) {                                    \
            fprintf(stderr, "  want \"%s\", got \"%s\"\n", check_w, check_g ? check_g : "(null)"); \
            check_fail(__FILE__, __LINE__, #got);                                                  \
        }                                                                                          \
    } while (0)

#define RUN(test)                                                                                  \
    do {                                                                                           \
        if (setjmp(check_out) == 0) {                                                              \
            test();                                                                                \
            check_passed++;                                                                        \
        } else {                                                                                   \
            fprintf(stderr, "FAILED %s\n", #test);                                                 \
            check_failed++;                                                                        \
        }                                                                                          \
    } while (0)

#define REPORT(name)                                                                               \
    (printf("%s: %d passed, %d failed\n", (name), check_passed, check_failed), check_failed != 0)

_Noreturn static inline void check_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    longjmp(check_out, 1);
}

#endif
