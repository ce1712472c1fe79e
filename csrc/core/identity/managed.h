/* csrc/core/identity/managed.h - tokens from the machine we run on: Azure's managed identities (FACTS 7.3).
 *
 * Six kinds of hosts offer them, each in its own dialect. Here is what to ask each of them and what its
 * answer means; who we run on, and where its endpoint is, is found out elsewhere. No clock and no network;
 * the one file that is read is the proof Azure Arc asks for (arc.h).
 *
 * Ownership: mgc_managed_new() gives one, mgc_managed_free() takes it back and wipes its secrets.
 */
#ifndef MGC_MANAGED_H
#define MGC_MANAGED_H

#include "core/base/error.h"
#include "core/base/uuid.h"
#include "core/identity/answer.h"
#include "core/origin.h"
#include "core/wire/attempt.h"

#include <stdint.h>

struct mgc_managed_options {
    const char
        *host; /* "imds", "app_service", "azure_arc", "azure_ml", "service_fabric", "cloud_shell" */
    const char *endpoint;   /* whole URL without a query; http is allowed */
    const char *resource;   /* "https://graph.microsoft.com" */
    const char *secret;     /* for the hosts that give their processes one */
    const char *thumbprint; /* of Service Fabric's certificate */
    const char *client_id, *object_id, *resource_id; /* which identity; none: the host's own */
};

struct mgc_managed;

/* MGC_EOPTION, naming the option: a second id, one the host does not know, a missing secret; MGC_ENOMEM. */
mgc_code mgc_managed_new(struct mgc_managed **out, const struct mgc_managed_options *options,
                         struct mgc_error *e) MGC_NODISCARD;
void     mgc_managed_free(struct mgc_managed *m); /* NULL is fine */

struct mgc_origin *mgc_managed_origin(const struct mgc_managed *m); /* lent */

/* The next request. MGC_EREQUEST for a secret no header can hold, MGC_ENOMEM. */
mgc_code mgc_managed_begin(struct mgc_managed *m, struct mgc_request **out,
                           struct mgc_uuid_pool *ids, struct mgc_error *e) MGC_NODISCARD;

/* Reads its answer. MGC_OK: `token` has a token, to be cleared by the caller. Otherwise the error is in `e`, and
 * `*again_ms` >= 0 says that it is not final: begin again after that time. `now_unix` is the wall clock. */
mgc_code mgc_managed_settle(struct mgc_managed *m, const struct mgc_attempt *a, int64_t now_ms,
                            int64_t now_unix, struct mgc_token_answer *token, int64_t *again_ms,
                            struct mgc_error *e) MGC_NODISCARD;

/* The next request begins anew, whatever became of the last one. */
void mgc_managed_reset(struct mgc_managed *m);

/* How long to wait after `tries` requests of which the last was answered with `status` (0: sent, and not
 * answered), `waited_ms` after the first; -1: no further try. */
int64_t mgc_managed_delay_ms(int status, int tries, int64_t waited_ms);

#endif
