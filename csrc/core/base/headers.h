/* csrc/core/base/headers.h - reads a block of response headers, and checks one to be sent.
 *
 * A block is kept as it arrived, "Name: value\r\n" lines, and searched when somebody asks:
 * most headers of most answers are never looked at.
 */
#ifndef MGC_HEADERS_H
#define MGC_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The next header of that name at or after `*at`, 0 at first, which moves on; false: there is none. Names are
 * compared ignoring case; the value (without white space around it) points into the block. */
bool mgc_header_next(const char *block, size_t n, size_t *at, const char *name, const char **value,
                     size_t *value_len);

/* Finds a header by name, ignoring case; the last one wins. The value (without white space
 * around it) points into the block. */
bool mgc_header_find(const char *block, size_t n, const char *name, const char **value,
                     size_t *value_len);

enum { MGC_RETRY_AFTER_MAX_MS = 24 * 3600 * 1000 };

/* How long the server asks to wait, in milliseconds, at most MGC_RETRY_AFTER_MAX_MS; -1 when it
 * does not say. Understands Retry-After in seconds (whole or decimal: Graph has sent 2.128,
 * FACTS 0.11) and as an HTTP date (RFC 9110 5.6.7) held against the answer's own Date, so that a
 * wrong clock here does not matter; and retry-after-ms, x-ms-retry-after-ms, which win. A hint
 * is never rounded down. `now_unix` stands in for a missing Date. */
int64_t mgc_retry_after_ms(const char *block, size_t n, int64_t now_unix);

/* Whether name and value may be sent: a token (RFC 9110 5.6.2), and no control characters. */
bool mgc_header_is_valid(const char *name, size_t name_len, const char *value, size_t value_len);

#endif
