/* csrc/core/exchange.h - one request's life: admitted, attempted, done.
 *
 *     ADMITTING ─▶ (TOKEN ─▶ ADMITTING) ─▶ ATTEMPT ─▶ DONE
 *         ▲                                  │
 *         ╰───────────── DELAYED ◀───────────╯
 *
 * ADMITTING waits for room on the wire, or is held until the throttle gate opens. TOKEN waits for the
 * credential's token. ATTEMPT is on the network. When it ends, judge() in transport.c decides what
 * follows: a refused token is replaced, and policy/retry.h says whether the request is DELAYED and sent
 * again. From everywhere there is a way to DONE (cancelled, out of time). The state changes in
 * mgc_exchange_enter() alone.
 *
 * A token request is an exchange too, one that the transport makes for a credential, by itself or because a
 * sign-in was asked for. One that only waits for a token is never sent.
 *
 * The deadlines of the request are kept here too: libcurl is only told how long connecting may
 * take, the rest depends on how far the request came.
 */
#ifndef MGC_EXCHANGE_H
#define MGC_EXCHANGE_H

#include "core/base/error.h"
#include "core/identity/credential.h"
#include "core/origin.h"
#include "core/policy/retry.h"
#include "core/policy/throttle.h"
#include "core/wire/request.h"
#include "core/wire/wire.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

typedef enum mgc_state { MGC_ADMITTING, MGC_TOKEN, MGC_ATTEMPT, MGC_DELAYED, MGC_DONE } mgc_state;

enum { MGC_TRY_MS = 100 * 1000 }; /* longest single attempt, design/client.md 7 */

/* Attempts remembered beside the last: seven throttled, three failed, a refused token. */
enum { MGC_PAST_MAX = 7 + 3 + 1 };

/* An attempt that was not the last, kept small: thousands wait at a time. */
struct mgc_past {
    uint8_t code;      /* mgc_code */
    uint8_t phase;     /* mgc_phase */
    int16_t status;    /* 0: none */
    int32_t waited_ms; /* before it */
};

struct mgc_exchange {
    uint64_t            id;
    mgc_state           state;
    struct mgc_origin  *origin;  /* a reference of ours */
    struct mgc_request *request; /* owned */
    struct mgc_attempt  attempt; /* its results are the exchange's results */
    int64_t             deadline_ms;
    int64_t             since_ms;           /* when it came into its state */
    int32_t             spent_ms[MGC_DONE]; /* in each state, all attempts together */
    int64_t             not_before_ms;      /* of DELAYED */
    bool                reauthorised; /* a refused token was replaced once; see mgc_token.adopted */

    struct mgc_pass  pass; /* through the origin's gate */
    mgc_level        level;
    struct mgc_hold *hold; /* the transport's, while it is held; else NULL */

    struct mgc_retries retries;
    struct mgc_past    past[MGC_PAST_MAX]; /* oldest first */
    int                n_past;
    mgc_phase          reached;   /* by an attempt that may have been acted on, before this one */
    int64_t            waited_ms; /* in all, before attempts */
    int64_t            wait_ms;   /* before this attempt */
    mgc_verdict        verdict;   /* on the last attempt */
    int64_t            late_ms;   /* the wait that was too long, of MGC_TOO_LATE */

    struct mgc_credential *credential; /* a reference: whose token it needs; NULL: none */
    struct mgc_credential *fetch_for;  /* a reference, in a token request; else NULL */
    bool                   only_token; /* done as soon as there is a token */

    TAILQ_ENTRY(mgc_exchange) link; /* in the transport's list for its state */
};

TAILQ_HEAD(mgc_exchanges, mgc_exchange);

/* Takes the request and a reference of the origin; needs the token of the origin's credential.
 * MGC_ENOMEM leaves both with the caller. */
mgc_code mgc_exchange_new(struct mgc_exchange **out, struct mgc_request *r, struct mgc_origin *o,
                          int64_t now_ms) MGC_NODISCARD;
void     mgc_exchange_free(struct mgc_exchange *x); /* not while in ATTEMPT; NULL is fine */

void mgc_exchange_enter(struct mgc_exchange *x, mgc_state state, int64_t now_ms);

/* Makes it ready for another attempt, with another request if one is given (it is taken). */
void mgc_exchange_again(struct mgc_exchange *x, struct mgc_request *r);

/* The same after an attempt of it that is worth remembering, with a wait before the next. */
void mgc_exchange_retry(struct mgc_exchange *x, int64_t wait_ms);

/* That wait has been cut short: only what was waited counts. */
void mgc_exchange_cut_wait(struct mgc_exchange *x, int64_t now_ms);

/* What the policy has to know of the attempt that ended. `now_unix` as for mgc_retry_after_ms(). */
struct mgc_outcome mgc_exchange_outcome(const struct mgc_exchange *x, int64_t now_unix);

/* When something must be done about it if nothing happens before. */
int64_t mgc_exchange_due_ms(const struct mgc_exchange *x);

/* Which time limit has passed: MGC_OK when none has. */
mgc_code mgc_exchange_overdue(const struct mgc_exchange *x, int64_t now_ms);

/* The word an author branches on: the code's own kind, or "ambiguous". */
const char *mgc_exchange_kind(const struct mgc_exchange *x);

/* Whether a request that may not be sent twice could have been acted on without us knowing, be there an
 * answer or not (design/client.md 1). */
bool mgc_exchange_is_ambiguous(const struct mgc_exchange *x);

/* How far it came, in this attempt or in one before that the server did not refuse. */
mgc_phase mgc_exchange_phase(const struct mgc_exchange *x);

/* The attempts made, as far as they are remembered: `i` from 0 to mgc_exchange_attempts() - 1. */
int             mgc_exchange_attempts(const struct mgc_exchange *x);
struct mgc_past mgc_exchange_attempt(const struct mgc_exchange *x, int i);

#endif
