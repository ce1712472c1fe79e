/* csrc/core/wire/wire.h - attempts on the network: start one, step, take what finished, cancel.
 *
 * A curl multi handle driven through curl_multi_socket_action, with one epoll descriptor that
 * stands for everything: sockets, and a timer for hosts that watch the descriptor alone.
 * At most MGC_IN_FLIGHT_MAX easy handles exist; each is set up once and used again, because
 * ten thousand handles queued in libcurl cost 147 MB and three times the CPU
 * (design/performance.md). Connections are kept and reused.
 *
 * What libcurl is not left to decide: it repeats a request on its own when a kept connection
 * dies before the first byte of an answer, a POST too. That would retire devices twice. Here an
 * attempt is sent once: the second time is stopped before a byte of it leaves. So that a
 * connection which the server closed while it was idle is no reason for that, it is looked at
 * right before sending, and replaced when it is dead.
 *
 * Nothing calls up: callbacks fill the attempt, and the owner takes it when it is finished.
 * Not thread safe; a wire belongs to the thread that steps it.
 */
#ifndef MGC_WIRE_H
#define MGC_WIRE_H

#include "core/base/error.h"
#include "core/origin.h"
#include "core/wire/attempt.h"

#include <stdbool.h>
#include <stdint.h>

enum { MGC_IN_FLIGHT_MAX = 256 };

struct mgc_wire;

/* MGC_ENOMEM, or MGC_EINTERNAL when the system has no descriptors left. */
mgc_code mgc_wire_new(struct mgc_wire **out, struct mgc_error *e) MGC_NODISCARD;

/* Closes every connection. No attempt may be under way. NULL is fine. */
void mgc_wire_free(struct mgc_wire *w);

bool mgc_wire_has_room(const struct mgc_wire *w);

/* Starts an attempt; there must be room. What fails at once is finished at once: take it. */
void mgc_wire_start(struct mgc_wire *w, struct mgc_attempt *a);

/* Ends an attempt under way; it will not be taken. Its connection is closed. */
void mgc_wire_cancel(struct mgc_wire *w, struct mgc_attempt *a);

/* Moves what can be moved, waiting at most `wait_ms` for something to happen. A signal ends the
 * wait. MGC_EINTERNAL when the system fails us. */
mgc_code mgc_wire_step(struct mgc_wire *w, int wait_ms, struct mgc_error *e) MGC_NODISCARD;

struct mgc_attempt *mgc_wire_take(struct mgc_wire *w); /* a finished one, or NULL */

int64_t mgc_wire_due_ms(const struct mgc_wire *w); /* when libcurl wants the next step */

/* The descriptor for hosts; from the first call on it also becomes readable at mgc_wire_alarm()'s
 * moment (MGC_NEVER: none). Blocking use never pays for that timer. */
int  mgc_wire_fd(struct mgc_wire *w);
void mgc_wire_alarm(struct mgc_wire *w, int64_t at_ms);

/* HTTP/2 where the libcurl of this process can be trusted with it, HTTP/1.1 elsewhere. */
mgc_http mgc_wire_default_http(void);
mgc_http mgc_wire_http_for(unsigned libcurl_version); /* 0x075801 is 7.88.1 */

#endif
