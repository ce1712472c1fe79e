/* csrc/core/identity/printed.h - reads the token that the Azure CLI prints (`az account get-access-token`). */
#ifndef MGC_PRINTED_H
#define MGC_PRINTED_H

#include "core/base/error.h"
#include "core/base/secret.h"

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* MGC_OK: the token, and the seconds from `now` on that it is good. MGC_EANSWER: not what az prints, or a token that
 * has expired; MGC_ENOMEM. */
mgc_code mgc_printed_read(struct mgc_secret *token, int64_t *life_s, const char *json, size_t n,
                          time_t now, struct mgc_error *e) MGC_NODISCARD;

#endif
