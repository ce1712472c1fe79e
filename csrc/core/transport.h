/* csrc/core/transport.h - many exchanges over one wire: queue, step, take, cancel, close.
 *
 * The queue is ours, not libcurl's: first come, first sent, as many at a time as the wire has
 * room for. Nothing is sent before the next step, and nothing calls up: what is finished waits
 * until it is taken.
 *
 * Not thread safe: a transport belongs to the thread that steps it; any number of transports may
 * live in one process. It does not survive a fork: in a child only mgc_transport_check(), which says
 * so, and mgc_transport_free(), which leaves the parent's connections alone, may be called.
 */
#ifndef MGC_TRANSPORT_H
#define MGC_TRANSPORT_H

#include "core/base/error.h"
#include "core/exchange.h"
#include "core/origin.h"
#include "core/wire/request.h"

#include <stdbool.h>
#include <stdint.h>

struct mgc_transport;

/* MGC_ENOMEM, MGC_EINTERNAL. */
mgc_code mgc_transport_new(struct mgc_transport **out, struct mgc_error *e) MGC_NODISCARD;

/* Cancels everything and closes every connection. NULL is fine. */
void mgc_transport_free(struct mgc_transport *t);

/* MGC_OK, or MGC_EFORKED in a child of the process that made it. */
mgc_code mgc_transport_check(const struct mgc_transport *t, struct mgc_error *e) MGC_NODISCARD;

/* Queues a request; `*id` names it in this transport and is never used again.
 * MGC_EREQUEST, MGC_EFOREIGN, MGC_ENOMEM: nothing was queued. */
mgc_code mgc_transport_submit(struct mgc_transport *t, struct mgc_origin *o,
                              const struct mgc_request_spec *spec, uint64_t *id,
                              struct mgc_error *e) MGC_NODISCARD;

/* Queues a sign-in, to be taken like a request; its answer shows nothing. MGC_RENEW is done as soon as
 * there is a good token, fetched or not, and waits no longer than `wait_ms` (0: MGC_DEADLINE_MS); for
 * other steps see credential.h.
 * MGC_EREQUEST (nothing to sign in with, or a step comes too early), MGC_ENOMEM: nothing was queued. */
mgc_code mgc_transport_sign_in(struct mgc_transport *t, struct mgc_credential *c, mgc_step step,
                               int64_t wait_ms, uint64_t *id, struct mgc_error *e) MGC_NODISCARD;

/* Moves what can be moved, waiting at most `wait_ms`; ends early when a request finishes or a
 * signal arrives. `*finished` is how many can be taken. MGC_EINTERNAL. */
mgc_code mgc_transport_step(struct mgc_transport *t, int wait_ms, int *finished,
                            struct mgc_error *e) MGC_NODISCARD;

/* The exchange that finished first: lent until the next call, or taken and yours to free. NULL
 * when there is none. */
const struct mgc_exchange *mgc_transport_first(const struct mgc_transport *t);
struct mgc_exchange       *mgc_transport_take(struct mgc_transport *t);

/* Ends a request; it is taken as usual, as MGC_ECANCELLED. False: finished before, or unknown. */
bool mgc_transport_cancel(struct mgc_transport *t, uint64_t id);

/* For hosts: a descriptor that is readable whenever step has something to do, time included. */
int mgc_transport_fd(struct mgc_transport *t);

/* When step must be called even if the descriptor stays quiet: mgc_now_ms() clock, MGC_NEVER. */
int64_t mgc_transport_due_ms(struct mgc_transport *t);

/* A moment of the caller's own at which step shall end its wait, once; MGC_NEVER: none. */
void mgc_transport_wake(struct mgc_transport *t, int64_t at_ms);

#endif
