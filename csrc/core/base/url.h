/* csrc/core/base/url.h - escape, join, and the one place that decides where a token may go.
 *
 * An origin is "https://host[:port]": https only, no user information, no path. A target is
 * what a caller asks for below it: "/v1.0/users?$top=5", or a whole URL that must be of the very
 * same origin (a nextLink). What is not plainly safe is refused; nothing is repaired, so
 * the bytes that were asked for are the bytes that are sent.
 *
 * Sources: RFC 3986 2.3 and 3.3; design/client.md 6 for the traps (user information before
 * the host, ports, dot segments).
 */
#ifndef MGC_URL_H
#define MGC_URL_H

#include "core/base/buf.h"

#include <stddef.h>

/* Writes the text with everything but unreserved characters (RFC 3986 2.3) as %XX; `out` has room
 * for three bytes for each. Returns how many were written. */
size_t mgc_url_escape(char *out, const char *text, size_t n);

/* Why the text can not be one path segment (a user id, a device id): NULL when it can. */
const char *mgc_url_segment_fault(const char *text, size_t n);

/* Why the text can not be a path, with a query or without, that is sent as it is: NULL when it can. */
const char *mgc_url_target_fault(const char *target, size_t n);

/* Appends the origin of an endpoint in its one spelling: lower case, no port 443, no slash.
 * MGC_EOPTION with the reason in `e`. */
mgc_code mgc_url_origin(struct mgc_buf *out, const char *endpoint, size_t n,
                        struct mgc_error *e) MGC_NODISCARD;

/* The same for the metadata endpoint of a machine, which is allowed to speak plain http (and drops port 80). */
mgc_code mgc_url_metadata_origin(struct mgc_buf *out, const char *endpoint, size_t n,
                                 struct mgc_error *e) MGC_NODISCARD;

/* Appends the full URL of a target below `origin`.
 * MGC_EREQUEST for bytes that may not be in a URL and for "." and ".." segments;
 * MGC_EFOREIGN for a URL of another origin. */
mgc_code mgc_url_target(struct mgc_buf *out, const char *origin, const char *target, size_t n,
                        struct mgc_error *e) MGC_NODISCARD;

#endif
