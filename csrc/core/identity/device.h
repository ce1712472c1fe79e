/* csrc/core/identity/device.h - reads the answer of the device authorization endpoint (RFC 8628 3.2, FACTS 7.1). */
#ifndef MGC_DEVICE_H
#define MGC_DEVICE_H

#include "core/base/error.h"
#include "core/base/secret.h"

#include <stddef.h>
#include <stdint.h>

/* What a user has to be told. Texts of the issuer's, without control characters: they go to a terminal. */
struct mgc_prompt {
    char    user_code[32], verification_uri[256];
    char    message[512]; /* "" when the issuer sends none */
    int64_t life_s;       /* how long the code is good */
    int64_t interval_s;   /* between two questions whether the user is done */
};

/* MGC_OK; MGC_EANSWER: not what it should be; MGC_ENOMEM. `device_code` is replaced. */
mgc_code mgc_device_read(struct mgc_prompt *out, struct mgc_secret *device_code, const char *json,
                         size_t n) MGC_NODISCARD;

#endif
