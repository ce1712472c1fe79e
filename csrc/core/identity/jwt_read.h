/* csrc/core/identity/jwt_read.h - what a JSON Web Token says (RFC 7519), for people to see.
 *
 * No signature is checked, so nothing may be decided by it but what to show: an id_token is trusted because it
 * came from the token endpoint over TLS (OpenID Connect Core 3.1.3.7), an access token is its resource's to
 * judge. Opaque tokens (encrypted ones, those of personal accounts) are none to be read.
 *
 * A text that does not fit its field, or that holds control characters, is left out: it is "".
 */
#ifndef MGC_JWT_READ_H
#define MGC_JWT_READ_H

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { MGC_JWT_MAX = 64 * 1024 }; /* bytes of one that is read at all */

struct mgc_jwt_view {
    char    alg[16], typ[16], kid[128];
    char    name[256];
    char    username[256]; /* preferred_username, else upn */
    char    oid[64], tid[64];
    char    aud[512]; /* this and the next two: lists are joined by spaces */
    char    scp[8192], roles[8192];
    char    iss[256];
    char    app_displayname[256];
    char    appid[64]; /* appid, else azp */
    int64_t exp, iat;  /* Unix seconds; 0 when not said */
};

/* MGC_EANSWER: not a JWT; MGC_ENOMEM. `out` is untouched then. */
mgc_code mgc_jwt_read(const char *text, size_t n, struct mgc_jwt_view *out) MGC_NODISCARD;

#endif
