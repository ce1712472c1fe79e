/* csrc/core/policy/retry.h - whether to try again, and how long to wait first. No I/O, no clock, no
 * random numbers of its own.
 *
 * What an attempt came to falls into a class (design/client.md 1); the class says whose requests are worth
 * another attempt, how many, and after which wait:
 *
 *   throttle   429 and 509; 503 that says when to come back: refused before it was acted on, so any method
 *   transient  408 500 502 503 504: it may have been acted on, so only what may be sent twice; and 424, which a
 *              part of a batch is answered that was not acted on because another failed, so any method
 *   transport  no answer, or half of one: any method where nothing was sent, else as transient
 *   final      everything else: a success, or a refusal that another attempt would only meet again
 *
 * A wait is never shorter than the server asked for, and never so long that the deadline would pass: then
 * it ends at once, with the error it has, and says when to come back.
 *
 * A budget, shared by all requests to one origin, keeps retries from multiplying the load of a service that
 * is down: each costs, each success gives back.
 */
#ifndef MGC_RETRY_H
#define MGC_RETRY_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum mgc_retry_class {
    MGC_FINAL,
    MGC_THROTTLE,
    MGC_TRANSIENT,
    MGC_TRANSPORT,
    MGC_RETRY_CLASSES
} mgc_retry_class;

/* What an attempt came to. */
struct mgc_outcome {
    mgc_code  code; /* MGC_OK: an answer came */
    mgc_phase phase;
    int       status;     /* 0: none */
    int64_t   hint_ms;    /* mgc_retry_after_ms(); -1: none */
    bool      idempotent; /* sending the request twice does what sending it once does */
};

/* What a request has met so far. Zeroed when it begins. */
struct mgc_retries {
    uint8_t throttled, failed; /* attempts that ended so */
    uint8_t short_hints;       /* throttled with next to no wait, running */
    uint8_t cost;              /* of the last retry, until a success gives it back */
};

enum { MGC_RETRY_BUDGET = 500 };

typedef enum mgc_verdict {
    MGC_END,      /* no other attempt */
    MGC_AGAIN,    /* after wait_ms */
    MGC_TOO_LATE, /* the deadline would pass before wait_ms is over */
    MGC_NO_BUDGET
} mgc_verdict;

struct mgc_decision {
    mgc_verdict verdict;
    int64_t     wait_ms; /* of MGC_AGAIN and MGC_TOO_LATE */
    bool        fresh;   /* on a connection of its own */
};

mgc_retry_class mgc_retry_classify(const struct mgc_outcome *o);

/* Whether it could have been acted on without us knowing; and is one that may not be sent twice. */
bool mgc_retry_may_have_acted(const struct mgc_outcome *o);
bool mgc_retry_is_ambiguous(const struct mgc_outcome *o);

/* An attempt has ended without success, `left_ms` before the deadline. `random` is from [0, 1).
 * `*budget` pays for MGC_AGAIN; it begins as MGC_RETRY_BUDGET and is never negative. */
struct mgc_decision mgc_retry_decide(struct mgc_retries *r, int *budget,
                                     const struct mgc_outcome *o, int64_t left_ms, double random);

/* An attempt has succeeded. */
static inline void mgc_retry_succeed(const struct mgc_retries *r, int *budget)
{
    int with = *budget + (r->cost > 0 ? r->cost : 1);
    *budget  = with < MGC_RETRY_BUDGET ? with : MGC_RETRY_BUDGET;
}

#endif
