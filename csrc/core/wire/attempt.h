/* csrc/core/wire/attempt.h - one try on the network: what goes in, and what became of it. */
#ifndef MGC_ATTEMPT_H
#define MGC_ATTEMPT_H

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/identity/token.h"
#include "core/origin.h"
#include "core/wire/request.h"

#include <stdbool.h>
#include <stdint.h>

struct mgc_slot; /* slot.h */

/* The owner fills the first part, keeps the struct where it is until it has been taken
 * or cancelled, and clears it afterwards. */
struct mgc_attempt {
    struct mgc_request      *request;
    const struct mgc_origin *origin;
    struct mgc_token        *token; /* a reference of ours; NULL: sent without one */
    bool                     fresh; /* on a new connection */

    /* what became of it */
    struct mgc_error error; /* code MGC_OK: an answer came, whatever its status */
    mgc_phase        phase;
    int              status;  /* 0 until an answer began */
    bool             http2;   /* how the answer came */
    struct mgc_buf   headers; /* "Name: value\r\n" lines of the final answer */
    struct mgc_buf   body;
    int64_t          sent_ms;  /* connected, about to send; meaningful from MGC_SENT on */
    int64_t          heard_ms; /* last byte of the answer; meaningful from MGC_ANSWERED on */

    /* the wire's own */
    struct mgc_slot    *slot;
    struct mgc_attempt *next;
};

void mgc_attempt_init(struct mgc_attempt *a, struct mgc_request *r, const struct mgc_origin *o);
void mgc_attempt_clear(struct mgc_attempt *a); /* not while it is under way */

#endif
