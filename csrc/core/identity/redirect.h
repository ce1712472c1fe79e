/* csrc/core/identity/redirect.h - reads the HTTP request by which a browser brings the outcome of a sign-in
 * (RFC 6749 4.1.2; FACTS 7.1): GET /?code=...&state=..., or POST / with the same as a form.
 *
 * Anything on this machine can connect, and any web page can make a browser do so. What is not plainly a redirect
 * meant for this port is therefore refused, nothing is repaired: a Host that is not ours (DNS rebinding), a parameter
 * that comes twice, a code and an error in one.
 *
 * The names of the readings are the HTTP status such a request is answered with.
 */
#ifndef MGC_REDIRECT_H
#define MGC_REDIRECT_H

#include <stddef.h>

typedef enum mgc_reading {
    MGC_READ_MORE      = 0,   /* not all of it is here */
    MGC_READ_REDIRECT  = 200, /* state, and either code or error */
    MGC_READ_MALFORMED = 400,
    MGC_READ_ELSEWHERE = 404, /* HTTP, but no redirect: /favicon.ico */
    MGC_READ_FOREIGN   = 421  /* another host was asked for (RFC 9110 15.5.20) */
} mgc_reading;

struct mgc_text {
    const char *at; /* no NUL behind it; NULL: it did not come */
    size_t      len;
};

struct mgc_redirect {
    struct mgc_text state, code, error; /* visible ASCII, never empty */
    struct mgc_text description;        /* error_description: any bytes */
};

/* Reads what is there of one request to http://localhost:port/. Parameters are decoded where they stand, so
 * `bytes` is changed by anything but MGC_READ_MORE, and lends `out`, which is filled for MGC_READ_REDIRECT alone. */
mgc_reading mgc_redirect_read(struct mgc_redirect *out, char *bytes, size_t n, unsigned port);

#endif
