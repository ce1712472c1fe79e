/* csrc/core/base/clock.h - the time seam.
 *
 * Deadlines are monotonic milliseconds everywhere inside; a timeout becomes a deadline at the
 * edge, once.
 */
#ifndef MGC_CLOCK_H
#define MGC_CLOCK_H

#include <stdint.h>

#define MGC_NEVER INT64_MAX

int64_t mgc_now_ms(void); /* monotonic */

static inline int64_t mgc_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
